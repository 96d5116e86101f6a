// What the router's thread and the two database threads say to each other.
import type { ToolLimits } from '../../../tools.ts'
import type {
  AcceptLimits,
  AuditRow,
  BotStatus,
  GateCounts,
  GiveBackRequest,
  LifecycleEvents,
  NewEvent,
  OutputLimits,
  RefusedBatch,
  RunCount,
  RunMove,
  RetentionLimits,
  SkippedTicks,
  SourceNote,
  StartAnswer,
  TokenRow,
  TokenUse,
} from '../../store.ts'
import type { CompleteBudget } from '../../../contract/budgets.ts'
import type { Store } from '../../store.ts'
import type { PackedPart } from '../tables/output.ts'

/** An event on its way to the writer: its body is in the batch's one buffer. */
export type PackedEvent = Omit<NewEvent, 'body'> & { body_at: number; body_length: number }

export type WriteOp =
  | { op: 'append_output'; parts: PackedPart[]; limits: OutputLimits }
  | { op: 'accept'; events: PackedEvent[]; limits: AcceptLimits }
  | { op: 'claim'; args: Parameters<Store['claim']> }
  | { op: 'move'; moves: RunMove[] }
  | { op: 'replay'; args: Parameters<Store['replay']> }
  | { op: 'write'; args: Parameters<Store['write']> }
  | { op: 'retain'; limits: RetentionLimits }
  | { op: 'give_back'; request: GiveBackRequest }
  | { op: 'route'; args: Parameters<Store['route']> }
  | { op: 'emitLifecycle'; args: Parameters<Store['emitLifecycle']> }
  | { op: 'skip_ticks'; skipped: SkippedTicks[] }
  | { op: 'note_source'; note: SourceNote }
  | { op: 'note_refused'; batch: RefusedBatch }
  | { op: 'put_token'; token: TokenRow }
  | { op: 'revoke_token'; args: Parameters<Store['revokeToken']> }
  | { op: 'note_token_uses'; uses: TokenUse[] }
  | { op: 'audit'; rows: AuditRow[] }
  | { op: 'forget_item'; args: Parameters<Store['forgetItem']> }
  | { op: 'set_paused'; args: Parameters<Store['setPaused']> }
  | { op: 'pause_trigger'; args: Parameters<Store['pauseTrigger']> }
  | { op: 'resume_trigger'; args: Parameters<Store['resumeTrigger']> }
  | { op: 'set_bot_status'; args: [BotStatus, number] }
  | { op: 'queue_counts' }
  | { op: 'ping' }

export interface WriteBatch {
  ops: WriteOp[]
  bodies: ArrayBuffer
}

/** One per operation, in order. */
export type WriteResult = { ok: true; value: unknown } | { ok: false; full: boolean; message: string }

/** What a group of batches means for those who did not ask. */
export interface Told {
  /** bots (and needs) whose runs may go now that could not before */
  due: string[]
  /** the earliest due time written; null: there is none */
  next_at: number | null
  /** there are new events in the log */
  logged: boolean
  /** runs that moved or have new output */
  changed: string[]
  /** runs that were created or ended */
  counted: RunCount[]
  /** matches, and what gates did; undefined: nothing */
  gates: GateCounts | undefined
  /** lifecycle events wait to be routed that did not */
  unrouted: boolean
  /** damage that was met and not reported yet, in words */
  damage: string[]
}

export type WriterMessage =
  | { kind: 'started'; answer: StartAnswer }
  | { kind: 'refused'; exitCode: number; message: string }
  /** One list for each batch, in the order of the batches. */
  | ({ kind: 'results'; groups: WriteResult[][] } & Told)
  /** The storage cannot be trusted any more: the process must end. */
  | { kind: 'fatal'; code: string; message: string }

export interface ReadRequest {
  call: number
  method:
    | 'event'
    | 'events'
    | 'run'
    | 'cause'
    | 'originsSince'
    | 'runs'
    | 'runEvents'
    | 'history'
    | 'override'
    | 'output'
    | 'sourceStats'
    | 'counts'
    | 'facts'
    | 'space'
    | 'triggerVersion'
    | 'triggerVersions'
    | 'stuck'
    | 'unrouted'
    | 'lastSeq'
    | 'nextSeq'
    | 'stats'
    | 'budgetUses'
    | 'usage'
    | 'ticks'
    | 'unseen'
    | 'contextFiles'
    | 'fileSets'
    | 'auditEntries'
  args: unknown[]
}

/** damage: what was met while reading and not reported yet, in words */
export type ReadAnswer = (
  | { call: number; ok: true; value: unknown }
  | { call: number; ok: false; code: string; message: string }
) & { damage: string[] }

export interface WorkerStart {
  stateDir: string
  lifecycle: LifecycleEvents
  now: number
  /** start although committed rows are not there any more */
  acceptLoss: boolean
  /** which tools runs may use, judged again when a run is claimed */
  toolLimits: ToolLimits
  /** of the configuration */
  budgets: readonly CompleteBudget[]
}
