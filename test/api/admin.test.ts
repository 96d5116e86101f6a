// The admin listener: who is let in, what is refused before anything is read, and that it is not there without a token.
import { request } from 'node:http'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { assertHost, isLocal } from '../../src/api/admin-rules.ts'
import { environmentPrincipal } from '../../src/api/principal.ts'
import { TokenAccess } from '../../src/api/token-access.ts'
import { ExactNumber } from '../../src/client/client.ts'
import { SignalboxHttpClient, type HttpOptions } from '../../src/client/http-client.ts'
import { compileContract } from '../../src/contract/validators.ts'
import { worker } from '../../src/client/worker.ts'
import {
  ask,
  bearer,
  bearerOf,
  callOf,
  callWith,
  environmentToken as token,
  listening,
  type Asked,
} from '../support/admin.ts'
import { ended, freshDirectory, freshRouter, until, type TestRouter } from '../support/router.ts'

describe('without a token', () => {
  test('nothing listens', async () => {
    const { router, call } = await freshRouter({ admin_address: '127.0.0.1:0' })
    expect(router.admin).toBeUndefined()
    expect(await call('router.status', {})).not.toHaveProperty('admin_address')
  })

  test.each([
    [
      'short',
      { SIGNALBOX_ADMIN_TOKEN: 'short' },
      {},
      /SIGNALBOX_ADMIN_TOKEN: an admin token must have at least 32 visible ASCII characters/,
    ],
    ['with a space', { SIGNALBOX_ADMIN_TOKEN: `${token} x` }, {}, /at least 32 visible ASCII/],
    ['empty', { SIGNALBOX_ADMIN_TOKEN: '' }, {}, /is empty/],
    [
      'a file that is not there',
      { SIGNALBOX_ADMIN_TOKEN_FILE: '/nonexistent/token' },
      {},
      /SIGNALBOX_ADMIN_TOKEN_FILE: /,
    ],
    ['twice', { SIGNALBOX_ADMIN_TOKEN: token, SIGNALBOX_ADMIN_TOKEN_FILE: '/x' }, {}, /both set/],
    [
      'for others, in plain HTTP',
      { SIGNALBOX_ADMIN_TOKEN: token },
      { admin_address: '0.0.0.0:0' },
      /is reachable from other machines.*behind_proxy/,
    ],
    [
      'for no address',
      { SIGNALBOX_ADMIN_TOKEN: token },
      { admin_address: '127.0.0.1:x' },
      /admin_address must be host:port or a socket path/,
    ],
  ])('a token that is %s: exit code 78', async (_name, env, flags, message) => {
    await expect(freshRouter({ admin_address: '127.0.0.1:0', ...flags }, env)).rejects.toMatchObject({
      exitCode: 78,
      message: expect.stringMatching(message) as string,
    })
  })

  test('an address that is taken: exit code 73, and what was begun has ended', async () => {
    const { admin } = await listening()
    const directory = freshDirectory()
    const flags = { admin_address: new URL(admin).host, state_dir: directory, socket: join(directory, 's') }
    await expect(freshRouter(flags, { SIGNALBOX_ADMIN_TOKEN: token })).rejects.toMatchObject({ exitCode: 73 })
    // The lock, the sockets and the intake are free again.
    await freshRouter({ state_dir: directory, socket: join(directory, 's') })
  })
})

describe('who is let in', () => {
  test.each([
    ['no token', {}],
    ['a wrong one', { authorization: `Bearer ${token.replace('1', '2')}` }],
    ['a longer one', { authorization: `Bearer ${token}x` }],
    ['one of another kind', { authorization: `Basic ${Buffer.from(`x:${token}`).toString('base64')}` }],
    ['nothing behind Bearer', { authorization: 'Bearer ' }],
    ['a cookie', { cookie: `token=${token}` }],
  ])('%s: 401 for the whole request, whatever is asked', async (_name, headers: Record<string, string>) => {
    const { admin } = await listening()
    const asked: Asked[] = [
      { body: `[${callOf('router.pause')},${callOf('router.status')}]` },
      { method: 'GET', path: `/openrpc.json?token=${token}` },
      { method: 'GET', path: '/nothing' },
      { method: 'OPTIONS' },
    ]
    const answers = await Promise.all(
      asked.map(each => ask(admin, { ...each, headers: { ...headers, 'content-type': 'application/json' } })),
    )
    for (const { status, headers: given, body } of answers) {
      expect([status, given['www-authenticate']]).toEqual([401, 'Bearer realm="signalbox"'])
      expect(body).toEqual(answers[0]!.body)
    }
    // Control: with the token it is answered.
    expect((await ask(admin, { body: callOf('router.status'), headers: bearer })).status).toBe(200)
  })

  test('a body without a token is not read, nor one that is too large', async () => {
    const { admin } = await listening()
    const declaring = (bytes: number, headers: Record<string, string>): Promise<unknown> => {
      const asking = request({
        host: '127.0.0.1',
        port: new URL(admin).port,
        method: 'POST',
        path: '/rpc',
        headers: { ...headers, 'content-length': bytes },
      })
      asking.on('error', () => undefined)
      asking.flushHeaders()
      return new Promise(resolve => {
        asking.once('response', response => {
          resolve([response.statusCode, response.headers.connection])
          asking.destroy()
        })
      })
    }
    expect(await declaring(1000, {})).toEqual([401, 'close'])
    expect(await declaring(1_000_000_000, bearer)).toEqual([413, 'close'])
  })

  test('a token that asks too often: 429; others, and workers, go on', async () => {
    const router = await listening({ admin_rate_limit: 1 })
    const { call, admin } = router
    await call('bot.put', { bot: { id: 'w', endpoint: { kind: 'pull' } } })
    const often = await call('token.create', { name: 'often', role: 'viewer' })
    const other = await call('token.create', { name: 'other', role: 'viewer' })
    const works = await call('token.create', { name: 'w', role: 'worker', bot_id: 'w' })
    const statuses = async (token: string): Promise<number[]> =>
      (await Promise.all(Array.from({ length: 12 }, () => callWith(admin, token, 'rpc.health')))).map(
        ({ status }) => status,
      )
    expect(await statuses(often.token)).toContain(429)
    expect((await callWith(admin, other.token, 'rpc.health')).status).toBe(200)
    expect(new Set(await statuses(works.token))).toEqual(new Set([200]))
    const { headers, body } = await until(async () => {
      const answer = await ask(admin, { body: callOf('rpc.health'), headers: bearerOf(often.token) })
      return answer.status === 429 ? answer : undefined
    })
    expect([headers['retry-after'], body]).toEqual(['1', expect.objectContaining({ code: 'E_RATE_LIMITED' })])
  })

  test('after many wrong tokens: 429; the right one is taken all the same', async () => {
    const { admin } = await listening({ auth_failures_per_minute: 3 })
    const statuses: number[] = []
    for (let count = 0; count < 4; count++)
      statuses.push((await ask(admin, { body: callOf('router.status') })).status)
    expect(statuses).toEqual([401, 401, 401, 429])
    expect((await ask(admin, { body: callOf('router.status'), headers: bearer })).status).toBe(200)
  })

  test(
    'a file with another token counts without a restart; one without a token lets nobody in',
    { timeout: 30_000 },
    async () => {
      const file = join(freshDirectory(), 'token')
      writeFileSync(file, `${token}\n`, { mode: 0o600 })
      const flags = { admin_address: '127.0.0.1:0', auth_failures_per_minute: 1000 }
      const { router } = await freshRouter(flags, { SIGNALBOX_ADMIN_TOKEN_FILE: file })
      const statusWith = async (given: string): Promise<number> =>
        (
          await ask(router.admin!, {
            body: callOf('rpc.health'),
            headers: { authorization: `Bearer ${given}` },
          })
        ).status
      expect(await statusWith(token)).toBe(200)
      const next = token.replace('1', '2')
      writeFileSync(file, next)
      await until(async () => (await statusWith(next)) === 200)
      expect(await statusWith(token)).toBe(401)
      writeFileSync(file, '')
      await until(async () => (await statusWith(next)) === 401)
      expect(await statusWith('')).toBe(401)
    },
  )
})

describe('where it was sent to', () => {
  test.each([
    ['127.0.0.1:8021', '127.0.0.1:8021', [], true],
    ['127.0.0.1:8021', 'localhost:9000', [], true],
    ['127.0.0.1:8021', '[::1]:8021', [], true],
    ['127.0.0.1:8021', 'SIGNALBOX.localhost', [], true],
    ['10.0.0.5:8021', '10.0.0.5:8021', [], true],
    ['0.0.0.0:8021', 'box.example.org', ['box.example.org'], true],
    ['/run/signalbox/admin.sock', 'anything', [], true],
    ['127.0.0.1:8021', 'evil.example', [], false],
    ['127.0.0.1:8021', 'localhost.evil.example', [], false],
    ['127.0.0.1:8021', 'evil.example:8021', [], false],
    ['127.0.0.1:8021', 'evil.example#localhost', [], false],
    ['127.0.0.1:8021', '127.0.0.1:8021:80', [], false],
    ['127.0.0.1:8021', '', [], false],
    ['127.0.0.1:8021', 'box.example.org', ['other.example.org'], false],
  ])('listening on %s, Host %j, with names %j: %s', (address, host, names, taken) => {
    const asserting = (): void => assertHost(host, address, names)
    if (taken) expect(asserting).not.toThrow()
    else expect(asserting).toThrow('unknown host')
  })

  test('another host is refused with the right token, too', async () => {
    const { admin } = await listening()
    const answer = await ask(admin, {
      body: callOf('router.status'),
      headers: { ...bearer, host: 'evil.example' },
    })
    expect([answer.status, (answer.body as { code: string }).code]).toEqual([403, 'E_HOST'])
  })

  test.each([
    ['127.0.0.1:8021', true],
    ['127.8.9.1:1', true],
    ['[::1]:8021', true],
    ['localhost:8021', true],
    ['./admin.sock', true],
    ['0.0.0.0:8021', false],
    ['[::]:8021', false],
    ['192.168.1.5:8021', false],
    ['127.0.0.1.evil.example:8021', false],
    ['example.org:8021', false],
  ])('%s can be reached from this machine alone: %s', (address, local) => {
    expect(isLocal(address)).toBe(local)
  })
})

describe('what is answered', () => {
  test('the contract: a call, a batch, a notification, a write', async () => {
    const { admin, call } = await listening()
    const one = await ask(admin, { body: callOf('router.status', {}, 'a'), headers: bearer })
    expect(one).toMatchObject({ status: 200, body: { id: 'a', result: { admin_address: admin } } })
    expect(one.headers).toMatchObject({
      'cache-control': 'no-store',
      'cross-origin-resource-policy': 'same-origin',
    })
    expect(one.headers).not.toHaveProperty('access-control-allow-origin')
    const batch = await ask(admin, {
      body: `[${callOf('rpc.health', {}, 1)},${callOf('nothing', {}, 2)}]`,
      headers: bearer,
    })
    expect(batch).toMatchObject({
      status: 200,
      body: [{ result: { status: 'ok' } }, { error: { code: -32601 } }],
    })
    const notified = await ask(admin, {
      body: JSON.stringify({ jsonrpc: '2.0', method: 'router.pause', params: { reason: 'over HTTP' } }),
      headers: bearer,
    })
    expect([notified.status, notified.body]).toEqual([204, undefined])
    expect((await call('router.status', {})).paused).toBe('over HTTP')
    expect((await ask(admin, { method: 'GET', path: '/openrpc.json', headers: bearer })).body).toMatchObject({
      openrpc: '1.3.2',
    })
  })

  test.each([
    [{ method: 'GET' }, 405],
    [{ path: '/nothing' }, 404],
    [{ headers: { ...bearer, 'content-type': 'text/plain' }, body: '{}' }, 415],
    [{ body: 'no JSON' }, 200],
    [{ headers: { ...bearer, 'transfer-encoding': 'gzip, chunked' } }, 400],
  ] as [Asked, number][])('%j: %i', async (asked, status) => {
    const { admin } = await listening()
    const answer = await ask(admin, { headers: bearer, ...asked })
    expect(answer.status).toBe(status)
    if (status === 200) expect(answer.body).toMatchObject({ error: { code: -32700 } })
  })

  test('to strangers only whether it is well', async () => {
    const { admin } = await listening()
    expect(await ask(admin, { method: 'GET', path: '/health' })).toMatchObject({
      status: 200,
      body: { status: 'ok' },
    })
    expect(Object.keys((await ask(admin, { method: 'GET', path: '/health' })).body as object)).toEqual([
      'status',
    ])
  })

  test('on a socket the token is needed, too', async () => {
    const path = join(freshDirectory(), 'admin.sock')
    const { router } = await freshRouter({ admin_address: path }, { SIGNALBOX_ADMIN_TOKEN: token })
    expect(router.admin).toBe(path)
    expect((await ask(path, { body: callOf('rpc.health') })).status).toBe(401)
    expect((await ask(path, { body: callOf('rpc.health'), headers: bearer })).status).toBe(200)
  })

  test('a subscription says where it can be had', async () => {
    const { admin } = await listening()
    const { body } = await ask(admin, { body: callOf('run.subscribe'), headers: bearer })
    expect(body).toMatchObject({
      error: { message: expect.stringContaining('over HTTP') as string, data: { code: 'E_INVALID_STATE' } },
    })
  })
})

describe('a worker', () => {
  const access = new TokenAccess(
    environmentPrincipal(undefined),
    compileContract(),
    { run: async () => null },
    new Set(),
  )
  const asked = (method: string, params: Record<string, unknown>): Promise<unknown> =>
    access.admit(method, params)

  test('waits at most 25 s, before a proxy closes the connection', async () => {
    expect(await asked('run.claim', { wait_ms: 60_000 })).toEqual({ wait_ms: 25_000 })
    expect(
      await Promise.all([
        asked('run.claim', { wait_ms: 25_000 }),
        asked('run.claim', {}),
        asked('run.claim', { wait_ms: 'x' }),
      ]),
    ).toEqual([{}, {}, {}])
  })

  test('claims a run and completes it; one that went away while it waited leaves the run to the next', async () => {
    const { admin, call } = await listening()
    await call('bot.put', { bot: { id: 'w', endpoint: { kind: 'pull' } } })
    await call('source.put', { source: { id: 's', source_type: 'service' } })
    await call('trigger.put', { trigger: { id: 't', filter: { type: ['job'] }, action: { bot_id: 'w' } } })
    const gone = new AbortController()
    const waiting = ask(admin, {
      body: callOf('run.claim', { bot_id: 'w', wait_ms: 20_000 }),
      headers: bearer,
      signal: gone.signal,
    })
    await until(async () => (await call('bot.get', { bot_id: 'w' })).bot.last_heard_at !== undefined)
    gone.abort()
    await expect(waiting).rejects.toThrow()
    const { runs } = await call('event.emit', { source_id: 's', type: 'job', payload: {} })
    const claimed = await ask(admin, {
      body: callOf('run.claim', { bot_id: 'w', wait_ms: 20_000 }),
      headers: bearer,
    })
    const [{ run_id, lease_token }] = (
      claimed.body as { result: { leases: [{ run_id: string; lease_token: string }] } }
    ).result.leases
    expect(run_id).toBe(runs[0])
    await ask(admin, {
      body: callOf('run.complete', { run_id, lease_token, result: { done: true } }),
      headers: bearer,
    })
    expect((await call('run.get', { run_id })).run).toMatchObject({
      state: 'completed',
      attempt: 1,
      result: { done: true },
    })
  })
})

describe('the client over HTTP', () => {
  async function clientOf(
    given = token,
    prefix = '',
  ): Promise<{ router: TestRouter & { admin: string }; client: SignalboxHttpClient; options: HttpOptions }> {
    const router = await listening()
    const options = { url: `${router.admin}${prefix}`, token_file: join(router.directory, 'client.token') }
    writeFileSync(options.token_file, `${given}\n`)
    const client = new SignalboxHttpClient(options)
    onTestFinished(() => client.close())
    return { router, client, options }
  }

  test('calls methods, with numbers that keep their digits, and reports errors of the router', async () => {
    const { client } = await clientOf()
    await client.call('source.put', { source: { id: 's', source_type: 'service' } })
    const { event_id } = await client.call('event.emit', {
      source_id: 's',
      type: 't',
      payload: { id: new ExactNumber('813683310949021977') },
    })
    expect(String(((await client.call('event.get', { event_id })).payload as { id: unknown }).id)).toBe(
      '813683310949021977',
    )
    await expect(client.call('source.get', { source_id: 'x' })).rejects.toMatchObject({
      name: 'RpcError',
      code: -32002,
    })
    await expect(client.call('source.get', {} as never)).rejects.toMatchObject({
      code: -32602,
      data: { path: 'source_id' },
    })
  })

  test('a wrong token is an error of the router, a missing file is none', async () => {
    const { client, options } = await clientOf(`${token}x`)
    await expect(client.call('rpc.health', {})).rejects.toMatchObject({
      name: 'RpcError',
      code: -32001,
      data: { code: 'E_TOKEN' },
    })
    writeFileSync(options.token_file, token)
    expect((await client.call('rpc.health', {})).status).toBe('ok')
    rmSync(options.token_file)
    await expect(client.call('rpc.health', {})).rejects.toMatchObject({
      name: 'ConnectionError',
      message: expect.stringContaining('client.token') as string,
    })
  })

  test('what is no router, and nobody there, are connection errors', async () => {
    const { client } = await clientOf(token, '/elsewhere')
    await expect(client.call('rpc.health', {})).rejects.toMatchObject({
      name: 'ConnectionError',
      message: expect.stringContaining('HTTP 404') as string,
    })
    const nobody = new SignalboxHttpClient({ url: 'http://127.0.0.1:1', token_file: '/dev/null' })
    await expect(nobody.call('rpc.health', {})).rejects.toMatchObject({
      name: 'ConnectionError',
      message: expect.stringContaining('ECONNREFUSED') as string,
    })
    expect(() => new SignalboxHttpClient({ url: 'unix:/x', token_file: '/dev/null' })).toThrow(
      'must begin with http:// or https://',
    )
    await expect(
      worker({
        url: 'http://127.0.0.1:1',
        token_file: '/nonexistent/token',
        bot_id: 'w',
        handler: async () => null,
      }),
    ).rejects.toThrow('/nonexistent/token')
  })

  test('a worker works through runs and stops while it waits for more', async () => {
    const { router, options } = await clientOf()
    const { call } = router
    await call('bot.put', { bot: { id: 'w', endpoint: { kind: 'pull' } } })
    await call('source.put', { source: { id: 's', source_type: 'service' } })
    await call('trigger.put', {
      trigger: {
        id: 't',
        filter: { type: ['job'] },
        action: { bot_id: 'w', inputs: { n: '{{ payload.n }}' } },
      },
    })
    const stop = new AbortController()
    const working = worker({
      ...options,
      bot_id: 'w',
      signal: stop.signal,
      async handler({ delivery, log }) {
        const { n } = delivery.inputs as { n: number }
        await log(`at ${n}`)
        if (n === 2) throw new Error('broken')
        return { n }
      },
    })
    const emit = async (n: number): Promise<string> =>
      (await call('event.emit', { source_id: 's', type: 'job', payload: { n } })).runs[0]!
    const [one, two] = [await emit(1), await emit(2)]
    expect(await ended(router, one)).toMatchObject({ state: 'completed', attempt: 1, result: { n: 1 } })
    expect(await ended(router, two)).toMatchObject({ state: 'failed', error: 'broken' })
    expect((await call('run.output', { run_id: one })).parts).toMatchObject([{ text: 'at 1\n' }])
    stop.abort()
    await working
    // Once the router has noticed that the connection is closed, another worker gets what comes.
    await until(async () => {
      const run_id = await emit(3)
      const { leases } = await call('run.claim', { bot_id: 'w', wait_ms: 1000 })
      return leases.some(lease => lease.run_id === run_id)
    })
  })
})
