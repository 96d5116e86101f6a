// run.retry_dead and run.discard_dead: many dead letters at once, first as a plan.
import { defaults } from '../../contract/defaults.ts'
import type { RunRetryDeadParams, RunRetryDeadResult } from '../../contract/types.ts'
import { chosenBot, type StoredRun } from '../../store/store.ts'
import type { Handlers } from '../jsonrpc.ts'
import type { Context } from './context.ts'

const mostGroups = 50
const pageSize = 500

type Group = RunRetryDeadResult['groups'][number]

/** What failed, without the line that a command printed last: that line is another one in each run. */
function cause(error: string): string {
  return /^(exit code \d+|ended by \w+|the command was ended after \d+ ms)(?=: )/.exec(error)?.[0] ?? error
}

function groupsOf(runs: readonly StoredRun[]): Group[] {
  const groups = new Map<string, Group>()
  for (const run of runs) {
    const group = { trigger_id: run.trigger_id, bot_id: chosenBot(run), error: cause(run.error ?? '') }
    const key = JSON.stringify(group)
    groups.set(key, { ...group, runs: (groups.get(key)?.runs ?? 0) + 1 })
  }
  return [...groups.values()].toSorted((a, b) => b.runs - a.runs).slice(0, mostGroups)
}

/** The dead runs of a selection, oldest first. */
async function selected(
  { store }: Context,
  { error, since = 0, until = Infinity, ...by }: Omit<RunRetryDeadParams, 'dry_run' | 'limit'>,
): Promise<StoredRun[]> {
  const found: StoredRun[] = []
  for (let after: number | null = null; ;) {
    const runs: StoredRun[] = await store.runs({ ...by, dead: true, limit: pageSize, after })
    const wanted = (run: StoredRun): boolean =>
      (error === undefined || run.error?.includes(error) === true) &&
      run.finished_at! >= since &&
      run.finished_at! < until
    found.push(...runs.filter(wanted))
    if (runs.length < pageSize) return found.toReversed()
    after = runs.at(-1)!.seq
  }
}

export function deadMethods(context: Context): Pick<Handlers, 'run.retry_dead' | 'run.discard_dead'> {
  /** act answers those that it did it to: others may have been faster. */
  async function all(
    { dry_run = defaults.DeadDryRun, limit = defaults.DeadLimit, ...selection }: RunRetryDeadParams,
    act: (runs: StoredRun[]) => Promise<StoredRun[]>,
  ): Promise<RunRetryDeadResult> {
    const found = await selected(context, selection)
    const wanted = found.slice(0, limit)
    const runs = dry_run ? wanted : await act(wanted)
    return { dry_run, runs: runs.length, groups: groupsOf(runs), more: found.length > wanted.length }
  }
  return {
    'run.retry_dead': params => all(params, runs => context.runs.retryDead(runs)),
    'run.discard_dead': ({ reason, ...params }) =>
      all(params, runs => context.runs.discardDead(runs, reason)),
  }
}
