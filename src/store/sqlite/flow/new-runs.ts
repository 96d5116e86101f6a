// New runs before they are inserted.
import type { Assignment } from '../../../contract/types.ts'
import type { NewRun } from '../../store.ts'

/** Runs of one event so that each comes after those that it depends on. */
export function inOrder(runs: readonly NewRun[]): readonly NewRun[] {
  if (!runs.some(run => run.flow?.depends_on !== undefined)) return runs
  const byTrigger = new Map(runs.map(run => [run.trigger_id, run]))
  const ordered = new Set<NewRun>()
  const visit = (run: NewRun, way: readonly NewRun[]): void => {
    if (ordered.has(run) || way.includes(run)) return
    for (const id of run.flow?.depends_on?.triggers ?? [])
      if (byTrigger.has(id)) visit(byTrigger.get(id)!, [...way, run])
    ordered.add(run)
  }
  for (const run of runs) visit(run, [])
  return [...ordered]
}

/** How a run is assigned as long as no bot is chosen. */
export function unassigned({ need }: NewRun): Assignment | undefined {
  return need === undefined
    ? undefined
    : { capabilities: need.capabilities, ...(need.owner === undefined ? {} : { owner: need.owner }) }
}

export function jsonOrNull(value: unknown): string | null {
  return value === undefined ? null : JSON.stringify(value)
}
