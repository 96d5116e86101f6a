// What every command has at hand: the router's client, the output, and the ways to read what it is given.
import { readSync } from 'node:fs'
import { ConnectionError, RpcError, SignalboxClient } from '../client/client.ts'
import type {
  CallOptions,
  ChangedRun,
  DraftEvent,
  LoggedEvent,
  Methods,
  RouterApplyParams,
  Subscription,
  TriggerTestResult,
} from '../client/client.ts'
import { errorTable } from '../errors.ts'
import { exactJson } from '../exact-json.ts'
import { doubledKey } from '../json-text.ts'
import { FileError, readPlainFile } from '../plain-file.ts'
import type { ToolRules } from '../tools.ts'
import type { ValidationError } from '../validation-error.ts'
import { givenId } from './ids.ts'
import type { Output } from './output.ts'
import { UsageError } from './refusals.ts'

export { NoError, UsageError } from './refusals.ts'

/** Whether the router answered not_found. */
export function isNotFound(error: unknown): boolean {
  return error instanceof RpcError && error.code === errorTable.not_found.code
}

/** Triggers that are tried without a router. */
export interface Trial {
  load(definitions: RouterApplyParams): ValidationError | undefined
  refusal(event: unknown): ValidationError | undefined
  attempt(trigger_id: string, event: DraftEvent): Promise<TriggerTestResult>
  close(): Promise<void>
}

/** What is wrong with a database; id is that of an event or run. */
export interface Fault {
  kind: string
  id?: string | undefined
  message: string
}

/** What there is in a database, and how many faults were reported. */
export interface Salvaged {
  path: string
  bytes: number
  events: number
  runs: number
  findings: number
}

/** A restored database; aside: where the one before is now, null where there was none. */
export interface Restored extends Omit<Salvaged, 'findings'> {
  from: string
  aside: string | null
  paused: string
}

/** Databases as files. Each throws ExitError. */
export interface Salvage {
  verify(path: string, tell: (fault: Fault) => void): Salvaged
  recover(path: string, into: string, tell: (fault: Fault) => void): Salvaged
  restore(path: string, stateDir: string, tell: (fault: Fault) => void): Promise<Restored>
}

export interface Environment {
  env: Record<string, string | undefined>
  stateDir: string
  socket: string
  trial: () => Promise<Trial>
  salvage: () => Promise<Salvage>
  /** what is denied by default, without a router's configuration */
  toolRules: () => Promise<ToolRules>
}

export class Session {
  readonly output: Output
  readonly environment: Environment
  #client: Promise<SignalboxClient> | undefined

  constructor(output: Output, environment: Environment) {
    this.output = output
    this.environment = environment
  }

  async call<M extends keyof Methods>(
    method: M,
    params: Methods[M]['params'],
    options?: CallOptions,
  ): Promise<Methods[M]['result']> {
    return (await this.#connected()).call(method, params, options)
  }

  /** The one connection, also of calls that are made at the same time. */
  #connected(): Promise<SignalboxClient> {
    return (this.#client ??= SignalboxClient.connect(this.environment.socket, { read: exactJson }))
  }

  /** Reports events as they are logged, until the router stops. Throws ConnectionError then. */
  follow(params: Methods['event.subscribe']['params'], onEvent: (told: LoggedEvent) => void): Promise<never> {
    return this.#untilGone(client => client.subscribe(params, onEvent))
  }

  /** Calls onChange for each run that changes, until the router stops. Throws ConnectionError then. */
  followRuns(
    params: Methods['run.subscribe']['params'],
    onChange: (told: ChangedRun) => void,
  ): Promise<never> {
    return this.#untilGone(client => client.subscribeRuns(params, onChange))
  }

  async #untilGone(subscribe: (client: SignalboxClient) => Promise<Subscription>): Promise<never> {
    const client = await this.#connected()
    const { failed } = await subscribe(client)
    const error = await Promise.race([failed, client.closed])
    throw error ?? new ConnectionError('the router closed the connection')
  }

  /** Reports events that are logged from now on, until the session ends. */
  async listen(
    params: Methods['event.subscribe']['params'],
    onEvent: (event: LoggedEvent['event']) => void,
  ): Promise<void> {
    await (await this.#connected()).subscribe(params, ({ event }) => onEvent(event))
  }

  /** The id of an event: in full, its end, or "last", which is the newest one of the log. */
  async eventId(given: string): Promise<string> {
    if (given !== 'last')
      return givenId(given, 'event', async cursor => {
        const { events, next_cursor } = await this.call('event.query', { limit: mostAtOnce, cursor })
        return { ids: events.map(({ id }) => id), next_cursor }
      })
    const { events } = await this.call('event.query', { limit: 1 })
    if (events.length === 0) throw new UsageError('the log is empty, so there is no last event')
    return events[0]!.id
  }

  /** The id of a run: in full, its end, or "last", which is the newest one. */
  async runId(given: string): Promise<string> {
    if (given !== 'last')
      return givenId(given, 'run', async cursor => {
        const { runs, next_cursor } = await this.call('run.list', { limit: mostAtOnce, cursor })
        return { ids: runs.map(({ id }) => id), next_cursor }
      })
    const { runs } = await this.call('run.list', { limit: 1 })
    if (runs.length === 0) throw new UsageError('there are no runs, so there is no last one')
    return runs[0]!.id
  }

  close(): void {
    // Who could not connect was told so.
    void this.#client?.then(
      client => client.close(),
      () => undefined,
    )
  }
}

const noMoreYetMs = 10

/** All of standard input. It may be a pipe that does not block, whose writer takes its time. */
export function standardInput(): string {
  const chunks: Buffer[] = []
  const chunk = Buffer.alloc(65_536)
  const nothing = new Int32Array(new SharedArrayBuffer(4))
  for (;;) {
    try {
      const length = readSync(0, chunk)
      if (length === 0) return Buffer.concat(chunks).toString('utf8')
      chunks.push(Buffer.from(chunk.subarray(0, length)))
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EOF') return Buffer.concat(chunks).toString('utf8')
      if (code !== 'EAGAIN') throw new UsageError(`standard input cannot be read (${code})`)
      Atomics.wait(nothing, 0, 0, noMoreYetMs)
    }
  }
}

/** The text of an argument: itself, @file, or - for standard input. */
export function textArgument(argument: string): string {
  if (argument === '-') return standardInput()
  if (!argument.startsWith('@')) return argument
  return namedFile(argument.slice(1), mostArgumentBytes).toString('utf8')
}

/** More than a router takes in one message. */
const mostArgumentBytes = 64 * 1_048_576

/** The bytes of a file that a person names. Throws UsageError. */
export function namedFile(path: string, most_bytes: number, follow = true): Buffer {
  try {
    return readPlainFile(path, { most_bytes, follow, descriptors: true }).bytes
  } catch (error) {
    if (error instanceof FileError) throw new UsageError(error.message)
    throw error
  }
}

/** JSON from an argument, @file or standard input. */
export function jsonArgument(argument: string, what: string): unknown {
  const text = textArgument(argument)
  try {
    const value = exactJson(text)
    const doubled = doubledKey(Buffer.from(text))
    if (doubled === undefined) return value
    throw new UsageError(`${what} has the key ${doubled} twice, of which the first would be lost`)
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new UsageError(
      `${what} is not valid JSON: ${(error as Error).message}${/^[@-]/.test(argument) ? '' : '; write @file for a file and - for standard input'}`,
    )
  }
}

/** A payload: JSON where the text is JSON, else the text itself. */
export function payloadArgument(argument: string): unknown {
  const text = textArgument(argument)
  try {
    return exactJson(text)
  } catch {
    return text
  }
}

/** JSON from a file or standard input. */
export function jsonFile(path: string, what: string): unknown {
  return jsonArgument(path === '-' ? '-' : `@${path}`, what)
}

export function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text))
    throw new UsageError(`a whole number was expected; found ${JSON.stringify(text)}`)
  return Number(text)
}

/** The longest page that the router answers. */
export const mostAtOnce = 500

/** All pages of a list, one after the other. */
export async function everyPage<T>(
  read: (cursor: string | undefined) => Promise<{ page: T[]; next_cursor?: string }>,
): Promise<T[]> {
  const all: T[] = []
  for (let cursor: string | undefined; ;) {
    const { page, next_cursor } = await read(cursor)
    all.push(...page)
    if (next_cursor === undefined) return all
    cursor = next_cursor
  }
}
