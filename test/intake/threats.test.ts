// The threat table, rows T1 to T23: what is sent, and the exact answer. Nothing that is refused is stored.
import { createHmac } from 'node:crypto'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { post, raw } from '../support/raw-http.ts'
import { freshRouter, type TestRouter } from '../support/router.ts'

const secret = 'a secret of the forge'
const sign = (body: string | Buffer): string => createHmac('sha256', secret).update(body).digest('hex')
const hook = '/webhook/forge'

async function threatRouter(flags: Record<string, unknown> = {}): Promise<TestRouter> {
  const router = await freshRouter(
    { max_body_bytes: 65_536, ...flags },
    { SECRET: secret, EMPTY: '', TOKEN: 'tok' },
  )
  const source = (id: string, config: Record<string, unknown>): Promise<unknown> =>
    router.call('source.put', { source: { id, source_type: 'webhook', config } as never })
  await source('forge', { provider: 'forgejo', secrets: [{ env: 'SECRET' }] })
  await source('hub', { provider: 'github', secrets: [{ env: 'SECRET' }] })
  await source('std', { provider: 'standard', secrets: [{ env: 'SECRET' }] })
  await source('lab', { provider: 'gitlab', secrets: [{ env: 'TOKEN' }] })
  await source('tok', { provider: 'bearer', secrets: [{ env: 'TOKEN' }] })
  await source('open', { provider: 'none' })
  return router
}

/** A signed delivery as raw bytes. */
function signed(body: string | Buffer, headers: string[] = [], path = hook): Buffer {
  return post(path, body, [`X-Forgejo-Signature: ${sign(body)}`, 'X-Forgejo-Event-Type: push', ...headers])
}

function deep(depth: number): string {
  return `${'['.repeat(depth)}${']'.repeat(depth)}`
}

type Row = [name: string, request: Buffer | Buffer[], status: number, code: string | null, close?: boolean]
const rows: Row[] = [
  ['T1 forgejo without a signature', post(hook, '{}'), 401, 'E_SIGNATURE'],
  ['T1 github without a signature', post('/webhook/hub', '{}'), 401, 'E_SIGNATURE'],
  ['T1 standard without a signature', post('/webhook/std', '{}'), 401, 'E_SIGNATURE'],
  ['T1 gitlab without a token', post('/webhook/lab', '{}'), 401, 'E_SIGNATURE'],
  ['T1 bearer without a token', post('/webhook/tok', '{}'), 401, 'E_SIGNATURE'],
  [
    'T2 a signature of something else',
    post(hook, '{}', [`X-Forgejo-Signature: ${sign('other')}`]),
    401,
    'E_SIGNATURE',
  ],
  ['T2 an empty signature', post(hook, '{}', ['X-Forgejo-Signature: ']), 401, 'E_SIGNATURE'],
  [
    'T2 sha1 only',
    post('/webhook/hub', '{}', [`X-Hub-Signature: sha1=${'0'.repeat(40)}`]),
    401,
    'E_SIGNATURE',
  ],
  ['T3 the signature twice', signed('{}', [`X-Forgejo-Signature: ${sign('{}')}`]), 400, 'E_HEADER_DUPLICATE'],
  [
    'T3 the delivery id twice',
    signed('{}', ['X-Forgejo-Delivery: a', 'X-Forgejo-Delivery: b']),
    400,
    'E_HEADER_DUPLICATE',
  ],
  ['T3 two hosts', signed('{}', ['Host: a', 'Host: b']), 400, null],
  [
    'T5 another brand signs well',
    post(hook, '{}', [`X-Gitea-Signature: ${sign('{}')}`, `X-Hub-Signature-256: sha256=${sign('{}')}`]),
    401,
    'E_SIGNATURE',
  ],
  [
    'T9 the secret of another source',
    post(hook, '{}', [`X-Forgejo-Signature: ${createHmac('sha256', 'tok').update('{}').digest('hex')}`]),
    401,
    'E_SIGNATURE',
  ],
  [
    'T9 an id that shifts',
    post('/webhook/std', '{}', [
      'webhook-id: a.b',
      `webhook-timestamp: ${Math.floor(Date.now() / 1000)}`,
      'webhook-signature: v1,x',
    ]),
    400,
    'E_DELIVERY_ID',
  ],
  ['T12 too large by its length', post(hook, '', ['Content-Length: 70000']), 413, 'E_TOO_LARGE', true],
  [
    'T12 too large by chunks',
    [
      post(hook, '', ['Transfer-Encoding: chunked']),
      ...Array.from({ length: 20 }, () => Buffer.from(`1000\r\n${'x'.repeat(4096)}\r\n`)),
    ],
    413,
    'E_TOO_LARGE',
    true,
  ],
  [
    'T12 too large, asking first',
    post(hook, '', ['Content-Length: 70000', 'Expect: 100-continue']),
    413,
    'E_TOO_LARGE',
    true,
  ],
  [
    'T14 length and chunked',
    post(hook, '0\r\n\r\n', ['Content-Length: 5', 'Transfer-Encoding: chunked']),
    400,
    'E_HTTP',
    true,
  ],
  ['T14 two lengths', post(hook, '{}', ['Content-Length: 2', 'Content-Length: 2']), 400, 'E_HTTP', true],
  ['T14 a signed length', post(hook, '{}', ['Content-Length: +2']), 400, 'E_HTTP', true],
  ['T14 a bare line feed', Buffer.from(`POST ${hook} HTTP/1.1\nHost: x\n\n`), 400, 'E_HTTP', true],
  ['T14 a folded header', post(hook, '{}', ['X-A: a\r\n b']), 400, 'E_HTTP', true],
  ['T14 a space before the colon', post(hook, '{}', ['X-A : a']), 400, 'E_HTTP', true],
  ['T14 a NUL in a header', post(hook, '{}', ['X-A: a\0b']), 400, 'E_HTTP', true],
  ['T14 not HTTP at all', Buffer.from('\x16\x03\x01 hello\r\n\r\n'), 400, 'E_HTTP', true],
  ['T15 identity, chunked', post(hook, '0\r\n\r\n', ['Transfer-Encoding: identity, chunked']), 400, 'E_HTTP'],
  ['T15 an absolute target', post(`http://x${hook}`, '{}'), 400, 'E_HTTP'],
  [
    'T15 HTTP/1.0 without a host',
    Buffer.from(`POST ${hook} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`),
    400,
    'E_HTTP',
  ],
  ...['websocket', 'WebSocket', 'h2c, websocket', 'websocket/13'].map((upgrade): Row => [
    `T15 an upgrade to ${upgrade}`,
    signed('{}', ['Connection: upgrade', `Upgrade: ${upgrade}`]),
    400,
    'E_HTTP',
  ]),
  ...['h2c', 'TLS/1.2', 'HTTP/3.0', 'my-websocket-like'].map((upgrade, index): Row => [
    `an upgrade to ${upgrade} is ignored`,
    signed(`{"n":${index}}`, [
      'Connection: Upgrade, HTTP2-Settings',
      `Upgrade: ${upgrade}`,
      'HTTP2-Settings: AAM',
    ]),
    202,
    null,
  ]),
  ...[`${hook}/`, `/${hook}`, `/${hook}//`].map((path): Row => [
    `${path} is the same path`,
    signed(JSON.stringify({ path }), [], path),
    202,
    null,
  ]),
  [
    'T16 more than 100 headers',
    signed(
      '{}',
      Array.from({ length: 110 }, (_, index) => `X-${index}: 1`),
    ),
    431,
    'E_HEADERS',
  ],
  ['T16 more than 16 KiB of headers', signed('{}', [`X-A: ${'x'.repeat(17_000)}`]), 431, 'E_HTTP', true],
  ['T16 a header named __proto__', signed('{}', ['__proto__: x']), 202, null],
  ...['gzip', 'br', 'deflate', 'x-unknown'].map((encoding): Row => [
    `T17 ${encoding}`,
    signed('{}', [`Content-Encoding: ${encoding}`]),
    415,
    'E_ENCODING',
  ]),
  ['T18 another media type', signed('{}', ['Content-Type: text/plain']), 415, 'E_MEDIA_TYPE'],
  [
    'T18 no media type',
    Buffer.from(`POST ${hook} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}`),
    415,
    'E_MEDIA_TYPE',
  ],
  ['T18 utf-16', signed('{}', ['Content-Type: application/json; charset=utf-16']), 415, 'E_MEDIA_TYPE'],
  [
    'T18 a form for a source that takes none',
    post('/webhook/std', 'a=b', ['Content-Type: application/x-www-form-urlencoded']),
    415,
    'E_MEDIA_TYPE',
  ],
  ['T18 utf-8 said aloud', signed('{}', ['Content-Type: application/json; charset=UTF-8']), 202, null],
  [
    'T18 a form without payload',
    post(hook, 'a=b', [
      'Content-Type: application/x-www-form-urlencoded',
      `X-Forgejo-Signature: ${sign('')}`,
    ]),
    400,
    'E_JSON',
  ],
  ['T19 depth 64', signed(deep(64)), 202, null],
  ['T19 depth 65', signed(deep(65)), 400, 'E_JSON_LIMIT'],
  ['T19 depth 30,000', signed(deep(30_000)), 400, 'E_JSON_LIMIT'],
  [
    'T20 keys of prototypes',
    signed('{"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 1}}, "toString": 5}'),
    202,
    null,
  ],
  ['T21 invalid UTF-8', signed(Buffer.from([0x22, 0xff, 0x22])), 400, 'E_JSON'],
  ['T21 a byte order mark', signed(Buffer.from('\ufeff{}')), 400, 'E_JSON'],
  ['T21 NaN', signed('{"a": NaN}'), 400, 'E_JSON'],
  ['T21 Infinity', signed('[Infinity]'), 400, 'E_JSON'],
  ['T21 nothing', signed(''), 400, 'E_JSON'],
  ['T21 text behind the JSON', signed('{} {}'), 400, 'E_JSON'],
  ['T21 a lone surrogate', signed('{"a": "\\ud800"}'), 202, null],
  ['T21 a NUL in a string', signed('{"a": "\\u0000"}'), 202, null],
  ['T21 a raw NUL', signed('{"a": "\0"}'), 400, 'E_JSON'],
  ['T21 doubled keys', signed('{"a": 1, "a": 2}'), 202, null],
  ['T21 2^53+1', signed('[9007199254740993]'), 202, null],
  ['T22 dots', post('/webhook/../webhook/forge', '{}'), 404, 'E_NOT_FOUND'],
  ['T22 encoded dots', post('/webhook/%2e%2e', '{}'), 404, 'E_NOT_FOUND'],
  ['T22 an encoded NUL', post('/webhook/%00', '{}'), 404, 'E_NOT_FOUND'],
  ['T22 two slashes', post('//webhook/forge', '{}'), 401, 'E_SIGNATURE'],
  ['T22 an encoded slash', post('/webhook/a%2Fb', '{}'), 404, 'E_NOT_FOUND'],
  ['T22 a bad encoding', post('/webhook/%zz', '{}'), 400, 'E_PATH'],
  ['T22 half an encoding', post('/webhook/%e2%82', '{}'), 400, 'E_PATH'],
  ['T22 a path of 8 KiB', post(`/webhook/${'x'.repeat(8192)}`, '{}'), 414, 'E_URI_TOO_LONG'],
  ['T22 the name of a prototype', post('/webhook/__proto__', '{}'), 404, 'E_NOT_FOUND'],
  ['T22 the path itself encoded', signed('{}', [], '/webhook/%66orge'), 202, null],
  [
    'T23 PUT',
    Buffer.from(`PUT ${hook} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`),
    405,
    'E_METHOD_NOT_ALLOWED',
  ],
  ['T23 GET', Buffer.from(`GET ${hook} HTTP/1.1\r\nHost: x\r\n\r\n`), 405, 'E_METHOD_NOT_ALLOWED'],
  ['T23 OPTIONS', Buffer.from(`OPTIONS ${hook} HTTP/1.1\r\nHost: x\r\n\r\n`), 405, 'E_METHOD_NOT_ALLOWED'],
  ['T52 an unknown source', post('/webhook/nothing', '{}'), 404, 'E_NOT_FOUND'],
  ['T52 nothing there', post('/rpc', '{}'), 404, 'E_NOT_FOUND'],
]

/** How many deliveries are counted as refused, in all and with a status and a code. */
async function counted(
  router: TestRouter,
  status: number,
  code: string | null,
): Promise<{ all: number; own: number }> {
  const { refused } = await router.call('event.refused', { limit: 500 })
  const sum = (rows: typeof refused): number => rows.reduce((total, { count }) => total + count, 0)
  return {
    all: sum(refused),
    own: sum(refused.filter(each => each.status === status && (code === null || each.reason === code))),
  }
}

/** Holds one row against a router that is not rate limited. */
async function exactly(router: TestRouter, [name, request, status, code, close]: Row): Promise<void> {
  const before = (await router.call('event.query', { limit: 500 })).events.length
  const refused = await counted(router, status, code)
  const answer = await raw(router.router.intake, ...[request].flat())
  expect([name, answer.status, answer.body]).toEqual([name, status, expect.any(String)])
  if (code !== null)
    expect(JSON.parse(answer.body), name).toMatchObject({
      status,
      code,
      type: expect.stringContaining('urn:signalbox:error:') as string,
      detail: expect.any(String) as string,
    })
  if (code !== null) expect(answer.headers, name).toContain('application/problem+json')
  if (close === true) expect(answer.closed, name).toBe(true)
  if (status === 405) expect(answer.headers, name).toContain('allow: post')
  const after = (await router.call('event.query', { limit: 500 })).events.length
  expect(after - before, name).toBe(status === 202 ? 1 : 0)
  const more = status === 202 ? 0 : 1
  expect(await counted(router, status, code), name).toEqual({
    all: refused.all + more,
    own: refused.own + more,
  })
  expect(({} as { polluted?: number }).polluted).toBeUndefined()
  // Whatever came, the next sender is served.
  expect((await raw(router.router.intake, signed(JSON.stringify({ next: name })))).status, name).toBe(202)
}

describe('one request, one exact answer', () => {
  // What is refused leaves nothing behind, so one router will do for all of it.
  test('refused', async () => {
    const router = await threatRouter({ auth_failures_per_minute: 1_000_000 })
    const refused = rows.filter(([, , status]) => status !== 202)
    expect(refused.length).toBeGreaterThan(40)
    for (const row of refused) await exactly(router, row)
  })
  test.each(rows.filter(([, , status]) => status === 202).map((row): [string, Row] => [row[0], row]))(
    '%s',
    async (_name, row) => {
      await exactly(await threatRouter(), row)
    },
  )
})

test('T15 CONNECT is closed', async () => {
  const { router } = await threatRouter()
  expect((await raw(router.intake, Buffer.from('CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n'))).closed).toBe(true)
})

test('T4 a source whose secret cannot be read answers 503, whatever is sent', async () => {
  const { call, router, directory } = await threatRouter()
  const file = join(directory, 'secret')
  for (const ref of [{ env: 'UNSET' }, { env: 'EMPTY' }, { file }]) {
    await call('source.put', {
      source: { id: 'forge', source_type: 'webhook', config: { provider: 'forgejo', secrets: [ref] } },
    })
    const forged = createHmac('sha256', '').update('{}').digest('hex')
    expect(await raw(router.intake, post(hook, '{}', [`X-Forgejo-Signature: ${forged}`]))).toMatchObject({
      status: 503,
      body: expect.stringContaining('E_SOURCE_UNCONFIGURED') as string,
    })
  }
  writeFileSync(file, `${secret}\n`)
  chmodSync(file, 0o644)
  expect((await raw(router.intake, signed('{}'))).status).toBe(503)
  chmodSync(file, 0o600)
  expect((await raw(router.intake, signed('{}'))).status).toBe(202)
})

test('two secrets at once, while one is being changed', async () => {
  const { call, router } = await threatRouter()
  await call('source.put', {
    source: {
      id: 'forge',
      source_type: 'webhook',
      config: { provider: 'forgejo', secrets: [{ env: 'TOKEN' }, { env: 'SECRET' }] },
    },
  })
  expect((await raw(router.intake, signed('{"a": 1}'))).status).toBe(202)
  const old = createHmac('sha256', 'tok').update('{"a": 2}').digest('hex')
  expect((await raw(router.intake, post(hook, '{"a": 2}', [`X-Forgejo-Signature: ${old}`]))).status).toBe(202)
})

test('T7 the same delivery is one event, concurrently too, and under another body it is refused', async () => {
  const { call, post: send } = await threatRouter()
  const headers = { 'x-forgejo-signature': sign('{"a": 1}'), 'x-forgejo-delivery': 'd1' }
  const answers = await Promise.all(Array.from({ length: 50 }, () => send('forge', '{"a": 1}', headers)))
  expect(answers.filter(answer => answer.status === 202)).toHaveLength(1)
  expect(answers.filter(answer => answer.status === 200 && answer.body.duplicate === true)).toHaveLength(49)
  expect(new Set(answers.map(answer => answer.body.event_id)).size).toBe(1)
  expect(
    await send('forge', '{"a": 2}', { 'x-forgejo-signature': sign('{"a": 2}'), 'x-forgejo-delivery': 'd1' }),
  ).toMatchObject({
    status: 422,
    body: { code: 'E_KEY_REUSED' },
  })
  expect((await call('event.query', {})).events).toMatchObject([{ duplicates: 49 }])
})

test('T8 a signed body under a fresh delivery id is known as a redelivery', async () => {
  const { call, post: send } = await threatRouter()
  const headers = { 'x-forgejo-signature': sign('{"a": 1}') }
  const first = await send('forge', '{"a": 1}', { ...headers, 'x-forgejo-delivery': 'd1' })
  expect(
    await send('forge', '{"a": 1}', {
      ...headers,
      'x-forgejo-delivery': 'd2',
      'x-forgejo-event-type': 'other',
    }),
  ).toMatchObject({
    status: 202,
    body: { redelivery_of: first.body.event_id },
  })
  await call('bot.put', { bot: { id: 'b', endpoint: { kind: 'command', argv: ['/bin/true'] } } })
  await call('trigger.put', {
    trigger: { id: 't', filter: { source_id: ['forge'] }, action: { bot_id: 'b' } },
  })
  await call('source.put', {
    source: {
      id: 'forge',
      source_type: 'webhook',
      config: { provider: 'forgejo', secrets: [{ env: 'SECRET' }], on_redelivery: 'log' },
    },
  })
  const logged = await send('forge', '{"a": 1}', { ...headers, 'x-forgejo-delivery': 'd3' })
  expect(logged).toMatchObject({ status: 202, body: { redelivery_of: first.body.event_id, runs: [] } })
  const { decisions } = await call('event.explain', {
    event_id: logged.body.event_id as string,
    trigger_id: 't',
  })
  expect(decisions[0]).toMatchObject({
    matched: true,
    gates: expect.arrayContaining([
      expect.objectContaining({ gate: 'redelivery', verdict: 'stop' }),
    ]) as unknown,
  })
})

const json = '{"a": 1}'
const form = (fields: Record<string, string>): { body: string; type: string } => ({
  body: new URLSearchParams(fields).toString(),
  type: 'application/x-www-form-urlencoded',
})
const spellings = {
  'its JSON': { body: json, type: 'application/json' },
  'a form': form({ payload: json }),
  'a form with another field': form({ payload: json, other: '1' }),
  'a form with a field in front': form({ z: '1', payload: json }),
}

describe.each(['forgejo', 'gitea'] as const)(
  'T8 at %s a redelivery is known by what was signed',
  provider => {
    test.each(Object.keys(spellings) as (keyof typeof spellings)[])('first as %s', async first => {
      const { call, post: send } = await threatRouter()
      await call('bot.put', { bot: { id: 'b', endpoint: { kind: 'pull' } } })
      await call('trigger.put', {
        trigger: { id: 't', filter: { source_id: ['guarded'] }, action: { bot_id: 'b' } },
      })
      const config = { provider, secrets: [{ env: 'SECRET' }], on_redelivery: 'log' as const }
      await call('source.put', { source: { id: 'guarded', source_type: 'webhook', config } })
      const deliver = (name: keyof typeof spellings, id: string): ReturnType<typeof send> =>
        send('guarded', spellings[name].body, {
          'content-type': spellings[name].type,
          [`x-${provider}-signature`]: sign(json),
          [`x-${provider}-delivery`]: id,
        })
      const { body } = await deliver(first, 'first')
      expect(body.runs).toHaveLength(1)
      for (const again of Object.keys(spellings) as (keyof typeof spellings)[])
        expect((await deliver(again, `${again.length}`)).body, again).toMatchObject({
          redelivery_of: body.event_id,
          runs: [],
        })
    })
  },
)

test('T8 control: another signed text is no redelivery', async () => {
  const { post: send } = await threatRouter()
  const [one, other] = ['{"a": 1}', '{"a":1}']
  const first = form({ payload: one })
  await send('forge', first.body, {
    'content-type': first.type,
    'x-forgejo-signature': sign(one),
    'x-forgejo-delivery': 'd1',
  })
  const second = form({ payload: other })
  const answer = await send('forge', second.body, {
    'content-type': second.type,
    'x-forgejo-signature': sign(other),
    'x-forgejo-delivery': 'd2',
  })
  expect(answer).toMatchObject({ status: 202 })
  expect(answer.body).not.toHaveProperty('redelivery_of')
})

test('T11 guessing is slowed down: wrong tokens refuse right ones too, wrong signatures only themselves', async () => {
  const { post: send } = await threatRouter()
  for (let guess = 0; guess < 10; guess++)
    expect((await send('tok', '{}', { authorization: `Bearer ${guess}` })).status).toBe(401)
  const limited = await send('tok', '{}', { authorization: 'Bearer tok' })
  expect(limited).toMatchObject({ status: 429, body: { code: 'E_RATE' } })
  expect(limited.headers.get('retry-after')).toBe('60')
  for (let guess = 0; guess < 12; guess++) await send('forge', '{}', { 'x-forgejo-signature': 'x' })
  expect((await send('forge', '{}', { 'x-forgejo-signature': 'x' })).status).toBe(429)
  expect((await send('forge', '{}', { 'x-forgejo-signature': sign('{}') })).status).toBe(202)
})

test('a source takes no more than its rate', async () => {
  const { call, post: send } = await threatRouter()
  await call('source.put', {
    source: {
      id: 'open',
      source_type: 'webhook',
      config: { provider: 'none', rate_limit: { limit: 1, period_ms: 60_000, burst: 3 } },
    },
  })
  const statuses = []
  for (let count = 0; count < 5; count++) statuses.push((await send('open', '{}')).status)
  expect(statuses).toEqual([202, 202, 202, 429, 429])
})

test('T20 prototypes in events are data', async () => {
  const { call, post: send } = await threatRouter()
  const answer = await send('open', '{"__proto__": {"admin": true}}')
  const stored = await call('event.get', { event_id: answer.body.event_id as string, raw: true })
  expect(Buffer.from(stored.body_base64!, 'base64').toString()).toBe('{"__proto__": {"admin": true}}')
  expect(
    await call('trigger.test', { filter: { payload: { admin: [{ exists: true }] } }, event_id: stored.id }),
  ).toMatchObject({ matched: false })
})

test('disabled, full, shutting down: 409, 507, 503', async () => {
  const router = await threatRouter()
  await router.call('source.disable', { source_id: 'open' })
  expect(await router.post('open', '{}')).toMatchObject({ status: 409, body: { code: 'E_DISABLED' } })
  const full = await threatRouter({ disk_reserve_bytes: Number.MAX_SAFE_INTEGER })
  const refused = await full.post('open', '{}')
  expect(refused).toMatchObject({ status: 507, body: { code: 'E_STORAGE_FULL' } })
  expect(refused.headers.get('retry-after')).toBe('60')
  await expect(full.call('event.emit', { source_id: 'open', type: 'x', payload: 1 })).rejects.toMatchObject({
    code: -32006,
  })
})

test('a backlog is answered 503 before it grows without end', async () => {
  const { call, post: send } = await threatRouter({ max_open_runs: 3 })
  await call('bot.put', {
    bot: { id: 'b', enabled: false, endpoint: { kind: 'command', argv: ['/bin/true'] } },
  })
  await call('trigger.put', {
    trigger: { id: 't', filter: { source_id: ['open'] }, action: { bot_id: 'b' } },
  })
  const statuses = []
  for (let count = 0; count < 5; count++) statuses.push((await send('open', `[${count}]`)).status)
  expect(statuses).toEqual([202, 202, 202, 503, 503])
  const [run] = (await call('run.list', { limit: 1 })).runs
  await call('run.cancel', { run_id: run!.id })
  expect((await send('open', '{}')).status).toBe(202)
})

test('an answer comes in time even when the commit does not', async () => {
  const { post: send } = await threatRouter({ answer_timeout_ms: 1 })
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      send('open', JSON.stringify({ index, text: 'x'.repeat(50_000) })),
    ),
  )
  expect(
    answers.every(
      answer => answer.status === 202 || (answer.status === 503 && answer.body.code === 'E_TIMEOUT'),
    ),
  ).toBe(true)
})

test('T4 a signing key that is none is as good as no secret', async () => {
  const router = await freshRouter({}, { KEY: 'whsec_', SHORT: 'whsec_AAAA', RUBBISH: 'whsec_!!!' })
  for (const env of ['KEY', 'SHORT', 'RUBBISH']) {
    await router.call('source.put', {
      source: { id: 's', source_type: 'webhook', config: { provider: 'standard', secrets: [{ env }] } },
    })
    const timestamp = String(Math.floor(Date.now() / 1000))
    const forged = createHmac('sha256', '').update(`msg_1.${timestamp}.{}`).digest('base64')
    expect(
      await router.post('s', '{}', {
        'webhook-id': 'msg_1',
        'webhook-timestamp': timestamp,
        'webhook-signature': `v1,${forged}`,
      }),
    ).toMatchObject({
      status: 503,
      body: { code: 'E_SOURCE_UNCONFIGURED' },
    })
  }
})

test('a batch of CloudEvents is never answered 202 with nothing stored, and costs its rate', async () => {
  const router = await freshRouter({ max_open_runs: 2 })
  const { call } = router
  await call('bot.put', {
    bot: { id: 'b', enabled: false, endpoint: { kind: 'command', argv: ['/bin/true'] } },
  })
  await call('source.put', {
    source: {
      id: 'ce',
      source_type: 'webhook',
      config: { provider: 'cloudevents', rate_limit: { limit: 10, period_ms: 60_000, burst: 10 } },
    },
  })
  await call('trigger.put', { trigger: { id: 't', filter: { source_id: ['ce'] }, action: { bot_id: 'b' } } })
  const send = (count: number, from: number): ReturnType<TestRouter['post']> =>
    router.post(
      'ce',
      JSON.stringify(
        Array.from({ length: count }, (_, index) => ({
          specversion: '1.0',
          id: String(from + index),
          source: '/s',
          type: 't',
        })),
      ),
      { 'content-type': 'application/cloudevents-batch+json' },
    )
  expect(await send(3, 0)).toMatchObject({ status: 503, body: { code: 'E_BACKLOG' } })
  for (const run of (await call('run.list', {})).runs) await call('run.cancel', { run_id: run.id })
  const again = await send(3, 0)
  expect(again.status).toBe(202)
  expect((again.body.events as { duplicate: boolean }[]).map(event => event.duplicate)).toEqual([
    true,
    true,
    false,
  ])
  expect((await send(10, 10)).status).toBe(429)
})

test('text and binary bodies are not held to the limits of JSON, and headers keep no secret', async () => {
  const { call, post: send } = await threatRouter()
  for (const [type, body] of [
    ['text/plain', '{'.repeat(500)],
    ['text/csv', ','.repeat(60_000)],
    ['application/octet-stream', Buffer.alloc(2000, '[')],
  ] as const) {
    expect(
      (await send('open', body, { 'content-type': type, 'x-token': 'hush', 'x-kept': 'yes' })).status,
    ).toBe(202)
  }
  const { events } = await call('event.query', {})
  for (const { id } of events)
    expect((await call('event.get', { event_id: id })).headers).not.toHaveProperty('x-token')
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  const { event_id } = await call('event.emit', {
    source_id: 's',
    type: 'x',
    payload: 1,
    headers: { Authorization: 'Bearer hush', 'X-Kept': 'yes' },
  })
  expect((await call('event.get', { event_id })).headers).toEqual({ 'x-kept': 'yes' })
})

test('T13 who is slow with headers is answered 408, with a body 503, and both are closed; others are served meanwhile', async () => {
  const { router, post: send } = await threatRouter({ answer_timeout_ms: 500 })
  const silent = Array.from({ length: 50 }, () =>
    raw(router.intake, Buffer.from(`POST ${hook} HTTP/1.1\r\nHost: x\r\n`)),
  )
  const slow = await raw(router.intake, post(hook, '', ['Content-Length: 10']), Buffer.from('{'))
  expect(slow).toMatchObject({ status: 503, closed: true })
  expect((await send('open', '{}')).status).toBe(202)
  for (const answer of await Promise.all(silent)) expect(answer).toMatchObject({ status: 408, closed: true })
})

test('HEAD /health is answered as GET is, without a body', async () => {
  const router = await freshRouter()
  for (const method of ['GET', 'HEAD']) {
    const answer = await fetch(`${router.router.intake}/health`, { method })
    expect([method, answer.status, (await answer.text()) === '']).toEqual([method, 200, method === 'HEAD'])
  }
})
