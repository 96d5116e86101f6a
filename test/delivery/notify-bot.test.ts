// notify bots: what each service is sent, what its answers do to a run, and which endpoints are refused.
import { describe, expect, test } from 'vitest'
import { botServer, type Answer, type BotServer } from '../support/bot-server.ts'
import { ended, freshRouter, until, type TestRouter } from '../support/router.ts'

const secret = 'tk_0123456789abcdef'
const token = { env: 'CHAT_TOKEN' }

type Endpoint = Record<string, unknown>

/** Endpoints of every preset on one server, and the answer that means that a message was accepted. */
const presets: Record<string, { endpoint: (base: string) => Endpoint; accepted: string }> = {
  ntfy: {
    endpoint: url => ({ preset: 'ntfy', url, topic: 'builds', token }),
    accepted: '{"id":"sPs71M8A2T","event":"message"}',
  },
  gotify: { endpoint: url => ({ preset: 'gotify', url, token }), accepted: '{"id":25,"appid":5}' },
  matrix: {
    endpoint: url => ({ preset: 'matrix', url, room: '!room:example.org', token }),
    accepted: '{"event_id":"$abc"}',
  },
  slack: {
    endpoint: url => ({ preset: 'slack', url: `${url}/services/T0/B0/webhooksecret` }),
    accepted: 'ok',
  },
}

interface Bench {
  router: TestRouter
  server: BotServer
  emit: (payload?: unknown, subject?: string) => Promise<string>
}

async function bench(
  endpoint: (base: string) => Endpoint,
  answer: Answer,
  trigger: object = {},
): Promise<Bench> {
  const server = await botServer(answer)
  const router = await freshRouter(
    { delivery_timeout_ms: 2000, breaker_open_ms: 200 },
    { CHAT_TOKEN: secret },
  )
  await router.call('bot.put', {
    bot: { id: 'people', endpoint: { kind: 'notify', ...endpoint(new URL(server.url).origin) } as never },
  })
  await router.call('source.put', { source: { id: 's', source_type: 'service' } })
  await router.call('trigger.put', {
    trigger: {
      id: 't',
      filter: { source_id: ['s'] },
      action: { bot_id: 'people' },
      policy: { retry: 'none' },
      ...trigger,
    } as never,
  })
  const emit = async (payload: unknown = {}, subject?: string): Promise<string> =>
    (
      await router.call('event.emit', {
        source_id: 's',
        type: 'build.failed',
        payload,
        ...(subject === undefined ? {} : { subject }),
      })
    ).runs[0]!
  return { router, server, emit }
}

const accepting =
  (body: string): Answer =>
  (_request, response) =>
    void response.end(body)

const own = {
  title: 'Build {{ event.payload.n }}',
  text: '{{ event.payload.text }}',
  priority: '{{ event.payload.p }}',
  link: '{{ event.payload.url }}',
}
const sent = { n: 7, text: 'a < b & c', p: 5, url: 'https://ci.example.org/7?a=1&b=2' }

describe('what a service is sent', () => {
  async function first(preset: string): Promise<{
    run_id: string
    request: BotServer['received'][number]
    body: Record<string, unknown>
    bench: Bench
  }> {
    const { endpoint, accepted } = presets[preset]!
    const made = await bench(base => ({ ...endpoint(base), ...own }), accepting(accepted))
    const run_id = await made.emit(sent)
    expect(await ended(made.router, run_id)).toMatchObject({ state: 'completed' })
    const request = made.server.received[0]!
    return { run_id, request, body: JSON.parse(request.body) as Record<string, unknown>, bench: made }
  }

  test('ntfy: JSON to the root, with the token as bearer', async () => {
    const { request, body } = await first('ntfy')
    expect([request.method, request.path, request.headers.authorization]).toEqual([
      'POST',
      '/',
      `Bearer ${secret}`,
    ])
    expect(body).toEqual({
      topic: 'builds',
      title: 'Build 7',
      message: 'a < b & c',
      priority: 5,
      click: sent.url,
    })
  })
  test('gotify: plain text, its own priorities and header', async () => {
    const { request, body } = await first('gotify')
    expect([request.method, request.path, request.headers['x-gotify-key']]).toEqual([
      'POST',
      '/message',
      secret,
    ])
    expect(body).toMatchObject({ title: 'Build 7', message: 'a < b & c', priority: 10 })
    expect(body.extras).toEqual({
      'client::display': { contentType: 'text/plain' },
      'client::notification': { click: { url: sent.url } },
    })
  })
  test('matrix: no HTML, no mentions', async () => {
    const { request, body } = await first('matrix')
    expect(request.method).toBe('PUT')
    expect(request.path).toMatch(
      /^\/_matrix\/client\/v3\/rooms\/!room%3Aexample\.org\/send\/m\.room\.message\/[0-9a-f]{32}$/,
    )
    expect(body).toEqual({ msgtype: 'm.text', body: `Build 7\na < b & c\n${sent.url}`, 'm.mentions': {} })
  })
  test('slack: escaped text without markup', async () => {
    const { request, body } = await first('slack')
    expect([request.method, request.path, request.headers.authorization]).toEqual([
      'POST',
      '/services/T0/B0/webhooksecret',
      undefined,
    ])
    expect(body).toMatchObject({
      text: 'Build 7\na &lt; b &amp; c\nhttps://ci.example.org/7?a=1&amp;b=2',
      mrkdwn: false,
      parse: 'none',
    })
  })
  test.each(Object.keys(presets))('%s: the request is kept without secrets', async preset => {
    const { run_id, bench: made } = await first(preset)
    const kept = JSON.stringify([
      await made.router.call('run.history', { run_id }),
      await made.router.call('run.request', { run_id }),
    ])
    expect(kept).toContain('"kind":"http"')
    expect(kept).not.toContain(secret)
    expect(kept).not.toContain('webhooksecret')
  })
})

test('slack: the URL may be a secret', async () => {
  const server = await botServer(accepting('ok'))
  const router = await freshRouter({}, { HOOK: `${server.url}/T0/B0/x` })
  await router.call('bot.put', {
    bot: { id: 'people', endpoint: { kind: 'notify', preset: 'slack', url_secret: { env: 'HOOK' } } },
  })
  await router.call('source.put', { source: { id: 's', source_type: 'service' } })
  await router.call('trigger.put', {
    trigger: { id: 't', filter: { source_id: ['s'] }, action: { bot_id: 'people' } },
  })
  await router.call('event.emit', { source_id: 's', type: 'x', payload: {} })
  expect((await server.nth(1)).path).toBe('/hook/T0/B0/x')
})

test.each([
  ['http://10.0.0.1/hook', '10.0.0.1 is not open to bots'],
  ['ftp://example.org/hook', 'url_secret of the bot must be an http or https URL'],
  ['', 'a secret of the bot cannot be read'],
])('slack: a secret URL that cannot be used: %s', async (hook, error) => {
  const router = await freshRouter({}, { HOOK: hook })
  await router.call('bot.put', {
    bot: { id: 'people', endpoint: { kind: 'notify', preset: 'slack', url_secret: { env: 'HOOK' } } },
  })
  const answer = await router.call('bot.notify_test', { bot_id: 'people' })
  expect(answer).toMatchObject({ accepted: false, error: expect.stringContaining(error) as string })
  expect(answer.error).not.toContain('/hook')
})

describe.each(Object.entries(presets))('answers of %s', (_preset, { endpoint, accepted }) => {
  const answers: [string, number, string, Record<string, unknown>][] = [
    ['accepted', 200, accepted, { state: 'completed' }],
    [
      'wrong token',
      401,
      '{"error":"unauthorized"}',
      { state: 'failed', error: expect.stringContaining('401: unauthorized') as string },
    ],
    [
      'another server',
      200,
      '<html>hello</html>',
      { state: 'failed', error: expect.stringContaining('check url') as string },
    ],
    [
      'a redirect',
      302,
      '',
      { state: 'failed', error: expect.stringContaining('redirects are not followed') as string },
    ],
  ]
  test.each(answers)('%s', async (_title, status, body, expected) => {
    const { router, emit } = await bench(
      endpoint,
      (_request, response) => void response.writeHead(status).end(body),
    )
    expect(await ended(router, await emit())).toMatchObject({ ...expected, attempt: 1 })
  })
  test('an error of the server is tried again', async () => {
    const answer: Answer = (_request, response, count) =>
      void response.writeHead(count === 1 ? 500 : 200).end(count === 1 ? '\u0000\uFFFD{' : accepted)
    const { router, server, emit } = await bench(endpoint, answer, { policy: { retry: [0, 0] } })
    expect(await ended(router, await emit())).toMatchObject({ state: 'completed', attempt: 2 })
    expect(new Set(server.received.map(request => `${request.path} ${request.body}`)).size).toBe(1)
  })
})

/** How long a run waits for its second attempt after a 429. */
async function waitAfter(
  preset: string,
  headers: Record<string, string>,
  body: string,
  scheduled: number,
): Promise<number> {
  const answer: Answer = (_request, response) => void response.writeHead(429, headers).end(body)
  const { router, emit } = await bench(presets[preset]!.endpoint, answer, {
    policy: { retry: [0, scheduled] },
  })
  const run_id = await emit()
  const run = await until(async () => {
    const found = (await router.call('run.get', { run_id })).run
    return found.attempt === 1 && found.state === 'pending' && found
  })
  return run.not_before - run.updated_at
}

test.each([
  ['ntfy', { 'retry-after': '60' }, '{"code":42901,"http":429,"error":"limit reached"}', 60_000],
  ['matrix', {}, '{"errcode":"M_LIMIT_EXCEEDED","error":"Too Many Requests","retry_after_ms":60000}', 60_000],
  ['slack', { 'retry-after': '60' }, 'rate_limited', 60_000],
  ['slack', {}, '{"message":"You are being rate limited.","retry_after":60.0}', 60_000],
] as const)('%s: the next attempt waits as a 429 asks', async (preset, headers, body, wait) => {
  expect(await waitAfter(preset, headers, body, 1000)).toBe(wait)
})

test('gotify: a 429 that names no time waits as the schedule says', async () => {
  const wait = await waitAfter('gotify', { 'retry-after': 'soon' }, '', 60_000)
  expect(wait).toBeGreaterThanOrEqual(48_000)
  expect(wait).toBeLessThanOrEqual(72_000)
})

describe('endpoints that are refused', () => {
  const url = 'https://chat.example.org'
  test.each([
    [{ preset: 'ntfy', url }, 'bot.endpoint.topic is required for the preset ntfy'],
    [{ preset: 'ntfy', topic: 'x' }, 'bot.endpoint.url is required for the preset ntfy'],
    [{ preset: 'gotify', url }, 'bot.endpoint.token is required for the preset gotify'],
    [{ preset: 'matrix', url, token }, 'bot.endpoint.room is required for the preset matrix'],
    [
      { preset: 'gotify', url, token, topic: 'x' },
      'bot.endpoint.topic does not belong to the preset gotify; expected url, token,',
    ],
    [{ preset: 'slack', url, url_secret: token }, 'exactly one of them; found both'],
    [{ preset: 'slack' }, 'exactly one of them; found neither'],
    [{ preset: 'pager', url }, 'must be one of "ntfy"'],
    [{ preset: 'ntfy', url, topic: 'a/b' }, 'bot.endpoint.topic'],
    [{ preset: 'matrix', url, token, room: '#alias:example.org' }, 'bot.endpoint.room'],
    [{ preset: 'ntfy', url, topic: 'x', priority: 6 }, 'bot.endpoint.priority'],
    [{ preset: 'ntfy', url, topic: 'x', text: '{{ event.' }, 'bot.endpoint.text'],
    [
      { preset: 'ntfy', url: 'http://169.254.169.254/', topic: 'x' },
      'bot.endpoint.url must be a public address; found 169.254.169.254',
    ],
    [
      { preset: 'ntfy', url: 'http://10.0.0.1/', topic: 'x' },
      'egress_allow in the configuration opens private ranges',
    ],
  ])('%j', async (endpoint, message) => {
    const router = await freshRouter()
    await expect(
      router.call('bot.put', { bot: { id: 'b', endpoint: { kind: 'notify', ...endpoint } as never } }),
    ).rejects.toThrow(message)
  })
  test('control: the same with what is missing is written', async () => {
    const router = await freshRouter()
    for (const { endpoint } of Object.values(presets))
      expect(
        await router.call('bot.put', {
          bot: { id: 'b', endpoint: { kind: 'notify', ...endpoint(url) } as never },
        }),
      ).toHaveProperty('bot')
  })
  test('a secret in the place of its reference is not repeated', async () => {
    const router = await freshRouter()
    const endpoint = { kind: 'notify', preset: 'ntfy', url, topic: 'x', token: secret } as never
    const refused = await router
      .call('bot.put', { bot: { id: 'b', endpoint } })
      .catch((error: unknown) => String(error))
    expect(refused).toContain('bot.endpoint.token')
    expect(refused).not.toContain(secret)
  })
})

test('a priority that is no number fails the run', async () => {
  const { router, server, emit } = await bench(
    base => ({ ...presets.ntfy!.endpoint(base), priority: '{{ event.payload.p }}' }),
    accepting('{"id":"x"}'),
  )
  expect(await ended(router, await emit({ p: 'high' }))).toMatchObject({
    state: 'failed',
    error: expect.stringContaining('from 1 to 5; got "high"') as string,
  })
  expect(server.received).toEqual([])
  expect(await ended(router, await emit({ p: 99 }))).toMatchObject({ state: 'completed' })
  expect(JSON.parse(server.received[0]!.body)).toMatchObject({ priority: 5 })
})

test('a batch makes one message with the number and the first', async () => {
  const { server, emit } = await bench(presets.ntfy!.endpoint, accepting('{"id":"x"}'), {
    policy: { batch: { max: 7, timeout_ms: 60_000 } },
  })
  for (let number = 1; number <= 7; number++) await emit({}, `job ${number}`)
  const { title, message } = JSON.parse((await server.nth(1)).body) as { title: string; message: string }
  expect(title).toBe('7 events, first: build.failed: job 1')
  expect(message.split('\n')).toEqual([
    '7 events:',
    ...[1, 2, 3, 4, 5].map(number => `${number}. build.failed: job ${number}`),
    'and 2 more',
  ])
  expect(server.received).toHaveLength(1)
})

test('a run that awaits approval is reported to people', async () => {
  const { router, server, emit } = await bench(presets.ntfy!.endpoint, accepting('{"id":"x"}'))
  await router.call('trigger.put', {
    trigger: {
      id: 't',
      filter: { source_id: ['s'] },
      action: { bot_id: 'people' },
      policy: { approval: {} },
    },
  })
  await router.call('trigger.put', {
    trigger: {
      id: 'tell',
      event_source_id: 'router',
      filter: { type: ['run.awaiting_approval'] },
      action: { bot_id: 'people' },
    },
  })
  const run_id = await emit({}, 'site')
  const { title, message } = JSON.parse((await server.nth(1)).body) as { title: string; message: string }
  expect(title).toBe('Approval needed: t')
  expect(message).toContain(`Decide: signalbox runs approve ${run_id}`)
  expect(message).toContain('Event: build.failed site from s')
})

describe('bot.notify_test', () => {
  test.each(Object.keys(presets))('%s: accepted', async preset => {
    const { endpoint, accepted } = presets[preset]!
    const { router, server } = await bench(base => ({ ...endpoint(base), ...own }), accepting(accepted))
    expect(await router.call('bot.notify_test', { bot_id: 'people' })).toEqual({
      bot_id: 'people',
      preset,
      accepted: true,
      status: 'HTTP 200',
      answer: accepted,
    })
    expect(server.received[0]!.body).toContain('Signalbox test message')
  })
  test('refused: the answer is shown without secrets', async () => {
    const { router } = await bench(
      presets.ntfy!.endpoint,
      (_request, response) => void response.writeHead(401).end(`{"error":"no access with ${secret}"}`),
    )
    const answer = await router.call('bot.notify_test', { bot_id: 'people' })
    expect(answer).toMatchObject({
      accepted: false,
      status: 'HTTP 401',
      error: 'ntfy answered 401: no access with ***',
    })
    expect(JSON.stringify(answer)).not.toContain(secret)
  })
  test('a rate limit: how long to wait', async () => {
    const { router } = await bench(
      presets.slack!.endpoint,
      (_request, response) => void response.writeHead(429, { 'retry-after': '30' }).end(),
    )
    expect(await router.call('bot.notify_test', { bot_id: 'people' })).toMatchObject({
      accepted: false,
      retry_after_ms: 30_000,
    })
  })
  test('another kind of bot, or none', async () => {
    const router = await freshRouter()
    await router.call('bot.put', { bot: { id: 'c', endpoint: { kind: 'command', argv: ['/bin/true'] } } })
    await expect(router.call('bot.notify_test', { bot_id: 'c' })).rejects.toThrow(
      'must be of kind notify; it is of kind command',
    )
    await expect(router.call('bot.notify_test', { bot_id: 'x' })).rejects.toThrow('x')
  })
})
