// Subscriptions: the log as it grows, told to a kept connection from where it asks for, each event with the cursor to go
// on from. What is sent is read from the log, and read only when there is room, so a slow reader costs no
// memory and misses nothing.
import type { EventLine, EventPage, EventSelectionStored, StoredEvent } from '../store/store.ts'
import type { Stream } from './caller.ts'

/** Subscriptions of one connection. */
export const mostPerConnection = 16
const atOnce = 100
/** Bodies that are read at once. */
const pageBytes = 1_048_576

export interface Subscription {
  selection: EventSelectionStored
  /** seq of the last event that is known */
  after: number
  whole: boolean
  /** What is sent of an event; undefined: nothing. */
  told: (event: EventLine | StoredEvent) => Record<string, unknown> | undefined
}

interface Open {
  stream: Stream
  stop: AbortController
}

export interface SubscriptionsOptions {
  events: (page: EventPage) => Promise<(EventLine | StoredEvent)[]>
  logBug: (error: unknown) => void
}

export class Subscriptions {
  readonly #options: SubscriptionsOptions
  readonly #open = new Map<string, Open>()
  /** by the signal of a connection: when the turn of its last subscription ends */
  readonly #turns = new WeakMap<AbortSignal, Promise<void>>()
  #wake = Promise.withResolvers<void>()
  #next = 1

  constructor(options: SubscriptionsOptions) {
    this.#options = options
  }

  /** The log has grown. */
  logged(): void {
    if (this.#open.size === 0) return
    this.#wake.resolve()
    this.#wake = Promise.withResolvers()
  }

  countOf(closed: AbortSignal): number {
    return [...this.#open.values()].filter(({ stream }) => stream.closed === closed).length
  }

  /** Answers the subscription's name; what it tells comes after that answer. */
  open(stream: Stream, subscription: Subscription): string {
    const id = `subscription-${this.#next++}`
    const stop = new AbortController()
    this.#open.set(id, { stream, stop })
    const close = (): void => stop.abort()
    stream.closed.addEventListener('abort', close)
    setImmediate(() => {
      void this.#tell(id, stream, subscription, stop.signal)
        .catch(this.#options.logBug)
        .then(() => {
          stream.closed.removeEventListener('abort', close)
          this.#open.delete(id)
        })
    })
    return id
  }

  /** Ends one of a connection's own; answers whether there was such a one. */
  close(closed: AbortSignal, id: string): boolean {
    const open = this.#open.get(id)
    if (open === undefined || open.stream.closed !== closed) return false
    open.stop.abort()
    return true
  }

  async #tell(id: string, stream: Stream, { selection, after, whole, told }: Subscription, stop: AbortSignal): Promise<void> {
    const { promise: stopped, resolve } = Promise.withResolvers<void>()
    stop.addEventListener('abort', () => resolve())
    let last = after
    const turn = async (): Promise<boolean> => {
      await stream.room()
      if (stop.aborted) return false
      const events = await this.#options.events({ selection, order: 'asc', limit: atOnce, after: last, whole, max_bytes: pageBytes })
      for (const event of events) {
        // What there is no room for is read again: held here, a page of each of a thousand slow readers would be a thousand pages.
        if (stop.aborted || !stream.hasRoom()) return true
        last = event.seq
        const params = told(event)
        if (params !== undefined) stream.notify('event.logged', { subscription: id, ...params })
      }
      return events.length > 0
    }
    while (!stop.aborted) {
      const woken = this.#wake.promise
      if (!(await this.#inTurn(stream, turn))) await Promise.race([woken, stopped])
    }
  }

  /** One after the other of a connection reads and sends, so that each has its share of the room. */
  #inTurn<T>({ closed }: Stream, turn: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(closed) ?? Promise.resolve()
    const own = before.then(turn)
    this.#turns.set(
      closed,
      own.then(
        () => undefined,
        () => undefined,
      ),
    )
    return own
  }
}
