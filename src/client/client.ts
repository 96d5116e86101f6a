// The client: every method of the contract, typed, over one connection to the control socket.
//
// Numbers keep their digits: one whose value no double holds, such as the id 813683310949021977, is given as an
// ExactNumber, and one that is passed in is written with its digits. 10.00 is the number 10. Wherever the contract asks
// for a number there is a number; ExactNumbers are in payloads, inputs, results, filters and other values that are
// free in it.
import { JSONRPCClient, type JSONRPCResponse } from 'json-rpc-2.0'
import { connect, type Socket } from 'node:net'
import type { Event, EventSummary, Run, Methods } from '../contract/types.ts'
import { isNumber, rawNumber, readJson } from '../exact-json.ts'

export type { Methods } from '../contract/types.ts'
export type * from '../contract/types.ts'

/** An error that the router answered. code is the JSON-RPC code; data.code names it for programs, as E_... */
export class RpcError extends Error {
  readonly code: number
  readonly data: Record<string, unknown> | undefined

  constructor(code: number, message: string, data: Record<string, unknown> | undefined) {
    super(message)
    this.name = 'RpcError'
    this.code = code
    this.data = data
  }
}

/**
 * A number that no double holds, as its text in JSON: 813683310949021977 or 1e400. String() and templates give the text,
 * BigInt(number.text) an integer; JSON.stringify writes the number itself.
 */
export class ExactNumber {
  readonly text: string

  /** Throws SyntaxError for what is no number of JSON. */
  constructor(text: string) {
    if (!isNumber(text))
      throw new SyntaxError(`a number of JSON was expected; got ${JSON.stringify(text.slice(0, 60))}`)
    this.text = text
  }

  toString(): string {
    return this.text
  }

  toJSON(): unknown {
    return rawNumber(this.text)
  }
}

/** How a client reads JSON that the router sends. */
export type ReadJson = (text: string) => unknown

/** JSON with ExactNumbers where no double holds the value. */
export function readExactNumbers(text: string): unknown {
  return readJson(text, digits => new ExactNumber(digits))
}

/** The router cannot be reached, or went away before it answered: what was asked may or may not have been done. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError'
}

const newline = 0x0a
/** How long close() waits for data that has not been sent yet. */
const lastBytesMs = 1000

interface ProgressNotice {
  method: 'rpc.progress'
  params: { id: string; progress: Record<string, unknown> }
}

interface News {
  method: 'event.logged' | 'run.changed'
  params: { subscription: string } & (LoggedEvent | ChangedRun)
}

interface EndNotice {
  method: 'subscription.ended'
  params: { subscription: string; error: { code: number; message: string; data?: Record<string, unknown> } }
}

/** A notification of a subscription. */
type Notice = News | EndNotice

/** What a subscription tells: an event, as a line or whole, and the cursor to go on from after it. */
export interface LoggedEvent {
  cursor: string
  event: EventSummary | Event
}

/** What a subscription to runs tells: a run as it is now with what it has printed so far, and the cursor to go on from. */
export interface ChangedRun {
  cursor: string
  run?: Run
  output?: { attempt: number; total_bytes: number }
  /** changes may be missing: read run.list again */
  reset?: true
}

/** A subscription of a connection, which ends with it. */
export interface Subscription {
  /** where it began */
  cursor: string
  /** of runs: changes after the cursor that was given may be missing */
  reset?: boolean
  /** Resolves if the router ends the subscription because it cannot read what is new. A later subscription can start after the last cursor. */
  failed: Promise<RpcError>
  end(): Promise<void>
}

/** Callbacks of a subscription. */
interface Listener {
  onNews: (told: never) => void
  onFailed: (error: RpcError) => void
}

export interface CallOptions {
  /** Cancels the call: those that can be stopped answer with what they have by then. */
  signal?: AbortSignal
  /** Called as the router says how far a call is that was made with progress. */
  onProgress?: (progress: Record<string, unknown>) => void
}

/** One connection; calls may be made at the same time and are answered as they finish. */
export class SignalboxClient {
  readonly #socket: Socket
  readonly #readJson: ReadJson
  /** resolves when the connection is gone */
  readonly closed: Promise<void>
  readonly #rpc: JSONRPCClient
  #rest: Buffer[] = []
  readonly #progress = new Map<string, (progress: Record<string, unknown>) => void>()
  readonly #subscriptions = new Map<string, Listener>()
  #subscribing = 0
  /** what came right behind the answer to a subscription, before its name was known here */
  #early: Notice[] = []
  #nextCall = 1
  /** what the router said of a message that it could not even read */
  #refusal: RpcError | undefined

  private constructor(socket: Socket, read: ReadJson) {
    this.#socket = socket
    this.#readJson = read
    this.#rpc = new JSONRPCClient(request => {
      if (!socket.writable) throw new ConnectionError('the connection to the router is closed')
      socket.write(`${JSON.stringify(request)}\n`)
    })
    this.closed = new Promise(resolve => socket.once('close', () => resolve()))
    socket.on('data', chunk => this.#read(chunk))
    socket.on('error', () => undefined)
    socket.on('close', () =>
      this.#rpc.rejectAllPendingRequests('the router closed the connection before it answered'),
    )
  }

  /** Throws ConnectionError when nothing answers on the socket. */
  static connect(
    path: string,
    { read = readExactNumbers }: { read?: ReadJson } = {},
  ): Promise<SignalboxClient> {
    const { promise, resolve, reject } = Promise.withResolvers<SignalboxClient>()
    const socket = connect(path)
    socket.once('error', (error: NodeJS.ErrnoException) =>
      reject(new ConnectionError(`no router answers on ${path} (${error.code})`)),
    )
    socket.once('connect', () => resolve(new SignalboxClient(socket, read)))
    return promise
  }

  #read(chunk: Buffer): void {
    let from = 0
    for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, from)) {
      const line = Buffer.concat([...this.#rest, chunk.subarray(from, at)])
      this.#rest = []
      from = at + 1
      this.#receive(this.#readJson(line.toString('utf8')) as JSONRPCResponse | ProgressNotice | Notice)
    }
    if (from < chunk.length) this.#rest.push(chunk.subarray(from))
  }

  /** An error without an id answers a message whose id could not be read: it is the answer to all that wait. */
  #receive(response: JSONRPCResponse | ProgressNotice | Notice): void {
    if ('method' in response) {
      if (response.method === 'rpc.progress')
        return this.#progress.get(response.params.id)?.(response.params.progress)
      return this.#told(response)
    }
    if (response.id !== null || response.error === undefined) return this.#rpc.receive(response)
    const { code, message, data } = response.error
    this.#refusal = new RpcError(code, message, data as Record<string, unknown> | undefined)
    return this.#rpc.rejectAllPendingRequests(message)
  }

  #told(notice: Notice): void {
    const listener = this.#subscriptions.get(notice.params.subscription)
    if (listener !== undefined) this.#tell(listener, notice)
    else if (this.#subscribing > 0) this.#early.push(notice)
  }

  #tell({ onNews, onFailed }: Listener, notice: Notice): void {
    if (notice.method === 'subscription.ended') {
      const { subscription, error } = notice.params
      this.#subscriptions.delete(subscription)
      return onFailed(new RpcError(error.code, error.message, error.data))
    }
    const { subscription: _, ...told } = notice.params
    return onNews(told as never)
  }

  /** Calls a method. Throws RpcError for an error that was answered, ConnectionError when there was no answer. */
  async call<M extends keyof Methods>(
    method: M,
    params: Methods[M]['params'],
    options: CallOptions = {},
  ): Promise<Methods[M]['result']> {
    const id = `call-${this.#nextCall++}`
    const { signal, onProgress } = options
    const cancel = (): void => void this.call('rpc.cancel', { id }).catch(() => undefined)
    if (onProgress !== undefined) this.#progress.set(id, onProgress)
    signal?.addEventListener('abort', cancel, { once: true })
    try {
      const answered = this.#answered(method, params, id)
      if (signal?.aborted === true) cancel()
      return await answered
    } finally {
      this.#progress.delete(id)
      signal?.removeEventListener('abort', cancel)
    }
  }

  async #answered<M extends keyof Methods>(
    method: M,
    params: Methods[M]['params'],
    id: string,
  ): Promise<Methods[M]['result']> {
    try {
      const { result, error } = await this.#rpc.requestAdvanced({ jsonrpc: '2.0', id, method, params })
      if (error !== undefined) throw error
      return result as Methods[M]['result']
    } catch (error) {
      if (this.#refusal !== undefined) throw this.#refusal
      const { code, message, data } = error as {
        code?: number
        message: string
        data?: Record<string, unknown>
      }
      if (code === undefined || code === 0) throw new ConnectionError(message)
      throw new RpcError(code, message, data)
    }
  }

  /**
   * Receives events as they are logged, oldest first and without gaps. onEvent is called for each; with the cursor
   * of the last one a later subscription goes on behind it. Throws RpcError and ConnectionError.
   */
  subscribe(
    params: Methods['event.subscribe']['params'],
    onEvent: (told: LoggedEvent) => void,
  ): Promise<Subscription> {
    return this.#subscribe(() => this.call('event.subscribe', params), 'event.unsubscribe', onEvent)
  }

  /**
   * Receives runs as they change, each in its state at that time. With the cursor of the last one a later subscription goes on behind it, as
   * long as the router knows it. Throws RpcError and ConnectionError.
   */
  subscribeRuns(
    params: Methods['run.subscribe']['params'],
    onChange: (told: ChangedRun) => void,
  ): Promise<Subscription> {
    return this.#subscribe(() => this.call('run.subscribe', params), 'run.unsubscribe', onChange)
  }

  async #subscribe(
    begin: () => Promise<{ subscription: string; cursor: string; reset?: boolean }>,
    end: 'event.unsubscribe' | 'run.unsubscribe',
    onNews: (told: never) => void,
  ): Promise<Subscription> {
    this.#subscribing++
    try {
      const { subscription, ...begun } = await begin()
      const { promise: failed, resolve: onFailed } = Promise.withResolvers<RpcError>()
      const listener = { onNews, onFailed }
      this.#subscriptions.set(subscription, listener)
      for (const notice of this.#early)
        if (notice.params.subscription === subscription) this.#tell(listener, notice)
      return {
        ...begun,
        failed,
        end: async () => {
          this.#subscriptions.delete(subscription)
          await this.call(end, { subscription })
        },
      }
    } finally {
      if (--this.#subscribing === 0) this.#early = []
    }
  }

  /** Closes the connection when everything has been sent, at the latest after one second. */
  close(): void {
    this.#socket.end()
    const timer = setTimeout(() => this.#socket.destroy(), lastBytesMs)
    this.#socket.once('close', () => clearTimeout(timer))
  }
}
