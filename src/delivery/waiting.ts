// Why a run is not with its bot yet, in words: the first gate that keeps it.
import type { Bot, BotHealth, Config, Gate, QueueInput } from '../contract/types.ts'
import { dependencyLane } from '../store/flow.ts'
import type { StoredRun } from '../store/store.ts'
import { offers } from './assignment.ts'

import type { Fleet } from './fleet.ts'

export interface Waiting {
  gate: Gate['gate']
  detail: string
}

export interface WaitingOptions {
  dispatcher: { health: (bot_id: string) => BotHealth; active: number; paused: string | null }
  fleet: Fleet
  bots: ReadonlyMap<string, Bot>
  queues: ReadonlyMap<string, QueueInput>
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
const heldGates = { person: 'outbox', dependency: 'dependency', budget: 'budget', approval: 'approval' } as const

function iso(time: number): string {
  return new Date(time).toISOString()
}

/** The lane that a run is parked on. */
function parked({ parked_on, flow }: StoredRun): Waiting {
  const kind = parked_on!.split(':')[0]!
  if (parked_on === dependencyLane)
    return { gate: 'dependency', detail: `it waits for the runs of ${flow!.depends_on!.triggers.join(', ')} for the same event` }
  const words: Record<string, string> = {
    concurrency: `${flow?.concurrency?.limit} runs with its concurrency key are with bots`,
    singleton: 'another run with its singleton key is with a bot',
    throttle: 'it is throttled',
    approver: 'its approver is asked about others first',
    order: 'a run in front of it with the same order_key is not over',
  }
  return { gate: laneGates[kind] ?? 'outbox', detail: words[kind] ?? 'it waits for room' }
}

/** What keeps a run whose bot is to be found by its capabilities. */
function unassigned({ need }: StoredRun, { bots, queues, fleet, activeOf }: WaitingOptions): Waiting {
  const words = `[${need!.capabilities.join(', ')}]${need!.owner === undefined ? '' : ` to owner ${need!.owner}`}`
  const able = [...bots.values()].filter(bot => offers(bot, need!))
  if (able.length === 0) return { gate: 'assignment', detail: `held: no bot offers ${words}` }
  const standing = (bot: Bot): string => {
    if (!bot.enabled) return 'disabled'
    if (fleet.status(bot.id).drained) return 'drained'
    if (queues.get(bot.id)?.paused === true) return 'one whose queue is paused'
    if (activeOf(bot.id) >= bot.max_active) return 'full'
    if (fleet.isAsleep(bot)) return fleet.isWaking(bot.id) ? 'being woken' : 'sleeping'
    if (bot.endpoint.kind === 'pull') return 'one whose workers have not asked for it'
    return fleet.availability(bot)
  }
  const said = able.slice(0, 5).map(bot => `${bot.id} is ${standing(bot)}`)
  return { gate: 'assignment', detail: `no bot that offers ${words} takes it now: ${said.join(', ')}${able.length > 5 ? ', ...' : ''}` }
}

function queueWaits(queue: QueueInput | undefined): Waiting | undefined {
  if (queue?.paused !== true) return undefined
  return { gate: 'queue', detail: `queue ${queue.id} is paused${queue.paused_reason === undefined ? '' : `: ${queue.paused_reason}`}` }
}

function botWaits(bot: Bot, { dispatcher, fleet, config }: WaitingOptions, active: number): Waiting | undefined {
  if (!bot.enabled) return { gate: 'bot', detail: `bot ${bot.id} is disabled${bot.disabled_reason === undefined ? '' : `: ${bot.disabled_reason}`}` }
  const { drained, drained_reason } = fleet.status(bot.id)
  if (drained) return { gate: 'bot', detail: `bot ${bot.id} is drained${drained_reason === null ? '' : `: ${drained_reason}`}` }
  const health = dispatcher.health(bot.id)
  if (health.state !== 'closed')
    return {
      gate: 'breaker',
      detail: `the breaker of bot ${bot.id} is ${health.state} after ${health.consecutive_failures} failures in a row, until ${iso(health.open_until!)}`,
    }
  if (fleet.isAsleep(bot)) return { gate: 'bot', detail: `bot ${bot.id} sleeps and is ${fleet.isWaking(bot.id) ? 'being' : 'to be'} woken` }
  if (!fleet.takes(bot)) return { gate: 'bot', detail: `bot ${bot.id}: ${fleet.reason(bot.id) ?? 'it takes no runs now'}` }
  if (active >= bot.max_active) return { gate: 'concurrency', detail: `bot ${bot.id} has ${active} runs in hand, its limit is ${bot.max_active}` }
  if (bot.endpoint.kind === 'pull') return { gate: 'bot', detail: `no worker of bot ${bot.id} has asked for it yet` }
  if (dispatcher.active >= config.max_active)
    return { gate: 'concurrency', detail: `${dispatcher.active} runs are with bots, the router's limit is ${config.max_active}` }
  return undefined
}

/** undefined: nothing that is known keeps it. */
export function waitingFor(run: StoredRun, options: WaitingOptions): Waiting | undefined {
  const { bots, queues, dispatcher, now } = options
  if (run.state === 'held') return { gate: heldGates[run.held_by ?? 'person'], detail: `held: ${run.error ?? 'nobody said why'}` }
  if (run.state === 'awaiting_approval') return { gate: 'approval', detail: 'it waits for a yes: run.approve or run.deny' }
  if (run.parked_on !== null) return parked(run)
  if (dispatcher.paused !== null) return { gate: 'router', detail: `the router is paused${dispatcher.paused === '' ? '' : `: ${dispatcher.paused}`}` }
  const paused = queueWaits(queues.get(run.queue))
  if (paused !== undefined) return paused
  if (run.not_before > now()) return { gate: 'outbox', detail: `attempt ${run.attempt + 1} is due at ${iso(run.not_before)}` }
  if (run.bot_id.startsWith('?')) return unassigned(run, options)
  const bot = bots.get(run.bot_id)
  const kept = bot === undefined ? undefined : botWaits(bot, options, options.activeOf(run.bot_id))
  if (kept !== undefined) return kept
  const limit = queues.get(run.queue)
  if (limit?.max_active !== undefined || limit?.rate !== undefined) return { gate: 'queue', detail: `queue ${run.queue} has no room for it now` }
  return undefined
}
