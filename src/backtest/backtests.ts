// Backtests on their way: those that are asked for together in a thread of their own, few threads at a time.
import { Worker } from 'node:worker_threads'
import { Fault } from '../errors.ts'
import { toThread } from '../exact-json.ts'
import type { BacktestJob } from '../routing/backtest.ts'
import type { BacktestMessage, BacktestOutcome, BacktestProgress, BacktestStart } from './run.ts'

const maxRunning = 2

export interface BacktestRange {
  /** milliseconds since the epoch; until is not part of it */
  since: number
  until: number
  /** events that each looks at, at the most */
  limit: number
}

export class Backtests {
  readonly #stateDir: string
  readonly #running = new Set<Worker>()

  constructor(stateDir: string) {
    this.#stateDir = stateDir
  }

  /** Throws Fault overloaded when enough are on their way. A signal stops it: it answers with what it has by then. */
  async run(
    jobs: BacktestJob[],
    range: BacktestRange,
    signal?: AbortSignal,
    onProgress?: (progress: BacktestProgress) => void,
  ): Promise<BacktestOutcome[]> {
    if (this.#running.size >= maxRunning)
      throw new Fault('overloaded', `${maxRunning} backtests run already; wait for one to end, or stop it`, {
        retryAfterS: 5,
      })
    const stop = new Int32Array(new SharedArrayBuffer(4))
    const workerData: BacktestStart = { stateDir: this.#stateDir, jobs: toThread(jobs), ...range, stop }
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData })
    this.#running.add(worker)
    const onAbort = (): void => {
      Atomics.store(stop, 0, 1)
      Atomics.notify(stop, 0)
    }
    if (signal?.aborted === true) onAbort()
    signal?.addEventListener('abort', onAbort)
    const { promise, resolve, reject } = Promise.withResolvers<BacktestOutcome[]>()
    worker.on('message', (message: BacktestMessage) => {
      if (message.kind === 'progress') onProgress?.(message.progress)
      else resolve(message.outcomes)
    })
    worker.on('error', reject)
    worker.on('exit', () =>
      reject(
        new Fault('not_ready', 'the backtest was ended before it could answer; try again', {
          retryAfterS: 5,
        }),
      ),
    )
    try {
      return await promise
    } finally {
      this.#running.delete(worker)
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** Ends all of them at once. */
  async stop(): Promise<void> {
    await Promise.all([...this.#running].map(worker => worker.terminate()))
  }
}
