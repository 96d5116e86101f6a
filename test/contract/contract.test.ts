// The contract is a document that others accept, and every example in it is true.
import { validateOpenRPCDocument } from '@open-rpc/schema-utils-js'
import { Ajv } from 'ajv'
import { describe, expect, test } from 'vitest'
import {
  configSchema,
  contractDocument,
  paramsSchema,
  type MethodDescriptor,
} from '../../src/contract/document.ts'
import { compileContract } from '../../src/contract/validators.ts'
import { methodNames } from '../../src/contract/types.ts'
import { errorTable } from '../../src/errors.ts'
import { exampleRouter } from '../support/example-router.ts'
import { freshRouter } from '../support/router.ts'

const { methods, components } = contractDocument()
const contract = compileContract()

test('the document is OpenRPC 1.3.2, whole in itself, and what rpc.discover answers', async () => {
  const { call } = await freshRouter()
  const answered = await call('rpc.discover', {})
  expect(answered).toEqual(JSON.parse(JSON.stringify(contractDocument())))
  expect(validateOpenRPCDocument(answered as never)).toBe(true)
  expect(JSON.stringify(answered)).not.toContain('.schema.json')
  expect(answered.openrpc).toBe('1.3.2')
})

test('names are unique, and every method has a summary, errors that exist and an example', () => {
  expect(methods.map(method => method.name)).toEqual([...methodNames])
  expect(new Set(methodNames).size).toBe(methodNames.length)
  for (const method of methods) {
    expect(method.summary.length, method.name).toBeGreaterThan(7)
    expect(method.examples.length, method.name).toBeGreaterThan(0)
    for (const { $ref } of method.errors)
      expect(components.errors[$ref.split('/').pop()!], $ref).toBeDefined()
    const firstOptional = method.params.findIndex(param => !param.required)
    expect(
      firstOptional < 0 || method.params.slice(firstOptional).every(param => !param.required),
      `${method.name}: required params come first`,
    ).toBe(true)
  }
})

test('the document and the error table name the same codes', () => {
  for (const [name, { code }] of Object.entries(components.errors))
    expect(errorTable[name as keyof typeof errorTable].code, name).toBe(code)
})

/** What is wrong with schemas as schemas of JSON Schema, by their names. */
function invalid(schemas: readonly (readonly [name: string, schema: object])[]): string[] {
  const ajv = new Ajv()
  return schemas.filter(([, schema]) => ajv.validateSchema(schema) !== true).map(([name]) => name)
}

test('every schema is one, and every validator can be compiled: a router compiles them when they are first asked', () => {
  const { $schema: _, ...config } = configSchema()
  const ofMethods = methods.flatMap(method => [
    [`${method.name} params`, paramsSchema(method)] as const,
    [`${method.name} result`, method.result.schema] as const,
  ])
  expect(invalid([...Object.entries(components.schemas), ...ofMethods, ['configuration', config]])).toEqual(
    [],
  )
  expect(invalid([['control', { type: 'strnig' }]])).toEqual(['control'])
  for (const { validateParams, validateResult } of contract.values()) {
    validateParams({})
    validateResult({})
  }
})

const generatorWords = ['allOf', '$schema', '$id']

test('it keeps to what client generators can digest', () => {
  const text = JSON.stringify(contractDocument())
  for (const word of generatorWords) expect(text).not.toContain(`"${word}"`)
  for (const [name, schema] of Object.entries(components.schemas)) expect(schema.title, name).toBe(name)
})

const examples = methods.flatMap(method =>
  method.examples.map((example, index): [string, MethodDescriptor, number] => [
    `${method.name}: ${example.name}`,
    method,
    index,
  ]),
)

/** Where the examples keep files is a directory of the test. */
function located<T>(value: T, directory: string): T {
  return JSON.parse(JSON.stringify(value).replaceAll('/srv/backups', directory)) as T
}

/** These change nothing, so one router will do for all of their examples. */
const readOnly =
  /\.(get|list|query|status|stats|health|discover|refused|explain|preview|ticks|versions|history|test|export)$/

const limit = { timeout: 60_000 }
const changing = examples.filter(([, { name }]) => !readOnly.test(name))

/** These look at what others change, or change what they look at: each has a router of its own. */
const alone = new Set([
  'event.register: again',
  'source.enable: already',
  'source.disable: stop',
  'source.fire: by hand',
  'trigger.put: back to a version, tried first',
  'trigger.enable: already',
  'trigger.disable: stop',
  'trigger.backtest: a draft against the live version',
  'bot.heartbeat: awake',
  'bot.drain: before an update',
  'bot.undrain: again',
  'queue.resume: again',
  'run.update: first in line, for another target',
  'run.retry: a dead letter',
  'run.discard: a dead letter',
  'run.retry_dead: first the plan',
  'run.discard_dead: those of one error',
  'run.hold: not yet',
  'run.deny: not today',
  'run.heartbeat: kept',
  'run.log: two lines',
  'run.progress: half of it',
  'run.update: first in line, for another target',
  'run.fail: for good',
  'run.yield: not now',
  'token.create: for a dashboard',
  'token.revoke: a worker that is no longer used',
  'login.revoke: a lost phone',
])

test('every example that has a router of its own is one', () => {
  const titles = new Set(changing.map(([title]) => title))
  expect([...alone].filter(title => !titles.has(title))).toEqual([])
})

describe('every example is true', () => {
  async function holds(
    { router, ids }: Awaited<ReturnType<typeof exampleRouter>>,
    title: string,
    method: MethodDescriptor,
    index: number,
  ): Promise<void> {
    const example = method.examples[index]!
    const params = Object.fromEntries(
      example.params.map(({ name, value }) => [name, located(value, router.directory)]),
    )
    const answer = await router.call(method.name as 'rpc.health', ids.filled(params) as never)
    expect(ids.differences(located(example.result.value, router.directory), answer), title).toEqual([])
    expect(contract.get(method.name)!.validateResult(answer), title).toMatchObject({ ok: true })
  }

  test('of what reads', limit, async () => {
    const shared = await exampleRouter()
    const reading = examples.filter(([, { name }]) => readOnly.test(name))
    expect(reading.length).toBeGreaterThan(20)
    for (const example of reading) await holds(shared, ...example)
  })
  test('of what changes nothing that others look at', limit, async () => {
    const shared = await exampleRouter()
    for (const example of changing.filter(([title]) => !alone.has(title))) await holds(shared, ...example)
  })
  test.each(changing.filter(([title]) => alone.has(title)))('%s', async (...example) =>
    holds(await exampleRouter(), ...example),
  )
})
