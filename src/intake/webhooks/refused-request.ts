// What is known of a request before its sender is proved, for the case that it is refused: where it was sent to, from which
// address, how large it is. Neither its body nor any header but the number in Content-Length.
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Source } from '../../contract/types.ts'
import { plain } from '../../terminal-text.ts'
import type { Refusal } from './refused-deliveries.ts'

const mostPathBytes = 200

/** A request on its way: it is noted at most once. */
export interface TracedRequest {
  target: string | null
  address: string | null
  declared: number | null
  received: number
  /** when its head was read, as performance.now() has it */
  begun: number
  noted: boolean
}

/** The address of the other end; null on a Unix socket. */
export function remoteAddress({ remoteAddress: address }: Socket): string | null {
  return address === undefined || address === '' ? null : address
}

export function traced(request: IncomingMessage): TracedRequest {
  const length = request.headers['content-length']
  const declared = length === undefined || !/^\d{1,15}$/.test(length) ? null : Number(length)
  return {
    target: request.url ?? '',
    address: remoteAddress(request.socket),
    declared,
    received: 0,
    begun: performance.now(),
    noted: false,
  }
}

/** A connection on which no request was read. */
export function unread(socket: Pick<Socket, 'remoteAddress'>): TracedRequest {
  return {
    target: null,
    address: remoteAddress(socket as Socket),
    declared: null,
    received: 0,
    begun: performance.now(),
    noted: false,
  }
}

/** The path of a request target: without its query, or a scheme, user and host before it. */
export function pathOf(target: string): string {
  return target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '').split(/[?#]/, 1)[0]!
}

/** A path as it is kept: control and invisible characters as escapes, at most 200 bytes. */
export function safePath(path: string): string {
  // Escapes only make it longer, so more than this is never kept.
  const bytes = Buffer.from(plain(path.slice(0, mostPathBytes)))
  if (bytes.length <= mostPathBytes) return bytes.toString()
  let end = mostPathBytes
  while ((bytes[end]! & 0xc0) === 0x80) end--
  return bytes.subarray(0, end).toString()
}

/** The id that a path of the intake names; undefined: it is of another form. Throws URIError where it is not encoded properly. */
export function sourceSegment(path: string): string | undefined {
  const segment = /^\/webhook\/([^/]+)$/.exec(path)?.[1]
  return segment === undefined ? undefined : decodeURIComponent(segment)
}

/** Returns the webhook source that a path names, or null where it names no source. */
function namedSource(path: string, sources: ReadonlyMap<string, Source>): string | null {
  try {
    const id = sourceSegment(path)
    return id !== undefined && sources.get(id)?.source_type === 'webhook' ? id : null
  } catch {
    return null
  }
}

export function refusalOf(
  { target, address, declared, received }: TracedRequest,
  { reason, status }: { reason: string; status: number | null },
  sources: ReadonlyMap<string, Source>,
): Refusal {
  const path = target === null ? null : pathOf(target)
  const source_id = path === null ? null : namedSource(path, sources)
  return {
    source_id,
    path: path === null || source_id !== null ? null : safePath(path),
    reason,
    status,
    address,
    bytes: declared ?? (target === null ? null : received),
  }
}
