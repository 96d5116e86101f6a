// What the methods work with, handed in by main, and what several of them share.
import type {
  Availability,
  Bot,
  BotHealth,
  BotNotifyTestResult,
  Config,
  Endpoint,
  Gate,
  LeaseState,
  NotifyEndpoint,
  RefusedTotals,
  RouterBackupResult,
  RouterStatusResult,
  RpcHealthResult,
  SourceHealth,
  WebhookConfig,
} from '../../contract/types.ts'
import type { Acceptor } from '../../routing/accept.ts'
import type { Accepted, Emitted, Incoming } from '../../routing/incoming.ts'
import type { BacktestCounts, BacktestJob } from '../../routing/backtest.ts'
import type { Expressions } from '../../routing/expressions.ts'
import type { Registry } from '../../routing/registry.ts'
import type { RunChanges } from '../run-changes.ts'
import type { RunWatch } from '../run-watch.ts'
import type { Subscriptions } from '../subscriptions.ts'
import type { Audit } from '../audit.ts'
import type { Logins } from '../logins.ts'
import type { Tokens } from '../tokens.ts'
import type { ToolRules } from '../../tools.ts'
import type { PreparedRun } from './run-preview.ts'
import type {
  RefusedRow,
  RefusedSelection,
  RunChange,
  Store,
  StoredRun,
  UsageReport,
} from '../../store/store.ts'

/** A decision about a run that awaits approval. */
export interface Decided {
  approve: boolean
  /** the version of the trigger that was decided about */
  trigger_version?: number | undefined
  /** the version of the run that was decided about */
  version?: number | undefined
  reason?: string | undefined
  /** who decides, as the caller says */
  claimed_by?: string | undefined
}

/** What run.progress says of a run; note: what its history shows. */
interface Said {
  note?: string
  progress?: { percent?: number; message?: string } | undefined
  usage?: UsageReport | undefined
}

/** What people may do to a run; delivery does it. Each throws Fault not_found or invalid_state. */
export interface RunControl {
  cancel(run_id: string, reason: string | undefined): Promise<StoredRun>
  retry(run_id: string): Promise<StoredRun>
  discard(run_id: string, reason: string | undefined): Promise<StoredRun>
  /** Both answer those that they did it to. */
  retryDead(runs: readonly StoredRun[]): Promise<StoredRun[]>
  discardDead(runs: readonly StoredRun[], reason: string | undefined): Promise<StoredRun[]>
  hold(run_id: string, reason: string | undefined): Promise<StoredRun>
  release(run_id: string): Promise<StoredRun>
  /** A decision about a run that awaits approval; also throws Fault conflict where it is for another version. */
  answer(run_id: string, decision: Decided): Promise<StoredRun>
  /** What a person changes of a run that has not begun; also throws Fault conflict where the run is at another version. */
  update(
    run_id: string,
    update: RunChange & { version: number; not_before?: number; file_names?: readonly string[] },
  ): Promise<StoredRun>
  /** What the bot of a run would be given now. */
  preview(run_id: string, attempt?: number): Promise<PreparedRun>
  /** Progress that a command reports of its run. Throws Fault not_found, lease_lost, and invalid_params for usage that shrinks. */
  progress(run_id: string, lease_token: string, said: Said): Promise<LeaseState>
  /** Both also throw Fault conflict where the trigger's approver said no. */
  pause(run_id: string, reason: string | undefined): Promise<StoredRun>
  resume(run_id: string, reason: string | undefined): Promise<StoredRun>
  /** Lets the runs behind it in its order go first. */
  skip(run_id: string): Promise<StoredRun>
  /** Why a run is not with its bot yet; undefined when nothing holds it. */
  waitingFor(run: StoredRun): { gate: Gate['gate']; detail: string } | undefined
  botHealth(bot_id: string): BotHealth
  botActive(bot_id: string): number
}

/** Runs filters against the log in one pass, newest events first, beside everything else. Throws Fault overloaded and not_ready. */
export type RunBacktest = (
  jobs: BacktestJob[],
  range: { since: number; until: number; limit: number },
  signal: AbortSignal,
  onProgress: (progress: object) => void,
) => Promise<(BacktestCounts & { more: boolean; stopped: boolean })[]>

/** What workers ask and say. Each throws Fault not_found or lease_lost, claim also invalid_state and disabled. */
export interface Workers {
  claim(
    bot_id: string,
    max: number,
    wait_ms: number,
    capabilities: readonly string[] | undefined,
    signal: AbortSignal,
  ): Promise<{ run_id: string; lease_token: string; lease_until: number; body: string }[]>
  /** Puts back runs whose lease never reached a worker. */
  giveBack(runs: readonly { id: string; lease_token: string }[]): Promise<void>
  start_run(run_id: string, lease_token: string): Promise<StoredRun>
  extend(
    run_id: string,
    lease_token: string,
    said: Said & { paused?: boolean | undefined },
  ): Promise<LeaseState>
  complete(
    run_id: string,
    lease_token: string,
    result: unknown,
    usage: UsageReport | undefined,
  ): Promise<StoredRun>
  fail(
    run_id: string,
    lease_token: string,
    said: { error: string; retryable: boolean; after_ms: number | undefined; usage: UsageReport | undefined },
  ): Promise<StoredRun>
  yield(run_id: string, lease_token: string, after_ms: number, reason: string | undefined): Promise<StoredRun>
}

/** The bots as they stand. */
export interface AvailabilityControl {
  say(
    bot_id: string,
    change: {
      availability?: Availability
      reason?: string | null
      drained?: boolean
      drained_reason?: string | null
    },
  ): Promise<void>
  heard(bot_id: string): void
  lastHeardAt(bot_id: string): number | undefined
  availability(bot: Bot): Availability
  status(bot_id: string): { drained: boolean; drained_reason: string | null }
  /** the reason of its availability; null: no reason was given */
  reason(bot_id: string): string | null
}

export interface Context {
  config: Config
  store: Store
  registry: Registry
  acceptor: Acceptor
  expressions: Expressions
  tools: ToolRules
  runs: RunControl
  backtest: RunBacktest
  /** Copies the database to a path. Throws Fault invalid_params, conflict, overloaded, storage_full, not_ready. */
  backup: (path: string, with_output: boolean) => Promise<RouterBackupResult>
  workers: Workers
  availabilities: AvailabilityControl
  subscriptions: Subscriptions
  runSubscriptions: Subscriptions
  changes: RunChanges
  tokens: Tokens
  logins: Logins
  /** links for browsers, with the code of a login; undefined: the admin listener has no URL */
  loginLinks: (code: string) => { url: string; public_url?: string } | undefined
  audit: Pick<Audit, 'entries' | 'flush'>
  /** Starts the admin listener, if it does not listen yet. Answers why it cannot; undefined: it listens. */
  startAdmin: () => Promise<string | undefined>
  /** calls that wait for runs to change */
  watch: RunWatch
  /** A text without the secrets that the router knows. */
  redact: (text: string) => string
  clock: { nextAt(source_id: string): number | undefined }
  poller: {
    nextAt(source_id: string): number | undefined
    health(source_id: string): SourceHealth | undefined
    /** Answers whether the item was known. */
    forget(source_id: string, key: string): Promise<boolean>
  }
  refused: {
    /** newest first */
    list(selection: RefusedSelection): { page: RefusedRow[]; next: RefusedRow | null }
    /** by source; null: of deliveries that name none */
    totals(since?: number): Map<string | null, RefusedTotals>
  }
  /** Logs an event that was handed over. Throws every Fault. */
  emit: (event: Emitted) => Promise<Accepted>
  /** Logs an event of a source that is fired by hand. Throws every Fault. */
  fire: (event: Incoming) => Promise<Accepted>
  /** whether deliveries of a provider are verified */
  needsSecret: (provider: WebhookConfig['provider']) => boolean
  now: () => number
  /** Throws Fault egress_blocked or invalid_params for an endpoint that may not be called. */
  assertEndpoint: (endpoint: Endpoint, at: string) => void
  /** Throws Fault egress_blocked. */
  assertUrl: (url: string, at: string) => void
  /** Sends a test message to people. */
  notifyTest: (bot_id: string, endpoint: NotifyEndpoint) => Promise<BotNotifyTestResult>
  /** A bot was written: what waited for it may go. */
  botChanged: (bot_id: string) => void
  botDeleted: (bot_id: string) => void
  /** Sources were written or deleted. */
  sourcesChanged: (source_ids: string[]) => void
  /** Queues were written: runs of theirs may go. */
  queuesChanged: () => void
  /** Stops all dispatching, or lets it go on (null). */
  setPaused: (reason: string | null) => Promise<void>
  status: () => Promise<RouterStatusResult>
  health: () => Promise<RpcHealthResult>
}

/** The definitions that a check looks at. */
export type Known = Pick<Registry, 'sources' | 'triggers' | 'bots' | 'queues'>
/** What it takes to check a definition before it is written. */
export interface Checking extends Pick<Context, 'expressions' | 'assertUrl' | 'needsSecret' | 'now'> {
  registry: Known
}
