// What a hostile event of up to 10 KB costs with hostile triggers: at most so many times the parsing of JSON, measured in
// the same test. JSON.parse takes 30 us for 10 KB.
import { expect, test } from 'vitest'
import { hostileMatcher } from '../../scripts/benchmarks/match-hostile.ts'
import { hostileLists, hostileObjects, hostiles } from '../../scripts/benchmarks/hostile-sets.ts'
import { Sheet, verdictOn } from '../../src/routing/explain.ts'
import type { Attributes } from '../../src/routing/match-event.ts'
import { compilePattern } from '../../src/routing/pattern.ts'

const attributes: Attributes = {
  id: 'e',
  source_id: 'forge',
  type: 'push',
  subject: null,
  actor: null,
  thread: null,
  timestamp: 0,
  headers: {},
}
const triggers = 1000
const most = 300

const plain = JSON.stringify(
  Array.from({ length: 100 }, (_, id) => ({
    id,
    name: `some name ${id}`,
    tags: ['a', 'b', 'c'],
    deep: { url: 'https://example.com/' },
  })),
)

/** The best of many rounds: the first ones are not compiled yet. */
function best(rounds: number, work: () => void): number {
  let least = Infinity
  for (let round = 0; round < rounds; round++) {
    const begun = performance.now()
    work()
    least = Math.min(least, performance.now() - begun)
  }
  return least
}

/** How many times the parsing of 10 KB some work takes. */
function timesParsing(work: () => void, rounds = 30): number {
  const parse = (): number => best(200, () => void JSON.parse(plain)) * (10_000 / plain.length)
  const before = parse()
  const took = best(rounds, work)
  return took / Math.max(before, parse())
}

// Wildcards are tried on each text, and these fit in part; see "hostile" in scripts/bench match.
const sets = [...hostiles(), ...hostileLists(), ...hostileObjects()].filter(
  ({ name }) => name !== 'wildcards over 650 texts',
)

test.each(sets)('an event costs at most 300 parsings: $name', ({ filter, payloads }) => {
  const { matcher } = hostileMatcher(filter, triggers)
  for (const payload of payloads) {
    const body = Buffer.from(JSON.stringify(payload))
    expect(body.length).toBeLessThanOrEqual(10_240)
    expect(timesParsing(() => void matcher.matchJson(attributes, body))).toBeLessThan(most)
  }
})

test('control: triggers that are asked one by one cost more', () => {
  const { filter, payloads } = hostileObjects()[0]!
  const patterns = Array.from({ length: triggers }, (_, index) => compilePattern({ payload: filter(index) }))
  const work = (): void => {
    for (const pattern of patterns)
      verdictOn(pattern, new Sheet({ ...attributes, payload: payloads[0] }, [pattern]))
  }
  expect(timesParsing(work, 1)).toBeGreaterThan(most)
})

test('an event of 614 KB costs at most twice its share', () => {
  const { filter } = hostileObjects()[0]!
  const { matcher } = hostileMatcher(filter, triggers)
  const body = Buffer.from(
    JSON.stringify({ commits: Array.from({ length: 20_000 }, (_, id) => ({ author: 1, id, bot: 0 })) }),
  )
  expect(timesParsing(() => void matcher.matchJson(attributes, body))).toBeLessThan(
    (2 * most * body.length) / 10_240,
  )
})
