// What people may do to a run, and what they can learn of one that waits.
import type { Bot, Config, RunState } from '../contract/types.ts'
import { Fault } from '../errors.ts'
import type { MoveOutcome, RunMove, Store, StoredRun } from '../store/store.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { PullDesk } from './pull-desk.ts'
import { move, moves, movesFrom, type MoveName } from './run-state.ts'

export interface RunControlOptions {
  store: Store
  dispatcher: Dispatcher
  workers: Pick<PullDesk, 'activeOf'>
  bots: ReadonlyMap<string, Bot>
  config: Config
  now: () => number
}

/** Runs that are being moved by others meanwhile are looked at again so often. */
const tries = 3

export class RunController {
  readonly #options: RunControlOptions

  constructor(options: RunControlOptions) {
    this.#options = options
  }

  /** Makes the first of some moves that the run's state allows. Throws Fault not_found or invalid_state. */
  async #make(run_id: string, verb: string, names: readonly MoveName[], extra: Partial<RunMove>): Promise<StoredRun> {
    let last: MoveOutcome = { kind: 'not_found' }
    for (let count = 0; count < tries; count++) {
      for (const name of names) {
        ;[last = last] = await this.#options.store.move([{ run_id, at: this.#options.now(), ...move(name), ...extra }])
        if (last.kind === 'moved') return last.run
        if (last.kind === 'not_found') throw new Fault('not_found', `there is no run ${run_id}; run.list shows what there is`)
      }
      const { state } = (last as { run: StoredRun }).run
      if (!names.some(name => (moves[name].from as readonly RunState[]).includes(state))) break
    }
    const { state, dead } = (last as { run: StoredRun }).run
    const possible = new Set(
      movesFrom(state).filter(name => ['cancel', 'hold', 'release'].includes(name) || (dead && (name === 'retry' || name === 'discard'))),
    )
    const hint = possible.size > 0 ? `; possible is ${[...possible].map(name => `run.${name}`).join(', ')}` : ''
    throw new Fault('invalid_state', `run ${run_id} is ${dead ? `dead (${state})` : state}, which does not allow to ${verb} it${hint}`, { data: { state } })
  }

  async cancel(run_id: string, reason: string | undefined): Promise<StoredRun> {
    const said = reason ?? 'cancelled by a person'
    const run = await this.#options.store.run(run_id)
    const waits = run === null || !['assigned', 'running', 'paused'].includes(run.state)
    if (!waits) {
      const asked = await this.#make(run_id, 'cancel', ['request_cancel_running', 'request_cancel', 'request_cancel_paused'], {
        request_cancel: true,
        touch: 'noted',
        reason: said,
        error: said,
      }).catch((error: unknown) => {
        if (error instanceof Fault && error.fault === 'invalid_state') return undefined
        throw error
      })
      if (asked !== undefined) {
        this.#options.dispatcher.cancel(run_id)
        return asked
      }
    }
    return this.#make(run_id, 'cancel', ['cancel'], { reason: said, error: said })
  }

  /** Throws Fault not_found or invalid_state. */
  hold(run_id: string, reason: string | undefined): Promise<StoredRun> {
    const said = reason ?? 'held by a person'
    return this.#make(run_id, 'hold', ['hold'], { reason: said, error: said })
  }

  /** Throws Fault not_found or invalid_state. */
  async release(run_id: string): Promise<StoredRun> {
    const run = await this.#make(run_id, 'release', ['release'], { reason: 'released by a person', error: null })
    if (run.not_before > this.#options.now()) this.#options.dispatcher.dueAt(run.not_before)
    this.#options.dispatcher.wake([run.bot_id])
    return run
  }

  async retry(run_id: string): Promise<StoredRun> {
    const run = await this.#make(run_id, 'retry', ['retry', 'retry_timed_out'], {
      fresh_attempts: true,
      not_before: this.#options.now(),
      error: null,
      reason: 'retried by a person',
    })
    this.#options.dispatcher.wake([run.bot_id])
    return run
  }

  discard(run_id: string, reason: string | undefined): Promise<StoredRun> {
    return this.#make(run_id, 'discard', ['discard', 'discard_timed_out'], { reason: reason ?? 'discarded by a person' })
  }

  waitingFor(run: StoredRun): { gate: 'outbox' | 'bot' | 'breaker' | 'concurrency'; detail: string } | undefined {
    const { bots, dispatcher, config, now } = this.#options
    if (run.state === 'held') return { gate: 'outbox', detail: `held: ${run.error ?? 'nobody said why'}` }
    const bot = bots.get(run.bot_id)
    if (bot?.enabled === false)
      return { gate: 'bot', detail: `bot ${bot.id} is disabled${bot.disabled_reason === undefined ? '' : `: ${bot.disabled_reason}`}` }
    const health = dispatcher.health(run.bot_id)
    if (health.state !== 'closed')
      return {
        gate: 'breaker',
        detail: `the breaker of bot ${run.bot_id} is ${health.state} after ${health.consecutive_failures} failures in a row, until ${new Date(health.open_until!).toISOString()}`,
      }
    if (run.not_before > now()) return { gate: 'outbox', detail: `attempt ${run.attempt + 1} is due at ${new Date(run.not_before).toISOString()}` }
    const active = this.botActive(run.bot_id)
    if (bot !== undefined && active >= bot.max_active)
      return { gate: 'concurrency', detail: `bot ${bot.id} has ${active} runs in hand, its limit is ${bot.max_active}` }
    if (bot?.endpoint.kind === 'pull') return { gate: 'bot', detail: `no worker of bot ${bot.id} has asked for it yet` }
    if (dispatcher.active >= config.max_active)
      return { gate: 'concurrency', detail: `${dispatcher.active} runs are with bots, the router's limit is ${config.max_active}` }
    return undefined
  }

  botHealth = (bot_id: string): ReturnType<Dispatcher['health']> => this.#options.dispatcher.health(bot_id)
  botActive = (bot_id: string): number => this.#options.dispatcher.activeOf(bot_id) + this.#options.workers.activeOf(bot_id)
}
