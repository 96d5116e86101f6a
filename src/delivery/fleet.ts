// The bots as they stand: what they say of themselves, whether they are drained, and which of them a run goes to that
// names capabilities. A sleeper is woken before it is given anything.
import type { Bot } from '../contract/types.ts'
import type { BotStatus, Choice, Need, Store } from '../store/store.ts'
import { assignmentOf, offers, ranked, type Availability, type Standing } from './assignment.ts'

/** Tells everybody of something that is no move of a run, as a lifecycle event. */
export type Tell = (type: string, subject: string, payload: Record<string, unknown>) => void

export interface FleetOptions {
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
  tell: Tell
  log: (event: string, fields: Record<string, unknown>) => void
  logBug: (error: unknown) => void
}

/** What the two ways to bots tell of one. */
export interface Load {
  active: number
  /** the bot may be given a run now: its breaker is closed, or a worker of it asks */
  open: boolean
}

const unsaid = { availability: null, reason: null, drained: false, drained_reason: null }

export class Fleet {
  readonly #options: FleetOptions
  readonly #status = new Map<string, BotStatus>()
  readonly #heard = new Map<string, number>()
  readonly #waking = new Map<string, Promise<void>>()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #stop = new AbortController()

  constructor(options: FleetOptions) {
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
    return this.status(bot.id).availability ?? bot.availability ?? 'ready'
  }

  lastHeardAt(bot_id: string): number | undefined {
    return this.#heard.get(bot_id)
  }

  heard(bot_id: string): void {
    this.#heard.set(bot_id, this.#options.now())
  }

  /** Written when it changes: a heartbeat that says the same costs no commit. */
  async say(bot_id: string, change: Partial<Omit<BotStatus, 'bot_id'>>): Promise<void> {
    const { store, now, changed } = this.#options
    const before = this.status(bot_id)
    const after = { ...before, ...change }
    if ((Object.keys(after) as (keyof BotStatus)[]).every(name => before[name] === after[name])) return
    await store.setBotStatus(after, now())
    this.#status.set(bot_id, after)
    if (before.drained !== after.drained) this.#tell(after.drained ? 'bot.drained' : 'bot.undrained', bot_id, after.drained_reason)
    if (before.availability !== after.availability) this.#tell(`bot.${after.availability}`, bot_id, after.reason)
    changed(bot_id)
  }

  #tell(type: string, bot_id: string, reason: string | null): void {
    this.#options.tell(type, bot_id, { bot: bot_id, ...(reason === null ? {} : { reason }) })
  }

  /** Whether a bot is to be given runs at all; begins to wake one that sleeps. */
  takes(bot: Bot): boolean {
    if (this.status(bot.id).drained) return false
    if (this.availability(bot) !== 'sleeping' || bot.wake === undefined) return true
    this.#wake(bot)
    return false
  }

  #wake(bot: Bot): void {
    if (this.#waking.has(bot.id)) return
    const { callWake, log, logBug, wakePauseMs } = this.#options
    const work = callWake(bot, this.#stop.signal)
      .then(async problem => {
        if (this.#stop.signal.aborted) return
        log('bot.woken', { bot_id: bot.id, error: problem })
        await this.say(
          bot.id,
          problem === undefined ? { availability: 'ready', reason: null } : { availability: 'degraded', reason: `it could not be woken: ${problem}` },
        )
        if (problem !== undefined) this.#later(wakePauseMs, () => this.say(bot.id, { availability: 'sleeping', reason: null }).catch(logBug))
      })
      .catch(logBug)
      .finally(() => this.#waking.delete(bot.id))
    this.#waking.set(bot.id, work)
  }

  #later(ms: number, work: () => unknown): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      work()
    }, ms)
    this.#timers.add(timer)
  }

  /** Whether any bot that is there offers what is needed. */
  isOffered(need: Need): boolean {
    return [...this.#options.bots.values()].some(bot => bot.enabled && offers(bot, need))
  }

  /**
   * Who takes the next runs of a need, one each: the best, then the best of what is left, up to a number. Bots of kind
   * pull take them with their own claims, so the best being one of them is told apart. Begins to wake the best sleeper.
   */
  choose(need: Need, most: number, load: (bot: Bot) => Load): { choices: Choice[]; pullers: string[] } {
    const standings = this.#standings(need, load)
    const choices: Choice[] = []
    const pullers = new Set<string>()
    const asleep = new Set<string>()
    for (let left = most; left > 0; left--) {
      const found = ranked(
        need,
        standings.filter(each => !asleep.has(each.bot.id)),
      )
      const best = found[0]
      if (best === undefined) break
      const standing = best.standing as Standing & { bot: Bot }
      if (!this.takes(standing.bot)) {
        asleep.add(standing.bot.id)
        // It is on its way: the run is left to it, and not given to a worse one meanwhile.
        if (this.#waking.has(standing.bot.id)) break
        continue
      }
      standing.active++
      if (standing.availability === 'ready') standing.availability = 'busy'
      if (standing.bot.endpoint.kind === 'pull') pullers.add(standing.bot.id)
      else choices.push({ bot_id: standing.bot.id, assignment: assignmentOf(need, found, standing.bot.id), tools: standing.bot.tools })
    }
    return { choices, pullers: [...pullers] }
  }

  /** The choice of a worker that asks for runs of a need itself. */
  chosen(need: Need, bot: Bot, active: number): Choice {
    const availability = this.availability(bot)
    const standing: Standing = { bot, availability: availability === 'degraded' ? 'busy' : availability, active: Math.min(active, bot.max_active - 1) }
    return { bot_id: bot.id, assignment: assignmentOf(need, ranked(need, [standing]), bot.id), tools: bot.tools }
  }

  #standings(need: Need, load: (bot: Bot) => Load): Standing[] {
    const { bots, queuePaused } = this.#options
    return [...bots.values()].flatMap((bot): Standing[] => {
      if (!bot.enabled || !offers(bot, need) || this.status(bot.id).drained || queuePaused(bot.id)) return []
      const { active, open } = load(bot)
      if (!open || active >= bot.max_active) return []
      const said = this.availability(bot)
      return [{ bot, availability: said === 'ready' && active > 0 ? 'busy' : said, active }]
    })
  }
}
