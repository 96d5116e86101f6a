// One HTTP exchange: pooled connections, addresses checked before and at connecting, no redirects, one limit
// on the whole time and one on what is read.
import { lookup } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import type { buildConnector, Pool } from 'undici'
import type { Egress } from './egress.ts'

export interface Exchange {
  method?: 'GET' | 'POST' | 'PUT'
  origin: string
  socket_path?: string
  path: string
  headers: Record<string, string>
  /** none with GET */
  body?: string
  timeout_ms: number
  signal: AbortSignal
}

export type ExchangeAnswer =
  | {
      kind: 'answered'
      status: number
      headers: Record<string, string | string[] | undefined>
      body: string
      truncated: boolean
    }
  | {
      kind: 'failed'
      reason: 'unreachable' | 'broken' | 'timeout' | 'aborted' | 'blocked' | 'bad_request'
      error: string
    }

type Undici = typeof import('undici')
let undici: Promise<Undici> | undefined

/** undici is loaded with the first exchange: 20 MiB and 50 ms that a router without such bots does not spend. */
function loaded(): Promise<Undici> {
  return (undici ??= import('undici'))
}

export class EgressBlocked extends Error {}

const connectTimeoutMs = 5000
const maxPools = 256
const connectionsPerPool = 64
/** Shorter than what most servers keep idle connections for, so that no connection is used while it is being closed. */
const idleMs = 4000

/** Looks a name up, and refuses it if one of its addresses must not be connected to. */
export function checkedLookup(egress: Egress): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, '', 0)
      const blocked = addresses.find(({ address }) => !egress(address))
      if (blocked !== undefined)
        return callback(
          new EgressBlocked(`${hostname} is at ${blocked.address}, which is not open to bots`),
          '',
          0,
        )
      if (options.all === true) return callback(null, addresses)
      return callback(null, addresses[0]!.address, addresses[0]!.family)
    })
  }
}

/** Connects only where the rule allows: literal addresses before, names when looked up, and what was reached at last. */
function checkedConnector({ buildConnector }: Undici, egress: Egress): buildConnector.connector {
  const connect = buildConnector({
    timeout: connectTimeoutMs,
    lookup: checkedLookup(egress),
    minVersion: 'TLSv1.2',
    allowH2: false,
  })
  return (options, callback) => {
    const host = options.hostname.replace(/^\[|\]$/g, '')
    if (isIP(host) !== 0 && !egress(host))
      return callback(new EgressBlocked(`${host} is not open to bots`), null)
    return connect(options, (error, socket) => {
      if (error !== null) return callback(error, null)
      if (!egress(socket.remoteAddress ?? '')) {
        socket.destroy()
        return callback(
          new EgressBlocked(`${host} was reached at ${socket.remoteAddress}, which is not open to bots`),
          null,
        )
      }
      return callback(null, socket)
    })
  }
}

const unreachableCodes = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EACCES',
  'ENOTSOCK',
  'UND_ERR_CONNECT_TIMEOUT',
])

function failed(error: unknown): ExchangeAnswer {
  const { code, message } = error as { code?: string; message: string }
  if (error instanceof EgressBlocked) return { kind: 'failed', reason: 'blocked', error: message }
  if (
    unreachableCodes.has(code ?? '') ||
    code?.startsWith('ERR_TLS') === true ||
    code?.includes('CERT') === true
  ) {
    return { kind: 'failed', reason: 'unreachable', error: `${code}: ${message}` }
  }
  if (code === 'UND_ERR_INVALID_ARG') return { kind: 'failed', reason: 'bad_request', error: message }
  return { kind: 'failed', reason: 'broken', error: `${code ?? 'error'}: ${message}` }
}

export class Exchanges {
  readonly #egress: Egress
  readonly #maxBytes: number
  readonly #pools = new Map<string, Pool>()

  constructor(egress: Egress, maxBytes: number) {
    this.#egress = egress
    this.#maxBytes = maxBytes
  }

  #pool(undici: Undici, { origin, socket_path }: Exchange): Pool {
    const key = socket_path ?? origin
    const known = this.#pools.get(key)
    if (known !== undefined) return known
    if (this.#pools.size >= maxPools) {
      const [oldest, pool] = this.#pools.entries().next().value!
      this.#pools.delete(oldest)
      void pool.close()
    }
    const connect =
      socket_path === undefined
        ? checkedConnector(undici, this.#egress)
        : { socketPath: socket_path, timeout: connectTimeoutMs }
    const pool = new undici.Pool(origin, {
      connect,
      connections: connectionsPerPool,
      pipelining: 1,
      keepAliveTimeout: idleMs,
      headersTimeout: 0,
      bodyTimeout: 0,
    })
    this.#pools.set(key, pool)
    return pool
  }

  /** Never throws. The body of the answer is read up to the limit; the rest is not waited for. */
  async send(exchange: Exchange): Promise<ExchangeAnswer> {
    const abort = new AbortController()
    let timedOut = false
    const timer = setTimeout(() => {
      timedOut = true
      abort.abort()
    }, exchange.timeout_ms)
    const cancel = (): void => abort.abort()
    exchange.signal.addEventListener('abort', cancel, { once: true })
    if (exchange.signal.aborted) cancel()
    try {
      const { method = 'POST', path, headers, body = null } = exchange
      const answer = await this.#pool(await loaded(), exchange).request({
        method,
        path,
        headers,
        body,
        signal: abort.signal,
      })
      return {
        kind: 'answered',
        status: answer.statusCode,
        headers: answer.headers,
        ...(await this.#read(answer.body)),
      }
    } catch (error) {
      if (timedOut)
        return {
          kind: 'failed',
          reason: 'timeout',
          error: `no complete answer within ${exchange.timeout_ms} ms`,
        }
      if (exchange.signal.aborted) return { kind: 'failed', reason: 'aborted', error: 'aborted' }
      return failed(error)
    } finally {
      clearTimeout(timer)
      exchange.signal.removeEventListener('abort', cancel)
    }
  }

  async #read(
    body: AsyncIterable<Buffer> & { destroy(): unknown },
  ): Promise<{ body: string; truncated: boolean }> {
    const chunks: Buffer[] = []
    let bytes = 0
    for await (const chunk of body) {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes >= this.#maxBytes) break
    }
    return {
      body: Buffer.concat(chunks).toString('utf8', 0, Math.min(bytes, this.#maxBytes)),
      truncated: bytes >= this.#maxBytes,
    }
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#pools.values()].map(pool => pool.destroy()))
    this.#pools.clear()
  }
}
