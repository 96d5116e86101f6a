// run.update: what a person changes of a run before it begins.
import type { RunState } from '../contract/types.ts'
import { Fault } from '../errors.ts'
import type { RunChange, Store, StoredRun } from '../store/store.ts'
import { move, type MoveName } from './run-state.ts'

/** Runs that are being moved by others meanwhile are looked at again so often. */
const tries = 3

export interface RunUpdate extends RunChange {
  /** the version of the run that the caller saw: its steps */
  version: number
  not_before?: number
  /** names of the context files, for the history */
  file_names?: readonly string[]
}

const names: Partial<Record<RunState, MoveName>> = {
  pending: 'update',
  held: 'update_held',
  awaiting_approval: 'update_awaiting',
}

/** What changed, for the history: values of inputs and contents of files stay out of it. */
function reasonOf(run: StoredRun, { priority, not_before, inputs, file_names }: RunUpdate): string {
  const words = [
    ...(priority === undefined ? [] : [`priority ${run.priority} to ${priority}`]),
    ...(not_before === undefined
      ? []
      : [`not_before ${new Date(run.not_before).toISOString()} to ${new Date(not_before).toISOString()}`]),
    ...(inputs === undefined ? [] : ['inputs']),
    ...(file_names === undefined
      ? []
      : [`context files: ${file_names.length === 0 ? 'none' : file_names.join(', ')}`]),
  ]
  const isVoid = run.approved || run.state === 'awaiting_approval'
  return `changed by a person: ${words.join('; ')}${isVoid ? '; its approval is void' : ''}`
}

/** Throws Fault not_found, invalid_state for a run that has begun or ended, and conflict for another version. */
export async function updateRun(
  run_id: string,
  update: RunUpdate,
  { store, now }: { store: Store; now: () => number },
): Promise<StoredRun> {
  const { version, not_before, file_names: _, ...change } = update
  for (let count = 0; count < tries; count++) {
    const run = await store.run(run_id)
    if (run === null) throw new Fault('not_found', `there is no run ${run_id}; run.list shows what there is`)
    const name = names[run.state]
    if (name === undefined || run.attempt > 0) {
      const is =
        name === undefined
          ? `is ${run.dead ? `dead (${run.state})` : run.state}`
          : `has begun: ${run.attempt} attempts`
      throw new Fault('invalid_state', `run ${run_id} ${is}; only a run that has not begun can be updated`, {
        data: { state: run.state },
      })
    }
    if (run.steps !== version)
      throw new Fault(
        'conflict',
        `run ${run_id} is at version ${run.steps}, the call expected version ${version}; run.preview shows it as it is now, then repeat the change`,
        { data: { found: run.steps, expected: version } },
      )
    const guards = {
      ...move(name),
      from: [run.state],
      steps_seen: version,
      ...(not_before === undefined ? {} : { not_before }),
    }
    const [outcome] = await store.move([
      { run_id, at: now(), ...guards, update: change, reason: reasonOf(run, update) },
    ])
    if (outcome?.kind === 'moved') return outcome.run
  }
  throw new Fault(
    'conflict',
    `run ${run_id} is being changed by others; look at it again with run.preview, then repeat the change`,
  )
}
