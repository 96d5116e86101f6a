// A run that is claimed by a worker whose connection is closed before the answer has left goes back at once, not when its lease ends.
import { createServer, request, type Server } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import { answerRpc } from '../../src/api/http-rpc.ts'
import { Jsonrpc, type Call, type Handlers } from '../../src/api/jsonrpc.ts'
import { compileContract } from '../../src/contract/validators.ts'
import { BodyBudget, headersOnce } from '../../src/http/request.ts'
import { listenTcp } from '../../src/http/listening.ts'
import { noAudit } from '../support/no-audit.ts'
import { until } from '../support/router.ts'

interface Served {
  port: number
  /** resolves once the call is being answered */
  asked: Promise<void>
  /** lets it be answered */
  answer: () => void
  /** resolves once the router has seen that nobody is connected */
  alone: () => Promise<unknown>
  /** resolves once what it handed out was taken back */
  undone: Promise<void>
  isUndone: () => boolean
}

/** Whether a server has no connections. */
function isAlone(server: Server): Promise<boolean> {
  return new Promise(resolve => server.getConnections((_error, count) => resolve(count === 0)))
}

/** A server whose call hands something out, in an answer of so many bytes. */
async function served(bytes: number): Promise<Served> {
  const [asked, answered, undone] = [
    Promise.withResolvers<void>(),
    Promise.withResolvers<void>(),
    Promise.withResolvers<void>(),
  ]
  let isUndone = false
  const handler = async (_params: unknown, call: Call): Promise<unknown> => {
    call.handsOut(async () => {
      isUndone = true
      undone.resolve()
    })
    asked.resolve()
    await answered.promise
    return { leases: 'x'.repeat(bytes) }
  }
  const handlers = new Proxy({}, { get: () => handler }) as Handlers
  const jsonrpc = new Jsonrpc({
    contract: compileContract(),
    handlers,
    limits: { json_depth: 64, json_tokens: 1000 },
    audit: noAudit,
    logBug: () => undefined,
  })
  const options = {
    jsonrpc,
    access: undefined,
    in_flight: 4,
    longest: 100_000,
    budget: new BodyBudget(1_000_000),
    logBug: () => undefined,
  }
  const server = createServer(
    (asking, response) =>
      void answerRpc(asking, response, headersOnce(asking, new Set()), options).catch(() => undefined),
  )
  const address = await listenTcp(server, '127.0.0.1:0', { name: 'x', setting: 'x', variable: 'X' })
  onTestFinished(() => void server.close())
  return {
    port: Number(new URL(address).port),
    asked: asked.promise,
    answer: answered.resolve,
    alone: () => until(async () => isAlone(server)),
    undone: undone.promise,
    isUndone: () => isUndone,
  }
}

const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'run.claim', params: { bot_id: 'w' } })

test('closed while the answer is made: it is taken back', async () => {
  const { port, asked, answer, alone, undone } = await served(10)
  const asking = request({
    host: '127.0.0.1',
    port,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
  })
  asking.on('error', () => undefined)
  asking.end(body)
  await asked
  asking.destroy()
  await alone()
  answer()
  await undone
})

test('closed while the answer is sent: it is taken back', async () => {
  const { port, asked, answer, undone } = await served(50_000_000)
  const asking = request({
    host: '127.0.0.1',
    port,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
  })
  asking.on('error', () => undefined)
  asking.on('response', () => asking.destroy())
  asking.end(body)
  await asked
  answer()
  await undone
})

test('control: what was answered stays handed out', async () => {
  const { port, answer, isUndone } = await served(10)
  answer()
  const response = await fetch(`http://127.0.0.1:${port}`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json' },
  })
  expect(((await response.json()) as { result: unknown }).result).toBeDefined()
  // The connection is closed by now, or kept: neither takes it back.
  expect(isUndone()).toBe(false)
})
