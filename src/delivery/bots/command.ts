// command bots: a run is a child process without a shell, the body on its standard input. Its environment is made from
// nothing, and nothing of an event enters its arguments.
import type { CommandEndpoint } from '../../contract/types.ts'
import { jsonText } from '../answer-json.ts'
import { failure, type BotKind, type Delivery, type DeliveryResult } from '../bot.ts'
import { contextDirectory, type ContextDirectory } from '../../outbound/context-directory.ts'
import { childEnvironment, type Commands } from '../../outbound/commands.ts'
import type { SpawnerReport, SpawnOrder } from '../../outbound/spawner.ts'

export interface CommandBotOptions {
  commands: Commands
  /** the router's environment, of which a child sees only what its bot names */
  env: Record<string, string | undefined>
  maxOutputBytes: number
  killGraceMs: number
  /** the control socket, for what a command has to say */
  socket: () => string
  /** where the context files of running commands stand */
  contextRoot: string
}

/** sysexits' EX_TEMPFAIL: the command asks for another try. */
const tryAgain = 75
/** Errors that another try would meet again; E_LOST: it began, and what became of it is not known. */
const startErrors: Record<string, 'refused' | 'run'> = { E2BIG: 'refused', ERR_INVALID_ARG_VALUE: 'refused', E_LOST: 'run' }

function environment(endpoint: CommandEndpoint, delivery: Delivery, context: string | undefined, { env, socket }: CommandBotOptions): Record<string, string> {
  return {
    ...childEnvironment(env, endpoint.env ?? []),
    SIGNALBOX_SOCKET: socket(),
    ...(context === undefined ? {} : { SIGNALBOX_CONTEXT_DIR: context }),
    SIGNALBOX_RUN_ID: delivery.run_id,
    SIGNALBOX_EVENT_ID: delivery.event_id,
    SIGNALBOX_TRIGGER_ID: delivery.trigger_id,
    SIGNALBOX_ATTEMPT: String(delivery.attempt),
    SIGNALBOX_DEPTH: String(delivery.depth),
    ...(delivery.workflow_id === null ? {} : { SIGNALBOX_WORKFLOW_ID: delivery.workflow_id }),
  }
}

/** The last line of an output that is not empty, as a terminal would have left it: what comes before a carriage return is overwritten. */
function lastLine(output: string): string | undefined {
  return output
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

function resultOf({ exit, error, output }: SpawnerReport, timedOut: boolean, delivery: Delivery): DeliveryResult {
  if (error !== null) return failure(startErrors[error.code] ?? 'unreachable', error.message, { status: error.code })
  const { code, signal } = exit!
  const status = signal === null ? `exit ${code}` : `signal ${signal}`
  // What came to its end is done, also when it was just being told to stop.
  if (code === 0) return { outcome: 'success', status, output, result: jsonText(output) }
  if (timedOut) return failure('timeout', reason(`the command was ended after ${delivery.timeout_ms} ms`, output), { status, output })
  if (delivery.signal.aborted) return { outcome: 'aborted', output }
  if (code === tryAgain) return failure('unavailable', 'the command asked to be tried again (exit code 75)', { status, output })
  return failure('run', reason(signal === null ? `exit code ${code}` : `ended by ${signal}`, output), { status, output })
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

export function commandBot(options: CommandBotOptions): BotKind<CommandEndpoint> {
  const { commands, maxOutputBytes, killGraceMs, contextRoot } = options
  const allowances = new Map<string, Allowance>()

  async function deliver(endpoint: CommandEndpoint, delivery: Delivery): Promise<DeliveryResult> {
    if (delivery.signal.aborted) return { outcome: 'aborted' }
    if (delivery.context.length === 0) return run(endpoint, delivery, undefined)
    let directory: ContextDirectory
    try {
      directory = await contextDirectory(contextRoot, delivery.context)
    } catch (error) {
      return failure('unreachable', `the context files could not be written: ${(error as Error).message}`, { status: 'E_CONTEXT' })
    }
    try {
      return await run(endpoint, delivery, directory.path)
    } finally {
      await directory.remove()
    }
  }

  async function run(endpoint: CommandEndpoint, delivery: Delivery, context: string | undefined): Promise<DeliveryResult> {
    const order: SpawnOrder = {
      kind: 'spawn',
      id: commandId(delivery.id, delivery.attempt),
      argv: endpoint.argv,
      cwd: endpoint.cwd ?? null,
      env: environment(endpoint, delivery, context, options),
      input: delivery.body,
      max_output_bytes: maxOutputBytes,
    }
    let timedOut = false
    let onAbort: (() => void) | undefined
    const report = await commands.run(order, killGraceMs, ending => {
      const over = (): void => {
        timedOut = true
        ending()
      }
      allowances.set(order.id, new Allowance(delivery.timeout_ms, over))
      onAbort = ending
      delivery.signal.addEventListener('abort', ending, { once: true })
    })
    allowances.get(order.id)?.pause()
    allowances.delete(order.id)
    if (onAbort !== undefined) delivery.signal.removeEventListener('abort', onAbort)
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
