// The store: the one narrow interface to what is remembered. Calls are batches; each call is atomic, and is
// answered only after it is committed and fsynced. Implementations may commit several waiting calls together.
// Every implementation passes test/conformance/store.ts.
import type { BotInput, Causation, Decision, RunState, SourceInput, TriggerInput } from '../contract/types.ts'

export interface Definitions {
  sources: (SourceInput & Stamp)[]
  triggers: (TriggerInput & Stamp)[]
  bots: (BotInput & Stamp)[]
}

export type Noun = 'source' | 'trigger' | 'bot'

/** A definition to write (definition given) or to delete (null). */
export interface DefinitionChange {
  noun: Noun
  id: string
  definition: SourceInput | TriggerInput | BotInput | null
  /** The version that must be the present one; 0: must not exist. Absent: whatever is there. */
  version?: number
  at: number
}

export type WriteOutcome =
  | { kind: 'written'; objects: (Stamp | null)[] }
  | { kind: 'conflict'; noun: Noun; id: string; expected: number; found: number }
  /** A bot with open runs, which must end before it can be deleted. */
  | { kind: 'in_use'; noun: Noun; id: string; open_runs: number }

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
  bot_id: string
  workflow_id: string | null
  priority: number
  not_before: number
  replay: boolean
}

/** How to read a payload out of a stored body. */
export type BodyFormat = 'json' | 'form' | 'cloudevent' | 'text' | 'binary' | 'none'

export interface NewEvent {
  id: string
  source_id: string
  type: string
  subject: string | null
  timestamp: number
  received_at: number
  headers: Record<string, string> | null
  causation: Causation | null
  /** The delivery id or idempotency key; null: nothing to know a duplicate by. */
  delivery_key: string | null
  body: Uint8Array
  body_format: BodyFormat
  body_sha256: Uint8Array
  /** Whether the body was signed without its delivery id, so that the same body may come under another one. */
  signed_body: boolean
  /** Write no runs when the body is such a redelivery. */
  log_redelivery_only: boolean
  decisions: Decision[]
  runs: NewRun[]
}

export interface AcceptLimits {
  dedupe_ms: number
  signed_body_ms: number
  max_open_runs: number
}

export type AcceptOutcome =
  | { kind: 'accepted'; event_id: string; redelivery_of: string | null; routed: boolean }
  | { kind: 'duplicate'; event_id: string; matched_triggers: string[]; run_ids: string[] }
  | { kind: 'key_reused'; event_id: string }
  | { kind: 'backlog' }

export interface StoredEvent {
  id: string
  seq: number
  source_id: string
  type: string
  subject: string | null
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
  decisions: Decision[]
}

export type EventLine = Omit<StoredEvent, 'headers' | 'causation' | 'body' | 'body_sha256' | 'body_format' | 'delivery_key' | 'decisions'> & {
  matched_triggers: string[]
}

export interface EventSelectionStored {
  source_id?: string
  type?: string
  subject?: string
  trigger_id?: string
  matched?: boolean
  since?: number
  until?: number
}

export interface EventPage {
  selection: EventSelectionStored
  /** newest first, or oldest first */
  order: 'desc' | 'asc'
  limit: number
  /** seq of the last event of the page before */
  after: number | null
  /** also read bodies and headers */
  whole: boolean
}

export interface StoredRun {
  id: string
  seq: number
  event_id: string
  trigger_id: string
  trigger_version: number
  bot_id: string
  workflow_id: string | null
  state: RunState
  dead: boolean
  replay: boolean
  priority: number
  attempt: number
  attempt_base: number
  not_before: number
  cancel_requested: boolean
  lease_token: string | null
  error: string | null
  result: string | null
  created_at: number
  updated_at: number
  finished_at: number | null
}

export interface RunPage {
  state?: RunState
  trigger_id?: string
  bot_id?: string
  event_id?: string
  dead?: boolean
  limit: number
  after: number | null
}

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
}

export interface ClaimRequest {
  /** bots with room, and how much */
  bots: { bot_id: string; room: number }[]
  /** runs at most, over all bots */
  limit: number
  now: number
  lease_token: string
  lease_until: number
  /** given: the runs are assigned to workers, each under a token of its own, and no attempt is counted yet */
  worker_tokens?: readonly string[]
}

export interface ClaimedRun extends StoredRun {
  event: StoredEvent
}

export interface ClaimAnswer {
  runs: ClaimedRun[]
  /** bots that have nothing more that is due */
  drained: string[]
  /** bots whose runs fell due with this call */
  became_due: string[]
  /** when the next run of the future falls due; null: there is none */
  next_due_at: number | null
}

/** One guarded move of one run: done only if its state and lease are what the mover saw. */
export interface RunMove {
  run_id: string
  move: string
  from: readonly RunState[]
  to: RunState
  /** given: the lease must be this one */
  lease_token?: string
  at: number
  reason?: string
  attempt?: Omit<AttemptRow, 'number'>
  not_before?: number
  error?: string | null
  result?: string | null
  /** the run is over and leaves the outbox */
  archive?: boolean
  /** begin a new set of attempts */
  fresh_attempts?: boolean
  /** the attempt did not begin: it is not counted */
  uncount_attempt?: boolean
  /** asks the holder to stop; the state stays */
  request_cancel?: boolean
  /** the attempt begins with this move */
  count_attempt?: boolean
  /** the lease lasts until then */
  lease_until?: number
  /** done only if the lease ends then or before: a heartbeat may have come meanwhile */
  expired_at?: number
  /** nothing but the lease changes: no row of history, or one that says how far it is */
  touch?: 'silent' | 'noted'
}

export type MoveOutcome = { kind: 'moved'; run: StoredRun } | { kind: 'refused'; run: StoredRun } | { kind: 'not_found' }

export interface ReplayRequest {
  event_id: string
  at: number
  runs: NewRun[]
  /** leave out triggers that this event has a run of already */
  only_missing: boolean
}

export interface Counts {
  events: number
  event_bytes: number
  pending: number
  running: number
  held: number
  dead: number
}

export interface StoreFacts {
  path: string
  sqlite_version: string
  journal_mode: string
  synchronous: number
  schema_version: number
  database_bytes: number
  wal_bytes: number
}

export interface RetentionLimits {
  now: number
  event_ms: number
  dead_ms: number
  dedupe_ms: number
  /** rows to look at in one slice */
  slice: number
}

/** A run that a worker holds. */
export interface WorkerLease {
  run_id: string
  bot_id: string
  lease_token: string
  lease_until: number
}

/** What the tokens of workers begin with: their leases outlive the router's process. */
export const workerTokenPrefix = 'w:'

export interface StartAnswer {
  definitions: Definitions
  /** runs that the process before had in hand, now pending again */
  recovered: number
  open_runs: number
  /** what workers hold */
  worker_leases: WorkerLease[]
  /** bots with pending runs */
  waiting_bots: string[]
  next_due_at: number | null
  facts: StoreFacts
}

export interface Store {
  /** Takes the lock, opens, migrates, and puts back what the process before had in hand. Throws ExitError. */
  start(now: number): Promise<StartAnswer>
  stop(): Promise<void>
  /** Writes all changes or none. */
  write(changes: DefinitionChange[]): Promise<WriteOutcome>
  accept(events: NewEvent[], limits: AcceptLimits): Promise<AcceptOutcome[]>
  claim(request: ClaimRequest): Promise<ClaimAnswer>
  move(moves: RunMove[]): Promise<MoveOutcome[]>
  /** The ids of the runs that were written; null, and nothing written, where more would be open than may be. */
  replay(requests: ReplayRequest[], max_open_runs: number): Promise<string[] | null>
  /** One slice of deleting what is old; answers whether there is more. */
  retain(limits: RetentionLimits): Promise<{ events: number; more: boolean }>
  event(id: string): Promise<StoredEvent | null>
  events(page: EventPage): Promise<(EventLine | StoredEvent)[]>
  run(id: string): Promise<StoredRun | null>
  runs(page: RunPage): Promise<StoredRun[]>
  history(run_id: string): Promise<{ history: HistoryRow[]; attempts: AttemptRow[] } | null>
  /** A trigger as it was at a version; null when that version never was. */
  triggerVersion(trigger_id: string, version: number): Promise<TriggerInput | null>
  /** The versions that a trigger had, newest first, below a version where one is given. */
  triggerVersions(trigger_id: string, before: number | null, limit: number): Promise<{ version: number; created_at: number; definition: TriggerInput }[]>
  sourceStats(): Promise<{ source_id: string; events: number; last_event_at: number }[]>
  counts(): Promise<Counts>
  facts(): Promise<StoreFacts>
  /** Answers when the writing side really does. */
  ping(): Promise<void>
}
