// A run as its trigger makes it for an event: where it waits, for whom, and the gates that it carries, keys rendered.
import { hash } from 'node:crypto'
import { defaults } from '../contract/defaults.ts'
import { completeBudgets } from '../contract/budgets.ts'
import type { Policy, Trigger } from '../contract/types.ts'
import { needKey, type Need, type NewRun } from '../store/store.ts'
import { budgetGate, type RateGate, type RunFlow } from '../store/flow.ts'
import { renderKey } from './inputs.ts'

const longestKey = 200
const defaultApprovalMs = 60_000

/** The lowest priority: replays go after everything that is happening now. */
const replayPriority = -100

/** Reads an event as templates see it; asked only where a key is. */
export type Scope = () => unknown

/** What shares a limit, as part of a lane's name: long ones by their hash. */
function keyText(template: string | undefined, scope: Scope): string {
  if (template === undefined) return ''
  return shortened(renderKey(template, scope()))
}

function shortened(text: string): string {
  return text.length <= longestKey
    ? text
    : `${text.slice(0, longestKey - 33)}~${hash('sha256', text).slice(0, 32)}`
}

/** A throttle as limits over time: its burst is the same rate, looked at over less of it. */
function throttleRates(
  key: string,
  { limit, period_ms, burst }: NonNullable<Policy['throttle']>,
): RateGate[] {
  const whole = { key, limit, period_ms }
  if (burst === undefined || burst >= limit) return [whole]
  return [whole, { key, limit: burst, period_ms: Math.ceil((period_ms * burst) / limit) }]
}

/** The approver: people, who take their time, or a bot, which is asked about so many runs at once. */
function asked({ bot_id, timeout_ms }: NonNullable<Policy['approval']>): NonNullable<RunFlow['approval']> {
  if (bot_id === undefined) return { timeout_ms: timeout_ms ?? null }
  return { lane: `approver:${bot_id}`, timeout_ms: timeout_ms ?? defaultApprovalMs }
}

/** The gates over time: a rate limit and a debounce. */
function timesOf(policy: Policy, lane: (kind: string, key: string | undefined) => string): Partial<RunFlow> {
  const { rate_limit, debounce } = policy
  return {
    ...(rate_limit === undefined
      ? {}
      : {
          rate_limit: {
            key: lane('rate', rate_limit.key),
            limit: rate_limit.limit,
            period_ms: rate_limit.period_ms,
          },
        }),
    ...(debounce === undefined
      ? {}
      : {
          debounce: {
            lane: lane('debounce', debounce.key),
            period_ms: debounce.period_ms,
            max_wait_ms: debounce.max_wait_ms ?? 10 * debounce.period_ms,
            delay_ms: leastWait(policy),
          },
        }),
  }
}

/** What a run waits for among other runs: its order, its budgets, the runs that it depends on. */
function orderOf(policy: Policy, id: string, queue: string, scope: Scope): Partial<RunFlow> {
  const { order_key, budget, depends_on } = policy
  return {
    ...(order_key === undefined
      ? {}
      : {
          order: {
            lane: `order:${queue}:${keyText(order_key, scope)}`,
            on_dead: policy.on_dead ?? defaults.Policy.on_dead,
          },
        }),
    ...(budget === undefined
      ? {}
      : { budgets: completeBudgets(budget, 'trigger').map(each => budgetGate(`trigger:${id}`, each)) }),
    ...(depends_on === undefined
      ? {}
      : {
          depends_on: {
            triggers: depends_on,
            on_failed: policy.on_failed_dependency ?? defaults.Policy.on_failed_dependency,
          },
        }),
  }
}

/** The gates of a run; undefined where the policy has none, so that the store looks for nothing. */
function flowOf(
  { id, policy }: Trigger,
  queue: string,
  scope: Scope,
  repeat_limit: RateGate | undefined,
): RunFlow | undefined {
  const lane = (kind: string, key: string | undefined): string => `${kind}:${id}:${keyText(key, scope)}`
  const { batch, singleton, concurrency, throttle, approval } = policy
  const throttleLane = throttle === undefined ? '' : lane('throttle', throttle.key)
  const flow: RunFlow = {
    ...(repeat_limit === undefined ? {} : { repeat_limit }),
    ...timesOf(policy, lane),
    ...(batch === undefined
      ? {}
      : { batch: { lane: lane('batch', batch.key), max: batch.max, timeout_ms: batch.timeout_ms } }),
    ...(singleton === undefined
      ? {}
      : { singleton: { lane: lane('singleton', singleton.key), on_conflict: singleton.on_conflict } }),
    ...(concurrency === undefined
      ? {}
      : { concurrency: { lane: lane('concurrency', concurrency.key), limit: concurrency.limit } }),
    ...(throttle === undefined
      ? {}
      : { throttle: { lane: throttleLane, rates: throttleRates(throttleLane, throttle) } }),
    ...orderOf(policy, id, queue, scope),
    ...(approval === undefined || approval.questions?.includes('start') === false
      ? {}
      : { approval: asked(approval) }),
  }
  for (const name of ['max_age_ms', 'start_timeout_ms', 'timeout_ms', 'idle_timeout_ms'] as const)
    if (policy[name] !== undefined) flow[name] = policy[name]
  return Object.keys(flow).length === 0 ? undefined : flow
}

/** What a run waits after its event whatever its gates say. */
function leastWait({ retry, delay_ms = 0 }: Policy): number {
  return Math.max(Array.isArray(retry) ? retry[0]! : 0, delay_ms)
}

/** When a run may begin at the earliest. */
function firstDue({ policy }: Trigger, at: number, replay: boolean): number {
  const gathered = replay ? 0 : Math.max(policy.debounce?.period_ms ?? 0, policy.batch?.timeout_ms ?? 0)
  return at + Math.max(leastWait(policy), gathered)
}

/** What the bot of a run must offer, where none is named; with what the run gets back when it is given back. */
function needOf({ action, policy }: Trigger, allowed_tools: string[] | undefined): Need | undefined {
  if (action.bot_id !== undefined) return undefined
  const { capabilities = [], owner } = action
  return {
    capabilities,
    ...(owner === undefined ? {} : { owner }),
    ...(policy.queue === undefined ? {} : { queue: policy.queue }),
    ...(allowed_tools === undefined ? {} : { allowed_tools }),
  }
}

/** Of an event that no run caused: in which conversation of which source it is, and whether that is a forge's. */
export interface Conversation {
  source_id: string
  thread: string
  isForge: boolean
}

/** How often a trigger may make runs about one conversation. The thread is hashed where it is long, as keys are. */
function repeatLimit(
  { id, policy }: Trigger,
  { source_id, thread, isForge }: Conversation,
): RateGate | undefined {
  const limit = policy.repeat_limit === undefined && isForge ? defaults.RepeatLimit : policy.repeat_limit
  return limit == null
    ? undefined
    : {
        key: `repeat:${id}:${source_id}:${shortened(thread)}`,
        limit: limit.limit,
        period_ms: limit.period_ms,
      }
}

export interface RunMaking {
  id: string
  at: number
  wait_ms: number
  replay: boolean
  scope: Scope
  /** undefined: the event is in none, or was caused by a run */
  conversation: Conversation | undefined
  /** the principal that causes it; absent: none is known */
  requested_by?: string | undefined
}

/** Throws Fault bad_request for a payload that a key needs and that is no JSON. */
export function newRun(
  trigger: Trigger,
  { id, at, wait_ms, replay, scope, conversation, requested_by }: RunMaking,
  tools: (trigger: Trigger) => string[] | undefined,
): NewRun {
  const { action, policy } = trigger
  const allowed_tools = tools(trigger)
  const need = needOf(trigger, allowed_tools)
  const queue = policy.queue ?? action.bot_id ?? ''
  const repeat_limit = conversation === undefined || replay ? undefined : repeatLimit(trigger, conversation)
  const flow = flowOf(trigger, queue, scope, repeat_limit)
  // Its age counts from when it may begin.
  if (flow?.max_age_ms !== undefined) flow.max_age_ms += wait_ms
  return {
    id,
    trigger_id: trigger.id,
    trigger_version: trigger.version,
    bot_id: action.bot_id ?? needKey(need!),
    queue,
    workflow_id: action.workflow_id ?? null,
    priority: replay ? replayPriority : (policy.priority ?? defaults.Policy.priority),
    not_before: firstDue(trigger, at, replay) + wait_ms,
    replay,
    ...(requested_by === undefined ? {} : { requested_by }),
    ...(need === undefined ? {} : { need }),
    ...(allowed_tools === undefined ? {} : { allowed_tools }),
    ...(flow === undefined ? {} : { flow }),
  }
}
