// Everything of the router that answers: the methods, the control socket, the intake.
import type { DeliveryParts } from '../delivery/delivery.ts'
import { ExitError } from '../errors.ts'
import { Audit } from '../api/audit.ts'
import { handedSocket, listenHanded, listenTcp } from '../http/listening.ts'
import { Jsonrpc } from '../api/jsonrpc.ts'
import { emitTargetWarnings } from '../definitions/emit-targets.ts'
import { schemaWarnings } from '../definitions/payload-schemas.ts'
import { allMethods } from '../api/methods/all.ts'
import type { Context } from '../api/methods/context.ts'
import { liveBot } from '../api/methods/shown-run.ts'
import { standingWarnings } from '../api/methods/warnings.ts'
import { CommandSockets } from '../api/command-sockets.ts'
import { controlLimits, RpcServer, type RpcServerOptions } from '../api/rpc-server.ts'
import { Scrape, type ScrapeOptions } from '../observe/scrape.ts'
import { Streams, Wakes, type StreamOptions } from '../api/stream.ts'
import { Logins } from '../api/logins.ts'
import { TokenWatch } from '../api/token-watch.ts'
import { Tokens } from '../api/tokens.ts'
import { listenUnix } from '../api/unix-socket.ts'
import { WebhookServer } from '../intake/webhooks/server.ts'
import { sourceWarnings } from '../intake/webhooks/deliveries.ts'
import { routerHealth, routerStatus, type ReportOptions } from '../observe/report.ts'
import { commandSocketRoot } from '../paths.ts'
import type { Acceptor } from '../routing/accept.ts'
import type { AdminServerOptions } from '../api/admin-server.ts'
import { AdminListener, loginLinks } from './admin-listener.ts'
import { callbackRuns, callsBack } from './callbacks.ts'
import { adminToken } from './admin-token.ts'
import type { Clockwork } from './internal-sources.ts'
import type { Parts } from './parts.ts'
import { waits, waysIn, backedUp, pausing, checks, changes } from './context-parts.ts'

/** How long answers that are on their way may take to leave at the end. */
const lastAnswersMs = 1000

/** Listens on the configured address, or on a socket that was passed in. Returns the bound address. */
function listenIntake(
  { server }: WebhookServer,
  address: string,
  handed: number | undefined,
): Promise<string> {
  if (handed !== undefined) return listenHanded(server, handed)
  if (address.includes('/')) return listenUnix(server, address)
  return listenTcp(server, address, {
    name: 'intake',
    setting: 'intake_address',
    variable: 'SIGNALBOX_INTAKE_ADDRESS',
  })
}

/** What every listener of the contract answers with. */
type Answering = Pick<RpcServerOptions, 'config' | 'jsonrpc' | 'health' | 'logBug'>

export interface Faces {
  rpc: RpcServer
  commandSockets: CommandSockets
  webhooks: WebhookServer
  admin: AdminListener
  scrape: Scrape
  tokenWatch: TokenWatch
  /** the token that the environment gives, read when the router begins to listen; undefined: it gives none */
  environment: { token?: (() => Buffer | undefined) | undefined }
  /** whether there are stored tokens or logins that are valid */
  hasTokens: () => boolean
  addresses: { socket: string; intake: string; admin?: string }
}

/** What the router reports of itself. */
function reportOptions(
  { config, now, store, disk, registry, readSecret, damage }: Parts,
  dispatcher: DeliveryParts['dispatcher'],
  context: Context,
  {
    started_at,
    addresses,
    poller,
  }: { started_at: number; addresses: Faces['addresses']; poller: Clockwork['poller'] },
): ReportOptions {
  return {
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
    damage: () => damage.found,
    warnings: () => [
      ...sourceWarnings(registry, readSecret),
      ...schemaWarnings(registry.sources.values()),
      ...poller.warnings(),
      ...standingWarnings(context),
      ...emitTargetWarnings(registry),
    ],
  }
}

/** What Prometheus is told. */
function scrapeOf(
  { store, sqlite_version, now, disk, registry, measures, log }: Parts,
  context: Context,
  streams: Streams,
  state: Pick<ScrapeOptions, 'paused' | 'isClosing'>,
): Scrape {
  return new Scrape({
    measures,
    store,
    sqlite_version,
    now,
    disk: () => disk.state,
    bots: () => [...registry.bots.values()].map(bot => liveBot(context, bot)),
    queues: registry.queues,
    sources: registry.sources,
    sourceHealth: id => context.poller.health(id),
    ...state,
    streams: () => streams.count,
    logBug: log.bug,
  })
}

/** What the admin listener counts. */
function measured(measures: Parts['measures']): Pick<AdminServerOptions, 'answered' | 'ignored' | 'refused'> {
  return {
    ignored: count => measures.ignoredHeaders.add([], count),
    answered: (...args) => measures.answered(...args),
    refused: (...args) => measures.requestRefused(...args),
  }
}

/** The principals of the admin listener, and the record of what they did. */
function holders({ tokens: stored, store, now, log, measures }: Parts): Pick<StreamOptions, 'isValid'> & {
  tokens: Tokens
  logins: Logins
  audit: Audit
  tokenWatch: TokenWatch
} {
  const tokens = new Tokens(stored, { store, now, logBug: log.bug })
  const logins = new Logins(stored, { store, tokens, now, elapsed: () => performance.now(), logBug: log.bug })
  const audit = new Audit({
    store,
    now,
    onForbidden: caller => measures.callRefused(caller.interface),
    logBug: log.bug,
  })
  const tokenWatch = new TokenWatch({ tokens, store, now, logBug: log.bug })
  return {
    tokens,
    logins,
    audit,
    tokenWatch,
    isValid: ({ id, login }) => (login === undefined ? tokens.isValid(id) : logins.isValid(login)),
  }
}

/** Throws ExitError. */
export async function startAdmin(admin: AdminListener, addresses: Faces['addresses']): Promise<void> {
  await admin.start()
  if (admin.address !== undefined) addresses.admin = admin.address
}

/** Why the admin listener cannot be started for a new token; undefined: it listens. */
async function adminProblem(
  admin: AdminListener,
  addresses: Faces['addresses'],
): Promise<string | undefined> {
  try {
    await startAdmin(admin, addresses)
    return undefined
  } catch (error) {
    if (error instanceof ExitError) return `the admin listener does not start: ${error.message}`
    throw error
  }
}

function webhookServer(parts: Parts, acceptor: Acceptor, isClosing: () => boolean): WebhookServer {
  const { config, registry, readSecret, refused, wall: now, log, measures } = parts
  const accepted = (seconds: number): void => measures.intake.observe(seconds, ['webhook'])
  const reports = { log: log.event, warn: log.warn, logBug: log.bug }
  return new WebhookServer({
    config,
    registry,
    acceptor,
    readSecret,
    refused,
    now,
    accepted,
    ...reports,
    isClosing,
  })
}

/** Everything that answers: the methods, the control socket, the intake. */
export function faces(
  parts: Parts,
  { dispatcher, workers, availabilities, runs, notifyTest }: DeliveryParts,
  acceptor: Acceptor,
  { clock, poller, changed }: Clockwork,
  started_at: number,
  isClosing: () => boolean,
): Faces {
  const {
    config,
    log,
    now,
    store,
    registry,
    expressions,
    redactSecrets,
    backtests,
    backups,
    tools,
    refused,
  } = parts
  const addresses: Faces['addresses'] = { socket: config.socket, intake: config.intake_address }
  const report = (context: Context): ReportOptions =>
    reportOptions(parts, dispatcher, context, { started_at, addresses, poller })
  const held = holders(parts)
  const { tokens, logins, audit } = held
  const environment: Faces['environment'] = {}
  const wakes = new Wakes()
  const context: Context = {
    config,
    store,
    registry,
    acceptor,
    expressions,
    tools,
    runs,
    availabilities,
    ...waits(store, log, wakes),
    tokens,
    logins,
    loginLinks: code => loginLinks(code, addresses.admin, config.public_url),
    audit,
    startAdmin: () => adminProblem(served.admin, addresses),
    clock,
    poller,
    refused,
    ...waysIn(parts, acceptor),
    sourcesChanged: changed,
    backtest: (...args) => backtests.run(...args),
    backup: (path, with_output) => backedUp(parts, backups.make(path, with_output)),
    redact: redactSecrets,
    workers,
    now,
    ...checks(parts),
    ...changes(parts, dispatcher, availabilities, () => context.startAdmin()),
    notifyTest,
    setPaused: reason => pausing(store, dispatcher, reason, now()),
    status: () => routerStatus(report(context)),
    health: () => routerHealth(report(context)),
  }
  const served: Faces = listeners(parts, dispatcher, context, {
    ...held,
    environment,
    wakes,
    addresses,
    acceptor,
    isClosing,
  })
  return served
}

interface Listening extends ReturnType<typeof holders>, Pick<Faces, 'environment' | 'addresses'> {
  wakes: Wakes
  acceptor: Acceptor
  isClosing: () => boolean
}

/** The listeners over the methods: the control socket, those of commands, the intake and the admin listener. */
function listeners(
  parts: Parts,
  dispatcher: DeliveryParts['dispatcher'],
  context: Context,
  {
    tokens,
    logins,
    audit,
    tokenWatch,
    isValid,
    environment,
    wakes,
    addresses,
    acceptor,
    isClosing,
  }: Listening,
): Faces {
  const { config, log, now, store } = parts
  const jsonrpc = new Jsonrpc({
    contract: parts.contract,
    handlers: allMethods(context),
    limits: config,
    audit,
    logBug: log.bug,
  })
  const answering: Answering = { config, jsonrpc, health: context.health, logBug: log.bug }
  const streams = new Streams({ context, contract: parts.contract, wakes, isValid, logBug: log.bug })
  const scrape = scrapeOf(parts, context, streams, { paused: () => dispatcher.paused, isClosing })
  const metrics = (): Promise<string> => scrape.text()
  const rpc = new RpcServer({ ...answering, metrics, socket: config.socket, limits: controlLimits(config) })
  const commandSockets = new CommandSockets({
    ...answering,
    root: commandSocketRoot(config.state_dir),
    store,
  })
  const webhooks = webhookServer(parts, acceptor, isClosing)
  const admin = new AdminListener({
    ...answering,
    ...measured(parts.measures),
    metrics,
    store,
    tokens,
    logins,
    audit,
    streams,
    now,
    contract: parts.contract,
    callback: callbackRuns(store, dispatcher),
    environmentToken: () => environment.token?.(),
  })
  return {
    rpc,
    commandSockets,
    webhooks,
    admin,
    scrape,
    tokenWatch,
    environment,
    hasTokens: () => tokens.any || logins.any,
    addresses,
  }
}

export async function listen(served: Faces, parts: Parts): Promise<void> {
  const { rpc, commandSockets, webhooks, admin, tokenWatch, environment, hasTokens, addresses } = served
  const { config, env, disk, store, registry } = parts
  try {
    admin.assertConfig()
    environment.token = adminToken(parts)
    commandSockets.start()
    addresses.socket = await rpc.start()
    addresses.intake = await listenIntake(
      webhooks,
      config.intake_address,
      handedSocket(env, process.pid, 'intake'),
    )
    if (environment.token !== undefined || hasTokens() || [...registry.bots.values()].some(callsBack))
      await startAdmin(admin, addresses)
    tokenWatch.start()
  } catch (error) {
    await unlisten(served)
    commandSockets.stop()
    disk.stop()
    await store.stop()
    throw error
  }
}

/** Ends a listener: answers that are on their way get a moment to leave. */
async function closeListener({ server }: Pick<WebhookServer, 'server'>): Promise<void> {
  const closed = new Promise<void>(resolve => server.close(() => resolve()))
  server.closeIdleConnections()
  const timer = setTimeout(() => server.closeAllConnections(), lastAnswersMs)
  await closed
  clearTimeout(timer)
}

/** Closes all listeners, except the sockets of commands that still run. */
export async function unlisten({ rpc, webhooks, admin, scrape, tokenWatch }: Faces): Promise<void> {
  await tokenWatch.stop()
  const listening = await admin.started()
  await Promise.all([
    closeListener(webhooks),
    listening === undefined ? undefined : closeListener(listening),
    rpc.stop(),
  ])
  scrape.stop()
}
