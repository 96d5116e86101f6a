// JSONata in a thread of its own: no expression can hold the router up, because a thread that takes too long is ended
// and made anew. The thread starts with the first expression that needs it.
import { Worker } from 'node:worker_threads'

export type ExpressionAnswer = { ok: true; value: unknown } | { ok: false; reason: string }

export interface Expressions {
  /** Why an expression cannot be used, or undefined when it can. */
  check(source: string): Promise<string | undefined>
  /** Values of expressions over one scope, in order. */
  evaluate(sources: string[], scope: unknown): Promise<ExpressionAnswer[]>
  stop(): Promise<void>
}

/** One run's expressions together. */
const timeLimitMs = 250
/** Loading JSONata in a new thread is not the expression's time. */
const startLimitMs = 5000

interface Job {
  message: { check?: string; sources?: string[]; scope?: string }
  resolve: (answers: ExpressionAnswer[]) => void
}

export class ExpressionThread implements Expressions {
  #worker: Worker | undefined
  #ready: Promise<void> | undefined
  #queue: Job[] = []
  #busy = false

  async check(source: string): Promise<string | undefined> {
    const [answer] = await this.#enqueue({ check: source })
    return answer!.ok ? undefined : answer!.reason
  }

  evaluate(sources: string[], scope: unknown): Promise<ExpressionAnswer[]> {
    return this.#enqueue({ sources, scope: JSON.stringify(scope) })
  }

  async stop(): Promise<void> {
    await this.#worker?.terminate()
    this.#worker = undefined
    this.#ready = undefined
  }

  #enqueue(message: Job['message']): Promise<ExpressionAnswer[]> {
    const { promise, resolve } = Promise.withResolvers<ExpressionAnswer[]>()
    this.#queue.push({ message, resolve })
    if (!this.#busy) void this.#drain()
    return promise
  }

  async #drain(): Promise<void> {
    this.#busy = true
    for (let job = this.#queue.shift(); job !== undefined; job = this.#queue.shift()) job.resolve(await this.#run(job))
    this.#busy = false
  }

  #start(): Promise<void> {
    const worker = new Worker(new URL('./expression-worker.ts', import.meta.url), { resourceLimits: { maxOldGenerationSizeMb: 64 } })
    worker.unref()
    worker.on('error', () => undefined)
    this.#worker = worker
    return new Promise(resolve => worker.once('message', () => resolve()))
  }

  async #run({ message }: Job): Promise<ExpressionAnswer[]> {
    const failed = (reason: string): ExpressionAnswer[] => (message.sources ?? ['']).map(() => ({ ok: false, reason }))
    const { promise, resolve } = Promise.withResolvers<ExpressionAnswer[]>()
    const give = async (limitMs: number, work: Promise<unknown>, reason: string): Promise<boolean> => {
      const { promise: late, resolve: timeUp } = Promise.withResolvers<boolean>()
      const timer = setTimeout(() => timeUp(false), limitMs)
      const inTime = await Promise.race([work.then(() => true), late])
      clearTimeout(timer)
      if (inTime) return true
      await this.stop()
      resolve(failed(reason))
      return false
    }
    this.#ready ??= this.#start()
    if (!(await give(startLimitMs, this.#ready, 'the thread for expressions did not start'))) return promise
    const worker = this.#worker!
    const ended = (): void => {
      this.#ready = undefined
      resolve(failed('it took too much memory'))
    }
    worker.once('exit', ended)
    worker.once('message', resolve)
    worker.postMessage(message)
    await give(timeLimitMs, promise, `it took longer than ${timeLimitMs} ms`)
    worker.off('exit', ended)
    worker.off('message', resolve)
    return promise
  }
}
