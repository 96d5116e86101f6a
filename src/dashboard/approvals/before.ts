// How earlier runs of a trigger ended, in a sentence. Pure: no DOM.
import type { Run } from '../../contract/types.ts'
import { plural } from '../text.ts'

/** runs: newest first; isAll: there are no others */
export function beforeText(runs: readonly Pick<Run, 'state'>[], isAll: boolean): string {
  const ended = runs.filter(
    ({ state }) =>
      state === 'completed' || state === 'failed' || state === 'timed_out' || state === 'cancelled',
  )
  if (ended.length === 0) return 'No run of this trigger has ended before.'
  const count = (...states: Run['state'][]): number =>
    ended.filter(({ state }) => states.includes(state)).length
  const [completed, failed, cancelled] = [
    count('completed'),
    count('failed', 'timed_out'),
    count('cancelled'),
  ]
  const parts = [
    completed === ended.length
      ? completed === 1
        ? 'it completed'
        : 'all completed'
      : completed > 0
        ? `${completed} completed`
        : '',
    failed > 0 ? `${failed} failed` : '',
    cancelled > 0 ? `${cancelled} cancelled or denied` : '',
  ].filter(part => part !== '')
  return `${isAll ? plural(ended.length, 'run') : `Of the last ${ended.length} runs`}${isAll ? ' before' : ''}: ${parts.join(', ')}.`
}
