// The dispatcher: claims what is due for the bots that have room, and makes the attempts.
//
// It asks the store only when something can have come of it: a commit made runs, an attempt ended, a run of the future
// fell due, a breaker's pause is over, a bot was written. A bot is in #waiting while it may have due runs, and so is a
// need: what stands for the bot of runs that name capabilities.
// States: stopped -> running -> draining (claims nothing, attempts end) -> stopped.
import type { Bot, BotHealth } from '../contract/types.ts'
import {
  isNeed,
  needOf,
  type ClaimAnswer,
  type ClaimedRun,
  type ClaimRequest,
  type MoveOutcome,
  type Need,
  type RunMove,
  type Store,
} from '../store/store.ts'
import { attemptedFields, makeAttempt } from './attempt.ts'
import type { Attempted } from './outcome-moves.ts'
import type { AttemptOptions } from './attempt-options.ts'
import { Breakers, type BreakersOptions } from './breakers.ts'
import type { BotAvailability, Load } from './bot-availability.ts'
import { handedOver } from './lease-terms.ts'
import type { WorkerClaims } from './worker-claims.ts'
import { SpentBudgets } from './spent-budgets.ts'
import { move } from './run-state.ts'

/** How much longer than its attempt a lease lasts. */
const leaseSlackMs = 15_000
const longestTimerMs = 2 ** 31 - 1
/** How long a store that failed is left alone before it is asked again. */
const storePauseMs = 1000
/** Bots that are failing may together hold this share of all slots: one that hangs must not hold up one that works. */
const failingShare = 0.5

export interface DispatcherOptions extends BreakersOptions {
  store: Store
  attempt: AttemptOptions
  makeToken: () => string
  availabilities: BotAvailability
  /** runs of a bot whose workers ask for them may be due */
  wakeWorkers: (bot_id: string) => void
  /** how a bot whose workers ask stands */
  workerLoad: (bot_id: string) => Load
  /** runs that bots have taken and will finish later */
  handovers: () => Pick<WorkerClaims, 'activeOf' | 'hold' | 'drop'>
  /** runs that need an approval, or whose time limit has passed */
  onClaimed: (answer: Pick<ClaimAnswer, 'asked' | 'overdue'>) => void
}

interface Active {
  run: ClaimedRun
  abort: AbortController
  cancelled: boolean
  paused: boolean
  ended: Promise<void>
}

export class Dispatcher {
  readonly #options: DispatcherOptions
  /** bots that may have due runs; the number tells whether more came while a claim was under way */
  readonly #waiting = new Map<string, number>()
  /** by need: bots whose workers asked for runs and left some of it */
  readonly #passed = new Map<string, Set<string>>()
  /** what wakes anybody clears it */
  readonly #spent = new SpentBudgets()
  readonly #active = new Map<string, Active>()
  /** by run: the end of its attempt, with the move that it made */
  readonly #attempts = new Map<string, Promise<void>>()
  readonly #activePerBot = new Map<string, number>()
  readonly #breakers: Breakers
  #state: 'stopped' | 'running' | 'draining' = 'stopped'
  #claiming: Promise<void> | undefined
  #claimNotBefore = 0
  /** runs of the future may have fallen due, and only a claim tells whose */
  #due = false
  #paused: string | null = null
  /** how often something became due that may go */
  wakes = 0
  #timer: NodeJS.Timeout | undefined
  #timerAt = Infinity

  constructor(options: DispatcherOptions) {
    this.#options = options
    this.#breakers = new Breakers(options)
  }

  start(waiting_bots: string[], next_due_at: number | null, paused: string | null): void {
    if (this.#state === 'running') return
    this.#state = 'running'
    this.#paused = paused
    if (next_due_at !== null) this.#wakeAt(next_due_at)
    this.wake(waiting_bots)
  }

  /** Claims nothing more, waits for attempts to end, and after the grace aborts them: they are owed still. */
  async stop(graceMs: number): Promise<void> {
    if (this.#state !== 'running') return
    this.#state = 'draining'
    clearTimeout(this.#timer)
    await this.#claiming
    for (const { abort, paused } of this.#active.values()) if (paused) abort.abort()
    const all = (): Promise<unknown> => Promise.all([...this.#active.values()].map(active => active.ended))
    const { promise: over, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, graceMs)
    await Promise.race([all(), over])
    clearTimeout(timer)
    for (const { abort } of this.#active.values()) abort.abort()
    await all()
    this.#state = 'stopped'
  }

  /** Why nothing is dispatched; null: it is. */
  get paused(): string | null {
    return this.#paused
  }

  setPaused(reason: string | null): void {
    this.#paused = reason
    this.#pump()
    for (const bot of this.#options.bots.values())
      if (bot.endpoint.kind === 'pull') this.#options.wakeWorkers(bot.id)
  }

  /** The needs that runs may wait for, each with its key. */
  needs(): { key: string; need: Need }[] {
    return [...this.#waiting.keys()].filter(isNeed).map(key => ({ key, need: needOf(key) }))
  }

  /** These bots may have due runs now. */
  wake(bot_ids: Iterable<string>): void {
    for (const bot_id of bot_ids) this.#waits(bot_id)
    this.#pump()
  }

  #waits(bot_id: string): void {
    const { bots, availabilities, wakeWorkers } = this.#options
    const bot = bots.get(bot_id)
    if (!isNeed(bot_id)) this.#passed.clear()
    this.#spent.clear()
    if (bot?.endpoint.kind === 'pull') wakeWorkers(bot_id)
    // Of workers only those who sleep are waited for here: they have to be called first.
    if (bot?.endpoint.kind !== 'pull' || availabilities.isAsleep(bot)) this.#waiting.set(bot_id, ++this.wakes)
  }

  /** A run of the future was made outside of here. */
  dueAt(time: number): void {
    this.#wakeAt(time)
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

  /** Resolves once no attempt of a run is under way. */
  settled = async (run_id: string): Promise<void> => this.#attempts.get(run_id)

  activeOf(bot_id: string): number {
    return this.#activePerBot.get(bot_id) ?? 0
  }

  health(bot_id: string): BotHealth {
    return this.#breakers.health(bot_id)
  }

  /** A bot was written again: its earlier failures no longer count. */
  forget(bot_id: string): void {
    this.#breakers.forget(bot_id)
    this.wake([bot_id])
  }

  /** An attempt is paused or continues: the stop does not wait for a paused one. */
  standsStill(run_id: string, paused: boolean): void {
    const active = this.#active.get(run_id)
    if (active !== undefined) active.paused = paused
  }

  /** Runs that a bot may be given now. */
  #room(bot_id: string): number {
    const bot = this.#options.bots.get(bot_id)
    // A bot that is gone has no limits: its runs come to an end with that reason.
    if (bot === undefined) return this.#options.config.bot_max_active - this.activeOf(bot_id)
    if (!bot.enabled || bot.endpoint.kind === 'pull' || !this.#options.availabilities.takes(bot)) return 0
    return this.#closedRoom(bot)
  }

  /** Runs that a bot which takes runs has room for, after its breaker and its limit. */
  #closedRoom(bot: Bot): number {
    const { room, until } = this.#breakers.room(
      bot,
      this.activeOf(bot.id) + this.#options.handovers().activeOf(bot.id),
    )
    if (until !== null) this.#wakeAt(until)
    return room
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
    if (this.#state !== 'running' || this.#claiming !== undefined) return
    const { config, now, logBug } = this.#options
    if (now() < this.#claimNotBefore) return this.#wakeAt(this.#claimNotBefore)
    this.#endSpent(now())
    const limit = Math.max(0, config.max_active - this.#active.size)
    // Without a slot runs of the future fall due all the same: those of workers need none.
    const { bots, sleepers } =
      this.#paused === null ? this.#candidates(limit) : { bots: [], sleepers: new Map<string, Bot>() }
    if (bots.length === 0 && !this.#due) return
    this.#due = false
    this.#claiming = this.#claim(bots, limit, sleepers)
      .catch((error: unknown) => {
        logBug(error)
        this.#due = true
        this.#claimNotBefore = now() + storePauseMs
      })
      .then(() => {
        this.#claiming = undefined
        this.#pump()
      })
  }

  /** Bots whose budgets have room again: their workers may have been passed over. */
  #endSpent(now: number): void {
    for (const bot_id of this.#spent.ended(now)) {
      this.#passed.clear()
      if (this.#options.bots.get(bot_id)?.endpoint.kind === 'pull') this.#options.wakeWorkers(bot_id)
    }
  }

  spentUntil = (bot_id: string): number | undefined => this.#spent.until(bot_id)

  /** Bots that may have due runs and have room for them; sleepers are only asked about, by the key that they stand under. */
  #candidates(limit: number): { bots: ClaimRequest['bots']; sleepers: Map<string, Bot> } {
    const { config, availabilities, bots: known } = this.#options
    const bots: ClaimRequest['bots'] = []
    const sleepers = new Map<string, Bot>()
    const given = new Map<string, number>()
    const give = (bot_id: string, count: number): void =>
      void given.set(bot_id, (given.get(bot_id) ?? 0) + count)
    let share = Math.max(1, Math.floor(config.max_active * failingShare))
    for (const [bot_id, active] of this.#activePerBot) if (this.#breakers.isFailing(bot_id)) share -= active
    for (const key of this.#waiting.keys()) {
      if (isNeed(key)) {
        const { choices, puller, sleeper } = availabilities.choose(
          needOf(key),
          Math.max(1, limit),
          bot => this.#load(bot, given),
          this.#passed.get(key),
        )
        if (puller !== undefined) this.#options.wakeWorkers(puller)
        if (sleeper !== undefined) sleepers.set(key, sleeper)
        if (limit > 0) for (const { bot_id } of choices) give(bot_id, 1)
        if (sleeper !== undefined || (limit > 0 && choices.length > 0))
          bots.push({ bot_id: key, room: choices.length, choices: limit > 0 ? choices : [] })
        continue
      }
      const bot = known.get(key)
      if (bot !== undefined && availabilities.isAsleep(bot)) {
        if (availabilities.mayWake(bot)) {
          sleepers.set(key, bot)
          bots.push({ bot_id: key, room: 0 })
        }
        continue
      }
      if (bot?.endpoint.kind === 'pull') {
        this.#waiting.delete(key)
        continue
      }
      const own = this.#room(key) - (given.get(key) ?? 0)
      const room = Math.min(this.#breakers.isFailing(key) ? Math.min(own, share) : own, limit)
      if (room <= 0) continue
      if (this.#breakers.isFailing(key)) share -= room
      give(key, room)
      bots.push({ bot_id: key, room })
    }
    return { bots, sleepers }
  }

  /** How a bot stands that may be chosen; given: runs that this claim gives to bots already. */
  #load(bot: Bot, given: ReadonlyMap<string, number>): Load {
    if (this.#spent.until(bot.id) !== undefined) return { active: 0, room: 0 }
    if (bot.endpoint.kind === 'pull') {
      const load = this.#options.workerLoad(bot.id)
      return this.#options.availabilities.isAsleep(bot)
        ? { ...load, room: bot.max_active - load.active }
        : load
    }
    const taken = given.get(bot.id) ?? 0
    return {
      active: this.activeOf(bot.id) + this.#options.handovers().activeOf(bot.id) + taken,
      room: this.#closedRoom(bot) - taken,
    }
  }

  async #claim(bots: ClaimRequest['bots'], limit: number, sleepers: ReadonlyMap<string, Bot>): Promise<void> {
    const { store, now, makeToken, availabilities } = this.#options
    const asked = this.wakes
    const at = now()
    const answer = await store.claim({
      bots,
      limit,
      now: at,
      lease_token: makeToken(),
      lease_until: at + this.#leaseMs(),
    })
    this.note(answer, asked)
    for (const [key, bot] of sleepers)
      if (this.#waiting.has(key) && !answer.drained.includes(key)) availabilities.wake(bot)
    if (this.#state === 'running') for (const run of answer.runs) this.#begin(run)
    else await this.#putBack(answer.runs)
  }

  /** Runs that were claimed while the router began to end: they were not begun, so no attempt is counted. */
  async #putBack(runs: ClaimedRun[]): Promise<void> {
    const at = this.#options.now()
    await this.#options.store.move(
      runs.map(({ id, lease_token }) => ({
        run_id: id,
        lease_token: lease_token!,
        at,
        ...move('put_back'),
        uncount_attempt: true,
      })),
    )
  }

  /** Writes how an attempt ended, again and again until the store takes it: the lease guards it. */
  async #settle(run_move: RunMove): Promise<MoveOutcome | undefined> {
    const { store, logBug } = this.#options
    for (;;) {
      try {
        const [outcome] = await store.move([run_move])
        if (outcome?.kind !== 'usage_shrank') return outcome
        // A command reported more while it ran than its result says: that was used, and the attempt ends all the same.
        const { usage: _, ...rest } = run_move
        return (await store.move([rest]))[0]
      } catch (error) {
        logBug(error)
        if (this.#state !== 'running') return undefined
        await new Promise(resolve => setTimeout(resolve, storePauseMs))
      }
    }
  }

  #leaseMs(): number {
    return this.#options.config.command_timeout_ms + leaseSlackMs
  }

  /** What a claim told; asked: wakes by the time it was made. */
  note(
    { drained, blocked, spent, became_due, next_due_at, asked: questions, overdue }: ClaimAnswer,
    asked: number,
  ): void {
    for (const bot_id of [...drained, ...blocked])
      if ((this.#waiting.get(bot_id) ?? 0) <= asked) this.#waiting.delete(bot_id)
    for (const bot_id of became_due) this.#waits(bot_id)
    for (const { bot_id, until } of spent) {
      this.#spent.set(bot_id, until)
      this.#wakeAt(until)
    }
    if (next_due_at !== null) this.#wakeAt(next_due_at)
    if (questions.length > 0 || overdue.length > 0) this.#options.onClaimed({ asked: questions, overdue })
  }

  /** What the claim of a worker told, which asked for runs of some needs too; what it left others may have. */
  noteOfWorker(answer: ClaimAnswer, asked: number, bot_id: string, needs: readonly string[]): void {
    // Whether the needs find no room is not for one worker's claim to say.
    this.note({ ...answer, blocked: answer.blocked.filter(key => key === bot_id) }, asked)
    for (const key of needs) {
      if (answer.drained.includes(key)) continue
      const passed = this.#passed.get(key) ?? new Set()
      this.#passed.set(key, passed.add(bot_id))
    }
    if (needs.length > 0) this.#pump()
  }

  #begin(run: ClaimedRun): void {
    const abort = new AbortController()
    const active: Active = {
      run,
      abort,
      cancelled: run.cancel_requested,
      paused: false,
      ended: Promise.resolve(),
    }
    this.#active.set(run.id, active)
    this.#activePerBot.set(run.bot_id, this.activeOf(run.bot_id) + 1)
    active.ended = this.#attempt(active).catch(this.#options.logBug)
    this.#attempts.set(run.id, active.ended)
    // By then another attempt of the run may have begun.
    void active.ended.then(() => this.#attempts.get(run.id) === active.ended && this.#attempts.delete(run.id))
  }

  async #attempt(active: Active): Promise<void> {
    const { run, abort } = active
    const { attempt, log, now } = this.#options
    const begun = now()
    let attempted: Attempted
    try {
      attempted = await makeAttempt(run, abort.signal, () => active.cancelled, attempt)
    } finally {
      // The slot is free at once: the claim that fills it shares the transaction of this attempt's move.
      this.#active.delete(run.id)
      this.#activePerBot.set(run.bot_id, this.activeOf(run.bot_id) - 1)
    }
    const settled = this.#settle(attempted.run_move)
    const lease = handedOver(run, attempted.run_move)
    // Before the slot is filled: the bot still has the run.
    if (lease !== undefined) this.#options.handovers().hold(lease)
    this.#breakers.learn(run.bot_id, attempted)
    this.#pump()
    const outcome = await settled
    if (lease !== undefined && outcome?.kind !== 'moved') this.#options.handovers().drop(lease)
    log('run.attempted', attemptedFields(run, attempted, outcome, begun, now()))
    const { to, not_before: due = 0 } = attempted.run_move
    if (to !== 'pending') this.#pump()
    else if (due <= now()) this.wake([run.bot_id])
    else this.#wakeAt(due)
  }
}
