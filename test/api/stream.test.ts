// GET /stream: what is sent, from where a reader goes on, and what bounds it.
import { createServer } from 'node:http'
import { describe, expect, onTestFinished, test } from 'vitest'
import { localPrincipal } from '../../src/api/principal.ts'
import { RunChanges } from '../../src/api/run-changes.ts'
import { Streams, Wakes, type StreamOptions } from '../../src/api/stream.ts'
import { cursorOf, cursorText, streamRequest } from '../../src/api/stream-request.ts'
import { compileContract } from '../../src/contract/validators.ts'
import { listenTcp } from '../../src/http/listening.ts'
import { bearer, bearerOf, environmentToken, listening } from '../support/admin.ts'
import { ended, routerIn, until, type TestRouter } from '../support/router.ts'
import { SseReader } from '../support/sse.ts'

type Admin = TestRouter & { admin: string }

async function router(flags: Record<string, unknown> = {}): Promise<Admin> {
  const made = await listening(flags)
  await made.call('source.put', { source: { id: 's', source_type: 'service' } })
  return made
}

async function stream(
  { admin }: Pick<Admin, 'admin'>,
  query = '',
  headers: Record<string, string> = {},
): Promise<SseReader> {
  const reader = new SseReader(admin, query, { ...bearer, ...headers })
  const { status, body } = await reader.open()
  expect([status, body]).toEqual([200, undefined])
  await reader.until(sent => sent.some(each => each.event === 'ready'))
  return reader
}

const emit = async ({ call }: TestRouter, n: number, type = 'x'): Promise<string> =>
  (await call('event.emit', { source_id: 's', type, payload: { n, secret: 'CANARY' } })).event_id

interface ShownRun {
  state: string
  result?: unknown
  payload_left_out?: true
}

interface Page {
  attempt: number
  parts: { text: string }[]
}

describe('a reader', () => {
  test('is told of events and runs as they come, without what they carry', async () => {
    const all = await router()
    await all.call('bot.put', {
      bot: { id: 'b', endpoint: { kind: 'command', argv: ['/bin/sh', '-c', 'echo \'{"said": "CANARY"}\''] } },
    })
    await all.call('trigger.put', { trigger: { id: 't', filter: { type: ['go'] }, action: { bot_id: 'b' } } })
    const { token } = await all.call('token.create', { name: 'viewer', role: 'viewer' })
    const [whole, viewer] = [await stream(all), await stream(all, '', bearerOf(token))]
    const event_id = await emit(all, 1, 'go')
    for (const reader of [whole, viewer]) {
      await reader.until(() =>
        reader.of<{ run: ShownRun }>('run').some(({ run }) => run.state === 'completed'),
      )
      expect(reader.of('event')).toMatchObject([{ id: event_id, type: 'go', matched_triggers: ['t'] }])
      expect(JSON.stringify(reader.of('event'))).not.toContain('CANARY')
    }
    const last = (reader: SseReader): ShownRun => reader.of<{ run: ShownRun }>('run').at(-1)!.run
    expect(last(whole).result).toEqual({ said: 'CANARY' })
    expect([last(viewer).result, last(viewer).payload_left_out]).toEqual([undefined, true])
  })

  test('that comes back gets what it missed, once, in each topic', async () => {
    const all = await router()
    const first = await stream(all)
    const seen = [await emit(all, 1), await emit(all, 2)]
    await first.until(() => first.of('event').length === 2)
    first.close()
    const missed: string[] = []
    for (let n = 0; n < 450; n++) missed.push(await emit(all, n))
    // More than may be sent in a second: what was missed is sent whole.
    const again = await stream(all, '?topics=events', { 'last-event-id': first.last })
    await again.until(() => again.of('event').length === 450)
    expect(again.of<{ id: string }>('event').map(event => event.id)).toEqual(missed)
    const before = await stream(all, `?topics=events&after=${first.sent[0]!.id}`)
    await before.until(() => before.of('event').length === 452)
    expect(before.of<{ id: string }>('event').map(event => event.id)).toEqual([...seen, ...missed])
    expect([...again.of('gap'), ...again.of('sampled'), ...before.of('gap')]).toEqual([])
  })

  test('is told of a gap: runs of another life of the router, a cursor ahead of the log', async () => {
    const all = await router()
    for (let n = 0; n < 3; n++) await emit(all, n)
    const reader = await stream(all)
    reader.close()
    await all.router.stop()
    const again = await routerIn(all.directory, {}, { SIGNALBOX_ADMIN_TOKEN: environmentToken })
    const later = { admin: again.router.admin! }
    const resumed = await stream(later, '', { 'last-event-id': reader.last })
    await resumed.until(() => resumed.of('gap').length > 0)
    expect(resumed.of('gap')).toEqual([{ topic: 'runs' }])
    const ahead = await stream(later, '?topics=events', {
      'last-event-id': cursorText({ events: 1_000_000 }),
    })
    await ahead.until(() => ahead.of('gap').length > 0)
    const id = await emit(again, 7)
    await ahead.until(() => ahead.of('event').length > 0)
    expect(ahead.of<{ id: string }>('event')[0]!.id).toBe(id)
  })

  test('gets the output of a run, through its attempts', async () => {
    const all = await router({ retry_schedule_ms: [0, 0] })
    const script = 'echo "attempt $SIGNALBOX_ATTEMPT"; [ "$SIGNALBOX_ATTEMPT" = 2 ] || exit 75'
    await all.call('bot.put', {
      bot: { id: 'b', endpoint: { kind: 'command', argv: ['/bin/sh', '-c', script] } },
    })
    await all.call('trigger.put', {
      trigger: { id: 't', filter: { type: ['go'] }, action: { bot_id: 'b' } },
    })
    const { runs } = await all.call('event.emit', { source_id: 's', type: 'go', payload: {} })
    const reader = await stream(all, `?topics=output&run_id=${runs[0]}`)
    await ended(all, runs[0]!)
    await reader.until(() => reader.of('output').length === 2)
    expect(reader.of<Page>('output').map(page => [page.attempt, page.parts[0]!.text])).toEqual([
      [1, 'attempt 1\n'],
      [2, 'attempt 2\n'],
    ])
    const behind = await stream(all, `?topics=output&run_id=${runs[0]}`, {
      'last-event-id': reader.sent.find(each => each.event === 'output')!.id!,
    })
    await behind.until(() => behind.of('output').length === 1)
    expect(behind.of<Page>('output')[0]!.attempt).toBe(2)
  })

  test('sees what it selected', async () => {
    const all = await router()
    const reader = await stream(all, '?topics=events&type=b')
    for (const type of ['a', 'b', 'c', 'b']) await emit(all, 1, type)
    await reader.until(() => reader.of('event').length === 2)
    expect(reader.of<{ type: string }>('event').map(event => event.type)).toEqual(['b', 'b'])
  })
})

describe('bounds', () => {
  test(
    'a reader that does not read is sent a sample, and how much it missed',
    { timeout: 60_000 },
    async () => {
      const all = await router()
      const reader = await stream(all, '?topics=events')
      reader.pause()
      const count = 6000
      for (let n = 0; n < count; n += 50)
        await Promise.all(Array.from({ length: 50 }, (_, index) => emit(all, n + index)))
      reader.resume()
      const last = await emit(all, count)
      await reader.until(() => reader.of<{ id: string }>('event').at(-1)?.id === last)
      const skipped = reader.of<{ skipped: number }>('sampled').reduce((sum, each) => sum + each.skipped, 0)
      expect(skipped).toBeGreaterThan(0)
      expect(reader.of('event').length + skipped).toBe(count + 1)
    },
  )

  test('a principal has 16 streams', async () => {
    const all = await router()
    const { token } = await all.call('token.create', { name: 'viewer', role: 'viewer' })
    const open = await Promise.all(Array.from({ length: 16 }, () => stream(all, '', bearerOf(token))))
    const refused = await new SseReader(all.admin, '', bearerOf(token)).open()
    expect([refused.status, refused.body?.code]).toEqual([429, 'E_STREAMS'])
    // Another principal is not concerned.
    await stream(all)
    open[0]!.close()
    await until(async () => (await new SseReader(all.admin, '', bearerOf(token)).open()).status === 200)
  })

  test('a stream ends with its token', async () => {
    const all = await router()
    const { token, created } = await all.call('token.create', { name: 'viewer', role: 'viewer' })
    const reader = await stream(all, '', bearerOf(token))
    await all.call('token.revoke', { token_id: created.id })
    await reader.until(() => reader.closed)
  })

  test.each([
    ['?topics=events,logs', {}, 422, /topics must be some of events, runs, output/],
    ['?topics=output', {}, 422, /run_id is required with the topic output/],
    ['?topic=events', {}, 422, /topic must be a known parameter/],
    ['?type=a&type=b', {}, 422, /type is given twice/],
    ['?run_id=x', {}, 422, /run_id is not the id of a run/],
    ['?topics=output&run_id=01997f3e-5b00-7000-8000-0000000000ff', {}, 404, /there is no run/],
    ['?after=nonsense', {}, 422, /after is not a cursor of a stream/],
    ['', { 'last-event-id': 'WzEsMl0' }, 422, /Last-Event-ID is not a cursor/],
  ])(
    '%s is refused before anything is sent',
    async (query, headers: Record<string, string>, status, message) => {
      const all = await router()
      const answer = await new SseReader(all.admin, query, { ...bearer, ...headers }).open()
      expect([answer.status, answer.body?.detail]).toEqual([status, expect.stringMatching(message)])
    },
  )

  test('its scopes are read, and payload for output', async () => {
    const all = await router()
    const tokens = await Promise.all(
      (['worker', 'viewer'] as const)
        .map(role => (role === 'worker' ? 'emit' : 'read'))
        .map(scope => all.call('token.create', { name: scope, scopes: [scope as 'read'] })),
    )
    const [emits, reads] = tokens.map(({ token }) => token)
    expect(await new SseReader(all.admin, '', bearerOf(emits!)).open()).toMatchObject({
      status: 403,
      body: { scope: 'read' },
    })
    const output = '?topics=output&run_id=01997f3e-5b00-7000-8000-0000000000ff'
    expect(await new SseReader(all.admin, output, bearerOf(reads!)).open()).toMatchObject({
      status: 403,
      body: { scope: 'payload' },
    })
    expect((await all.call('audit.list', { outcome: 'refused' })).entries.length).toBe(2)
  })
})

test('a cursor holds a place of each topic, and comes back as it was', () => {
  for (const cursor of [{}, { events: 7 }, { runs: '0123456789ab.12', output: { attempt: 2, offset: 9 } }])
    expect(cursorOf(cursorText(cursor), 'after')).toEqual(cursor)
  for (const text of [
    '',
    'e30',
    cursorText({ events: -1 }),
    cursorText({ runs: 'x' }),
    cursorText({ output: { attempt: 1.5, offset: 0 } }),
  ])
    expect(() => cursorOf(text, 'after')).toThrow('after is not a cursor')
})

/** A stream over a store that has nothing but these events. */
async function over(
  events: number[],
  { isValid = () => true, query = '' }: { isValid?: () => boolean; query?: string } = {},
): Promise<SseReader> {
  const store = {
    lastSeq: async () => events.at(-1) ?? 0,
    nextSeq: async (after: number) => events.find(seq => seq > after) ?? null,
    events: async () => [],
  }
  const context = { store, changes: new RunChanges(), runs: {} } as unknown as StreamOptions['context']
  const streams = new Streams({
    context,
    contract: compileContract(),
    wakes: new Wakes(),
    isValid,
    heartbeat_ms: 10,
    logBug: () => undefined,
  })
  const server = createServer(
    (_request, response) => void streams.serve(response, localPrincipal, streamRequest(query, undefined)),
  )
  const address = await listenTcp(server, '127.0.0.1:0', { name: 'x', setting: 'x', variable: 'X' })
  onTestFinished(() => void server.close())
  const reader = new SseReader(address, '', {})
  await reader.open()
  return reader
}

test.each([
  [[3, 4, 5], 3, false],
  [[3, 4, 5], 5, false],
  [[3, 4, 5], 2, false],
  [[3, 4, 5], 1, true],
  [[3, 9], 3, true],
  [[], 3, true],
  [[], 0, false],
])('of the events %j, behind %i: a gap is told: %s', async (events, after, isTold) => {
  const reader = await over(events, { query: `topics=events&after=${cursorText({ events: after })}` })
  await reader.until(sent => sent.some(each => each.comment !== undefined))
  expect(reader.of('gap')).toEqual(isTold ? [{ topic: 'events' }] : [])
})

describe('the heartbeat', () => {
  test('is a comment', async () => {
    const reader = await over([])
    await reader.until(sent => sent.filter(each => each.comment !== undefined).length >= 3)
    expect(reader.closed).toBe(false)
  })

  test('ends a stream whose token has ended', async () => {
    const reader = await over([], { isValid: () => false })
    await reader.until(() => reader.closed)
  })
})
