// command bots: a run is a child process without a shell, the body on its standard input. Its environment is made from
// nothing, and nothing of an event enters its arguments.
import { stripVTControlCharacters } from 'node:util'
import type { CommandEndpoint } from '../../contract/types.ts'
import { commandResult } from '../answer-json.ts'
import { failure, type BotKind, type Delivery, type DeliveryResult, type OwnRun } from '../bot.ts'
import { contextDirectory, type ContextDirectory } from '../../outbound/context-directory.ts'
import { childEnvironment, type Commands, type TakeOutput } from '../../outbound/commands.ts'
import type { SpawnerReport, SpawnOrder } from '../../outbound/spawner.ts'

/** A socket that a command is given, and how it is closed with all of its connections. */
export type OpenSocket = (own: OwnRun) => Promise<{ path: string; close: () => Promise<void> }>

export interface CommandBotOptions {
  commands: Commands
  /** the router's environment, of which a child sees only what its bot names */
  env: Record<string, string | undefined>
  /** of standard output, for the result */
  maxStdoutBytes: number
  /** of all that an attempt prints, for those who read it */
  outputBytes: number
  killGraceMs: number
  /** the control socket, for commands that are trusted with it */
  controlSocket: () => string
  /** Opens a socket for one attempt, limited to its run. */
  openSocket: OpenSocket
  /** where the context files of running commands stand */
  contextRoot: string
}

/** sysexits' EX_TEMPFAIL: the command asks for another try. */
const tryAgain = 75
/** Errors that another try would meet again; E_LOST: it began, and what became of it is not known. */
const startErrors: Record<string, 'refused' | 'run'> = {
  E_CWD: 'refused',
  E2BIG: 'refused',
  ERR_INVALID_ARG_VALUE: 'refused',
  E_LOST: 'run',
}

/** What a command finds beside its standard input; undefined: it is given none. */
interface Given {
  socket: string | undefined
  context: string | undefined
}

function environment(
  endpoint: CommandEndpoint,
  delivery: Delivery,
  { socket, context }: Given,
  env: CommandBotOptions['env'],
): Record<string, string> {
  return {
    ...childEnvironment(env, endpoint.env ?? []),
    ...(socket === undefined ? {} : { SIGNALBOX_SOCKET: socket }),
    ...(context === undefined ? {} : { SIGNALBOX_CONTEXT_DIR: context }),
    SIGNALBOX_RUN_ID: delivery.run_id,
    SIGNALBOX_EVENT_ID: delivery.event_id,
    SIGNALBOX_TRIGGER_ID: delivery.trigger_id,
    SIGNALBOX_ATTEMPT: String(delivery.attempt),
    SIGNALBOX_DEPTH: String(delivery.depth),
    ...(delivery.workflow_id === null ? {} : { SIGNALBOX_WORKFLOW_ID: delivery.workflow_id }),
  }
}

/** The last line of an output that is not empty, without colours, as a terminal would have left it: what comes before a carriage return is overwritten. */
function lastLine(output: string): string | undefined {
  return stripVTControlCharacters(output)
    .split('\n')
    .map(line => line.split('\r').findLast(part => part.trim() !== ''))
    .findLast(line => line !== undefined)
    ?.trim()
}

/** A failure of the command itself, with what it said last. */
function reason(what: string, output: string): string {
  const line = lastLine(output)
  return line === undefined ? what : `${what}: ${line}`
}

function resultOf(
  { exit, error, stdout, truncated, tail }: SpawnerReport,
  timedOut: boolean,
  delivery: Delivery,
): DeliveryResult {
  if (error !== null)
    return failure(startErrors[error.code] ?? 'unreachable', error.message, { status: error.code })
  const { code, signal } = exit!
  const status = signal === null ? `exit ${code}` : `signal ${signal}`
  const said = { output: tail, result: commandResult(stdout, truncated) }
  // What came to its end is done, also when it was just being told to stop.
  if (code === 0) return { outcome: 'success', status, ...said }
  if (timedOut)
    return failure('timeout', reason(`the command was ended after ${delivery.timeout_ms} ms`, tail), {
      status,
      ...said,
    })
  if (delivery.signal.aborted) return { outcome: 'aborted', ...said }
  if (code === tryAgain)
    return failure('unavailable', 'the command asked to be tried again (exit code 75)', { status, ...said })
  return failure('run', reason(signal === null ? `exit code ${code}` : `ended by ${signal}`, tail), {
    status,
    ...said,
  })
}

/** How long a command may take; the time in which it is paused does not count. */
class Allowance {
  readonly #over: () => void
  #left: number
  #since = performance.now()
  #timer: NodeJS.Timeout | undefined

  constructor(ms: number, over: () => void) {
    this.#left = ms
    this.#over = over
    this.resume()
  }

  pause(): void {
    if (this.#timer === undefined) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#left -= performance.now() - this.#since
  }

  resume(): void {
    if (this.#timer !== undefined) return
    this.#since = performance.now()
    this.#timer = setTimeout(this.#over, Math.max(0, this.#left))
  }
}

function commandId(id: string, attempt: number): string {
  return `${id} ${attempt}`
}

function orderOf(
  endpoint: CommandEndpoint,
  delivery: Delivery,
  given: Given,
  { env, maxStdoutBytes, outputBytes }: Pick<CommandBotOptions, 'env' | 'maxStdoutBytes' | 'outputBytes'>,
): SpawnOrder {
  return {
    kind: 'spawn',
    id: commandId(delivery.id, delivery.attempt),
    argv: endpoint.argv,
    cwd: endpoint.cwd ?? null,
    env: environment(endpoint, delivery, given, env),
    input: delivery.body,
    max_stdout_bytes: maxStdoutBytes,
    ...(delivery.capture === null ? {} : { pending_bytes: outputBytes }),
  }
}

interface Running extends Pick<CommandBotOptions, 'controlSocket' | 'openSocket'> {
  run: (endpoint: CommandEndpoint, delivery: Delivery, given: Given) => Promise<DeliveryResult>
}

/** The socket lasts as long as the attempt. Questions and wake calls act on no run: they have none. */
async function runWithSocket(
  endpoint: CommandEndpoint,
  delivery: Delivery,
  context: string | undefined,
  { run, controlSocket, openSocket }: Running,
): Promise<DeliveryResult> {
  if (endpoint.control === true) return run(endpoint, delivery, { socket: controlSocket(), context })
  if (delivery.own === null) return run(endpoint, delivery, { socket: undefined, context })
  let socket: Awaited<ReturnType<OpenSocket>>
  try {
    socket = await openSocket(delivery.own)
  } catch (error) {
    return failure(
      'unreachable',
      `the socket of the command could not be opened: ${(error as Error).message}`,
      { status: 'E_SOCKET' },
    )
  }
  try {
    return await run(endpoint, delivery, { socket: socket.path, context })
  } finally {
    await socket.close()
  }
}

export function commandBot(options: CommandBotOptions): BotKind<CommandEndpoint> {
  const { commands, killGraceMs, contextRoot } = options
  const running: Running = { ...options, run }
  const allowances = new Map<string, Allowance>()

  async function deliver(endpoint: CommandEndpoint, delivery: Delivery): Promise<DeliveryResult> {
    if (delivery.signal.aborted) return { outcome: 'aborted' }
    if (delivery.context.length === 0) return runWithSocket(endpoint, delivery, undefined, running)
    let directory: ContextDirectory
    try {
      directory = await contextDirectory(contextRoot, delivery.context)
    } catch (error) {
      return failure('unreachable', `the context files could not be written: ${(error as Error).message}`, {
        status: 'E_CONTEXT',
      })
    }
    try {
      return await runWithSocket(endpoint, delivery, directory.path, running)
    } finally {
      await directory.remove()
    }
  }

  async function run(endpoint: CommandEndpoint, delivery: Delivery, given: Given): Promise<DeliveryResult> {
    const { capture } = delivery
    const take: TakeOutput | undefined =
      capture === null ? undefined : (chunks, more) => capture.take(chunks, more)
    const order = orderOf(endpoint, delivery, given, options)
    delivery.made(
      {
        kind: 'command',
        argv: order.argv,
        cwd: order.cwd,
        env: Object.keys(order.env).toSorted((a, b) => (a < b ? -1 : 1)),
      },
      order.input,
    )
    let timedOut = false
    let onAbort: (() => void) | undefined
    const canEnd = (ending: () => void): void => {
      const over = (): void => {
        timedOut = true
        ending()
      }
      allowances.set(order.id, new Allowance(delivery.timeout_ms, over))
      onAbort = ending
      delivery.signal.addEventListener('abort', ending, { once: true })
    }
    const report = await commands.run(order, killGraceMs, canEnd, take)
    allowances.get(order.id)?.pause()
    allowances.delete(order.id)
    if (onAbort !== undefined) delivery.signal.removeEventListener('abort', onAbort)
    // Before the run moves: who sees that the attempt is over sees all that it printed.
    await capture?.end()
    return resultOf(report, timedOut, delivery)
  }

  function pause(run_id: string, attempt: number, paused: boolean): boolean {
    const id = commandId(run_id, attempt)
    if (!commands.pause(id, paused)) return false
    if (paused) allowances.get(id)?.pause()
    else allowances.get(id)?.resume()
    return true
  }

  // The helper is the router's, who ends it.
  return { deliver, pause, stop: async () => undefined }
}
