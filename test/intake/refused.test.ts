// Refused deliveries: what is kept of them, how much, and how often it is written. test/intake/threats.test.ts holds that each refusal
// of its table is counted once, with the status and the code that the sender was answered.
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { SignalboxClient, type Methods } from '../../src/client/client.ts'
import { Fault } from '../../src/errors.ts'
import { refusalReason } from '../../src/http/refusal-reasons.ts'
import {
  RefusedDeliveries,
  type Refusal,
  type RefusedOptions,
} from '../../src/intake/webhooks/refused-deliveries.ts'
import { pathOf, safePath } from '../../src/intake/webhooks/refused-request.ts'
import type { RefusedBatch, RefusedRow } from '../../src/store/store.ts'
import { newestSchema } from '../../src/store/sqlite/file/schema.ts'
import { faultyRouter } from '../faults/shim.ts'
import { signalbox } from '../support/command-line.ts'
import { post, raw } from '../support/raw-http.ts'
import { freshDirectory, freshRouter, until, type TestRouter } from '../support/router.ts'

type Refused = Methods['event.refused']['result']['refused']
const secondMs = 1000
const minuteMs = 60_000

function refusal(given: Partial<Refusal> = {}): Refusal {
  return {
    source_id: 'forge',
    path: null,
    reason: 'E_SIGNATURE',
    status: 401,
    address: '192.0.2.1',
    bytes: 2,
    ...given,
  }
}

/** Refused deliveries on a clock of the test, with the batches that they write. */
function kept(options: Partial<RefusedOptions> = {}) {
  const batches: RefusedBatch[] = []
  const table = new Map<number, RefusedRow>()
  const noteRefused = async (batch: RefusedBatch): Promise<void> => {
    batches.push(batch)
    for (const seq of batch.removed) table.delete(seq)
    for (const row of batch.put) table.set(row.seq, row)
  }
  const bugs: unknown[] = []
  const given = {
    store: { noteRefused },
    stored: [],
    retention_ms: 1e12,
    isFull: () => false,
    now: () => Date.now(),
    logBug: (bug: unknown) => bugs.push(bug),
  }
  const refused = new RefusedDeliveries({ ...given, ...options })
  const rows = (source_id?: string): RefusedRow[] =>
    refused.list({ source_id, limit: 5000, after: null }).page
  return { refused, batches, table, rows, bugs }
}

afterEach(() => void vi.useRealTimers())

describe('what is kept', () => {
  test('the same refusal counts in one row, whatever comes between', () => {
    vi.useFakeTimers({ now: 1_790_000_000_000 })
    const { refused, rows } = kept()
    for (let n = 0; n < 5000; n++) {
      refused.note(refusal({ bytes: n }))
      refused.note(refusal({ address: '192.0.2.2' }))
    }
    vi.advanceTimersByTime(9 * minuteMs)
    refused.note(refusal())
    vi.advanceTimersByTime(11 * minuteMs)
    refused.note(refusal())
    expect(
      rows().map(({ count, address, bytes, last_at, first_at }) => [
        count,
        address,
        bytes,
        last_at - first_at,
      ]),
    ).toEqual([
      [1, '192.0.2.1', 2, 0],
      [5001, '192.0.2.1', 2, 9 * minuteMs],
      [5000, '192.0.2.2', 2, 0],
    ])
    expect(refused.totals().get('forge')).toMatchObject({
      count: 10_002,
      first_at: 1_790_000_000_000,
      last_reason: 'E_SIGNATURE',
    })
  })

  /** What a flood from many paths and addresses leaves: rows in all, most of one source, and of a source that was there before. */
  function flooded(
    sources: number,
    note: (refusal: Refusal) => void,
    rows: () => readonly Refusal[],
  ): { all: number; most: number; quiet: number } {
    note(refusal({ source_id: 'quiet' }))
    for (let n = 0; n < 3000; n++) {
      note(refusal({ source_id: null, path: `/webhook/p${n}`, reason: 'E_NOT_FOUND' }))
      note(refusal({ source_id: `source-${n % sources}`, address: `2001:db8::${n}` }))
    }
    const of = Map.groupBy(rows(), row => row.source_id)
    return {
      all: rows().length,
      most: Math.max(...[...of.values()].map(each => each.length)),
      quiet: of.get('quiet')?.length ?? 0,
    }
  }

  test.each([
    [5, { all: 601, most: 100, quiet: 1 }],
    [15, { all: 1000, most: 64, quiet: 1 }],
  ])('a flood to %i sources leaves 100 rows of each, 1,000 in all', async (sources, left) => {
    const { refused, rows, table } = kept()
    expect(flooded(sources, each => refused.note(each), rows)).toEqual(left)
    await refused.stop()
    expect(new Set(table.keys())).toEqual(new Set(rows().map(row => row.seq)))
  })

  test('control: a plain list of the last 1,000 does not', () => {
    const list: Refusal[] = []
    const add = (each: Refusal): void => void (list.push(each) > 1000 && list.shift())
    expect(flooded(5, add, () => list)).toMatchObject({ most: 500, quiet: 0 })
  })

  test('pages have every row once, newest first', () => {
    const { refused } = kept()
    for (let n = 0; n < 25; n++) refused.note(refusal({ address: `a${n}` }))
    const found: RefusedRow[] = []
    for (let after: RefusedRow | null = null, more = true; more;) {
      const { page, next } = refused.list({ limit: 10, after })
      found.push(...page)
      after = next
      more = next !== null
    }
    expect(found.map(row => row.address)).toEqual(Array.from({ length: 25 }, (_, n) => `a${24 - n}`))
  })

  test('what is older than the retention is not shown', () => {
    vi.useFakeTimers()
    const { refused, rows } = kept({ retention_ms: 5000 })
    refused.note(refusal())
    vi.advanceTimersByTime(5001)
    refused.note(refusal({ address: 'b' }))
    expect(rows().map(row => row.address)).toEqual(['b'])
  })

  test.each([
    ['/webhook/a?token=x#y', '/webhook/a'],
    ['http://me:secret@host/webhook/a?b', '/webhook/a'],
    [`/${'x'.repeat(300)}`, `/${'x'.repeat(199)}`],
    ['/\u0085\u009b31m', '/\\u0085\\u009b31m'],
    [`/${'é'.repeat(150)}`, `/${'é'.repeat(99)}`],
  ])('the path of %j', (target, path) => {
    expect(safePath(pathOf(target))).toBe(path)
  })
})

describe('how it is written', () => {
  test('at most one batch a second, with what changed', async () => {
    vi.useFakeTimers()
    const { refused, batches, table, rows } = kept()
    for (let ms = 0; ms < 5000; ms++) {
      for (const address of ['a', 'b']) refused.note(refusal({ address }))
      await vi.advanceTimersByTimeAsync(1)
    }
    expect(batches.length).toBeLessThanOrEqual(5)
    expect(batches.length).toBeGreaterThanOrEqual(4)
    await vi.advanceTimersByTimeAsync(secondMs)
    expect([...table.values()]).toEqual(rows().toReversed())
    const written = batches.length
    await vi.advanceTimersByTimeAsync(10 * secondMs)
    expect(batches.length).toBe(written)
  })

  test('nothing while the disk is full, all of it later', async () => {
    vi.useFakeTimers()
    let isFull = true
    const { refused, batches, table } = kept({ isFull: () => isFull })
    refused.note(refusal())
    await vi.advanceTimersByTimeAsync(10 * secondMs)
    expect(batches).toEqual([])
    isFull = false
    await vi.advanceTimersByTimeAsync(secondMs)
    expect(table.size).toBe(1)
  })

  test('what the storage refused is in the next batch', async () => {
    vi.useFakeTimers()
    const batches: RefusedBatch[] = []
    const noteRefused = async (batch: RefusedBatch): Promise<void> => {
      if (batches.push(batch) === 1) throw new Fault('storage_full', 'the disk is full')
    }
    const { refused, bugs } = kept({ store: { noteRefused } })
    for (let n = 0; n < 101; n++) refused.note(refusal({ address: `a${n}` }))
    await vi.advanceTimersByTimeAsync(2 * secondMs)
    expect(batches.map(({ put, removed }) => [put.length, removed.length])).toEqual([
      [100, 1],
      [100, 1],
    ])
    expect(bugs).toEqual([])
  })
})

const secret = 'a secret of the forge'
const sign = (body: string): string => createHmac('sha256', secret).update(body).digest('hex')

async function refusing(flags: Record<string, unknown> = {}): Promise<TestRouter> {
  const router = await freshRouter(flags, { SECRET: secret })
  const source = (id: string, config: object): Promise<unknown> =>
    router.call('source.put', { source: { id, source_type: 'webhook', config: config as never } })
  await source('forge', { provider: 'forgejo', secrets: [{ env: 'SECRET' }] })
  await source('open', { provider: 'none' })
  return router
}

async function refusedOf({ call }: TestRouter, source_id?: string): Promise<Refused> {
  return (await call('event.refused', { limit: 500, ...(source_id === undefined ? {} : { source_id }) }))
    .refused
}

describe('by a router', () => {
  test('a wrong signature, with its fields', async () => {
    const router = await refusing()
    await router.post('forge', '{"a":1}', { 'x-forgejo-signature': sign('other') })
    const time: unknown = expect.any(Number)
    expect(await refusedOf(router)).toEqual([
      {
        source_id: 'forge',
        reason: 'E_SIGNATURE',
        ...refusalReason('E_SIGNATURE', 401),
        status: 401,
        address: '127.0.0.1',
        bytes: 7,
        count: 1,
        first_at: time,
        last_at: time,
      },
    ])
    expect((await router.call('source.get', { source_id: 'forge' })).source.refused).toEqual({
      count: 1,
      first_at: time,
      last_at: time,
      last_reason: 'E_SIGNATURE',
    })
    expect((await router.call('source.get', { source_id: 'open' })).source.refused).toBeUndefined()
    expect((await router.call('router.stats', {})).refused).toMatchObject({
      count: 1,
      sources: [{ id: 'forge', count: 1 }],
    })
    expect((await router.call('router.stats', { since: Date.now() + minuteMs })).refused).toEqual({
      count: 0,
      sources: [],
    })
  })

  test('disabled, over its rate, backlog, key used twice', async () => {
    const router = await refusing({ max_open_runs: 1 })
    const { call } = router
    await call('bot.put', { bot: { id: 'b', enabled: false, endpoint: { kind: 'pull' } } })
    await call('trigger.put', {
      trigger: { id: 't', filter: { source_id: ['open'] }, action: { bot_id: 'b' } },
    })
    for (const body of ['[1]', '[2]', '[3]']) await router.post('open', body, { 'webhook-id': 'd1' })
    for (const body of ['[4]', '[5]']) await router.post('open', body)
    const rate_limit = { limit: 1, period_ms: minuteMs, burst: 1 }
    await call('source.put', {
      source: { id: 'rated', source_type: 'webhook', config: { provider: 'none', rate_limit } },
    })
    for (let n = 0; n < 3; n++) await router.post('rated', '{}')
    await call('source.disable', { source_id: 'rated' })
    await router.post('rated', '{}')
    expect(
      (await refusedOf(router)).map(({ source_id, reason, status, count }) => [
        source_id,
        reason,
        status,
        count,
      ]),
    ).toEqual(
      expect.arrayContaining([
        ['open', 'E_KEY_REUSED', 422, 2],
        ['open', 'E_BACKLOG', 503, 2],
        ['rated', 'E_RATE', 429, 2],
        ['rated', 'E_DISABLED', 409, 1],
      ]),
    )
  })

  test('a full disk and a secret that cannot be read', async () => {
    const router = await refusing({ disk_reserve_bytes: Number.MAX_SAFE_INTEGER })
    await router.post('open', '{}')
    await router.call('source.put', {
      source: {
        id: 'forge',
        source_type: 'webhook',
        config: { provider: 'forgejo', secrets: [{ env: 'UNSET' }] },
      },
    })
    await router.post('forge', '{}')
    expect((await refusedOf(router)).map(({ reason, status }) => [reason, status])).toEqual(
      expect.arrayContaining([
        ['E_SOURCE_UNCONFIGURED', 503],
        ['E_STORAGE_FULL', 507],
      ]),
    )
  })

  test('a sender that leaves, an expectation, CONNECT', async () => {
    const router = await refusing()
    const { hostname, port } = new URL(router.router.intake)
    const leaving = connect(Number(port), hostname)
    await once(leaving, 'connect')
    leaving.write(post('/webhook/open', '{"a"', ['Content-Length: 100']), () => leaving.resetAndDestroy())
    await until(async () => (await refusedOf(router)).some(({ reason }) => reason === 'E_ABORTED'))
    await raw(router.router.intake, post('/webhook/open', '{}', ['Expect: much']))
    await raw(router.router.intake, 'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n')
    expect(await refusedOf(router)).toMatchObject([
      { reason: 'E_METHOD_NOT_ALLOWED', path: 'x:1', count: 1 },
      { reason: 'E_EXPECT', status: 417, source_id: 'open' },
      { reason: 'E_ABORTED', status: 400, source_id: 'open', bytes: 100, count: 1 },
    ])
  })

  test('more than 256 connections', async () => {
    const router = await refusing()
    const { hostname, port } = new URL(router.router.intake)
    const sockets = Array.from({ length: 300 }, () =>
      connect(Number(port), hostname).on('error', () => undefined),
    )
    const found = await until(async () =>
      (await refusedOf(router)).find(({ reason, count }) => reason === 'E_CONNECTIONS' && count === 44),
    )
    expect(found).not.toHaveProperty('status')
    expect(found).toMatchObject({ address: '127.0.0.1', title: 'too many open connections' })
    for (const socket of sockets) socket.destroy()
  })

  test('the events of a batch that are refused', async () => {
    const router = await refusing()
    await router.call('source.put', {
      source: { id: 'ce', source_type: 'webhook', config: { provider: 'cloudevents' } },
    })
    const event = (id: string, data: number): object => ({
      specversion: '1.0',
      id,
      source: '/s',
      type: 't',
      data,
    })
    const send = (...events: object[]): ReturnType<TestRouter['post']> =>
      router.post('ce', JSON.stringify(events), { 'content-type': 'application/cloudevents-batch+json' })
    await send(event('1', 1), event('2', 1))
    expect((await send(event('1', 2), event('2', 2), event('3', 3))).status).toBe(202)
    expect(await refusedOf(router)).toMatchObject([
      { source_id: 'ce', reason: 'E_KEY_REUSED', status: 422, count: 2 },
    ])
  })

  test('every reason that the intake answers has words of its own', () => {
    const program = [
      'webhooks/server',
      'webhooks/refused-request',
      ...['provider', 'standard', 'cloudevents', 'bearer', 'gitlab'].map(
        name => `webhooks/providers/${name}`,
      ),
      ...['http/request', 'routing/accept', 'routing/payload'].map(name => `../${name}`),
    ]
      .map(name => readFileSync(`src/intake/${name}.ts`, 'utf8'))
      .join('\n')
    const codes = new Set([...program.matchAll(/'(E_[A-Z_]+)'/g)].map(match => match[1]!))
    expect(codes.size).toBeGreaterThan(20)
    expect(
      [...codes].filter(code => refusalReason(code, 400).help === 'the log of the router has the details'),
    ).toEqual([])
  })
})

const canary = 'canary7Kq93xZr'

/** Everything of a directory that holds a text. */
function holding(directory: string, text: string): string[] {
  const names = readdirSync(directory, { recursive: true, withFileTypes: true }).filter(entry =>
    entry.isFile(),
  )
  return names
    .map(entry => join(entry.parentPath, entry.name))
    .filter(path => readFileSync(path).includes(text))
}

test('nothing of a body or a header is kept; a clean stop writes', async () => {
  const directory = freshDirectory()
  const env = { SIGNALBOX_LOG_LEVEL: 'trace', SECRET: secret }
  const router = await faultyRouter(directory, {}, env)
  const client = await SignalboxClient.connect(router.socket)
  for (const [id, config] of [
    ['forge', { provider: 'forgejo', secrets: [{ env: 'SECRET' }] }],
    ['std', { provider: 'standard', secrets: [{ env: 'SECRET' }] }],
    ['tok', { provider: 'bearer', secrets: [{ env: 'SECRET' }] }],
  ] as const)
    await client.call('source.put', { source: { id, source_type: 'webhook', config: config as never } })
  const canaries = [
    'x-forgejo-signature',
    'x-forgejo-delivery',
    'webhook-id',
    'authorization',
    'user-agent',
    'cookie',
    'x-forwarded-for',
    'x-gitlab-token',
  ]
  const headers = canaries.map(name => `${name}: ${canary}`)
  const body = JSON.stringify({ [canary]: canary })
  for (const id of ['forge', 'std', 'tok', 'nothing']) {
    await raw(router.intake, post(`/webhook/${id}?token=${canary}`, body, headers))
    await raw(router.intake, post(`/webhook/${id}`, body, [...headers, `Content-Type: ${canary}/${canary}`]))
    await raw(
      router.intake,
      post(`http://${canary}:${canary}@${canary}/webhook/${id}`, body, [
        ...headers,
        `Content-Encoding: ${canary}`,
      ]),
    )
    await raw(router.intake, post(`/webhook/${id}`, body, [...headers, `Content-Length: ${canary}`]))
    await raw(
      router.intake,
      `PUT /webhook/${id} HTTP/1.1\r\nHost: ${canary}\r\nX-A: ${canary}\r\nContent-Length: 3\r\n\r\n${canary}`,
    )
  }
  const before = await client.call('event.refused', { limit: 500 })
  expect(before.refused.reduce((sum, { count }) => sum + count, 0)).toBe(20)
  // Control: a path is kept, so what is searched does hold what is kept.
  await raw(router.intake, post(`/webhook/kept-${canary}`, '{}'))
  const answer = JSON.stringify(await client.call('event.refused', { limit: 500 })).replaceAll(
    `kept-${canary}`,
    '',
  )
  expect(answer).not.toContain(canary)
  client.close()
  router.process.kill('SIGTERM')
  expect(await router.ended).toBe(0)
  expect(router.said()).toContain('event.refused')
  expect(router.said()).not.toContain(canary)
  const state = join(directory, 'state')
  expect(holding(state, `kept-${canary}`)).toEqual([join(state, 'signalbox.db')])
  const database = readFileSync(join(state, 'signalbox.db')).toString('latin1')
  expect(database.replaceAll(`kept-${canary}`, '')).not.toContain(canary)

  // What was written is there again, and no more is made of it.
  const again = await faultyRouter(directory, {}, env)
  const second = await SignalboxClient.connect(again.socket)
  const after = await second.call('event.refused', { limit: 500 })
  expect(after.refused.filter(({ path }) => path !== `/webhook/kept-${canary}`)).toEqual(before.refused)
  expect((await second.call('router.status', {})).store.schema_version).toBe(newestSchema())
  second.close()
})

test('events refused, sources and doctor say it', async () => {
  const router = await refusing()
  for (let n = 0; n < 3; n++) await router.post('forge', '{}', { 'x-forgejo-signature': 'x' })
  await router.post('f%C2%9B31mrge', '{}')
  const listed = await signalbox(router, ['events', 'refused', '--since', '1h'])
  expect(listed.out).toMatch(
    /3 {2}.*forge .*401 .*127\.0\.0\.1 {2}signature is missing or does not match \(E_SIGNATURE\)/,
  )
  expect(listed.out).toContain('/webhook/f%C2%9B31mrge')
  const ofSource = await signalbox(router, ['--json', 'events', 'refused', '--source', 'forge'])
  expect(JSON.parse(ofSource.out)).toMatchObject({ source_id: 'forge', count: 3 })
  expect((await signalbox(router, ['events', 'refused', '--source', 'open'])).out).toBe(
    'no refused deliveries\n',
  )
  expect((await signalbox(router, ['sources'])).out).toMatch(/REFUSED[^]*forge .* 3 /)
  expect((await signalbox(router, ['stats'])).out).toContain('refused deliveries: 4 (forge 3, no source 1)')
  const doctor = await signalbox(router, ['doctor'])
  expect(doctor.out).toMatch(
    /warn refused {2}3 deliveries to forge were refused since .*: signature is missing or does not match\n.*compare the secret/,
  )
  expect(doctor.out).toMatch(
    /1 delivery to no webhook source was refused since .* at \/webhook\/f%C2%9B31mrge: no webhook source at this path/,
  )
  await router.post('forge', '{}', { 'x-forgejo-signature': sign('{}') })
  expect((await signalbox(router, ['doctor'])).out).toMatch(
    /info refused {2}3 deliveries to forge .*since then an event was accepted/,
  )
})
