// What doctor says of a control socket at which no healthy router answers.
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { signalbox } from '../support/command-line.ts'
import { freshDirectory } from '../support/router.ts'

interface Answer {
  socket: string
  line: Record<string, unknown> | undefined
}

async function doctor(directory: string): Promise<Answer> {
  const socket = join(directory, 'rpc.sock')
  const { out } = await signalbox({ directory }, ['doctor', '--json'], { SIGNALBOX_SOCKET: socket })
  const findings = out
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as Record<string, unknown>)
  return { socket, line: findings.find(({ check }) => check === 'router') }
}

async function listening(path: string, error: object | undefined): Promise<Server> {
  const server = createServer(connection => {
    connection.on('error', () => undefined)
    connection.on('data', data => {
      if (error === undefined) return void connection.destroy()
      const { id } = JSON.parse(data.toString()) as { id: unknown }
      connection.write(`${JSON.stringify({ jsonrpc: '2.0', id, error })}\n`)
    })
  })
  await new Promise<void>(resolve => server.listen(path, resolve))
  onTestFinished(() => void server.close())
  return server
}

test('no socket: no router runs, or it is elsewhere', async () => {
  const { socket, line } = await doctor(freshDirectory())
  expect(line).toMatchObject({ verdict: 'bad', detail: expect.stringContaining(`no socket at ${socket}`) })
})

test('a process that closes the connection is not called stale', async () => {
  const directory = freshDirectory()
  await listening(join(directory, 'rpc.sock'), undefined)
  const { socket, line } = await doctor(directory)
  expect(line).toMatchObject({
    detail: expect.stringContaining(`the router at ${socket} did not answer`),
    mend: 'see whether its process runs, and its log',
  })
})

test('an error of the router is reported as its own', async () => {
  const directory = freshDirectory()
  await listening(join(directory, 'rpc.sock'), { code: -32601, message: 'no such method' })
  const { socket, line } = await doctor(directory)
  expect(line).toMatchObject({
    detail: `the router at ${socket} refused router.status: no such method`,
    mend: expect.stringContaining('same version'),
  })
})
