// A JSON-RPC service on a Unix socket: notes what it is called with and answers as it is told.
import { createServer as createHttp } from 'node:http'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { freshDirectory } from './router.ts'

export interface RpcService {
  socket_path: string
  calls: { method: string; params: unknown; id: unknown }[]
  /** the same as they came */
  texts: string[]
}

export async function rpcService(
  framing: 'http' | 'newline',
  answer: (call: { id: unknown; method: string }) => string,
  socket_path = join(freshDirectory(), 's'),
): Promise<RpcService> {
  const calls: RpcService['calls'] = []
  const texts: string[] = []
  const handle = (text: string): string => {
    const call = JSON.parse(text) as RpcService['calls'][0]
    calls.push(call)
    texts.push(text)
    return answer(call)
  }
  let server: Server
  if (framing === 'http') {
    server = createHttp((request, response) => {
      let text = ''
      request.on('data', chunk => (text += String(chunk)))
      request.on('end', () => void response.end(handle(text)))
    })
  } else {
    server = createServer(socket => {
      let text = ''
      socket.on('error', () => undefined)
      socket.on('data', chunk => {
        text += chunk.toString()
        if (text.endsWith('\n')) socket.write(`${handle(text)}\n`)
      })
    })
  }
  await new Promise<void>(resolve => server.listen(socket_path, resolve))
  onTestFinished(() => void server.close())
  return { socket_path, calls, texts }
}
