// The socket of a running command: what it allows, what it forbids, and that it ends with the attempt.
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join, resolve } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { SignalboxClient, type Methods } from '../../src/client/client.ts'
import { methodNames } from '../../src/contract/types.ts'
import { commandRules } from '../../src/api/command-access.ts'
import { signalbox } from '../support/command-line.ts'
import { ended, freshDirectory, freshRouter, until, type TestRouter } from '../support/router.ts'

const forbidden = { code: -32015 }

interface Started {
  router: TestRouter
  run_id: string
  event_id: string
  socket: string
  client: SignalboxClient
  /** Lets the command end. */
  finish: () => Promise<Methods['run.get']['result']['run']>
}

/** Waits until it may end; what it finds in its environment is in env, its result in result. */
const script =
  'cat > /dev/null; env > env.new; mv env.new "env.$SIGNALBOX_RUN_ID"; while [ ! -e go ]; do sleep 0.02; done; [ ! -e result ] || cat result'
const waiting = ['/bin/sh', '-c', script]

async function putBot({ call, directory }: TestRouter, more: object = {}): Promise<void> {
  await call('bot.put', {
    bot: { id: 'bot', endpoint: { kind: 'command', argv: waiting, cwd: directory, ...more } },
  })
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  await call('trigger.put', {
    trigger: { id: 't', event_source_id: 's', filter: { type: ['go'] }, action: { bot_id: 'bot' } },
  })
}

async function environmentOf({ directory }: TestRouter, run_id: string): Promise<Record<string, string>> {
  const file = join(directory, `env.${run_id}`)
  await until(async () => existsSync(file))
  return Object.fromEntries(
    readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map(line => line.split(/=(.*)/).slice(0, 2) as [string, string]),
  )
}

async function started(more: object = {}, flags: Record<string, unknown> = {}): Promise<Started> {
  const router = await freshRouter(flags)
  await putBot(router, more)
  const { event_id, runs } = await router.call('event.emit', {
    source_id: 's',
    type: 'go',
    payload: { n: 1 },
  })
  const run_id = runs[0]!
  const socket = (await environmentOf(router, run_id)).SIGNALBOX_SOCKET!
  const client = await SignalboxClient.connect(socket)
  onTestFinished(() => client.close())
  const finish = (): ReturnType<Started['finish']> => {
    writeFileSync(join(router.directory, 'go'), '')
    return ended(router, run_id)
  }
  return { router, run_id, event_id, socket, client, finish }
}

/** A call over HTTP: its status and its answer. */
function post(socketPath: string, body: unknown): Promise<{ status: number; answer: unknown }> {
  return new Promise((done, failed) => {
    const asked = request(
      { socketPath, path: '/rpc', method: 'POST', headers: { 'content-type': 'application/json' } },
      answer => {
        let text = ''
        answer.on('data', chunk => (text += String(chunk)))
        answer.on('end', () => done({ status: answer.statusCode!, answer: JSON.parse(text) }))
      },
    )
    asked.on('error', failed)
    asked.end(JSON.stringify(body))
  })
}

describe('what it allows', () => {
  test('is said of every method of the contract', async () => {
    const { client, finish } = await started()
    const found: [string, boolean][] = []
    for (const method of methodNames) {
      const error = await client.call(method, {}).then(
        () => undefined,
        (failure: unknown) => failure as { code: number; message: string; data: object },
      )
      if (error?.code === -32015)
        expect(error).toMatchObject({
          message: expect.stringContaining(method) as string,
          data: { permission: method },
        })
      found.push([method, error?.code !== -32015])
    }
    expect(found).toEqual(methodNames.map(method => [method, commandRules[method] !== undefined]))
    const allowed = found.filter(([, isAllowed]) => isAllowed).map(([method]) => method)
    const ofRuns = ['run.get', 'run.log', 'run.output', 'run.progress']
    expect(allowed.toSorted()).toEqual([
      'event.dispatch',
      'event.emit',
      'event.get',
      'rpc.cancel',
      'rpc.discover',
      'rpc.health',
      ...ofRuns,
    ])
    await finish()
  })

  test('control: the control socket forbids none of them', async () => {
    const { router, client, finish } = await started({ control: true })
    expect(client).toBeDefined()
    expect((await client.call('router.status', {})).version).toBe(
      (await router.call('router.status', {})).version,
    )
    await expect(client.call('run.approve', {} as never)).rejects.toMatchObject({ code: -32602 })
    await finish()
  })

  test('its event and its run, named or implied', async () => {
    const { client, event_id, run_id, finish } = await started()
    expect((await client.call('event.get', { event_id })).payload).toEqual({ n: 1 })
    expect((await client.call('event.get', {} as never)).id).toBe(event_id)
    expect((await client.call('run.get', {} as never)).run).toMatchObject({ id: run_id, state: 'running' })
    await finish()
  })

  test('events and runs of others are forbidden, whether they exist or not', async () => {
    const { router, client, finish } = await started()
    const other = await router.call('event.emit', { source_id: 's', type: 'go', payload: {} })
    const unknown = '01997f3e-5b00-7000-8000-0000000000a1'
    for (const event_id of [other.event_id, unknown, 'x', 7, null])
      await expect(client.call('event.get', { event_id } as never)).rejects.toMatchObject(forbidden)
    for (const run_id of [other.runs[0]!, unknown, 'x', 7, ['x']]) {
      await expect(client.call('run.get', { run_id } as never)).rejects.toMatchObject(forbidden)
      await expect(client.call('run.progress', { run_id, percent: 1 } as never)).rejects.toMatchObject(
        forbidden,
      )
    }
    await finish()
  })

  test('runs that its own events caused or joined can be read', async () => {
    const { router, client, finish } = await started()
    await router.call('bot.put', {
      bot: { id: 'quick', endpoint: { kind: 'command', argv: ['/bin/echo', '{"done": true}'] } },
    })
    const more = (id: string, policy: object): object => ({
      trigger: { id, event_source_id: 's', filter: { type: [id] }, action: { bot_id: 'quick' }, policy },
    })
    await router.call('trigger.put', more('direct', {}))
    await router.call('trigger.put', more('joined', { batch: { max: 2, timeout_ms: 60_000 } }))
    const direct = await client.call('event.emit', { source_id: 's', type: 'direct', payload: {} })
    await ended(router, direct.runs[0]!)
    expect((await client.call('run.get', { run_id: direct.runs[0]! })).run.result).toEqual({ done: true })
    const first = await router.call('event.emit', { source_id: 's', type: 'joined', payload: {} })
    await expect(client.call('run.get', { run_id: first.runs[0]! })).rejects.toMatchObject(forbidden)
    await client.call('event.emit', { source_id: 's', type: 'joined', payload: {} })
    expect((await client.call('run.get', { run_id: first.runs[0]! })).run.id).toBe(first.runs[0])
    await finish()
  })
})

describe('what it emits', () => {
  test('is of its run, whatever the caller says', async () => {
    const { router, client, event_id, run_id, finish } = await started()
    const causation = {
      event_id: '01997f3e-5b00-7000-8000-0000000000e1',
      run_id: '01997f3e-5b00-7000-8000-0000000000a1',
      depth: 0,
    }
    for (const given of [{}, { causation }, { causation: 7 }, { actor: 'ada' }, { actor: 'bot:other' }]) {
      const emitted = await client.call('event.emit', {
        source_id: 's',
        type: 'said',
        payload: {},
        ...given,
      } as never)
      const event = await router.call('event.get', { event_id: emitted.event_id })
      expect(event).toMatchObject({ actor: 'bot:bot', causation: { event_id, run_id, depth: 1 } })
    }
    await router.call('source.put', {
      source: { id: 'inbox', source_type: 'dispatch', config: { workflow_id: 'w' } },
    })
    await router.call('trigger.put', {
      trigger: {
        id: 'w',
        event_source_id: 'inbox',
        filter: { type: ['dispatch'] },
        action: { bot_id: 'bot' },
      },
    })
    const handed = await client.call('event.dispatch', { workflow_id: 'w' })
    expect(await router.call('event.get', { event_id: handed.event_id })).toMatchObject({
      actor: 'bot:bot',
      causation: { run_id },
    })
    await finish()
  })

  test('by position is so too, and numbers keep their digits', async () => {
    const { router, socket, run_id, finish } = await started()
    const text =
      '{"jsonrpc":"2.0","id":1,"method":"event.emit","params":["s","said",{"n":813683310949021977}]}'
    const { answer } = await post(socket, JSON.parse(text) as object)
    const { event_id } = (answer as { result: { event_id: string } }).result
    expect((await router.call('event.get', { event_id })).causation).toMatchObject({ run_id })
    await finish()
  })
})

describe('progress of a command', () => {
  test('is in the history, and its usage counts', async () => {
    const { router, client, run_id, finish } = await started()
    const said = await client.call('run.progress', {
      percent: 50,
      message: 'built',
      usage: { input_tokens: 100, output_tokens: 20 },
    })
    expect(said).toMatchObject({ cancel_requested: false, pause_requested: false })
    await client.call('run.progress', { run_id, usage: { input_tokens: 110 } })
    await expect(client.call('run.progress', { usage: { input_tokens: 1 } })).rejects.toMatchObject({
      code: -32602,
    })
    const { history } = await router.call('run.history', { run_id })
    expect(history.filter(({ move }) => move === 'progress').map(({ reason }) => reason)).toEqual([
      '50 %: built',
    ])
    expect((await router.call('run.get', { run_id })).run.progress).toEqual({
      at: expect.any(Number) as number,
      percent: 50,
      message: 'built',
    })
    // A result that says less than was reported before ends the run all the same.
    writeFileSync(join(router.directory, 'result'), '{"usage": {"input_tokens": 3}}')
    expect(await finish()).toMatchObject({
      state: 'completed',
      usage: { input_tokens: 110, output_tokens: 20 },
    })
  })

  test('what it logs is in the output of its run', async () => {
    const { router, client, run_id, finish } = await started()
    expect(await client.call('run.log', { text: 'half of it' })).toMatchObject({ cancel_requested: false })
    await expect(
      client.call('run.log', { text: 'x', run_id: '01997f3e-5b00-7000-8000-0000000000a1' }),
    ).rejects.toMatchObject(forbidden)
    await expect(router.call('run.log', { text: 'x' })).rejects.toMatchObject({
      code: -32602,
      data: { path: 'run_id' },
    })
    await finish()
    expect((await router.call('run.output', { run_id })).parts).toMatchObject([
      { stream: 'log', text: 'half of it\n' },
    ])
  })

  test('on the control socket needs run and lease', async () => {
    const { router, run_id, finish } = await started()
    await expect(router.call('run.progress', { percent: 1 })).rejects.toMatchObject({
      code: -32602,
      data: { path: 'run_id' },
    })
    await expect(router.call('run.progress', { run_id, percent: 1 })).rejects.toMatchObject({
      code: -32602,
      data: { path: 'lease_token' },
    })
    await expect(
      router.call('run.progress', { run_id, lease_token: 'AAAAAAAAAAAAAAAAAAAAAA', percent: 1 }),
    ).rejects.toMatchObject({ code: -32003 })
    await finish()
  })
})

describe('over HTTP', () => {
  test('forbidden is 403, of a batch each call has its own answer', async () => {
    const { socket, finish } = await started()
    const call = (method: string): object => ({ jsonrpc: '2.0', id: 1, method, params: {} })
    expect(await post(socket, call('run.list'))).toMatchObject({ status: 403, answer: { error: forbidden } })
    expect(await post(socket, call('run.get'))).toMatchObject({
      status: 200,
      answer: { result: { run: { state: 'running' } } },
    })
    expect(await post(socket, [call('run.list'), call('run.get')])).toMatchObject({
      status: 200,
      answer: [{ error: forbidden }, { result: {} }],
    })
    await finish()
  })
})

describe('how long it lasts', () => {
  test('connections are closed with the attempt, and none is taken after it', async () => {
    const { router, client, socket, finish } = await started()
    await client.call('run.get', {} as never)
    expect(statSync(socket).mode & 0o777).toBe(0o600)
    expect(statSync(join(router.directory, 'sockets')).mode & 0o777).toBe(0o700)
    await finish()
    await client.closed
    await expect(SignalboxClient.connect(socket)).rejects.toThrow()
    expect(readdirSync(join(router.directory, 'sockets'))).toEqual([])
  })

  test('each attempt has a name of its own', async () => {
    const { router, socket, finish } = await started()
    const { runs } = await router.call('event.emit', { source_id: 's', type: 'go', payload: {} })
    const second = (await environmentOf(router, runs[0]!)).SIGNALBOX_SOCKET!
    expect(second).not.toBe(socket)
    await finish()
    await ended(router, runs[0]!)
  })

  test('what a router that was killed left behind is removed at the start', async () => {
    const directory = freshDirectory()
    const first = await freshRouter({ state_dir: directory })
    writeFileSync(join(directory, 'sockets', 'left'), '')
    await first.router.stop()
    expect(existsSync(join(directory, 'sockets'))).toBe(false)
    await freshRouter({ state_dir: directory })
    expect(readdirSync(join(directory, 'sockets'))).toEqual([])
  })

  test('a long state directory has its sockets elsewhere', async () => {
    const state_dir = join(freshDirectory(), 'x'.repeat(100))
    const { socket, router, finish } = await started({}, { state_dir })
    expect(Buffer.byteLength(socket)).toBeLessThanOrEqual(107)
    expect(socket).toMatch(/\/signalbox-\w{6}\/[\w-]{8}$/)
    await finish()
    await router.router.stop()
    expect(existsSync(join(socket, '..'))).toBe(false)
  })
})

describe('who gets none', () => {
  const echo = {
    kind: 'command' as const,
    argv: [
      '/bin/sh',
      '-c',
      'cat > /dev/null; echo "${SIGNALBOX_SOCKET:-none}" > asked; echo \'{"approve": true}\'',
    ],
  }

  test.each([
    [{}, 'none'],
    [{ control: true }, 'rpc.sock'],
  ])('an approver with %j is given %s', async (more, expected) => {
    const router = await freshRouter()
    await router.call('bot.put', {
      bot: { id: 'approver', endpoint: { ...echo, cwd: router.directory, ...more } },
    })
    await router.call('bot.put', { bot: { id: 'bot', endpoint: { kind: 'command', argv: ['/bin/true'] } } })
    await router.call('source.put', { source: { id: 's', source_type: 'service' } })
    const policy = { approval: { bot_id: 'approver' } }
    await router.call('trigger.put', {
      trigger: { id: 't', event_source_id: 's', filter: { type: ['go'] }, action: { bot_id: 'bot' }, policy },
    })
    const { runs } = await router.call('event.emit', { source_id: 's', type: 'go', payload: {} })
    expect(await ended(router, runs[0]!)).toMatchObject({ state: 'completed' })
    expect(readFileSync(join(router.directory, 'asked'), 'utf8').trim()).toMatch(new RegExp(`${expected}$`))
  })

  test('a wake call', async () => {
    const router = await freshRouter()
    const wake = { ...echo, cwd: router.directory }
    await router.call('bot.put', {
      bot: { id: 'bot', endpoint: { kind: 'command', argv: ['/bin/true'] }, availability: 'sleeping', wake },
    })
    await router.call('source.put', { source: { id: 's', source_type: 'service' } })
    await router.call('trigger.put', {
      trigger: { id: 't', event_source_id: 's', filter: { type: ['go'] }, action: { bot_id: 'bot' } },
    })
    const { runs } = await router.call('event.emit', { source_id: 's', type: 'go', payload: {} })
    await ended(router, runs[0]!)
    expect(readFileSync(join(router.directory, 'asked'), 'utf8').trim()).toBe('none')
  })
})

test('the command line works within a command', { timeout: 30_000 }, async () => {
  const { router, run_id, finish } = await started()
  const env = await environmentOf(router, run_id)
  const run = (...args: string[]): ReturnType<typeof signalbox> => signalbox(router, args, env)
  expect(await run('emit', 's', 'said', '--payload', '{}')).toMatchObject({ code: 0, err: '' })
  expect(await run('--json', 'runs', 'show', run_id)).toMatchObject({
    code: 0,
    out: expect.stringContaining(run_id) as string,
  })
  expect(await run('rpc', 'run.progress', '{"percent": 10}')).toMatchObject({ code: 0, err: '' })
  const { code, err } = await run('runs', 'list')
  expect(code).toBe(1)
  expect(err).toContain("is not available on a command's own socket")
  expect(resolve(env.SIGNALBOX_SOCKET!)).toContain(router.directory)
  await finish()
})
