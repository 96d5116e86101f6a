// What people may do to a run, and what they can learn of one that waits.
import type { Bot, Config, LeaseState, RunState } from '../contract/types.ts'
import { Fault } from '../errors.ts'
import {
  isWithWorker,
  type MoveOutcome,
  type RunMove,
  type Store,
  type StoredEvent,
  type StoredRun,
} from '../store/store.ts'
import { prepareQuestion } from './attempt.ts'
import type { AttemptOptions } from './attempt-options.ts'
import { noteProgress } from './command-progress.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { WorkerClaims } from './worker-claims.ts'
import { move, moves, movesFrom, type MoveName } from './run-state.ts'
import { updateRun, type RunUpdate } from './run-update.ts'
import type { Question, Supervisor } from './supervisor.ts'
import type { Extension } from './usage.ts'
import { waitingFor, type Waiting, type WaitingOptions } from './waiting.ts'

export interface RunControlOptions extends Omit<WaitingOptions, 'activeOf'> {
  store: Store
  dispatcher: Dispatcher
  workers: Pick<WorkerClaims, 'activeOf'>
  supervisor: Supervisor
  attempt: AttemptOptions
  /** Stops (or lets go on) the process of a command; false where it has none. */
  signal: (run: StoredRun, paused: boolean) => boolean
  bots: ReadonlyMap<string, Bot>
  config: Config
  now: () => number
}

/** The row of history for a no, one for each state. */
const refusals = [
  'refuse',
  'refuse_held',
  'refuse_awaiting',
  'refuse_assigned',
  'refuse_running',
  'refuse_paused',
] as const
/** Runs that are being moved by others meanwhile are looked at again so often. */
const tries = 3

/** A decision about a run that awaits approval. */
export interface Decision {
  approve: boolean
  trigger_version?: number | undefined
  /** the version of the run that was decided about: its steps */
  version?: number | undefined
  reason?: string | undefined
  /** who decides, as the caller says: nothing proves it */
  claimed_by?: string | undefined
}

/** A decision in the history of the run. */
function decisionReason(
  approve: boolean,
  reason: string | undefined,
  claimed_by: string | undefined,
): string {
  const verb = approve ? 'approved' : 'denied'
  if (claimed_by === undefined) return reason ?? `${verb} by a person`
  return `${verb} by ${claimed_by} (claimed)${reason === undefined ? '' : `: ${reason}`}`
}

export class RunController {
  readonly #options: RunControlOptions

  constructor(options: RunControlOptions) {
    this.#options = options
  }

  /** Makes the first of some moves that the run's state allows. Throws Fault not_found or invalid_state. */
  async #make(
    run_id: string,
    verb: string,
    names: readonly MoveName[],
    extra: Partial<RunMove>,
  ): Promise<StoredRun> {
    let last: MoveOutcome = { kind: 'not_found' }
    for (let count = 0; count < tries; count++) {
      for (const name of names) {
        const [outcome] = await this.#options.store.move([
          { run_id, at: this.#options.now(), ...move(name), ...extra },
        ])
        last = outcome!
        if (last.kind === 'moved') return last.run
        if (last.kind === 'not_found')
          throw new Fault('not_found', `there is no run ${run_id}; run.list shows what there is`)
      }
      const { state } = (last as { run: StoredRun }).run
      if (!names.some(name => (moves[name].from as readonly RunState[]).includes(state))) break
    }
    const { state, dead } = (last as { run: StoredRun }).run
    const possible = new Set(
      movesFrom(state).filter(
        name =>
          ['cancel', 'hold', 'release', 'approve', 'deny', 'pause', 'resume'].includes(name) ||
          (dead && (name === 'retry' || name === 'discard')),
      ),
    )
    if (['assigned', 'running', 'paused'].includes(state)) possible.add('cancel')
    const hint =
      possible.size > 0 ? `; possible is ${[...possible].map(name => `run.${name}`).join(', ')}` : ''
    throw new Fault(
      'invalid_state',
      `run ${run_id} is ${dead ? `dead (${state})` : state}, which does not allow to ${verb} it${hint}`,
      { data: { state } },
    )
  }

  async cancel(run_id: string, reason: string | undefined): Promise<StoredRun> {
    const said = reason ?? 'cancelled by a person'
    const run = await this.#options.store.run(run_id)
    await this.#ask('cancel', run)
    const waits = run === null || !['assigned', 'running', 'paused'].includes(run.state)
    if (!waits) {
      const asked = await this.#make(
        run_id,
        'cancel',
        ['request_cancel_running', 'request_cancel', 'request_cancel_paused'],
        {
          request_cancel: true,
          touch: 'noted',
          reason: said,
          error: said,
          by_person: true,
        },
      ).catch((error: unknown) => {
        if (error instanceof Fault && error.fault === 'invalid_state') return undefined
        throw error
      })
      if (asked !== undefined) {
        this.#options.dispatcher.cancel(run_id)
        return asked
      }
    }
    return this.#make(run_id, 'cancel', ['cancel'], { reason: said, error: said, by_person: true })
  }

  /** Throws Fault not_found or invalid_state. */
  hold(run_id: string, reason: string | undefined): Promise<StoredRun> {
    const said = reason ?? 'held by a person'
    return this.#make(run_id, 'hold', ['hold'], { reason: said, error: said })
  }

  /** Throws Fault not_found or invalid_state. */
  async release(run_id: string): Promise<StoredRun> {
    const run = await this.#make(run_id, 'release', ['release'], {
      reason: 'released by a person',
      error: null,
    })
    if (run.not_before > this.#options.now()) this.#options.dispatcher.dueAt(run.not_before)
    this.#options.dispatcher.wake([run.bot_id])
    return run
  }

  /** Makes one move of many dead runs; what was moved by others meanwhile is left out. */
  async #ofDead(
    runs: readonly StoredRun[],
    name: 'retry' | 'discard',
    extra: Partial<RunMove>,
  ): Promise<StoredRun[]> {
    const at = this.#options.now()
    const run_moves = runs.map(({ id, state }) => ({
      run_id: id,
      at,
      ...move(state === 'timed_out' ? `${name}_timed_out` : name),
      ...extra,
    }))
    const outcomes = await this.#options.store.move(run_moves)
    return runs.filter((_, index) => outcomes[index]!.kind === 'moved')
  }

  async retryDead(runs: readonly StoredRun[]): Promise<StoredRun[]> {
    const moved = await this.#ofDead(runs, 'retry', {
      ...this.#afresh(),
      reason: 'retried by a person, with others',
    })
    this.#options.dispatcher.wake(new Set(moved.map(run => run.bot_id)))
    return moved
  }

  discardDead(runs: readonly StoredRun[], reason: string | undefined): Promise<StoredRun[]> {
    return this.#ofDead(runs, 'discard', { reason: reason ?? 'discarded by a person, with others' })
  }

  #afresh(): Partial<RunMove> {
    return { fresh_attempts: true, not_before: this.#options.now(), error: null }
  }

  async retry(run_id: string): Promise<StoredRun> {
    const run = await this.#make(run_id, 'retry', ['retry', 'retry_timed_out'], {
      ...this.#afresh(),
      reason: 'retried by a person',
    })
    this.#options.dispatcher.wake([run.bot_id])
    return run
  }

  discard(run_id: string, reason: string | undefined): Promise<StoredRun> {
    return this.#make(run_id, 'discard', ['discard', 'discard_timed_out'], {
      reason: reason ?? 'discarded by a person',
    })
  }

  /** Asks the trigger's approver, where it is to be asked this. Throws Fault conflict on a no. */
  async #ask(question: Exclude<Question, 'start'>, run: StoredRun | null): Promise<void> {
    if (run === null || run.finished_at !== null) return
    const { approve, reason } = await this.#options.supervisor.ask(question, run)
    if (approve) return
    const note = {
      run_id: run.id,
      at: this.#options.now(),
      touch: 'noted' as const,
      reason: `to ${question}: ${reason}`,
    }
    await this.#options.store.move(refusals.map(name => ({ ...note, ...move(name) })))
    throw new Fault(
      'conflict',
      `the approver of trigger ${run.trigger_id} said no to ${question}: ${reason}; nothing was changed`,
      { data: { question } },
    )
  }

  async #run(run_id: string): Promise<StoredRun> {
    const run = await this.#options.store.run(run_id)
    if (run === null) throw new Fault('not_found', `there is no run ${run_id}; run.list shows what there is`)
    return run
  }

  /** What the bot of a run would be given now. Throws Fault not_found, and invalid_state for a run that has ended. */
  async preview(
    run_id: string,
    number?: number,
  ): Promise<{ run: StoredRun; event: StoredEvent; prepared: Awaited<ReturnType<typeof prepareQuestion>> }> {
    const { store, attempt } = this.#options
    const run = await this.#run(run_id)
    const event = await store.event(run.event_id)
    if (event === null)
      throw new Fault('not_found', `event ${run.event_id} of run ${run_id} is not stored any more`)
    const events = await store.runEvents(run_id)
    return {
      run,
      event,
      prepared: await prepareQuestion(
        { ...run, attempt: number ?? run.attempt, event, ...(events.length === 0 ? {} : { events }) },
        attempt,
      ),
    }
  }

  /** Throws Fault not_found, invalid_state, and conflict where the run is at another version. */
  async update(run_id: string, update: RunUpdate): Promise<StoredRun> {
    const run = await updateRun(run_id, update, this.#options)
    if (run.not_before > this.#options.now()) this.#options.dispatcher.dueAt(run.not_before)
    this.#options.dispatcher.wake([run.bot_id])
    return run
  }

  progress(
    run_id: string,
    lease_token: string,
    said: Pick<Extension, 'note' | 'progress' | 'usage'>,
  ): Promise<LeaseState> {
    return noteProgress(run_id, lease_token, said, this.#options)
  }

  /** A person's answer. Throws Fault not_found, invalid_state, and conflict where it is for another version. */
  async answer(
    run_id: string,
    { approve, trigger_version, version, reason, claimed_by }: Decision,
  ): Promise<StoredRun> {
    const { supervisor } = this.#options
    const run = await this.#run(run_id)
    if (trigger_version !== undefined && trigger_version !== run.trigger_version)
      throw new Fault(
        'conflict',
        `run ${run_id} is of version ${run.trigger_version} of trigger ${run.trigger_id}, the answer is for version ${trigger_version}`,
        {
          data: { found: run.trigger_version },
        },
      )
    const said = decisionReason(approve, reason, claimed_by)
    const guard = version === undefined ? {} : { steps_seen: version }
    return approve ? supervisor.approve(run, said, guard) : supervisor.deny(run, said, guard)
  }

  /** Throws Fault not_found, invalid_state, and conflict on an approver's no. */
  async pause(run_id: string, reason: string | undefined): Promise<StoredRun> {
    return this.#toggle(await this.#run(run_id), true, reason ?? 'asked to pause by a person')
  }

  async resume(run_id: string, reason: string | undefined): Promise<StoredRun> {
    return this.#toggle(await this.#run(run_id), false, reason ?? 'asked to go on by a person')
  }

  async #toggle(run: StoredRun, paused: boolean, reason: string): Promise<StoredRun> {
    const { bots, signal } = this.#options
    const verb = paused ? 'pause' : 'resume'
    // Who holds it is asked, whatever its bot has become meanwhile.
    const isWorkers = isWithWorker(run)
    const kind = bots.get(run.bot_id)?.endpoint.kind
    if (run.state === 'running' && !isWorkers && kind !== 'command')
      throw new Fault(
        'invalid_state',
        `bots of kind ${kind ?? 'unknown'} cannot be told to ${verb}; cancel run ${run.id} instead, or hold it while it waits`,
        {
          data: { state: run.state },
        },
      )
    await this.#ask(verb, run)
    if (isWorkers) {
      // Asked of a worker that has not paused yet, it need not any more.
      const names: MoveName[] = paused
        ? ['request_pause']
        : [
            'request_resume',
            ...(run.pause_requested && run.state === 'running' ? (['request_pause'] as const) : []),
          ]
      return this.#make(run.id, verb, names, { pause_requested: paused, touch: 'noted', reason })
    }
    const done = await this.#make(run.id, verb, [verb], { pause_requested: paused, reason })
    if (signal(run, paused)) {
      this.#options.dispatcher.standsStill(run.id, paused)
      return done
    }
    const back = paused ? 'resume' : 'pause'
    await this.#make(run.id, back, [back], {
      pause_requested: !paused,
      reason: 'its process could not be reached',
    })
    throw new Fault(
      'invalid_state',
      `the process of run ${run.id} has not begun yet, or is over; nothing was changed, try again in a moment`,
      {
        data: { state: run.state },
      },
    )
  }

  /** Lets the runs behind it in its order go first. Throws Fault not_found and invalid_state. */
  skip(run_id: string): Promise<StoredRun> {
    const names: MoveName[] = ['skip', 'skip_held', 'skip_failed', 'skip_timed_out', 'skip_awaiting']
    return this.#make(run_id, 'skip', names, { skip_order: true, reason: 'skipped: those behind it go on' })
  }

  waitingFor(run: StoredRun): Waiting | undefined {
    return waitingFor(run, { ...this.#options, activeOf: this.botActive })
  }

  botHealth = (bot_id: string): ReturnType<Dispatcher['health']> => this.#options.dispatcher.health(bot_id)
  botActive = (bot_id: string): number =>
    this.#options.dispatcher.activeOf(bot_id) + this.#options.workers.activeOf(bot_id)
}
