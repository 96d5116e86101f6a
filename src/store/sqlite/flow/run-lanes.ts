// Which lanes a run is in, and for which it may wait, by the gates that it carries. Pure.
import { dependencyLane, type RunFlow } from '../../flow.ts'
import { budgetLanePrefix } from './budgets.ts'
import { isActive, isOpen } from './queues.ts'
import type { RunRow } from '../tables/run-rows.ts'
import { triggerLane } from './trigger-pauses.ts'

/** The lanes of a run in which active runs count, with their limits. */
export function slots(flow: RunFlow): { lane: string; limit: number; what: string }[] {
  const { singleton, concurrency } = flow
  return [
    ...(singleton === undefined ? [] : [{ lane: singleton.lane, limit: 1, what: 'singleton' }]),
    ...(concurrency === undefined
      ? []
      : [{ lane: concurrency.lane, limit: concurrency.limit, what: 'concurrency' }]),
  ]
}

/** The lanes that a run is in whatever it waits for, and whether it counts in each as active. */
export function ownLanes(
  { state }: RunRow,
  { order, singleton, concurrency, approval, repeat_held }: RunFlow,
): Map<string, 0 | 1> {
  const active = isActive(state) ? 1 : 0
  const own = new Map<string, 0 | 1>()
  if (repeat_held === true) return own
  if (order !== undefined && (isOpen(state) || order.on_dead === 'block')) own.set(order.lane, active)
  if (singleton !== undefined && isOpen(state)) own.set(singleton.lane, active)
  if (concurrency !== undefined && active === 1) own.set(concurrency.lane, active)
  if (approval?.lane !== undefined && state === 'awaiting_approval') own.set(approval.lane, 1)
  return own
}

/** Whether a run may wait for a lane. For its trigger, or for the budget of a bot or of the router any may: those change. */
export function mayWaitFor(trigger_id: string, flow: RunFlow, lane: string): boolean {
  return lane === triggerLane(trigger_id) || lane.startsWith(budgetLanePrefix) || lanesOf(flow).includes(lane)
}

/** Every lane that a run may wait for because of what it carries. */
function lanesOf({ order, singleton, concurrency, approval, throttle, depends_on }: RunFlow): string[] {
  const lanes = [order, singleton, concurrency, approval, throttle].flatMap(gate => gate?.lane ?? [])
  return depends_on === undefined ? lanes : [...lanes, dependencyLane]
}
