// The dispatcher: claims what is due for the bots that have room, and makes the attempts.
//
// It asks the store only when something can have come of it: a commit made runs, an attempt ended, a run of the future
// fell due, a breaker's pause is over, a bot was written. A bot is in #waiting while it may have due runs.
// States: stopped -> running -> draining (claims nothing, attempts end) -> stopped.
import type { Bot, BotHealth, Config } from '../contract/types.ts'
import type { ClaimAnswer, ClaimedRun, Store } from '../store/store.ts'
import { makeAttempt, type Attempted, type AttemptOptions } from './attempt.ts'
import { breakerState, closedBreaker, disableAfter, recorded, type Breaker } from './breaker.ts'

/** How much longer than its attempt a lease lasts. */
const leaseSlackMs = 15_000
const longestTimerMs = 2 ** 31 - 1

export interface DispatcherOptions {
  store: Store
  config: Config
  bots: ReadonlyMap<string, Bot>
  attempt: AttemptOptions
  now: () => number
  makeToken: () => string
  disableBot: (bot_id: string, reason: string) => Promise<void>
  log: (event: string, fields: Record<string, unknown>) => void
  logBug: (error: unknown) => void
}

interface Active {
  run: ClaimedRun
  abort: AbortController
  cancelled: boolean
  ended: Promise<void>
}

export class Dispatcher {
  readonly #options: DispatcherOptions
  /** bots that may have due runs; the number tells whether more came while a claim was under way */
  readonly #waiting = new Map<string, number>()
  readonly #active = new Map<string, Active>()
  readonly #activePerBot = new Map<string, number>()
  readonly #breakers = new Map<string, Breaker>()
  #state: 'stopped' | 'running' | 'draining' = 'stopped'
  #claiming = false
  /** runs of the future may have fallen due, and only a claim tells whose */
  #due = false
  #wakes = 0
  #timer: NodeJS.Timeout | undefined
  #timerAt = Infinity

  constructor(options: DispatcherOptions) {
    this.#options = options
  }

  start(waiting_bots: string[], next_due_at: number | null): void {
    if (this.#state === 'running') return
    this.#state = 'running'
    if (next_due_at !== null) this.#wakeAt(next_due_at)
    this.wake(waiting_bots)
  }

  /** Claims nothing more, waits for attempts to end, and after the grace aborts them: they are owed still. */
  async stop(graceMs: number): Promise<void> {
    if (this.#state !== 'running') return
    this.#state = 'draining'
    clearTimeout(this.#timer)
    const all = (): Promise<unknown> => Promise.all([...this.#active.values()].map(active => active.ended))
    const { promise: over, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, graceMs)
    await Promise.race([all(), over])
    clearTimeout(timer)
    for (const { abort } of this.#active.values()) abort.abort()
    await all()
    this.#state = 'stopped'
  }

  /** These bots may have due runs now. */
  wake(bot_ids: Iterable<string>): void {
    for (const bot_id of bot_ids) this.#waiting.set(bot_id, ++this.#wakes)
    this.#pump()
  }

  /** Asks an attempt to end because its run was cancelled; false when the run is not with its bot. */
  cancel(run_id: string): boolean {
    const active = this.#active.get(run_id)
    if (active === undefined) return false
    active.cancelled = true
    active.abort.abort()
    return true
  }

  get active(): number {
    return this.#active.size
  }

  activeOf(bot_id: string): number {
    return this.#activePerBot.get(bot_id) ?? 0
  }

  health(bot_id: string): BotHealth {
    const breaker = this.#breakers.get(bot_id) ?? closedBreaker
    const { consecutive_failures, open_until } = breaker
    const state = breakerState(breaker, this.#options.now())
    return { state, consecutive_failures, ...(state === 'closed' ? {} : { open_until }) }
  }

  /** A bot was written anew: what is known of its failures counts no more. */
  forget(bot_id: string): void {
    this.#breakers.delete(bot_id)
    this.wake([bot_id])
  }

  /** Runs that a bot may be given now. */
  #room(bot_id: string): number {
    const bot = this.#options.bots.get(bot_id)
    // A bot that is gone has no limits: its runs come to an end with that reason.
    if (bot === undefined) return this.#options.config.bot_max_active - this.activeOf(bot_id)
    if (!bot.enabled) return 0
    const breaker = this.#breakers.get(bot_id) ?? closedBreaker
    switch (breakerState(breaker, this.#options.now())) {
      case 'closed':
        return bot.max_active - this.activeOf(bot_id)
      case 'half_open':
        return 1 - this.activeOf(bot_id)
      case 'open':
        this.#wakeAt(breaker.open_until)
        return 0
    }
  }

  #wakeAt(time: number): void {
    if (time >= this.#timerAt || this.#state !== 'running') return
    clearTimeout(this.#timer)
    this.#timerAt = time
    this.#timer = setTimeout(
      () => {
        this.#timerAt = Infinity
        this.#due = true
        this.#pump()
      },
      Math.min(Math.max(0, time - this.#options.now()), longestTimerMs),
    )
  }

  #pump(): void {
    if (this.#state !== 'running' || this.#claiming) return
    const limit = this.#options.config.max_active - this.#active.size
    const bots = [...this.#waiting.keys()].map(bot_id => ({ bot_id, room: this.#room(bot_id) })).filter(({ room }) => room > 0)
    if (limit <= 0 || (bots.length === 0 && !this.#due)) return
    this.#claiming = true
    this.#due = false
    void this.#claim(bots, limit)
      .catch((error: unknown) => {
        this.#options.logBug(error)
        this.#wakeAt(this.#options.now() + 1000)
      })
      .finally(() => {
        this.#claiming = false
      })
      .then(() => this.#pump())
  }

  async #claim(bots: { bot_id: string; room: number }[], limit: number): Promise<void> {
    const { store, now, makeToken } = this.#options
    const asked = this.#wakes
    const at = now()
    const answer = await store.claim({ bots, limit, now: at, lease_token: makeToken(), lease_until: at + this.#leaseMs() })
    this.#note(answer, asked)
    for (const run of answer.runs) this.#begin(run)
  }

  #leaseMs(): number {
    return this.#options.config.command_timeout_ms + leaseSlackMs
  }

  #note({ drained, became_due, next_due_at }: ClaimAnswer, asked: number): void {
    for (const bot_id of drained) if ((this.#waiting.get(bot_id) ?? 0) <= asked) this.#waiting.delete(bot_id)
    for (const bot_id of became_due) this.#waiting.set(bot_id, ++this.#wakes)
    if (next_due_at !== null) this.#wakeAt(next_due_at)
  }

  #begin(run: ClaimedRun): void {
    const abort = new AbortController()
    const active: Active = { run, abort, cancelled: run.cancel_requested, ended: Promise.resolve() }
    this.#active.set(run.id, active)
    this.#activePerBot.set(run.bot_id, this.activeOf(run.bot_id) + 1)
    active.ended = this.#attempt(active).catch(this.#options.logBug)
  }

  async #attempt(active: Active): Promise<void> {
    const { run, abort } = active
    const { attempt, log, now, store } = this.#options
    const begun = now()
    let attempted: Attempted
    try {
      attempted = await makeAttempt(run, abort.signal, () => active.cancelled, attempt)
    } finally {
      // The slot is free at once: the claim that fills it shares the transaction of this attempt's move.
      this.#active.delete(run.id)
      this.#activePerBot.set(run.bot_id, this.activeOf(run.bot_id) - 1)
    }
    const settled = store.move([attempted.run_move])
    this.#learn(run.bot_id, attempted)
    this.#pump()
    const [outcome] = await settled
    const { run_move, result } = attempted
    log('run.attempted', {
      run_id: run.id,
      event_id: run.event.id,
      trigger_id: run.trigger_id,
      bot_id: run.bot_id,
      attempt: run.attempt,
      move: run_move.move,
      state: outcome?.kind === 'moved' ? outcome.run.state : outcome?.kind,
      error: result.outcome === 'failure' ? result.error : undefined,
      duration_ms: now() - begun,
      since_event_ms: now() - run.event.received_at,
    })
    if (run_move.to === 'pending') this.#wakeAt(run_move.not_before ?? now())
    this.#pump()
  }

  #learn(bot_id: string, { healthy, result }: Attempted): void {
    const { now, config, disableBot, log, logBug } = this.#options
    const disable = (reason: string): void => {
      log('bot.disabled', { bot_id, reason })
      void disableBot(bot_id, reason).catch(logBug)
    }
    if (result.outcome === 'failure' && result.disable_bot === true) disable(result.error)
    if (healthy === null) return
    const before = this.#breakers.get(bot_id) ?? closedBreaker
    const after = recorded(before, healthy, now(), config.breaker_open_ms)
    this.#breakers.set(bot_id, after)
    if (after.open_until > before.open_until) log('bot.breaker_opened', { bot_id, consecutive_failures: after.consecutive_failures, open_until: after.open_until })
    if (after.consecutive_failures === disableAfter) disable(`${disableAfter} attempts in a row failed`)
  }
}
