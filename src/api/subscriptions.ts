// Subscriptions: what changes, told to a kept connection. What is sent is read when there is room for it, so a slow reader costs no
// memory and misses nothing. A subscription whose news cannot be read ends with a
// notification, because a client would take silence for no news.
import { asFault, Fault } from '../errors.ts'
import type { Stream } from './caller.ts'

/** Subscriptions of one connection. */
export const mostPerConnection = 16

/** Sends what is new to a subscription, as long as there is room; answers whether there may be more of it already. */
export type SendNews = (subscription: string, stop: AbortSignal) => Promise<boolean>

interface Open {
  stream: Stream
  stop: AbortController
}

export class Subscriptions {
  readonly #prefix: string
  readonly #logBug: (error: unknown) => void
  readonly #open = new Map<string, Open>()
  /** by the signal of a connection: when the turn of its last subscription ends */
  readonly #turns = new WeakMap<AbortSignal, Promise<void>>()
  #wake = Promise.withResolvers<void>()
  #next = 1

  /** prefix: of the names that it hands out, so that those of different news differ */
  constructor(prefix: string, logBug: (error: unknown) => void) {
    this.#prefix = prefix
    this.#logBug = logBug
  }

  /** There is something new. */
  wake(): void {
    if (this.#open.size === 0) return
    this.#wake.resolve()
    this.#wake = Promise.withResolvers()
  }

  countOf(closed: AbortSignal): number {
    return [...this.#open.values()].filter(({ stream }) => stream.closed === closed).length
  }

  /** Answers the subscription's name; what it tells comes after that answer. */
  open(stream: Stream, send: SendNews): string {
    const id = `${this.#prefix}-${this.#next++}`
    const stop = new AbortController()
    this.#open.set(id, { stream, stop })
    const close = (): void => stop.abort()
    stream.closed.addEventListener('abort', close)
    setImmediate(() => {
      void this.#tell(id, stream, send, stop.signal)
        .catch((error: unknown) => {
          if (!(error instanceof Fault)) this.#logBug(error)
          const { code, message, reason, data } = asFault(error)
          stream.notify('subscription.ended', {
            subscription: id,
            error: { code, message, data: { code: reason, ...data } },
          })
        })
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

  async #tell(id: string, stream: Stream, send: SendNews, stop: AbortSignal): Promise<void> {
    const { promise: stopped, resolve } = Promise.withResolvers<void>()
    stop.addEventListener('abort', () => resolve())
    const turn = async (): Promise<boolean> => {
      await stream.room()
      return stop.aborted ? false : send(id, stop)
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
