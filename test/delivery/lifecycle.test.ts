// What the router tells of itself: lifecycle events, triggers that listen to them, and subscriptions to the log.
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { SignalboxClient, type Event, type EventSummary, type LoggedEvent } from '../../src/client/client.ts'
import { readConfig } from '../../src/config.ts'
import { startRouter } from '../../src/main.ts'
import { ended, freshDirectory, freshRouter, quiet, until, type TestRouter } from '../support/router.ts'

const yes = { kind: 'command' as const, argv: ['/bin/sh', '-c', 'echo \'{"built": 7}\''] }
const no = { kind: 'command' as const, argv: ['/bin/false'] }

async function working(
  flags: Record<string, unknown> = {},
): Promise<TestRouter & { emit: (type: string) => Promise<{ event_id: string; runs: string[] }> }> {
  const router = await freshRouter(flags)
  const { call } = router
  await call('source.put', { source: { id: 'jobs', source_type: 'service' } })
  await call('bot.put', { bot: { id: 'yes', endpoint: yes } })
  await call('bot.put', { bot: { id: 'no', endpoint: no } })
  for (const id of ['yes', 'no'])
    await call('trigger.put', {
      trigger: {
        id: `to-${id}`,
        event_source_id: 'jobs',
        filter: { type: [id] },
        action: { bot_id: id },
        policy: { retry: 'none' },
      },
    })
  return { ...router, emit: type => call('event.emit', { source_id: 'jobs', type, payload: {} }) }
}

const told = async ({ call }: Pick<TestRouter, 'call'>): Promise<EventSummary[]> =>
  (await call('event.query', { source_id: 'router', limit: 500 })).events.toReversed()

describe('lifecycle events', () => {
  test('tell how runs end, with their cause, and are listed only where they are asked for', async () => {
    const router = await working()
    const [good, bad] = [await router.emit('yes'), await router.emit('no')]
    await Promise.all([ended(router, good.runs[0]!), ended(router, bad.runs[0]!)])
    const all = await told(router)
    expect(all.map(event => `${event.type} ${event.subject}`).toSorted()).toEqual([
      'run.completed to-yes',
      'run.failed to-no',
    ])
    const completed = await router.call('event.get', {
      event_id: all.find(event => event.type === 'run.completed')!.id,
    })
    expect(completed).toMatchObject({
      source_id: 'router',
      causation: { event_id: good.event_id, run_id: good.runs[0], depth: 1 },
      payload: {
        run: {
          id: good.runs[0],
          trigger_id: 'to-yes',
          bot_id: 'yes',
          queue: 'yes',
          state: 'completed',
          attempt: 1,
        },
        move: 'complete',
        from: 'running',
        event: { id: good.event_id, source_id: 'jobs', type: 'yes' },
        result: { built: 7 },
      },
    })
    expect((await router.call('event.query', {})).events.map(event => event.source_id)).toEqual([
      'jobs',
      'jobs',
    ])
    expect((await router.call('router.status', {})).events.logged).toBe(2)
  })

  test('of every move where the configuration says so, of none where it says so', async () => {
    const every = await working({ lifecycle_events: 'all' })
    await ended(every, (await every.emit('yes')).runs[0]!)
    expect((await told(every)).map(event => event.type)).toEqual([
      'run.created',
      'run.started',
      'run.completed',
    ])
    const none = await working({ lifecycle_events: 'none' })
    await ended(none, (await none.emit('yes')).runs[0]!)
    await none.call('router.pause', {})
    expect(await told(none)).toEqual([])
  })

  test('of bots, queues and the router too', async () => {
    const router = await working()
    await router.call('bot.drain', { bot_id: 'yes', reason: 'an update' })
    await router.call('bot.undrain', { bot_id: 'yes' })
    await router.call('bot.heartbeat', { bot_id: 'yes', availability: 'degraded', reason: 'hot' })
    await router.call('queue.pause', { queue_id: 'yes', reason: 'moved' })
    await router.call('queue.resume', { queue_id: 'yes' })
    await router.call('router.pause', { reason: 'the disk' })
    await router.call('router.resume', {})
    await until(async () => (await told(router)).length >= 7)
    expect((await told(router)).map(event => [event.type, event.subject])).toEqual([
      ['bot.drained', 'yes'],
      ['bot.undrained', 'yes'],
      ['bot.degraded', 'yes'],
      ['queue.paused', 'yes'],
      ['queue.resumed', 'yes'],
      ['router.paused', null],
      ['router.resumed', null],
    ])
    await expect(
      router.call('source.put', { source: { id: 'router', source_type: 'service' } }),
    ).rejects.toMatchObject({ code: -32602 })
    await expect(
      router.call('event.emit', { source_id: 'router', type: 'run.completed', payload: {} }),
    ).rejects.toMatchObject({ code: -32602 })
  })

  test('start triggers that name their source, and no others; a circle is held by the loop guard', async () => {
    const router = await working()
    await router.call('trigger.put', {
      trigger: { id: 'everything', filter: { type: [{ prefix: 'run.' }] }, action: { bot_id: 'yes' } },
    })
    await router.call('trigger.put', {
      trigger: {
        id: 'when-failed',
        event_source_id: 'router',
        filter: { type: ['run.failed'], payload: { run: { trigger_id: ['to-no'] } } },
        action: { bot_id: 'yes' },
      },
    })
    const bad = await router.emit('no')
    const run = await until(
      async () => (await router.call('run.list', { trigger_id: 'when-failed' })).runs[0],
    )
    expect(await ended(router, run.id)).toMatchObject({ state: 'completed' })
    expect((await router.call('event.get', { event_id: run.event_id })).causation).toMatchObject({
      event_id: bad.event_id,
      depth: 1,
    })
    expect((await router.call('run.list', { trigger_id: 'everything' })).runs).toEqual([])
    const explained = await router.call('event.explain', {
      event_id: run.event_id,
      trigger_id: 'when-failed',
    })
    expect(explained.decisions[0]).toMatchObject({ matched: true, run_ids: [run.id] })
    const other = await router.call('event.explain', { event_id: run.event_id, trigger_id: 'everything' })
    expect(other.decisions[0]!.gates[0]).toMatchObject({
      gate: 'source',
      verdict: 'stop',
      detail: expect.stringContaining('name its source'),
    })
    expect(
      (await router.call('event.replay', { event_id: run.event_id, trigger_id: 'everything' })).runs,
    ).toEqual([])

    await router.call('trigger.put', {
      trigger: {
        id: 'echo',
        event_source_id: 'router',
        filter: { type: ['run.completed'] },
        action: { bot_id: 'yes' },
      },
    })
    await router.emit('yes')
    const held = await until(async () => {
      const { events } = await router.call('event.query', {
        source_id: 'router',
        limit: 500,
        trigger_id: 'echo',
      })
      const whole = await Promise.all(events.map(event => router.call('event.get', { event_id: event.id })))
      return whole.find(event => event.decisions!.some(decision => decision.outcome === 'loop_held'))
    })
    expect(held.causation!.depth).toBeGreaterThan(1)
    const before = (await router.call('run.list', { trigger_id: 'echo', limit: 500 })).runs.length
    expect(before).toBeLessThanOrEqual(8)
  })

  test('that a process did not come to route are routed by the next', async () => {
    const directory = freshDirectory()
    const config = readConfig(
      { HOME: directory },
      { state_dir: directory, socket: join(directory, 'rpc.sock'), ...quiet },
    )
    const options = { env: { HOME: directory }, onFatal: (message: string) => expect.fail(message) }
    let router = await startRouter(config, options)
    const client = await SignalboxClient.connect(router.socket)
    await client.call('source.put', { source: { id: 'jobs', source_type: 'service' } })
    await client.call('bot.put', { bot: { id: 'puller', endpoint: { kind: 'pull' } } })
    await client.call('trigger.put', {
      trigger: { id: 't', event_source_id: 'jobs', filter: { type: ['x'] }, action: { bot_id: 'puller' } },
    })
    await client.call('trigger.put', {
      trigger: {
        id: 'after',
        event_source_id: 'router',
        filter: { type: ['run.cancelled'] },
        action: { bot_id: 'puller' },
      },
    })
    client.close()
    await router.stop()
    // Written by the store alone, as by a process that was killed right after its commit.
    const { SqliteStore } = await import('../../src/store/sqlite/engine/sqlite-store.ts')
    const store = new SqliteStore({ stateDir: directory, lifecycle: 'outcomes', onFatal: options.onFatal })
    await store.start(Date.now())
    const { newEvent, newRun } = await import('../conformance/store.ts')
    const run = newRun({ bot_id: 'puller', trigger_id: 't' })
    await store.accept(
      [
        newEvent({
          source_id: 'jobs',
          runs: [run],
          decisions: [{ trigger_id: 't', trigger_version: 1, outcome: 'routed' }],
        }),
      ],
      {
        dedupe_ms: 1,
        signed_body_ms: 1,
        max_open_runs: 10,
        loop_repeats: 3,
      },
    )
    await store.move([
      { run_id: run.id, move: 'cancel', from: ['pending'], to: 'cancelled', archive: true, at: Date.now() },
    ])
    await store.stop()
    router = await startRouter(config, options)
    onTestFinished(() => router.stop())
    const again = await SignalboxClient.connect(router.socket)
    onTestFinished(() => again.close())
    const found = await until(async () => (await again.call('run.list', { trigger_id: 'after' })).runs[0])
    expect(found.state).toBe('pending')
    expect((await again.call('run.list', { trigger_id: 'after' })).runs).toHaveLength(1)
  })
})

describe('a subscription', () => {
  test('tells of every event in order, as a line or whole, filtered, and goes on where a connection broke off', async () => {
    const router = await working()
    const other = await SignalboxClient.connect(router.router.socket)
    const lines: LoggedEvent[] = []
    const runs: LoggedEvent[] = []
    await router.client.subscribe({}, event => void lines.push(event))
    await other.subscribe(
      { source_id: 'router', whole: true, filter: { type: ['run.completed'] } },
      event => void runs.push(event),
    )
    const emitted: string[] = []
    for (let count = 0; count < 5; count++)
      emitted.push((await router.emit(count % 2 === 0 ? 'yes' : 'other')).event_id)
    await until(async () => lines.length === 5 && runs.length === 3)
    expect(lines.map(each => each.event.id)).toEqual(emitted)
    expect(runs.map(each => (each.event as Event).payload)).toMatchObject([{ result: { built: 7 } }, {}, {}])
    other.close()
    for (let count = 0; count < 250; count++) emitted.push((await router.emit('other')).event_id)
    const again = await SignalboxClient.connect(router.router.socket)
    onTestFinished(() => again.close())
    const rest: LoggedEvent[] = []
    await again.subscribe({ after: lines[2]!.cursor, source_id: 'jobs' }, event => void rest.push(event))
    await until(async () => rest.length === 252)
    expect(rest.map(each => each.event.id)).toEqual(emitted.slice(3))
  })

  test('ends when it is told to, of its own connection only, and there are at most 16', async () => {
    const router = await working()
    const seen: LoggedEvent[] = []
    const subscription = await router.client.subscribe({}, event => void seen.push(event))
    const first = await router.emit('other')
    await until(async () => seen.length === 1)
    const stranger = await SignalboxClient.connect(router.router.socket)
    onTestFinished(() => stranger.close())
    expect(await stranger.call('event.unsubscribe', { subscription: 'subscription-1' })).toEqual({
      ended: false,
    })
    await subscription.end()
    await router.emit('other')
    const watch: LoggedEvent[] = []
    await router.client.subscribe({ after: seen[0]!.cursor }, event => void watch.push(event))
    await until(async () => watch.length === 1)
    expect(seen.map(each => each.event.id)).toEqual([first.event_id])
    for (let count = 0; count < 15; count++) await router.client.subscribe({}, () => undefined)
    await expect(router.client.subscribe({}, () => undefined)).rejects.toMatchObject({ code: -32005 })
  })

  test('waits for who does not read, over HTTP there is none, and a filter that is none is refused', async () => {
    const router = await working()
    const slow = connect(router.router.socket)
    onTestFinished(() => void slow.destroy())
    slow.pause()
    slow.write('{"jsonrpc":"2.0","id":1,"method":"event.subscribe","params":{"whole":true}}\n')
    await until(async () => slow.bytesWritten > 0)
    const big = 'x'.repeat(100_000)
    for (let count = 0; count < 60; count++)
      await router.call('event.emit', { source_id: 'jobs', type: 'big', payload: { big, count } })
    const counts: number[] = []
    let rest = ''
    slow.on('data', chunk => {
      const parts = (rest + chunk.toString()).split('\n')
      rest = parts.pop()!
      for (const text of parts) {
        const message = JSON.parse(text) as {
          method?: string
          params?: { event: { payload: { count: number } } }
        }
        if (message.method === 'event.logged') counts.push(message.params!.event.payload.count)
      }
    })
    slow.resume()
    await until(async () => counts.at(-1) === 59)
    expect(counts).toEqual(counts.toSorted((a, b) => a - b))
    await expect(router.call('event.subscribe', { filter: { type: 'x' } })).rejects.toMatchObject({
      code: -32602,
    })
  })
})
