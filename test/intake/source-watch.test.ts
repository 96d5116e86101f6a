// Sources that fall silent or refuse: told once, also over a restart and whatever the clocks do, and told when it is over.
import { describe, expect, test } from 'vitest'
import { calmMs, mostInARow, SourceWatch } from '../../src/intake/source-watch.ts'
import type { Source } from '../../src/contract/types.ts'
import type { EventLine } from '../../src/store/store.ts'
import { freshRouter, routerIn, until, type TestRouter } from '../support/router.ts'

const minute = 60_000
const start = 1_790_000_000_000

interface Told {
  type: string
  subject: string
  payload: Record<string, unknown>
}

/** A watch over one source, its log in hand. */
class Watched {
  wall = start
  elapsed = 0
  events = 0
  lastAt = start
  /** of another source: the router ran then */
  otherAt = 0
  readonly told: (Told & { at: number })[]
  readonly source: Source
  readonly watch: SourceWatch

  constructor(given: Partial<Source> = {}, told: (Told & { at: number })[] = []) {
    this.told = told
    const stamps = { version: 1, created_at: start, updated_at: start }
    this.source = {
      id: 'forge',
      source_type: 'webhook',
      enabled: true,
      silent_after_ms: 10 * minute,
      config: {},
      ...stamps,
      ...given,
    }
    this.watch = new SourceWatch({
      sources: new Map([['forge', this.source]]),
      store: {
        sourceStats: async () =>
          this.events === 0 ? [] : [{ source_id: 'forge', events: this.events, last_event_at: this.lastAt }],
        events: async ({ selection }) =>
          (selection.source_id === undefined
            ? [{ received_at: Math.max(this.otherAt, this.events === 0 ? 0 : this.lastAt) }]
            : this.told.toReversed().map(({ type, at }) => ({ type, received_at: at }))) as EventLine[],
        emitLifecycle: async (type, subject, payload, at) =>
          void this.told.push({ type, subject: subject!, payload, at }),
      },
      now: () => this.wall,
      elapsed: () => this.elapsed,
      logBug: error => {
        throw error
      },
    })
  }

  async after(ms: number, jump = 0): Promise<string[]> {
    this.wall += ms + jump
    this.elapsed += ms
    await this.watch.check()
    return this.types
  }

  event(): void {
    this.events++
    this.lastAt = this.wall
  }

  async refuse(count: number, status = 401): Promise<string[]> {
    for (let n = 0; n < count; n++)
      this.watch.refused({
        source_id: 'forge',
        path: null,
        reason: 'E_SIGNATURE',
        status,
        address: null,
        bytes: 2,
      })
    return this.after(0)
  }

  get types(): string[] {
    return this.told.map(({ type }) => type)
  }
}

describe('a source with silent_after_ms', () => {
  test('is told to be silent once, and to be back', async () => {
    const watched = new Watched()
    watched.event()
    expect(await watched.after(0)).toEqual([])
    expect(await watched.after(10 * minute - 1)).toEqual([])
    expect(await watched.after(1)).toEqual(['source.silent'])
    expect(await watched.after(60 * minute)).toEqual(['source.silent'])
    watched.event()
    expect(await watched.after(minute)).toEqual(['source.silent', 'source.resumed'])
    expect(watched.told.map(({ payload }) => payload)).toEqual([
      { source_id: 'forge', silent_after_ms: 10 * minute, last_event_at: start },
      { source_id: 'forge', after: 'silent', ms: 61 * minute },
    ])
    expect(await watched.after(9 * minute)).toHaveLength(2)
    expect(await watched.after(minute)).toHaveLength(3)
  })

  test('control: without it nothing is told, nor of one that is off', async () => {
    for (const given of [{ silent_after_ms: undefined }, { enabled: false }]) {
      const watched = new Watched(given)
      watched.event()
      await watched.after(0)
      expect(await watched.after(1000 * minute)).toEqual([])
    }
  })

  test.each([10_000 * minute, -10_000 * minute])('a clock that is set by %i ms tells nothing', async jump => {
    const watched = new Watched()
    watched.event()
    await watched.after(0)
    expect(await watched.after(minute, jump)).toEqual([])
    expect(await watched.after(9 * minute)).toEqual(['source.silent'])
  })

  test('the time in which the router did not run does not count, the time before does', async () => {
    const stopped = new Watched()
    stopped.event()
    // It had its event, the router ran 4 minutes more, and was off for a week.
    stopped.otherAt = stopped.lastAt + 4 * minute
    stopped.wall += 7 * 24 * 60 * minute
    expect(await stopped.after(0)).toEqual([])
    expect(await stopped.after(6 * minute - 1)).toEqual([])
    expect(await stopped.after(1)).toEqual(['source.silent'])
  })

  test('that was told before a restart is not told again, and is told to be back', async () => {
    const first = new Watched()
    first.event()
    await first.after(0)
    await first.after(10 * minute)
    const again = new Watched({}, first.told)
    again.event()
    expect(await again.after(0)).toEqual(['source.silent'])
    expect(await again.after(60 * minute)).toEqual(['source.silent'])
    again.event()
    expect(await again.after(0)).toEqual(['source.silent', 'source.resumed'])
  })
})

describe('a source that refuses', () => {
  test('is told once, after several in a row; and to be well after an event and a calm time', async () => {
    const watched = new Watched({ silent_after_ms: undefined })
    expect(await watched.refuse(mostInARow - 1)).toEqual([])
    expect(await watched.refuse(1)).toEqual(['source.refusing'])
    expect(watched.told[0]!.payload).toEqual({ source_id: 'forge', refused: 3, reason: 'E_SIGNATURE (401)' })
    expect(await watched.refuse(50)).toEqual(['source.refusing'])
    expect(await watched.after(calmMs)).toEqual(['source.refusing'])
    watched.event()
    expect(await watched.after(0)).toEqual(['source.refusing', 'source.resumed'])
    expect(watched.told[1]!.payload).toEqual({ source_id: 'forge', after: 'refusing', ms: calmMs })
  })

  test('a stranger who sends between others makes one pair of events in the calm time, not many', async () => {
    const watched = new Watched({ silent_after_ms: undefined })
    for (let n = 0; n < 20; n++) {
      await watched.refuse(mostInARow)
      watched.event()
      await watched.after(minute / 10)
    }
    expect(watched.types).toEqual(['source.refusing'])
    expect(await watched.after(calmMs)).toEqual(['source.refusing', 'source.resumed'])
  })

  test.each([
    [
      'an event came between them',
      async (watched: Watched) => {
        await watched.refuse(2)
        watched.event()
        await watched.after(0)
        await watched.refuse(2)
      },
    ],
    ['the router could not take them', (watched: Watched) => watched.refuse(5, 503)],
    [
      'the source is off',
      async (watched: Watched) => {
        watched.source.enabled = false
        await watched.refuse(5)
      },
    ],
    [
      'the source is unknown',
      async (watched: Watched) => {
        for (let n = 0; n < 5; n++)
          watched.watch.refused({
            source_id: 'other',
            path: null,
            reason: 'E_NOT_FOUND',
            status: 404,
            address: null,
            bytes: 0,
          })
        await watched.after(0)
      },
    ],
  ])('nothing is told where %s', async (_name, happens) => {
    const watched = new Watched({ silent_after_ms: undefined })
    await happens(watched)
    expect(watched.types).toEqual([])
  })

  test('that was told before a restart is told to be well after it', async () => {
    const first = new Watched({ silent_after_ms: undefined })
    await first.refuse(3)
    const again = new Watched({ silent_after_ms: undefined }, first.told)
    await again.after(0)
    again.event()
    expect(await again.after(calmMs - 1)).toEqual(['source.refusing'])
    expect(await again.after(1)).toEqual(['source.refusing', 'source.resumed'])
  })
})

test('with a router: a trigger hears of a source that refuses; a restart tells it no second time', async () => {
  const router = await freshRouter({}, { SECRET: 'a-secret-of-the-forge' })
  const { call } = router
  await call('source.put', {
    source: {
      id: 'forge',
      source_type: 'webhook',
      silent_after_ms: minute,
      config: { provider: 'bearer', secrets: [{ env: 'SECRET' }] },
    },
  })
  await call('bot.put', { bot: { id: 'w', endpoint: { kind: 'pull' } } })
  await call('trigger.put', {
    trigger: {
      id: 'hears',
      event_source_id: 'router',
      filter: { type: ['source.refusing'] },
      action: { bot_id: 'w' },
    },
  })
  const told = async ({ call: ask }: Pick<TestRouter, 'call'>): Promise<string[]> =>
    (await ask('event.query', { source_id: 'router', subject: 'forge' })).events.map(({ type }) => type)
  for (let n = 0; n < mostInARow; n++) expect((await router.post('forge', '{}')).status).toBe(401)
  await until(async () => (await told(router)).length > 0)
  const runs = await until(async () => {
    const found = (await call('run.list', { trigger_id: 'hears' })).runs
    return found.length > 0 ? found : undefined
  })
  expect(runs).toHaveLength(1)
  router.client.close()
  await router.router.stop()
  const again = await routerIn(router.directory, {}, { SECRET: 'a-secret-of-the-forge' })
  for (let n = 0; n < mostInARow; n++) await again.post('forge', '{}')
  await again.call('bot.put', { bot: { id: 'x', endpoint: { kind: 'pull' } } })
  expect(await told(again)).toEqual(['source.refusing'])
  expect((await again.call('source.get', { source_id: 'forge' })).source.silent_after_ms).toBe(minute)
  await again.call('source.disable', { source_id: 'forge' })
  expect((await again.call('source.enable', { source_id: 'forge' })).source.silent_after_ms).toBe(minute)
})
