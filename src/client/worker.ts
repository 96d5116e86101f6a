// A worker in a few lines: asks for runs of a bot, keeps each for as long as its handler works on it, and says how it
// ended. It stops asking when it is told to, and lets running work end. A router that is away for a
// while is waited for: the lease is the worker's until it ends, and an ending that was said twice counts once.
//
// In a delivery numbers that no double holds are ExactNumbers (client.ts), and so they may be in a result.
import {
  ConnectionError,
  readExactNumbers,
  RpcError,
  SignalboxClient,
  type CallOptions,
  type Lease,
  type Methods,
  type Usage,
} from './client.ts'
import { SignalboxHttpClient, type HttpOptions } from './http-client.ts'

/** What a handler is given of its run. */
export interface Job {
  lease: Lease
  delivery: Lease['delivery']
  /** aborted when the run is to be cancelled, or is not this worker's any more */
  signal: AbortSignal
  /** A row of the run's history. */
  progress: (percent: number | undefined, message?: string, data?: unknown) => Promise<void>
  /** Adds text to the output of the run, as one or more lines: at most 65,536 bytes of UTF-8 a call. */
  log: (text: string) => Promise<void>
  /** Reports what the run has used so far, in total: tokens, and dollars. The last report counts; budgets are checked against it. */
  used: (usage: Usage) => Promise<void>
  /** A place at which the handler may pause: it waits while the run is to be paused, and continues after that. */
  checkpoint: () => Promise<void>
}

/** Thrown by a handler: the run is tried again, not before so many milliseconds from now. */
export class TryAgain extends Error {
  readonly after_ms: number | undefined

  constructor(message: string, after_ms?: number) {
    super(message)
    this.name = 'TryAgain'
    this.after_ms =
      after_ms === undefined ? undefined : Math.min(86_400_000, Math.max(0, Math.round(after_ms)))
  }
}

/** Where the router is: its control socket, or its admin listener. */
export type RouterAddress = { /** path of the control socket */ socket: string } | HttpOptions

export type WorkerOptions = RouterAddress & Working

interface Working {
  bot_id: string
  /** What is returned is the run's result; what is thrown ends it, for good unless it is TryAgain. */
  handler: (job: Job) => Promise<unknown>
  /** runs at the same time. Default: 1 */
  max?: number
  /** of runs that name capabilities only those that need no others; default: all that the bot offers */
  capabilities?: string[]
  /** Aborted: ask for nothing more, finish what is running. SIGTERM and SIGINT where it is not given. */
  signal?: AbortSignal
}

const waitMs = 30_000
const pauseMs = 1000
const mostErrorLength = 1000

/** Codes that pass: overloaded, storage full, not ready, shutting down, disabled. */
const passing = new Set([-32005, -32006, -32007, -32010, -32012])
/** Codes that say that a run is not this worker's: not found, lease lost. */
const losing = new Set([-32002, -32003])

interface Client {
  call<M extends keyof Methods>(
    method: M,
    params: Methods[M]['params'],
    options?: CallOptions,
  ): Promise<Methods[M]['result']>
  close(): void
}

async function connected(address: RouterAddress): Promise<Client> {
  return 'socket' in address ? SignalboxClient.connect(address.socket) : new SignalboxHttpClient(address)
}

/** The router, connected again whenever it went away. */
class Line {
  readonly #address: RouterAddress
  #client: Promise<Client> | undefined

  constructor(address: RouterAddress) {
    this.#address = address
  }

  async call<M extends keyof Methods>(
    method: M,
    params: Methods[M]['params'],
    signal?: AbortSignal,
  ): Promise<Methods[M]['result']> {
    const mine = (this.#client ??= connected(this.#address))
    try {
      return await (await mine).call(method, params, signal === undefined ? {} : { signal })
    } catch (error) {
      if (error instanceof ConnectionError && this.#client === mine) this.#client = undefined
      throw error
    }
  }

  async close(): Promise<void> {
    const client = await this.#client?.catch(() => undefined)
    client?.close()
  }
}

function passes(error: unknown): boolean {
  return error instanceof ConnectionError || (error instanceof RpcError && passing.has(error.code))
}

const pause = (): Promise<void> => new Promise(resolve => setTimeout(resolve, pauseMs))

/** Ends when it was told to stop and its running work is done. Throws RpcError where it can never be given anything. */
export async function worker(options: WorkerOptions): Promise<void> {
  const stopping = options.signal ?? untilTold()
  const told = new Promise<void>(resolve => {
    if (stopping.aborted) resolve()
    else stopping.addEventListener('abort', () => resolve(), { once: true })
  })
  const line = new Line(options)
  const inHand = new Set<Promise<void>>()
  const max = options.max ?? 1
  try {
    while (!stopping.aborted) {
      if (inHand.size >= max) await Promise.race([...inHand, told])
      else
        await ask(line, options, Math.min(16, max - inHand.size), stopping, inHand).catch((error: unknown) =>
          passes(error) ? Promise.race([pause(), told]) : Promise.reject(error),
        )
    }
  } finally {
    await Promise.all(inHand)
    await line.close()
  }
}

async function ask(
  line: Line,
  { bot_id, handler, capabilities }: WorkerOptions,
  max: number,
  stopping: AbortSignal,
  inHand: Set<Promise<void>>,
): Promise<void> {
  const { leases } = await line.call(
    'run.claim',
    { bot_id, max, wait_ms: waitMs, ...(capabilities === undefined ? {} : { capabilities }) },
    stopping,
  )
  for (const lease of leases) {
    const done: Promise<void> = new Work(line, lease).run(handler).finally(() => inHand.delete(done))
    inHand.add(done)
  }
}

function untilTold(): AbortSignal {
  const told = new AbortController()
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => told.abort())
  return told.signal
}

type Ending =
  | { method: 'run.complete'; params: { result?: unknown } }
  | { method: 'run.fail'; params: { error: string; retryable: boolean; after_ms?: number } }

/** One run from its start to its end. */
class Work {
  readonly #line: Line
  readonly #lease: Lease
  readonly #own: { run_id: string; lease_token: string }
  readonly #leaseMs: number
  readonly #ending = new AbortController()
  #until: number
  #cancelled = false
  #lost = false
  #toPause = false
  #goOn = Promise.withResolvers<void>()

  constructor(line: Line, lease: Lease) {
    this.#line = line
    this.#lease = lease
    this.#own = { run_id: lease.run_id, lease_token: lease.lease_token }
    this.#leaseMs = Math.max(1000, lease.lease_until - Date.now())
    this.#until = performance.now() + this.#leaseMs
  }

  /** Never throws: a run that is not ours any more is ended by its new holder. */
  async run(handler: WorkerOptions['handler']): Promise<void> {
    const beat = setInterval(() => void this.#beat(), Math.max(300, this.#leaseMs / 3))
    try {
      await this.#say('run.start', this.#own)
      const ending = await endingOf(handler, {
        lease: this.#lease,
        delivery: this.#lease.delivery,
        signal: this.#ending.signal,
        checkpoint: () => this.#checkpoint(),
        log: async text => this.#heard(await this.#say('run.log', { ...this.#own, text })),
        used: async usage => this.#heard(await this.#say('run.progress', { ...this.#own, usage })),
        progress: async (percent, message, data) => {
          const how = {
            ...(percent === undefined ? {} : { percent }),
            ...(message === undefined ? {} : { message }),
            ...(data === undefined ? {} : { data }),
          }
          this.#heard(await this.#say('run.progress', { ...this.#own, ...how }))
        },
      })
      if (this.#cancelled) await this.#say('run.yield', { ...this.#own, reason: 'cancelled as asked' })
      else if (!this.#lost) await this.#end(ending)
    } catch (error) {
      if (!(error instanceof RpcError) && !(error instanceof ConnectionError)) throw error
    } finally {
      clearInterval(beat)
    }
  }

  async #end({ method, params }: Ending): Promise<void> {
    try {
      await this.#say(method, { ...this.#own, ...params })
    } catch (error) {
      if (!(error instanceof RpcError) || losing.has(error.code)) throw error
      // An ending that the router does not take is a failure that it can: the run would be done again for ever.
      await this.#say('run.fail', {
        ...this.#own,
        error: `its ending was refused: ${error.message}`.slice(0, mostErrorLength),
        retryable: false,
      })
    }
  }

  #heard(answer: { cancel_requested: boolean; pause_requested: boolean }): void {
    this.#until = performance.now() + this.#leaseMs
    this.#toPause = answer.pause_requested
    if (!this.#toPause) this.#goOn.resolve()
    if (!answer.cancel_requested) return
    this.#cancelled = true
    this.#ending.abort()
    this.#goOn.resolve()
  }

  /** Says that it has paused, and that it goes on, once it does. */
  async #checkpoint(): Promise<void> {
    while (this.#toPause && !this.#ending.signal.aborted) {
      this.#goOn = Promise.withResolvers()
      this.#heard(await this.#say('run.heartbeat', { ...this.#own, paused: true }))
      await this.#goOn.promise
      if (!this.#ending.signal.aborted)
        this.#heard(await this.#say('run.heartbeat', { ...this.#own, paused: false }))
    }
  }

  #lose(): void {
    this.#lost = true
    this.#ending.abort()
    this.#goOn.resolve()
  }

  async #beat(): Promise<void> {
    try {
      this.#heard(await this.#line.call('run.heartbeat', this.#own))
    } catch (error) {
      if ((error instanceof RpcError && losing.has(error.code)) || performance.now() > this.#until)
        this.#lose()
    }
  }

  /** Says it until it is heard, for as long as the lease may last. Throws RpcError and ConnectionError. */
  async #say<M extends keyof Methods>(
    method: M,
    params: Methods[M]['params'],
  ): Promise<Methods[M]['result']> {
    for (;;) {
      try {
        return await this.#line.call(method, params)
      } catch (error) {
        if (error instanceof RpcError && losing.has(error.code)) this.#lose()
        if (!passes(error) || this.#lost || performance.now() > this.#until) throw error
        await pause()
      }
    }
  }
}

async function endingOf(handler: WorkerOptions['handler'], job: Job): Promise<Ending> {
  try {
    const result = await handler(job)
    // What is no JSON is found out here, not on the way.
    const text = result === undefined ? undefined : JSON.stringify(result)
    return { method: 'run.complete', params: text === undefined ? {} : { result: readExactNumbers(text) } }
  } catch (error) {
    const message =
      (error instanceof Error ? error.message : String(error)).slice(0, mostErrorLength) ||
      'the handler threw nothing that says why'
    if (!(error instanceof TryAgain))
      return { method: 'run.fail', params: { error: message, retryable: false } }
    return {
      method: 'run.fail',
      params: {
        error: message,
        retryable: true,
        ...(error.after_ms === undefined ? {} : { after_ms: error.after_ms }),
      },
    }
  }
}
