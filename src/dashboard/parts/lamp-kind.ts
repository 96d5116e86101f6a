// Which lamp a state has: a shape, a colour and a word. Pure: no DOM.
import type { Gate, Run } from '../../contract/types.ts'

/** clear ● · active ▶ · held ○ · stop ■ · caution ▲ · miss — */
export type LampKind = 'clear' | 'active' | 'held' | 'stop' | 'caution' | 'miss'

const ofState: Record<Run['state'], LampKind> = {
  pending: 'held',
  awaiting_approval: 'held',
  held: 'held',
  assigned: 'active',
  running: 'active',
  paused: 'held',
  completed: 'clear',
  failed: 'stop',
  timed_out: 'stop',
  cancelled: 'miss',
}

/** A run that failed is a dead letter until it is retried or discarded. */
export function lampOfRun({ state, dead }: Pick<Run, 'state' | 'dead'>): { kind: LampKind; word: string } {
  const word = state.replaceAll('_', ' ')
  const isFailed = state === 'failed' || state === 'timed_out'
  return {
    kind: ofState[state],
    word: dead ? `${word}, dead letter` : isFailed ? `${word}, discarded` : word,
  }
}

export function lampOfGate({ verdict }: Pick<Gate, 'verdict'>): { kind: LampKind; word: string } {
  if (verdict === 'pass') return { kind: 'clear', word: 'pass' }
  return verdict === 'hold' ? { kind: 'held', word: 'hold' } : { kind: 'stop', word: 'stop' }
}

/** Whether a run has ended; a dead one has. */
export function isOver({ state }: Pick<Run, 'state'>): boolean {
  return state === 'completed' || state === 'failed' || state === 'timed_out' || state === 'cancelled'
}
