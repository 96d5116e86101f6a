// A backtest: a draft, and beside it the live version, held against stored events; what is counted and shown. Pure.
import type { BacktestDayCount, BacktestSample, BacktestTypeCount, Filter } from '../contract/types.ts'
import { Sheet, verdictOn } from './explain.ts'
import { listensTo, LogFilter, readableView, type Logged } from './log-filter.ts'
import { Matcher } from './matcher.ts'
import { compilePattern, type CompiledPattern } from './pattern.ts'

const maxTypes = 100
const otherTypes = 'other types'
const dayMs = 86_400_000
/** Events that do not match of which the nearest are looked for: each is parsed and explained. */
const maxMisses = 200

interface Miss {
  sample: BacktestSample
  distance: number
}

function sampleOf({ id, type, subject, received_at }: LoggedLine): BacktestSample {
  return { event_id: id, type, subject, received_at }
}

/** What a filter is held against, without its body. */
export type LoggedLine = Pick<Logged, 'id' | 'source_id' | 'type' | 'subject' | 'timestamp'> & {
  received_at: number
}

export interface BacktestSide {
  source_id: string | null
  filter: Filter
  /** false: it matches nothing */
  enabled: boolean
}

export interface BacktestJob {
  draft: BacktestSide
  live: BacktestSide | null
  /** samples of each kind */
  samples: number
}

export interface BacktestCounts {
  scanned: number
  matched: number
  added: number
  removed: number
  by_type: BacktestTypeCount[]
  by_day: BacktestDayCount[]
  samples: Record<'matched' | 'unmatched' | 'added' | 'removed', BacktestSample[]>
}

const lineFields = new Set(['id', 'source_id', 'type', 'subject', 'timestamp'])

/** The part of a pattern that a line of the log can refute without its body; undefined where it can refute nothing. */
function lineFilter(
  sides: readonly { source_id: string | null; pattern: CompiledPattern }[],
): Matcher<true> | undefined {
  const entries = sides.map(({ source_id, pattern }, index) => {
    const branches = pattern.branches.map(({ fields }) => ({
      fields: fields.filter(field => lineFields.has(field.path)),
    }))
    return [String(index), { source_id, pattern: { branches }, target: true as const }] as const
  })
  const refutes = entries.every(
    ([, { source_id, pattern }]) =>
      source_id !== null || pattern.branches.every(({ fields }) => fields.length > 0),
  )
  return refutes ? new Matcher(entries) : undefined
}

type Side = 'draft' | 'live'

export class Backtest {
  readonly #job: BacktestJob
  readonly #draft: CompiledPattern
  readonly #patterns: readonly CompiledPattern[]
  readonly #filter: LogFilter<Side>
  readonly #lines: Matcher<true> | undefined
  readonly #types = new Map<string, BacktestTypeCount>()
  readonly #days = new Map<number, BacktestDayCount>()
  readonly #samples: Record<'matched' | 'added' | 'removed', BacktestSample[]> = {
    matched: [],
    added: [],
    removed: [],
  }
  readonly #misses: Miss[] = []
  #missesSeen = 0
  readonly #missesWanted: number
  #scanned = 0
  #matched = 0
  #added = 0
  #removed = 0

  /** The filters have been checked when they were written. */
  constructor(job: BacktestJob) {
    this.#job = job
    this.#missesWanted = job.samples === 0 ? 0 : maxMisses
    this.#draft = compilePattern(job.draft.filter)
    const { draft, live } = job
    const sides = [
      ...(draft.enabled
        ? [{ source_id: draft.source_id, pattern: this.#draft, target: 'draft' as Side }]
        : []),
      ...(live?.enabled === true
        ? [{ source_id: live.source_id, pattern: compilePattern(live.filter), target: 'live' as Side }]
        : []),
    ]
    this.#filter = new LogFilter(sides)
    this.#lines = lineFilter(sides)
    this.#patterns = [this.#draft, ...sides.map(({ pattern }) => pattern)]
  }

  /** Whether any filter asks for what old events have in their bodies only. */
  get asksForOrigin(): boolean {
    return this.#patterns.some(({ branches }) =>
      branches.some(({ fields }) => fields.some(({ path }) => path === 'actor' || path === 'thread')),
    )
  }

  get scanned(): number {
    return this.#scanned
  }

  get matched(): number {
    return this.#matched
  }

  /** Whether an event is one of those that are looked at. */
  concerns(source_id: string): boolean {
    const { draft, live } = this.#job
    return listensTo(draft.source_id, source_id) || (live !== null && listensTo(live.source_id, source_id))
  }

  /** Whether its line leaves the verdict open, so that its body is needed; also for samples, which say why. */
  needsBody({ received_at: _, ...line }: LoggedLine): boolean {
    if (this.#missesSeen < this.#missesWanted || this.#lines === undefined) return true
    return this.#lines.match({ ...line, actor: null, thread: null, headers: {}, payload: null }).length > 0
  }

  /** Counts an event; null where its line refutes it. */
  take(line: LoggedLine, event: Logged | null): void {
    const sides = event === null ? [] : this.#filter.match(event)
    const matched = sides.includes('draft')
    const live = sides.includes('live')
    this.#count(line, matched)
    if (matched) this.#sample('matched', line, event)
    else this.#sampleMiss(line, event)
    if (this.#job.live === null || matched === live) return
    if (matched) this.#added++
    else this.#removed++
    this.#sample(matched ? 'added' : 'removed', line, event)
  }

  #count({ type, received_at }: LoggedLine, matched: boolean): void {
    this.#scanned++
    if (matched) this.#matched++
    const key = this.#types.has(type) || this.#types.size < maxTypes ? type : otherTypes
    const ofType = this.#types.get(key) ?? { type: key, scanned: 0, matched: 0 }
    this.#types.set(key, ofType)
    const day = Math.floor(received_at / dayMs)
    const ofDay = this.#days.get(day) ?? {
      day: new Date(day * dayMs).toISOString().slice(0, 10),
      scanned: 0,
      matched: 0,
    }
    this.#days.set(day, ofDay)
    for (const count of [ofType, ofDay]) {
      count.scanned++
      if (matched) count.matched++
    }
  }

  #sample(kind: 'matched' | 'added' | 'removed', line: LoggedLine, event: Logged | null): void {
    const list = this.#samples[kind]
    if (list.length >= this.#job.samples) return
    list.push(kind === 'removed' && event !== null ? this.#missed(line, event).sample : sampleOf(line))
  }

  /** Of the newest events that do not match, those that come nearest are shown. */
  #sampleMiss(line: LoggedLine, event: Logged | null): void {
    if (event === null || this.#missesSeen >= this.#missesWanted) return
    this.#missesSeen++
    this.#misses.push(this.#missed(line, event))
    this.#misses.sort((a, b) => a.distance - b.distance)
    this.#misses.splice(this.#job.samples)
  }

  #missed(line: LoggedLine, event: Logged): Miss {
    const sheet = new Sheet(readableView(event), [this.#draft])
    const { failing, distance } = verdictOn(this.#draft, sheet)
    const hint = sheet.firstHint(failing)
    const all = [...this.#otherSource(event), ...failing]
    return {
      sample: { ...sampleOf(line), failing: all, ...(hint === undefined ? {} : { hint }) },
      distance: distance + all.length - failing.length,
    }
  }

  /** The path of the source, where the draft listens to another. */
  #otherSource({ source_id }: Logged): string[] {
    const { draft } = this.#job
    return draft.source_id === null || draft.source_id === source_id ? [] : ['source_id']
  }

  counts(): BacktestCounts {
    return {
      scanned: this.#scanned,
      matched: this.#matched,
      added: this.#added,
      removed: this.#removed,
      by_type: [...this.#types.values()],
      by_day: [...this.#days.values()],
      samples: { ...this.#samples, unmatched: this.#misses.map(miss => miss.sample) },
    }
  }
}
