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
  Trigger,
  TriggerInput,
  WebhookConfig,
} from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import type { Accepted, Acceptor, Emitted, Incoming } from '../../routing/accept.ts'
import type { BacktestCounts, BacktestJob } from '../../routing/backtest.ts'
import type { Expressions } from '../../routing/expressions.ts'
import { noSuch } from '../../nearest-id.ts'
import type { Prepared, Registry } from '../../routing/registry.ts'
import type { RunChanges } from '../run-changes.ts'
import type { RunWatch } from '../run-watch.ts'
import type { Subscriptions } from '../subscriptions.ts'
import type { Audit } from '../audit.ts'
import type { Logins } from '../logins.ts'
import type { Tokens } from '../tokens.ts'
import type { ToolRules } from '../../tools.ts'
import type { PreparedRun } from './run-preview.ts'
import {
  type DefinitionChange,
  type FileSetRow,
  type RefusedRow,
  type RefusedSelection,
  type RunChange,
  type Stamp,
  type Store,
  type StoredEvent,
  type StoredRun,
  type UsageReport,
  type WriteOutcome,
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
  update(run_id: string, update: RunChange & { version: number; not_before?: number; file_names?: readonly string[] }): Promise<StoredRun>
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

/** Holds filters against the log in one pass, newest events first, beside everything else. Throws Fault overloaded and not_ready. */
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
  extend(run_id: string, lease_token: string, said: Said & { paused?: boolean | undefined }): Promise<LeaseState>
  complete(run_id: string, lease_token: string, result: unknown, usage: UsageReport | undefined): Promise<StoredRun>
  fail(
    run_id: string,
    lease_token: string,
    said: { error: string; retryable: boolean; after_ms: number | undefined; usage: UsageReport | undefined },
  ): Promise<StoredRun>
  yield(run_id: string, lease_token: string, after_ms: number, reason: string | undefined): Promise<StoredRun>
}

/** The bots as they stand. */
export interface FleetControl {
  say(bot_id: string, change: { availability?: Availability; reason?: string | null; drained?: boolean; drained_reason?: string | null }): Promise<void>
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
  fleet: FleetControl
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
  hide: (text: string) => string
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

export const defaultLimit = 50

/** Throws Fault invalid_params where arguments of a command are not what they will be at every start. */
export function assertConstant(argv: readonly string[], at: string): void {
  if (argv.some(argument => argument.includes('{{') || argument.includes('\0')))
    throw new Fault('invalid_params', `${at} holds constants only: the event comes on standard input`, { data: { path: at } })
}

/** Returns where the filter of a trigger is in the params, such as triggers.2.filter. */
type PathOf = (trigger_id: string) => string

/** What makes changes count, where the triggers among them are not too much for the matcher; otherwise throws Fault invalid_params. */
export async function assertFits(
  { registry }: Pick<Context, 'registry'>,
  changes: DefinitionChange[],
  pathOf: PathOf = () => 'trigger.filter',
): Promise<Prepared> {
  const prepared = await registry.prepare(changes)
  if (!('reason' in prepared)) return prepared
  throw new Fault('invalid_params', `trigger ${prepared.id} is refused: ${prepared.reason}`, { data: { path: pathOf(prepared.id) } })
}

/** Writes definitions, all or none, and makes them count. Throws Fault conflict, and invalid_params where they are too much for the matcher. */
export function writeDefinitions(context: Context, changes: DefinitionChange[], owned: FileSetRow[] = [], pathOf?: PathOf): Promise<(Stamp | null)[]> {
  return context.registry.changing(changes, async () => {
    const prepared = await assertFits(context, changes, pathOf)
    const outcome = await context.store.write(changes, owned)
    if (outcome.kind !== 'written') throw unwritten(outcome)
    context.registry.apply(changes, outcome.objects, prepared)
    announce(context, changes)
    return outcome.objects
  })
}

function unwritten(outcome: Exclude<WriteOutcome, { kind: 'written' }>): Fault {
  switch (outcome.kind) {
    case 'conflict': {
      const { noun, id, expected, found } = outcome
      const is = found === 0 ? 'does not exist' : `is at version ${found}`
      return new Fault(
        'conflict',
        `${noun} ${id} ${is}, the call expected ${expected === 0 ? 'that it did not exist' : `version ${expected}`}; read it again and repeat the change`,
        { data: { found } },
      )
    }
    case 'in_use':
      return new Fault(
        'conflict',
        `${outcome.noun} ${outcome.id} has ${outcome.open_runs} runs that have not ended; cancel or discard them first, or ${outcome.noun === 'queue' ? 'pause' : 'disable'} it`,
      )
  }
}

/** Reports what was written to those that work with it. */
function announce({ botChanged, botDeleted, queuesChanged, sourcesChanged }: Context, changes: readonly DefinitionChange[]): void {
  for (const { noun, id, definition } of changes) if (noun === 'bot') (definition === null ? botDeleted : botChanged)(id)
  if (changes.some(change => change.noun === 'queue')) queuesChanged()
  const sources = changes.filter(change => change.noun === 'source')
  if (sources.length > 0) sourcesChanged(sources.map(({ id }) => id))
}

/** A param that may be omitted only on the socket of a command, where it is implied. */
export function missing(path: string): Fault {
  return new Fault('invalid_params', `${path} is required and missing`, { data: { path } })
}

/** known: the existing ids; the nearest one is suggested. */
export function notFound(noun: string, id: string, list: string, known?: Iterable<string>): Fault {
  return new Fault('not_found', noSuch(noun, id, list, known))
}

/** A trigger as it is now. Throws Fault not_found. */
export function storedTrigger({ registry }: Pick<Context, 'registry'>, trigger_id: string): Trigger {
  const trigger = registry.triggers.get(trigger_id)
  if (trigger === undefined) throw notFound('trigger', trigger_id, 'trigger.list', registry.triggers.keys())
  return trigger
}

/** A trigger as it was at a version. Throws Fault not_found. */
export async function triggerAt({ store }: Pick<Context, 'store'>, trigger_id: string, version: number): Promise<TriggerInput> {
  const found = await store.triggerVersion(trigger_id, version)
  if (found === null) throw new Fault('not_found', `there is no version ${version} of a trigger ${trigger_id}; trigger.versions shows what there is`)
  return found
}

/** Throws Fault not_found. */
export async function storedEvent({ store }: Pick<Context, 'store'>, event_id: string): Promise<StoredEvent> {
  const event = await store.event(event_id)
  if (event === null) throw notFound('event', event_id, 'event.query')
  return event
}

export function encodeCursor(value: string | number): string {
  return Buffer.from(String(value)).toString('base64url')
}

function decoded(cursor: string): string {
  return Buffer.from(cursor, 'base64url').toString('utf8')
}

export function decodeSeq(cursor: string | undefined, path = 'cursor'): number | null {
  if (cursor === undefined) return null
  const text = decoded(cursor)
  const seq = Number(text)
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(seq))
    throw new Fault('invalid_params', `unknown ${path}; omit it to start from the beginning`, { data: { path } })
  return seq
}

/**
 * A page of an answer ends with the entry that makes it as large: 500 runs with results of 64 KiB would be 33 MB, more than answers
 * that are not read may hold.
 */
export const pageBytes = 1_048_576

/** One page of objects sorted by id, which ends at pageBytes, too. */
export function pageById<T extends { id: string }>(all: Iterable<T>, limit: number = defaultLimit, cursor?: string): { page: T[]; next_cursor?: string } {
  const after = cursor === undefined ? '' : decoded(cursor)
  const rest = [...all].filter(item => item.id > after).toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const page: T[] = []
  let bytes = 0
  for (const item of rest.slice(0, limit)) {
    page.push(item)
    bytes += JSON.stringify(item).length
    if (bytes >= pageBytes) break
  }
  return rest.length > page.length ? { page, next_cursor: encodeCursor(page.at(-1)!.id) } : { page }
}

/**
 * A page of what the store has, and what its next one begins after. read: answers entries after one, and fewer than it is asked for
 * where they are large; isCut: whether it may have done that.
 */
export async function pageOf<T>(
  { limit = defaultLimit, after }: { limit: number | undefined; after: number | null },
  read: (after: number | null, limit: number) => Promise<T[]>,
  seqOf: (entry: T) => number,
  isCut: (page: T[]) => boolean,
): Promise<{ page: T[]; next: number | null }> {
  const found = await read(after, limit + 1)
  const page = found.slice(0, limit)
  const last = page.length === 0 ? null : seqOf(page.at(-1)!)
  const isMore = found.length > limit || (last !== null && isCut(page) && (await read(last, 1)).length > 0)
  return { page, next: isMore ? last : null }
}
