// command bots: a run is a child process without a shell, the body on its standard input. Its environment is made from
// nothing, and nothing of an event enters its arguments.
import { fork, type ChildProcess } from 'node:child_process'
import type { CommandEndpoint } from '../../contract/types.ts'
import { failure, type BotKind, type Delivery, type DeliveryResult } from '../bot.ts'
import { jsonText } from './http.ts'
import type { SpawnerOrder, SpawnerReport, SpawnOrder } from './spawner.ts'

export interface CommandBotOptions {
  /** the router's environment, of which a child sees only what its bot names */
  env: Record<string, string | undefined>
  maxOutputBytes: number
  killGraceMs: number
}

const fixedPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
/** What a child inherits without being asked. */
const inherited = ['HOME', 'LANG', 'TZ', 'USER', 'LOGNAME']
/** sysexits' EX_TEMPFAIL: the command asks for another try. */
const tryAgain = 75
/** Errors that another try would meet again; E_LOST: it began, and what became of it is not known. */
const startErrors: Record<string, 'refused' | 'run'> = { E2BIG: 'refused', ERR_INVALID_ARG_VALUE: 'refused', E_LOST: 'run' }

function environment(endpoint: CommandEndpoint, delivery: Delivery, env: Record<string, string | undefined>): Record<string, string> {
  const result: Record<string, string> = { PATH: fixedPath }
  for (const name of [...inherited, ...(endpoint.env ?? [])]) {
    const value = env[name]
    if (value !== undefined) result[name] = value
  }
  return {
    ...result,
    SIGNALBOX_RUN_ID: delivery.run_id,
    SIGNALBOX_EVENT_ID: delivery.event_id,
    SIGNALBOX_TRIGGER_ID: delivery.trigger_id,
    SIGNALBOX_ATTEMPT: String(delivery.attempt),
    ...(delivery.workflow_id === null ? {} : { SIGNALBOX_WORKFLOW_ID: delivery.workflow_id }),
  }
}

function resultOf({ exit, error, output }: SpawnerReport, timedOut: boolean, delivery: Delivery): DeliveryResult {
  if (error !== null) return failure(startErrors[error.code] ?? 'unreachable', error.message, { status: error.code })
  const { code, signal } = exit!
  const status = signal === null ? `exit ${code}` : `signal ${signal}`
  // What came to its end is done, also when it was just being told to stop.
  if (code === 0) return { outcome: 'success', status, output, result: jsonText(output) }
  if (timedOut) return failure('timeout', `the command was ended after ${delivery.timeout_ms} ms`, { status, output })
  if (delivery.signal.aborted) return { outcome: 'aborted' }
  if (code === tryAgain) return failure('unavailable', 'the command asked to be tried again (exit code 75)', { status, output })
  return failure('run', signal === null ? `exit code ${code}` : `ended by ${signal}`, { status, output })
}

function lost(id: string, began: boolean): SpawnerReport {
  const error = began
    ? { code: 'E_LOST', message: 'the helper process ended while the command ran; what became of it is not known' }
    : { code: 'E_SPAWNER', message: 'the helper process that starts commands is not there' }
  return { id, exit: null, error, output: '' }
}

/** The helper process as the router sees it; started with the first command, and anew when it is gone. */
class Helper {
  #child: ChildProcess | undefined
  readonly #waiting = new Map<string, { resolve: (report: SpawnerReport) => void; began: boolean }>()

  #ready(): ChildProcess | undefined {
    if (this.#child?.connected === true) return this.#child
    const child = fork(new URL('./spawner.ts', import.meta.url), [], { execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'], env: {} })
    const gone = (): void => {
      if (this.#child === child) this.#child = undefined
      for (const [id, { resolve, began }] of this.#waiting) resolve(lost(id, began))
    }
    child.on('error', gone)
    child.on('exit', gone)
    if (child.pid === undefined) return undefined
    child.on('message', (report: SpawnerReport) => {
      const own = this.#waiting.get(report.id)
      if (own === undefined) return
      if (report.began === true) own.began = true
      else own.resolve(report)
    })
    // The router's life does not hang on its helper.
    child.unref()
    child.channel?.unref()
    this.#child = child
    return child
  }

  #send(child: ChildProcess, order: SpawnerOrder): void {
    child.send(order, error => {
      const own = this.#waiting.get(order.id)
      if (error !== null) own?.resolve(lost(order.id, own.began))
    })
  }

  /** Runs a command; the report tells how it ended. end is given a function that ends it early. */
  async run(order: SpawnOrder, killGraceMs: number, end: (ending: () => void) => void): Promise<SpawnerReport> {
    const child = this.#ready()
    if (child === undefined) return lost(order.id, false)
    const { promise, resolve } = Promise.withResolvers<SpawnerReport>()
    this.#waiting.set(order.id, { resolve, began: false })
    this.#send(child, order)
    end(() => this.#send(child, { kind: 'end', id: order.id, grace_ms: killGraceMs }))
    return promise.finally(() => this.#waiting.delete(order.id))
  }

  /** Stops a command's processes or lets them go on; false where there is none. */
  pause(id: string, paused: boolean): boolean {
    if (this.#child?.connected !== true || this.#waiting.get(id)?.began !== true) return false
    this.#send(this.#child, { kind: paused ? 'pause' : 'resume', id })
    return true
  }

  async stop(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || !child.connected) return
    const gone = new Promise<void>(resolve => child.once('exit', () => resolve()))
    child.ref()
    child.disconnect()
    await gone
  }
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

export function commandBot({ env, maxOutputBytes, killGraceMs }: CommandBotOptions): BotKind<CommandEndpoint> {
  const helper = new Helper()
  const allowances = new Map<string, Allowance>()

  async function deliver(endpoint: CommandEndpoint, delivery: Delivery): Promise<DeliveryResult> {
    if (delivery.signal.aborted) return { outcome: 'aborted' }
    const order: SpawnOrder = {
      kind: 'spawn',
      id: commandId(delivery.id, delivery.attempt),
      argv: endpoint.argv,
      cwd: endpoint.cwd ?? null,
      env: environment(endpoint, delivery, env),
      input: delivery.body,
      max_output_bytes: maxOutputBytes,
    }
    let timedOut = false
    let onAbort: (() => void) | undefined
    const report = await helper.run(order, killGraceMs, ending => {
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
    if (!helper.pause(id, paused)) return false
    if (paused) allowances.get(id)?.pause()
    else allowances.get(id)?.resume()
    return true
  }

  return { deliver, pause, stop: () => helper.stop() }
}
