// One attempt to deliver a run, as a list of steps over one record: body verified -> trigger and bot found -> inputs
// rendered -> composed -> delivered -> decided. Whatever happens ends in one move of the run.
import { leaseOfCallback, makeCallbackToken } from '../callback-token.ts'
import { DamagedError } from '../errors.ts'
import type { TriggerInput } from '../contract/types.ts'
import { exactJson } from '../exact-json.ts'
import type { ClaimedRun, MoveOutcome, RunMove, StoredRun, UsageReport } from '../store/store.ts'
import { composed, NotBegun, prepare, verifyBody, type Composition } from './composition.ts'
import { leaseMs } from './lease-terms.ts'
import { requestText } from './made-request.ts'
import { failure, type BotKind, type Delivery, type DeliveryResult } from './bot.ts'
import { move } from './run-state.ts'
import type { PushedEndpoint, AttemptOptions } from './attempt-options.ts'
import {
  maxOutputKept,
  maxErrorKept,
  type Attempted,
  shortError,
  isTriedAgain,
  nextTry,
  decide,
} from './outcome-moves.ts'

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
