// The runs of a queue on a time axis: what runs, what waits, and what each waits for. Pure: no DOM.
import type { Run } from '../../contract/types.ts'
import type { LampKind } from '../parts/lamp-kind.ts'

export interface QueueLane {
  run: Run
  kind: LampKind
  /** on the axis, from 0 to 1; the end is now */
  from: number
  until: number
  text: string
}

const order: Partial<Record<Run['state'], number>> = {
  running: 0,
  assigned: 1,
  paused: 2,
  pending: 3,
  awaiting_approval: 4,
  held: 5,
}

/** The runs that are not over, running ones first, then in the order in which they came. */
export function queueLanes(runs: readonly Run[], now: number): { lanes: QueueLane[]; since: number } {
  const open = runs.filter(({ state }) => order[state] !== undefined)
  const since = open.reduce((oldest, { created_at }) => Math.min(oldest, created_at), now)
  const length = Math.max(1, now - since)
  const lanes = open
    .toSorted(
      (a, b) => order[a.state]! - order[b.state]! || b.priority - a.priority || a.created_at - b.created_at,
    )
    .map((run): QueueLane => {
      const isRunning = order[run.state]! <= 1
      const text = run.waiting_for ?? run.progress?.message ?? run.state.replaceAll('_', ' ')
      return {
        run,
        kind: isRunning ? 'active' : 'held',
        from: (run.created_at - since) / length,
        until: 1,
        text,
      }
    })
  return { lanes, since }
}
