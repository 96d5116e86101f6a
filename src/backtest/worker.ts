// The thread of one backtest: reads the log, newest first, on a connection of its own, and counts.
import { readlinkSync } from 'node:fs'
import { constants, setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { Backtest, type BacktestCounts, type BacktestJob } from '../routing/backtest.ts'
import { LogReader, type LogBody, type LogLine } from '../store/sqlite/log-reader.ts'

export interface BacktestStart {
  stateDir: string
  job: BacktestJob
  since: number
  until: number
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

export type BacktestMessage = { kind: 'progress'; progress: BacktestProgress } | { kind: 'done'; counts: BacktestCounts; more: boolean; stopped: boolean }

/** Lines of a page; a page of whole events is smaller, since it holds their bodies. */
const linePage = 2000
const wholePage = 250
const progressMs = 200

/** Intake and delivery go first: the kernel counts this thread as a process of its own. */
function yieldToOthers(): void {
  try {
    setPriority(Number(readlinkSync('/proc/thread-self').split('/').pop()), constants.priority.PRIORITY_LOW)
  } catch {
    // Only Linux has threads by number; elsewhere they share as they are.
  }
}

type Read = { line: LogLine; body: LogBody | null }

/** A page of the log: with all bodies where the last page needed most of them, else with those that are needed. */
function* page(reader: LogReader, backtest: Backtest, before: number, from: number, whole: boolean): Generator<Read> {
  if (whole) {
    yield* reader.whole(before, from, wholePage)
    return
  }
  for (const line of reader.lines(before, from, linePage)) {
    yield { line, body: backtest.concerns(line.source_id) && backtest.needsBody(line) ? reader.body(line.seq) : null }
  }
}

function run({ stateDir, job, since, until, limit, stop }: BacktestStart, tell: (message: BacktestMessage) => void): void {
  const reader = new LogReader(stateDir)
  const backtest = new Backtest(job)
  const { from, to } = reader.range(since, until)
  const total = Math.max(0, to - from)
  let before = to
  let whole = false
  let told = -Infinity
  const done = (more: boolean): void => tell({ kind: 'done', counts: backtest.counts(), more, stopped: Atomics.load(stop, 0) !== 0 })
  for (;;) {
    if (performance.now() - told > progressMs) {
      told = performance.now()
      tell({ kind: 'progress', progress: { scanned: backtest.scanned, matched: backtest.matched, total } })
    }
    let seen = 0
    let needed = 0
    for (const { line, body } of page(reader, backtest, before, from, whole)) {
      seen++
      before = line.seq
      if (!backtest.concerns(line.source_id)) continue
      if (backtest.scanned === limit) return done(true)
      const wanted = body !== null && (!whole || backtest.needsBody(line))
      if (wanted) needed++
      backtest.take(line, wanted ? { ...line, ...body } : null)
    }
    whole = needed * 2 > seen
    if (seen === 0 || Atomics.load(stop, 0) !== 0) return done(seen > 0)
  }
}

yieldToOthers()
run(workerData as BacktestStart, message => parentPort!.postMessage(message))
