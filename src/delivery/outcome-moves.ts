// From the outcome of an attempt to the move of its run: completed, tried again, dead or cancelled.
import type { Policy } from '../contract/types.ts'
import type { AttemptRow, RunMove, StoredRun } from '../store/store.ts'
import type { Composition } from './composition.ts'
import type { DeliveryResult } from './bot.ts'
import { nextAttemptAt, schedule } from './retry-schedule.ts'
import { move } from './run-state.ts'
import { usageOfResult } from './usage.ts'
import type { AttemptOptions } from './attempt-options.ts'

export const maxOutputKept = 2048
export const maxErrorKept = 1000

/** How an attempt ended: what it says of the bot's health, and the move it makes of the run. */
export interface Attempted {
  result: DeliveryResult
  run_move: RunMove
  /** true: the bot did its part; false: it did not; null: nothing was learnt about it */
  healthy: boolean | null
}

/** Cut only after secrets are hidden: half of one would not be known again. */
export function shortError(error: string): string {
  return error.length > maxErrorKept ? `${error.slice(0, maxErrorKept - 3)}...` : error
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
export function isTriedAgain(policy: Policy | undefined, what: RetryClass, otherwise: boolean): boolean {
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
export function decide(
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
