// Reports tokens that expire soon, once each: otherwise their clients would stop working without a warning.
import { routerSource, type Store } from '../store/store.ts'
import type { Tokens } from './tokens.ts'

const hourMs = 3_600_000
/** How long before its expiry a token is reported. A token with a shorter life is not. */
export const warnMs = 7 * 24 * hourMs

export interface TokenWatchOptions {
  tokens: Pick<Tokens, 'list'>
  store: Pick<Store, 'events' | 'emitLifecycle'>
  now: () => number
  logBug: (error: unknown) => void
}

export class TokenWatch {
  readonly #options: TokenWatchOptions
  readonly #told = new Set<string>()
  #timer: NodeJS.Timeout | undefined
  #working: Promise<void> = Promise.resolve()

  constructor(options: TokenWatchOptions) {
    this.#options = options
  }

  start(): void {
    this.#timer = setInterval(() => void this.check(), hourMs).unref()
    void this.check()
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#working
  }

  check(): Promise<void> {
    this.#working = this.#working.then(() => this.#check()).catch(this.#options.logBug)
    return this.#working
  }

  async #check(): Promise<void> {
    const { tokens, store, now } = this.#options
    for (const { id, name, state, created_at, expires_at, last_used_at } of tokens.list()) {
      if (state !== 'valid' || expires_at === undefined || this.#told.has(id)) continue
      if (expires_at - now() > warnMs || expires_at - created_at <= warnMs) continue
      this.#told.add(id)
      const selection = { source_id: routerSource, subject: id, type: 'token.expiring' }
      // It may have been told before the last start.
      if ((await store.events({ selection, order: 'desc', limit: 1, after: null, whole: false })).length > 0)
        continue
      await store.emitLifecycle(
        'token.expiring',
        id,
        { token_id: id, name, expires_at, ...(last_used_at === undefined ? {} : { last_used_at }) },
        now(),
      )
    }
  }
}
