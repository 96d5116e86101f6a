// Matching: from the bytes of an event to the triggers that it matches, on one thread, beside JSON.parse of the same
// bytes in the same run. Medians of five rounds in which both take turns.
import { Matcher } from '../../src/routing/matcher.ts'
import type { Attributes, MatchTrigger } from '../../src/routing/match-event.ts'
import { compilePattern } from '../../src/routing/pattern.ts'
import { Forge } from './forge-events.ts'
import { benchHostile } from './match-hostile.ts'
import { median, table } from './measure.ts'

interface Sample {
  attributes: Attributes
  body: Buffer
}

type Filter = Record<string, unknown>

const rounds = 5

function samples(count: number): Sample[] {
  const forge = new Forge(1)
  return Array.from({ length: count }, () => {
    const { type, payload } = forge.event()
    const { full_name } = payload.repository as { full_name: string }
    const attributes = {
      id: 'e',
      source_id: 'forge',
      type,
      subject: full_name,
      actor: null,
      thread: null,
      timestamp: 1_790_000_000_000,
      headers: { 'x-forgejo-event': type },
    }
    return { attributes, body: Buffer.from(JSON.stringify(payload, null, 2)) }
  })
}

export function triggers(filters: readonly Filter[]): [string, MatchTrigger<number>][] {
  return filters.map((filter, target) => [
    String(target),
    { source_id: null, pattern: compilePattern(filter), target },
  ])
}

function microseconds(events: readonly Sample[], work: (sample: Sample) => void): number {
  const begun = performance.now()
  for (const sample of events) work(sample)
  return ((performance.now() - begun) * 1000) / events.length
}

interface Figures {
  parse_us: number
  match_us: number
  matches: number
  most: number
  worst_us: number
}

/** Both take turns; one round before them warms up. */
function measured(matcher: Matcher<number>, events: readonly Sample[]): Figures {
  const parse: number[] = []
  const match: number[] = []
  let matches = 0
  let most = 0
  for (let round = -1; round < rounds; round++) {
    const parsed = microseconds(events, ({ body }) => void JSON.parse(body.toString('utf8')))
    matches = 0
    const matched = microseconds(events, ({ attributes, body }) => {
      const { length } = matcher.matchJson(attributes, body)!
      matches += length
      most = Math.max(most, length)
    })
    if (round >= 0) {
      parse.push(parsed)
      match.push(matched)
    }
  }
  const worst = events
    .slice(0, 500)
    .map(sample =>
      Math.min(
        ...Array.from({ length: 3 }, () =>
          microseconds([sample], ({ attributes, body }) => matcher.matchJson(attributes, body)),
        ),
      ),
    )
  return {
    parse_us: median(parse),
    match_us: median(match),
    matches: matches / events.length,
    most,
    worst_us: Math.max(...worst),
  }
}

function heapMiB(): number {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed / 1_048_576 + process.memoryUsage().arrayBuffers / 1_048_576
}

/** From filters to the first answer: what waits to be built is built with it. */
function build(
  filters: readonly Filter[],
  { attributes, body }: Sample,
): { matcher: Matcher<number>; ms: number; mib: number } {
  const before = heapMiB()
  const begun = performance.now()
  const matcher = new Matcher(triggers(filters))
  matcher.matchJson(attributes, body)
  const ms = performance.now() - begun
  return { matcher, ms, mib: heapMiB() - before }
}

function row(
  name: string,
  filters: readonly Filter[],
  events: readonly Sample[],
  figures: Map<string, Figures>,
): string[] {
  const { matcher, ms, mib } = build(filters, events[0]!)
  const found = measured(matcher, events)
  figures.set(name, found)
  const { parse_us, match_us, matches, most, worst_us } = found
  return [
    name,
    `${(parse_us / match_us).toFixed(2)} x`,
    match_us.toFixed(1),
    String(Math.round(1e6 / match_us)),
    `${matches.toFixed(2)} (${most})`,
    worst_us.toFixed(0),
    ms.toFixed(0),
    globalThis.gc === undefined ? '-' : mib.toFixed(0),
  ]
}

const head = ['triggers', 'to JSON.parse', 'us', 'events/s', 'matches (most)', 'worst us', 'built ms', 'MiB']

function numericOnly(count: number): Filter[] {
  const forge = new Forge(5)
  return Array.from({ length: count }, () => {
    const from = forge.below(100_000)
    return {
      payload: {
        repository: {
          size: [{ numeric: ['>=', from, '<', from + 200] }],
          stars_count: [{ numeric: ['>', forge.below(1000)] }],
        },
      },
    }
  })
}

function leadingStars(count: number): Filter[] {
  const forge = new Forge(6)
  return Array.from({ length: count }, (_, index) => {
    const wildcard =
      index % 2 === 0
        ? `*/${forge.pick(['api', 'web', 'mail'])}-${forge.below(100_000)}*`
        : `*-${forge.below(1000)}*${forge.below(10)}`
    return { payload: { repository: { full_name: [{ wildcard }] } } }
  })
}

/** Each in its own words, or all in the same. */
function allMatch(count: number, own: boolean): Filter[] {
  const same = {
    payload: {
      repository: { full_name: [{ prefix: 'org-' }], size: [{ numeric: ['>=', 0] }] },
      sender: { login: [{ 'anything-but': 'nobody' }] },
    },
  }
  if (!own) return Array.from({ length: count }, () => same)
  return Array.from({ length: count }, (_, index) => ({
    payload: {
      repository: { full_name: [{ prefix: 'org-' }], size: [{ numeric: ['>=', -1 - index] }] },
      sender: { login: [{ 'anything-but': `nobody-${index}` }] },
    },
  }))
}

/** One trigger among many, changed and matched at once: what the caller of trigger.put waits for. */
function change(
  filters: readonly Filter[],
  events: readonly Sample[],
): { median_ms: number; worst_ms: number } {
  const [sample] = events
  const { matcher } = build(filters, sample!)
  const times = Array.from({ length: 400 }, (_, index) => {
    const [id] = [String((index * 7919) % filters.length)]
    const filter = new Forge(1000 + index).mixed(index)
    const begun = performance.now()
    matcher.put(id, { source_id: null, pattern: compilePattern(filter), target: index })
    matcher.matchJson(sample!.attributes, sample!.body)
    return performance.now() - begun
  })
  return { median_ms: median(times), worst_ms: Math.max(...times) }
}

export async function benchMatch(): Promise<void> {
  const events = samples(2000)
  const figures = new Map<string, Figures>()
  const bytes = events.reduce((sum, { body }) => sum + body.length, 0) / events.length
  const rows: string[][] = []
  const set = (kind: 'simple' | 'mixed', count: number): Filter[] => {
    const forge = new Forge(kind === 'simple' ? 2 : 3)
    return Array.from({ length: count }, (_, index) => forge[kind](index))
  }
  for (const kind of ['simple', 'mixed'] as const)
    for (const count of [1, 100, 1000, 10_000, 100_000])
      rows.push(row(`${kind} ${count}`, set(kind, count), events, figures))
  rows.push(row('1000 with ranges only', numericOnly(1000), events, figures))
  for (const count of [200, 1000])
    rows.push(row(`${count} with leading stars`, leadingStars(count), events, figures))
  rows.push(row('1000 that all match', allMatch(1000, false), events, figures))
  rows.push(row('1000 in own words', allMatch(1000, true), events, figures))
  const floor = median([...figures.values()].map(each => each.parse_us))
  table(
    `Match, ${events.length} events of ${(bytes / 1024).toFixed(1)} KB (JSON.parse alone: ${floor.toFixed(1)} us, ${Math.round(1e6 / floor)}/s)`,
    head,
    rows,
  )
  const fall = 1 - figures.get('simple 100')!.match_us / figures.get('simple 100000')!.match_us
  const { median_ms, worst_ms } = change(set('mixed', 100_000), events)
  console.log(`fall from simple 100 to 100000: ${(fall * 100).toFixed(0)} %`)
  console.log(
    `change of one trigger among 100000 mixed, with the next match: ${median_ms.toFixed(2)} ms, worst of 400 ${worst_ms.toFixed(1)} ms`,
  )
  benchHostile()
}
