// The admin listener: the contract over HTTP for the holders of tokens and for browsers that logged in. Only the page, /health and
// /session are public. Any other request without a token or a login is answered 401 before its body is read, whatever its path.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { Socket } from 'node:net'
import { contractDocument } from '../contract/document.ts'
import type { Config, RpcHealthResult } from '../contract/types.ts'
import { asFault, Fault } from '../errors.ts'
import { metricsType, refuseConnection, sendFault, sendJson, sendText } from '../http/answers.ts'
import {
  assertPlainRequest,
  BodyBudget,
  declaredLength,
  headersOnce,
  httpServerOptions,
  limitServer,
  targetOf,
} from '../http/request.ts'
import { assertHost } from './admin-rules.ts'
import { AdminAccess, type AdminAccessOptions, type Asking } from './admin-access.ts'
import type { Audit } from './audit.ts'
import { answerRpc } from './http-rpc.ts'
import type { Jsonrpc } from './jsonrpc.ts'
import { isPagePath, PageFiles } from './page-files.ts'
import type { Principal } from './principal.ts'
import { longestMessage } from './rpc-server.ts'
import { UnreadBudget } from './socket-budget.ts'
import type { Streams } from './stream.ts'
import { streamRequest } from './stream-request.ts'
import { logIn, logOut, longestLogin, whoIs, type SessionOptions } from './session.ts'

const connections = 64
const handshakeMs = 10_000
const inFlight = 64
const onceHeaders = new Set([
  'content-type',
  'content-length',
  'authorization',
  'host',
  'last-event-id',
  'origin',
  'x-signalbox',
  'sec-fetch-site',
])
/** Pages of other origins must not read or embed an answer, and browsers must not cache it. */
const security = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const
const takes: Record<string, readonly string[]> = {
  '/rpc': ['POST'],
  '/stream': ['GET'],
  '/metrics': ['GET'],
  '/openrpc.json': ['GET'],
  '/health': ['GET', 'HEAD'],
  '/session': ['GET', 'POST', 'DELETE'],
}

/** What a request counts as: its path, page, or other where there is nothing. */
function routeOf({ url = '' }: IncomingMessage): string {
  const [path = ''] = url.split('?', 1)
  if (Object.hasOwn(takes, path)) return path
  return isPagePath(path) ? 'page' : 'other'
}

/** The path of public_url without a slash at its end: what a proxy may leave in front of our paths. */
function prefixOf({ public_url }: Config): string {
  return public_url === undefined ? '' : new URL(public_url).pathname.replace(/\/+$/, '')
}

/** A certificate with its chain, and its key, both as PEM. */
export interface TlsPair {
  cert: Buffer
  key: Buffer
}

export interface AdminServerOptions extends Omit<AdminAccessOptions, 'unwelcome'> {
  config: Config
  jsonrpc: Jsonrpc
  health: () => Promise<RpcHealthResult>
  audit: Pick<Audit, 'failed' | 'done'>
  streams: Pick<Streams, 'serve'>
  /** what Prometheus reads */
  metrics: () => Promise<string>
  /** Called for each request that is refused as a whole. rate: too many without a valid token came from its address. */
  refused: (route: string, reason: 'token' | 'rate' | 'scope') => void
  /** Called for each request once it is answered, or its connection is closed. */
  answered: (route: string, code: number, seconds: number) => void
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
  readonly #access: AdminAccess
  readonly #sockets = new Set<Socket>()
  readonly #budget: BodyBudget
  readonly #unread: UnreadBudget
  readonly #open = new OpenRequests()
  readonly #page: PageFiles
  readonly #prefix: string

  /** tls: undefined: plain HTTP. Throws Error for trusted_proxies and forward_auth that cannot be used. */
  constructor(options: AdminServerOptions, tls?: TlsPair) {
    this.#options = options
    const { max_inflight_body_bytes: most, frame_ancestors } = options.config
    this.#page = new PageFiles(frame_ancestors)
    this.#prefix = prefixOf(options.config)
    this.#budget = new BodyBudget(most)
    this.#unread = new UnreadBudget(most / 4, this.#sockets)
    this.#access = new AdminAccess({
      ...options,
      unwelcome: (request, reason) => options.refused(routeOf(request), reason),
    })
    options.tokens.onRevoked = token_id => {
      this.#open.end(`token:${token_id}`)
      this.#access.forget(`token:${token_id}`)
    }
    options.logins.onEnded = login_id => this.#open.end(`login:${login_id}`)
    const serve = (request: IncomingMessage, response: ServerResponse): void =>
      void this.#serve(request, response, false)
    this.server =
      tls === undefined
        ? createServer(httpServerOptions, serve)
        : createTlsServer({ ...httpServerOptions, ...tls, handshakeTimeout: handshakeMs }, serve)
    // A body is asked for only once its sender has shown a token.
    this.server.on(
      'checkContinue',
      (request: IncomingMessage, response: ServerResponse) => void this.#serve(request, response, true),
    )
    this.server.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) =>
      sendFault(
        response,
        new Fault('bad_request', 'only Expect: 100-continue is supported', { reason: 'E_EXPECT' }),
        { connection: 'close' },
      ),
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
    if (this.#prefix !== '' && request.url!.startsWith(`${this.#prefix}/`))
      request.url = request.url!.slice(this.#prefix.length)
    for (const [name, value] of Object.entries(security)) response.setHeader(name, value)
    this.#count(request, response)
    try {
      const headers = headersOnce(request, onceHeaders)
      assertPlainRequest(request, headers)
      const { admin_address, admin_hosts, public_url } = this.#options.config
      const sender = this.#access.sender(request, headers)
      assertHost(
        sender.host,
        admin_address,
        public_url === undefined ? admin_hosts : [...admin_hosts, new URL(public_url).hostname],
      )
      await this.#route({ request, headers, sender }, response, expectsContinue)
    } catch (error) {
      if (!(error instanceof Fault)) this.#options.logBug(error)
      const close = request.complete ? undefined : { connection: 'close' }
      const challenge =
        asFault(error).fault === 'unauthorized'
          ? { 'www-authenticate': 'Bearer realm="signalbox"' }
          : undefined
      sendFault(response, error, { ...close, ...challenge })
    }
  }

  #count(request: IncomingMessage, response: ServerResponse): void {
    const begun = performance.now()
    const route = routeOf(request)
    response.once('close', () =>
      this.#options.answered(
        route,
        response.headersSent ? response.statusCode : 499,
        (performance.now() - begun) / 1000,
      ),
    )
  }

  async #route(asking: Asking, response: ServerResponse, expectsContinue: boolean): Promise<void> {
    const { request, headers } = asking
    const [path, query] = targetOf(request)
    const methods = takes[path]
    if (path === '/health' && methods!.includes(request.method!)) {
      // This answer is public.
      const { status } = await this.#options.health()
      return sendJson(response, status === 'ok' ? 200 : 503, { status })
    }
    if (path === '/session' && methods!.includes(request.method!))
      return this.#session(asking, response, expectsContinue)
    if (isPagePath(path) && (request.method === 'GET' || request.method === 'HEAD'))
      return this.#page.answer({ method: request.method, path, headers }, response)
    const access = await this.#access.of(asking)
    const { principal } = access
    if (isPagePath(path)) return this.#page.answer({ method: request.method!, path, headers }, response)
    if (methods === undefined)
      throw new Fault('not_found', `there is nothing here; ${Object.keys(takes).join(', ')} are`)
    if (!methods.includes(request.method!))
      throw new Fault('method_not_allowed', `${path} takes ${methods.join(', ')}; found ${request.method}`, {
        allow: methods.join(', '),
      })
    if (path === '/openrpc.json') return sendJson(response, 200, contractDocument())
    this.#open.add(principal.id, response)
    if (principal.login !== undefined) this.#open.add(`login:${principal.login}`, response)
    if (path === '/metrics') return this.#recorded(path, principal, () => this.#metrics(response, principal))
    if (path === '/stream') {
      const asked = streamRequest(query, headers.get('last-event-id'))
      return this.#recorded(path, principal, () => this.#options.streams.serve(response, principal, asked))
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

  /** Log in, log out, and who is logged in. */
  async #session(asking: Asking, response: ServerResponse, expectsContinue: boolean): Promise<void> {
    const { request, headers, sender } = asking
    this.#access.assertOwnPage(asking)
    const { logins, audit } = this.#options
    const session = {
      headers,
      form: this.#access.cookieForm(asking),
      address: sender.address,
      principal: this.#access.browser(asking),
    }
    const options: SessionOptions = { logins, audit, budget: this.#budget }
    try {
      if (request.method === 'GET') return whoIs(response, session, options)
      if (request.method === 'DELETE') return await logOut(response, session, options)
      if (expectsContinue && declaredLength(headers) <= longestLogin) response.writeContinue()
      return await logIn(request, response, session, options)
    } catch (error) {
      throw error instanceof Fault && error.fault === 'unauthorized' && request.method === 'POST'
        ? await this.#access.refused(asking, error)
        : error
    }
  }

  /** What is no call is recorded here if it is forbidden. */
  async #recorded(path: string, principal: Principal, serve: () => Promise<void>): Promise<void> {
    try {
      await serve()
    } catch (error) {
      if (error instanceof Fault && error.fault === 'forbidden') {
        this.#options.refused(path, 'scope')
        await this.#options.audit.failed(principal, null, [], error)
      }
      throw error
    }
  }

  async #metrics(response: ServerResponse, { id, scopes }: Principal): Promise<void> {
    if (!scopes.has('metrics'))
      throw new Fault(
        'forbidden',
        `GET /metrics needs the scope metrics; ${id} has ${[...scopes].join(', ')}`,
        { data: { scope: 'metrics' } },
      )
    sendText(response, await this.#options.metrics(), metricsType)
  }
}
