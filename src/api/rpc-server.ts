// The control socket: HTTP and newline-delimited JSON on one Unix socket, told apart by the first byte. HTTP methods are
// letters; anything else is taken for JSON. Framing only: jsonrpc.ts says what a message means.
//
// States: stopped -> listening -> closing -> stopped.
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server as HttpServer,
  type ServerResponse,
} from 'node:http'
import { createServer, type Server, type Socket } from 'node:net'
import { contractDocument, programVersion } from '../contract/document.ts'
import type { Config, RpcHealthResult } from '../contract/types.ts'
import { maxContextBytes } from '../context-files.ts'
import { Fault } from '../errors.ts'
import { metricsType, refuseConnection, sendFault, sendJson, sendText } from '../http/answers.ts'
import { assertPlainRequest, BodyBudget, headersOnce, httpServerOptions, targetOf } from '../http/request.ts'
import { answerRpc } from './http-rpc.ts'
import { Caller, type Line } from './caller.ts'
import type { Access } from './access.ts'
import type { Jsonrpc } from './jsonrpc.ts'
import { MessageBudget, UnreadBudget } from './socket-budget.ts'
import { listenUnix } from './unix-socket.ts'

/** What a message may be longer than a body: its envelope, and context files in base64. */
const envelopeBytes = 65_536 + Math.ceil((maxContextBytes * 4) / 3)
/** A client that does not read its answers is not read from either. */
const maxUnsentBytes = 1_048_576
const newline = 0x0a
const onceHeaders = new Set(['content-type', 'content-length'])

/** How much the clients of a socket may take together. */
export interface SocketLimits {
  connections: number
  /** calls of one connection that are not answered */
  in_flight: number
  /** messages that are not complete or not answered; a quarter of it: answers that are not read */
  held_bytes: number
}

export interface RpcServerOptions {
  config: Config
  /** path of the socket */
  socket: string
  limits: SocketLimits
  /** what its callers may do; undefined: everything */
  access?: Access
  jsonrpc: Jsonrpc
  health: () => Promise<RpcHealthResult>
  /** what Prometheus reads; absent: this socket does not serve it */
  metrics?: () => Promise<string>
  logBug: (error: unknown) => void
}

function isLetter(byte: number): boolean {
  return (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a)
}

/** How the Hero services find out what speaks here. */
function heroService(): Record<string, unknown> {
  return {
    service_id: 'signalbox',
    name: 'signalbox',
    title: 'Signalbox',
    description: contractDocument().info.title,
    version: programVersion(),
    protocol: 'openrpc',
    socket: 'rpc',
  }
}

/** Sends lines, those of one turn together; a client that does not read is not read from either. */
function sender(socket: Socket, sent: () => void): (line: string | undefined) => void {
  let corked = false
  return line => {
    if (line === undefined || socket.destroyed) return
    if (!corked) {
      corked = true
      socket.cork()
      setImmediate(() => {
        corked = false
        socket.uncork()
        if (socket.writableLength > 0) sent()
      })
    }
    // Bytes are counted as what they are, and not copied again on their way into the kernel.
    socket.write(Buffer.from(`${line}\n`))
    if (socket.writableLength > maxUnsentBytes && !socket.isPaused()) {
      socket.pause()
      socket.once('drain', () => socket.resume())
    }
  }
}

/** An error that answers no call in particular. */
function refusalText(code: number, message: string): string {
  return JSON.stringify({ jsonrpc: '2.0', id: null, error: { code, message } })
}

function overloaded(limit: number): string {
  return `messages that are not complete or not answered hold more than ${limit} bytes on this socket (max_inflight_body_bytes); send it again shortly`
}

/** Resolves once a socket has sent what waited, or is gone. */
function drained(socket: Socket): Promise<void> {
  return new Promise(resolve => {
    const done = (): void => {
      socket.off('drain', done)
      socket.off('close', done)
      resolve()
    }
    socket.on('drain', done)
    socket.on('close', done)
    // There is no 'drain' after little was sent: then the callback of an empty write is.
    if (socket.destroyed) done()
    else if (!socket.writableNeedDrain) socket.write(Buffer.alloc(0), done)
  })
}

/** Bytes of the longest message that is taken. */
export function longestMessage({ max_body_bytes }: Pick<Config, 'max_body_bytes'>): number {
  return max_body_bytes + envelopeBytes
}

/** The limits of the control socket. */
export function controlLimits({
  max_inflight_body_bytes,
}: Pick<Config, 'max_inflight_body_bytes'>): SocketLimits {
  return { connections: 64, in_flight: 64, held_bytes: max_inflight_body_bytes }
}

export class RpcServer {
  readonly #options: RpcServerOptions
  readonly #server: Server
  /** made with the first connection that speaks HTTP: most commands do not, and it has a timer */
  #http: HttpServer | undefined
  readonly #budget: BodyBudget
  readonly #messages: MessageBudget
  readonly #unread: UnreadBudget
  readonly #sockets = new Set<Socket>()
  readonly #maxMessage: number
  #path: string | undefined

  constructor(options: RpcServerOptions) {
    this.#options = options
    this.#maxMessage = longestMessage(options.config)
    this.#budget = new BodyBudget(options.limits.held_bytes)
    this.#messages = new MessageBudget(options.limits.held_bytes)
    // An answer costs several times its size while it is made.
    this.#unread = new UnreadBudget(options.limits.held_bytes / 4, this.#sockets)
    this.#server = createServer({ allowHalfOpen: true }, socket => this.#welcome(socket))
    this.#server.maxConnections = options.limits.connections
  }

  #httpServer(): HttpServer {
    if (this.#http !== undefined) return this.#http
    this.#http = createHttpServer(
      httpServerOptions,
      (request, response) => void this.#serveHttp(request, response),
    )
    this.#http.on('clientError', refuseConnection)
    // It never listens itself, but only then does Node look for requests that take too long.
    this.#http.emit('listening')
    return this.#http
  }

  /** Throws ExitError when the socket cannot be bound. */
  async start(): Promise<string> {
    this.#path ??= await listenUnix(this.#server, this.#options.socket)
    return this.#path
  }

  /** at_once: answers that are on their way do not leave any more. */
  async stop(at_once = false): Promise<void> {
    if (!this.#server.listening) return
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()))
    // Answers that are on their way get a moment to leave.
    for (const socket of this.#sockets) {
      if (at_once) socket.destroy()
      else socket.destroySoon()
    }
    this.#http?.close()
    await closed
  }

  #welcome(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('drain', () => this.#unread.drained(socket))
    socket.on('error', () => socket.destroy())
    // Who says nothing at all and goes is let go.
    const leave = (): void => void socket.end()
    socket.once('end', leave)
    socket.once('data', (first: Buffer) => {
      socket.off('end', leave)
      socket.pause()
      if (isLetter(first[0]!)) {
        socket.unshift(first)
        this.#httpServer().emit('connection', socket)
        socket.resume()
        return
      }
      this.#readLines(socket, first)
      socket.resume()
    })
  }

  #caller(socket: Socket, send: Line['send']): Caller {
    const { limits, access } = this.#options
    const line: Line = {
      send,
      hasRoom: () => socket.writableLength < maxUnsentBytes && this.#unread.fits(socket, maxUnsentBytes),
      fits: bytes => this.#unread.fits(socket, bytes),
      drained: () => drained(socket),
    }
    return new Caller(limits.in_flight, line, access)
  }

  /** One JSON text a line; answers leave as they are ready, in whatever order. */
  #readLines(socket: Socket, first: Buffer): void {
    let rest: Buffer[] = []
    let restBytes = 0
    const owner = {}
    const send = sender(socket, () => this.#unread.trim())
    let pending = 0
    let ended = false
    const caller = this.#caller(socket, send)
    socket.once('close', () => {
      caller.close()
      this.#messages.finish(owner)
    })
    const handle = (line: Buffer): void => {
      if (line.length === 0 || (line.length === 1 && line[0] === 0x0d)) return
      const release = this.#messages.hold(line.length)
      if (release === undefined)
        return send(this.#options.jsonrpc.refusal(line, overloaded(this.#messages.limit)))
      pending++
      void this.#options.jsonrpc.answer(line, caller).then(answer => {
        release()
        send(answer)
        if (--pending === 0 && ended) socket.end()
      })
    }
    /** Nothing more is read; what was asked before is still answered. */
    const refuse = (refusal: string): void => {
      rest = []
      restBytes = 0
      socket.removeAllListeners('data')
      socket.removeAllListeners('end')
      socket.resume()
      this.#messages.finish(owner)
      send(refusal)
      ended = true
      if (pending === 0) socket.end()
    }
    const tooLong = (): void =>
      refuse(refusalText(-32004, `a message of at most ${this.#maxMessage} bytes is taken`))
    const read = (chunk: Buffer): void => {
      let from = 0
      for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, from)) {
        const part = chunk.subarray(from, at)
        const line = restBytes === 0 ? part : Buffer.concat([...rest, part])
        if (restBytes > 0) this.#messages.finish(owner)
        rest = []
        restBytes = 0
        from = at + 1
        if (line.length > this.#maxMessage) return tooLong()
        handle(line)
      }
      if (from < chunk.length) {
        rest.push(chunk.subarray(from))
        restBytes += chunk.length - from
        if (restBytes > this.#maxMessage) tooLong()
        else
          this.#messages.grow(owner, chunk.length - from, () =>
            refuse(refusalText(-32005, overloaded(this.#messages.limit))),
          )
      }
    }
    socket.on('data', read)
    // A last line without its newline is a message too; and a client that is done writing still gets its answers.
    socket.on('end', () => {
      ended = true
      caller.endWriting()
      this.#messages.finish(owner)
      if (restBytes > 0) handle(Buffer.concat(rest))
      if (pending === 0) socket.end()
    })
    read(first)
  }

  async #serveHttp(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const headers = headersOnce(request, onceHeaders)
      assertPlainRequest(request, headers)
      await this.#route(request, response, headers)
    } catch (error) {
      if (!(error instanceof Fault)) this.#options.logBug(error)
      const close = request.complete ? undefined : { connection: 'close' }
      sendFault(response, error, close)
    }
  }

  async #metrics(response: ServerResponse): Promise<void> {
    const { metrics } = this.#options
    if (metrics === undefined)
      throw new Fault('forbidden', 'GET /metrics is not available on the socket of a command')
    sendText(response, await metrics(), metricsType)
  }

  async #route(
    request: IncomingMessage,
    response: ServerResponse,
    headers: ReadonlyMap<string, string>,
  ): Promise<void> {
    const [path] = targetOf(request)
    const method = {
      '/rpc': 'POST',
      '/openrpc.json': 'GET',
      '/health': 'GET',
      '/metrics': 'GET',
      '/.well-known/heroservice.json': 'GET',
    }[path]
    if (method === undefined)
      throw new Fault(
        'not_found',
        'there is nothing here; POST /rpc, GET /openrpc.json, /health, /metrics and /.well-known/heroservice.json are',
      )
    if (request.method !== method && !(path === '/health' && request.method === 'HEAD'))
      throw new Fault('method_not_allowed', `${path} takes ${method}; found ${request.method}`, {
        allow: method,
      })
    if (path === '/openrpc.json') return sendJson(response, 200, contractDocument())
    if (path === '/.well-known/heroservice.json') return sendJson(response, 200, heroService())
    if (path === '/health') {
      const health = await this.#options.health()
      return sendJson(response, health.status === 'ok' ? 200 : 503, health)
    }
    if (path === '/metrics') return this.#metrics(response)
    const { limits, access, jsonrpc, logBug } = this.#options
    await answerRpc(request, response, headers, {
      jsonrpc,
      access,
      in_flight: limits.in_flight,
      longest: this.#maxMessage,
      budget: this.#budget,
      logBug,
    })
    return this.#unread.trim()
  }
}
