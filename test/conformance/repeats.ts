// What every store must do with the repeat limit: times are given, so nothing is waited for.
import { beforeEach, describe, expect, test } from 'vitest'
import type { RunFlow } from '../../src/store/flow.ts'
import type { MoveOutcome, StoredRun } from '../../src/store/store.ts'
import { Driver } from './gates.ts'
import { limits, newEvent, newRun, type StoreUnderTest } from './store.ts'

const t0 = 1_790_000_000_000
const second = 1000
const minute = 60 * second
const hour = 60 * minute

const repeats = (limit: number, thread = 'a', period_ms = 10 * minute): RunFlow => ({
  repeat_limit: { key: `repeat:deploy:forge:${thread}`, limit, period_ms },
})

class Repeater extends Driver {
  /** The decision about an event that asks for one run, and that run where it was made. */
  async asked(
    at: number,
    flow: RunFlow,
    change: { bot_id?: string; not_before?: number } = {},
  ): Promise<{ outcome: string; run_id: string | undefined }> {
    const { decisions, run_ids } = await this.emit(at, [{ flow, ...change }])
    return { outcome: decisions[0]!.outcome, run_id: run_ids[0] }
  }

  async outcomes(at: number, flow: RunFlow, count: number): Promise<string[]> {
    const all: string[] = []
    for (let each = 0; each < count; each++) all.push((await this.asked(at, flow)).outcome)
    return all
  }

  async run(run_id: string | undefined): Promise<StoredRun> {
    return (await this.store.run(run_id!))!
  }

  release(run_id: string | undefined, at: number): Promise<MoveOutcome> {
    return this.move(run_id!, { move: 'release', from: ['held'], to: 'pending', at, error: null })
  }

  cancel(run_id: string | undefined, at: number): Promise<MoveOutcome> {
    return this.move(run_id!, {
      move: 'cancel',
      from: ['pending', 'held', 'awaiting_approval'],
      to: 'cancelled',
      archive: true,
      by_person: true,
      at,
    })
  }
}

function limitTests(driver: Repeater, reopen: (now: number) => Promise<void>): void {
  test('the run over the limit is held, and later ones are not made', async () => {
    expect(await driver.outcomes(t0, repeats(2), 2)).toEqual(['routed', 'routed'])
    await reopen(t0 + second)
    const over = await driver.asked(t0 + minute, repeats(2))
    expect(await driver.run(over.run_id)).toMatchObject({
      state: 'held',
      held_by: 'repeat_limit',
      error: expect.stringContaining('there were 2 runs of trigger deploy'),
    })
    expect(await driver.outcomes(t0 + 10 * minute - 1, repeats(2), 2)).toEqual([
      'repeat_limit',
      'repeat_limit',
    ])
    expect(await driver.outcomes(t0 + 10 * minute - 1, repeats(2, 'b'), 1)).toEqual(['routed'])
    // The held one has no pass: two are possible again.
    expect(await driver.outcomes(t0 + 10 * minute, repeats(2), 3)).toEqual([
      'routed',
      'routed',
      'repeat_limit',
    ])
    expect(await driver.claimed(t0 + 10 * minute)).toHaveLength(5)
  })

  test('it is reported once a period', async () => {
    for (const at of [t0, t0 + 1, t0 + 2, t0 + 10 * minute, t0 + 10 * minute + 1, t0 + 10 * minute + 2])
      await driver.asked(at, repeats(1))
    const selection = { source_id: 'router', type: 'trigger.repeating' }
    const events = await driver.store.events({
      selection,
      order: 'desc',
      limit: 10,
      after: null,
      whole: false,
    })
    expect(events.map(event => event.received_at)).toEqual([t0 + 10 * minute + 1, t0 + 1])
  })

  test('a replay neither counts nor is stopped', async () => {
    const { event_id } = await driver.emit(t0, [{ flow: repeats(1) }])
    const replay = {
      event_id,
      at: t0,
      runs: [newRun({ replay: true, flow: repeats(1) })],
      only_missing: false,
    }
    expect(await driver.store.replay([replay], 1000)).toHaveLength(1)
    expect(await driver.claimed(t0)).toHaveLength(2)
  })

  test('a full queue takes no held run either', async () => {
    await driver.store.write([
      { noun: 'queue', id: 'deployer', definition: { id: 'deployer', max_pending: 1 }, at: t0 },
    ])
    expect(await driver.outcomes(t0, repeats(1), 2)).toEqual(['routed', 'queue_full'])
  })

  test('an event of an own account makes no run', async () => {
    const decisions = [{ trigger_id: 'deploy', trigger_version: 1, outcome: 'own_event' as const }]
    const [outcome] = await driver.store.accept([newEvent({ received_at: t0, decisions })], limits)
    expect(outcome).toMatchObject({ kind: 'accepted', decisions, run_ids: [] })
    expect(await driver.store.event((outcome as { event_id: string }).event_id)).toMatchObject({ decisions })
    expect(await driver.claimed(t0)).toEqual([])
  })
}

function passTests(driver: Repeater): void {
  test('a denied run gives its pass back, once', async () => {
    const flow: RunFlow = { ...repeats(2), approval: { timeout_ms: null } }
    const denied = await driver.asked(t0, flow)
    await driver.asked(t0, flow)
    await driver.claim(t0)
    await driver.move(denied.run_id!, {
      move: 'deny',
      from: ['awaiting_approval'],
      to: 'held',
      deny: true,
      held_by: 'approval',
      at: t0 + 1,
    })
    const next = await driver.asked(t0 + 2, flow)
    expect(await driver.run(next.run_id)).toMatchObject({ state: 'pending' })
    await driver.cancel(denied.run_id, t0 + 3)
    const over = await driver.asked(t0 + 4, flow)
    expect(await driver.run(over.run_id)).toMatchObject({ state: 'held', held_by: 'repeat_limit' })
  })

  test('a run over the limit gives no pass of others back', async () => {
    await driver.asked(t0, repeats(1))
    const held = await driver.asked(t0, repeats(1))
    await driver.cancel(held.run_id, t0)
    expect(await driver.outcomes(t0, repeats(1), 1)).toEqual(['repeat_limit'])
  })

  test('nor does it after its release', async () => {
    await driver.asked(t0, repeats(1))
    const held = await driver.asked(t0, repeats(1))
    await driver.release(held.run_id, t0)
    await driver.cancel(held.run_id, t0)
    expect(await driver.outcomes(t0, repeats(1), 1)).toEqual(['repeat_limit'])
  })

  test.each([
    ['is no repeat', false, 'routed'],
    ['is one where it began', true, 'repeat_limit'],
  ])('a worker’s run that a person stops %s', async (_title, begins, outcome) => {
    const { run_id } = await driver.asked(t0, repeats(1))
    const worker = {
      bots: [{ bot_id: 'deployer', room: 1 }],
      limit: 1,
      now: t0,
      lease_token: '',
      lease_until: t0 + minute,
      worker_tokens: ['w:1'],
    }
    expect((await driver.store.claim(worker)).runs).toHaveLength(1)
    const asked = {
      move: 'request_cancel',
      from: ['assigned'],
      to: 'assigned',
      request_cancel: true,
      touch: 'noted',
      by_person: true,
    } as const
    expect(await driver.move(run_id!, { ...asked, from: ['assigned'], at: t0 + 1 })).toMatchObject({
      kind: 'moved',
    })
    if (begins)
      await driver.move(run_id!, {
        move: 'start',
        from: ['assigned'],
        to: 'running',
        count_attempt: true,
        lease_token: 'w:1',
        at: t0 + 2,
      })
    await driver.move(run_id!, {
      move: 'put_back',
      from: ['assigned', 'running'],
      to: 'pending',
      lease_token: 'w:1',
      at: t0 + 3,
    })
    expect(await driver.run(run_id)).toMatchObject({ state: 'cancelled' })
    // Over the limit it would be held, and the next makes none.
    const over = await driver.asked(t0 + 4, repeats(1))
    expect(over.outcome).toBe('routed')
    expect((await driver.run(over.run_id)).state).toBe(outcome === 'routed' ? 'pending' : 'held')
  })

  test('a pass that is given back leaves the others as long', async () => {
    const flow = repeats(3, 'a', 10 * hour)
    const first = await driver.asked(t0, flow)
    for (const _ of [1, 2]) await driver.asked(t0 + 9 * hour, flow)
    await driver.cancel(first.run_id, t0 + 9 * hour)
    await driver.store.retain({
      now: t0 + 10.5 * hour,
      event_ms: 48 * hour,
      dead_ms: 48 * hour,
      dedupe_ms: 48 * hour,
      slice: 100,
    })
    expect(await driver.outcomes(t0 + 10.5 * hour, flow, 3)).toEqual(['routed', 'routed', 'repeat_limit'])
    expect(await driver.store.runs({ limit: 10, after: null, state: 'held' })).toHaveLength(1)
  })
}

function gatheringTests(driver: Repeater): void {
  const batch = { lane: 'b', max: 5, timeout_ms: second }
  const debounce = { lane: 'd', period_ms: second, max_wait_ms: minute, delay_ms: 0 }

  test('a released batch run has its event', async () => {
    const flow: RunFlow = { ...repeats(1), batch }
    await driver.asked(t0, flow)
    expect(await driver.claimed(t0)).toHaveLength(1)
    const { event_id, run_ids } = await driver.emit(t0 + 1, [{ flow }])
    expect(await driver.run(run_ids[0])).toMatchObject({ state: 'held', event_count: 1 })
    await driver.release(run_ids[0], t0 + 2)
    const { runs } = await driver.claim(t0 + 2)
    expect(runs[0]!.events!.map(event => event.id)).toEqual([event_id])
  })

  test.each([
    ['batch', { batch }, 'batched'],
    ['debounce', { debounce }, 'debounced'],
  ])('events join an open run at the limit: %s', async (_name, gate: RunFlow, outcome) => {
    const flow = { ...repeats(1), ...gate }
    const wait = { not_before: t0 + minute }
    const open = await driver.asked(t0, flow, wait)
    for (const _ of [1, 2]) expect((await driver.asked(t0, flow, wait)).outcome).toBe(outcome)
    expect(await driver.store.runs({ limit: 10, after: null })).toMatchObject([
      { id: open.run_id, state: 'pending' },
    ])
  })

  test('a held run takes in no events of other threads', async () => {
    const flow = (thread: string): RunFlow => ({ ...repeats(1, thread), batch })
    await driver.asked(t0, flow('a'))
    await driver.claimed(t0)
    const held = await driver.asked(t0 + 1, flow('a'))
    expect((await driver.run(held.run_id)).state).toBe('held')
    const other = await driver.asked(t0 + 2, flow('b'))
    expect(other).toMatchObject({ outcome: 'routed', run_id: expect.any(String) })
    expect(await driver.claimed(t0 + minute)).toEqual([other.run_id])
  })

  test('a debounced run keeps the pass of its first thread', async () => {
    const flow = (thread: string): RunFlow => ({ ...repeats(1, thread), debounce })
    const wait = { not_before: t0 + minute }
    const { run_id } = await driver.asked(t0, flow('a'), wait)
    expect((await driver.asked(t0, flow('b'), wait)).outcome).toBe('debounced')
    await driver.cancel(run_id, t0)
    const next = await driver.asked(t0, { ...repeats(1, 'a') }, wait)
    expect(await driver.run(next.run_id)).toMatchObject({ state: 'pending' })
  })
}

function laneTests(driver: Repeater, reopen: (now: number) => Promise<void>): void {
  test('a held run does not keep those behind it in its order', async () => {
    const flow: RunFlow = { order: { lane: 'order:deployer:k', on_dead: 'block' } }
    const first = await driver.asked(t0, { ...flow, ...repeats(1) })
    const held = await driver.asked(t0, { ...flow, ...repeats(1) })
    const [next, last] = [await driver.asked(t0, flow), await driver.asked(t0, flow)]
    await reopen(t0 + 1)
    for (const { run_id } of [first, next]) {
      expect(await driver.claimed(t0 + 2)).toEqual([run_id])
      await driver.complete(run_id!, t0 + 2)
    }
    // Released, it is in front of what came later.
    await driver.release(held.run_id, t0 + 3)
    await reopen(t0 + 4)
    for (const { run_id } of [held, last]) {
      expect(await driver.claimed(t0 + 5)).toEqual([run_id])
      await driver.complete(run_id!, t0 + 5)
    }
  })

  test.each(['skip', 'queue', 'cancel_running'] as const)(
    'nor those of its singleton: %s',
    async on_conflict => {
      const flow: RunFlow = { singleton: { lane: 's', on_conflict } }
      const first = await driver.asked(t0, { ...flow, ...repeats(1) })
      expect(await driver.claimed(t0)).toEqual([first.run_id])
      await driver.complete(first.run_id!, t0)
      const held = await driver.asked(t0, { ...flow, ...repeats(1) })
      expect(await driver.run(held.run_id)).toMatchObject({ state: 'held' })
      await reopen(t0 + 1)
      const next = await driver.asked(t0 + 1, flow)
      expect(await driver.claimed(t0 + 1)).toEqual([next.run_id])
      expect(await driver.run(held.run_id)).toMatchObject({ state: 'held', held_by: 'repeat_limit' })
      await driver.release(held.run_id, t0 + 2)
      expect(await driver.claimed(t0 + 2)).toEqual([])
      await driver.complete(next.run_id!, t0 + 3)
      expect(await driver.claimed(t0 + 3)).toEqual([held.run_id])
    },
  )

  test('what it depends on does not release a held run', async () => {
    const build = { trigger_id: 'build' }
    const ship = {
      trigger_id: 'ship',
      flow: { ...repeats(1), depends_on: { triggers: ['build'], on_failed: 'hold' as const } },
    }
    for (const _ of [1, 2]) await driver.emit(t0, [build, ship])
    const [held] = await driver.store.runs({ limit: 10, after: null, state: 'held' })
    const { id, event_id } = held!
    const [need] = (await driver.store.runs({ event_id, limit: 10, after: null })).filter(
      run => run.trigger_id === 'build',
    )
    await driver.claimed(t0)
    await driver.fail(need!.id, t0)
    expect(await driver.run(id)).toMatchObject({ state: 'held', held_by: 'dependency' })
    await driver.move(need!.id, {
      move: 'retry',
      from: ['failed'],
      to: 'pending',
      at: t0,
      fresh_attempts: true,
    })
    await driver.claimed(t0)
    await driver.complete(need!.id, t0)
    expect(await driver.run(id)).toMatchObject({ state: 'held', held_by: 'repeat_limit' })
    await driver.release(id, t0 + 1)
    expect(await driver.claimed(t0 + 1)).toContain(id)
  })
}

export function repeatsConformance(underTest: () => StoreUnderTest): void {
  const driver = new Repeater()
  beforeEach(async () => {
    driver.store = (await underTest().open()).store
  })
  const reopen = async (now: number): Promise<void> => {
    driver.store = (await underTest().open(now)).store
  }
  describe('the limit', () => limitTests(driver, reopen))
  describe('passes', () => passTests(driver))
  describe('runs that gather events', () => gatheringTests(driver))
  describe('lanes', () => laneTests(driver, reopen))
}
