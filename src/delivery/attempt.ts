// One attempt to deliver a run, as a list of steps over one record: body verified -> trigger and bot found -> inputs
// rendered -> composed -> delivered -> decided. Whatever happens ends in one move of the run.
import { leaseOfCallback, makeCallbackToken } from '../callback-token.ts'
import { type ContextFileBytes } from '../context-files.ts'
import { DamagedError } from '../errors.ts'
import type { Bot, Endpoint, Policy, TriggerInput } from '../contract/types.ts'
import { exactJson } from '../exact-json.ts'
import {
  type AttemptRow,
  type ClaimedRun,
  type MoveOutcome,
  type RunMove,
  type RunOverride,
  type StoredEvent,
  type StoredRun,
  type UsageReport,
} from '../store/store.ts'
import { composed, NotBegun, prepare, verifyBody, type Composition } from './composition.ts'
import type { Capture } from './capture.ts'
import { leaseMs } from './lease-terms.ts'
import { requestText } from './made-request.ts'
import {
  failure,
  type BotKind,
  type Delivery,
  type DeliveryResult,
  type EventView,
  type Render,
} from './bot.ts'
import { nextAttemptAt, schedule } from './retry-schedule.ts'
import { move } from './run-state.ts'
import type { ToolRules } from '../tools.ts'
import { usageOfResult } from './usage.ts'

const maxOutputKept = 2048
const maxErrorKept = 1000

/** Endpoints that the router delivers to itself. */
export type PushedEndpoint = Exclude<Endpoint, { kind: 'pull' }>

export interface AttemptOptions {
  kinds: { [K in PushedEndpoint['kind']]: BotKind<Extract<PushedEndpoint, { kind: K }>> }
  bot: (id: string) => Bot | undefined
  /** a trigger at the version that made the run */
  trigger: (id: string, version: number) => Promise<TriggerInput | null>
  render: Render
  tools: ToolRules
  /** the event as filters and templates see it */
  view: (event: StoredEvent) => EventView
  defaults: { retry_schedule_ms: readonly number[]; delivery_timeout_ms: number; command_timeout_ms: number }
  now: () => number
  random: () => number
  logBug: (error: unknown) => void
  /** a text without the secrets that the router knows */
  redact: (text: string) => string
  /** what an attempt prints, on its way to the store */
  capture: (run_id: string, attempt: number) => Capture
  /** the files that go with an event */
  contextFiles: (event_id: string) => Promise<ContextFileBytes[]>
  /** of the configuration; undefined: bots cannot call back */
  public_url: string | undefined
  /** what was changed of a run before it began */
  override: (run_id: string) => Promise<RunOverride | null>
}

/** How an attempt ended: what it says of the bot's health, and the move it makes of the run. */
export interface Attempted {
  result: DeliveryResult
  run_move: RunMove
  /** true: the bot did its part; false: it did not; null: nothing was learnt about it */
  healthy: boolean | null
}

/** The trigger of a run for those who look at its policy alone; one whose version is damaged has none: people decide. */
export async function readableTrigger(
  { trigger_id, trigger_version }: StoredRun,
  { trigger }: Pick<AttemptOptions, 'trigger'>,
): Promise<TriggerInput | null> {
  try {
    return await trigger(trigger_id, trigger_version)
  } catch (error) {
    if (error instanceof DamagedError) return null
    throw error
  }
}

/** Kinds of bots whose output is an answer as a whole. */
const isAnswered: Record<PushedEndpoint['kind'], boolean> = {
  http: true,
  unix_rpc: true,
  command: false,
  emit: false,
  notify: true,
}

/** What a bot finishes the run with later; unknown: the configuration does not say where it reaches the router. */
function callbackOf(record: Composition, { public_url }: AttemptOptions): Delivery['callback'] | 'unknown' {
  if (public_url === undefined) return 'unknown'
  const token = makeCallbackToken(record.run.id)
  record.handed = { lease_token: leaseOfCallback(token), timeout_ms: leaseMs(record.bot!.endpoint) }
  return { url: `${public_url.replace(/\/+$/, '')}/rpc`, token }
}

async function deliver(
  record: Composition,
  options: AttemptOptions,
  signal: AbortSignal,
): Promise<DeliveryResult> {
  const { run, bot, trigger, context, body } = record
  const { kinds, defaults, redact } = options
  const { endpoint } = bot!
  // The bot was written again, as a pull bot, since its run was claimed.
  if (endpoint.kind === 'pull')
    return failure('unreachable', `bot ${run.bot_id} takes no deliveries any more, its workers ask for runs`)
  const usual = endpoint.kind === 'command' ? defaults.command_timeout_ms : defaults.delivery_timeout_ms
  const own = endpoint.kind === 'emit' ? undefined : endpoint.timeout_ms
  const depth = (run.event.causation?.depth ?? 0) + 1
  const callback = endpoint.kind === 'http' && endpoint.callback === true ? callbackOf(record, options) : null
  if (callback === 'unknown')
    return failure(
      'refused',
      `bot ${run.bot_id} has callback, and public_url is not set in the configuration`,
      { status: 'E_CALLBACK' },
    )
  const event_ids = (run.events ?? [run.event]).map(event => event.id)
  const delivery: Delivery = {
    id: run.id,
    callback,
    own: { run_id: run.id, lease_token: run.lease_token!, bot_id: run.bot_id, event_ids, depth },
    capture: options.capture(run.id, run.attempt),
    made: (request, sent) => (record.request = requestText(request, sent, redact)),
    run_id: run.id,
    event_id: run.event.id,
    trigger_id: run.trigger_id,
    workflow_id: run.workflow_id,
    attempt: run.attempt,
    context,
    depth,
    body,
    scope: () => exactJson(body),
    timeout_ms: trigger.policy?.timeout_ms ?? own ?? usual,
    signal,
  }
  const result = hidden(await (kinds[endpoint.kind] as BotKind).deliver(endpoint, delivery), redact)
  // The row of the attempt has shorter ones.
  if (isAnswered[endpoint.kind] && (result.output?.length ?? 0) > maxOutputKept)
    await delivery.capture!.answer(result.output!)
  return result
}

/** Cut only after secrets are hidden: half of one would not be known again. */
function shortError(error: string): string {
  return error.length > maxErrorKept ? `${error.slice(0, maxErrorKept - 3)}...` : error
}

/** What a bot said, without secrets that it may have been near to. */
function hidden(result: DeliveryResult, redact: AttemptOptions['redact']): DeliveryResult {
  if (result.outcome === 'handed_over') return { ...result, output: redact(result.output) }
  const said = result.result === undefined || result.result === null ? {} : { result: redact(result.result) }
  if (result.outcome === 'aborted')
    return { ...result, ...said, ...(result.output === undefined ? {} : { output: redact(result.output) }) }
  if (result.outcome === 'failure')
    return { ...result, ...said, error: shortError(redact(result.error)), output: redact(result.output) }
  return { ...result, ...said, output: redact(result.output) }
}

function attemptRow(
  result: DeliveryResult,
  ended_at: number,
  outcome: AttemptRow['outcome'],
  made: Pick<Composition, 'started_at' | 'request'>,
): Omit<AttemptRow, 'number'> {
  const common = { started_at: made.started_at, ended_at, outcome, request: made.request ?? null }
  if (result.outcome === 'aborted')
    return { ...common, status: null, error: null, output: result.output?.slice(-maxOutputKept) ?? null }
  const error = result.outcome === 'failure' ? result.error.slice(0, maxErrorKept) : null
  return { ...common, status: result.status, error, output: result.output.slice(-maxOutputKept) }
}

type RetryClass = NonNullable<Policy['retry_on']>[number]

/** Whether a class of failures is tried again; otherwise: where the policy does not say which are. */
function isTriedAgain(policy: Policy | undefined, what: RetryClass, otherwise: boolean): boolean {
  return policy?.retry_on?.includes(what) ?? otherwise
}

/** When a run is tried again after a failure of some class; null: it is not. */
export function nextTry(
  run: Pick<StoredRun, 'attempt' | 'attempt_base'>,
  policy: Policy | undefined,
  what: RetryClass,
  otherwise: boolean,
  { defaults, now, random }: Pick<AttemptOptions, 'defaults' | 'now' | 'random'>,
  retry_after_ms?: number,
): number | null {
  if (!isTriedAgain(policy, what, otherwise)) return null
  return nextAttemptAt(
    schedule(policy?.retry, defaults.retry_schedule_ms),
    run.attempt - run.attempt_base,
    now(),
    random(),
    retry_after_ms,
  )
}

/** The one place where an outcome becomes a move. */
function decide(
  { run, trigger, ...made }: Partial<Composition> & Pick<Composition, 'run' | 'started_at'>,
  result: DeliveryResult,
  cancelled: boolean,
  options: AttemptOptions,
): Attempted {
  const at = options.now()
  const row = (outcome: AttemptRow['outcome']): { attempt: Omit<AttemptRow, 'number'> } => ({
    attempt: attemptRow(result, at, outcome, made),
  })
  const said =
    result.outcome === 'success'
      ? result.result
      : result.outcome === 'handed_over'
        ? null
        : (result.result ?? result.output ?? null)
  const usage = usageOfResult(said)
  const base = {
    run_id: run.id,
    lease_token: run.lease_token!,
    at,
    ...(usage === undefined ? {} : { usage }),
  }
  if (result.outcome === 'success') {
    return {
      result,
      healthy: true,
      run_move: { ...base, ...move('complete'), ...row('success'), result: result.result, error: null },
    }
  }
  if (result.outcome === 'handed_over') {
    const { lease_token: new_lease_token, timeout_ms } = made.handed!
    const reason = 'the bot answered 202, and finishes it later'
    return {
      result,
      healthy: true,
      run_move: { ...base, ...move('hand_over'), new_lease_token, lease_until: at + timeout_ms, reason },
    }
  }
  if (result.outcome === 'aborted') {
    if (cancelled)
      return {
        result,
        healthy: null,
        run_move: { ...base, ...move('acknowledge_cancel'), ...row('cancelled') },
      }
    const reason = 'the router stopped during this attempt'
    return {
      result,
      healthy: null,
      run_move: { ...base, ...move('recover'), ...row('unknown'), not_before: at, reason },
    }
  }
  return decideFailure({ run, trigger }, result, cancelled, { base, row, at, options })
}

/** The way in which decide writes a move. */
interface Deciding {
  base: Pick<RunMove, 'run_id' | 'lease_token' | 'at' | 'usage'>
  row: (outcome: AttemptRow['outcome']) => { attempt: Omit<AttemptRow, 'number'> }
  at: number
  options: AttemptOptions
}

/** A failure: cancelled, tried again, or dead. */
function decideFailure(
  { run, trigger }: Pick<Composition, 'run'> & Partial<Pick<Composition, 'trigger'>>,
  result: Extract<DeliveryResult, { outcome: 'failure' }>,
  cancelled: boolean,
  { base, row, at, options }: Deciding,
): Attempted {
  const { kind, error, retry_after_ms, status } = result
  // Asked to stop, and stopped one way or the other.
  if (cancelled)
    return {
      result,
      healthy: null,
      run_move: { ...base, ...move('acknowledge_cancel'), ...row('cancelled'), reason: error },
    }
  const policy = trigger?.policy
  // What began and failed is not begun again unless the trigger asks for it; a bot that never began is tried again.
  const began = kind === 'run' || (kind === 'timeout' && options.bot(run.bot_id)?.endpoint.kind === 'command')
  const again = kind !== 'refused' && isTriedAgain(policy, kind, !began || policy?.retry !== undefined)
  const next =
    kind === 'refused'
      ? null
      : nextTry(
          run,
          policy,
          kind,
          !began || policy?.retry !== undefined,
          { ...options, now: () => at },
          retry_after_ms,
        )
  // Who answers is well, whatever the answer; what the router found by itself says nothing of the bot.
  const healthy = status?.startsWith('E_') === true ? null : kind === 'run' || kind === 'refused'
  if (next !== null)
    return {
      result,
      healthy,
      run_move: { ...base, ...move('retry_later'), ...row('retry'), not_before: next, error, reason: error },
    }
  const name = kind === 'timeout' ? 'time_out' : 'fail'
  const outcome = kind === 'timeout' ? 'timeout' : again ? 'retry' : 'permanent'
  const reason = again ? `${error}; no attempt is left` : error
  return { result, healthy, run_move: { ...base, ...move(name), ...row(outcome), error, reason } }
}

/** A run as an approver is asked about it, whether its bot is chosen or not; or why it cannot be composed. Never throws. */
export async function prepareQuestion(
  run: ClaimedRun,
  options: AttemptOptions,
): Promise<{ body: string } | { problem: string }> {
  const record = { run, started_at: options.now(), bot: options.bot(run.bot_id) } as Composition
  try {
    verifyBody(record)
    await composed(record, options)
    return { body: record.body }
  } catch (error) {
    if (!(error instanceof NotBegun)) options.logBug(error)
    return {
      problem:
        error instanceof NotBegun
          ? error.message
          : "the question could not be put together; the router's log says why",
    }
  }
}

/** Why a run could not be prepared, as the result of its attempt. */
function notPrepared(error: unknown, options: AttemptOptions): DeliveryResult {
  // A bug, or a store that does not answer, must not strand the run: it is tried again like a bot that is away.
  const known = error instanceof NotBegun
  if (!known) options.logBug(error)
  return failure(
    known && !error.transient ? 'refused' : 'unreachable',
    known ? error.message : "the attempt could not be prepared; the router's log says why",
    { status: known ? error.status : 'E_ROUTER' },
  )
}

/** A run for a worker: its body, or the move that it makes because it has none. Never throws. */
export async function prepareForWorker(
  run: ClaimedRun,
  options: AttemptOptions,
): Promise<{ body: string } | { refused: RunMove }> {
  const record = { run: { ...run, attempt: run.attempt + 1 }, started_at: options.now() } as Composition
  try {
    await prepare(record, options)
    return { body: record.body }
  } catch (error) {
    return { refused: decide(record, notPrepared(error, options), false, options).run_move }
  }
}

/** What a worker says of a run that failed. */
export interface SaidFailure {
  error: string
  retryable: boolean
  after_ms: number | undefined
  usage: UsageReport | undefined
}

/** What becomes of a run that a worker says failed: tried again if it or the trigger wants that, else dead. */
export function failedByWorker(
  run: StoredRun,
  trigger: TriggerInput | null,
  said: SaidFailure,
  options: Pick<AttemptOptions, 'now' | 'random' | 'defaults'>,
): RunMove {
  const at = options.now()
  const policy = said.retryable ? { ...trigger?.policy, retry_on: undefined } : trigger?.policy
  const again = isTriedAgain(policy, 'run', said.retryable || policy?.retry !== undefined)
  const next = nextTry(run, policy, 'run', said.retryable || policy?.retry !== undefined, {
    ...options,
    now: () => at,
  })
  const { usage } = said
  const base = {
    run_id: run.id,
    lease_token: run.lease_token!,
    at,
    error: said.error,
    ...(usage === undefined ? {} : { usage }),
  }
  const attempt = {
    started_at: 0,
    ended_at: at,
    status: null,
    error: said.error.slice(0, maxErrorKept),
    output: null,
  }
  if (next !== null) {
    const not_before = said.after_ms === undefined ? next : at + said.after_ms
    return {
      ...base,
      ...move('retry_later'),
      attempt: { ...attempt, outcome: 'retry' },
      not_before,
      reason: said.error,
    }
  }
  return {
    ...base,
    ...move('fail'),
    attempt: { ...attempt, outcome: again ? 'retry' : 'permanent' },
    reason: again ? `${said.error}; no attempt is left` : said.error,
  }
}

/** What the log says of an attempt. */
export function attemptedFields(
  run: ClaimedRun,
  { run_move, result }: Attempted,
  outcome: MoveOutcome | undefined,
  begun: number,
  now: number,
): Record<string, unknown> {
  return {
    run_id: run.id,
    event_id: run.event.id,
    trigger_id: run.trigger_id,
    bot_id: run.bot_id,
    attempt: run.attempt,
    move: run_move.move,
    state: outcome?.kind === 'moved' ? outcome.run.state : outcome?.kind,
    error: result.outcome === 'failure' ? result.error : undefined,
    duration_ms: now - begun,
    since_event_ms: now - run.event.received_at,
  }
}

/** Makes one attempt. Never throws: whatever happens is an outcome. */
export async function makeAttempt(
  run: ClaimedRun,
  signal: AbortSignal,
  isCancelled: () => boolean,
  options: AttemptOptions,
): Promise<Attempted> {
  const record = { run, started_at: options.now() } as Composition
  try {
    await prepare(record, options)
    const result = await deliver(record, options, signal)
    return decide(record, result, isCancelled(), options)
  } catch (error) {
    return decide(record, notPrepared(error, options), isCancelled(), options)
  }
}
