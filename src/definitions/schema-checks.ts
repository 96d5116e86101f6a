// Checks that may take long: in a process that is killed when its time is up. Sources take turns, so that one with a slow
// schema does not hold up the others, and each has a place for so many checks that wait.
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { Fault } from '../errors.ts'
import type { Refusal } from './schema-compile.ts'

/** A schema, as JSON, to compile; with a payload, as JSON, to check it. */
export interface CheckOrder {
  schema: string
  payload?: string
}

export type CheckAnswer =
  | { kind: 'fine' }
  | { kind: 'refused'; refusal: Refusal }
  | { kind: 'unusable'; reason: string }
  | { kind: 'late' }

/** One check, compiling included. */
const timeLimitMs = 1000
/** Starting the process is not the check's time. */
const startLimitMs = 10_000
const heapMib = 128
/** Checks of one source that may wait. */
const maxWaiting = 32

interface Job {
  order: CheckOrder
  resolve: (answer: CheckAnswer) => void
}

export class SchemaChecks {
  #child: ChildProcess | undefined
  /** by source, in turn */
  readonly #queues = new Map<string, Job[]>()
  #busy = false

  /** Why a schema cannot be compiled; undefined: it can. Throws Fault overloaded. */
  async compile(schema: object): Promise<string | undefined> {
    const answer = await this.#enqueue('', { schema: JSON.stringify(schema) })
    if (answer.kind === 'late')
      return `compiling it takes longer than ${timeLimitMs} ms or more than ${heapMib} MiB; make it smaller`
    return answer.kind === 'unusable' ? answer.reason : undefined
  }

  /** What is wrong with a payload; undefined: nothing is. Throws Fault overloaded. */
  async check(source_id: string, schema: object, payload: unknown): Promise<Refusal | undefined> {
    const answer = await this.#enqueue(source_id, {
      schema: JSON.stringify(schema),
      payload: JSON.stringify(payload),
    })
    switch (answer.kind) {
      case 'fine':
        return undefined
      case 'refused':
        return answer.refusal
      case 'unusable':
        return { path: 'payload', message: `cannot be checked: ${answer.reason}` }
      case 'late':
        return {
          path: 'payload',
          message: `cannot be checked within ${timeLimitMs} ms and ${heapMib} MiB; send a smaller payload, or make the payload_schema simpler`,
        }
    }
  }

  #enqueue(source_id: string, order: CheckOrder): Promise<CheckAnswer> {
    const queue = this.#queues.get(source_id) ?? []
    if (queue.length >= maxWaiting)
      throw new Fault(
        'overloaded',
        `${maxWaiting} payloads wait to be checked against the payload_schema of source ${source_id}; try again shortly`,
        {
          retryAfterS: 5,
        },
      )
    const { promise, resolve } = Promise.withResolvers<CheckAnswer>()
    queue.push({ order, resolve })
    this.#queues.set(source_id, queue)
    if (!this.#busy) void this.#drain()
    return promise
  }

  /** The first check of each source, one source after the other. */
  async #drain(): Promise<void> {
    this.#busy = true
    for (
      let first = this.#queues.entries().next();
      first.done !== true;
      first = this.#queues.entries().next()
    ) {
      const [source_id, queue] = first.value
      const job = queue.shift()!
      job.resolve(await this.#run(job.order))
      // Behind the others, if there is more of it by now.
      this.#queues.delete(source_id)
      if (queue.length > 0) this.#queues.set(source_id, queue)
    }
    this.#busy = false
  }

  async #run(order: CheckOrder): Promise<CheckAnswer> {
    const child = await this.#ready()
    if (child === undefined) return { kind: 'unusable', reason: 'the process for it did not start' }
    const answer = said(child, timeLimitMs)
    child.send(order, () => undefined)
    const message = await answer
    if (message !== undefined) return message as CheckAnswer
    child.kill('SIGKILL')
    this.#child = undefined
    return { kind: 'late' }
  }

  async #ready(): Promise<ChildProcess | undefined> {
    if (this.#child?.connected === true) return this.#child
    const child = fork(new URL('./schema-process.ts', import.meta.url), [], {
      execArgv: [`--max-old-space-size=${heapMib}`],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      env: {},
    })
    child.on('error', () => undefined)
    if ((await said(child, startLimitMs)) === undefined) {
      child.kill('SIGKILL')
      return undefined
    }
    // The router's life does not depend on it.
    child.unref()
    child.channel?.unref()
    return (this.#child = child)
  }
}

/** What a process says next; undefined where it says nothing in time, or ends. */
async function said(child: ChildProcess, limitMs: number): Promise<unknown> {
  const over = new AbortController()
  const onExit = (): void => over.abort()
  // When this process itself was held up, the answer may be there already: it is looked for before the time is up.
  const timer = setTimeout(() => setImmediate(() => setImmediate(onExit)), limitMs)
  child.once('exit', onExit)
  child.once('error', onExit)
  try {
    const [message] = (await once(child, 'message', { signal: over.signal })) as unknown[]
    return message
  } catch {
    return undefined
  } finally {
    clearTimeout(timer)
    child.off('exit', onExit)
    child.off('error', onExit)
  }
}
