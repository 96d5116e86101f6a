// The breakers of all bots: what attempts taught of each, how many runs it lets through, and which callers are told.
import type { Bot, BotHealth, Config } from '../contract/types.ts'
import type { Attempted } from './outcome-moves.ts'
import { breakerState, closedBreaker, disableAfter, recorded, type Breaker } from './breaker.ts'
import type { EmitLifecycle } from './bot-availability.ts'

export interface BreakersOptions {
  config: Config
  bots: ReadonlyMap<string, Bot>
  now: () => number
  disableBot: (bot_id: string, reason: string) => Promise<void>
  emitLifecycle: EmitLifecycle
  log: (event: string, fields: Record<string, unknown>) => void
  logBug: (error: unknown) => void
}

export class Breakers {
  readonly #options: BreakersOptions
  readonly #breakers = new Map<string, Breaker>()

  constructor(options: BreakersOptions) {
    this.#options = options
  }

  #of(bot_id: string): Breaker {
    return this.#breakers.get(bot_id) ?? closedBreaker
  }

  health(bot_id: string): BotHealth {
    const { consecutive_failures, open_until } = this.#of(bot_id)
    const state = breakerState(this.#of(bot_id), this.#options.now())
    return { state, consecutive_failures, ...(state === 'closed' ? {} : { open_until }) }
  }

  isFailing(bot_id: string): boolean {
    return this.#of(bot_id).consecutive_failures > 0
  }

  /** Runs that a bot with so many may be given besides; until: when that changes by itself. */
  room(
    { id, max_active }: Pick<Bot, 'id' | 'max_active'>,
    active: number,
  ): { room: number; until: number | null } {
    const breaker = this.#of(id)
    switch (breakerState(breaker, this.#options.now())) {
      case 'closed':
        return { room: max_active - active, until: null }
      case 'half_open':
        return { room: 1 - active, until: null }
      case 'open':
        return { room: 0, until: breaker.open_until }
    }
  }

  /** A bot was written again: its earlier failures no longer count. */
  forget(bot_id: string): void {
    this.#breakers.delete(bot_id)
  }

  learn(bot_id: string, { healthy, result }: Attempted): void {
    const { now, config, bots, emitLifecycle, log } = this.#options
    if (result.outcome === 'failure' && result.disable_bot === true) this.#disable(bot_id, result.error)
    if (healthy === null) return
    const before = this.#of(bot_id)
    const after = recorded(before, healthy, now(), config.breaker_open_ms)
    const { consecutive_failures, open_until } = after
    this.#breakers.set(bot_id, after)
    if (open_until > before.open_until) {
      log('bot.breaker_opened', { bot_id, consecutive_failures, open_until })
      if (before.open_until === 0)
        emitLifecycle('bot.unhealthy', bot_id, { bot: bot_id, consecutive_failures, open_until })
    } else if (healthy && before.open_until > 0) emitLifecycle('bot.healthy', bot_id, { bot: bot_id })
    if (consecutive_failures >= disableAfter && bots.get(bot_id)?.enabled === true)
      this.#disable(bot_id, `${disableAfter} attempts in a row failed`)
  }

  #disable(bot_id: string, reason: string): void {
    const { disableBot, emitLifecycle, log, logBug } = this.#options
    void disableBot(bot_id, reason).then(() => {
      log('bot.disabled', { bot_id, reason })
      emitLifecycle('bot.disabled', bot_id, { bot: bot_id, reason })
    }, logBug)
  }
}
