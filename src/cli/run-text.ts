// What several commands say of a run.
import { stripVTControlCharacters } from 'node:util'
import type { OutputPart, Run } from '../client/client.ts'

const over = new Set<Run['state']>(['completed', 'failed', 'timed_out', 'cancelled'])

/** Whether a run has ended; a dead one has. */
export function isOver({ state }: Pick<Run, 'state'>): boolean {
  return over.has(state)
}

export function stateText({ state, dead }: Pick<Run, 'state' | 'dead'>): string {
  return dead ? `dead (${state})` : state
}

/** Such as 40 % half way; '' where a run said nothing. */
export function progressText({ percent, message = '' }: Partial<NonNullable<Run['progress']>> = {}): string {
  return [percent === undefined ? '' : `${percent} %`, message].filter(text => text !== '').join(' ')
}

/** The text of some parts of output, without colours and the like. */
export function outputText(parts: readonly OutputPart[]): string {
  return stripVTControlCharacters(parts.map(part => part.text ?? '').join(''))
}
