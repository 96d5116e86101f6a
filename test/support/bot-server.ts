// An HTTP bot for tests: notes what it is sent and answers as it is told.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

export interface Received {
  method: string | undefined
  path: string | undefined
  headers: IncomingMessage['headers']
  body: string
}

export interface BotServer {
  url: string
  received: Received[]
  /** resolves with the n-th request (from 1) once it has come */
  nth: (count: number) => Promise<Received>
}

export type Answer = (request: Received, response: ServerResponse, count: number) => void

export async function botServer(
  answer: Answer = (_request, response) => void response.end('{"ok":true}'),
): Promise<BotServer> {
  const received: Received[] = []
  const waiting: { count: number; resolve: (request: Received) => void }[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const seen = {
        method: request.method,
        path: request.url,
        headers: request.headers,
        body: Buffer.concat(chunks).toString('utf8'),
      }
      received.push(seen)
      for (const each of waiting) if (each.count === received.length) each.resolve(seen)
      answer(seen, response, received.length)
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    received,
    nth: count =>
      received.length >= count
        ? Promise.resolve(received[count - 1]!)
        : new Promise(resolve => waiting.push({ count, resolve })),
  }
}
