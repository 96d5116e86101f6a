// run.*: looking at runs, and what people may do to them.
import type { Attempt, Run, RunHistoryEntry, TriggerInput } from '../../contract/types.ts'
import { DamagedError } from '../../errors.ts'
import type { AttemptRow, HistoryRow, StoredRun } from '../../store/store.ts'
import { mapInTurns } from '../../turns.ts'
import { assertOtherPerson } from '../approver.ts'
import type { Handlers } from '../jsonrpc.ts'
import { shownRequest } from './run-request.ts'
import { cutOfRun } from './cut-tools.ts'
import type { Context } from './context.ts'
import { notFound } from './lookups.ts'
import { decodeSeq, encodeCursor, pageBytes, pageOf } from './pages.ts'
import { beginning } from './event.ts'
import { shownRun } from './shown-run.ts'

function shownAttempt({
  number,
  started_at,
  ended_at,
  outcome,
  status,
  error,
  output,
  request = null,
}: AttemptRow): Attempt {
  const made = shownRequest(request)
  return {
    number,
    started_at,
    ended_at,
    outcome,
    ...(status === null ? {} : { status }),
    ...(error === null ? {} : { error }),
    ...(output === null ? {} : { output }),
    ...(made === undefined ? {} : { request: made }),
  }
}

function shownMove({ reason, ...row }: HistoryRow): RunHistoryEntry {
  return reason === null ? row : { ...row, reason }
}

/** The trigger that a run was made by; null where its version is damaged: the run is shown all the same. */
async function readableVersion(
  { store }: Context,
  { trigger_id, trigger_version }: StoredRun,
): Promise<TriggerInput | null> {
  try {
    return await store.triggerVersion(trigger_id, trigger_version)
  } catch (error) {
    if (error instanceof DamagedError) return null
    throw error
  }
}

/** A run with the tools that its bot may not use although its trigger lists them. */
export async function runWithCuts(context: Context, run: StoredRun): Promise<Run> {
  const present = context.registry.triggers.get(run.trigger_id)
  const trigger = present?.version === run.trigger_version ? present : await readableVersion(context, run)
  const cut_tools = trigger === null ? [] : cutOfRun(context, run, trigger.action)
  return { ...shownRun(context, run), ...(cut_tools.length === 0 ? {} : { cut_tools }) }
}

export function runMethods(
  context: Context,
): Pick<
  Handlers,
  `run.${'get' | 'list' | 'history' | 'cancel' | 'retry' | 'discard' | 'hold' | 'release' | 'approve' | 'deny' | 'pause' | 'resume'}`
> {
  const { store, runs } = context

  async function answer(work: Promise<StoredRun>): Promise<{ run: Run }> {
    return { run: shownRun(context, await work) }
  }

  return {
    async 'run.get'({ run_id }) {
      const run = await store.run(run_id)
      if (run === null) throw notFound('run', run_id, 'run.list')
      return { run: await runWithCuts(context, run) }
    },
    async 'run.list'({ limit, cursor, ...given }) {
      const { page, next } = await pageOf(
        { limit, after: decodeSeq(cursor) },
        (after, count) => store.runs({ ...given, limit: count, after, max_bytes: pageBytes }),
        run => run.seq,
        found =>
          found.reduce((sum, { result, error }) => sum + (result?.length ?? 0) + (error?.length ?? 0), 0) >=
          pageBytes,
      )
      return {
        runs: await mapInTurns(page, run => shownRun(context, run)),
        ...(next === null ? {} : { next_cursor: encodeCursor(next) }),
        ...(await beginning(context, given)),
      }
    },
    async 'run.history'({ run_id }) {
      const found = await store.history(run_id)
      if (found === null) throw notFound('run', run_id, 'run.list')
      return { history: found.history.map(shownMove), attempts: found.attempts.map(shownAttempt) }
    },
    'run.cancel': ({ run_id, reason }) => answer(runs.cancel(run_id, reason)),
    'run.retry': ({ run_id }) => answer(runs.retry(run_id)),
    'run.discard': ({ run_id, reason }) => answer(runs.discard(run_id, reason)),
    'run.hold': ({ run_id, reason }) => answer(runs.hold(run_id, reason)),
    async 'run.release'({ run_id }, { principal }) {
      const run = await store.run(run_id)
      // It was denied: a release is an approval.
      if (run?.held_by === 'approval') await assertOtherPerson(context, principal, run)
      return answer(runs.release(run_id))
    },
    async 'run.approve'({ run_id, ...decided }, { principal }) {
      const run = await store.run(run_id)
      if (run !== null) await assertOtherPerson(context, principal, run, decided.claimed_by)
      return answer(runs.answer(run_id, { ...decided, approve: true }))
    },
    'run.deny': ({ run_id, ...decided }) => answer(runs.answer(run_id, { ...decided, approve: false })),
    'run.pause': ({ run_id, reason }) => answer(runs.pause(run_id, reason)),
    'run.resume': ({ run_id, reason }) => answer(runs.resume(run_id, reason)),
  }
}
