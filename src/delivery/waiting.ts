// Why a run is not with its bot yet, in words: the first gate that keeps it.
import type { Bot, BotHealth, Config, Gate, QueueInput } from '../contract/types.ts'
import { dependencyLane } from '../store/flow.ts'
import { isNeed, pauseReason, type StoredRun, type TriggerPause } from '../store/store.ts'
import { offers } from './assignment.ts'
import type { BotAvailability } from './bot-availability.ts'

export interface Waiting {
  gate: Gate['gate']
  detail: string
}

export interface WaitingOptions {
  dispatcher: {
    health: (bot_id: string) => BotHealth
    active: number
    paused: string | null
    spentUntil: (bot_id: string) => number | undefined
  }
  availabilities: BotAvailability
  bots: ReadonlyMap<string, Bot>
  queues: ReadonlyMap<string, QueueInput>
  pauses: ReadonlyMap<string, TriggerPause>
  config: Config
  now: () => number
  /** runs that a bot has */
  activeOf: (bot_id: string) => number
}

const laneGates: Record<string, Gate['gate']> = {
  concurrency: 'concurrency',
  singleton: 'singleton',
  throttle: 'throttle',
  budget: 'budget',
  order: 'order',
  approver: 'approval',
}
const heldGates = {
  person: 'outbox',
  dependency: 'dependency',
  budget: 'budget',
  approval: 'approval',
  repeat_limit: 'repeat_limit',
} as const

function iso(time: number): string {
  return new Date(time).toISOString()
}

/** The lane that a run is parked on. */
function parked({ parked_on, flow }: StoredRun): Waiting {
  const kind = parked_on!.split(':')[0]!
  if (parked_on === dependencyLane)
    return {
      gate: 'dependency',
      detail: `waiting for the runs of ${flow!.depends_on!.triggers.join(', ')} for the same event`,
    }
  const throttled = flow?.throttle?.rates
    .map(({ limit, period_ms }) => `${limit} in ${period_ms / 1000} s`)
    .join(', ')
  const most = flow?.concurrency?.limit ?? 0
  const words: Record<string, string> = {
    concurrency: `its concurrency key allows ${most} ${most === 1 ? 'run' : 'runs'} at the same time, and ${most === 1 ? 'one is' : `${most} are`} running`,
    singleton: 'another run with its singleton key is running',
    throttle: `throttled: at most ${throttled} may begin`,
    approver: 'its approver is busy with other requests',
    order: 'waiting for an earlier run with the same order_key; signalbox queues show lists the blocked keys',
  }
  return { gate: laneGates[kind] ?? 'outbox', detail: words[kind] ?? 'waiting for capacity' }
}

/** What keeps a run whose bot is to be found by its capabilities. */
function unassigned(
  { need }: StoredRun,
  { bots, queues, availabilities, dispatcher, activeOf }: WaitingOptions,
): Waiting {
  const words = `[${need!.capabilities.join(', ')}]${need!.owner === undefined ? '' : ` to owner ${need!.owner}`}`
  const able = [...bots.values()].filter(bot => offers(bot, need!))
  if (able.length === 0) return { gate: 'assignment', detail: `held: no bot offers ${words}` }
  const standing = (bot: Bot): string => {
    if (!bot.enabled) return 'disabled'
    const { drained, drained_reason } = availabilities.status(bot.id)
    if (drained) return `drained${drained_reason === null ? '' : ` (${drained_reason})`}`
    if (queues.get(bot.id)?.paused === true) return 'one whose queue is paused'
    if (activeOf(bot.id) >= bot.max_active) return 'full'
    const spent = dispatcher.spentUntil(bot.id)
    if (spent !== undefined) return `one whose budget is spent until ${iso(spent)}`
    if (availabilities.isAsleep(bot)) return availabilities.isWaking(bot.id) ? 'being woken' : 'sleeping'
    if (bot.endpoint.kind === 'pull') return 'one whose workers have not claimed it'
    return availabilities.availability(bot)
  }
  const said = able.slice(0, 5).map(bot => `${bot.id} is ${standing(bot)}`)
  return {
    gate: 'assignment',
    detail: `no bot that offers ${words} takes it now: ${said.join(', ')}${able.length > 5 ? ', ...' : ''}`,
  }
}

function queueWaits(queue: QueueInput | undefined): Waiting | undefined {
  if (queue?.paused !== true) return undefined
  return {
    gate: 'queue',
    detail: `queue ${queue.id} is paused${queue.paused_reason === undefined ? '' : `: ${queue.paused_reason}`}`,
  }
}

function triggerWaits(pause: TriggerPause | undefined): Waiting | undefined {
  return pause === undefined ? undefined : { gate: 'trigger_paused', detail: pauseReason(pause) }
}

function botWaits(
  bot: Bot,
  { dispatcher, availabilities, config }: WaitingOptions,
  active: number,
): Waiting | undefined {
  if (!bot.enabled)
    return {
      gate: 'bot',
      detail: `bot ${bot.id} is disabled${bot.disabled_reason === undefined ? '' : `: ${bot.disabled_reason}`}`,
    }
  const { drained, drained_reason } = availabilities.status(bot.id)
  if (drained)
    return {
      gate: 'bot',
      detail: `bot ${bot.id} is drained${drained_reason === null ? '' : `: ${drained_reason}`}`,
    }
  const health = dispatcher.health(bot.id)
  if (health.state !== 'closed')
    return {
      gate: 'breaker',
      detail: `the breaker of bot ${bot.id} is ${health.state} after ${health.consecutive_failures} failures in a row, until ${iso(health.open_until!)}`,
    }
  if (availabilities.isAsleep(bot))
    return {
      gate: 'bot',
      detail: `bot ${bot.id} sleeps and is ${availabilities.isWaking(bot.id) ? 'being' : 'to be'} woken`,
    }
  if (!availabilities.takes(bot))
    return {
      gate: 'bot',
      detail: `bot ${bot.id}: ${availabilities.reason(bot.id) ?? 'it takes no runs now'}`,
    }
  if (active >= bot.max_active)
    return { gate: 'concurrency', detail: `bot ${bot.id} has ${active} runs, its limit is ${bot.max_active}` }
  if (bot.endpoint.kind === 'pull')
    return { gate: 'bot', detail: `no worker of bot ${bot.id} has claimed it yet` }
  if (dispatcher.active >= config.max_active)
    return {
      gate: 'concurrency',
      detail: `${dispatcher.active} runs are running, the router's limit is ${config.max_active}`,
    }
  return undefined
}

/** Who decides. */
function asksWhom({ flow }: StoredRun): string {
  const approver = flow?.approval?.lane?.slice('approver:'.length)
  return approver === undefined
    ? 'waiting for approval: approve or deny it'
    : `bot ${approver} is asked whether it may start`
}

/** Why a run is due later. */
function notYet({ attempt, attempt_base, not_before, denials, error, flow, replay }: StoredRun): Waiting {
  const at = iso(not_before)
  if (attempt > attempt_base)
    return {
      gate: 'outbox',
      detail: `attempt ${attempt + 1} is due at ${at}${error === null ? '' : `, after: ${error}`}`,
    }
  if (denials > 0)
    return { gate: 'approval', detail: `${error ?? 'denied'}; its approver is asked again at ${at}` }
  if (!replay && flow?.debounce !== undefined)
    return { gate: 'debounce', detail: `debounced until ${at} if no further event comes` }
  if (!replay && flow?.batch !== undefined)
    return { gate: 'batch', detail: `collecting events until ${at}, or until it has ${flow.batch.max}` }
  return { gate: 'outbox', detail: `attempt ${attempt + 1} is due at ${at}` }
}

/** undefined: nothing that is known keeps it. */
export function waitingFor(run: StoredRun, options: WaitingOptions): Waiting | undefined {
  const { bots, queues, dispatcher, now } = options
  if (run.damaged !== undefined)
    return {
      gate: 'outbox',
      detail: `its stored row is damaged (${run.damaged.join(', ')}); it ends with that reason`,
    }
  if (run.state === 'held')
    return { gate: heldGates[run.held_by ?? 'person'], detail: `held: ${run.error ?? 'no reason given'}` }
  if (run.state === 'paused') return { gate: 'outbox', detail: 'paused until it is resumed' }
  if (run.state === 'awaiting_approval') return { gate: 'approval', detail: asksWhom(run) }
  const stopped = triggerWaits(options.pauses.get(run.trigger_id))
  if (stopped !== undefined) return stopped
  if (run.parked_on !== null) return parked(run)
  if (dispatcher.paused !== null)
    return {
      gate: 'router',
      detail: `the router is paused${dispatcher.paused === '' ? '' : `: ${dispatcher.paused}`}`,
    }
  const paused = queueWaits(queues.get(run.queue))
  if (paused !== undefined) return paused
  if (run.not_before > now()) return notYet(run)
  if (isNeed(run.bot_id)) return unassigned(run, options)
  const bot = bots.get(run.bot_id)
  const kept = bot === undefined ? undefined : botWaits(bot, options, options.activeOf(run.bot_id))
  if (kept !== undefined) return kept
  const limit = queues.get(run.queue)
  const limits = [
    ...(limit?.max_active === undefined ? [] : [`${limit.max_active} at once`]),
    ...(limit?.rate === undefined ? [] : [`${limit.rate.limit} in ${limit.rate.period_ms / 1000} s`]),
  ]
  if (limits.length > 0)
    return {
      gate: 'queue',
      detail: `queue ${run.queue} has no room for it now: ${limits.join(', ')} may begin`,
    }
  return undefined
}
