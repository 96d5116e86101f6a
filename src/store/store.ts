// The store: the one narrow interface to what is remembered. Calls are batches; each call is atomic, and is
// answered only after it is committed and fsynced. Implementations may commit several waiting calls together.
// Every implementation passes test/conformance/store.ts.
import type { Assignment, BotInput, Decision, QueueInput, RunState, SourceInput, TriggerInput } from '../contract/types.ts'
import type { ContextFileBytes } from '../context-files.ts'
import type { BudgetGate, BudgetUse } from './flow.ts'
import type { GivenBack, GiveBackRequest, RetentionLimits, Space } from './space.ts'
import type {
  AttemptRow,
  BotStatus,
  Cause,
  EventLine,
  HeldBy,
  HistoryRow,
  NewEvent,
  NewRun,
  QueueCount,
  RunStats,
  SkippedTicks,
  SourceNote,
  SourceState,
  Stamp,
  StoredEvent,
  StoredRun,
  StuckOrder,
  TickRow,
  UsageReport,
  UsageTotals,
  WorkerLease,
} from './records.ts'

export * from './records.ts'
export * from './space.ts'

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
  /** The version that must be the present one; 0: must not exist. Absent: whatever is there. */
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
  | { kind: 'accepted'; event_id: string; redelivery_of: string | null; routed: boolean; decisions: Decision[]; run_ids: string[]; cancel: string[] }
  | { kind: 'duplicate'; event_id: string; matched_triggers: string[]; run_ids: string[] }
  | { kind: 'key_reused'; event_id: string }
  | { kind: 'backlog' }
  /** its source does not exist or is disabled by now */
  | { kind: 'source_off'; exists: boolean }

export interface EventSelectionStored {
  source_id?: string
  type?: string
  subject?: string
  /** both find what was logged with its actor and thread only: originsSince */
  actor?: string
  thread?: string
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
  /**
   * A page of whole events ends before the one whose body would make it larger, but holds one event; then a page that is not
   * full is not the last. A page of lines ends with the one for which so many bytes of bodies were read. Default: no limit.
   */
  max_bytes?: number
}

export interface RunPage {
  state?: RunState
  trigger_id?: string
  bot_id?: string
  queue?: string
  event_id?: string
  dead?: boolean
  limit: number
  after: number | null
  /** The page ends with the run whose result and error make it as large. Default: no limit. */
  max_bytes?: number
}

export interface TickPage {
  source_id: string
  outcome?: TickRow['outcome']
  since?: number
  until?: number
  /** scheduled_at of the last of the page before */
  before: number | null
  limit: number
}

export interface ClaimRequest {
  /** bots with room, and how much; for a need the bots that its runs go to, one each, in this order */
  bots: { bot_id: string; room: number; choices?: readonly Choice[] }[]
  /** runs at most, over all bots */
  limit: number
  now: number
  lease_token: string
  lease_until: number
  /** given: the runs are assigned to workers, each under a token of its own, and no attempt is counted yet */
  worker_tokens?: readonly string[]
}

/** The bot that a run which names capabilities goes to, and why. */
export interface Choice {
  bot_id: string
  assignment: Assignment
  /** all that the bot may ever use; undefined: it has no such list */
  tools?: readonly string[] | undefined
}

export interface ClaimedRun extends StoredRun {
  event: StoredEvent
  /** of a batch: all events, the last one included */
  events?: StoredEvent[]
}

export interface ClaimAnswer {
  runs: ClaimedRun[]
  /** runs that their trigger's approver is to be asked about now */
  asked: ClaimedRun[]
  /** runs that a limit of time has caught up with */
  overdue: StoredRun[]
  /** bots that have nothing more that is due */
  drained: string[]
  /** bots whose due runs are all in queues without room: onDue tells when there is some */
  blocked: string[]
  /** bots that runs of a need could not go to, since their budgets are spent, and when there is room */
  spent: { bot_id: string; until: number }[]
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
  /** what the attempt has used so far */
  usage?: UsageReport
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
  /** done only if nothing has been done to the run since it had made so many steps */
  steps_seen?: number
  /** done only if the run's deadline is this one still */
  deadline_seen?: number
  held_by?: HeldBy
  /** a person ended it, or asked it to stop: a run that had not begun does not count as a repeat */
  by_person?: true
  pause_requested?: boolean
  approve?: boolean
  deny?: boolean
  /** leaves the lane that it waits for, and its order */
  skip_order?: boolean
}

export type MoveOutcome =
  | { kind: 'moved'; run: StoredRun }
  | { kind: 'refused'; run: StoredRun }
  | { kind: 'not_found' }
  /** the usage that came with the move is less than the attempt reported before; nothing was changed */
  | { kind: 'usage_shrank'; reported: UsageTotals }

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
  /** runs that the process before had in hand, now pending again */
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
  source_states: SourceState[]
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
  /** Told when damage is met that was not reported yet, in words. */
  onDamage: (found: string[]) => void
  /** Takes the lock, opens, migrates, and puts back what the process before had in hand. Throws ExitError. */
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
  runs(page: RunPage): Promise<StoredRun[]>
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
  /** Tells of something as a lifecycle event. */
  tell(type: string, subject: string | null, payload: Record<string, unknown>, at: number): Promise<void>
  /** The oldest lifecycle events that wait to be routed. */
  unrouted(limit: number): Promise<StoredEvent[]>
  route(requests: RouteRequest[], limits: AcceptLimits): Promise<RouteOutcome>
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
  /** Answers when the writing side really does. */
  ping(): Promise<void>
}
