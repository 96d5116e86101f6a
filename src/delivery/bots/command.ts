// command bots: a run is a child process without a shell, the body on its standard input. Its environment is made from
// nothing, and nothing of an event enters its arguments.
import { fork, type ChildProcess } from 'node:child_process'
import type { CommandEndpoint } from '../../contract/types.ts'
import { failure, type BotKind, type Delivery, type DeliveryResult } from '../bot.ts'
import { jsonText } from './http.ts'
import type { SpawnerOrder, SpawnerReport } from './spawner.ts'

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

export function commandBot({ env, maxOutputBytes, killGraceMs }: CommandBotOptions): BotKind<CommandEndpoint> {
  let helper: ChildProcess | undefined
  const waiting = new Map<string, { resolve: (report: SpawnerReport) => void; began: boolean }>()

  function lost(id: string, began: boolean): SpawnerReport {
    const error = began
      ? { code: 'E_LOST', message: 'the helper process ended while the command ran; what became of it is not known' }
      : { code: 'E_SPAWNER', message: 'the helper process that starts commands is not there' }
    return { id, exit: null, error, output: '' }
  }

  function ready(): ChildProcess | undefined {
    if (helper?.connected === true) return helper
    const child = fork(new URL('./spawner.ts', import.meta.url), [], { execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'], env: {} })
    const gone = (): void => {
      if (helper === child) helper = undefined
      for (const [id, { resolve, began }] of waiting) resolve(lost(id, began))
    }
    child.on('error', gone)
    child.on('exit', gone)
    if (child.pid === undefined) return undefined
    child.on('message', (report: SpawnerReport) => {
      const own = waiting.get(report.id)
      if (own === undefined) return
      if (report.began === true) own.began = true
      else own.resolve(report)
    })
    // The router's life does not hang on its helper.
    child.unref()
    child.channel?.unref()
    helper = child
    return child
  }

  async function deliver(endpoint: CommandEndpoint, delivery: Delivery): Promise<DeliveryResult> {
    const { promise, resolve } = Promise.withResolvers<SpawnerReport>()
    const id = `${delivery.run_id} ${delivery.attempt}`
    if (delivery.signal.aborted) return { outcome: 'aborted' }
    const child = ready()
    if (child === undefined) return resultOf(lost(id, false), false, delivery)
    const send = (order: SpawnerOrder): void => void child.send(order, error => {
      if (error !== null) resolve(lost(id, waiting.get(id)?.began ?? false))
    })
    let timedOut = false
    const end = (): void => send({ kind: 'end', id, grace_ms: killGraceMs })
    const timer = setTimeout(() => {
      timedOut = true
      end()
    }, delivery.timeout_ms)
    waiting.set(id, { resolve, began: false })
    delivery.signal.addEventListener('abort', end, { once: true })
    send({ kind: 'spawn', id, argv: endpoint.argv, cwd: endpoint.cwd ?? null, env: environment(endpoint, delivery, env), input: delivery.body, max_output_bytes: maxOutputBytes })
    try {
      return resultOf(await promise, timedOut, delivery)
    } finally {
      clearTimeout(timer)
      waiting.delete(id)
      delivery.signal.removeEventListener('abort', end)
    }
  }

  async function stop(): Promise<void> {
    const child = helper
    helper = undefined
    if (child === undefined || !child.connected) return
    const gone = new Promise<void>(resolve => child.once('exit', () => resolve()))
    child.ref()
    child.disconnect()
    await gone
  }

  return { deliver, stop }
}
