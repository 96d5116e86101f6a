// Backtests of one pass: reads the log, newest first, on a connection of its own, and counts for each.
import { fromThread } from '../exact-json.ts'
import { Backtest, type BacktestCounts, type BacktestJob } from '../routing/backtest.ts'
import { LogReader, type LogBody, type LogLine } from '../store/sqlite/engine/log-reader.ts'

export interface BacktestStart {
  stateDir: string
  jobs: BacktestJob[]
  since: number
  until: number
  /** events that each looks at, at the most */
  limit: number
  /** not 0: stop */
  stop: Int32Array<SharedArrayBuffer>
}

export interface BacktestProgress {
  scanned: number
  matched: number
  /** events in the range, an upper bound */
  total: number
}

/** What was counted; more: there are events that it did not come to. */
export type BacktestOutcome = BacktestCounts & { more: boolean; stopped: boolean }

export type BacktestMessage =
  | { kind: 'progress'; progress: BacktestProgress }
  | { kind: 'done'; outcomes: BacktestOutcome[] }

/** Lines of a page; a page of whole events is smaller, since it holds their bodies. */
const linePage = 500
const wholePage = 32
const wholePageBytes = 4 * 1_048_576
const progressMs = 200

/** How long a stretch of work is before it is looked at: shorter ones are not measured well. */
const stretchMs = 5
const longestRestMs = 100
/** Of a stretch, how much the thread must have had a processor for to count as undisturbed. */
const undisturbed = 0.65

/**
 * Steps back where others want the processor: after a stretch that took longer than the thread worked in it, it rests
 * as long again. On two processors, with accepts at full load, their p99 is then 1.1 to 1.5 times that without a
 * backtest, and 1.5 to 2.0 times where it does not rest; on a machine that has nothing else to do, a share of 0.8 halves
 * the speed of a backtest, 0.65 takes a tenth of it, because nothing is ever quite undisturbed.
 */
function resting(stop: Int32Array<SharedArrayBuffer>): () => void {
  let begun = performance.now()
  let cpu = process.threadCpuUsage()
  return () => {
    const took = performance.now() - begun
    if (took < stretchMs) return
    const { user, system } = process.threadCpuUsage(cpu)
    if ((user + system) / 1000 < took * undisturbed) Atomics.wait(stop, 0, 0, Math.min(took, longestRestMs))
    begun = performance.now()
    cpu = process.threadCpuUsage()
  }
}

/** body: null where its line refutes it, undefined where it has been deleted since its line was read. */
type Read = { line: LogLine; body: LogBody | null | undefined }

/** A page of the log: with all bodies where the last page needed most of them, else with those that are needed. */
function* page(
  reader: LogReader,
  needed: (line: LogLine) => boolean,
  before: number,
  from: number,
  whole: boolean,
): Generator<Read> {
  if (whole) {
    yield* reader.whole(before, from, wholePage, wholePageBytes)
    return
  }
  for (const line of reader.lines(before, from, linePage))
    yield { line, body: needed(line) ? (reader.body(line.seq) ?? undefined) : null }
}

/** Tells how far it is, and at the end what it has counted. */
export function run(
  { stateDir, jobs, since, until, limit, stop }: BacktestStart,
  tell: (message: BacktestMessage) => void,
): void {
  const all = fromThread(jobs).map(job => new Backtest(job))
  const reader = new LogReader(
    stateDir,
    all.some(each => each.asksForOrigin),
  )
  const { from, to } = reader.range(since, until)
  const total = Math.max(0, to - from)
  /** those that still look at events */
  let open = limit > 0 ? all : []
  let before = to
  let whole = false
  let told = -Infinity
  const rest = resting(stop)
  const done = (stopped: boolean): void => {
    reader.close()
    tell({
      kind: 'done',
      outcomes: all.map(each => ({ ...each.counts(), more: stopped || !open.includes(each), stopped })),
    })
  }
  const needed = (line: LogLine): boolean =>
    open.some(each => each.concerns(line.source_id) && each.needsBody(line))
  for (;;) {
    if (performance.now() - told > progressMs) {
      told = performance.now()
      const furthest = all.reduce((best, each) => (each.scanned > best.scanned ? each : best))
      tell({ kind: 'progress', progress: { scanned: furthest.scanned, matched: furthest.matched, total } })
    }
    let seen = 0
    let wanted = 0
    for (const { line, body } of page(reader, needed, before, from, whole)) {
      seen++
      before = line.seq
      const full = open.filter(each => each.scanned === limit && each.concerns(line.source_id))
      if (full.length > 0) open = open.filter(each => !full.includes(each))
      if (open.length === 0) return done(false)
      if (body === undefined || !open.some(each => each.concerns(line.source_id))) continue
      if (Atomics.load(stop, 0) !== 0) return done(true)
      const own = body !== null && (!whole || needed(line)) ? { ...line, ...body } : null
      if (own !== null) wanted++
      for (const each of open) if (each.concerns(line.source_id)) each.take(line, own)
    }
    whole = wanted * 2 > seen
    if (seen === 0) return done(false)
    rest()
  }
}
