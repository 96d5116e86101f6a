// Routing of the router's own events: lifecycle events are in the log already, written with the change that they report, and wait
// there until the triggers that name their source have been asked.
import type { Store } from '../store/store.ts'
import type { Acceptor } from './accept.ts'

const atOnce = 100
/** How long a store that failed, or has no room for more runs, is left alone. */
const pauseMs = 1000

export interface LifecycleRouterOptions {
  store: Pick<Store, 'unrouted'>
  acceptor: Pick<Acceptor, 'route'>
  logBug: (error: unknown) => void
}

export class LifecycleRouter {
  readonly #options: LifecycleRouterOptions
  #working: Promise<void> | undefined
  #again = false
  #stopped = false
  #timer: NodeJS.Timeout | undefined

  constructor(options: LifecycleRouterOptions) {
    this.#options = options
  }

  /** Some may wait. */
  wake(): void {
    this.#again = true
    if (this.#stopped || this.#working !== undefined) return
    this.#working = this.#work()
      .catch((error: unknown) => {
        this.#options.logBug(error)
        this.#later()
      })
      .then(() => {
        this.#working = undefined
        if (this.#again && this.#timer === undefined) this.wake()
      })
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#working
  }

  #later(): void {
    this.#again = false
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.wake()
    }, pauseMs)
  }

  async #work(): Promise<void> {
    const { store, acceptor } = this.#options
    while (this.#again && !this.#stopped) {
      this.#again = false
      const events = await store.unrouted(atOnce)
      if (events.length === 0) return
      const routed = await acceptor.route(events)
      if (routed < events.length) return this.#later()
      this.#again = true
    }
  }
}
