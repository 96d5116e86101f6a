// JSONata in a process of its own: no expression can hold the router up or take its memory, because a process that takes
// too long is killed and one that takes too much ends itself. (A thread with a heap limit does not do: when it runs out
// of memory it takes the whole process along.) The process starts with the first expression that needs it.
//
// There are two lanes, each with a process of its own, and in each the owners take turns. An owner is one set of
// expressions, which is that of one trigger or bot. One that took too long goes to the slow lane, with its waiting jobs,
// until it is in time again: so it delays others once, by the time limit, however many jobs it has. (With one queue 30
// jobs of one trigger delayed another bot from 15 ms to 19.6 s.) A job that took too long is tried a second time there, and when
// both times nothing else was evaluated it is the expression that takes so long, not the machine: that is permanent.
import { fork, type ChildProcess } from 'node:child_process'

export type ExpressionAnswer =
  | { ok: true; value?: unknown }
  | { ok: false; reason: string; transient?: boolean }

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
  /** The same over a scope that is JSON already. */
  evaluateOver(sources: string[], scope: string): Promise<ExpressionAnswer[]>
  stop(): Promise<void>
}

/** All expressions of one run together. */
const timeLimitMs = 500
/** Starting the process is not the expression's time. */
const startLimitMs = 10_000
const heapMib = 64
/** How often a job that takes too long is tried. */
const tries = 2
/** Owners that are remembered as slow. */
const mostSlow = 1000

interface Job {
  order: ExpressionOrder
  owner: string
  /** how often it took too long while nothing else was evaluated */
  late_alone: number
  tries: number
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

type Evaluated =
  | { kind: 'answers'; answers: ExpressionAnswer[] }
  | { kind: 'late' }
  | { kind: 'memory' }
  | { kind: 'not_started' }

/** What all lanes evaluate. */
interface Activity {
  running: number
  begun: number
}

/** One process, and what waits for it: the owners take turns. */
class Lane {
  readonly #onEnd: (job: Job, evaluated: Evaluated, alone: boolean) => void
  readonly #activity: Activity
  /** in the order of their turns */
  readonly #waiting = new Map<string, Job[]>()
  #child: ChildProcess | undefined
  #busy = false
  #closed = false

  /** onEnd is told whether no other lane evaluated anything meanwhile. */
  constructor(activity: Activity, onEnd: (job: Job, evaluated: Evaluated, alone: boolean) => void) {
    this.#activity = activity
    this.#onEnd = onEnd
  }

  add(job: Job): void {
    const jobs = this.#waiting.get(job.owner)
    if (jobs === undefined) this.#waiting.set(job.owner, [job])
    else jobs.push(job)
    if (!this.#busy) void this.#drain()
  }

  /** Takes the jobs of an owner that wait. */
  take(owner: string): Job[] {
    const jobs = this.#waiting.get(owner) ?? []
    this.#waiting.delete(owner)
    return jobs
  }

  /** Ends the process: what is evaluated is lost. The next one begins with the next job. */
  #kill(): void {
    this.#child?.kill('SIGKILL')
    this.#child = undefined
  }

  /** No process is started any more: one that was, with an expression that does not end, would outlive the router. */
  close(): void {
    this.#closed = true
    this.#kill()
  }

  #next(): Job | undefined {
    for (const [owner, jobs] of this.#waiting) {
      const job = jobs.shift()
      // Behind the others, for its next turn.
      this.#waiting.delete(owner)
      if (jobs.length > 0) this.#waiting.set(owner, jobs)
      if (job !== undefined) return job
    }
    return undefined
  }

  async #drain(): Promise<void> {
    this.#busy = true
    for (let job = this.#next(); job !== undefined; job = this.#next()) {
      const activity = this.#activity
      const begun = ++activity.begun
      const first = ++activity.running === 1
      const evaluated = await this.#run(job.order)
      activity.running--
      this.#onEnd(job, evaluated, first && activity.begun === begun)
    }
    this.#busy = false
  }

  async #ready(): Promise<ChildProcess | undefined> {
    if (this.#closed) return undefined
    if (this.#child?.connected === true) return this.#child
    const child = fork(new URL('./expression-process.ts', import.meta.url), [], {
      execArgv: [`--max-old-space-size=${heapMib}`],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      env: {},
    })
    child.on('error', () => undefined)
    const { kind } = await next(child, startLimitMs)
    if (kind !== 'message' || this.#closed) {
      child.kill('SIGKILL')
      return undefined
    }
    // The router's life does not hang on it.
    child.unref()
    child.channel?.unref()
    this.#child = child
    return child
  }

  async #run(order: ExpressionOrder): Promise<Evaluated> {
    const child = await this.#ready()
    if (child === undefined) return { kind: 'not_started' }
    const outcome = next(child, timeLimitMs)
    child.send(order, () => undefined)
    const answer = await outcome
    if (answer.kind === 'message') return { kind: 'answers', answers: answer.value as ExpressionAnswer[] }
    this.#kill()
    // On a busy machine the time may have gone elsewhere; the memory did not.
    return answer.kind === 'late' ? { kind: 'late' } : { kind: 'memory' }
  }
}

export class ExpressionProcess implements Expressions {
  readonly #activity: Activity = { running: 0, begun: 0 }
  readonly #fast = new Lane(this.#activity, (...ended) => this.#ended(...ended))
  readonly #slow = new Lane(this.#activity, (...ended) => this.#ended(...ended))
  readonly #slowOwners = new Set<string>()

  async check(source: string): Promise<string | undefined> {
    const [answer] = await this.#enqueue({ check: source }, 'check')
    return answer!.ok ? undefined : answer!.reason
  }

  evaluate(sources: string[], scope: unknown): Promise<ExpressionAnswer[]> {
    return this.evaluateOver(sources, JSON.stringify(scope))
  }

  evaluateOver(sources: string[], scope: string): Promise<ExpressionAnswer[]> {
    return this.#enqueue({ sources, scope }, JSON.stringify(sources))
  }

  async stop(): Promise<void> {
    this.#fast.close()
    this.#slow.close()
  }

  #enqueue(order: ExpressionOrder, owner: string): Promise<ExpressionAnswer[]> {
    const { promise, resolve } = Promise.withResolvers<ExpressionAnswer[]>()
    const lane = this.#slowOwners.has(owner) ? this.#slow : this.#fast
    lane.add({ order, owner, late_alone: 0, tries: 0, resolve })
    return promise
  }

  #ended(job: Job, evaluated: Evaluated, alone: boolean): void {
    switch (evaluated.kind) {
      case 'answers':
        this.#slowOwners.delete(job.owner)
        return job.resolve(evaluated.answers)
      case 'not_started':
        return fail(job, 'the process for expressions did not start', true)
      case 'memory':
        return fail(job, `it took more than ${heapMib} MiB of memory`, false)
      case 'late':
        return this.#late(job, alone)
    }
  }

  #late(job: Job, alone: boolean): void {
    job.tries++
    if (alone) job.late_alone++
    if (job.tries === tries) {
      const permanent = job.late_alone === tries
      return fail(
        job,
        `it took longer than ${timeLimitMs} ms${permanent ? `, ${tries} times, with nothing else to evaluate` : ''}`,
        !permanent,
      )
    }
    if (this.#slowOwners.size >= mostSlow) this.#slowOwners.clear()
    this.#slowOwners.add(job.owner)
    for (const each of [job, ...this.#fast.take(job.owner)]) this.#slow.add(each)
  }
}

function fail({ order, resolve }: Job, reason: string, transient: boolean): void {
  resolve((order.sources ?? ['']).map(() => ({ ok: false, reason, transient })))
}
