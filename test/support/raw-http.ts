// HTTP as bytes: for requests that no client library would send.
import { connect } from 'node:net'

export interface RawAnswer {
  status: number
  headers: string
  body: string
  /** the server closed the connection */
  closed: boolean
}

function address(intake: string): { host: string; port: number } {
  const { hostname, port } = new URL(intake)
  return { host: hostname, port: Number(port) }
}

/** Sends bytes and answers what came back until the answer is whole or the connection is closed. */
export function raw(intake: string, ...parts: (string | Buffer)[]): Promise<RawAnswer> {
  const { promise, resolve } = Promise.withResolvers<RawAnswer>()
  const socket = connect(address(intake))
  let text = ''
  const done = (closed: boolean): void => {
    const [head = '', ...rest] = text.split('\r\n\r\n')
    resolve({
      status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1] ?? 0),
      headers: head.toLowerCase(),
      body: rest.join('\r\n\r\n'),
      closed,
    })
    socket.destroy()
  }
  socket.on('data', chunk => {
    text = (text + chunk.toString('latin1')).replace(/^HTTP\/1\.1 100 [^\r]*\r\n\r\n/, '')
    const [head = '', body] = text.split('\r\n\r\n')
    const length = /content-length: (\d+)/i.exec(head)?.[1]
    if (body !== undefined && length !== undefined && body.length >= Number(length))
      setImmediate(() => done(/connection: close/i.test(head)))
  })
  socket.on('error', () => done(true))
  socket.on('close', () => done(true))
  for (const part of parts) socket.write(part)
  return promise
}

export function post(
  path: string,
  body: string | Buffer,
  headers: readonly string[] = [],
  version = 'HTTP/1.1',
): Buffer {
  const has = (name: string): boolean => headers.some(header => header.toLowerCase().startsWith(`${name}:`))
  const lines = [`POST ${path} ${version}`]
  if (!has('host')) lines.push('Host: x')
  if (!has('content-type')) lines.push('Content-Type: application/json')
  if (!has('content-length') && !has('transfer-encoding'))
    lines.push(`Content-Length: ${Buffer.byteLength(body)}`)
  return Buffer.concat([Buffer.from([...lines, ...headers, '', ''].join('\r\n')), Buffer.from(body)])
}
