// The repeat limit of a run after it was created: whether it still has its pass, and whether it is kept out of its lanes. Pure.
//
// A run that has a pass carries the gate in its flow, and took the pass when it was created. One that gave its pass back, or
// that never had one because the limit was reached, carries no gate: so nothing is given back twice, or for another run.
import type { RunFlow } from '../../flow.ts'
import type { RunMove } from '../../store.ts'
import type { RunRow } from '../tables/run-rows.ts'

type Begun = Pick<RunRow, 'attempt'>

/** Whether a run was denied, or ended by a person, before it began: that was no repeat. */
export function givesPassBack(
  { attempt }: Begun,
  { repeat_limit, stopped_by_person }: RunFlow,
  move: RunMove,
): boolean {
  if (repeat_limit === undefined || attempt > 0) return false
  const ended = move.archive === true && (move.by_person === true || stopped_by_person === true)
  return ended || (move.to === 'held' && move.held_by === 'approval')
}

/** The flow of a run that was made although the limit was reached: it is held, without a pass. */
export function overLimit({ repeat_limit: _, ...flow }: RunFlow): RunFlow {
  return { ...flow, repeat_held: true }
}

/** The flow of a run that further events have changed: its pass stays that of the event that it was created for. */
export function withPassOf(before: RunFlow, { repeat_limit: _, ...flow }: RunFlow): RunFlow {
  return before.repeat_limit === undefined ? flow : { ...flow, repeat_limit: before.repeat_limit }
}

/** The flow of a run after a move; the same object where the move changes nothing of it. */
export function repeatsAfter(flow: RunFlow, row: Begun, move: RunMove): RunFlow {
  if (givesPassBack(row, flow, move)) {
    const { repeat_limit: _l, stopped_by_person: _s, ...rest } = flow
    return rest
  }
  // A worker that has it may begin it all the same: whether it did is known when it ends.
  if (
    flow.repeat_limit !== undefined &&
    row.attempt === 0 &&
    move.request_cancel === true &&
    move.by_person === true
  )
    return { ...flow, stopped_by_person: true }
  if (flow.repeat_held === true && move.to === 'pending') {
    const { repeat_held: _, ...rest } = flow
    return rest
  }
  return flow
}
