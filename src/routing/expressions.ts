// JSONata in a process of its own: no expression can hold the router up or take its memory, because a process that takes
// too long is killed and one that takes too much ends itself. (A thread with a heap limit does not do: when it runs out
// of memory it takes the whole process along.) The process starts with the first expression that needs it.
import { fork, type ChildProcess } from 'node:child_process'

export type ExpressionAnswer = { ok: true; value?: unknown } | { ok: false; reason: string; transient?: boolean }

/** One expression to check, or several to evaluate over one scope (as JSON). */
export interface ExpressionOrder {
  check?: string
  sources?: string[]
  scope?: string
}

export interface Expressions {
  /** Why an expression cannot be used, or undefined when it can. */
  check(source: string): Promise<string | undefined>
  /** Values of expressions over one scope, in order. */
  evaluate(sources: string[], scope: unknown): Promise<ExpressionAnswer[]>
  stop(): Promise<void>
}

/** All expressions of one run together. */
const timeLimitMs = 500
/** Starting the process is not the expression's time. */
const startLimitMs = 10_000
const heapMib = 64

interface Job {
  order: ExpressionOrder
  resolve: (answers: ExpressionAnswer[]) => void
}

type Outcome = { kind: 'message'; value: unknown } | { kind: 'exit' } | { kind: 'late' }

/** What comes first: a message, the end of the process, or the time limit. */
function next(child: ChildProcess, limitMs: number): Promise<Outcome> {
  const { promise, resolve } = Promise.withResolvers<Outcome>()
  const onMessage = (value: unknown): void => resolve({ kind: 'message', value })
  const onExit = (): void => resolve({ kind: 'exit' })
  // When this process itself was held up, the answer may be there already: it is looked for before the time is up.
  const timer = setTimeout(() => setImmediate(() => setImmediate(() => resolve({ kind: 'late' }))), limitMs)
  child.once('message', onMessage)
  child.once('exit', onExit)
  child.once('error', onExit)
  return promise.finally(() => {
    clearTimeout(timer)
    child.off('message', onMessage)
    child.off('exit', onExit)
    child.off('error', onExit)
  })
}

export class ExpressionProcess implements Expressions {
  #child: ChildProcess | undefined
  readonly #queue: Job[] = []
  #busy = false

  async check(source: string): Promise<string | undefined> {
    const [answer] = await this.#enqueue({ check: source })
    return answer!.ok ? undefined : answer!.reason
  }

  evaluate(sources: string[], scope: unknown): Promise<ExpressionAnswer[]> {
    return this.#enqueue({ sources, scope: JSON.stringify(scope) })
  }

  async stop(): Promise<void> {
    this.#child?.kill('SIGKILL')
    this.#child = undefined
  }

  #enqueue(order: ExpressionOrder): Promise<ExpressionAnswer[]> {
    const { promise, resolve } = Promise.withResolvers<ExpressionAnswer[]>()
    this.#queue.push({ order, resolve })
    if (!this.#busy) void this.#drain()
    return promise
  }

  async #drain(): Promise<void> {
    this.#busy = true
    for (let job = this.#queue.shift(); job !== undefined; job = this.#queue.shift()) job.resolve(await this.#run(job.order))
    this.#busy = false
  }

  async #ready(): Promise<ChildProcess | undefined> {
    if (this.#child?.connected === true) return this.#child
    const child = fork(new URL('./expression-process.ts', import.meta.url), [], {
      execArgv: [`--max-old-space-size=${heapMib}`],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      env: {},
    })
    child.on('error', () => undefined)
    const { kind } = await next(child, startLimitMs)
    if (kind !== 'message') {
      child.kill('SIGKILL')
      return undefined
    }
    // The router's life does not hang on it.
    child.unref()
    child.channel?.unref()
    this.#child = child
    return child
  }

  async #run(order: ExpressionOrder): Promise<ExpressionAnswer[]> {
    const failed = (reason: string, transient: boolean): ExpressionAnswer[] => (order.sources ?? ['']).map(() => ({ ok: false, reason, transient }))
    const child = await this.#ready()
    if (child === undefined) return failed('the process for expressions did not start', true)
    const outcome = next(child, timeLimitMs)
    child.send(order, () => undefined)
    const answer = await outcome
    if (answer.kind === 'message') return answer.value as ExpressionAnswer[]
    await this.stop()
    // On a busy machine the time may have gone elsewhere; the memory did not.
    return answer.kind === 'late' ? failed(`it took longer than ${timeLimitMs} ms`, true) : failed(`it took more than ${heapMib} MiB of memory`, false)
  }
}
