// Separation of those who cause a run and those who approve it. A run is caused by the principal of its event or of its replay, by the
// accounts of its events, by everything that caused the runs that caused its events, and by those who changed it before it began.
import { Fault } from '../errors.ts'
import type { Config } from '../contract/types.ts'
import type { Store, StoredRun } from '../store/store.ts'
import { localPrincipal, type Principal } from './principal.ts'

/** Runs of one chain of causes that are looked at. The loop guard holds longer chains. */
const mostRuns = 100

interface Causers {
  principals: Set<string>
  /** accounts, in lower case */
  actors: Set<string>
  bots: Set<string>
}

type Reading = Pick<Store, 'run' | 'event' | 'runEvents' | 'auditEntries'>

/** Changes of runs that are looked at, newest first. */
const mostChanges = 1000

/** The principals that changed a run. */
async function changersOf(store: Reading, run: StoredRun): Promise<string[]> {
  const changes = await store.auditEntries({
    method: 'run.update',
    outcome: 'done',
    since: run.created_at,
    limit: mostChanges,
    after: null,
  })
  return changes.filter(({ ids }) => ids.includes(run.id)).map(({ principal }) => principal)
}

/** Everything that caused a run. What is no longer stored is not among it. */
async function causersOf(store: Reading, first: StoredRun): Promise<Causers> {
  const causers: Causers = {
    principals: new Set(await changersOf(store, first)),
    actors: new Set(),
    bots: new Set(),
  }
  const seen = new Set([first.id])
  const runs = [first]
  for (let run = runs.shift(); run !== undefined; run = runs.shift()) {
    causers.bots.add(run.bot_id)
    if (run.requested_by !== null) causers.principals.add(run.requested_by)
    const [event, batch] = await Promise.all([store.event(run.event_id), store.runEvents(run.id)])
    for (const { requested_by, actor, causation } of [...batch, ...(event === null ? [] : [event])]) {
      if (requested_by !== null) causers.principals.add(requested_by)
      if (actor !== null) causers.actors.add(actor.toLowerCase())
      if (causation === null || seen.has(causation.run_id) || seen.size >= mostRuns) continue
      seen.add(causation.run_id)
      const cause = await store.run(causation.run_id)
      if (cause !== null) runs.push(cause)
    }
  }
  return causers
}

/** Throws Fault forbidden if a principal, or the person that it names, caused the run that it approves. */
export async function assertOtherPerson(
  { store, config }: { store: Reading; config: Pick<Config, 'approval'> },
  principal: Principal,
  run: StoredRun,
  claimed_by?: string,
): Promise<void> {
  // A login that was created over the control socket acts as its user.
  const isUser = principal.id === localPrincipal.id || principal.interface === 'command'
  if (isUser && config.approval.other_person !== true) return
  const { principals, actors, bots } = await causersOf(store, run)
  const why = principals.has(principal.id)
    ? `${principal.id} caused it`
    : principal.bot_id !== undefined && bots.has(principal.bot_id)
      ? `${principal.id} works for bot ${principal.bot_id}, which runs it or caused it`
      : claimed_by !== undefined && actors.has(claimed_by.toLowerCase())
        ? `${claimed_by} caused it`
        : undefined
  if (why !== undefined)
    throw new Fault('forbidden', `run ${run.id} must be approved by another person: ${why}`, {
      reason: 'E_OWN_RUN',
    })
}
