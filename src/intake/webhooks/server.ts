// The webhook intake: POST /webhook/{source_id}. A delivery is verified, limited, read, and accepted; the answer leaves
// after the commit, or after answer_timeout_ms with 503.
//
// States: stopped -> listening -> closing (answers 503) -> stopped.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Config, WebhookConfig } from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import type { Acceptor } from '../../routing/accept.ts'
import type { Registry } from '../../routing/registry.ts'
import type { ReadSecret } from '../../secrets.ts'
import { problem, refuseConnection, sendFault, sendJson } from '../../http/answers.ts'
import {
  assertPlainRequest,
  BodyBudget,
  declaredLength,
  headersOnce,
  httpServerOptions,
  limitServer,
  plainPath,
  readBody,
  targetOf,
} from '../../http/request.ts'
import { providers } from './providers/all.ts'
import type { Delivery, ReadEvent } from './providers/provider.ts'
import { isSigningKey } from './providers/standard.ts'
import { RateLimiter } from '../../http/rate-limit.ts'
import { refusalReason } from '../../http/refusal-reasons.ts'
import type { RefusedDeliveries } from './refused-deliveries.ts'
import { refusalOf, sourceSegment, traced, unread, type TracedRequest } from './refused-request.ts'
import {
  type Target,
  storedHeaders,
  assertEnabled,
  usable,
  mediaType,
  asJsonFault,
  incomingEvent,
  answered,
  handshake,
} from './deliveries.ts'

const maxConnections = 256
const maxConnectionsPerAddress = 32
const maxPathLength = 2048
const alwaysOnce = ['host', 'content-type', 'content-length', 'transfer-encoding', 'authorization'] as const
/** Headers that may come but once, by provider. */
const singleHeaders = new Map(
  Object.values(providers).map(provider => [provider, new Set([...alwaysOnce, ...provider.single_headers])]),
)

export interface WebhookOptions {
  config: Config
  registry: Registry
  acceptor: Acceptor
  readSecret: ReadSecret
  refused: Pick<RefusedDeliveries, 'note'>
  now: () => number
  log: (event: string, fields: Record<string, unknown>) => void
  warn: (event: string, fields: Record<string, unknown>) => void
  logBug: (error: unknown) => void
  /** Called for each delivery that is accepted, with the seconds since the head of its request was read. */
  accepted: (seconds: number) => void
  isClosing: () => boolean
}

export class WebhookServer {
  readonly #options: WebhookOptions
  readonly #budget: BodyBudget
  readonly #rates = new RateLimiter()
  readonly #failures = new RateLimiter()
  readonly #connections = new Map<string, number>()
  /** the last request of a connection while it can still be refused */
  readonly #requests = new WeakMap<Socket, TracedRequest>()
  readonly server: Server

  constructor(options: WebhookOptions) {
    this.#options = options
    this.#budget = new BodyBudget(options.config.max_inflight_body_bytes)
    // Node would answer a request without a host itself, without a log line.
    this.server = createServer(
      { ...httpServerOptions, requireHostHeader: false },
      (request, response) => void this.#serve(request, response),
    )
    this.server.on(
      'checkContinue',
      (request: IncomingMessage, response: ServerResponse) => void this.#serve(request, response, true),
    )
    this.server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
      this.#refused(traced(request), { reason: 'E_EXPECT', status: 417 })
      response.writeHead(417, { connection: 'close' }).end()
    })
    this.server.on('connect', (request: IncomingMessage, socket: Socket) => {
      this.#refused(traced(request), { reason: 'E_METHOD_NOT_ALLOWED', status: null })
      socket.destroy()
    })
    this.server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
      const status = refuseConnection(error, socket)
      if (status !== undefined)
        this.#refused(this.#requests.get(socket) ?? unread(socket), { reason: 'E_HTTP', status })
    })
    limitServer(this.server, maxConnections)
    this.server.on('connection', socket => this.#count(socket))
    this.server.on('drop', dropped =>
      this.#refused(unread({ remoteAddress: dropped?.remoteAddress }), {
        reason: 'E_CONNECTIONS',
        status: null,
      }),
    )
  }

  /** Notes a delivery that is refused, once. */
  #refused(request: TracedRequest, refusal: { reason: string; status: number | null }): void {
    if (request.noted) return
    request.noted = true
    const noted = refusalOf(request, refusal, this.#options.registry.sources)
    this.#options.refused.note(noted)
    // Anybody can ask for what is not there: it is counted, but fills no log.
    if (refusal.reason === 'E_NOT_FOUND') return
    const { reason: code, source_id, path, status, address, bytes } = noted
    const place = source_id === null ? { path } : { source_id }
    this.#options.log('event.refused', {
      ...place,
      code,
      title: refusalReason(code, status).title,
      status,
      address,
      bytes,
    })
  }

  /** One address may not take all connections; senders on this machine share one address and are spared. */
  #count(socket: Socket): void {
    const address = socket.remoteAddress ?? ''
    if (address === '' || /^(::ffff:)?127\.|^::1$/.test(address)) return
    const open = (this.#connections.get(address) ?? 0) + 1
    if (open > maxConnectionsPerAddress) {
      this.#refused(unread(socket), { reason: 'E_CONNECTIONS', status: null })
      return void socket.destroy()
    }
    this.#connections.set(address, open)
    socket.once('close', () => {
      const left = this.#connections.get(address)! - 1
      if (left > 0) this.#connections.set(address, left)
      else this.#connections.delete(address)
    })
    return undefined
  }

  async #serve(request: IncomingMessage, response: ServerResponse, expectsContinue = false): Promise<void> {
    const { config, logBug, isClosing } = this.#options
    const trace = traced(request)
    this.#requests.set(request.socket, trace)
    const late = setTimeout(() => {
      const close = request.complete ? undefined : { connection: 'close' }
      const fault = new Fault(
        'not_ready',
        'no answer could be given in time; the event may be stored: send it again under the same delivery id',
        {
          reason: 'E_TIMEOUT',
          retryAfterS: 5,
        },
      )
      this.#refused(trace, fault)
      sendFault(response, fault, close)
    }, config.answer_timeout_ms)
    try {
      if (isClosing())
        throw new Fault('shutting_down', 'the router is shutting down; send the event again in a moment', {
          retryAfterS: 5,
        })
      await this.#route(request, response, trace, expectsContinue)
    } catch (error) {
      const fault = error instanceof Fault ? error : undefined
      if (fault === undefined) logBug(error)
      this.#refused(trace, fault ?? { reason: 'E_INTERNAL', status: 500 })
      // A body that was not read to its end cannot be followed by another request.
      const close =
        !request.complete || fault?.fault === 'shutting_down' ? { connection: 'close' } : undefined
      sendFault(response, error, close)
    } finally {
      clearTimeout(late)
      // What follows a body that is not read belongs to this request, which is noted already.
      if (this.#requests.get(request.socket) === trace && (!trace.noted || request.complete))
        this.#requests.delete(request.socket)
    }
  }

  async #route(
    request: IncomingMessage,
    response: ServerResponse,
    trace: TracedRequest,
    expectsContinue: boolean,
  ): Promise<void> {
    const [given, query] = targetOf(request)
    if (given.length > maxPathLength)
      throw new Fault('uri_too_long', `a path of at most ${maxPathLength} characters is taken`)
    const path = plainPath(given)
    if (path === '/health' && ['GET', 'HEAD'].includes(request.method!))
      return sendJson(response, 200, { status: 'ok' })
    const target = this.#target(path)
    const headers = headersOnce(request, singleHeaders.get(target.provider)!)
    assertPlainRequest(request, headers)
    if (request.method === 'OPTIONS' && target.webhook.provider === 'cloudevents')
      return handshake(headers, response)
    const query_payload =
      target.provider.takes_get && request.method === 'GET'
        ? new URLSearchParams(query ?? '').get('payload')
        : null
    if (request.method !== 'POST' && query_payload === null) {
      throw new Fault('method_not_allowed', `deliveries must be sent with POST; found ${request.method}`, {
        allow: 'POST',
      })
    }
    assertEnabled(target)
    this.#assertBodyKind(target, headers, query_payload)
    const limit = target.webhook.max_body_bytes ?? this.#options.config.max_body_bytes
    if (expectsContinue && declaredLength(headers) <= limit) response.writeContinue()
    request.on('data', (chunk: Buffer) => (trace.received += chunk.length))
    const body = await readBody(request, headers, limit, this.#budget)
    const delivery: Delivery = {
      headers,
      body,
      media_type: mediaType(headers),
      query_payload,
      limits: this.#options.config,
      now: this.#options.now(),
    }
    return this.#deliver(this.#targetNow(path, target, request, query_payload), delivery, trace, response)
  }

  /** The target once the body is there: while it came, for up to half a minute, its source may have been changed, disabled or deleted. */
  #targetNow(path: string, before: Target, request: IncomingMessage, query_payload: string | null): Target {
    const target = this.#target(path)
    if (target.source === before.source) return before
    assertEnabled(target)
    this.#assertBodyKind(target, headersOnce(request, singleHeaders.get(target.provider)!), query_payload)
    return target
  }

  #target(path: string): Target {
    let id: string | undefined
    try {
      id = sourceSegment(path)
    } catch {
      throw new Fault('bad_request', 'the path is not percent-encoded properly', { reason: 'E_PATH' })
    }
    if (id === undefined)
      throw new Fault('not_found', 'there is nothing here; deliveries go to /webhook/{source_id}')
    const source = this.#options.registry.sources.get(id)
    if (source?.source_type !== 'webhook')
      throw new Fault('not_found', 'there is no webhook source of this name')
    const webhook = source.config as unknown as WebhookConfig
    return { source, webhook, provider: providers[webhook.provider] }
  }

  #assertBodyKind(
    { provider }: Target,
    headers: ReadonlyMap<string, string>,
    query_payload: string | null,
  ): void {
    const refuse = (message: string, reason: string): Fault =>
      new Fault('unsupported_media_type', message, { reason })
    const encoding = headers.get('content-encoding')
    if (encoding !== undefined && encoding.toLowerCase() !== 'identity')
      throw refuse('bodies must not be compressed', 'E_ENCODING')
    if (query_payload !== null) return
    const [, ...parameters] = (headers.get('content-type') ?? '').split(';')
    const charset = parameters
      .map(parameter => parameter.trim().toLowerCase())
      .find(parameter => parameter.startsWith('charset='))
    if (charset !== undefined && !/^charset="?utf-8"?$/.test(charset))
      throw refuse('only the character set utf-8 is taken', 'E_MEDIA_TYPE')
    const type = mediaType(headers)
    if (provider.media_types !== null && !provider.media_types.includes(type)) {
      throw refuse(
        `deliveries of this provider must be ${provider.media_types.join(' or ')}; found ${type === '' ? 'no content type' : JSON.stringify(type)}`,
        'E_MEDIA_TYPE',
      )
    }
  }

  #secrets({ source, webhook, provider }: Target): Buffer[] {
    const refs = webhook.secrets ?? []
    const answers = refs.map(ref => usable(provider, this.#options.readSecret(ref)))
    const values = answers.flatMap(answer => (answer.ok ? [answer.value] : []))
    const unreadable = answers.find(answer => !answer.ok)
    if (values.length === 0 && (refs.length > 0 || provider.needs_secret)) {
      const detail = unreadable === undefined ? 'it names no secret' : unreadable.reason
      this.#options.warn('source.unconfigured', { source_id: source.id, detail })
      throw new Fault('not_ready', "the secret of this source cannot be read; the router's log says why", {
        reason: 'E_SOURCE_UNCONFIGURED',
        retryAfterS: 60,
      })
    }
    return values
  }

  /** Throws unless the sender is who the source says; too many failures from one address are answered 429. */
  #verify(target: Target, delivery: Delivery, address: string): void {
    const { source, provider } = target
    const secrets = this.#secrets(target)
    const key = `${source.id} ${address}`
    const perMinute = this.#options.config.auth_failures_per_minute
    const rate = { limit: perMinute, period_ms: 60_000, burst: perMinute }
    const tooMany = (): Fault =>
      new Fault('rate_limited', 'too many deliveries with a wrong signature or token from this address', {
        reason: 'E_RATE',
        retryAfterS: 60,
      })
    // A signature cannot be guessed, a token might be: only for tokens is a right one refused along with the wrong ones.
    const guessable = provider.token && secrets.length > 0 && !secrets.some(isSigningKey)
    if (guessable && !this.#failures.has(key, rate, delivery.now)) throw tooMany()
    try {
      provider.verify(delivery, secrets)
    } catch (error) {
      if (
        error instanceof Fault &&
        error.fault === 'unauthorized' &&
        this.#failures.take(key, rate, delivery.now) > 0
      )
        throw tooMany()
      throw asJsonFault(error)
    }
  }

  async #deliver(
    target: Target,
    delivery: Delivery,
    trace: TracedRequest,
    response: ServerResponse,
  ): Promise<void> {
    this.#verify(target, delivery, trace.address ?? '')
    const events = this.#read(target, delivery)
    this.#assertRate(target, events.length, delivery.now)
    const headers = storedHeaders(delivery.headers)
    const signed = target.provider.signed_bytes?.(delivery) ?? null
    const incoming = events.map(event => ({ ...incomingEvent(target, event, headers), signed }))
    const isBatch =
      target.webhook.provider === 'cloudevents' &&
      delivery.media_type === 'application/cloudevents-batch+json'
    const { acceptor, accepted } = this.#options
    const took = (): void => accepted((performance.now() - trace.begun) / 1000)
    const answers = await (isBatch ? acceptor.acceptBatch(incoming) : acceptor.accept(incoming))
    if (isBatch) {
      // A batch is taken only as a whole: sent again, what was stored already is known by its ids.
      const refused =
        answers.find(each => each instanceof Fault && each.fault === 'overloaded') ??
        (answers.every(each => each instanceof Fault) ? answers[0] : undefined)
      if (refused instanceof Fault) throw refused
      for (const answer of answers)
        if (answer instanceof Fault) this.#refused({ ...trace, noted: false }, answer)
      const list = answers.map(answer =>
        answer instanceof Fault ? { error: problem(answer) } : answered(answer),
      )
      took()
      return sendJson(response, 202, { events: list })
    }
    const [answer] = answers
    if (answer instanceof Fault) throw answer
    took()
    return sendJson(response, answer!.duplicate ? 200 : 202, answered(answer!))
  }

  #read({ provider }: Target, delivery: Delivery): ReadEvent[] {
    try {
      return provider.read(delivery)
    } catch (error) {
      throw asJsonFault(error)
    }
  }

  #assertRate({ source, webhook }: Target, events: number, now: number): void {
    const own = webhook.rate_limit
    const perSecond = this.#options.config.rate_limit
    const rate =
      own === undefined
        ? { limit: perSecond, period_ms: 1000, burst: perSecond * 2 }
        : { ...own, burst: own.burst ?? own.limit }
    const waitMs = this.#rates.take(source.id, rate, now, events)
    if (waitMs > 0) {
      throw new Fault(
        'rate_limited',
        `the source ${source.id} takes ${rate.limit} events in ${rate.period_ms} ms; raise its rate_limit if this is meant`,
        {
          reason: 'E_RATE',
          retryAfterS: Math.max(1, Math.ceil(waitMs / 1000)),
        },
      )
    }
  }
}
