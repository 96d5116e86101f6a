// What bots report about themselves, whether they are drained, and which bot gets a run that names capabilities. A sleeping
// bot is woken before it is given a run.
import { defaults } from '../contract/defaults.ts'
import type { Bot } from '../contract/types.ts'
import type { BotStatus, Choice, Need, Store } from '../store/store.ts'
import { afterChoice, assignmentOf, offers, ranked, type Availability, type Standing } from './assignment.ts'

/** Logs a lifecycle event that is no move of a run. */
export type EmitLifecycle = (type: string, subject: string, payload: Record<string, unknown>) => void

export interface BotAvailabilityOptions {
  store: Store
  bots: ReadonlyMap<string, Bot>
  /** Whether the queue of a bot's own name is paused. */
  queuePaused: (id: string) => boolean
  /** Calls a sleeper; undefined: it is awake, else why not. */
  callWake: (bot: Bot, signal: AbortSignal) => Promise<string | undefined>
  now: () => number
  /** How long a sleeper that could not be woken is left alone. */
  wakePauseMs: number
  /** Runs may go that could not before. */
  changed: (bot_id: string) => void
  emitLifecycle: EmitLifecycle
  log: (event: string, fields: Record<string, unknown>) => void
  logBug: (error: unknown) => void
}

/** What the dispatcher and the worker claims report about one bot. */
export interface Load {
  active: number
  /** runs that it may be given now: after its breaker, its limit, and what asks for runs there */
  room: number
}

/** Who takes the next runs of a need. */
export interface Chosen {
  /** one each, best first */
  choices: Choice[]
  /** a bot of kind pull that stands best: its workers take what they ask for */
  puller?: string
  /** a bot that stands best and sleeps: it is to be woken if there is a run for it */
  sleeper?: Bot
}

const unsaid = { availability: null, reason: null, drained: false, drained_reason: null }

export class BotAvailability {
  readonly #options: BotAvailabilityOptions
  readonly #status = new Map<string, BotStatus>()
  readonly #heard = new Map<string, number>()
  /** sleepers that could not be woken, and why: they are left alone for a while */
  readonly #failed = new Map<string, string>()
  readonly #waking = new Map<string, Promise<void>>()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #stop = new AbortController()

  constructor(options: BotAvailabilityOptions) {
    this.#options = options
  }

  start(status: readonly BotStatus[]): void {
    for (const each of status) this.#status.set(each.bot_id, each)
  }

  stop(): void {
    this.#stop.abort()
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
  }

  status(bot_id: string): BotStatus {
    return this.#status.get(bot_id) ?? { bot_id, ...unsaid }
  }

  availability(bot: Bot): Availability {
    if (this.#failed.has(bot.id)) return 'degraded'
    return this.status(bot.id).availability ?? bot.availability ?? defaults.BotInput.availability
  }

  lastHeardAt(bot_id: string): number | undefined {
    return this.#heard.get(bot_id)
  }

  /** Why a bot has its availability; null: no reason was given. */
  reason(bot_id: string): string | null {
    return this.#failed.get(bot_id) ?? this.status(bot_id).reason
  }

  heard(bot_id: string): void {
    this.#heard.set(bot_id, this.#options.now())
    if (this.#failed.delete(bot_id)) this.#options.changed(bot_id)
  }

  /** Written when it changes: a heartbeat that says the same costs no commit. */
  async say(bot_id: string, change: Partial<Omit<BotStatus, 'bot_id'>>): Promise<void> {
    const { store, now, changed } = this.#options
    if (change.availability !== undefined && this.#failed.delete(bot_id)) changed(bot_id)
    const before = this.status(bot_id)
    const after = { ...before, ...change }
    if ((Object.keys(after) as (keyof BotStatus)[]).every(name => before[name] === after[name])) return
    // At once, so that what is said at the same time is said of this.
    this.#status.set(bot_id, after)
    await store.setBotStatus(after, now())
    if (before.drained !== after.drained)
      this.#emitLifecycle(after.drained ? 'bot.drained' : 'bot.undrained', bot_id, after.drained_reason)
    if (before.availability !== after.availability)
      this.#emitLifecycle(`bot.${after.availability}`, bot_id, after.reason)
    changed(bot_id)
  }

  /** A bot was deleted: one that is written under its id is another. */
  forget(bot_id: string): void {
    for (const each of [this.#status, this.#heard, this.#failed]) each.delete(bot_id)
  }

  #emitLifecycle(type: string, bot_id: string, reason: string | null): void {
    this.#options.emitLifecycle(type, bot_id, { bot: bot_id, ...(reason === null ? {} : { reason }) })
  }

  /** Whether a bot is to be given runs as it stands. */
  takes(bot: Bot): boolean {
    return !this.status(bot.id).drained && !this.#failed.has(bot.id) && !this.isAsleep(bot)
  }

  /** Whether a bot has to be woken before it is given anything. */
  isAsleep(bot: Bot): boolean {
    return bot.wake !== undefined && this.availability(bot) === 'sleeping'
  }

  /** Whether calling a sleeping bot now makes sense: no call is running, and none has just failed. */
  mayWake(bot: Bot): boolean {
    return bot.enabled && this.isAsleep(bot) && !this.status(bot.id).drained && !this.#waking.has(bot.id)
  }

  isWaking(bot_id: string): boolean {
    return this.#waking.has(bot_id)
  }

  wake(bot: Bot): void {
    if (!this.mayWake(bot)) return
    const { callWake, log, logBug, wakePauseMs } = this.#options
    const before = this.status(bot.id)
    const work = callWake(bot, this.#stop.signal)
      .then(async problem => {
        if (this.#stop.signal.aborted) return
        log('bot.woken', { bot_id: bot.id, error: problem })
        if (problem === undefined) await this.say(bot.id, { availability: 'ready', reason: null })
        // What it said itself meanwhile counts more than a call that failed.
        else if (this.status(bot.id) === before || this.status(bot.id).availability === before.availability)
          this.#couldNot(bot.id, problem, wakePauseMs)
      })
      .catch(logBug)
      .finally(() => {
        this.#waking.delete(bot.id)
        this.#options.changed(bot.id)
      })
    this.#waking.set(bot.id, work)
  }

  #couldNot(bot_id: string, problem: string, pauseMs: number): void {
    const reason = `it could not be woken: ${problem}`
    this.#failed.set(bot_id, reason)
    this.#emitLifecycle('bot.degraded', bot_id, reason)
    this.#later(pauseMs, () => {
      if (this.#failed.delete(bot_id)) this.#options.changed(bot_id)
    })
  }

  #later(ms: number, work: () => unknown): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      work()
    }, ms)
    this.#timers.add(timer)
  }

  /**
   * Who takes the next runs of a need, one each: the best, then the best of what is left, up to a number. It ends where
   * the best one is not the router's to give to: a bot of kind pull, whose workers take runs with their own claims, or a
   * sleeper, which a run is rather left to than given to a worse one. passed: bots of kind pull that took none of it.
   */
  choose(need: Need, most: number, load: (bot: Bot) => Load, passed?: ReadonlySet<string>): Chosen {
    let found = ranked(
      need,
      this.#standings(need, load).filter(({ bot }) => passed?.has(bot.id) !== true),
    )
    const choices: Choice[] = []
    while (choices.length < most && found.length > 0) {
      const { bot } = found[0]!.standing
      if (this.isAsleep(bot)) return { choices, ...(this.isWaking(bot.id) ? {} : { sleeper: bot }) }
      if (bot.endpoint.kind === 'pull') return { choices, puller: bot.id }
      choices.push({ bot_id: bot.id, assignment: assignmentOf(need, found, bot.id), tools: bot.tools })
      found = afterChoice(need, found)
    }
    return { choices }
  }

  /** The choice of a worker that asks for runs of a need itself. */
  chosen(need: Need, bot: Bot, active: number): Choice {
    const standing: Standing = { bot, availability: this.availability(bot), active, room: 1 }
    return {
      bot_id: bot.id,
      assignment: assignmentOf(need, ranked(need, [standing]), bot.id),
      tools: bot.tools,
    }
  }

  #standings(need: Need, load: (bot: Bot) => Load): Standing<Bot>[] {
    const { bots, queuePaused } = this.#options
    return [...bots.values()].flatMap((bot): Standing<Bot>[] => {
      if (!bot.enabled || !offers(bot, need) || this.status(bot.id).drained || queuePaused(bot.id)) return []
      const { active, room } = load(bot)
      const said = this.availability(bot)
      return room <= 0
        ? []
        : [{ bot, availability: said === 'ready' && active > 0 ? 'busy' : said, active, room }]
    })
  }
}
