// Reading a request within limits: its headers once each, its body as bytes.
import type { IncomingMessage, Server } from 'node:http'
import { Fault } from '../errors.ts'

const maxHeaders = 100
export const httpServerOptions = {
  maxHeaderSize: 16_384,
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  connectionsCheckingInterval: 1000,
  keepAliveTimeout: 5000,
} as const

export function limitServer(server: Server, connections: number): void {
  server.maxConnections = connections
  // Node would drop what is beyond in silence; headersOnce counts and refuses.
  server.maxHeadersCount = 0
  server.maxRequestsPerSocket = 0
}

/** Headers by lower-case name, in a map that no header name can surprise. Doubled ones of the given names are refused. */
export function headersOnce(request: IncomingMessage, once: ReadonlySet<string>): Map<string, string> {
  const raw = request.rawHeaders
  if (raw.length / 2 > maxHeaders)
    throw new Fault('headers_too_large', `at most ${maxHeaders} headers are taken; found ${raw.length / 2}`, {
      reason: 'E_HEADERS',
    })
  const headers = new Map<string, string>()
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index]!.toLowerCase()
    const present = headers.get(name)
    if (present === undefined) headers.set(name, raw[index + 1]!)
    else if (once.has(name))
      throw new Fault('bad_request', `the header ${name} came twice`, { reason: 'E_HEADER_DUPLICATE' })
    else headers.set(name, `${present}, ${raw[index + 1]!}`)
  }
  return headers
}

/** The path and the query of a request; targets for proxies (http://...) are refused. */
export function targetOf(request: IncomingMessage): [path: string, query: string | undefined] {
  const target = request.url ?? ''
  if (!target.startsWith('/'))
    throw new Fault('bad_request', 'the request target must begin with /', { reason: 'E_HTTP' })
  const at = target.indexOf('?')
  return at < 0 ? [target, undefined] : [target.slice(0, at), target.slice(at + 1)]
}

/** A path without doubled slashes and without one at its end. */
export function plainPath(path: string): string {
  return path.replaceAll(/\/{2,}/g, '/').replace(/(?<=.)\/$/, '')
}

/**
 * What HTTP allows and this server does not: other framings, requests without a host, WebSockets. Other upgrades are offers that a
 * server may ignore (RFC 9110 7.8): Java's HttpClient and curl --http2 send h2c with every first request.
 */
export function assertPlainRequest(request: IncomingMessage, headers: ReadonlyMap<string, string>): void {
  const encoding = headers.get('transfer-encoding')
  const wrong =
    encoding !== undefined && encoding.toLowerCase() !== 'chunked'
      ? 'only chunked transfer encoding is taken'
      : headers.get('host') === undefined
        ? 'a Host header is required'
        : /(^|,)\s*websocket\s*(,|\/|$)/i.test(headers.get('upgrade') ?? '')
          ? 'there are no WebSockets here; send a plain request'
          : undefined
  if (wrong !== undefined) throw new Fault('bad_request', wrong, { reason: 'E_HTTP' })
}

export function declaredLength(headers: ReadonlyMap<string, string>): number {
  return Number(headers.get('content-length') ?? 0)
}

function tooLarge(limit: number): Fault {
  return new Fault(
    'too_large',
    `a body of at most ${limit} bytes is taken; raise max_body_bytes if this is meant to come`,
  )
}

/** All bodies that are being received, together. */
export class BodyBudget {
  readonly #limit: number
  #bytes = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  add(bytes: number): void {
    this.#bytes += bytes
    if (this.#bytes > this.#limit)
      throw new Fault('overloaded', 'too many large bodies are coming in at once; try again shortly', {
        reason: 'E_BODIES',
        retryAfterS: 5,
      })
  }

  release(bytes: number): void {
    this.#bytes -= bytes
  }
}

/** The whole body. Throws Fault too_large, overloaded, or bad_request when the sender goes away. */
export async function readBody(
  request: IncomingMessage,
  headers: ReadonlyMap<string, string>,
  limit: number,
  budget: BodyBudget,
): Promise<Buffer> {
  if (declaredLength(headers) > limit) throw tooLarge(limit)
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const chunks: Buffer[] = []
  let bytes = 0
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    try {
      budget.add(chunk.length)
      if (bytes > limit) throw tooLarge(limit)
      chunks.push(chunk)
    } catch (error) {
      request.pause()
      reject(error)
    }
  })
  request.on('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
  const gone = (): void =>
    reject(
      new Fault('bad_request', 'the sender closed the connection before the body was complete', {
        reason: 'E_ABORTED',
      }),
    )
  request.on('aborted', gone)
  request.on('error', gone)
  try {
    return await promise
  } finally {
    budget.release(bytes)
  }
}
