// The admin listener: the contract over HTTP for the holders of tokens. A request without a token that is accepted is answered 401
// before its body is read, whatever its path.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { Socket } from 'node:net'
import { contractDocument } from '../contract/document.ts'
import type { Config, RpcHealthResult } from '../contract/types.ts'
import type { MethodContract } from '../contract/validators.ts'
import { asFault, Fault } from '../errors.ts'
import { metricsType, refuseConnection, sendFault, sendJson, sendText } from '../http/answers.ts'
import { RateLimiter } from '../http/rate-limit.ts'
import { assertPlainRequest, BodyBudget, declaredLength, headersOnce, httpServerOptions, limitServer, targetOf } from '../http/request.ts'
import { bearerToken, verifyToken } from '../http/token.ts'
import type { Store } from '../store/store.ts'
import { assertHost } from './admin-rules.ts'
import type { Access } from './access.ts'
import type { Audit } from './audit.ts'
import { CallbackAccess, type CallbackRun } from './callback-access.ts'
import { answerRpc } from './http-rpc.ts'
import type { Jsonrpc } from './jsonrpc.ts'
import { environmentPrincipal, type Principal } from './principal.ts'
import { longestMessage } from './rpc-server.ts'
import { UnreadBudget } from './socket-budget.ts'
import type { Streams } from './stream.ts'
import { streamRequest } from './stream-request.ts'
import { TokenAccess } from './token-access.ts'
import type { Tokens } from './tokens.ts'

const connections = 64
const handshakeMs = 10_000
const inFlight = 64
const onceHeaders = new Set(['content-type', 'content-length', 'authorization', 'host', 'last-event-id'])
/** Pages of other origins must not read or embed an answer, and browsers must not cache it. */
const security = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const
const takes: Record<string, string> = { '/rpc': 'POST', '/stream': 'GET', '/metrics': 'GET', '/openrpc.json': 'GET', '/health': 'GET' }

/** A certificate with its chain, and its key, both as PEM. */
export interface TlsPair {
  cert: Buffer
  key: Buffer
}

export interface AdminServerOptions {
  config: Config
  jsonrpc: Jsonrpc
  contract: ReadonlyMap<string, MethodContract>
  store: Pick<Store, 'run'>
  health: () => Promise<RpcHealthResult>
  tokens: Tokens
  /** the token that the environment gives; undefined: it gives none, or it cannot be read */
  environmentToken: () => Buffer | undefined
  /** the run that the token of a callback is for; undefined: it is for none that is under way */
  callback: (token: string) => Promise<CallbackRun | undefined>
  audit: Pick<Audit, 'failed'>
  streams: Pick<Streams, 'serve'>
  /** what Prometheus reads */
  metrics: () => Promise<string>
  /** Told of each request once it is answered, or its connection is closed. */
  answered: (route: string, code: number, seconds: number) => void
  now: () => number
  logBug: (error: unknown) => void
}

/** The requests of each principal that are not answered. */
class OpenRequests {
  readonly #of = new Map<string, Set<ServerResponse>>()

  add(principal: string, response: ServerResponse): void {
    const open = this.#of.get(principal) ?? new Set()
    this.#of.set(principal, open.add(response))
    response.once('close', () => {
      open.delete(response)
      if (open.size === 0 && this.#of.get(principal) === open) this.#of.delete(principal)
    })
  }

  /** Closes the connections of a principal's requests. */
  end(principal: string): void {
    for (const response of this.#of.get(principal) ?? []) response.socket?.destroy()
  }
}

export class AdminServer {
  readonly server: Server | TlsServer
  readonly #options: AdminServerOptions
  readonly #failures = new RateLimiter()
  readonly #sockets = new Set<Socket>()
  readonly #budget: BodyBudget
  readonly #unread: UnreadBudget
  readonly #open = new OpenRequests()
  /** by principal: runs that are known to be of its bot */
  readonly #claimed = new Map<string, Set<string>>()

  /** tls: undefined: plain HTTP */
  constructor(options: AdminServerOptions, tls?: TlsPair) {
    this.#options = options
    const { max_inflight_body_bytes: most } = options.config
    this.#budget = new BodyBudget(most)
    this.#unread = new UnreadBudget(most / 4, this.#sockets)
    options.tokens.onRevoked = token_id => {
      this.#open.end(`token:${token_id}`)
      this.#claimed.delete(`token:${token_id}`)
    }
    const serve = (request: IncomingMessage, response: ServerResponse): void => void this.#serve(request, response, false)
    this.server =
      tls === undefined ? createServer(httpServerOptions, serve) : createTlsServer({ ...httpServerOptions, ...tls, handshakeTimeout: handshakeMs }, serve)
    // A body is asked for only once its sender has shown a token.
    this.server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => void this.#serve(request, response, true))
    this.server.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) =>
      sendFault(response, new Fault('bad_request', 'only Expect: 100-continue is supported', { reason: 'E_EXPECT' }), { connection: 'close' }),
    )
    limitServer(this.server, connections)
    this.server.on('clientError', refuseConnection)
    this.server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.on('drain', () => this.#unread.drained(socket))
      socket.on('close', () => this.#sockets.delete(socket))
    })
  }

  /** Uses another certificate for new connections. */
  renew(tls: TlsPair): void {
    if ('setSecureContext' in this.server) this.server.setSecureContext(tls)
  }

  async #serve(request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): Promise<void> {
    for (const [name, value] of Object.entries(security)) response.setHeader(name, value)
    this.#count(request, response)
    try {
      const headers = headersOnce(request, onceHeaders)
      assertPlainRequest(request, headers)
      const { admin_address, admin_hosts } = this.#options.config
      assertHost(headers.get('host')!, admin_address, admin_hosts)
      await this.#route(request, response, headers, expectsContinue)
    } catch (error) {
      if (!(error instanceof Fault)) this.#options.logBug(error)
      const close = request.complete ? undefined : { connection: 'close' }
      const challenge = asFault(error).fault === 'unauthorized' ? { 'www-authenticate': 'Bearer realm="signalbox"' } : undefined
      sendFault(response, error, { ...close, ...challenge })
    }
  }

  #count(request: IncomingMessage, response: ServerResponse): void {
    const begun = performance.now()
    const [path = ''] = (request.url ?? '').split('?', 1)
    const route = path in takes ? path : 'other'
    response.once('close', () => this.#options.answered(route, response.headersSent ? response.statusCode : 499, (performance.now() - begun) / 1000))
  }

  async #route(request: IncomingMessage, response: ServerResponse, headers: ReadonlyMap<string, string>, expectsContinue: boolean): Promise<void> {
    const [path, query] = targetOf(request)
    const access = path === '/health' ? undefined : await this.#access(request, headers)
    const principal = access?.principal
    const method = takes[path]
    if (method === undefined) throw new Fault('not_found', 'there is nothing here; POST /rpc, GET /stream, /metrics, /openrpc.json and /health are')
    if (request.method !== method) throw new Fault('method_not_allowed', `${path} takes ${method}; found ${request.method}`, { allow: method })
    if (path === '/openrpc.json') return sendJson(response, 200, contractDocument())
    if (access === undefined || principal === undefined) {
      // This answer is public.
      const { status } = await this.#options.health()
      return sendJson(response, status === 'ok' ? 200 : 503, { status })
    }
    this.#open.add(principal.id, response)
    if (path === '/metrics') return this.#recorded(principal, () => this.#metrics(response, principal))
    if (path === '/stream') {
      const asked = streamRequest(query, headers.get('last-event-id'))
      return this.#recorded(principal, () => this.#options.streams.serve(response, principal, asked))
    }
    const { jsonrpc, config, logBug } = this.#options
    if (expectsContinue && declaredLength(headers) <= longestMessage(config)) response.writeContinue()
    await answerRpc(request, response, headers, {
      jsonrpc,
      access,
      in_flight: inFlight,
      longest: longestMessage(config),
      budget: this.#budget,
      logBug,
    })
    return this.#unread.trim()
  }

  /** What is no call is recorded here if it is forbidden. */
  async #recorded(principal: Principal, serve: () => Promise<void>): Promise<void> {
    try {
      await serve()
    } catch (error) {
      if (error instanceof Fault && error.fault === 'forbidden') await this.#options.audit.failed(principal, null, [], error)
      throw error
    }
  }

  async #metrics(response: ServerResponse, { id, scopes }: Principal): Promise<void> {
    if (!scopes.has('metrics'))
      throw new Fault('forbidden', `GET /metrics needs the scope metrics; ${id} has ${[...scopes].join(', ')}`, { data: { scope: 'metrics' } })
    sendText(response, await this.#options.metrics(), metricsType)
  }

  #accessOf(principal: Principal): TokenAccess {
    const claimed = this.#claimed.get(principal.id) ?? new Set()
    if (principal.bot_id !== undefined) this.#claimed.set(principal.id, claimed)
    return new TokenAccess(principal, this.#options.contract, this.#options.store, claimed)
  }

  /** Throws Fault unauthorized, and rate_limited after too many failures. A token that is right is always accepted. */
  async #access(request: IncomingMessage, headers: ReadonlyMap<string, string>): Promise<Access> {
    const { tokens, environmentToken, callback, config, audit, now } = this.#options
    const address = request.socket.remoteAddress
    const given = bearerToken(headers.get('authorization')) ?? ''
    const token = environmentToken()
    // Compare even if the token cannot be read, so that the response time does not reveal it.
    const isEnvironment = verifyToken(given, [token ?? Buffer.alloc(0)]) && token !== undefined
    const principal = isEnvironment ? environmentPrincipal(address) : tokens.principalOf(given, address)
    if (principal !== undefined) return this.#accessOf(principal)
    const run = await callback(given)
    if (run !== undefined) return new CallbackAccess(run, address)
    const perMinute = config.auth_failures_per_minute
    const wait = this.#failures.take(address ?? '', { limit: perMinute, period_ms: 60_000, burst: perMinute }, now())
    if (wait > 0)
      throw new Fault('rate_limited', `too many requests without a valid token; at most ${perMinute} a minute are accepted from one address`, {
        retryAfterS: Math.ceil(wait / 1000),
      })
    const fault = new Fault('unauthorized', 'the Authorization header must be "Bearer" followed by a token that is valid', { reason: 'E_TOKEN' })
    await audit.failed({ ...environmentPrincipal(address), id: 'unknown' }, null, [], fault)
    throw fault
  }
}
