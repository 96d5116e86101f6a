// Everything between the outbox and the bots, put together: the kinds of bots, the dispatcher, the workers' desk, the
// bot availability, the supervisor, and what people may do to runs.
import type { Bot, Config, QueueInput, Trigger } from '../contract/types.ts'
import type { Commands } from '../outbound/commands.ts'
import type { Egress } from '../outbound/egress.ts'
import { Exchanges } from '../outbound/exchange.ts'
import { contextRoot } from '../paths.ts'
import type { ReadSecret } from '../secrets.ts'
import type { StartAnswer, Store, StoredRun, TriggerPause } from '../store/store.ts'
import type { ToolRules } from '../tools.ts'
import type { AttemptOptions } from './attempt-options.ts'
import { commandBot, type OpenSocket } from './bots/command.ts'
import { emitBot, type Emit } from './bots/emit.ts'
import { httpBot } from './bots/http.ts'
import { notifyBot } from './bots/notify.ts'
import { unixRpcBot } from './bots/unix-rpc.ts'
import { Dispatcher } from './dispatcher.ts'
import { BotAvailability, type EmitLifecycle } from './bot-availability.ts'
import { notifyTest } from './notify-test.ts'
import { WorkerClaims } from './worker-claims.ts'
import { RunController } from './run-control.ts'
import { Supervisor } from './supervisor.ts'
import { wakeCall } from './wake.ts'

/** How long a sleeper that could not be woken is left alone. */
const wakePauseMs = 60_000

export interface DeliveryOptions extends Pick<
  AttemptOptions,
  'kinds' | 'trigger' | 'render' | 'view' | 'now' | 'random' | 'logBug' | 'redact' | 'capture'
> {
  config: Config
  store: Store
  tools: ToolRules
  bots: ReadonlyMap<string, Bot>
  queues: ReadonlyMap<string, QueueInput>
  /** the triggers that are paused */
  pauses: ReadonlyMap<string, TriggerPause>
  /** random bytes as text of an encoding */
  makeToken: (encoding: 'hex' | 'base64url') => string
  /** Both write a definition, and make it count. */
  disableBot: (bot_id: string, reason: string) => Promise<void>
  pauseQueue: (queue: string, reason: string) => Promise<void>
  log: (event: string, fields: Record<string, unknown>) => void
}

export interface DeliveryParts {
  dispatcher: Dispatcher
  workers: WorkerClaims
  availabilities: BotAvailability
  runs: RunController
  /** sends a test message to people */
  notifyTest: ReturnType<typeof notifyTest>
  /** what the bot of a trigger's run may use, as far as the bot is known; undefined: all but the denied tools */
  tools: (trigger: Trigger) => string[] | undefined
  /** What stands from before, taken up before anybody can say a word about a lease. */
  hold(opened: StartAnswer): void
  start(opened: StartAnswer): void
  /** Gives out nothing more, lets attempts end within the grace, and ends the rest. */
  stop(): Promise<void>
}

export interface BotKindsOptions {
  config: Config
  commands: Commands
  openSocket: OpenSocket
  emit: Emit
  egress: Egress
  readSecret: ReadSecret
  env: Record<string, string | undefined>
  render: AttemptOptions['render']
  now: () => number
}

/** The ways to bots of all kinds that the router delivers to. */
export function botKinds({
  config,
  commands,
  openSocket,
  egress,
  readSecret,
  env,
  render,
  emit,
  now,
}: BotKindsOptions): AttemptOptions['kinds'] {
  const exchanges = new Exchanges(egress, config.max_response_bytes)
  return {
    http: httpBot({ exchanges, render, readSecret, now }),
    unix_rpc: unixRpcBot({ exchanges, render, maxResponseBytes: config.max_response_bytes, now }),
    command: commandBot({
      commands,
      env,
      maxStdoutBytes: config.max_response_bytes,
      outputBytes: config.output_bytes,
      killGraceMs: config.kill_grace_ms,
      controlSocket: () => config.socket,
      openSocket,
      contextRoot: contextRoot(config.state_dir),
    }),
    emit: emitBot({ emit, render }),
    notify: notifyBot({ exchanges, egress, render, readSecret, now }),
  }
}

type Common = Pick<DeliveryOptions, 'store' | 'bots' | 'queues' | 'config' | 'now' | 'log' | 'logBug'> & {
  attempt: AttemptOptions
  emitLifecycle: EmitLifecycle
}

/** The dispatcher, the worker claims, availability, approvals and run control, each with what it asks of the others. */
function cooperating(options: DeliveryOptions, common: Common) {
  const { store, config, kinds, queues, makeToken } = options
  const supervisor = new Supervisor({
    ...common,
    pauseQueue: options.pauseQueue,
    dueAt: time => dispatcher.dueAt(time),
    released: (run, token) => workers.letGo(run, token),
  })
  const availabilities = new BotAvailability({
    ...common,
    queuePaused: id => queues.get(id)?.paused === true,
    callWake: wakeCall(kinds, config),
    wakePauseMs,
    changed: id => dispatcher.wake([id]),
  })
  const dispatcher: Dispatcher = new Dispatcher({
    ...common,
    availabilities,
    makeToken: () => makeToken('base64url'),
    disableBot: options.disableBot,
    wakeWorkers: id => workers.wake(id),
    workerLoad: id => workers.load(id),
    handovers: () => workers,
    onClaimed: answer => supervisor.take(answer),
  })
  const workers = new WorkerClaims({
    ...common,
    availabilities,
    makeToken: () => makeToken('hex'),
    dispatcher,
  })
  store.onDue = ids => dispatcher.wake(ids)
  store.onDueAt = time => dispatcher.dueAt(time)
  const signal = (run: StoredRun, paused: boolean): boolean =>
    kinds.command.pause!(run.id, run.attempt, paused)
  const runs = new RunController({
    ...common,
    pauses: options.pauses,
    availabilities,
    dispatcher,
    workers,
    supervisor,
    signal,
  })
  return { dispatcher, workers, availabilities, supervisor, runs }
}

export function deliveryParts(options: DeliveryOptions): DeliveryParts {
  const { config, store, kinds, tools, bots, queues, now, log, logBug } = options
  const attempt: AttemptOptions = {
    ...options,
    bot: id => bots.get(id),
    defaults: config,
    public_url: config.public_url,
    contextFiles: id => store.contextFiles(id),
    override: id => store.override(id),
  }
  const emitLifecycle: EmitLifecycle = (type, subject, payload) =>
    void store.emitLifecycle(type, subject, payload, now()).catch(logBug)
  const common = { store, bots, queues, config, attempt, now, emitLifecycle, log, logBug }
  const { dispatcher, workers, availabilities, supervisor, runs } = cooperating(options, common)
  return {
    dispatcher,
    workers,
    availabilities,
    runs,
    notifyTest: notifyTest(kinds, config, options.redact),
    tools: ({ action }) => tools.permit(action.allowed_tools, bots.get(action.bot_id ?? '')).allowed,
    hold({ bot_status, worker_leases }) {
      availabilities.start(bot_status)
      workers.start(worker_leases)
    },
    start({ waiting_bots, next_due_at, paused }) {
      dispatcher.start(waiting_bots, next_due_at, paused)
      supervisor.recover().catch(logBug)
    },
    async stop() {
      workers.stop()
      availabilities.stop()
      // Commands that are told to end have their own grace within this one.
      await dispatcher.stop(
        Math.max(config.shutdown_grace_ms - config.kill_grace_ms, config.shutdown_grace_ms / 2),
      )
      await supervisor.stop()
      await Promise.all(Object.values(kinds).map(kind => kind.stop()))
    },
  }
}
