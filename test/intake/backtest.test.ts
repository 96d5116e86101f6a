// Trying before letting loose: backtests, dry runs, versions, near misses, hints, replays of what was missed.
import { connect } from 'node:net'
import { describe, expect, test } from 'vitest'
import { SignalboxClient, type DraftTrigger, type TriggerInput } from '../../src/client/client.ts'
import { compileContract } from '../../src/contract/validators.ts'
import { Caller } from '../../src/api/caller.ts'
import { Jsonrpc, type Call, type Handlers } from '../../src/api/jsonrpc.ts'
import { nearestPath, pathsOf } from '../../src/routing/nearest-path.ts'
import { referenceMatches } from '../support/reference-matcher.ts'
import { freshRouter, until, type TestRouter } from '../support/router.ts'
import { noAudit } from '../support/no-audit.ts'

type Filter = Record<string, unknown>

async function router(): Promise<TestRouter> {
  const fresh = await freshRouter()
  await fresh.call('bot.put', {
    bot: { id: 'b', endpoint: { kind: 'command', argv: ['/bin/true'] }, enabled: false },
  })
  for (const id of ['forge', 'other'])
    await fresh.call('source.put', { source: { id, source_type: 'service' } })
  return fresh
}

const put = (
  { call }: TestRouter,
  id: string,
  filter: Filter,
  more: Partial<TriggerInput> = {},
): Promise<unknown> =>
  call('trigger.put', { trigger: { id, event_source_id: 'forge', filter, action: { bot_id: 'b' }, ...more } })

interface Emitted {
  source_id: string
  type: string
  payload: unknown
}

/** Emits events over several calls at once; answers their ids in order. */
async function emit({ call }: TestRouter, events: Emitted[]): Promise<string[]> {
  const ids: string[] = []
  for (let at = 0; at < events.length; at += 60)
    ids.push(
      ...(await Promise.all(events.slice(at, at + 60).map(each => call('event.emit', each)))).map(
        each => each.event_id,
      ),
    )
  return ids
}

/** Events of all kinds, more than any page. */
const events: Emitted[] = Array.from({ length: 2500 }, (_, index) => ({
  source_id: index % 5 === 0 ? 'other' : 'forge',
  type: ['push', 'issues', 'release'][index % 3]!,
  payload: {
    n: index,
    ref: `refs/heads/${index % 7 === 0 ? 'main' : 'next'}`,
    commits: [{ by: index % 4, ok: index % 2 === 0 }],
  },
}))

describe('a backtest', () => {
  test('counts what the judge counts, for filters that need bodies and filters that do not, and changes nothing', async () => {
    const fresh = await router()
    const { call } = fresh
    const liveFilter = { type: ['push'], payload: { ref: ['refs/heads/main'] } }
    await put(fresh, 'live', liveFilter)
    await emit(fresh, events)
    const before = await call('router.status', {})
    const judged = (filter: Filter, source: string | null): Emitted[] =>
      events.filter(each => (source === null || each.source_id === source) && referenceMatches(filter, each))
    const drafts: [Filter, string | null][] = [
      [{ type: ['push', 'release'] }, 'forge'],
      [{ payload: { n: [{ numeric: ['<', 100] }] } }, 'forge'],
      [{ payload: { commits: { by: [1], ok: [false] } } }, null],
      [{ type: ['release'], payload: { ref: [{ suffix: '/main' }] } }, 'other'],
      [{ type: ['nothing'] }, 'forge'],
    ]
    for (const [filter, source] of drafts) {
      const trigger: DraftTrigger = { id: 'live', event_source_id: source, filter }
      const report = await call('trigger.backtest', { trigger, samples: 3 })
      const wanted = judged(filter, source)
      const live = judged(liveFilter, 'forge')
      const looked = events.filter(
        each => source === null || each.source_id === source || each.source_id === 'forge',
      )
      expect(report).toMatchObject({
        scanned: looked.length,
        matched: wanted.length,
        more: false,
        stopped: false,
      })
      expect(report.difference).toMatchObject({
        live_version: 1,
        added: wanted.filter(each => !live.includes(each)).length,
        removed: live.filter(each => !wanted.includes(each)).length,
      })
      expect(report.by_type.reduce((sum, each) => sum + each.matched, 0)).toBe(wanted.length)
      expect(report.by_day.reduce((sum, each) => sum + each.scanned, 0)).toBe(looked.length)
      expect(report.samples.matched.length).toBe(Math.min(3, wanted.length))
      expect(report.samples.unmatched.every(each => each.failing !== undefined)).toBe(true)
    }
    const after = await call('router.status', {})
    expect([after.events.logged, after.runs, after.triggers]).toEqual([
      before.events.logged,
      before.runs,
      before.triggers,
    ])
    expect(await call('trigger.list', {})).toMatchObject({ triggers: [{ id: 'live', version: 1 }] })
  })

  test('takes the newest first, up to a limit and within a time, and shows inputs', async () => {
    const fresh = await router()
    const { call } = fresh
    const ids = await emit(fresh, events.slice(0, 20))
    const draft: DraftTrigger = {
      event_source_id: 'forge',
      filter: { type: ['push'] },
      action: { bot_id: 'b', inputs: { n: '{{ payload.n }}', all: '{{ $sum(payload.commits.by) }}' } },
    }
    const report = await call('trigger.backtest', { trigger: draft, limit: 4, samples: 2 })
    expect(report).toMatchObject({ scanned: 4, more: true })
    expect(report.difference).toBeUndefined()
    expect(report.samples.matched[0]).toMatchObject({ event_id: ids[18], inputs: { n: 18, all: 2 } })
    const { received_at } = (await call('event.get', { event_id: ids[10]! })) as { received_at: number }
    const since = await call('trigger.backtest', { trigger: draft, since: received_at })
    const stored = (await call('event.query', { source_id: 'forge', since: received_at, limit: 100 })).events
    expect(since.scanned).toBe(stored.length)
    expect((await call('trigger.backtest', { trigger: draft, until: received_at })).scanned).toBe(
      16 - stored.length,
    )
    const broken = await call('trigger.backtest', {
      trigger: { ...draft, action: { bot_id: 'b', inputs: { x: '{{ $toMillis(payload.ref) }}' } } },
      samples: 1,
    })
    expect(broken.samples.matched[0]!.inputs_error).toContain('inputs.x')
  })

  test('of an empty log, of forms and texts, and of what cannot be', async () => {
    const fresh = await router()
    const { call, post } = fresh
    expect(await call('trigger.backtest', { filter: { type: ['push'] } })).toMatchObject({
      scanned: 0,
      matched: 0,
      by_type: [],
      by_day: [],
    })
    await call('source.put', { source: { id: 'hook', source_type: 'webhook', config: { provider: 'none' } } })
    await post('hook', 'plain words', { 'content-type': 'text/plain' })
    await post('hook', '{"a": 1, "a": 2}')
    expect(await call('trigger.backtest', { filter: { payload: [{ prefix: 'plain' }] } })).toMatchObject({
      scanned: 2,
      matched: 1,
    })
    expect(await call('trigger.backtest', { filter: { payload: { a: [2] } } })).toMatchObject({ matched: 1 })
    expect(await call('trigger.backtest', { filter: { payload: { a: [1] } } })).toMatchObject({ matched: 0 })
    await expect(call('trigger.backtest', {})).rejects.toMatchObject({ code: -32602 })
    await expect(call('trigger.backtest', { filter: { a: [] } })).rejects.toMatchObject({
      code: -32602,
      data: { path: 'filter.a' },
    })
    await expect(call('trigger.backtest', { trigger_id: 'nobody' })).rejects.toMatchObject({ code: -32002 })
    await expect(call('trigger.backtest', { filter: { a: [1] }, version: 2 })).rejects.toMatchObject({
      data: { path: 'version' },
    })
    await expect(call('trigger.backtest', { filter: { a: [1] }, since: 9, until: 3 })).rejects.toMatchObject({
      data: { path: 'since' },
    })
    await expect(
      call('trigger.backtest', { trigger: { event_source_id: 'nowhere', filter: { a: [1] } } }),
    ).rejects.toMatchObject({ code: -32002 })
  })

  test('tells how far it is, is stopped by its caller and by the end of a connection, and two run at a time', async () => {
    const fresh = await router()
    await emit(fresh, events)
    const { client } = fresh
    const pending = client.call('trigger.backtest', { filter: { payload: { n: [-1] } } })
    const third = new AbortController()
    const cancelled = client.call(
      'trigger.backtest',
      { filter: { payload: { n: [-1] } } },
      { signal: third.signal },
    )
    await expect(fresh.call('trigger.backtest', { filter: { type: ['push'] } })).rejects.toMatchObject({
      code: -32005,
      message: expect.stringContaining('2 backtests run already') as string,
    })
    third.abort()
    const stopped = await cancelled
    expect(stopped.stopped).toBe(true)
    expect(stopped.scanned).toBeLessThan(events.length)
    expect(await pending).toMatchObject({ scanned: events.length, matched: 0, stopped: false })
    expect(await fresh.call('rpc.cancel', { id: 'nobody' })).toEqual({ cancelled: false })
    const leaving = await SignalboxClient.connect(fresh.router.socket)
    const lost = Promise.all([
      leaving.call('trigger.backtest', { filter: { type: ['push'] } }),
      leaving.call('trigger.backtest', { filter: { type: ['push'] } }),
    ])
    lost.catch(() => undefined)
    await leaving.call('rpc.health', {})
    leaving.close()
    await until(() =>
      fresh.call('trigger.backtest', { filter: { type: ['push'] }, limit: 1 }).catch(() => undefined),
    )
  })

  test('progress comes as notifications with the id of the call, only where it is asked for', async () => {
    const fresh = await router()
    await emit(fresh, events)
    const lines: {
      id?: unknown
      method?: string
      params?: { id: unknown; progress: { scanned: number; total: number } }
    }[] = []
    const socket = connect(fresh.router.socket)
    let text = ''
    const answered = new Promise<void>(resolve => {
      socket.on('data', chunk => {
        text += chunk.toString('utf8')
        for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n')) {
          lines.push(JSON.parse(text.slice(0, at)) as (typeof lines)[number])
          text = text.slice(at + 1)
        }
        if (lines.some(line => line.id === 'quiet') && lines.some(line => line.id === 'loud')) resolve()
      })
    })
    const request = (id: string, progress: boolean): string =>
      `${JSON.stringify({ jsonrpc: '2.0', id, method: 'trigger.backtest', params: { filter: { payload: { n: [1] } }, progress } })}\n`
    socket.write(request('quiet', false) + request('loud', true))
    await answered
    socket.end()
    const notices = lines.filter(line => line.method === 'rpc.progress')
    expect(notices.length).toBeGreaterThan(0)
    for (const { params } of notices) {
      expect(params!.id).toBe('loud')
      expect(params!.progress.scanned).toBeLessThanOrEqual(params!.progress.total)
    }
  })
})

describe('versions', () => {
  test('a dry run says what a change would have done, and writes nothing', async () => {
    const fresh = await router()
    const { call } = fresh
    await put(fresh, 't', { type: ['push'] })
    await emit(fresh, events.slice(0, 30))
    const trigger: TriggerInput = {
      id: 't',
      event_source_id: 'forge',
      filter: { type: ['push', 'issues'], payload: { ref: ['refs/heads/next'] } },
      action: { bot_id: 'b' },
    }
    const { trigger: would, backtest } = await call('trigger.put', { trigger, dry_run: true })
    expect(would.version).toBe(2)
    const forge = events.slice(0, 30).filter(each => each.source_id === 'forge')
    const next = (each: Emitted): boolean => (each.payload as { ref: string }).ref === 'refs/heads/next'
    expect(backtest!.difference).toMatchObject({
      live_version: 1,
      added: forge.filter(each => each.type === 'issues' && next(each)).length,
      removed: forge.filter(each => each.type === 'push' && !next(each)).length,
    })
    expect((await call('trigger.get', { trigger_id: 't' })).trigger).toMatchObject({
      version: 1,
      filter: { type: ['push'] },
    })
    expect((await call('trigger.versions', { trigger_id: 't' })).versions).toHaveLength(1)
    await expect(call('trigger.put', { trigger, version: 7, dry_run: true })).rejects.toMatchObject({
      code: -32009,
    })
    const fresher = await call('trigger.put', { trigger: { ...trigger, id: 'new' }, dry_run: true })
    expect(fresher.backtest!.difference).toBeUndefined()
    expect(fresher.trigger.version).toBe(1)
  })

  test('are listed, explained, tried and brought back, also after a delete', async () => {
    const fresh = await router()
    const { call } = fresh
    await put(fresh, 't', { type: ['push'] })
    await put(fresh, 't', { type: ['issues'] })
    await put(fresh, 't', { type: ['release'] }, { enabled: false })
    const { versions } = await call('trigger.versions', { trigger_id: 't' })
    expect(versions).toMatchObject([
      { version: 3, present: true, trigger: { filter: { type: ['release'] }, enabled: false } },
      { version: 2, present: false, trigger: { filter: { type: ['issues'] } } },
      { version: 1, present: false },
    ])
    const page = await call('trigger.versions', { trigger_id: 't', limit: 2 })
    expect(page.versions.map(each => each.version)).toEqual([3, 2])
    expect(
      (await call('trigger.versions', { trigger_id: 't', limit: 2, cursor: page.next_cursor! })).versions.map(
        each => each.version,
      ),
    ).toEqual([1])
    const [event_id] = await emit(fresh, [{ source_id: 'forge', type: 'issues', payload: {} }])
    const explained = async (trigger_version?: number): Promise<unknown> =>
      (await call('event.explain', { event_id: event_id!, trigger_id: 't', trigger_version })).decisions[0]
    expect(await explained()).toMatchObject({ trigger_version: 3, matched: false })
    expect(await explained(2)).toMatchObject({ trigger_version: 2, matched: true })
    expect(await explained(1)).toMatchObject({ trigger_version: 1, matched: false })
    await expect(
      call('event.explain', { event_id: event_id!, trigger_id: 't', trigger_version: 9 }),
    ).rejects.toMatchObject({ code: -32002 })
    await expect(call('event.explain', { event_id: event_id!, trigger_version: 1 })).rejects.toMatchObject({
      data: { path: 'trigger_version' },
    })
    expect(await call('trigger.backtest', { trigger_id: 't', version: 2 })).toMatchObject({
      matched: 1,
      difference: { live_version: 3, added: 1, removed: 0 },
    })
    expect(
      (await call('trigger.put', { trigger_id: 't', from_version: 2, version: 3 })).trigger,
    ).toMatchObject({
      version: 4,
      filter: { type: ['issues'] },
      enabled: false,
    })
    await call('trigger.delete', { trigger_id: 't' })
    expect((await call('trigger.versions', { trigger_id: 't' })).versions.map(each => each.present)).toEqual([
      false,
      false,
      false,
      false,
    ])
    expect((await call('trigger.put', { trigger_id: 't', from_version: 1 })).trigger).toMatchObject({
      version: 5,
      filter: { type: ['push'] },
    })
    expect(
      (await call('event.emit', { source_id: 'forge', type: 'push', payload: {} })).matched_triggers,
    ).toEqual(['t'])
    await expect(call('trigger.versions', { trigger_id: 'nobody' })).rejects.toMatchObject({ code: -32002 })
    await expect(call('trigger.put', { trigger_id: 't', from_version: 99 })).rejects.toMatchObject({
      code: -32002,
    })
    await expect(call('trigger.put', { trigger_id: 't' })).rejects.toMatchObject({
      data: { path: 'from_version' },
    })
    await expect(call('trigger.put', {})).rejects.toMatchObject({ data: { path: 'trigger' } })
  })
})

describe('near misses', () => {
  test('are events that fail by one field, or by the array elements alone', async () => {
    const fresh = await router()
    const { call } = fresh
    await put(fresh, 't', { type: ['push'], payload: { ref: ['main'], commits: { by: [1], ok: [true] } } })
    const good = { ref: 'main', commits: [{ by: 1, ok: true }] }
    const ids = await emit(fresh, [
      { source_id: 'forge', type: 'push', payload: good },
      { source_id: 'forge', type: 'issues', payload: good },
      {
        source_id: 'forge',
        type: 'push',
        payload: {
          ...good,
          commits: [
            { by: 1, ok: false },
            { by: 2, ok: true },
          ],
        },
      },
      { source_id: 'forge', type: 'issues', payload: { ref: 'next' } },
      { source_id: 'other', type: 'issues', payload: good },
    ])
    const { events: near } = await call('event.query', { near: 't' })
    expect(near.map(({ id, failing }) => [id, failing])).toEqual([
      [ids[2], []],
      [ids[1], ['type']],
    ])
    expect(
      (await call('event.query', { near: 't', filter: { type: ['push'] } })).events.map(each => each.id),
    ).toEqual([ids[2]])
    expect(
      (await call('event.query', { near: 't', source_id: 'other' })).events.map(each => each.id),
    ).toEqual([ids[4]])
    await expect(call('event.query', { near: 'nobody' })).rejects.toMatchObject({ code: -32002 })
  })

  test('explain lists all triggers of the source, nearest first, with the path that was meant', async () => {
    const fresh = await router()
    const { call } = fresh
    await put(fresh, 'far', { type: ['issues'], payload: { ref: ['x'], repo: { name: ['y'] } } })
    await put(fresh, 'near', { type: ['push'], payload: { repo: { full_name: ['acme/site'] } } })
    await put(fresh, 'hit', { type: ['push'] })
    await put(fresh, 'elsewhere', { type: ['push'] }, { event_source_id: 'other' })
    const [event_id] = await emit(fresh, [
      { source_id: 'forge', type: 'push', payload: { ref: 'main', repository: { full_name: 'acme/site' } } },
    ])
    const { decisions } = await call('event.explain', { event_id: event_id! })
    expect(decisions.map(each => each.trigger_id)).toEqual(['hit', 'near', 'far'])
    const [condition] = decisions[1]!.conditions
    expect(condition).toMatchObject({
      path: 'payload.repo.full_name',
      found: [],
      hint: 'payload.repository.full_name',
    })
    expect(
      (await call('trigger.test', { filter: { payload: { reff: ['main'] } }, event_id: event_id! }))
        .conditions[0]!.hint,
    ).toBe('payload.ref')
  })

  const event = {
    id: 'e',
    type: 'push',
    payload: {
      ref: 'x',
      repository: { full_name: 'a/b', name: 'b', owner: { login: 'a' } },
      commits: [{ author: { email: 'x' } }],
      head_commit: { id: 1 },
    },
  }
  test.each([
    ['payload.repo.name', 'payload.repository.name'],
    ['repository.full_name', 'payload.repository.full_name'],
    ['payload.full_name', 'payload.repository.full_name'],
    ['payload.repository.fullName', 'payload.repository.full_name'],
    ['payload.commit.author.email', 'payload.commits.author.email'],
    ['Type', 'type'],
    ['payload.headcommit.id', 'payload.head_commit.id'],
    ['payload.zebra.stripes', undefined],
    ['payload.pull_request.merged_by.login', undefined],
  ])('for %s it says %s', (path, hint) => {
    expect(nearestPath(path, pathsOf(event))).toBe(hint)
  })
})

test('a dry run counts a trigger that is or would be disabled as matching nothing', async () => {
  const fresh = await router()
  const { call } = fresh
  await put(fresh, 't', { type: ['push'] })
  await emit(
    fresh,
    events.slice(0, 30).filter(each => each.source_id === 'forge'),
  )
  const pushes = events.slice(0, 30).filter(each => each.source_id === 'forge' && each.type === 'push').length
  const trigger: TriggerInput = {
    id: 't',
    event_source_id: 'forge',
    filter: { type: ['push'] },
    action: { bot_id: 'b' },
  }
  expect(
    (await call('trigger.put', { trigger: { ...trigger, enabled: false }, dry_run: true })).backtest,
  ).toMatchObject({
    matched: 0,
    difference: { added: 0, removed: pushes },
  })
  await call('trigger.disable', { trigger_id: 't' })
  expect((await call('trigger.put', { trigger, dry_run: true })).backtest).toMatchObject({
    matched: pushes,
    difference: { added: pushes, removed: 0 },
  })
  expect(
    (await call('trigger.put', { trigger_id: 't', from_version: 1, dry_run: true })).backtest,
  ).toMatchObject({
    matched: 0,
    difference: { added: 0, removed: 0 },
  })
  expect((await call('trigger.test', { trigger_id: 't', event: { type: 'push' } })).reason).toContain(
    'the trigger is disabled',
  )
})

describe('a call on its way', () => {
  /** A router's JSON-RPC of which one method waits until it is stopped. */
  function waiting(): { jsonrpc: Jsonrpc; begun: Promise<void> } {
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
    const handlers = {
      async 'trigger.backtest'(_params: unknown, call: Call) {
        await Promise.resolve()
        const signal = call.signal()
        call.progress({ scanned: 1 }, false)
        begin()
        if (!signal.aborted) await new Promise(resolve => signal.addEventListener('abort', resolve))
        call.progress({ scanned: 2 }, false)
        call.progress({ scanned: 3 }, true)
        return 'stopped'
      },
      'rpc.cancel': async ({ id }: { id: string }, call: Call) => ({ cancelled: call.cancel(id) }),
    }
    const jsonrpc = new Jsonrpc({
      audit: noAudit,
      contract: compileContract(),
      handlers: new Proxy(handlers, {
        get: (known, name) => known[name as keyof typeof known] ?? (() => Promise.reject(new Error('none'))),
      }) as unknown as Handlers,
      limits: { json_depth: 64, json_tokens: 1000 },
      logBug: () => undefined,
    })
    return { jsonrpc, begun }
  }
  const request = (id: unknown, method: string, params: object): Buffer =>
    Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...(id === undefined ? {} : { id }), method, params }))
  const backtest = (id: unknown): Buffer => request(id, 'trigger.backtest', { filter: { a: [1] } })

  test('is cancelled by its id, also before it asks for its signal, and no other is', async () => {
    const { jsonrpc } = waiting()
    const caller = new Caller(8)
    const first = jsonrpc.answer(backtest('a'), caller)
    expect(await jsonrpc.answer(request(2, 'rpc.cancel', { id: 'a' }), caller)).toContain('"cancelled":true')
    expect(await first).toContain('stopped')
    expect(await jsonrpc.answer(request('b', 'rpc.cancel', { id: 'b' }), caller)).toContain(
      '"cancelled":false',
    )
    const again = jsonrpc.answer(backtest('a'), caller)
    expect(await jsonrpc.answer(request(3, 'rpc.cancel', { id: 'x' }), caller)).toContain('"cancelled":false')
    await jsonrpc.answer(request(4, 'rpc.cancel', { id: 'a' }), caller)
    expect(await again).toContain('stopped')
  })

  test('ends with its connection, all of one id and notifications too', async () => {
    const { jsonrpc } = waiting()
    const caller = new Caller(8)
    const all = [backtest('a'), backtest('a'), backtest(undefined), backtest(undefined)].map(each =>
      jsonrpc.answer(each, caller),
    )
    caller.close()
    expect(await Promise.all(all)).toEqual([
      expect.stringContaining('stopped'),
      expect.stringContaining('stopped'),
      undefined,
      undefined,
    ])
  })

  test('is heard of only by who wants to, or who may have gone', async () => {
    const { jsonrpc, begun } = waiting()
    const notices: string[] = []
    const caller = new Caller(8, {
      send: text => void notices.push(text),
      hasRoom: () => true,
      fits: () => true,
      drained: async () => undefined,
    })
    const answer = jsonrpc.answer(backtest('a'), caller)
    await begun
    expect(notices).toEqual([])
    caller.endWriting()
    caller.close()
    await answer
    expect(notices.map(text => (JSON.parse(text) as { params: unknown }).params)).toEqual([
      { id: 'a', progress: { scanned: 2 } },
      { id: 'a', progress: { scanned: 3 } },
    ])
  })

  test('counts against the most that one connection may have', async () => {
    const { jsonrpc } = waiting()
    const caller = new Caller(1)
    const first = jsonrpc.answer(backtest('a'), caller)
    expect(await jsonrpc.answer(backtest('b'), caller)).toContain('-32005')
    caller.close()
    await first
    expect(await jsonrpc.answer(request('c', 'rpc.cancel', { id: 'a' }), caller)).toContain(
      '"cancelled":false',
    )
  })
})

test('a key that stands twice in a filter is refused, wherever it stands', async () => {
  const fresh = await router()
  const send = (filter: string): Promise<string> =>
    new Promise(resolve => {
      const socket = connect(fresh.router.socket)
      socket.once('data', chunk => {
        socket.end()
        resolve(chunk.toString('utf8'))
      })
      socket.write(
        `{"jsonrpc":"2.0","id":1,"method":"trigger.test","params":{"event":{"type":"push"},"filter":${filter}}}\n`,
      )
    })
  expect(await send('{"type":["push"],"type":["issues"]}')).toContain(
    'filter.type must appear in the filter once; found it twice',
  )
  expect(await send('{"payload":{"a":[1],"b":{"c":[1],"\\u0063":[2]}}}')).toContain(
    'filter.payload.b.c must appear in the filter once; found it twice',
  )
  expect(await send('{"$or":[{"a":[{"prefix":"x","prefix":"y"}]},{"b":[1]}]}')).toContain(
    'filter.$or.a.prefix must appear in the filter once; found it twice',
  )
  expect(await send('{"type":["push"],"payload":{"type":["push"]}}')).toContain('"matched":false')
})

test('explain says how many triggers it left out', async () => {
  const fresh = await router()
  const { call } = fresh
  const triggers = Array.from({ length: 130 }, (_, index) => ({
    id: `t${index}`,
    filter: { type: [`x${index}`] },
    action: { bot_id: 'b' },
  }))
  await call('event.register', { source: { id: 'forge', source_type: 'service' }, triggers })
  const [event_id] = await emit(fresh, [{ source_id: 'forge', type: 'push', payload: {} }])
  const { decisions, omitted } = await call('event.explain', { event_id: event_id! })
  expect([decisions.length, omitted]).toEqual([100, 30])
})

test('a replay goes on where it ended, over all events of the trigger, and a list of triggers is refused as one', async () => {
  const fresh = await router()
  const { call } = fresh
  await emit(fresh, events.slice(0, 300))
  await put(fresh, 't', { type: ['push'] })
  const wanted = events
    .slice(0, 300)
    .filter(each => each.source_id === 'forge' && each.type === 'push').length
  let made = 0
  let looked_at = 0
  for (let cursor: string | undefined; ;) {
    const answer = await call('event.replay', {
      query: { since: 0 },
      trigger_id: 't',
      limit: 7,
      ...(cursor === undefined ? {} : { cursor }),
    })
    expect(answer.runs.length).toBeLessThanOrEqual(7)
    made += answer.runs.length
    looked_at += answer.events
    expect(answer.more).toBe(answer.next_cursor !== undefined)
    if (answer.next_cursor === undefined) break
    cursor = answer.next_cursor
  }
  expect(made).toBe(wanted)
  expect(looked_at).toBe(events.slice(0, 300).filter(each => each.source_id === 'forge').length)
  const lengths = (id: string, from: number, enabled: boolean): TriggerInput => ({
    id,
    enabled,
    filter: {
      payload: { a: Array.from({ length: 40 }, (_, at) => ({ wildcard: `*${'a'.repeat(from + at)}*` })) },
    },
    action: { bot_id: 'b' },
  })
  const source = { id: 'forge', source_type: 'service' as const }
  await expect(
    call('event.register', { source, triggers: [lengths('w1', 1, true), lengths('w2', 41, true)] }),
  ).rejects.toMatchObject({
    code: -32602,
    message: expect.stringContaining('trigger w2 is refused') as string,
  })
  await call('event.register', { source, triggers: [lengths('w1', 1, true), lengths('w2', 41, false)] })
  await expect(call('trigger.enable', { trigger_id: 'w2' })).rejects.toMatchObject({ code: -32602 })
  await call('trigger.put', { trigger: lengths('w1', 41, true) })
  await call('trigger.enable', { trigger_id: 'w2' })
})

test('after a filter was mended, a replay runs what would now match and never ran for it, and nothing else', async () => {
  const fresh = await router()
  const { call } = fresh
  await put(fresh, 't', { type: ['push'], payload: { n: [{ numeric: ['<', 10] }] } })
  const ids = await emit(
    fresh,
    events.slice(0, 60).filter(each => each.source_id === 'forge'),
  )
  const matching = async (): Promise<string[]> =>
    (await call('run.list', { trigger_id: 't', limit: 500 })).runs.map(run => run.event_id)
  const before = await matching()
  await put(fresh, 't', { type: ['push'], payload: { n: [{ numeric: ['>=', 5] }] } })
  const wanted: string[] = []
  for (const [index, each] of events
    .slice(0, 60)
    .filter(({ source_id }) => source_id === 'forge')
    .entries())
    if (each.type === 'push' && (each.payload as { n: number }).n >= 5 && !before.includes(ids[index]!))
      wanted.push(ids[index]!)
  const query = { since: 0 }
  const dry = await call('event.replay', { query, trigger_id: 't', mode: 'missing', dry_run: true })
  expect(dry.planned.map(each => each.event_id)).toEqual(wanted)
  expect((await call('event.replay', { query, trigger_id: 't', mode: 'missing' })).runs).toHaveLength(
    wanted.length,
  )
  expect((await matching()).toSorted()).toEqual([...before, ...wanted].toSorted())
  expect((await call('event.replay', { query, trigger_id: 't', mode: 'missing' })).runs).toEqual([])
})
