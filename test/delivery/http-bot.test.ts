// http bots: what is sent, and what each answer does to the run.
import Database from 'better-sqlite3'
import { createHmac } from 'node:crypto'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { defaultDeniedTools } from '../../src/config.ts'
import { botServer } from '../support/bot-server.ts'
import { ended, freshRouter, until, type TestRouter } from '../support/router.ts'

type Policy = { retry?: 'none' | 'default' | number[]; timeout_ms?: number }

async function withBot(
  url: string,
  policy: Policy = { retry: 'none' },
  bot: Record<string, unknown> = {},
  env: Record<string, string> = {},
): Promise<{ router: TestRouter; emit: (payload?: unknown) => Promise<string> }> {
  const router = await freshRouter({ delivery_timeout_ms: 2000, breaker_open_ms: 200 }, env)
  await router.call('bot.put', {
    bot: {
      id: 'bot',
      endpoint: { kind: 'http', url, ...(bot.endpoint as object) },
      ...(bot.max_active === undefined ? {} : { max_active: bot.max_active as number }),
    },
  })
  await router.call('source.put', { source: { id: 's', source_type: 'service' } })
  await router.call('trigger.put', {
    trigger: {
      id: 't',
      filter: { source_id: ['s'] },
      action: { bot_id: 'bot', workflow_id: 'w', inputs: { n: '{{ payload.n }}' }, allowed_tools: ['git'] },
      policy,
    },
  })
  return {
    router,
    emit: async (payload = { n: 1 }) =>
      (await router.call('event.emit', { source_id: 's', type: 'x', payload })).runs[0]!,
  }
}

test('one body, one id on every attempt, a signature that verifies', async () => {
  const secret = `whsec_${Buffer.from('a key of more than 16 bytes').toString('base64')}`
  const bot = await botServer((_request, response, count) => {
    response.statusCode = count < 3 ? 503 : 200
    response.setHeader('content-type', 'application/json')
    response.end('{"done": [1]}')
  })
  const { router, emit } = await withBot(
    bot.url,
    { retry: [0, 0, 0] },
    { endpoint: { secret: { env: 'KEY' }, bearer: { env: 'TOKEN' } } },
    { KEY: secret, TOKEN: 'tok' },
  )
  const run_id = await emit({ n: 9007199254740991, text: 'a\nb' })
  expect(await ended(router, run_id)).toMatchObject({ state: 'completed', attempt: 3, result: { done: [1] } })
  expect(bot.received.map(request => request.headers['webhook-id'])).toEqual([run_id, run_id, run_id])
  for (const [index, { headers, body }] of bot.received.entries()) {
    const expected = createHmac('sha256', Buffer.from(secret.slice(6), 'base64'))
      .update(`${run_id}.${headers['webhook-timestamp'] as string}.${body}`)
      .digest('base64')
    expect(headers['webhook-signature']).toBe(`v1,${expected}`)
    expect(headers).toMatchObject({
      authorization: 'Bearer tok',
      'content-type': 'application/json',
      'accept-encoding': 'identity',
    })
    expect(headers.traceparent).toBe(`00-${run_id.replaceAll('-', '')}-000000000000000${index + 1}-01`)
    expect(JSON.parse(body)).toEqual({
      run: {
        id: run_id,
        attempt: index + 1,
        trigger_id: 't',
        trigger_version: 1,
        bot_id: 'bot',
        workflow_id: 'w',
        replay: false,
      },
      event: {
        id: expect.any(String) as string,
        source_id: 's',
        type: 'x',
        subject: null,
        actor: null,
        thread: null,
        timestamp: expect.any(Number) as number,
        headers: {},
        payload: { n: 9007199254740991, text: 'a\nb' },
      },
      trigger: { id: 't', version: 1, event_source_id: null },
      inputs: { n: 9007199254740991 },
      allowed_tools: ['git'],
      denied_tools: defaultDeniedTools(),
      allowed_denied_tools: [],
    })
  }
  const { attempts, history } = await router.call('run.history', { run_id })
  expect(attempts.map(attempt => [attempt.number, attempt.outcome, attempt.status])).toEqual([
    [1, 'retry', 'HTTP 503'],
    [2, 'retry', 'HTTP 503'],
    [3, 'success', 'HTTP 200'],
  ])
  expect(history.map(move => move.move)).toEqual([
    'create',
    'dispatch',
    'retry_later',
    'dispatch',
    'retry_later',
    'dispatch',
    'complete',
  ])
})

test('numbers and doubled keys reach the bot as they were received', async () => {
  const bot = await botServer()
  const { router } = await withBot(bot.url)
  await router.call('source.put', {
    source: { id: 'open', source_type: 'webhook', config: { provider: 'none' } },
  })
  await router.call('trigger.put', {
    trigger: { id: 'raw', filter: { source_id: ['open'] }, action: { bot_id: 'bot' } },
  })
  await router.post('open', '{"big": 12345678901234567890,\r\n "a": 1, "a": 2, "e": 1.0e2}')
  expect((await bot.nth(1)).body).toContain(
    '"payload":{"big": 12345678901234567890,  "a": 1, "a": 2, "e": 1.0e2}}',
  )
})

describe('what an answer does', () => {
  test.each([
    [200, 'completed', 'success'],
    [201, 'completed', 'success'],
    [202, 'completed', 'success'],
    [204, 'completed', 'success'],
    [301, 'failed', 'permanent'],
    [302, 'failed', 'permanent'],
    [304, 'failed', 'permanent'],
    [307, 'failed', 'permanent'],
    [400, 'failed', 'permanent'],
    [401, 'failed', 'permanent'],
    [403, 'failed', 'permanent'],
    [405, 'failed', 'permanent'],
    [410, 'failed', 'permanent'],
    [422, 'failed', 'permanent'],
    [404, 'pending', 'retry'],
    [408, 'pending', 'retry'],
    [409, 'pending', 'retry'],
    [425, 'pending', 'retry'],
    [429, 'pending', 'retry'],
    [500, 'pending', 'retry'],
    [501, 'pending', 'retry'],
    [502, 'pending', 'retry'],
    [503, 'pending', 'retry'],
    [504, 'pending', 'retry'],
    [599, 'pending', 'retry'],
  ])('%i: %s', async (status, state, outcome) => {
    const bot = await botServer((_request, response) => {
      response.writeHead(status, { location: 'http://169.254.169.254/' })
      response.end()
    })
    const { router, emit } = await withBot(bot.url, { retry: [0, 86_400_000] })
    const run_id = await emit()
    const attempt = await until(async () => (await router.call('run.history', { run_id })).attempts[0])
    expect(attempt).toMatchObject({ outcome, status: `HTTP ${status}` })
    const { run } = await router.call('run.get', { run_id })
    expect(run).toMatchObject({ state, dead: state === 'failed' })
    expect(bot.received).toHaveLength(1)
    if (status === 410) {
      await until(async () => !(await router.call('bot.get', { bot_id: 'bot' })).bot.enabled)
      expect((await router.call('run.get', { run_id: await emit() })).run.waiting_for).toContain('410 Gone')
    }
  })

  test('Retry-After is waited for', async () => {
    const bot = await botServer(
      (_request, response) => void response.writeHead(503, { 'retry-after': '3600' }).end(),
    )
    const { router, emit } = await withBot(bot.url, { retry: [0, 0, 0] })
    const run_id = await emit()
    const run = await until(async () => {
      const answer = (await router.call('run.get', { run_id })).run
      return answer.attempt === 1 && answer.state === 'pending' && answer
    })
    expect(run.not_before - run.updated_at).toBe(3_600_000)
    expect(run.waiting_for).toContain('attempt 2 is due at')
  })
})

describe('bots that misbehave', () => {
  /** A bot that does as it likes with the bytes. */
  async function rawBot(
    onConnect: (write: (text: string) => void, end: () => void) => void,
  ): Promise<string> {
    const server = createServer(socket => {
      socket.on('error', () => undefined)
      socket.once('data', () =>
        onConnect(
          text => void socket.write(text),
          () => void socket.destroy(),
        ),
      )
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  }
  const endless = (write: (text: string) => void): void => {
    write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')
    for (let count = 0; count < 40; count++) write(`4000\r\n${'x'.repeat(0x4000)}\r\n`)
  }
  test.each([
    ['never answers', (): void => undefined, 'timed_out', 'timeout'],
    [
      'drips',
      (write: (text: string) => void): void => write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nx'),
      'timed_out',
      'timeout',
    ],
    ['resets', (_write: unknown, end: () => void): void => end(), 'failed', 'retry'],
    ['talks nonsense', (write: (text: string) => void): void => write('what?\r\n\r\n'), 'failed', 'retry'],
    ['answers without end', endless, 'completed', 'success'],
    [
      'sends headers without end',
      (write: (text: string) => void): void => write(`HTTP/1.1 200 OK\r\nx: ${'x'.repeat(200_000)}`),
      'failed',
      'retry',
    ],
  ] as [string, Parameters<typeof rawBot>[0], string, string][])(
    'one that %s',
    async (_name, behaviour, state, outcome) => {
      const { router, emit } = await withBot(await rawBot(behaviour), { retry: 'none', timeout_ms: 300 })
      const run_id = await emit()
      expect(await ended(router, run_id)).toMatchObject({ state })
      expect((await router.call('run.history', { run_id })).attempts).toMatchObject([{ outcome }])
    },
  )

  test('nobody is there: unreachable, and the breaker holds the rest without spending attempts', async () => {
    const { router, emit } = await withBot('http://127.0.0.1:1/', { retry: 'none' }, { max_active: 1 })
    const runs = []
    for (let count = 0; count < 14; count++) runs.push(await emit())
    await ended(router, runs[9]!)
    const { run } = await router.call('run.get', { run_id: runs[13]! })
    expect(run).toMatchObject({ state: 'pending', attempt: 0 })
    expect(run.waiting_for).toContain('breaker')
    // After its pause it lets one through at a time.
    await ended(router, runs[10]!)
    expect(
      (await router.call('bot.get', { bot_id: 'bot' })).bot.health!.consecutive_failures,
    ).toBeGreaterThan(10)
  })

  test('a name that leads to a forbidden address gets no byte', async () => {
    const { router, emit } = await withBot('http://127.0.0.1:1/')
    await router.call('bot.put', {
      bot: { id: 'bot', endpoint: { kind: 'http', url: 'http://localhost:1/' } },
    })
    const run_id = await emit()
    expect((await ended(router, run_id)).error).toContain('ECONNREFUSED')
  })
})

test('a bot has no more runs than it may, priorities go first, and another bot does not wait for it', async () => {
  const open: (() => void)[] = []
  const order: number[] = []
  const slow = await botServer((request, response) => {
    order.push((JSON.parse(request.body) as { inputs: { n: number } }).inputs.n)
    open.push(() => void response.end('{}'))
  })
  const quick = await botServer()
  const { router, emit } = await withBot(slow.url, {}, { max_active: 2 })
  await router.call('bot.put', { bot: { id: 'quick', endpoint: { kind: 'http', url: quick.url } } })
  await router.call('trigger.put', {
    trigger: { id: 'q', filter: { type: ['quick'] }, action: { bot_id: 'quick' } },
  })
  await router.call('trigger.put', {
    trigger: {
      id: 'urgent',
      filter: { type: ['urgent'] },
      action: { bot_id: 'bot', inputs: { n: 99 } },
      policy: { priority: 10 },
    },
  })
  const runs = [await emit({ n: 1 }), await emit({ n: 2 })]
  await slow.nth(2)
  runs.push(await emit({ n: 3 }), await emit({ n: 4 }))
  await router.call('source.put', { source: { id: 'u', source_type: 'service' } })
  runs.push((await router.call('event.emit', { source_id: 'u', type: 'urgent', payload: {} })).runs[0]!)
  const other = await router.call('event.emit', { source_id: 'u', type: 'quick', payload: {} })
  expect((await ended(router, other.runs[0]!)).state).toBe('completed')
  expect(slow.received).toHaveLength(2)
  expect((await router.call('run.get', { run_id: runs[2]! })).run.waiting_for).toContain('its limit is 2')
  for (let count = 0; count < 5; count++) {
    await slow.nth(Math.min(count + 2, 5))
    open[count]!()
  }
  await Promise.all(runs.map(run => ended(router, run)))
  expect(order.slice(0, 2).toSorted((a, b) => a - b)).toEqual([1, 2])
  expect(order[2]).toBe(99)
})

describe('cancel, retry, discard', () => {
  test('a waiting run is cancelled at once, a running one by asking its bot', async () => {
    let aborted = false
    const bot = await botServer((_request, response) => void response.on('close', () => (aborted = true)))
    const { router, emit } = await withBot(bot.url, { timeout_ms: 60_000 }, { max_active: 1 })
    const [running, waiting] = [await emit(), await emit()]
    await bot.nth(1)
    expect((await router.call('run.cancel', { run_id: waiting, reason: 'no' })).run).toMatchObject({
      state: 'cancelled',
      error: 'no',
    })
    expect((await router.call('run.cancel', { run_id: running })).run).toMatchObject({
      state: 'running',
      cancel_requested: true,
    })
    expect(await ended(router, running)).toMatchObject({ state: 'cancelled' })
    await until(async () => aborted)
    expect((await router.call('run.history', { run_id: running })).history.map(move => move.move)).toEqual([
      'create',
      'dispatch',
      'request_cancel',
      'acknowledge_cancel',
    ])
    await expect(router.call('run.cancel', { run_id: running })).rejects.toMatchObject({ code: -32013 })
  })

  test('a dead run is tried again under its own id', async () => {
    const bot = await botServer(
      (_request, response, count) => void response.writeHead(count === 1 ? 400 : 200).end(),
    )
    const { router, emit } = await withBot(bot.url)
    const run_id = await emit()
    await ended(router, run_id)
    await router.call('run.retry', { run_id })
    expect(
      await until(async () => {
        const { run } = await router.call('run.get', { run_id })
        return run.state === 'completed' && run
      }),
    ).toMatchObject({ attempt: 2 })
    expect(bot.received.map(request => request.headers['webhook-id'])).toEqual([run_id, run_id])
  })
})

test('inputs that cannot be made end the run, with the path and the reason', async () => {
  const bot = await botServer()
  const { router } = await withBot(bot.url)
  await router.call('trigger.put', {
    trigger: {
      id: 't',
      filter: { source_id: ['s'] },
      action: { bot_id: 'bot', inputs: { deep: { n: '{{ $number(payload.text) }}' } } },
    },
  })
  const { runs } = await router.call('event.emit', {
    source_id: 's',
    type: 'x',
    payload: { text: 'no number' },
  })
  const run = await ended(router, runs[0]!)
  expect(run).toMatchObject({ state: 'failed', dead: true })
  expect(run.error).toContain('inputs.deep.n: in {{ $number(payload.text) }}')
  expect(bot.received).toHaveLength(0)
})

test('a run keeps the trigger version that made it', async () => {
  const bot = await botServer(
    (_request, response, count) => void response.writeHead(count === 1 ? 503 : 200).end(),
  )
  const { router, emit } = await withBot(bot.url, { retry: [0, 300] })
  const run_id = await emit({ n: 7 })
  await bot.nth(1)
  await router.call('trigger.put', {
    trigger: { id: 't', filter: { type: ['other'] }, action: { bot_id: 'bot', inputs: { changed: true } } },
  })
  await ended(router, run_id)
  expect(JSON.parse(bot.received[1]!.body)).toMatchObject({ inputs: { n: 7 }, trigger: { version: 1 } })
  const { decisions } = await router.call('event.explain', {
    event_id: (await router.call('run.get', { run_id })).run.event_id,
    trigger_id: 't',
  })
  expect(decisions).toMatchObject([{ trigger_version: 1, matched: true }])
})

test('a stored body that is damaged is not delivered; other events are', async () => {
  const bot = await botServer()
  const { router, emit } = await withBot(bot.url)
  await router.call('bot.put', {
    bot: { id: 'bot', enabled: false, endpoint: { kind: 'http', url: bot.url } },
  })
  const [damaged, whole] = [await emit({ n: 1 }), await emit({ n: 2 })]
  await router.router.stop()
  const db = new Database(join(router.directory, 'signalbox.db'))
  db.prepare(
    "UPDATE event SET body = CAST(replace(CAST(body AS TEXT), '1', '3') AS BLOB) WHERE CAST(body AS TEXT) LIKE '%1%'",
  ).run()
  db.close()
  const again = await freshRouter({ state_dir: router.directory })
  await again.call('bot.put', { bot: { id: 'bot', endpoint: { kind: 'http', url: bot.url } } })
  expect(await ended(again, whole)).toMatchObject({ state: 'completed' })
  expect(await ended(again, damaged)).toMatchObject({
    state: 'failed',
    dead: true,
    error: expect.stringContaining('is damaged') as string,
  })
  expect(bot.received).toHaveLength(1)
})

test('a body of its own is a template, checked when it is written, and what is signed', async () => {
  const bot = await botServer()
  const { router, emit } = await withBot(
    bot.url,
    { retry: 'none' },
    { endpoint: { body: { text: 'n is {{ inputs.n }}', all: '{{ inputs }}' }, secret: { env: 'KEY' } } },
    { KEY: 'k' },
  )
  await ended(router, await emit({ n: 7 }))
  const [{ body, headers }] = bot.received as [(typeof bot.received)[0]]
  expect(JSON.parse(body)).toEqual({ text: 'n is 7', all: { n: 7 } })
  const signed = createHmac('sha256', 'k').update(
    `${headers['webhook-id'] as string}.${headers['webhook-timestamp'] as string}.${body}`,
  )
  expect(headers['webhook-signature']).toBe(`v1,${signed.digest('base64')}`)
  const bad = { id: 'bad', endpoint: { kind: 'http' as const, url: bot.url, body: { text: '{{ inputs.(' } } }
  await expect(router.call('bot.put', { bot: bad })).rejects.toMatchObject({
    code: -32602,
    data: { path: 'bot.endpoint.body.text' },
  })
})
