// The clock on a store that is real and a time that is not: one event per instant whatever starts, crashes, jumps or runs
// beside it (promises P26, P28, P29, P30, P55).
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { CronConfig, SourceInput } from '../../src/contract/types.ts'
import { uuidv7Maker } from '../../src/ids.ts'
import { Clock } from '../../src/intake/schedules/clock.ts'
import { decide, following, onTimeMs, schedule } from '../../src/intake/schedules/ticks.ts'
import { Acceptor } from '../../src/routing/accept.ts'
import type { Incoming } from '../../src/routing/incoming.ts'
import { Registry } from '../../src/routing/registry.ts'
import { size } from '../faults/report.ts'
import { acceptLimits, virtualTime, type VirtualTime } from '../support/virtual-time.ts'
import { freshDatabase, LocalStore } from '../support/local-store.ts'

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour
const year = 365 * day
const t0 = Date.UTC(2026, 0, 1)

const makeId = uuidv7Maker()

/** Routers over one database, on one clock. */
class World {
  readonly time: VirtualTime = virtualTime(t0)
  readonly db = freshDatabase()
  readonly logged: string[] = []
  /** false: events are not the only ones of their instant */
  unique = true
  refuse = false

  async router(): Promise<{ clock: Clock; put: (source: SourceInput) => Promise<void>; crash: () => void }> {
    const { time, db } = this
    const store = new LocalStore({
      db,
      lifecycle: 'none',
      guard: 'lease',
      later: (_way, work) => queueMicrotask(work),
      committed: () => undefined,
    })
    const opened = await store.start(time.now())
    const registry = new Registry({
      bot_max_active: 2,
      limits: { json_depth: 64, json_tokens: 10_000 },
      subject_paths: [],
    })
    registry.load(opened.definitions)
    const acceptor = new Acceptor({
      store,
      registry,
      limits: { ...acceptLimits, loop_depth: 8 },
      now: time.now,
      makeId,
      onRuns: () => undefined,
      onCancel: () => undefined,
      tools: () => undefined,
      log: () => undefined,
      assertOpen: () => {
        if (this.refuse) throw new Error('the disk is full')
      },
    })
    let alive = true
    const clock = new Clock({
      sources: registry.sources,
      accept: incoming =>
        acceptor.accept(this.unique ? incoming : incoming.map(({ once: _, ...rest }): Incoming => rest)),
      skipTicks: skipped => store.skipTicks(skipped),
      now: time.now,
      later: (ms, work) => time.later(ms, () => alive && work()),
      log: (event, fields) => this.logged.push(`${event} ${JSON.stringify(fields)}`),
      logBug: () => undefined,
    })
    clock.start(opened.source_states)
    const put = async (source: SourceInput): Promise<void> => {
      const changes = [{ noun: 'source' as const, id: source.id, definition: source, at: time.now() }]
      const outcome = await store.write(changes)
      if (outcome.kind === 'written') registry.apply(changes, outcome.objects)
      clock.changed([source.id])
    }
    await time.settle()
    const crash = (): void => {
      alive = false
      store.crash()
    }
    return { clock, put, crash }
  }

  /** The instants that have events, in the order of the log. */
  fired(): number[] {
    const rows = this.db.prepare<[], { body: Buffer }>('SELECT body FROM event ORDER BY seq').all()
    return rows.map(row => (JSON.parse(row.body.toString()) as { scheduled_at: number }).scheduled_at)
  }

  ledger(outcome: string): {
    scheduled_at: number
    last_scheduled_at: number | null
    count: number | null
    reason: string | null
  }[] {
    return this.db
      .prepare<[string], ReturnType<World['ledger']>[number]>(
        'SELECT scheduled_at, last_scheduled_at, count, reason FROM tick WHERE outcome = ? ORDER BY scheduled_at',
      )
      .all(outcome)
  }
}

const cron = (config: Partial<CronConfig> = {}): SourceInput => ({
  id: 'tick',
  source_type: 'cron',
  config: { expression: '* * * * *', ...config },
})
const minutes = (from: number, until: number): number[] =>
  Array.from(
    { length: Math.floor((until - from) / minute) },
    (_, index) => (Math.floor(from / minute) + index + 1) * minute,
  )

describe('every instant once', () => {
  type Step = { kind: 'go' | 'crash' | 'jump'; ms: number }
  const steps = fc.array(
    fc.oneof(
      fc.record({ kind: fc.constant('go' as const), ms: fc.integer({ min: 1, max: 10 * minute }) }),
      fc.record({ kind: fc.constant('crash' as const), ms: fc.integer({ min: 0, max: 40 * minute }) }),
      fc.record({
        kind: fc.constant('jump' as const),
        ms: fc.integer({ min: -90 * minute, max: 40 * minute }),
      }),
    ),
    { minLength: 1, maxLength: 12 },
  )

  async function lived(world: World, done: Step[], processes: number): Promise<{ latest: number }> {
    const start = async () => Promise.all(Array.from({ length: processes }, () => world.router()))
    let routers = await start()
    await routers[0]!.put(cron({ catch_up: 'all', catch_up_window_ms: 4 * hour }))
    for (const each of routers.splice(1)) each.crash()
    routers.push(...(await Promise.all(Array.from({ length: processes - 1 }, () => world.router()))))
    let latest = t0
    for (const { kind, ms } of done) {
      if (kind === 'go') await world.time.advance(ms)
      else if (kind === 'jump') world.time.jump(ms)
      else {
        for (const each of routers) each.crash()
        world.time.jump(ms)
        routers = await start()
      }
      await world.time.advance(1500)
      latest = Math.max(latest, world.time.now())
    }
    await world.time.advance(onTimeMs)
    latest = Math.max(latest, world.time.now())
    for (const each of routers) each.crash()
    return { latest }
  }

  test.each([1, 3])('whatever crashes and however the clock jumps, with %i routers', async processes => {
    const property = fc.asyncProperty(steps, async done => {
      const world = new World()
      const { latest } = await lived(world, done, processes)
      // A clock that is set back to before the source was made shows instants that nobody asks about.
      const fired = world.fired().filter(at => at > t0)
      expect(fired.toSorted((a, b) => a - b)).toEqual(minutes(t0, latest))
    })
    await fc.assert(property, { numRuns: size('SIGNALBOX_CLOCKS', 1, 4) * (processes === 1 ? 40 : 15) })
  })

  test('control: without the row of the instant three routers make three events', async () => {
    const world = new World()
    world.unique = false
    await lived(world, [{ kind: 'go', ms: 5 * minute }], 3)
    expect(world.fired().length).toBe(15)
  })
})

describe('what was missed', () => {
  async function after(config: Partial<CronConfig>, downMs: number): Promise<World> {
    const world = new World()
    const before = await world.router()
    await before.put(cron(config))
    await world.time.advance(2 * minute + 1)
    before.crash()
    world.time.jump(downMs)
    await world.router()
    await world.time.advance(minute)
    return world
  }
  const since = t0 + 2 * minute
  const back = since + 3 * hour

  test('latest: the last one within the window, the others told', async () => {
    const world = await after({}, 3 * hour)
    expect(world.fired()).toEqual([t0 + minute, since, back, back + minute])
    expect(world.ledger('caught_up').map(row => row.scheduled_at)).toEqual([])
    const skipped = world.ledger('skipped')
    expect(skipped.map(row => row.reason)).toEqual([
      'missed, and older than 3600 s',
      'missed, and only the latest is caught up',
    ])
    expect(skipped.reduce((sum, row) => sum + row.count!, 0)).toBe(179)
  })
  test('none: nothing, and it is told', async () => {
    const world = await after({ catch_up: 'none' }, 3 * hour + 30_000)
    expect(world.fired()).toEqual([t0 + minute, since, back + minute])
    expect(world.ledger('skipped')).toEqual([
      {
        scheduled_at: since + minute,
        last_scheduled_at: back,
        count: 180,
        reason: 'missed, and nothing is caught up',
      },
    ])
  })
  test('latest after the last one is late too', async () => {
    const world = await after({}, 3 * hour + 30_000)
    expect(world.ledger('caught_up').map(row => row.scheduled_at)).toEqual([back])
  })
  test('all: the newest hundred within the window', async () => {
    const world = await after({ catch_up: 'all', catch_up_window_ms: day }, 3 * hour + 30_000)
    expect(world.fired()).toEqual([t0 + minute, since, ...minutes(back - 100 * minute, back), back + minute])
    expect(world.ledger('skipped')).toEqual([
      {
        scheduled_at: since + minute,
        last_scheduled_at: back - 100 * minute,
        count: 80,
        reason: 'missed, and no more than 100 are caught up',
      },
    ])
  })
  test('a year away costs one event and one look', async () => {
    const world = await after({}, year)
    expect(world.fired().length).toBe(4)
    expect(world.ledger('skipped')[0]!.count).toBeGreaterThan(100)
  })
})

describe('a clock that is set', () => {
  test.each([1000, hour, day, 10 * year])(
    'forward by %i ms and back again: nothing twice, nothing lost',
    async ms => {
      const world = new World()
      const router = await world.router()
      await router.put(cron({ catch_up: 'none' }))
      await world.time.advance(5 * minute)
      world.time.jump(ms)
      await world.time.advance(2 * minute)
      const ahead = world.fired().length
      world.time.jump(-ms)
      await world.time.advance(30 * minute)
      const fired = world.fired()
      expect(new Set(fired).size).toBe(fired.length)
      // The two minutes in which the clock showed others are told as skipped.
      const shown = [
        ...minutes(t0, t0 + 5 * minute),
        ...minutes(t0 + (ms < minute ? 5 : 7) * minute, t0 + 37 * minute),
      ]
      expect(fired.filter(at => at <= t0 + 37 * minute).toSorted((a, b) => a - b)).toEqual(shown)
      expect(ahead).toBeGreaterThanOrEqual(5)
      router.crash()
    },
  )
  test('a start with the clock far behind goes on at once, and tells', async () => {
    const world = new World()
    const first = await world.router()
    await first.put(cron())
    world.time.jump(10 * year)
    await world.time.advance(2 * minute)
    first.crash()
    world.time.jump(-10 * year)
    await world.router()
    await world.time.advance(10 * minute)
    expect(world.fired().filter(at => at < t0 + year).length).toBeGreaterThanOrEqual(9)
    expect(world.logged.filter(line => line.startsWith('clock.behind'))).toHaveLength(1)
  })
})

describe('a schedule that is changed', () => {
  test('goes on where only its description changed, begins anew where it works otherwise, rests while it is disabled', async () => {
    const world = new World()
    const { put, clock } = await world.router()
    await put(cron())
    await world.time.advance(90_000)
    await put({ ...cron(), description: 'the same' })
    await world.time.advance(minute)
    await put({ ...cron(), enabled: false })
    await world.time.advance(10 * minute)
    expect(clock.nextAt('tick')).toBeUndefined()
    await put(cron())
    await world.time.advance(minute)
    await put(cron({ expression: '*/5 * * * *' }))
    await world.time.advance(5 * minute)
    expect(world.fired().map(at => (at - t0) / minute)).toEqual([1, 2, 13, 15])
    expect(world.ledger('skipped')).toEqual([])
  })
  test('what was due just before the change is still made', async () => {
    const world = new World()
    const { put } = await world.router()
    await put(cron())
    world.time.jump(minute + 5)
    await put(cron({ expression: '*/5 * * * *' }))
    await world.time.advance(10)
    expect(world.fired()).toEqual([t0 + minute])
  })
  test('once it is disabled nothing that was due is made', async () => {
    const world = new World()
    const { put } = await world.router()
    await put(cron())
    world.time.jump(minute + 5)
    await put({ ...cron(), enabled: false })
    await world.time.advance(10)
    expect(world.fired()).toEqual([])
  })
  test('start and end bound it, and both jitter and payload are kept to', async () => {
    const world = new World()
    const { put } = await world.router()
    await put(
      cron({ start_at: t0 + 3 * minute, end_at: t0 + 6 * minute, jitter_ms: 50_000, payload: { job: 'x' } }),
    )
    await world.time.advance(10 * minute)
    expect(world.fired()).toEqual([3, 4, 5].map(each => t0 + each * minute))
    const late = world.db.prepare<[], number>('SELECT at - scheduled_at FROM tick').pluck().all()
    expect(late.every(ms => ms >= 0 && ms < 52_000) && late.some(ms => ms > 100)).toBe(true)
    expect(
      JSON.parse(world.db.prepare<[], Buffer>('SELECT body FROM event LIMIT 1').pluck().get()!.toString()),
    ).toEqual({
      job: 'x',
      scheduled_at: t0 + 3 * minute,
    })
  })
})

test('what the store refuses is made as soon as it takes it again', async () => {
  const world = new World()
  const { put } = await world.router()
  await put(cron({ catch_up: 'all' }))
  world.refuse = true
  await world.time.advance(5 * minute + 30_000)
  expect(world.fired()).toEqual([])
  world.refuse = false
  await world.time.advance(5000)
  expect(world.fired()).toEqual(minutes(t0, t0 + 5 * minute))
})

test('what is decided is in order, no more than is due, and leaves nothing out', () => {
  const config = fc.record({
    expression: fc.constantFrom('* * * * *', '*/7 * * * *', '0 * * * *', '30 2 * * *'),
    catch_up: fc.constantFrom('none' as const, 'latest' as const, 'all' as const),
    catch_up_window_ms: fc.integer({ min: 1000, max: 2 * day }),
    catch_up_max: fc.integer({ min: 1, max: 100 }),
    jitter_ms: fc.constantFrom(0, 0, 5000, 120_000),
  })
  const property = fc.property(
    config,
    fc.integer({ min: 0, max: day }),
    fc.integer({ min: 0, max: 12 * hour }),
    (given, offset, passed) => {
      const own = schedule('s', given)
      const position = t0 + offset
      const now = position + passed
      const { ticks, skipped, position: decided } = decide(own, position, now)
      const all: number[] = []
      for (
        let next = following(own, position);
        next !== null && next.due_at <= now;
        next = following(own, next.scheduled_at)
      )
        all.push(next.scheduled_at)
      expect(ticks.map(tick => tick.scheduled_at)).toEqual(
        ticks.map(tick => tick.scheduled_at).toSorted((a, b) => a - b),
      )
      expect(all).toEqual(expect.arrayContaining(ticks.map(tick => tick.scheduled_at)))
      const told = skipped.reduce((sum, each) => sum + each.count, 0) + ticks.length
      if (all.length <= 200) {
        expect(told).toBe(all.length)
        expect(decided).toBe(all.at(-1) ?? position)
      } else expect(told).toBeLessThanOrEqual(all.length)
      expect(ticks.filter(tick => tick.caught_up).length).toBeLessThanOrEqual(
        { none: 0, latest: 1, all: given.catch_up_max }[given.catch_up],
      )
    },
  )
  fc.assert(property, { numRuns: 200 })
})
