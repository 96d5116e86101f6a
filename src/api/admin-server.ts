// The admin listener: the contract over HTTP for callers with the admin token. A request without the token is answered 401 before its
// body is read, whatever its path.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { contractDocument } from '../contract/document.ts'
import type { Config, RpcHealthResult } from '../contract/types.ts'
import { asFault, Fault } from '../errors.ts'
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
/** Many proxies close a connection after a minute without data, some earlier. */
const longestWaitMs = 25_000
const onceHeaders = new Set(['content-type', 'content-length', 'authorization', 'host'])
/** Pages of other origins must not read or embed an answer, and browsers must not cache it. */
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
  /** the current admin token; undefined: it cannot be read, and every request is refused */
  token: () => Buffer | undefined
  now: () => number
  logBug: (error: unknown) => void
}

/** Allows every method, and limits how long a call waits. */
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
      const challenge = asFault(error).fault === 'unauthorized' ? { 'www-authenticate': 'Bearer realm="signalbox"' } : undefined
      sendFault(response, error, { ...close, ...challenge })
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
      // This answer is public.
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

  /** Throws Fault unauthorized, and rate_limited after too many failures. The right token is always accepted. */
  #assertToken(request: IncomingMessage, headers: ReadonlyMap<string, string>): void {
    const token = this.#options.token()
    // Compare even if the token cannot be read, so that the response time does not reveal it.
    const isRight = verifyToken(bearerToken(headers.get('authorization')) ?? '', [token ?? Buffer.alloc(0)])
    if (token !== undefined && isRight) return
    const perMinute = this.#options.config.auth_failures_per_minute
    const rate = { limit: perMinute, period_ms: 60_000, burst: perMinute }
    const wait = this.#failures.take(request.socket.remoteAddress ?? '', rate, this.#options.now())
    if (wait > 0)
      throw new Fault('rate_limited', `too many requests without the admin token; at most ${perMinute} a minute are accepted from one address`, {
        retryAfterS: Math.ceil(wait / 1000),
      })
    throw new Fault('unauthorized', 'the Authorization header must be "Bearer" followed by the admin token', { reason: 'E_TOKEN' })
  }
}
