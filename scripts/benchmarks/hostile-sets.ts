// Hostile sets of triggers with events of up to 10 KB for each: one value at each path, and arrays.

import { chance } from './forge-events.ts'

export type Filter = Record<string, unknown>

export interface Hostile {
  name: string
  filter: (index: number) => Filter
  payloads: unknown[]
}

/** Events with one value at each path. */
export function hostiles(): Hostile[] {
  const next = chance(9)
  const word = (length: number, letters: string): string =>
    Array.from({ length }, () => letters[Math.floor(next() * letters.length)]).join('')
  const stars = (count: number, letters: string): string =>
    Array.from({ length: count }, () => word(1, letters)).join('*')
  const range = (index: number): unknown[] => [{ numeric: ['>=', -index] }]
  const never = (index: number): unknown[] => [{ numeric: ['<', -1 - index] }]
  return [
    {
      name: 'wildcards of 16 stars behind one beginning',
      filter: index => ({ ref: [{ wildcard: `refs/heads/*${stars(14, 'abcdefgh')}*${index}` }] }),
      payloads: [{ ref: `refs/heads/${word(9000, 'abcdefgh')}7` }, { ref: `refs/heads/${'a'.repeat(9000)}` }],
    },
    {
      name: 'wildcards of two letters',
      filter: index => ({
        ref: [{ wildcard: `*${word(1 + (index % 6), 'ab')}*${word(1 + (index % 4), 'ab')}*` }],
      }),
      payloads: [{ ref: word(40, 'ab') }, { ref: word(9000, 'ab') }, { ref: 'a'.repeat(9000) }],
    },
    {
      name: 'wildcards whose texts end in one another',
      filter: index => ({ ref: [{ wildcard: `*${'a'.repeat(1 + (index % 500))}*b` }] }),
      payloads: [{ ref: 'a'.repeat(9000) }],
    },
    {
      name: 'two wildcards each',
      filter: index => ({
        ref: [{ wildcard: `*${word(3, 'abc')}*` }],
        title: [{ wildcard: `*${word(4, 'abc')}${index % 50}*` }],
      }),
      payloads: [{ ref: word(4500, 'abc'), title: word(4500, 'abc') }],
    },
    {
      name: 'five ranges each, the last fails',
      filter: index => ({
        a: range(index),
        b: range(index),
        c: range(index),
        d: range(index),
        e: never(index),
      }),
      payloads: [{ a: 1, b: 1, c: 1, d: 1, e: 1 }],
    },
    {
      name: 'anything-but, and all match',
      filter: index => ({ a: [{ 'anything-but': `x${index}` }], b: [{ 'anything-but': 'y' }] }),
      payloads: [{ a: 'k', b: 'l' }],
    },
    {
      name: 'a crowd behind one value',
      filter: index => ({ kind: ['push'], a: range(index), b: never(index) }),
      payloads: [{ kind: 'push', a: 1, b: 1 }],
    },
    {
      name: 'a hundred fields each, the last fails',
      filter: index =>
        Object.fromEntries(
          Array.from({ length: 100 }, (_, at) => [`f${at}`, [{ 'anything-but': at === 99 ? 0 : index + 1 }]]),
        ),
      payloads: [Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`f${at}`, 0]))],
    },
    {
      name: 'one value repeated',
      filter: index => ({ a: [{ 'anything-but': ['v', `w${index}`] }], b: [7] }),
      payloads: [{ a: Array.from({ length: 2000 }, () => 'v'), b: 7 }],
    },
  ]
}

const list = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index))

/** Arrays of plain values: every trigger asks about each of them. */
export function hostileLists(): Hostile[] {
  const { rawJSON } = JSON as unknown as { rawJSON: (text: string) => unknown }
  return [
    {
      name: 'ranges that hold, over 1,900 numbers',
      filter: index => ({ n: [{ numeric: ['>=', -index - 1] }] }),
      payloads: [{ n: list(1900, index => index) }],
    },
    {
      name: 'two ranges, the second fails for 1,900 numbers',
      filter: index => ({ a: [{ numeric: ['>=', -index] }], n: [{ numeric: ['<', -1 - index] }] }),
      payloads: [{ a: 1, n: list(1900, index => index) }],
    },
    {
      name: 'ranges over 420 numbers that no double holds',
      filter: index => ({
        n: [{ numeric: ['>=', -index - 1] }],
        m: [{ numeric: ['<', rawJSON(`90071992547409${index + 10}.5`)] }],
      }),
      payloads: [
        {
          n: list(210, index => rawJSON(`9007199254740993${index}1`)),
          m: list(210, index => rawJSON(`9007199254740993${index}1`)),
        },
      ],
    },
    {
      name: 'anything-but over 1,000 values',
      filter: index => ({
        a: [{ 'anything-but': list(100, at => (at === 0 ? 1000 + index : at)) }],
        n: [{ 'anything-but': [1, index + 2] }],
      }),
      payloads: [{ a: list(100, index => index), n: list(2000, () => 1) }],
    },
    {
      name: 'beginnings of 900 texts',
      filter: index => ({
        a: [{ 'anything-but': { prefix: [`xyz`, `x${index}`] } }],
        b: [{ numeric: ['<', -index] }],
      }),
      payloads: [{ a: list(900, index => `xyz${index}`), b: 1 }],
    },
    {
      name: 'a crowd behind one beginning of 900 texts',
      filter: index => ({ a: [{ prefix: 'xyz' }, `own ${index}`] }),
      payloads: [{ a: list(900, index => `xyz${index}`) }],
    },
    {
      name: 'crowds behind each of 1,000 values',
      filter: index => ({ a: [`v${index % 1000}`], b: [{ numeric: ['<', -index] }] }),
      payloads: [{ a: list(1000, index => `v${index}`), b: 1 }],
    },
    {
      name: 'wildcards over 650 texts',
      filter: index => ({
        a: [
          {
            wildcard:
              `*${list(8, at => (Math.floor(index / 3 ** at) % 3 === 0 ? '' : Math.floor(index / 3 ** at) % 3 === 1 ? 'abcdefgh'[at]! : `${'abcdefgh'[at]!}*`)).join('')}*`.replaceAll(
                /\*\*+/g,
                '*',
              ),
          },
        ],
      }),
      payloads: [{ a: list(650, index => `abcdefgh${index}`) }],
    },
  ]
}

/** Arrays of objects: which element holds for all fields of a trigger. */
export function hostileObjects(): Hostile[] {
  const half = (index: number): unknown[] => [{ numeric: ['>=', 0.5 + index / 1e6] }]
  const halves = list(400, at => ({ x: at % 2, y: 1 - (at % 2) }))
  return [
    {
      name: 'one element each, by its id, without a field',
      filter: index => ({ commits: { author: [1], id: [index], bot: [{ exists: false }] } }),
      payloads: [{ commits: list(310, id => ({ author: 1, id, bot: 0 })) }],
    },
    {
      name: 'two ranges that hold in different elements',
      filter: index => ({ c: { x: half(index), y: half(index) } }),
      payloads: [{ c: halves }],
    },
    {
      name: 'the same, with a field that is absent',
      filter: index => ({
        c: { a: [{ exists: false }], x: half(index), y: half(index), z: [{ exists: false }] },
      }),
      payloads: [{ c: [{ z: 1 }, ...halves] }],
    },
    {
      name: 'the same through $or',
      filter: index => ({
        c: {
          w: [{ exists: true }],
          $or: [
            { x: half(index), y: half(index) },
            { x: [index + 2], z: [1] },
          ],
        },
      }),
      payloads: [{ c: halves.map(each => ({ ...each, w: 1 })).slice(0, 290) }],
    },
    {
      name: 'arrays in arrays',
      filter: index => ({ c: { d: { x: half(index), y: half(index) }, z: [{ exists: true }] } }),
      payloads: [{ c: list(20, z => ({ z, d: halves.slice(0, 20) })) }],
    },
    {
      name: 'arrays in arrays, with a field that is absent',
      filter: index => ({
        c: { d: { x: half(index), y: half(index), z: [{ exists: false }] }, z: [{ exists: true }] },
      }),
      payloads: [{ c: list(20, z => ({ z, d: halves.slice(0, 20) })) }],
    },
    {
      name: 'several arrays',
      filter: index => ({
        c: { x: half(index), y: half(index) },
        d: { x: half(index), y: half(index), z: [{ exists: false }] },
      }),
      payloads: [{ c: halves.slice(0, 200), d: halves.slice(0, 200) }],
    },
    {
      name: 'values beside an array, by a dotted key',
      filter: index => ({ c: { x: half(index), y: half(index), z: [{ exists: false }] } }),
      payloads: [{ 'c.z': 0, 'c.x': 0, c: halves }],
    },
    {
      name: 'wildcards in elements',
      filter: index => ({
        c: { x: [{ wildcard: `*a*${index % 10}*` }], y: [{ wildcard: `*b*${index % 7}*${index % 11}*` }] },
      }),
      payloads: [{ c: list(280, at => ({ x: `a${at}`, y: `b${at}${at}` })) }],
    },
    {
      name: 'deep arrays of arrays',
      filter: index => ({ c: { x: half(index), y: half(index) } }),
      payloads: [{ c: list(12, () => [[[halves.slice(0, 28)]]]) }],
    },
  ]
}
