// Where an exchange connects, and with whom: rule T34 with names that lead astray, T38 with certificates that are not good.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Exchanges, type ExchangeAnswer } from '../../src/outbound/exchange.ts'
import { freshDirectory } from '../support/router.ts'

/** A listener that counts who comes. */
async function listener(
  server: Server = createServer((_request, response) => void response.end('{}')),
): Promise<{ port: number; connections: () => number; requests: () => number }> {
  let connections = 0
  let requests = 0
  server.on('connection', () => connections++)
  server.on('request', () => requests++)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    requests: () => requests,
  }
}

function post(exchanges: Exchanges, origin: string): Promise<ExchangeAnswer> {
  onTestFinished(() => exchanges.stop())
  return exchanges.send({
    origin,
    path: '/',
    headers: {},
    body: '{}',
    timeout_ms: 5000,
    signal: new AbortController().signal,
  })
}

test.each(['http://localhost', 'http://127.0.0.1', 'http://127.1', 'http://[::ffff:127.0.0.1]'])(
  'a forbidden address behind %s gets no connection at all',
  async origin => {
    const { port, connections } = await listener()
    const answer = await post(
      new Exchanges(
        address => !address.includes('127.0.0.1') && address !== '::1' && !address.startsWith('::ffff:7f00'),
        1000,
      ),
      `${origin}:${port}`,
    )
    expect(answer).toMatchObject({
      kind: 'failed',
      reason: 'blocked',
      error: expect.stringContaining('not open to bots') as string,
    })
    expect(connections()).toBe(0)
  },
)

test('what was reached is looked at once more before a byte is sent', async () => {
  const { port, requests } = await listener()
  // A rule that changes its mind: the name was fine when it was looked up, the address is not when it is reached.
  let asked = 0
  const answer = await post(new Exchanges(() => ++asked === 1, 1000), `http://127.0.0.1:${port}`)
  expect(answer).toMatchObject({
    kind: 'failed',
    reason: 'blocked',
    error: expect.stringContaining('was reached at') as string,
  })
  expect(requests()).toBe(0)
})

test('control: the same listener is reached where the rule allows', async () => {
  const { port, requests } = await listener()
  expect(await post(new Exchanges(() => true, 1000), `http://localhost:${port}`)).toMatchObject({
    kind: 'answered',
    status: 200,
  })
  expect(requests()).toBe(1)
})

const hasOpenssl = spawnSync('openssl', ['version']).status === 0
if (!hasOpenssl) console.log('SKIPPED: openssl is not installed, certificates were not tried')

test.skipIf(!hasOpenssl)(
  'a certificate that nobody vouches for is refused, and no request is made',
  async () => {
    const directory = freshDirectory()
    const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')]
    spawnSync('openssl', [
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-keyout',
      key,
      '-out',
      cert,
      '-days',
      '1',
      '-subj',
      '/CN=localhost',
    ])
    const { port, requests } = await listener(
      createTlsServer(
        { key: readFileSync(key), cert: readFileSync(cert) },
        (_request, response) => void response.end('{}'),
      ),
    )
    const answer = await post(new Exchanges(() => true, 1000), `https://localhost:${port}`)
    expect(answer).toMatchObject({
      kind: 'failed',
      reason: 'unreachable',
      error: expect.stringContaining('SELF_SIGNED') as string,
    })
    expect(requests()).toBe(0)
  },
)
