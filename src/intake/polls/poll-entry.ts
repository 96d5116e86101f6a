// A source that is polled, and the outcome of a poll.
import type { Config, PollConfig, Source, WatchConfig } from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import type { Accepted, Incoming } from '../../routing/incoming.ts'
import type { Expressions } from '../../routing/expressions.ts'
import type { Store } from '../../store/store.ts'
import type { ReadingOptions } from './reading.ts'
import type { Memory } from './source-memory.ts'
import type { Later } from '../timetable.ts'

export interface Entry {
  id: string
  source_type: 'poll' | 'watch'
  config: PollConfig & WatchConfig
  memory: Memory
  abort: AbortController
  /** items that were forgotten since the last reading was noted: what was found of them before is not so any more */
  forgotten: Set<string>
}

export interface PollerOptions {
  sources: ReadonlyMap<string, Source>
  store: Pick<Store, 'unseen' | 'noteSource' | 'forgetItem' | 'emitLifecycle'>
  accept: (incoming: Incoming[]) => Promise<(Accepted | Fault)[]>
  expressions: Expressions
  reading: ReadingOptions
  config: Config
  now: () => number
  later: Later
  log: (event: string, fields: Record<string, unknown>) => void
  logBug: (error: unknown) => void
}

/** What a reading came to. */
export interface Outcome {
  memory: Memory
  /** why it failed; undefined: it did not */
  failure?: { error: string; retry_after_ms?: number }
  /** what could not be used of it, though it did not fail */
  problem?: string
  seen: string[]
  events: number
}

/** What is new could not be made events of, or not all of it. */
export class NotTaken extends Error {
  readonly events: number

  constructor(message: string, events = 0) {
    super(message)
    this.events = events
  }
}
