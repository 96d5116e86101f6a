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
/** Orders beyond this would fill the helper's channel. */
const startErrors: Record<string, 'refused' | 'unreachable'> = { E2BIG: 'refused', ERR_INVALID_ARG_VALUE: 'refused' }

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
  if (error !== null) return failure(startErrors[error.code] ?? 'unreachable', `the command could not be started: ${error.message}`, { status: error.code })
  const { code, signal } = exit!
  const status = signal === null ? `exit ${code}` : `signal ${signal}`
  if (timedOut) return failure('timeout', `the command was ended after ${delivery.timeout_ms} ms`, { status, output })
  if (delivery.signal.aborted) return { outcome: 'aborted' }
  if (code === 0) return { outcome: 'success', status, output, result: jsonText(output) }
  if (code === tryAgain) return failure('unavailable', 'the command asked to be tried again (exit code 75)', { status, output })
  return failure('run', signal === null ? `exit code ${code}` : `ended by ${signal}`, { status, output })
}

export function commandBot({ env, maxOutputBytes, killGraceMs }: CommandBotOptions): BotKind<CommandEndpoint> {
  let helper: ChildProcess | undefined
  const waiting = new Map<string, (report: SpawnerReport) => void>()

  function ready(): ChildProcess {
    if (helper !== undefined) return helper
    const child = fork(new URL('./spawner.ts', import.meta.url), [], { execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'], env: {} })
    child.on('message', (report: SpawnerReport) => waiting.get(report.id)?.(report))
    child.on('exit', () => {
      if (helper === child) helper = undefined
      const error = { code: 'E_SPAWNER', message: 'the helper process ended' }
      for (const [id, resolve] of waiting) resolve({ id, exit: null, error, output: '' })
    })
    child.on('error', () => undefined)
    // The router's life does not hang on its helper.
    child.unref()
    child.channel?.unref()
    helper = child
    return child
  }

  async function deliver(endpoint: CommandEndpoint, delivery: Delivery): Promise<DeliveryResult> {
    const { promise, resolve } = Promise.withResolvers<SpawnerReport>()
    const id = `${delivery.run_id} ${delivery.attempt}`
    const child = ready()
    const send = (order: SpawnerOrder): void => void child.send(order, error => {
      if (error !== null) resolve({ id, exit: null, error: { code: 'E_SPAWNER', message: error.message }, output: '' })
    })
    let timedOut = false
    const end = (): void => send({ kind: 'end', id, grace_ms: killGraceMs })
    const timer = setTimeout(() => {
      timedOut = true
      end()
    }, delivery.timeout_ms)
    waiting.set(id, resolve)
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
