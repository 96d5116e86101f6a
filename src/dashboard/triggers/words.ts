// What the list of triggers says of each. Pure: no DOM.
import type { Run, RouterStatsResult, Trigger } from '../../contract/types.ts'
import { filterText } from './filter-words.ts'

/** Whether a trigger has all words of a text, in its id, its description, its bot or its filter. */
export function hasText(
  { id, description = '', filter, event_source_id, action }: Trigger,
  text: string,
): boolean {
  const all =
    `${id} ${description} ${event_source_id ?? ''} ${action.bot_id ?? ''} ${filterText(filter)}`.toLowerCase()
  return text
    .toLowerCase()
    .split(/\s+/)
    .every(word => all.includes(word))
}

export interface Outcome {
  text: string
  /** of the runs that it counts, as the address of the runs has them */
  query: { state?: string; since?: string }
}

/** Runs of a trigger by outcome. What is over counts since then, what is not counts whenever it began. */
export function outcomesOf(
  id: string,
  { triggers, since }: Pick<RouterStatsResult, 'triggers' | 'since'>,
): Outcome[] {
  const stat = triggers.find(each => each.id === id)
  if (stat === undefined) return []
  const from = new Date(since).toISOString()
  const all: [number, string, Outcome['query']][] = [
    [stat.done, 'completed', { state: 'completed', since: from }],
    [stat.active, 'running', { state: 'running' }],
    // Pending, held or awaiting an approval: no one state of the list of runs.
    [stat.waiting, 'waiting', {}],
    [stat.dead, stat.dead === 1 ? 'dead letter' : 'dead letters', { state: 'dead letter' }],
    [stat.failed, 'cancelled or discarded', { since: from }],
  ]
  return all
    .filter(([many]) => many > 0)
    .map(([many, word, query]) => ({ text: `${many.toLocaleString('en-US')} ${word}`, query }))
}

/** The newest run of each trigger, of runs that are newest first. */
export function lastRuns(runs: readonly Run[]): ReadonlyMap<string, Run> {
  const last = new Map<string, Run>()
  for (const run of runs) if (!last.has(run.trigger_id)) last.set(run.trigger_id, run)
  return last
}
