// The composition root: the only file that knows everyone. startRouter puts the parts together and starts them in the
// order in which they need each other; stopping goes the other way.
import { randomBytes } from 'node:crypto'
import { statSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { Backtests } from './backtest/backtests.ts'
import { readConfig } from './config.ts'
import type { BotInput, Config, Endpoint, QueueInput } from './contract/types.ts'
import { compileContract } from './contract/validators.ts'
import type { AttemptOptions } from './delivery/attempt.ts'
import { botKinds, deliveryParts, type DeliveryParts } from './delivery/delivery.ts'
import { egressRule, urlRefusal, type Egress } from './delivery/egress.ts'
import { ExitError, exitCodes, Fault } from './errors.ts'
import { uuidv7Maker } from './ids.ts'
import { Jsonrpc } from './intake/jsonrpc.ts'
import { subject_paths } from './intake/providers/all.ts'
import { allMethods } from './intake/rpc-methods/all.ts'
import { liveBot, type Context } from './intake/rpc-methods/context.ts'
import { RpcServer } from './intake/rpc-server.ts'
import { Subscriptions } from './intake/subscriptions.ts'
import { listenUnix } from './intake/unix-socket.ts'
import { sourceWarnings, WebhookServer } from './intake/webhook-server.ts'
import { isOlder, oldestNode } from './machine.ts'
import { DiskWatch } from './observe/disk.ts'
import { openLog, type Log } from './observe/log.ts'
import { routerHealth, routerStatus, type ReportOptions } from './observe/report.ts'
import { Acceptor } from './routing/accept.ts'
import { ExpressionProcess } from './routing/expressions.ts'
import { InputsError, renderTemplate } from './routing/inputs.ts'
import { LifecycleRouter } from './routing/lifecycle-router.ts'
import { eventView } from './routing/log-filter.ts'
import { Registry } from './routing/registry.ts'
import { makeDirectory, type Environment } from './paths.ts'
import { secretReader, type ReadSecret } from './secrets.ts'
import { Retention } from './store/retention.ts'
import { SqliteStore } from './store/sqlite/sqlite-store.ts'
import type { DefinitionChange, Stamp, Store } from './store/store.ts'

/** How long answers that are on their way may take to leave at the end. */
const lastAnswersMs = 1000
const maxTriggerVersions = 1000
/** How often the router tries to change what others change at the same time. */
const mostRewrites = 10

export interface Router {
  config: Config
  /** path of the control socket */
  socket: string
  /** URL of the intake, or its socket path */
  intake: string
  /** Ends everything in order; attempts get the grace of the configuration. Safe to call twice. */
  stop(): Promise<void>
}

export interface RouterOptions {
  env: Environment
  now?: () => number
  /** The storage failed: the process must end with exit code 74. */
  onFatal: (message: string) => void
}

function assertNode(): void {
  if (isOlder(process.versions.node, oldestNode))
    throw new ExitError(exitCodes.configuration, `Node ${oldestNode} or newer is needed, this is ${process.versions.node}; scripts/start brings the right one`)
}

/** The state directory holds payloads: it is ours alone. */
function prepareStateDir(path: string): void {
  try {
    makeDirectory(path)
  } catch (error) {
    throw new ExitError(
      exitCodes.permissions,
      `the state directory ${path} cannot be made (${(error as NodeJS.ErrnoException).code}); set SIGNALBOX_STATE_DIR to one that can`,
    )
  }
  const { mode, uid } = statSync(path)
  if (uid !== process.getuid!()) throw new ExitError(exitCodes.permissions, `${path} belongs to another user`)
  if ((mode & 0o077) !== 0) throw new ExitError(exitCodes.permissions, `${path} is open to others; chmod 700 it`)
}

function endpointCheck(egress: Egress): (endpoint: Endpoint, at: string) => void {
  return (endpoint, at) => {
    if (endpoint.kind === 'http') {
      const refusal = urlRefusal(endpoint.url, egress)
      if (refusal !== undefined) throw new Fault('egress_blocked', `${at}.url ${refusal}`, { reason: 'E_EGRESS_BLOCKED', data: { path: `${at}.url` } })
    }
    if (endpoint.kind === 'unix_rpc' && endpoint.preset === undefined && endpoint.method === undefined) {
      throw new Fault('invalid_params', `${at}.method is required where there is no preset`, { data: { path: `${at}.method` } })
    }
    if (endpoint.kind === 'command' && endpoint.argv.some(argument => argument.includes('{{') || argument.includes('\0'))) {
      throw new Fault('invalid_params', `${at}.argv holds constants only: the event comes on standard input`, { data: { path: `${at}.argv` } })
    }
  }
}

/** Triggers at past versions, as runs need them; versions never change, so they are kept. */
function triggerVersions(store: Store): AttemptOptions['trigger'] {
  const known = new Map<string, Awaited<ReturnType<Store['triggerVersion']>>>()
  return async (id, version) => {
    const key = `${id}@${version}`
    const kept = known.get(key)
    if (kept !== undefined) return kept
    const found = await store.triggerVersion(id, version)
    if (known.size >= maxTriggerVersions) known.clear()
    known.set(key, found)
    return found
  }
}

interface Parts {
  config: Config
  log: Log
  now: () => number
  store: Store
  registry: Registry
  disk: DiskWatch
  expressions: ExpressionProcess
  backtests: Backtests
  env: Environment
  readSecret: ReadSecret
  egress: Egress
  contract: ReturnType<typeof compileContract>
}

/** Delivery with what it needs of the other rooms: templates, versions of triggers, and writing what it decides. */
function delivery({ config, log, now, store, registry, expressions, env, readSecret, egress }: Parts): DeliveryParts {
  const render: AttemptOptions['render'] = async (template, name, scope) => {
    try {
      return { ok: true, value: await renderTemplate(template, name, scope, expressions) }
    } catch (error) {
      if (error instanceof InputsError) return { ok: false, reason: error.message, transient: error.transient }
      throw error
    }
  }
  /** Writes a definition as change makes it of what is there; undefined: there is nothing to change. */
  const rewrite = async (noun: 'bot' | 'queue', id: string, change: () => ((BotInput | QueueInput) & Partial<Stamp>) | undefined): Promise<void> => {
    for (let tries = 0; tries < mostRewrites; tries++) {
      const changed = change()
      if (changed === undefined) return
      const { version = 0, created_at: _c, updated_at: _u, ...definition } = changed
      const changes: DefinitionChange[] = [{ noun, id, definition, version, at: now() }]
      const outcome = await store.write(changes)
      if (outcome.kind === 'written') return registry.apply(changes, outcome.objects)
    }
    throw new Error(`${noun} ${id} was changed by others again and again while the router changed it`)
  }
  return deliveryParts({
    config,
    store,
    bots: registry.bots,
    queues: registry.queues,
    kinds: botKinds({ config, egress, readSecret, env, render, now }),
    trigger: triggerVersions(store),
    render,
    view: eventView,
    now,
    chance: Math.random,
    makeToken: encoding => randomBytes(16).toString(encoding),
    disableBot: (id, disabled_reason) =>
      rewrite('bot', id, () => {
        const bot = registry.bots.get(id)
        return bot?.enabled === true ? { ...bot, enabled: false, disabled_reason } : undefined
      }),
    pauseQueue: (id, paused_reason) =>
      rewrite('queue', id, () => {
        const queue = registry.queues.get(id)
        return queue?.paused === true ? undefined : { ...(queue ?? { id }), paused: true, paused_reason }
      }),
    log: log.event,
    logBug: log.bug,
  })
}

async function listenIntake({ server }: WebhookServer, address: string): Promise<string> {
  if (address.includes('/')) return listenUnix(server, address)
  const at = address.lastIndexOf(':')
  const host = address.slice(0, at).replace(/^\[|\]$/g, '')
  const port = Number(address.slice(at + 1))
  if (at < 1 || !Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new ExitError(exitCodes.configuration, `intake_address is host:port or a socket path; found ${JSON.stringify(address)}`)
  }
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(port, host, resolve)
  try {
    await promise
  } catch (error) {
    throw new ExitError(
      exitCodes.cannotCreateSocket,
      `the intake cannot listen on ${address} (${(error as NodeJS.ErrnoException).code}); set SIGNALBOX_INTAKE_ADDRESS to another`,
    )
  }
  const bound = server.address() as AddressInfo
  return `http://${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`
}

function egressOf({ egress_allow }: Config): Egress {
  try {
    return egressRule(egress_allow)
  } catch (error) {
    throw new ExitError(exitCodes.configuration, (error as Error).message)
  }
}

interface Faces {
  rpc: RpcServer
  webhooks: WebhookServer
  addresses: { socket: string; intake: string }
}

/** Everything that answers: the methods, the control socket, the intake. */
function faces(parts: Parts, { dispatcher, workers, fleet, runs }: DeliveryParts, acceptor: Acceptor, started_at: number, isClosing: () => boolean): Faces {
  const { config, log, now, store, registry, disk, expressions, egress, readSecret, backtests } = parts
  const addresses = { socket: config.socket, intake: config.intake_address }
  const report: ReportOptions = {
    config,
    now,
    started_at,
    store,
    disk: () => disk.state,
    active: () => dispatcher.active,
    paused: () => dispatcher.paused,
    sources: registry.sources,
    triggers: registry.triggers,
    bots: () => [...registry.bots.values()].map(bot => liveBot(context, bot)),
    addresses,
    warnings: () => sourceWarnings(registry, readSecret),
  }
  const subscriptions = new Subscriptions({ events: page => store.events(page), logBug: log.bug })
  store.onLogged = () => subscriptions.logged()
  const context: Context = {
    config,
    store,
    registry,
    acceptor,
    expressions,
    runs,
    fleet,
    subscriptions,
    backtest: (...args) => backtests.run(...args),
    workers,
    now,
    assertEndpoint: endpointCheck(egress),
    botChanged: id => dispatcher.forget(id),
    botDeleted: id => fleet.forget(id),
    queuesChanged: () => dispatcher.wake([]),
    async setPaused(reason) {
      await store.setPaused(reason, now())
      dispatcher.setPaused(reason)
    },
    status: () => routerStatus(report),
    health: () => routerHealth(report),
  }
  const jsonrpc = new Jsonrpc({ contract: parts.contract, handlers: allMethods(context), limits: config, logBug: log.bug })
  const rpc = new RpcServer({ config, jsonrpc, health: context.health, logBug: log.bug })
  const webhooks = new WebhookServer({ config, registry, acceptor, readSecret, now, log: log.event, warn: log.warn, logBug: log.bug, isClosing })
  return { rpc, webhooks, addresses }
}

async function listen({ rpc, webhooks, addresses }: Faces, { config, disk, store }: Parts): Promise<void> {
  try {
    addresses.socket = await rpc.start()
    addresses.intake = await listenIntake(webhooks, config.intake_address)
  } catch (error) {
    await rpc.stop()
    disk.stop()
    await store.stop()
    throw error
  }
}

async function closeIntake({ server }: WebhookServer): Promise<void> {
  const closed = new Promise<void>(resolve => server.close(() => resolve()))
  server.closeIdleConnections()
  const timer = setTimeout(() => server.closeAllConnections(), lastAnswersMs)
  await closed
  clearTimeout(timer)
}

/** Starts a router. Throws ExitError with the exit code for whatever stands in its way. */
export async function startRouter(config: Config, { env, now = Date.now, onFatal }: RouterOptions): Promise<Router> {
  assertNode()
  const egress = egressOf(config)
  prepareStateDir(config.state_dir)
  const started_at = now()
  const log = openLog(config.log_level)
  const disk = new DiskWatch(config.state_dir, config.disk_reserve_bytes)
  const fatal = (message: string): void => {
    log.flush()
    onFatal(message)
  }
  const store = new SqliteStore({ stateDir: config.state_dir, lifecycle: config.lifecycle_events, onFatal: fatal })
  // The store's threads open the database while this one compiles the contract.
  const opening = store.start(started_at)
  opening.catch(() => undefined)
  const contract = compileContract()
  const opened = await opening
  await disk.start()
  const registry = new Registry({ bot_max_active: config.bot_max_active, limits: config, subject_paths })
  registry.load(opened.definitions)
  const readSecret = secretReader(env, now)
  const backtests = new Backtests(config.state_dir)
  const parts: Parts = { config, log, now, store, registry, disk, expressions: new ExpressionProcess(), backtests, env, readSecret, egress, contract }
  const delivered = delivery(parts)
  const { dispatcher } = delivered
  let closing = false
  const assertOpen = (): void => {
    if (closing) throw new Fault('shutting_down', 'the router is shutting down; send the event again in a moment', { retryAfterS: 5 })
    const { full, reserve_bytes } = disk.state
    if (full)
      throw new Fault('storage_full', `less than ${reserve_bytes} bytes are free, so nothing is taken in; free some space and try again`, { retryAfterS: 60 })
  }
  const acceptor = new Acceptor({
    store,
    registry,
    limits: config,
    now,
    makeId: uuidv7Maker(),
    onRuns: ids => dispatcher.wake(ids),
    onCancel: ids => ids.forEach(id => dispatcher.cancel(id)),
    tools: delivered.tools,
    log: log.event,
    assertOpen,
  })
  const lifecycle = new LifecycleRouter({ store, acceptor, logBug: log.bug })
  store.onUnrouted = () => lifecycle.kick()
  const served = faces(parts, delivered, acceptor, started_at, () => closing)
  const { rpc, webhooks, addresses } = served
  delivered.hold(opened)
  await listen(served, parts)
  const limits = { event_ms: config.retention_ms, dead_ms: config.dead_retention_ms, dedupe_ms: config.dedupe_ms }
  const retention = new Retention({ store, limits, now, log: log.event, logBug: log.bug })
  retention.start()
  delivered.start(opened)
  if (opened.unrouted) lifecycle.kick()
  const { recovered, open_runs } = opened
  log.event('router.ready', { pid: process.pid, ...addresses, recovered, open_runs, start_ms: now() - started_at })
  let stopped: Promise<void> | undefined
  const stop = async (): Promise<void> => {
    closing = true
    retention.stop()
    await delivered.stop()
    await lifecycle.stop()
    await Promise.all([closeIntake(webhooks), rpc.stop(), backtests.stop(), parts.expressions.stop()])
    disk.stop()
    await store.stop()
    log.event('router.stopped', {})
    log.flush()
  }
  return { config, ...addresses, stop: () => (stopped ??= stop()) }
}

/** signalbox serve: runs until SIGTERM or SIGINT; a second one ends it at once. */
export async function serve(env: Environment, flags: Record<string, unknown>, ready: (router: Router) => void): Promise<never> {
  const { promise: ended, resolve: end } = Promise.withResolvers<number>()
  const last = (line: string, code: number): void => {
    console.error(`signalbox: ${line}`)
    process.exit(code)
  }
  process.on('uncaughtException', error => last(`bug, stopping: ${error.stack}`, exitCodes.internal))
  process.on('unhandledRejection', error => last(`bug, stopping: ${error instanceof Error ? error.stack : String(error)}`, exitCodes.internal))
  const router = await startRouter(readConfig(env, flags), {
    env,
    onFatal: message => last(`the storage failed (${message}); nothing more is accepted, restart the router`, exitCodes.ioError),
  })
  let asked = false
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (asked) process.exit(exitCodes.no)
      asked = true
      console.log(`signalbox is stopping; what bots have in hand may end within ${router.config.shutdown_grace_ms / 1000} s, a second signal ends it at once`)
      void router.stop().then(() => end(exitCodes.ok))
    })
  }
  ready(router)
  process.exit(await ended)
}
