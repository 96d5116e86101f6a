// A worker in a few lines: asks for runs of a bot, keeps each for as long as its handler works on it, and says how it
// ended. It stops asking when it is told to, and lets what it has in hand come to its end.
import { ConnectionError, RpcError, SignalboxClient, type Lease } from './client.ts'

/** What a handler is given of its run. */
export interface Job {
  lease: Lease
  /** {run, event, trigger, inputs, allowed_tools} */
  delivery: Record<string, unknown>
  /** aborted when the run is to be cancelled, or is not this worker's any more */
  signal: AbortSignal
  /** A row of the run's history. */
  progress: (percent: number | undefined, message?: string) => Promise<void>
}

/** Thrown by a handler: the run is tried again, not before so long from now. */
export class TryAgain extends Error {
  readonly after_ms: number | undefined

  constructor(message: string, after_ms?: number) {
    super(message)
    this.name = 'TryAgain'
    this.after_ms = after_ms
  }
}

export interface WorkerOptions {
  /** path of the router's control socket */
  socket: string
  bot_id: string
  /** What is returned is the run's result; what is thrown ends it, for good unless it is TryAgain. */
  handler: (job: Job) => Promise<unknown>
  /** runs at the same time; 1 unless said */
  max?: number
  /** Aborted: ask for nothing more, finish what is in hand. SIGTERM and SIGINT where it is not given. */
  signal?: AbortSignal
}

const waitMs = 30_000
const reconnectMs = 1000

/** Ends when it was told to stop and what it had in hand is done. */
export async function worker(options: WorkerOptions): Promise<void> {
  const stopping = options.signal ?? untilTold()
  const max = options.max ?? 1
  const inHand = new Set<Promise<void>>()
  let client: SignalboxClient | undefined
  while (!stopping.aborted) {
    if (inHand.size >= max) {
      await Promise.race([...inHand, aborted(stopping)])
      continue
    }
    try {
      client ??= await SignalboxClient.connect(options.socket)
      const current = client
      const { leases } = await current.call(
        'run.claim',
        { bot_id: options.bot_id, max: Math.min(16, max - inHand.size), wait_ms: waitMs },
        { signal: stopping },
      )
      for (const lease of leases) {
        const done: Promise<void> = work(current, lease, options.handler).finally(() => inHand.delete(done))
        inHand.add(done)
      }
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error
      client = undefined
      await Promise.race([new Promise(resolve => setTimeout(resolve, reconnectMs)), aborted(stopping)])
    }
  }
  await Promise.all(inHand)
  client?.close()
}

function untilTold(): AbortSignal {
  const told = new AbortController()
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => told.abort())
  return told.signal
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

/** One run from its start to its end. Never throws: a lease that was lost is somebody else's. */
async function work(client: SignalboxClient, lease: Lease, handler: WorkerOptions['handler']): Promise<void> {
  const { run_id, lease_token } = lease
  const own = { run_id, lease_token }
  const ending = new AbortController()
  let cancelled = false
  const heard = (answer: { cancel_requested: boolean }): void => {
    if (!answer.cancel_requested) return
    cancelled = true
    ending.abort()
  }
  const every = Math.max(300, (lease.lease_until - Date.now()) / 3)
  const beat = setInterval(() => {
    client.call('run.heartbeat', own).then(heard, (error: unknown) => {
      if (error instanceof RpcError) ending.abort()
    })
  }, every)
  const job: Job = {
    lease,
    delivery: lease.delivery,
    signal: ending.signal,
    progress: async (percent, message) =>
      heard(await client.call('run.progress', { ...own, ...(percent === undefined ? {} : { percent }), ...(message === undefined ? {} : { message }) })),
  }
  try {
    await client.call('run.start', own)
    const result = await outcome(handler, job)
    if (cancelled) await client.call('run.yield', { ...own, reason: 'cancelled as asked' })
    else if ('result' in result) await client.call('run.complete', { ...own, ...(result.result === undefined ? {} : { result: result.result }) })
    else await client.call('run.fail', { ...own, ...result })
  } catch (error) {
    if (!(error instanceof RpcError) && !(error instanceof ConnectionError)) throw error
  } finally {
    clearInterval(beat)
  }
}

async function outcome(handler: WorkerOptions['handler'], job: Job): Promise<{ result: unknown } | { error: string; retryable: boolean; after_ms?: number }> {
  try {
    return { result: await handler(job) }
  } catch (error) {
    const message = (error instanceof Error ? error.message : String(error)).slice(0, 1000) || 'the handler threw nothing that says why'
    if (!(error instanceof TryAgain)) return { error: message, retryable: false }
    return { error: message, retryable: true, ...(error.after_ms === undefined ? {} : { after_ms: error.after_ms }) }
  }
}
