// Items and numbers of answers: small texts are read at once, large ones in a thread, which starts with the first.
import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads'
import type { ContextFileBytes } from '../../context-files.ts'
import type { PollConfig, WatchConfig } from '../../contract/types.ts'
import type { Expressions } from '../../routing/expressions.ts'
import { contextOf, itemsOf, numberOf, ReadingError, type Item, type ItemLimits } from './items.ts'
import type { FromThread, Ordered, ReadOrder } from './items-worker.ts'

/** Longest text that is read at once: 16 KiB of numbers that keep their spelling take 5 ms. */
const atOnceLength = 16_384

export interface Found {
  items: Item[]
  /** what is wrong with those that cannot be used */
  problems: string[]
}

export class ItemsThread {
  readonly #limits: ItemLimits
  readonly #expressions: Expressions
  #worker: Worker | undefined
  #stopped = false

  constructor(limits: ItemLimits, expressions: Expressions) {
    const { json_depth, json_tokens, max_body_bytes } = limits
    this.#limits = { json_depth, json_tokens, max_body_bytes }
    this.#expressions = expressions
  }

  /** The items of an answer. Throws ReadingError. */
  async items(text: string, config: PollConfig): Promise<Found> {
    if (text.length <= atOnceLength) return itemsOf(text, config, this.#limits, this.#expressions)
    const items: Item[] = []
    const { problems } = (await this.#inThread({ kind: 'items', text, config, limits: this.#limits }, part =>
      items.push(...part),
    )) as Pick<Found, 'problems'>
    return { items, problems }
  }

  /** Reads the number from a polled answer. Throws ReadingError if the answer has no number. */
  async number(text: string, config: WatchConfig): Promise<number> {
    if (text.length <= atOnceLength) return numberOf(text, config, this.#limits, this.#expressions)
    return (await this.#inThread({ kind: 'number', text, config, limits: this.#limits })) as number
  }

  /** The context files that a command printed, or what is wrong with them. */
  async context(text: string): Promise<ContextFileBytes[] | string> {
    if (text.length <= atOnceLength) return contextOf(text, this.#limits)
    return (await this.#inThread({ kind: 'context', text, limits: this.#limits })) as
      | ContextFileBytes[]
      | string
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#worker?.terminate()
    this.#worker = undefined
  }

  #thread(): Worker {
    if (this.#worker !== undefined) return this.#worker
    const worker = new Worker(new URL('./items-worker.ts', import.meta.url))
    const gone = (): void => {
      if (this.#worker === worker) this.#worker = undefined
    }
    worker.on('error', gone)
    worker.on('exit', gone)
    // The router's life does not depend on it.
    worker.unref()
    return (this.#worker = worker)
  }

  async #inThread(order: ReadOrder, onPart: (items: Item[]) => void = () => undefined): Promise<unknown> {
    if (this.#stopped) throw new ReadingError('the router stopped during this reading')
    const { port1, port2 } = new MessageChannel()
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    port1.on('message', (message: FromThread) => void this.#told(message, port1, onPart, resolve, reject))
    // The thread closes its end once it has answered, and when it ends before.
    port1.on('close', () =>
      reject(new ReadingError('the thread that reads answers ended before it was done')),
    )
    this.#thread().postMessage({ order, port: port2 } satisfies Ordered, [port2])
    return promise.finally(() => port1.close())
  }

  async #told(
    message: FromThread,
    port: MessagePort,
    onPart: (items: Item[]) => void,
    resolve: (value: unknown) => void,
    reject: (error: Error) => void,
  ): Promise<void> {
    switch (message.kind) {
      case 'evaluate':
        return port.postMessage(await this.#expressions.evaluateOver(message.sources, message.scope))
      case 'part':
        onPart(message.items)
        // One part a turn: the port would hand over all that have come at once.
        return void setImmediate(() => port.postMessage('go on'))
      case 'done':
        return resolve(message.value)
      case 'refused':
        return reject(new ReadingError(message.message))
      case 'bug':
        return reject(new Error(message.message))
    }
  }
}
