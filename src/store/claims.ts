// Runs on their way to bots: how they are claimed, and the guarded moves between their states.
import type { Assignment, RunState } from '../contract/types.ts'
import type { AttemptRow, HeldBy, StoredEvent, StoredRun, UsageReport, UsageTotals } from './records.ts'

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
  /** what run.progress said */
  progress?: { percent?: number; message?: string } | undefined
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
  /** the lease goes on under this token: the run was handed over */
  new_lease_token?: string
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
  /** done only if the run has never begun; any approval of it is void */
  update?: RunChange
  /** leaves the lane that it waits for, and its order */
  skip_order?: boolean
}

/** What a person changes of a run before it begins; inputs and context files as JSON. */
export interface RunChange {
  priority?: number
  inputs?: string
  context_files?: string
}

export type MoveOutcome =
  | { kind: 'moved'; run: StoredRun }
  | { kind: 'refused'; run: StoredRun }
  | { kind: 'not_found' }
  /** the usage that came with the move is less than the attempt reported before; nothing was changed */
  | { kind: 'usage_shrank'; reported: UsageTotals }
