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

export function lampOfRun({ state, dead }: Pick<Run, 'state' | 'dead'>): { kind: LampKind; word: string } {
  const word = state.replaceAll('_', ' ')
  // A run that failed and has attempts left waits for the next one.
  if ((state === 'failed' || state === 'timed_out') && !dead) return { kind: 'caution', word: `${word}, will retry` }
  return { kind: ofState[state], word: dead ? `${word}, dead letter` : word }
}

export function lampOfGate({ verdict }: Pick<Gate, 'verdict'>): { kind: LampKind; word: string } {
  if (verdict === 'pass') return { kind: 'clear', word: 'pass' }
  return verdict === 'hold' ? { kind: 'held', word: 'hold' } : { kind: 'stop', word: 'stop' }
}
