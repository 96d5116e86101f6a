// The composition root, with main/ the only place that knows everyone. startRouter puts the parts together and starts them in the
// order in which they need each other; stopping goes the other way.
import { rmSync } from 'node:fs'
import { Backtests } from './backtest/backtests.ts'
import { readConfig } from './config.ts'
import type { Config } from './contract/types.ts'
import { completeBudgets } from './contract/budgets.ts'
import { compileContract } from './contract/validators.ts'
import { ExitError, exitCodes } from './errors.ts'
import { subject_paths } from './intake/webhooks/providers/all.ts'
import { RefusedDeliveries, type RefusedOptions } from './intake/webhooks/refused-deliveries.ts'
import { isOlder, oldestNode } from './machine.ts'
import { accepting, emitter } from './main/accepting.ts'
import { clockwork } from './main/internal-sources.ts'
import { unusableDefinition } from './main/definition-check.ts'
import { delivery } from './main/delivery.ts'
import { faces, listen, unlisten, type Faces } from './main/servers.ts'
import type { Parts } from './main/parts.ts'
import { DamageWatch } from './observe/damage.ts'
import { DiskWatch } from './observe/disk.ts'
import { openLog, type Log } from './observe/log.ts'
import { measuredLog, measureRefused, measureStore, Measures } from './observe/measures.ts'
import { Commands } from './outbound/commands.ts'
import { egressRule, type Egress } from './outbound/egress.ts'
import { contextRoot, type Environment } from './paths.ts'
import type { Acceptor } from './routing/accept.ts'
import { ExpressionProcess } from './routing/expressions.ts'
import { LifecycleRouter } from './routing/lifecycle-router.ts'
import { Registry } from './routing/registry.ts'
import { secretsOf } from './secrets.ts'
import { steadyClock } from './steady-clock.ts'
import { plain } from './terminal-text.ts'
import { Retention } from './store/retention.ts'
import { Backups } from './store/sqlite/file/backups.ts'
import { SqliteStore } from './store/sqlite/engine/sqlite-store.ts'
import type { StartAnswer } from './store/store.ts'
import { ToolRules, type ToolLimits } from './tools.ts'
import { prepareStateDir } from './main/state-directory.ts'

export interface Router {
  config: Config
  /** path of the control socket */
  socket: string
  /** URL of the intake, or its socket path */
  intake: string
  /** URL of the admin listener, or its socket path; undefined: no admin token is configured */
  admin?: string
  /** why dispatching is paused at the start; null: it is not */
  paused: string | null
  /** Reads again what may be replaced while it runs: the certificate of the admin listener. */
  reload(): Promise<void>
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
    throw new ExitError(
      exitCodes.configuration,
      `Node ${oldestNode} or newer is needed, this is ${process.versions.node}; scripts/start brings the right one`,
    )
}

function egressOf({ egress_allow }: Config): Egress {
  try {
    return egressRule(egress_allow)
  } catch (error) {
    throw new ExitError(exitCodes.configuration, (error as Error).message)
  }
}

/** The parts that everything else is built with. */
function assembled(
  given: Pick<
    Parts,
    | 'config'
    | 'env'
    | 'now'
    | 'wall'
    | 'log'
    | 'measures'
    | 'store'
    | 'disk'
    | 'damage'
    | 'egress'
    | 'contract'
    | 'tools'
  >,
  {
    definitions,
    trigger_pauses,
    refused,
    tokens,
    facts,
  }: Pick<StartAnswer, 'definitions' | 'trigger_pauses' | 'refused' | 'tokens' | 'facts'>,
): Parts {
  const { config, env, now, store, disk, log } = given
  const registry = new Registry({
    bot_max_active: config.bot_max_active,
    limits: config,
    subject_paths,
    own_accounts: config.own_accounts,
  })
  registry.load(definitions, trigger_pauses)
  const secrets = secretsOf(env, now)
  return {
    ...given,
    registry,
    tokens,
    sqlite_version: facts.sqlite_version,
    expressions: new ExpressionProcess(),
    backtests: new Backtests(config.state_dir),
    backups: new Backups(config.state_dir),
    readSecret: secrets.read,
    redactSecrets: secrets.redact,
    hiddenSecrets: secrets.hidden,
    commands: new Commands(),
    refused: countedRefusals(given.measures, {
      store,
      stored: refused,
      retention_ms: config.retention_ms,
      isFull: () => disk.state.full,
      now,
      logBug: log.bug,
    }),
  }
}

function countedRefusals(measures: Measures, options: RefusedOptions): RefusedDeliveries {
  const refused = new RefusedDeliveries(options)
  measureRefused(refused, measures)
  return refused
}

function storeOf(config: Config, toolLimits: ToolLimits, onFatal: (message: string) => void): SqliteStore {
  return new SqliteStore({
    stateDir: config.state_dir,
    lifecycle: config.lifecycle_events,
    acceptLoss: config.accept_loss,
    toolLimits,
    budgets: completeBudgets(config.budget, 'router'),
    onFatal,
  })
}

/** Throws ExitError 65 for a stored definition that the contract does not allow; the store is closed then. */
async function assertUsable(
  { definitions }: StartAnswer,
  store: SqliteStore,
  contract: Parts['contract'],
): Promise<void> {
  const unusable = unusableDefinition(definitions, contract)
  if (unusable === undefined) return
  await store.stop()
  throw unusable
}

/** Pauses dispatching before anything is dispatched, as signalbox pause does. A pause that is there keeps its reason. */
async function startPaused(opened: StartAnswer, store: SqliteStore, at: number): Promise<void> {
  if (opened.paused !== null) return
  opened.paused = 'started with --paused'
  await store.setPaused(opened.paused, at)
}

function retentionOf({ config, store, disk, now, log }: Parts): Retention {
  const {
    retention_ms: event_ms,
    dead_retention_ms: dead_ms,
    dedupe_ms,
    signed_body_ms,
    retention_bytes: max_bytes,
    audit_retention_ms: audit_ms,
  } = config
  const limits = { event_ms, dead_ms, dedupe_ms, signed_body_ms, max_bytes, audit_ms }
  return new Retention({ store, limits, isLow: () => disk.state.low, now, log: log.event, logBug: log.bug })
}

async function reloaded({ admin }: Faces, log: Log): Promise<void> {
  const problem = await admin.renew()
  if (problem === undefined) log.event('router.reloaded', {})
  else log.warn('admin.tls_kept', { detail: `the certificate from before is still used: ${problem}` })
}

interface Opening extends Pick<Parts, 'now' | 'log' | 'measures'> {
  toolLimits: ToolLimits
  started_at: number
  fatal: (message: string) => void
}

/** The store, opened and checked, with the watches over its disk and its damage. Throws ExitError. */
async function openStore(
  config: Config,
  { toolLimits, started_at, now, log, measures, fatal }: Opening,
): Promise<Pick<Parts, 'store' | 'disk' | 'damage' | 'contract'> & { opened: StartAnswer }> {
  const store = storeOf(config, toolLimits, fatal)
  measureStore(store, measures, now)
  const disk = new DiskWatch({
    path: config.state_dir,
    reserve: config.disk_reserve_bytes,
    space: () => store.space(),
  })
  const damage = new DamageWatch(log.warn)
  store.onDamage = found => damage.add(found)
  // The store's threads open the database while this one compiles the contract.
  const opening = store.start(started_at)
  opening.catch(() => undefined)
  const contract = compileContract()
  const opened = await opening
  damage.add(opened.damage)
  await assertUsable(opened, store, contract)
  if (config.paused) await startPaused(opened, store, now())
  if (opened.clock_behind_ms > 0) log.warn('clock.behind_log', { ms: opened.clock_behind_ms })
  if (opened.loss !== undefined) log.warn('store.loss_accepted', { ...opened.loss })
  // The lock is held: what commands that were killed with their router left behind has no owner.
  rmSync(contextRoot(config.state_dir), { recursive: true, force: true })
  await disk.start()
  return { store, disk, damage, contract, opened }
}

interface Running {
  served: Faces
  retention: Retention
  ownSources: ReturnType<typeof clockwork>
  delivered: ReturnType<typeof delivery>
  lifecycle: LifecycleRouter
}

/** Ends everything in order: the sources, the runs, the listeners, the store. */
async function stopAll(
  parts: Parts,
  { served, retention, ownSources, delivered, lifecycle }: Running,
): Promise<void> {
  const { disk, store, log } = parts
  retention.stop()
  await ownSources.stop()
  await delivered.stop()
  await lifecycle.stop()
  await Promise.all([
    unlisten(served),
    parts.backtests.stop(),
    parts.backups.stop(),
    parts.expressions.stop(),
    parts.commands.stop(),
  ])
  served.commandSockets.stop()
  await parts.refused.stop()
  disk.stop()
  await store.stop()
  log.event('router.stopped', {})
  log.flush()
}

/** Starts a router. Throws ExitError with the exit code of what prevents it. */
export async function startRouter(
  config: Config,
  { env, now: wall = Date.now, onFatal }: RouterOptions,
): Promise<Router> {
  assertNode()
  const egress = egressOf(config)
  prepareStateDir(config.state_dir)
  const now = wall === Date.now ? steadyClock(wall, () => performance.now()) : wall
  const started_at = now()
  const measures = new Measures()
  const log = measuredLog(openLog(config.log_level), measures)
  const fatal = (message: string): void => {
    log.flush()
    onFatal(message)
  }
  const toolLimits = { denied_tools: config.denied_tools, allowed_denied_tools: config.allowed_denied_tools }
  const { opened, ...stored } = await openStore(config, { toolLimits, started_at, now, log, measures, fatal })
  const { store, disk } = stored
  const parts = assembled(
    { config, env, now, wall, log, measures, egress, ...stored, tools: new ToolRules(toolLimits) },
    opened,
  )
  const delivered = delivery(
    parts,
    emitter(parts, () => acceptor),
    own => served.commandSockets.open(own),
  )
  let closing = false
  const acceptor: Acceptor = accepting(parts, delivered, () => closing)
  const lifecycle = new LifecycleRouter({ store, acceptor, logBug: log.bug })
  store.onUnrouted = () => lifecycle.wake()
  const ownSources = clockwork(parts, acceptor)
  const served = faces(parts, delivered, acceptor, ownSources, started_at, () => closing)
  const { addresses } = served
  delivered.hold(opened)
  await listen(served, parts)
  const retention = retentionOf(parts)
  disk.onLow = () => retention.hurry()
  retention.start()
  delivered.start(opened)
  ownSources.start(opened.source_states)
  if (opened.unrouted) lifecycle.wake()
  const { recovered, open_runs, paused } = opened
  log.event('router.ready', {
    pid: process.pid,
    ...addresses,
    recovered,
    open_runs,
    paused: paused ?? undefined,
    start_ms: now() - started_at,
  })
  let stopped: Promise<void> | undefined
  const stop = (): Promise<void> => {
    closing = true
    return stopAll(parts, { served, retention, ownSources, delivered, lifecycle })
  }
  return {
    config,
    ...addresses,
    paused,
    reload: () => reloaded(served, log),
    stop: () => (stopped ??= stop()),
  }
}

/** signalbox serve: runs until SIGTERM or SIGINT; a second one ends it at once. */
export async function serve(
  env: Environment,
  flags: Record<string, unknown>,
  ready: (router: Router) => void,
): Promise<never> {
  const { promise: ended, resolve: end } = Promise.withResolvers<number>()
  const last = (line: string, code: number): never => {
    console.error(`signalbox: ${plain(line, true)}`)
    process.exit(code)
  }
  process.on('uncaughtException', error => last(`bug, stopping: ${error.stack}`, exitCodes.internal))
  process.on('unhandledRejection', error =>
    last(`bug, stopping: ${error instanceof Error ? error.stack : String(error)}`, exitCodes.internal),
  )
  const router = await startRouter(readConfig(env, flags), {
    env,
    onFatal: message => {
      // A restart does not mend a damaged file: a supervisor must not try again and again.
      if (/^SQLITE_(CORRUPT|NOTADB)/.test(message))
        last(
          `the database is damaged (${message}); look with signalbox verify, then restore a backup or run signalbox recover FILE`,
          exitCodes.dataDamaged,
        )
      last(`the storage failed (${message}); nothing more is accepted, restart the router`, exitCodes.ioError)
    },
  })
  process.on('SIGHUP', () => void router.reload())
  let asked = false
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (asked) process.exit(exitCodes.no)
      asked = true
      console.log(
        `signalbox is stopping; running bots may end within ${router.config.shutdown_grace_ms / 1000} s, a second signal ends it at once`,
      )
      void router.stop().then(() => end(exitCodes.ok))
    })
  }
  ready(router)
  process.exit(await ended)
}
