// The states of a run and every move between them, in one table. Pure: a mover asks here what its move needs and leads
// to, and the store does it only if the run is still as the mover saw it.
import type { RunState } from '../contract/types.ts'

export interface Move {
  from: readonly RunState[]
  to: RunState
  /** the run is over and leaves the outbox */
  archive?: true
}

export const moves = {
  // In the outbox, on the way to a bot.
  hold: { from: ['pending', 'awaiting_approval'], to: 'held' },
  release: { from: ['held'], to: 'pending' },
  ask: { from: ['pending'], to: 'awaiting_approval' },
  approve: { from: ['awaiting_approval'], to: 'pending' },
  deny: { from: ['awaiting_approval'], to: 'held' },
  // Asked again later.
  deny_for_now: { from: ['awaiting_approval'], to: 'pending' },
  // Lets those behind it in its order go first.
  skip: { from: ['pending'], to: 'pending' },
  skip_held: { from: ['held'], to: 'held' },
  skip_failed: { from: ['failed'], to: 'failed' },
  skip_timed_out: { from: ['timed_out'], to: 'timed_out' },
  skip_awaiting: { from: ['awaiting_approval'], to: 'awaiting_approval' },
  // A gate keeps it waiting, or an event is added to it; the state stays.
  wait: { from: ['pending'], to: 'pending' },
  absorb: { from: ['pending'], to: 'pending' },
  absorb_held: { from: ['held'], to: 'held' },
  absorb_released: { from: ['held'], to: 'pending' },
  // A person changed it before it began: it is asked about again.
  update: { from: ['pending'], to: 'pending' },
  update_held: { from: ['held'], to: 'held' },
  update_awaiting: { from: ['awaiting_approval'], to: 'pending' },
  // What it depends on has ended badly, or it waits for that.
  hold_again: { from: ['held'], to: 'held' },
  // The question got lost with the process that asked it.
  ask_again: { from: ['awaiting_approval'], to: 'pending' },
  // Its event cannot be read any more.
  fail_waiting: { from: ['pending'], to: 'failed' },
  // Taken by the router itself, which begins at once, or by a worker, which says so.
  dispatch: { from: ['pending'], to: 'running' },
  claim: { from: ['pending'], to: 'assigned' },
  start: { from: ['assigned'], to: 'running' },
  // The holder is there still; nothing else changes.
  extend: { from: ['assigned'], to: 'assigned' },
  extend_running: { from: ['running'], to: 'running' },
  extend_paused: { from: ['paused'], to: 'paused' },
  progress: { from: ['running'], to: 'running' },
  pause: { from: ['running'], to: 'paused' },
  resume: { from: ['paused'], to: 'running' },
  // Its bot has taken it and will finish it later.
  hand_over: { from: ['running'], to: 'running' },
  // Back to the outbox: not begun, to be tried again, or left behind by the worker or process that had it.
  put_back: { from: ['assigned', 'running', 'paused'], to: 'pending' },
  retry_later: { from: ['running', 'paused'], to: 'pending' },
  recover: { from: ['assigned', 'running', 'paused'], to: 'pending' },
  recover_paused: { from: ['paused'], to: 'held' },
  // Ended.
  complete: { from: ['running', 'paused'], to: 'completed', archive: true },
  fail: { from: ['running', 'paused'], to: 'failed' },
  time_out: { from: ['assigned', 'running', 'paused'], to: 'timed_out' },
  cancel: { from: ['pending', 'awaiting_approval', 'held'], to: 'cancelled', archive: true },
  acknowledge_cancel: { from: ['assigned', 'running', 'paused'], to: 'cancelled', archive: true },
  // A request to the worker or process that has it; the state stays until the answer.
  request_cancel: { from: ['assigned'], to: 'assigned' },
  request_cancel_running: { from: ['running'], to: 'running' },
  request_cancel_paused: { from: ['paused'], to: 'paused' },
  request_pause: { from: ['running'], to: 'running' },
  request_resume: { from: ['paused'], to: 'paused' },
  // An approver denied what a caller wanted to do to it.
  refuse: { from: ['pending'], to: 'pending' },
  refuse_held: { from: ['held'], to: 'held' },
  refuse_awaiting: { from: ['awaiting_approval'], to: 'awaiting_approval' },
  refuse_assigned: { from: ['assigned'], to: 'assigned' },
  refuse_running: { from: ['running'], to: 'running' },
  refuse_paused: { from: ['paused'], to: 'paused' },
  // Dead runs, by a person.
  retry: { from: ['failed'], to: 'pending' },
  retry_timed_out: { from: ['timed_out'], to: 'pending' },
  discard: { from: ['failed'], to: 'failed', archive: true },
  discard_timed_out: { from: ['timed_out'], to: 'timed_out', archive: true },
} as const satisfies Record<string, Move>

export type MoveName = keyof typeof moves

/** The moves that a state allows. */
export function movesFrom(state: RunState): MoveName[] {
  return (Object.keys(moves) as MoveName[]).filter(name =>
    (moves[name].from as readonly RunState[]).includes(state),
  )
}

/** The parts of a store's RunMove that the table decides. */
export function move(name: MoveName): {
  move: string
  from: readonly RunState[]
  to: RunState
  archive?: boolean
} {
  const { from, to, archive }: Move = moves[name]
  return {
    move: name.replace(
      /_(running|paused|timed_out|held|failed|awaiting|again|released|waiting|assigned)$/,
      '',
    ),
    from,
    to,
    ...(archive === undefined ? {} : { archive }),
  }
}
