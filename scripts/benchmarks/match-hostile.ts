// Hostile sets of triggers, as many as the limits let through (src/routing/burden.ts), with hostile events: what an
// event costs at worst.
import { Matcher, type Attributes } from '../../src/routing/matcher.ts'
import { compilePattern } from '../../src/routing/pattern.ts'
import { chance } from './forge-events.ts'
import { ms, table } from './measure.ts'

type Filter = Record<string, unknown>

const attributes: Attributes = { id: 'e', source_id: 'forge', type: 'push', subject: null, actor: null, thread: null, timestamp: 0, headers: {} }
const most = 100_000

interface Hostile {
  name: string
  filter: (index: number) => Filter
  payloads: unknown[]
}

function hostiles(): Hostile[] {
  const next = chance(9)
  const word = (length: number, letters: string): string => Array.from({ length }, () => letters[Math.floor(next() * letters.length)]).join('')
  const stars = (count: number, letters: string): string => Array.from({ length: count }, () => word(1, letters)).join('*')
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
      filter: index => ({ ref: [{ wildcard: `*${word(1 + (index % 6), 'ab')}*${word(1 + (index % 4), 'ab')}*` }] }),
      payloads: [{ ref: word(40, 'ab') }, { ref: word(9000, 'ab') }, { ref: 'a'.repeat(9000) }],
    },
    {
      name: 'wildcards whose texts end in one another',
      filter: index => ({ ref: [{ wildcard: `*${'a'.repeat(1 + (index % 500))}*b` }] }),
      payloads: [{ ref: 'a'.repeat(9000) }],
    },
    {
      name: 'two wildcards each',
      filter: index => ({ ref: [{ wildcard: `*${word(3, 'abc')}*` }], title: [{ wildcard: `*${word(4, 'abc')}${index % 50}*` }] }),
      payloads: [{ ref: word(4500, 'abc'), title: word(4500, 'abc') }],
    },
    {
      name: 'five ranges each, the last fails',
      filter: index => ({ a: range(index), b: range(index), c: range(index), d: range(index), e: never(index) }),
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
      filter: index => Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`f${at}`, [{ 'anything-but': at === 99 ? 0 : index + 1 }]])),
      payloads: [Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`f${at}`, 0]))],
    },
    {
      name: 'one value repeated',
      filter: index => ({ a: [{ 'anything-but': ['v', `w${index}`] }], b: [7] }),
      payloads: [{ a: Array.from({ length: 2000 }, () => 'v'), b: 7 }],
    },
  ]
}

function worst(matcher: Matcher<number>, payload: unknown): { took: number; matches: number } {
  const body = Buffer.from(JSON.stringify(payload))
  let took = Infinity
  let matches = 0
  for (let round = 0; round < 7; round++) {
    const begun = performance.now()
    matches = matcher.matchJson(attributes, body)!.length
    took = Math.min(took, performance.now() - begun)
  }
  return { took, matches }
}

export function benchHostile(): void {
  const rows = hostiles().map(({ name, filter, payloads }) => {
    const matcher = new Matcher<number>()
    let taken = 0
    while (taken < most) {
      const pattern = compilePattern({ payload: filter(taken) })
      if (matcher.exceeded({ source_id: null, pattern }) !== undefined) break
      matcher.put(String(taken), { source_id: null, pattern, target: taken++ })
    }
    const found = payloads.map(payload => worst(matcher, payload))
    const slowest = found.reduce((a, b) => (a.took > b.took ? a : b))
    return [name, taken === most ? `${most} (all)` : `${taken} (then refused)`, ms(slowest.took), String(slowest.matches)]
  })
  table('Match, hostile triggers and events of up to 9 KB', ['triggers', 'taken', 'worst ms', 'matches'], rows)
}
