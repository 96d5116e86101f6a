// A connection to a router on which a test can change messages, for faults that are hard to cause.
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { onTestFinished } from 'vitest'
import { freshDirectory } from './router.ts'

export interface Message {
  id?: string
  method?: string
  params?: Record<string, unknown>
  result?: object
}

/** Returns a directory with a rpc.sock that is connected to the socket. asked and told change the messages in each direction. */
export async function lineProxy(
  socket: string,
  {
    asked = message => message,
    told = message => message,
  }: Partial<Record<'asked' | 'told', (message: Message) => Message>>,
): Promise<{ directory: string }> {
  const directory = freshDirectory()
  const pass = (from: Socket, to: Socket, change: (message: Message) => Message): void => {
    createInterface({ input: from }).on('line', line =>
      to.write(`${JSON.stringify(change(JSON.parse(line) as Message))}\n`),
    )
    from.on('error', () => to.destroy())
    from.on('close', () => to.end())
  }
  const server = createServer(peer => {
    const router = connect(socket)
    pass(peer, router, asked)
    pass(router, peer, told)
  })
  await new Promise<void>(resolve => server.listen(join(directory, 'rpc.sock'), resolve))
  onTestFinished(() => void server.close())
  return { directory }
}
