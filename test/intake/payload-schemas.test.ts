// What checking payloads may cost: refused when it is written, bounded where it was stored before.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Source } from '../../src/contract/types.ts'
import { payloadRefusal, schemaRefusal, schemaWarnings } from '../../src/definitions/payload-schemas.ts'
import { payloadSize, schemaCost } from '../../src/definitions/schema-cost.ts'
import { compiled } from '../../src/definitions/schema-compile.ts'

const again = { $ref: '#/definitions/n' }
const recursive = (n: object): object => ({ definitions: { n }, $ref: '#/definitions/n' })
const below = { properties: { a: again } }
const doubling = (levels: number): object => ({
  definitions: Object.fromEntries(
    Array.from({ length: levels }, (_, level) => {
      const next = { $ref: `#/definitions/d${level + 1}` }
      return [`d${level}`, level + 1 === levels ? { type: 'object' } : { allOf: [next, next] }]
    }),
  ),
  $ref: '#/definitions/d0',
})
const explosive = recursive({ type: 'object', anyOf: [below, { properties: { a: again }, required: ['a'] }] })
const nested = (levels: number, core: unknown = 1): unknown =>
  levels === 0 ? core : { a: nested(levels - 1, core) }
const sourceOf = (id: string, payload_schema: object): Source =>
  ({
    id,
    source_type: 'service',
    config: { payload_schema },
    enabled: true,
    version: 1,
    created_at: 0,
    updated_at: 0,
  }) as unknown as Source

describe('a schema whose checks could take for ever is refused', () => {
  test.each([
    ['anyOf', recursive({ anyOf: [below, below] }), 'definitions.n.anyOf.0 and definitions.n.anyOf.1'],
    ['oneOf', recursive({ oneOf: [below, below] }), 'definitions.n.oneOf.0 and definitions.n.oneOf.1'],
    ['allOf', recursive({ allOf: [below, below] }), 'definitions.n.allOf.0'],
    [
      'if and then',
      recursive(Object.fromEntries(['if', 'then'].map(name => [name, below]))),
      'definitions.n.if and definitions.n.then',
    ],
    ['not, beside properties', recursive({ not: below, properties: { a: again } }), 'definitions.n.not'],
    [
      'dependencies',
      recursive({ dependencies: { x: below }, properties: { a: again } }),
      'definitions.n.dependencies.x',
    ],
    ['contains, beside items', recursive({ items: again, contains: again }), 'definitions.n.contains'],
    [
      'a $ref beside properties',
      {
        definitions: { m: below, n: { $ref: '#/definitions/m', properties: { a: again } } },
        $ref: '#/definitions/n',
      },
      '$ref',
    ],
    ['itself', { $ref: '#' }, 'a check would never end'],
    ['itself, by allOf', recursive({ allOf: [again] }), 'a check would never end'],
    ['definitions that double', doubling(20), 'with its references written out it has'],
    ['a name that is none', { $ref: '#name' }, '$ref cannot be followed'],
    [
      'another base',
      { properties: { a: { $id: 'x', properties: { b: { $ref: '#' } } } } },
      'properties.a.$id cannot be followed',
    ],
  ])('by %s', async (_name, schema, message) => {
    expect(await schemaRefusal(schema)).toContain(message)
  })

  test.each([
    ['a tree', recursive({ properties: { left: again, right: again }, additionalProperties: again })],
    ['a list that ends', recursive({ anyOf: [{ type: 'null' }, { properties: { next: again } }] })],
    [
      'any JSON',
      {
        anyOf: [
          { type: 'string' },
          { type: 'array', items: { $ref: '#' } },
          { type: 'object', additionalProperties: { $ref: '#' } },
        ],
      },
    ],
    [
      'names of the language',
      {
        properties: { constructor: { type: 'string' }, toString: { $ref: '#/definitions/valueOf' } },
        definitions: { valueOf: {} },
      },
    ],
    [
      'definitions that are used often',
      {
        definitions: { d: { type: 'string' } },
        items: Array.from({ length: 50 }, () => ({ $ref: '#/definitions/d' })),
      },
    ],
  ])('control: %s is taken', async (_name, schema) => {
    expect(await schemaRefusal(schema)).toBeUndefined()
  })
})

/** How often a check of 12 levels reads a member a. */
function readsOf(schema: object): number {
  const validate = compiled(schema)
  let reads = 0
  const watched = (levels: number): object => ({
    get a() {
      reads++
      return levels === 0 ? 1 : watched(levels - 1)
    },
  })
  validate(watched(12))
  return reads
}

/** The code of a schema reads a member up to three times for one evaluation; there are 13 values. */
const mostReads = 3 * 13

test('the weight is a bound of the work, whatever recurs', () => {
  const leaf = fc.constantFrom<object>({ type: 'object' }, { type: 'number' }, { const: 1 })
  const { schema } = fc.letrec<{ schema: object }>(tie => {
    const part = fc.oneof(fc.constant<object>({ $ref: '#' }), leaf, tie('schema'))
    return {
      schema: fc.oneof(
        { maxDepth: 3 },
        leaf,
        fc
          .tuple(fc.constantFrom('anyOf', 'oneOf', 'allOf'), fc.array(part, { minLength: 1, maxLength: 2 }))
          .map(([name, list]) => ({ [name]: list })),
        fc.tuple(part, part).map(([a, b]) => ({ properties: { a, b } })),
        part.map(items => ({ items })),
        part.map(not => ({ not })),
      ),
    }
  })
  let taken = 0
  const property = fc.property(schema, given => {
    if (!Number.isFinite(schemaCost(given).weight)) return
    taken++
    expect(readsOf(given)).toBeLessThanOrEqual(mostReads * schemaCost(given).weight)
  })
  fc.assert(property, { numRuns: 500, seed: 1 })
  expect(taken).toBeGreaterThan(50)
})

test('control: a schema that is refused reads far more', () => {
  expect(readsOf(explosive)).toBeGreaterThan(mostReads * 50)
})

describe('a schema that was stored before', () => {
  test('is warned about', () => {
    expect(schemaWarnings([sourceOf('old', explosive), sourceOf('good', { type: 'object' })])).toEqual([
      expect.stringMatching(
        /^source old has a payload_schema that would be refused now.*definitions\.n\.anyOf\.0/,
      ) as string,
    ])
  })

  test('costs a limited time, and others do not wait behind it', async () => {
    const slow = sourceOf('slow', explosive)
    const wide = sourceOf('wide', {
      properties: Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`p${n}`, { type: 'string' }])),
    })
    const answered: string[] = []
    const asked = Array.from({ length: 3 }, async () => {
      const refusal = await payloadRefusal(slow, nested(50))
      answered.push('slow')
      return refusal
    })
    const other = payloadRefusal(wide, { p7: 1 }).then(refusal => {
      answered.push('wide')
      return refusal
    })
    expect(await other).toEqual({ path: 'payload.p7', message: 'must be string' })
    expect(await asked[0]).toMatchObject({
      path: 'payload',
      message: expect.stringContaining('cannot be checked within 1000 ms') as string,
    })
    await Promise.all(asked)
    expect(answered.slice(0, 2)).toEqual(['slow', 'wide'])
    // Small payloads are checked as before.
    expect(await payloadRefusal(slow, nested(3, {}))).toBeUndefined()
    expect(await payloadRefusal(slow, { a: 1 })).toMatchObject({
      path: 'payload.a',
      message: 'must be object',
    })
  })

  test('takes so many payloads at once and no more', async () => {
    const slow = sourceOf('crowded', explosive)
    const answers = await Promise.allSettled(
      Array.from({ length: 40 }, () => payloadRefusal(slow, nested(2, {}))),
    )
    expect(answers.filter(({ status }) => status === 'fulfilled').length).toBeGreaterThanOrEqual(32)
    expect(answers.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: { fault: 'overloaded' },
    })
  })
})

test('a payload is counted up to a number', () => {
  expect(payloadSize([1, null, { a: 'x'.repeat(160) }], 1000)).toBe(15)
  expect(
    payloadSize(
      Array.from({ length: 1000 }, () => 1),
      10,
    ),
  ).toBeLessThan(13)
})
