// Answers over HTTP: JSON, and failures as application/problem+json (RFC 9457).
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { asFault, errorTable, type Fault } from '../errors.ts'

export function problem(fault: Fault): Record<string, unknown> {
  return {
    type: `urn:signalbox:error:${fault.fault}`,
    title: errorTable[fault.fault].title,
    status: fault.status,
    detail: fault.message,
    code: fault.reason,
    ...fault.data,
  }
}

export function sendJson(
  response: ServerResponse,
  status: number,
  value: unknown,
  headers: Record<string, string> = {},
  type = 'application/json',
): void {
  if (response.headersSent || response.destroyed) return
  // A string leaves together with its head in one write; a Buffer would take a second.
  const body = JSON.stringify(value)
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'x-content-type-options': 'nosniff',
    ...headers,
  })
  response.end(body)
}

/** The Prometheus text format. */
export const metricsType = 'text/plain; version=0.0.4; charset=utf-8'

/** A text of a type that is not JSON. */
export function sendText(response: ServerResponse, text: string, type: string): void {
  if (response.headersSent || response.destroyed) return
  response.writeHead(200, {
    'content-type': type,
    'content-length': Buffer.byteLength(text),
    'x-content-type-options': 'nosniff',
  })
  response.end(text)
}

/** Anything thrown: a Fault as it says; all else is a bug, answered without a word of it. */
export function sendFault(
  response: ServerResponse,
  error: unknown,
  headers: Record<string, string> = {},
): void {
  const fault = asFault(error)
  const own = {
    ...(fault.retryAfterS === undefined ? {} : { 'retry-after': String(fault.retryAfterS) }),
    ...(fault.allow === undefined ? {} : { allow: fault.allow }),
  }
  sendJson(response, fault.status, problem(fault), { ...own, ...headers }, 'application/problem+json')
}

const refusals: Record<string, [number, string]> = {
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'Payload Too Large'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout'],
}

/** Answers what the HTTP parser refused, before there is a request. Returns the status; undefined: the client is gone. */
export function refuseConnection(error: NodeJS.ErrnoException, socket: Socket): number | undefined {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return undefined
  }
  const [status, title] = refusals[error.code ?? ''] ?? [400, 'Bad Request']
  const body = JSON.stringify({
    type: 'urn:signalbox:error:bad_request',
    title,
    status,
    detail: 'the request is not valid HTTP/1.1, too large or too slow',
    code: 'E_HTTP',
  })
  socket.end(
    `HTTP/1.1 ${status} ${title}\r\ncontent-type: application/problem+json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  )
  return status
}
