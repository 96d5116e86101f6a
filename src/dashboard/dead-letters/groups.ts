// Dead runs by trigger, bot and error. Pure: no DOM.
import type { Run } from '../../contract/types.ts'

export interface DeadRuns {
  trigger_id: string
  bot_id: string | null
  error: string
  /** newest first */
  runs: Run[]
  first_at: number
  last_at: number
}

/** The largest group first. runs: newest first */
export function groupDead(runs: readonly Run[]): DeadRuns[] {
  const groups = Map.groupBy(runs, ({ trigger_id, bot_id, error }) =>
    JSON.stringify([trigger_id, bot_id, error ?? '']),
  )
  return [...groups.values()]
    .map(group => {
      const { trigger_id, bot_id, error = '' } = group[0]!
      return {
        trigger_id,
        bot_id,
        error,
        runs: group,
        first_at: group.at(-1)!.created_at,
        last_at: group[0]!.created_at,
      }
    })
    .toSorted((a, b) => b.runs.length - a.runs.length)
}
