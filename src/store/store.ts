// The store: the one narrow interface to what is remembered. Calls are batches; each call is atomic, and is
// answered only after it is committed and fsynced. Implementations may commit several waiting calls together.
// Every implementation passes test/conformance/store.ts.
import type {
  AuditEntry,
  BotInput,
  Decision,
  QueueInput,
  SourceInput,
  TriggerInput,
} from '../contract/types.ts'
import type { ContextFileBytes } from '../context-files.ts'
import type { ClaimAnswer, ClaimRequest, MoveOutcome, RunMove } from './claims.ts'
import type { BudgetGate, BudgetUse, GateCounts } from './flow.ts'
import type { OutputLimits, OutputPage, OutputPart, OutputRequest } from './output.ts'
import type { EventPage, RunPage, TickPage } from './pages.ts'
import type { RefusedBatch, RefusedRow } from './refused.ts'
import type { AuditPage, AuditRow, TokenRow, TokenUse } from './tokens.ts'
import type { GivenBack, GiveBackRequest, RetentionLimits, Space } from './space.ts'
import type {
  AttemptRow,
  BotStatus,
  Cause,
  EventLine,
  HistoryRow,
  NewEvent,
  NewRun,
  RunOverride,
  SkippedTicks,
  SourceNote,
  SourceState,
  Stamp,
  StoredEvent,
  StoredRun,
  TickRow,
  TriggerPause,
  UsageTotals,
  WorkerLease,
} from './records.ts'
import type { QueueCount, RunCount, RunStats, StuckOrder } from './counts.ts'

export type { GateCounts } from './flow.ts'
export * from './claims.ts'
export * from './output.ts'
export * from './pages.ts'
export * from './counts.ts'
export * from './records.ts'
export * from './refused.ts'
export * from './space.ts'
export * from './tokens.ts'

export interface Definitions {
  sources: (SourceInput & Stamp)[]
  triggers: (TriggerInput & Stamp)[]
  bots: (BotInput & Stamp)[]
  queues: (QueueInput & Stamp)[]
}

export type Noun = 'source' | 'trigger' | 'bot' | 'queue'
export type AnyInput = SourceInput | TriggerInput | BotInput | QueueInput

/** A definition to write (definition given) or to delete (null). */
export interface DefinitionChange {
  noun: Noun
  id: string
  definition: AnyInput | null
  /** The version that must be the current one; 0: must not exist. Absent: any version. */
  version?: number
  at: number
}

/** An object and the set of files that it was applied from. */
export interface FileSetRow {
  noun: Noun
  id: string
  name: string
}

export type WriteOutcome =
  | { kind: 'written'; objects: (Stamp | null)[] }
  | { kind: 'conflict'; noun: Noun; id: string; expected: number; found: number }
  /** A bot or a queue with open runs, which must end before it can be deleted. */
  | { kind: 'in_use'; noun: Noun; id: string; open_runs: number }

export interface AcceptLimits {
  dedupe_ms: number
  signed_body_ms: number
  max_open_runs: number
  /** how often one trigger may make runs about the same subject in one chain of causes */
  loop_repeats: number
}

export type AcceptOutcome =
  /** decisions and runs as the gates left them; cancel: runs that are with bots and were asked to stop */
  | {
      kind: 'accepted'
      event_id: string
      redelivery_of: string | null
      routed: boolean
      decisions: Decision[]
      run_ids: string[]
      cancel: string[]
    }
  | { kind: 'duplicate'; event_id: string; matched_triggers: string[]; run_ids: string[] }
  | { kind: 'key_reused'; event_id: string }
  | { kind: 'backlog' }
  /** its source does not exist or is disabled by now */
  | { kind: 'source_off'; exists: boolean }

export interface ReplayRequest {
  event_id: string
  at: number
  runs: NewRun[]
  /** leave out triggers that this event has a run of already */
  only_missing: boolean
}

/** What a lifecycle event, which is stored already, is to start. */
export interface RouteRequest {
  event_id: string
  at: number
  decisions: Decision[]
  runs: NewRun[]
}

/** routed: requests that were done; the first one that was not would have made too many runs. */
export interface RouteOutcome {
  routed: number
  run_ids: string[]
  cancel: string[]
}

export interface Counts {
  events: number
  event_bytes: number
  /** when the oldest event was received; null: there is none, or its time is damaged */
  oldest_at: number | null
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
  /** of database_bytes: free pages, which new events use before the file grows */
  reusable_bytes: number
}

/** What is gone of a log that is behind what was once written of it. */
export interface Loss {
  /** transactions */
  commits: number
  events: number
  runs: number
  /** the write-ahead log was not there */
  wal_missing: boolean
}

export interface StartAnswer {
  definitions: Definitions
  /** runs that were running in the previous process, now pending again */
  recovered: number
  /** how far the clock is behind what was written last; by so much what waits was moved */
  clock_behind_ms: number
  open_runs: number
  /** what workers hold */
  worker_leases: WorkerLease[]
  /** bots (and needs) with pending runs */
  waiting_bots: string[]
  /** why dispatching is paused; null: it is not */
  paused: string | null
  bot_status: BotStatus[]
  trigger_pauses: TriggerPause[]
  source_states: SourceState[]
  /** refused deliveries that are kept, oldest first */
  refused: RefusedRow[]
  /** tokens of the admin listener, oldest first */
  tokens: TokenRow[]
  next_due_at: number | null
  /** lifecycle events wait to be routed */
  unrouted: boolean
  facts: StoreFacts
  /** damage that was met, in words */
  damage: string[]
  /** what was lost, where that was accepted */
  loss?: Loss | undefined
}

export interface Store {
  /** Told after a commit: runs of these bots (or needs) may go now that could not before. */
  onDue: (bot_ids: string[]) => void
  /** Told after a commit: something of what was written is to be done then. */
  onDueAt: (time: number) => void
  /** Told after a commit: there are new events in the log. */
  onLogged: () => void
  /** Told after a commit: lifecycle events wait to be routed. */
  onUnrouted: () => void
  /** Told after a commit: these runs moved, or have new output. */
  onRunChange: (run_ids: string[]) => void
  /** Told after a commit: runs were created or ended. */
  onRunsCounted: (counted: RunCount[]) => void
  /** Called after a commit: events matched triggers, or gates acted. */
  onGatesCounted: (counted: GateCounts) => void
  /** Told when damage is met that was not reported yet, in words. */
  onDamage: (found: string[]) => void
  /** Takes the lock, opens, migrates, and puts back what was running in the previous process. Throws ExitError. */
  start(now: number): Promise<StartAnswer>
  stop(): Promise<void>
  /** Writes all changes or none, and which file sets objects are of. */
  write(changes: DefinitionChange[], owned?: FileSetRow[]): Promise<WriteOutcome>
  /** Every object that was applied from files. */
  fileSets(): Promise<FileSetRow[]>
  accept(events: NewEvent[], limits: AcceptLimits): Promise<AcceptOutcome[]>
  /** Notes ticks that make no event. */
  skipTicks(skipped: SkippedTicks[]): Promise<void>
  /** The files that go with an event, in their order. */
  contextFiles(event_id: string): Promise<ContextFileBytes[]>
  /** Keeps what a source remembers, and the items that its reading held. */
  noteSource(note: SourceNote): Promise<void>
  /** Writes which refused deliveries are kept. */
  noteRefused(batch: RefusedBatch): Promise<void>
  putToken(token: TokenRow): Promise<void>
  /** Ends a token; one that was revoked before keeps its time. */
  revokeToken(token_id: string, at: number): Promise<void>
  noteTokenUses(uses: TokenUse[]): Promise<void>
  /** Adds to the audit log. */
  audit(rows: AuditRow[]): Promise<void>
  auditEntries(page: AuditPage): Promise<AuditEntry[]>
  /** Which keys of items are new to a source. */
  unseen(source_id: string, keys: string[]): Promise<string[]>
  /** Whether an item was known; it is not any more, and nor is the state of its source. */
  forgetItem(source_id: string, key: string): Promise<boolean>
  /** What became of the instants of a schedule, newest first. */
  ticks(page: TickPage): Promise<TickRow[]>
  claim(request: ClaimRequest): Promise<ClaimAnswer>
  move(moves: RunMove[]): Promise<MoveOutcome[]>
  /** The ids of the runs that were written; null, and nothing written, where more would be open than may be. */
  replay(requests: ReplayRequest[], max_open_runs: number): Promise<string[] | null>
  /** One slice of deleting what is old; answers whether there is more. */
  retain(limits: RetentionLimits): Promise<{ events: number; more: boolean }>
  /** One slice of giving free pages back to the disk. */
  giveBack(request: GiveBackRequest): Promise<GivenBack>
  space(): Promise<Space>
  event(id: string): Promise<StoredEvent | null>
  events(page: EventPage): Promise<(EventLine | StoredEvent)[]>
  /**
   * When the oldest event was received that was logged with its actor and thread, where older ones were not; all are known: null.
   * Where none was yet: Infinity.
   */
  originsSince(): Promise<number | null>
  run(id: string): Promise<StoredRun | null>
  /** What an event that a run causes has as its cause, and the run's bot; null: there is no such run, or none has been chosen for it. */
  cause(run_id: string): Promise<Cause | null>
  /** The events of a batch, in their order; of a run of one event none. */
  runEvents(run_id: string): Promise<StoredEvent[]>
  runs(page: RunPage): Promise<StoredRun[]>
  /** What was changed of a run before it began; null: nothing. */
  override(run_id: string): Promise<RunOverride | null>
  /**
   * Writes output, in slices of at most 1 MiB a commit, so that events never wait long for it; answers once all of it is committed.
   * Calls are carried out one after the other. Output of a run that is not stored any more is dropped.
   */
  appendOutput(parts: OutputPart[], limits: OutputLimits): Promise<void>
  /** A page of what an attempt printed; null: there is no such run, or it had no such attempt. */
  output(request: OutputRequest): Promise<OutputPage | null>
  history(run_id: string): Promise<{ history: HistoryRow[]; attempts: AttemptRow[] } | null>
  /** A trigger as it was at a version; null when that version never was. Throws DamagedError where it cannot be read. */
  triggerVersion(trigger_id: string, version: number): Promise<TriggerInput | null>
  /** The versions that a trigger had, newest first, below a version where one is given; definition null: it cannot be read. */
  /** max_bytes: the answer ends with the version whose definition makes it as large */
  triggerVersions(
    trigger_id: string,
    before: number | null,
    limit: number,
    max_bytes?: number,
  ): Promise<{ version: number; created_at: number; definition: TriggerInput | null }[]>
  /** Counts of the queues that hold runs. */
  queueCounts(): Promise<QueueCount[]>
  stuck(queue: string, limit: number): Promise<StuckOrder[]>
  /** Stops or restarts all dispatching, across restarts; null: goes on. */
  setPaused(reason: string | null, at: number): Promise<void>
  /** Lets no run of a trigger begin; one that is paused already is given the new reason. null: there is no such trigger. */
  pauseTrigger(trigger_id: string, reason: string | null, at: number): Promise<TriggerPause | null>
  /** Answers whether the trigger was paused. */
  resumeTrigger(trigger_id: string, reason: string | null, at: number): Promise<boolean>
  /** Logs a lifecycle event. */
  emitLifecycle(
    type: string,
    subject: string | null,
    payload: Record<string, unknown>,
    at: number,
  ): Promise<void>
  /** The oldest lifecycle events that wait to be routed. */
  unrouted(limit: number): Promise<StoredEvent[]>
  route(requests: RouteRequest[], limits: AcceptLimits): Promise<RouteOutcome>
  /** seq of the first event behind a place; null: there is none */
  nextSeq(after: number): Promise<number | null>
  /** seq of the newest event; 0: there is none. */
  lastSeq(): Promise<number>
  setBotStatus(status: BotStatus, at: number): Promise<void>
  sourceStats(): Promise<{ source_id: string; events: number; last_event_at: number }[]>
  stats(since: number): Promise<RunStats>
  /** How much of each budget is used in its period up to now. */
  budgetUses(gates: BudgetGate[], now: number): Promise<BudgetUse[]>
  /** What was reported since a time, by scope as in BudgetGate; scopes that reported nothing are left out. */
  usage(since: number): Promise<(UsageTotals & { scope: string })[]>
  counts(): Promise<Counts>
  facts(): Promise<StoreFacts>
  /** Calls of the writing side that are not answered yet. */
  readonly pendingWrites: number
  /** Answers when the writing side really does. */
  ping(): Promise<void>
}
