// The end of a client: nothing on the other side keeps it, and with it its process, alive.
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import { freshDirectory } from '../support/router.ts'

test('a client closes although its router never reads', async () => {
  const path = join(freshDirectory(), 's')
  const sockets: Socket[] = []
  const server = createServer({ pauseOnConnect: true }, socket =>
    sockets.push(socket.on('error', () => undefined)),
  )
  await new Promise<void>(resolve => server.listen(path, resolve))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const client = await SignalboxClient.connect(path)
  // More than the system takes for a peer that does not read.
  const call = client.call('event.emit', {
    source_id: 's',
    type: 't',
    payload: { text: 'x'.repeat(8_000_000) },
  })
  client.close()
  await client.closed
  await expect(call).rejects.toMatchObject({ name: 'ConnectionError' })
})
