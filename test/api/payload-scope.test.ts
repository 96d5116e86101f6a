// Without the scope payload nothing of what events and bots said is shown, by any method.
import { describe, expect, test } from 'vitest'
import { contractDocument } from '../../src/contract/document.ts'
import type { Methods } from '../../src/contract/types.ts'
import { compileContract } from '../../src/contract/validators.ts'
import { callWith, listening } from '../support/admin.ts'
import { ended } from '../support/router.ts'

const canary = 'CANARY-7431'

/** Every method that reads, with params that lead to an event and to a run with the canary. */
const readers = (event_id: string, run_id: string): [keyof Methods, object][] => [
  ['event.get', { event_id }],
  ['event.get', { event_id, raw: true }],
  ['event.query', {}],
  ['event.refused', {}],
  ['event.explain', { event_id }],
  ['source.get', { source_id: 's' }],
  ['source.list', {}],
  ['trigger.get', { trigger_id: 't' }],
  ['trigger.list', {}],
  ['trigger.versions', { trigger_id: 't' }],
  ['trigger.test', { trigger_id: 't', event_id }],
  ['trigger.backtest', { trigger_id: 't' }],
  ['bot.get', { bot_id: 'b' }],
  ['bot.list', {}],
  ['queue.get', { queue_id: 'q' }],
  ['queue.list', {}],
  ['run.get', { run_id }],
  ['run.list', {}],
  ['run.history', { run_id }],
  ['run.output', { run_id }],
  ['run.preview', { run_id }],
  ['run.request', { run_id }],
  ['router.status', {}],
  ['router.stats', {}],
  ['router.export', {}],
]

async function toldWith(
  scopes: ('read' | 'test' | 'payload')[],
): Promise<Map<string, { text: string; error: number | undefined; left_out: boolean }>> {
  const router = await listening()
  const { call, admin } = router
  // Its argv is a definition, which may be read: the canary is not in it.
  const argv = [
    '/bin/sh',
    '-c',
    'cat > /dev/null; said=CANARY-$((7400 + 31)); echo "{\\"said\\": \\"$said\\"}"; echo $said >&2; exit 3',
  ]
  await call('bot.put', { bot: { id: 'b', endpoint: { kind: 'command', argv } } })
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  await call('queue.put', { queue: { id: 'q' } })
  const inputs = { text: '{{ payload.text }}' }
  await call('trigger.put', {
    trigger: {
      id: 't',
      filter: { payload: { text: [{ exists: true }] } },
      action: { bot_id: 'b', inputs },
      policy: { retry: 'none', queue: 'q' },
    },
  })
  const { event_id, runs } = await call('event.emit', {
    source_id: 's',
    type: 'x',
    payload: { text: canary },
  })
  await ended(router, runs[0]!)
  const { token } = await call('token.create', { name: 'x', scopes })
  const told = new Map<string, { text: string; error: number | undefined; left_out: boolean }>()
  for (const [method, params] of readers(event_id, runs[0]!)) {
    const { result, error } = await callWith(admin, token, method, params)
    const text = JSON.stringify(result ?? {})
    told.set(`${method} ${'raw' in params}`, {
      text,
      error: error?.code,
      left_out: text.includes('payload_left_out'),
    })
    if (result !== undefined)
      expect([method, compileContract().get(method)!.validateResult(result)]).toMatchObject([
        method,
        { ok: true },
      ])
  }
  return told
}

describe('what events and bots said', () => {
  test('is left out, and the answer says so, or the call is forbidden', async () => {
    const told = await toldWith(['read', 'test'])
    expect(
      [...told].filter(
        ([, { text }]) => text.includes(canary) || text.includes(Buffer.from(canary).toString('base64')),
      ),
    ).toEqual([])
    const of = (
      method: string,
      is: (each: { error: number | undefined; left_out: boolean }) => boolean,
    ): boolean => is(told.get(`${method} false`)!)
    for (const method of ['event.get', 'event.explain', 'trigger.test', 'run.get', 'run.list', 'run.history'])
      expect([method, of(method, each => each.left_out)]).toEqual([method, true])
    for (const method of ['run.output', 'run.preview', 'run.request'])
      expect([method, of(method, each => each.error === -32015)]).toEqual([method, true])
  })

  test('control: with the scope it is there', async () => {
    const told = await toldWith(['read', 'test', 'payload'])
    const shows = [...told]
      .filter(([, { text }]) => text.includes(canary))
      .map(([method]) => method.replace(/ .*/, ''))
    expect(new Set(shows)).toEqual(
      new Set([
        'event.get',
        'event.explain',
        'trigger.test',
        'trigger.backtest',
        'run.get',
        'run.list',
        'run.history',
        'run.output',
        'run.preview',
        'run.request',
      ]),
    )
    expect([...told].filter(([, { left_out }]) => left_out)).toEqual([])
  })
})

/** The schemas below a schema, with where they are. */
function* below(schema: unknown, path: string): Generator<[string, Record<string, unknown>]> {
  if (typeof schema !== 'object' || schema === null) return
  yield [path, schema as Record<string, unknown>]
  for (const [name, part] of Object.entries(schema)) yield* below(part, `${path}.${name}`)
}

test('what may be left out of is able to say so', () => {
  const document = contractDocument()
  const silent: string[] = []
  for (const [path, { properties }] of below(
    { schemas: document.components.schemas, methods: document.methods },
    '',
  )) {
    const members = Object.entries((properties ?? {}) as Record<string, Record<string, unknown>>)
    if (
      members.some(([, member]) => member['x-payload'] === true) &&
      !members.some(([name]) => name === 'payload_left_out')
    )
      silent.push(path)
  }
  expect(silent).toEqual([])
})
