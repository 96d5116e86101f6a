// What is remembered, as the store hands it out and takes it: events, runs, their histories, and how bots and queues stand.
import type { Assignment, Causation, Decision, RunState } from '../contract/types.ts'
import type { ContextFileBytes } from '../context-files.ts'
import type { RunFlow } from './flow.ts'

/** What the store adds to a definition. */
export interface Stamp {
  version: number
  created_at: number
  updated_at: number
}

export interface NewRun {
  id: string
  trigger_id: string
  trigger_version: number
  /** a bot, or the need by which one is found: needKey */
  bot_id: string
  queue: string
  workflow_id: string | null
  priority: number
  not_before: number
  replay: boolean
  /** the principal that caused it; absent: none is known */
  requested_by?: string | undefined
  need?: Need
  allowed_tools?: string[]
  flow?: RunFlow
}

/** The source of lifecycle events: what the router itself has to tell. Only triggers that name it see them. */
export const routerSource = 'router'

/** Which moves of runs are told as events: those that people wait for, every one, or none. */
export type LifecycleEvents = 'outcomes' | 'all' | 'none'

/** What a bot must offer to be given a run. */
export interface Need {
  capabilities: string[]
  owner?: string
  /** the queue that its trigger names */
  queue?: string
  /** what it may use before it is cut by what its bot may */
  allowed_tools?: string[]
}

/** What stands for the bot of a run that none is chosen for: no bot's id begins with "?". */
export function needKey({ capabilities, owner }: Need): string {
  return `?${JSON.stringify([capabilities.toSorted(), owner ?? null])}`
}

/** The need of a needKey: any bot that serves it. A damaged key gives a need that no bot offers. */
export function needOf(key: string): Need {
  try {
    const [capabilities, owner] = JSON.parse(key.slice(1)) as [string[], string | null]
    return { capabilities, ...(owner === null ? {} : { owner }) }
  } catch {
    return { capabilities: [key] }
  }
}

/** Whether what stands for a run's bot is a needKey: none is chosen yet. */
export function isNeed(bot_id: string): boolean {
  return bot_id.startsWith('?')
}

/** The bot of a run; null: none is chosen yet. */
export function chosenBot({ bot_id }: { bot_id: string }): string | null {
  return isNeed(bot_id) ? null : bot_id
}

/** How to read a payload out of a stored body. */
export type BodyFormat = 'json' | 'form' | 'cloudevent' | 'text' | 'binary' | 'none'

export interface NewEvent {
  id: string
  source_id: string
  type: string
  subject: string | null
  /** login of the account that caused it, as it was sent; found again in any case of its ASCII letters */
  actor: string | null
  /** the conversation that it belongs to */
  thread: string | null
  /** into a webhook source, without being delivered to it: it proves nothing about its actor */
  emitted: boolean
  /** the principal that caused it; absent: a delivery, or the router itself */
  requested_by?: string | undefined
  timestamp: number
  received_at: number
  headers: Record<string, string> | null
  causation: Causation | null
  /** The delivery id or idempotency key; null: nothing to know a duplicate by. */
  delivery_key: string | null
  body: Uint8Array
  body_format: BodyFormat
  body_sha256: Uint8Array
  /** The hash of what was signed, where that is not the delivery id too: the same may come under another id. null: nothing. */
  signed_sha256: Uint8Array | null
  /** Write no runs when the body is such a redelivery. */
  log_redelivery_only: boolean
  decisions: Decision[]
  runs: NewRun[]
  /** Refuse it where its source does not exist or is disabled by now: when it was looked at, another write may have been on its way. */
  source_guard?: boolean
  /** given: what it is the only event of */
  once?: Once
  /** empty where there are none */
  context_files?: ContextFileBytes[]
}

/** A run as the cause of an event. */
export interface Cause {
  bot_id: string
  causation: Causation
}

/** What an event may be the only one of, noted in its own transaction: of the same the second is a duplicate. */
export type Once =
  /** the instant of a schedule */
  | { kind: 'tick'; scheduled_at: number; caught_up: boolean }
  /** an item of a poll */
  | { kind: 'item'; key: string }
  /** no duplicate of anything: what its source remembers from now on */
  | { kind: 'state'; state: Record<string, unknown> }

/** What a reading leaves behind that is no event. */
export interface SourceNote {
  source_id: string
  state: Record<string, unknown>
  /** items that are there still, or are not to make events */
  seen: string[]
  at: number
}

/** Instants of a schedule in a row that make no event. */
export interface SkippedTicks {
  source_id: string
  scheduled_at: number
  last_scheduled_at: number
  count: number
  reason: string
  at: number
}

/** What became of an instant of a schedule. */
export interface TickRow {
  scheduled_at: number
  outcome: 'fired' | 'caught_up' | 'skipped'
  at: number
  event_id: string | null
  last_scheduled_at: number | null
  count: number | null
  reason: string | null
}

/** A source as it was left. */
export interface SourceState {
  source_id: string
  /** when it was last enabled, or its configuration changed */
  since: number
  /** the last instant of its schedule that was decided; null: there was none */
  last_tick_at: number | null
  state: Record<string, unknown> | null
}

export interface StoredEvent {
  id: string
  seq: number
  source_id: string
  type: string
  subject: string | null
  /** of an event that was logged before these were: read out of its body */
  actor: string | null
  thread: string | null
  /** false where it is not known: the event was logged before */
  emitted: boolean
  requested_by: string | null
  timestamp: number
  received_at: number
  headers: Record<string, string>
  causation: Causation | null
  delivery_key: string | null
  redelivery_of: string | null
  duplicates: number
  body_format: BodyFormat
  body_bytes: number
  body_sha256: Uint8Array
  body: Uint8Array
  /** files that go with it */
  context_files: number
  decisions: Decision[]
  /** fields whose stored value is damaged: each is neutral here, and null in answers */
  damaged?: string[]
}

export type EventLine = Omit<
  StoredEvent,
  | 'headers'
  | 'causation'
  | 'context_files'
  | 'body'
  | 'body_sha256'
  | 'body_format'
  | 'delivery_key'
  | 'decisions'
> & {
  matched_triggers: string[]
}

export interface StoredRun {
  id: string
  seq: number
  event_id: string
  trigger_id: string
  trigger_version: number
  /** a bot, or the needKey of a run that none is chosen for */
  bot_id: string
  /** '': that of the bot that will be chosen */
  queue: string
  workflow_id: string | null
  state: RunState
  dead: boolean
  replay: boolean
  requested_by: string | null
  priority: number
  attempt: number
  attempt_base: number
  /** moves and other rows of its history */
  steps: number
  not_before: number
  cancel_requested: boolean
  pause_requested: boolean
  lease_token: string | null
  error: string | null
  result: string | null
  created_at: number
  updated_at: number
  finished_at: number | null
  need: Need | null
  assignment: Assignment | null
  allowed_tools: string[] | null
  flow: RunFlow | null
  /** the lane that it waits for */
  parked_on: string | null
  held_by: HeldBy | null
  /** when the attempt is over at the latest */
  timeout_at: number | null
  deadline_at: number | null
  deadline_name: DeadlineName | null
  approved: boolean
  denials: number
  /** of a batch that was read for itself: how many events it holds */
  event_count?: number
  /** of a run that was read for itself and reported something: the totals, and how many ended attempts reported nothing */
  usage?: UsageTotals & { unreported: number }
  /** of the run alone: what its last attempt said of how far it is; absent: nothing */
  progress?: { at: number; percent?: number; message?: string }
  /** columns whose stored value is damaged: each is neutral here */
  damaged?: string[]
}

export type HeldBy = 'person' | 'dependency' | 'budget' | 'approval' | 'repeat_limit'
export type DeadlineName = 'max_age_ms' | 'start_timeout_ms' | 'timeout_ms' | 'idle_timeout_ms' | 'approval'

export interface HistoryRow {
  at: number
  move: string
  from: RunState | null
  to: RunState
  attempt: number
  reason: string | null
}

export interface AttemptRow {
  number: number
  /** in a move, 0: when the run began to run */
  started_at: number
  ended_at: number
  outcome: 'success' | 'retry' | 'permanent' | 'timeout' | 'cancelled' | 'unknown'
  status: string | null
  error: string | null
  output: string | null
  /** what it asked of its bot, as JSON; absent in a move: nothing */
  request?: string | null
}

/** What was used; cost in millionths of a dollar. */
export interface UsageTotals {
  input_tokens: number
  output_tokens: number
  cost_micro_usd: number
}

/** What an attempt has used so far; a figure that is left out stays what it was. */
export type UsageReport = Partial<UsageTotals>

/** A run that a worker holds. */
export interface WorkerLease {
  run_id: string
  bot_id: string
  lease_token: string
  lease_until: number
}

/** What the tokens of workers begin with: their leases outlive the router's process. */
export const workerTokenPrefix = 'w:'

/** Whether a run is with a worker, and not with the router's own process. */
export function isWithWorker({ lease_token }: { lease_token: string | null }): boolean {
  return lease_token?.startsWith(workerTokenPrefix) === true
}

/** What a person changed of a run before it began, each as JSON; null: not changed. */
export interface RunOverride {
  inputs: string | null
  context_files: string | null
  /** its row is damaged */
  damaged?: true
}

/** A trigger whose runs wait, until it is resumed. */
export interface TriggerPause {
  trigger_id: string
  reason: string | null
  paused_at: number
}

/** Why a run of a paused trigger waits. */
export function pauseReason({ trigger_id, reason }: TriggerPause): string {
  return `trigger_paused: trigger ${trigger_id} is paused${reason === null ? '' : `: ${reason}`}`
}

/** What a bot says of itself, and whether people let it have new runs. */
export interface BotStatus {
  bot_id: string
  availability: 'ready' | 'sleeping' | 'busy' | 'degraded' | null
  /** the reason of its availability */
  reason: string | null
  drained: boolean
  drained_reason: string | null
}
