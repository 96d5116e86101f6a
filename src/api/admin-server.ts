// The admin listener: the contract over HTTP, for those who hold the admin token. What needs a token is answered 401 without one,
// whatever it is, before a byte of the body is read.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { contractDocument } from '../contract/document.ts'
import type { Config, RpcHealthResult } from '../contract/types.ts'
import { Fault } from '../errors.ts'
import { refuseConnection, sendFault, sendJson } from '../http/answers.ts'
import { RateLimiter } from '../http/rate-limit.ts'
import { assertPlainRequest, BodyBudget, headersOnce, httpServerOptions, limitServer, targetOf } from '../http/request.ts'
import { bearerToken, verifyToken } from '../http/token.ts'
import { assertHost } from './admin-rules.ts'
import type { Access, Implied } from './command-access.ts'
import { answerRpc } from './http-rpc.ts'
import type { Jsonrpc } from './jsonrpc.ts'
import { longestMessage } from './rpc-server.ts'
import { UnreadBudget } from './socket-budget.ts'

const connections = 64
const inFlight = 64
/** Proxies close a connection on which nothing is said for a minute, some sooner. */
const longestWaitMs = 25_000
const onceHeaders = new Set(['content-type', 'content-length', 'authorization', 'host'])
/** No page of another origin may read, embed or keep an answer. */
const security = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const
const takes: Record<string, string> = { '/rpc': 'POST', '/openrpc.json': 'GET', '/health': 'GET' }

export interface AdminServerOptions {
  config: Config
  jsonrpc: Jsonrpc
  health: () => Promise<RpcHealthResult>
  /** undefined: it cannot be read now, and nobody has it */
  token: () => Buffer | undefined
  now: () => number
  logBug: (error: unknown) => void
}

/** Everything, but calls that wait for long. */
export const adminAccess: Access = {
  admit: (_method, { wait_ms }): Promise<Implied> => Promise.resolve(Number(wait_ms) > longestWaitMs ? { wait_ms: longestWaitMs } : {}),
  learn: () => undefined,
}

export class AdminServer {
  readonly server: Server
  readonly #options: AdminServerOptions
  readonly #failures = new RateLimiter()
  readonly #sockets = new Set<Socket>()
  readonly #budget: BodyBudget
  readonly #unread: UnreadBudget

  constructor(options: AdminServerOptions) {
    this.#options = options
    const { max_inflight_body_bytes: most } = options.config
    this.#budget = new BodyBudget(most)
    this.#unread = new UnreadBudget(most / 4, this.#sockets)
    this.server = createServer(httpServerOptions, (request, response) => void this.#serve(request, response))
    limitServer(this.server, connections)
    this.server.on('clientError', refuseConnection)
    this.server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.on('drain', () => this.#unread.drained(socket))
      socket.on('close', () => this.#sockets.delete(socket))
    })
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(security)) response.setHeader(name, value)
    try {
      const headers = headersOnce(request, onceHeaders)
      assertPlainRequest(request, headers)
      const { admin_address, admin_hosts } = this.#options.config
      assertHost(headers.get('host')!, admin_address, admin_hosts)
      await this.#route(request, response, headers)
    } catch (error) {
      if (!(error instanceof Fault)) this.#options.logBug(error)
      const close = request.complete ? undefined : { connection: 'close' }
      const fault = error instanceof Fault ? error : undefined
      const challenge = fault?.fault === 'unauthorized' ? { 'www-authenticate': 'Bearer realm="signalbox"' } : undefined
      sendFault(response, error, { ...close, ...challenge, ...(fault?.allow === undefined ? {} : { allow: fault.allow }) })
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse, headers: ReadonlyMap<string, string>): Promise<void> {
    const [path] = targetOf(request)
    if (path !== '/health') this.#assertToken(request, headers)
    const method = takes[path]
    if (method === undefined) throw new Fault('not_found', 'there is nothing here; POST /rpc, GET /openrpc.json and /health are')
    if (request.method !== method) throw new Fault('method_not_allowed', `${path} takes ${method}; found ${request.method}`, { allow: method })
    const { jsonrpc, config, health } = this.#options
    if (path === '/openrpc.json') return sendJson(response, 200, contractDocument())
    if (path === '/health') {
      // Strangers see it.
      const { status } = await health()
      return sendJson(response, status === 'ok' ? 200 : 503, { status })
    }
    await answerRpc(request, response, headers, {
      jsonrpc,
      access: adminAccess,
      in_flight: inFlight,
      longest: longestMessage(config),
      budget: this.#budget,
    })
    return this.#unread.trim()
  }

  /** Throws Fault unauthorized, and rate_limited after many of them; a right token is taken all the same. */
  #assertToken(request: IncomingMessage, headers: ReadonlyMap<string, string>): void {
    const token = this.#options.token()
    // A token that cannot be read takes as long as a wrong one.
    const isRight = verifyToken(bearerToken(headers.get('authorization')) ?? '', [token ?? Buffer.alloc(0)])
    if (token !== undefined && isRight) return
    const perMinute = this.#options.config.auth_failures_per_minute
    const rate = { limit: perMinute, period_ms: 60_000, burst: perMinute }
    const wait = this.#failures.take(request.socket.remoteAddress ?? '', rate, this.#options.now())
    if (wait > 0) throw new Fault('rate_limited', `more than ${perMinute} requests a minute without the right token`, { retryAfterS: Math.ceil(wait / 1000) })
    throw new Fault('unauthorized', 'Authorization must be "Bearer" and the admin token', { reason: 'E_TOKEN' })
  }
}
