// The control socket as bytes: both framings, limits, and where it may be bound.
import { spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { request } from 'node:http'
import { describe, expect, onTestFinished, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import { readConfig } from '../../src/config.ts'
import { compileContract } from '../../src/contract/validators.ts'
import { Caller } from '../../src/api/caller.ts'
import { Jsonrpc, type Handlers } from '../../src/api/jsonrpc.ts'
import { startRouter } from '../../src/main.ts'
import { ownEnvironment } from '../support/processes.ts'
import { freshDirectory, freshRouter, quiet, until } from '../support/router.ts'
import { noAudit } from '../support/no-audit.ts'

/** Everything that comes back until the other side closes. */
function all(socket: Socket): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  let text = ''
  socket.on('data', chunk => (text += chunk.toString()))
  socket.on('error', () => undefined)
  socket.on('close', () => resolve(text))
  return promise
}

function opened(path: string): Socket {
  const socket = connect(path)
  onTestFinished(() => void socket.destroy())
  return socket
}

function http(
  socketPath: string,
  method: string,
  path: string,
  body?: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: string; headers: Record<string, unknown> }> {
  const { promise, resolve, reject } = Promise.withResolvers<{
    status: number
    body: string
    headers: Record<string, unknown>
  }>()
  const sent = request(
    {
      socketPath,
      method,
      path,
      headers: {
        ...(body === undefined
          ? {}
          : { 'content-length': Buffer.byteLength(body), 'content-type': 'application/json' }),
        ...headers,
      },
    },
    answer => {
      let text = ''
      answer.on('data', chunk => (text += String(chunk)))
      answer.on('end', () => resolve({ status: answer.statusCode!, body: text, headers: answer.headers }))
    },
  )
  sent.on('error', reject)
  sent.end(body)
  return promise
}

const ping = (id: number | string): string =>
  `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"method":"event.query","params":{"limit":1}}`

describe('HTTP', () => {
  test('what the Hero neighbours expect', async () => {
    const { router } = await freshRouter()
    const manifest = await http(router.socket, 'GET', '/.well-known/heroservice.json')
    expect(JSON.parse(manifest.body)).toMatchObject({
      service_id: 'signalbox',
      protocol: 'openrpc',
      socket: 'rpc',
    })
    expect(JSON.parse((await http(router.socket, 'GET', '/openrpc.json')).body)).toMatchObject({
      openrpc: '1.3.2',
      info: { title: 'Signalbox' },
    })
    expect(JSON.parse((await http(router.socket, 'GET', '/health')).body)).toMatchObject({ status: 'ok' })
    expect(JSON.parse((await http(router.socket, 'POST', '/rpc', ping(1))).body)).toEqual({
      jsonrpc: '2.0',
      id: 1,
      result: { events: [] },
    })
  })
  test.each([
    ['POST', '/rpc', '{"jsonrpc":"2.0","method":"event.query"}', {}, 204, ''],
    ['POST', '/rpc', '[{"jsonrpc":"2.0","method":"event.query"}]', {}, 204, ''],
    ['POST', '/rpc', '{', {}, 200, '-32700'],
    ['POST', '/rpc', '{}', { 'content-type': 'text/plain' }, 415, 'E_UNSUPPORTED_MEDIA_TYPE'],
    ['GET', '/rpc', undefined, {}, 405, 'E_METHOD_NOT_ALLOWED'],
    ['POST', '/health', '{}', {}, 405, 'E_METHOD_NOT_ALLOWED'],
    ['GET', '/', undefined, {}, 404, 'E_NOT_FOUND'],
    ['GET', '/index.html', undefined, {}, 404, 'E_NOT_FOUND'],
    ['POST', '/webhook/x', '{}', {}, 404, 'E_NOT_FOUND'],
    ['POST', '/rpc', `"${'x'.repeat(8_000_000)}"`, {}, 413, 'E_TOO_LARGE'],
  ] as [string, string, string | undefined, Record<string, string>, number, string][])(
    '%s %s, row %#',
    async (method, path, body, headers, status, part) => {
      const { router } = await freshRouter()
      const answer = await http(router.socket, method, path, body, headers)
      expect(answer.status).toBe(status)
      expect(answer.body).toContain(part)
      expect(answer.body).not.toContain('<html')
    },
  )
})

describe('lines', () => {
  test('pipelined calls are answered as they finish, a last one without its newline too', async () => {
    const { router } = await freshRouter()
    const socket = opened(router.socket)
    const answers = all(socket)
    socket.end(`${ping(1)}\r\n\n${ping(2)}\n${ping(3)}`)
    const lines = (await answers)
      .trim()
      .split('\n')
      .map(line => (JSON.parse(line) as { id: number }).id)
    expect(lines.toSorted((a, b) => a - b)).toEqual([1, 2, 3])
  })

  test('one byte at a time', async () => {
    const { router } = await freshRouter()
    const socket = opened(router.socket)
    socket.setNoDelay(true)
    const answers = all(socket)
    for (const byte of `${ping(1)}\n`) {
      socket.write(byte)
      await new Promise(resolve => setImmediate(resolve))
    }
    socket.end()
    expect(JSON.parse(await answers)).toMatchObject({ id: 1, result: { events: [] } })
  })

  test('a message beyond the limit is refused and not done; what was asked before is answered', async () => {
    const { router, call } = await freshRouter({ max_body_bytes: 100_000 })
    await call('source.put', { source: { id: 's', source_type: 'service' } })
    const huge = `{"jsonrpc":"2.0","id":2,"method":"event.emit","params":{"source_id":"s","type":"x","payload":"${'x'.repeat(6_000_000)}"}}`
    for (const end of ['\n', '']) {
      const socket = opened(router.socket)
      const answers = all(socket)
      socket.end(`${ping(1)}\n${huge}${end}`)
      const lines = (await answers)
        .trim()
        .split('\n')
        .map(line => JSON.parse(line) as { id: number | null; error?: { code: number } })
      expect(lines.find(line => line.id === 1)).toMatchObject({ result: { events: [] } })
      expect(lines.find(line => line.id === null)).toMatchObject({ error: { code: -32004 } })
    }
    const payload = 'x'.repeat(100_000)
    await expect(call('event.emit', { source_id: 's', type: 'x', payload })).rejects.toMatchObject({
      code: -32004,
    })
    expect((await call('event.query', {})).events).toEqual([])
  })

  test('64 requests in flight, more are refused', async () => {
    const { router, call } = await freshRouter()
    await call('source.put', { source: { id: 's', source_type: 'service' } })
    const socket = opened(router.socket)
    const answers = all(socket)
    socket.end(
      Array.from(
        { length: 100 },
        (_, id) =>
          `{"jsonrpc":"2.0","id":${id},"method":"event.emit","params":{"source_id":"s","type":"x","payload":${id}}}\n`,
      ).join(''),
    )
    const lines = (await answers)
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as { result?: unknown; error?: { code: number } })
    expect(lines).toHaveLength(100)
    const refused = lines.filter(line => line.error?.code === -32005).length
    expect(refused).toBe(36)
    expect((await call('event.query', { limit: 500 })).events).toHaveLength(100 - refused)
  })

  test('64 connections; those that come and go without a word leave no trace', async () => {
    const { router } = await freshRouter()
    for (let count = 0; count < 200; count++) {
      const socket = connect(router.socket)
      await new Promise(resolve => socket.once('connect', resolve))
      socket.destroy()
    }
    const kept = await Promise.all(
      Array.from({ length: 63 }, async () => {
        const socket = opened(router.socket)
        await new Promise(resolve => socket.once('connect', resolve))
        return socket
      }),
    )
    expect(await all(opened(router.socket))).toBe('')
    kept[0]!.write(`${ping('kept')}\n`)
    expect(await new Promise(resolve => kept[0]!.once('data', data => resolve(data.toString())))).toContain(
      'kept',
    )
    kept[1]!.end()
    await new Promise(resolve => kept[1]!.once('close', resolve))
    const client = await until(() =>
      SignalboxClient.connect(router.socket).then(
        async each =>
          (await each.call('event.query', {}).catch(() => undefined)) === undefined ? undefined : each,
        () => undefined,
      ),
    )
    client.close()
  })

  test('a client that asks without reading is not read from, and harms nobody', async () => {
    const { router, call } = await freshRouter()
    const socket = opened(router.socket)
    socket.pause()
    const discover = '{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}\n'
    for (let count = 0; count < 200; count++) socket.write(discover.repeat(10))
    expect(await call('rpc.health', {})).toMatchObject({ status: 'ok' })
  })

  test('errors without an id reach the caller of the client', async () => {
    const { client } = await freshRouter()
    let deep: unknown = 1
    for (let depth = 0; depth < 70; depth++) deep = [deep]
    await expect(
      client.call('event.emit', { source_id: 's', type: 'x', payload: deep }),
    ).rejects.toMatchObject({
      code: -32600,
      message: 'JSON nests deeper than 64',
    })
  })
})

describe('where it is bound', () => {
  const start = (directory: string, flags: Record<string, unknown>): ReturnType<typeof startRouter> =>
    startRouter(
      readConfig({ HOME: directory }, { state_dir: join(directory, 'state'), ...quiet, ...flags }),
      {
        env: { HOME: directory },
        onFatal: () => undefined,
      },
    )

  test('private from its first moment, whatever the umask', async () => {
    const directory = freshDirectory()
    const before = process.umask(0)
    const router = await start(directory, { socket: join(directory, 'run', 'signalbox', 'rpc.sock') })
    process.umask(before)
    expect(statSync(router.socket).mode & 0o777).toBe(0o600)
    expect(statSync(join(directory, 'run', 'signalbox')).mode & 0o777).toBe(0o700)
    await router.stop()
    await router.stop()
    expect(existsSync(router.socket)).toBe(false)
  })

  test('a socket that nobody answers is replaced, a living one never', async () => {
    const directory = freshDirectory()
    const socket = join(directory, 'rpc.sock')
    const dead = spawn(process.execPath, [
      '-e',
      `require('net').createServer().listen('${socket}', () => process.kill(process.pid, 'SIGKILL'))`,
    ])
    await new Promise(resolve => dead.once('exit', resolve))
    expect(lstatSync(socket).isSocket()).toBe(true)
    const router = await start(directory, { socket })
    await expect(start(directory, { socket })).rejects.toMatchObject({ exitCode: 75 })
    await expect(start(directory, { socket, state_dir: join(directory, 'other') })).rejects.toMatchObject({
      exitCode: 73,
    })
    expect((await http(router.socket, 'GET', '/health')).status).toBe(200)
    await router.stop()
  })

  test.each([
    ['a regular file', (path: string): void => writeFileSync(path, 'keep me'), 73],
    ['a directory', (path: string): void => mkdirSync(path), 73],
    ['a symlink', (path: string): void => symlinkSync('/nowhere', path), 73],
    ['a directory that others write', (path: string): void => chmodSync(join(path, '..'), 0o777), 77],
  ])('%s is refused, and left as it is', async (_name, prepare, exitCode) => {
    const directory = freshDirectory()
    mkdirSync(join(directory, 'run'), { mode: 0o700 })
    const socket = join(directory, 'run', 's')
    prepare(socket)
    const before = lstatSync(socket, { throwIfNoEntry: false })?.ino
    await expect(start(directory, { socket })).rejects.toMatchObject({ exitCode })
    expect(lstatSync(socket, { throwIfNoEntry: false })?.ino).toBe(before)
    const again = await start(directory, { socket: join(directory, 'fine') })
    await again.stop()
  })

  test.each([107, 108])('a path of %i bytes', async length => {
    const directory = freshDirectory()
    const socket = join(directory, 'x'.repeat(length - directory.length - 1))
    const started = start(directory, { socket })
    if (length > 107) await expect(started).rejects.toMatchObject({ exitCode: 78 })
    else await (await started).stop()
  })

  test('state directories that others can read, and addresses in use, are refused', async () => {
    const directory = freshDirectory()
    mkdirSync(join(directory, 'state'), { mode: 0o755 })
    await expect(start(directory, { socket: join(directory, 's') })).rejects.toMatchObject({ exitCode: 77 })
    chmodSync(join(directory, 'state'), 0o700)
    const other = createServer()
    await new Promise<void>(resolve => other.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void other.close())
    const { port } = other.address() as { port: number }
    await expect(
      start(directory, { socket: join(directory, 's'), intake_address: `127.0.0.1:${port}` }),
    ).rejects.toMatchObject({ exitCode: 73 })
    await expect(
      start(directory, { socket: join(directory, 's'), intake_address: 'nonsense' }),
    ).rejects.toMatchObject({ exitCode: 78 })
    const router = await start(directory, {
      socket: join(directory, 's'),
      intake_address: join(directory, 'hooks'),
    })
    expect((await http(router.intake, 'GET', '/health')).body).toBe('{"status":"ok"}')
    await router.stop()
  })

  test.each([
    [{ log_level: 'loud' }, 'log_level must be one of'],
    [{ max_active: 0 }, 'max_active must be >= 1'],
    [{ egress_allow: ['x'] }, 'egress_allow must list'],
    [{ nonsense: 1 }, 'nonsense must be a known key'],
  ])('a wrong configuration is refused with its key: %j', async (flags, message) => {
    const directory = freshDirectory()
    await expect(
      (async () => start(directory, { socket: join(directory, 's'), ...flags }))(),
    ).rejects.toMatchObject({
      exitCode: 78,
      message: expect.stringContaining(message) as string,
    })
  })

  test('a configuration file, wrong and right', async () => {
    const directory = freshDirectory()
    const file = join(directory, 'config.json')
    expect(() => readConfig({ SIGNALBOX_CONFIG: file }, {})).toThrow('cannot be read')
    writeFileSync(file, '{ not json')
    expect(() => readConfig({ SIGNALBOX_CONFIG: file }, {})).toThrow('is not valid JSON')
    writeFileSync(file, '{"max_active": 3, "state_dir": "/a"}')
    expect(
      readConfig({ SIGNALBOX_CONFIG: file, SIGNALBOX_STATE_DIR: '/b' }, { log_level: 'warn' }),
    ).toMatchObject({
      max_active: 3,
      state_dir: '/b',
      log_level: 'warn',
    })
    expect(() => readConfig({ NODE_TLS_REJECT_UNAUTHORIZED: '0' }, {})).toThrow('certificate')
    expect(readFileSync(file, 'utf8')).toContain('3')
  })
})

test('what a handler throws does not leave the router; its log has it', async () => {
  const bugs: unknown[] = []
  const broken = new Proxy(
    {},
    { get: () => async () => Promise.reject(new Error('a password in a message')) },
  ) as Handlers
  const jsonrpc = new Jsonrpc({
    contract: compileContract(),
    handlers: broken,
    limits: { json_depth: 64, json_tokens: 1000 },
    audit: noAudit,
    logBug: error => bugs.push(error),
  })
  const answer = await jsonrpc.answer(
    Buffer.from('{"jsonrpc":"2.0","id":1,"method":"rpc.health"}'),
    new Caller(1),
  )
  expect(JSON.parse(answer!)).toEqual({
    jsonrpc: '2.0',
    id: 1,
    error: { code: -32603, message: 'this is a bug in the router; its log has the details' },
  })
  expect(bugs).toMatchObject([{ message: 'a password in a message' }])
})

test('few calls with large answers are worked on at once', async () => {
  let [atOnce, most, begun] = [0, 0, 0]
  const { promise: opened, resolve: open } = Promise.withResolvers<void>()
  const handler = async (): Promise<unknown> => {
    begun++
    most = Math.max(most, ++atOnce)
    await opened
    atOnce--
    return { event: {} }
  }
  const handlers = new Proxy({}, { get: () => handler }) as Handlers
  const jsonrpc = new Jsonrpc({
    contract: compileContract(),
    handlers,
    limits: { json_depth: 64, json_tokens: 1000 },
    audit: noAudit,
    logBug: () => undefined,
  })
  const text = Buffer.from(
    '{"jsonrpc":"2.0","id":1,"method":"event.get","params":{"event_id":"01997f3e-5b00-7000-8000-0000000000e1"}}',
  )
  const line = {
    send: () => undefined,
    hasRoom: () => true,
    fits: () => true,
    drained: () => Promise.resolve(),
  }
  // A connection has one of them at a time; those of odd numbers go.
  const callers = Array.from({ length: 8 }, () => new Caller(64, line))
  const answers = Array.from({ length: 40 }, (_, index) => jsonrpc.answer(text, callers[index % 8]!))
  await until(async () => begun === 4)
  for (const [index, caller] of callers.entries()) if (index % 2 === 1) caller.close()
  open()
  expect((await Promise.all(answers)).filter(answer => answer !== undefined)).toHaveLength(20)
  // Of the connections that are gone, only what had begun was worked on.
  expect([most, begun]).toEqual([4, 22])
})

test('a client that reads gets all large answers that it asks for together; one that does not read is refused', async () => {
  const handlers = new Proxy({}, { get: () => () => Promise.resolve({ event: {} }) }) as Handlers
  const jsonrpc = new Jsonrpc({
    contract: compileContract(),
    handlers,
    limits: { json_depth: 64, json_tokens: 1000 },
    audit: noAudit,
    logBug: () => undefined,
  })
  const text = Buffer.from(
    '{"jsonrpc":"2.0","id":1,"method":"event.get","params":{"event_id":"01997f3e-5b00-7000-8000-0000000000e1"}}',
  )
  const asked = async (reads: boolean): Promise<string[]> => {
    let unread = false
    const drained = async (): Promise<void> => {
      if (!reads) await new Promise(() => undefined)
      await new Promise(setImmediate)
      unread = false
    }
    const caller = new Caller(64, {
      send: () => undefined,
      hasRoom: () => !unread,
      fits: () => !unread,
      drained,
    })
    const answered = async (): Promise<string> => {
      const answer = await jsonrpc.answer(text, caller)
      unread = true
      return answer!
    }
    const answers = await Promise.all(Array.from({ length: 32 }, answered))
    return answers.map(answer => ('error' in JSON.parse(answer) ? 'refused' : 'answered'))
  }
  expect(new Set(await asked(true))).toEqual(new Set(['answered']))
  expect((await asked(false)).filter(each => each === 'answered')).toHaveLength(1)
})

test('of many routers that start at once on one state directory, one runs and the others say so', async () => {
  const directory = freshDirectory()
  const env = {
    ...ownEnvironment,
    SIGNALBOX_STATE_DIR: join(directory, 'state'),
    SIGNALBOX_SOCKET: join(directory, 's'),
    SIGNALBOX_INTAKE_ADDRESS: '127.0.0.1:0',
    SIGNALBOX_LOG_LEVEL: 'silent',
  }
  const started = Array.from({ length: 8 }, () =>
    spawn(process.execPath, ['src/signalbox.ts', 'serve'], { env, stdio: ['ignore', 'pipe', 'ignore'] }),
  )
  onTestFinished(() => started.forEach(each => each.kill('SIGKILL')))
  const outcomes = await Promise.all(
    started.map(
      each =>
        new Promise<string>(resolve => {
          each.stdout.once('data', () => resolve('ready'))
          each.once('exit', code => resolve(`exit ${code}`))
        }),
    ),
  )
  expect(outcomes.toSorted((a, b) => (a < b ? -1 : 1))).toEqual([
    ...Array.from({ length: 7 }, () => 'exit 75'),
    'ready',
  ])
  expect((await http(join(directory, 's'), 'GET', '/health')).status).toBe(200)
})

test('times that no calendar has are refused', async () => {
  const { call } = await freshRouter()
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  const far = 8_640_000_000_000_000
  await expect(
    call('event.emit', { source_id: 's', type: 'x', payload: {}, deliver_at: far }),
  ).rejects.toMatchObject({ code: -32602 })
  await expect(call('source.preview', { expression: '* * * * *', after: far })).rejects.toMatchObject({
    code: -32602,
  })
  const cron = { id: 'c', source_type: 'cron' as const, config: { expression: '* * * * *', start_at: far } }
  await expect(call('source.put', { source: cron })).rejects.toMatchObject({
    code: -32602,
    data: { path: 'source.config.start_at' },
  })
  const last = 253_402_300_799_999
  await expect(call('source.preview', { expression: '* * * * *', after: last })).rejects.toMatchObject({
    code: -32602,
  })
})
