// Counts and sums that the store answers.
import type { RunState } from '../contract/types.ts'

export interface QueueCount {
  queue: string
  waiting: number
  active: number
}

/** Runs that were created (state null) or ended, since this was told last. */
export interface RunCount {
  /** a bot, or a need */
  bot_id: string
  state: RunState | null
  count: number
}

/** Times of runs, in milliseconds. */
export interface RunTimes {
  average_ms: number
  p95_ms: number
}

/** Runs of one queue, bot or trigger; id '': those that none is chosen for. */
export interface RunCounts {
  id: string
  waiting: number
  active: number
  dead: number
  done: number
  failed: number
  /** ended runs that reported no usage */
  unreported: number
  oldest_waiting_at?: number
  /** from made to begun */
  start?: RunTimes
  /** from made to ended */
  finish?: RunTimes
}

export interface RunStats {
  /** ended runs that were counted */
  runs: number
  /** runs that await approval now */
  awaiting_approval: number
  /** of the ended ones: how many reported no usage */
  unreported: number
  /** events that were logged since then, of sources that have any */
  events: { source_id: string; count: number }[]
  queues: RunCounts[]
  bots: RunCounts[]
  triggers: RunCounts[]
}

/** The run in front of an order that does not move. */
export interface StuckOrder {
  order_key: string
  run_id: string
  state: RunState
  waiting: number
  since: number
  error: string | null
}
