// Hostile sets of triggers, as many as the limits let through (src/routing/index/cost-limits.ts), with hostile events: what an
// event costs at worst.
import { Matcher } from '../../src/routing/matcher.ts'
import type { Attributes } from '../../src/routing/match-event.ts'
import { compilePattern } from '../../src/routing/pattern.ts'
import { hostileLists, hostileObjects, hostiles, type Hostile } from './hostile-sets.ts'
import { ms, table } from './measure.ts'

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
const most = 100_000

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

/** As many triggers as the limits let through. */
export function hostileMatcher(
  filter: Hostile['filter'],
  atMost = most,
): { matcher: Matcher<number>; taken: number } {
  const matcher = new Matcher<number>()
  let taken = 0
  while (taken < atMost) {
    const pattern = compilePattern({ payload: filter(taken) })
    if (matcher.exceeded({ source_id: null, pattern }) !== undefined) break
    matcher.put(String(taken), { source_id: null, pattern, target: taken++ })
  }
  return { matcher, taken }
}

export function benchHostile(): void {
  for (const [title, sets] of [
    ['events of up to 9 KB', hostiles()],
    ['lists of values, 10 KB', hostileLists()],
    ['arrays of objects, 10 KB', hostileObjects()],
  ] as const) {
    const rows = sets.map(({ name, filter, payloads }) => {
      const { matcher, taken } = hostileMatcher(filter)
      const found = payloads.map(payload => worst(matcher, payload))
      const slowest = found.reduce((a, b) => (a.took > b.took ? a : b))
      return [
        name,
        taken === most ? `${most} (all)` : `${taken} (then refused)`,
        ms(slowest.took),
        String(slowest.matches),
      ]
    })
    table(`Match, hostile triggers and ${title}`, ['triggers', 'taken', 'worst ms', 'matches'], rows)
  }
}
