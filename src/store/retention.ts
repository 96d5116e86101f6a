// Retention as a routine: slice after slice, with room for everyone between slices.
import type { RetentionLimits, Store } from './store.ts'

const everyMs = 60_000
const slice = 200

export interface RetentionOptions {
  store: Store
  limits: Omit<RetentionLimits, 'now' | 'slice'>
  now: () => number
  log: (event: string, fields: Record<string, unknown>) => void
  logBug: (error: unknown) => void
}

export class Retention {
  readonly #options: RetentionOptions
  #timer: NodeJS.Timeout | undefined
  #sweeping = false

  constructor(options: RetentionOptions) {
    this.#options = options
  }

  start(): void {
    this.#timer ??= setInterval(() => void this.#sweep().catch(this.#options.logBug), everyMs).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  async #sweep(): Promise<void> {
    if (this.#sweeping) return
    this.#sweeping = true
    const { store, limits, now, log } = this.#options
    let events = 0
    try {
      for (let more = true; more && this.#timer !== undefined;) {
        const taken = await store.retain({ ...limits, now: now(), slice })
        events += taken.events
        more = taken.more
      }
    } finally {
      this.#sweeping = false
    }
    if (events > 0) log('retention.swept', { events })
  }
}
