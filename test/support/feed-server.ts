// A server of feeds that a test has in hand: what each request is answered, and what was asked.
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

export interface FeedServer {
  url: string
  requests: { path: string; headers: IncomingHttpHeaders }[]
  /** answers from now on */
  answer: (path: string, headers: IncomingHttpHeaders, response: ServerResponse) => void
}

/** Answers JSON with an ETag that goes with it, and 304 to who has it already. */
export function sendFeed(
  value: unknown,
  headers: IncomingHttpHeaders,
  response: ServerResponse,
  more: Record<string, string> = {},
): void {
  const text = JSON.stringify(value)
  const etag = `"${Buffer.from(text).toString('base64url').slice(-24)}${text.length}"`
  if (headers['if-none-match'] === etag) response.writeHead(304).end()
  else response.writeHead(200, { 'content-type': 'application/json', etag, ...more }).end(text)
}

export async function feedServer(answer: FeedServer['answer']): Promise<FeedServer> {
  const feed: FeedServer = { url: '', requests: [], answer }
  const server = createServer((request, response) => {
    feed.requests.push({ path: request.url!, headers: request.headers })
    feed.answer(request.url!, request.headers, response)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  feed.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return feed
}
