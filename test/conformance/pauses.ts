// What every store must do with a paused trigger: times are given, so nothing is waited for.
import { beforeEach, expect, test } from 'vitest'
import type { RunFlow } from '../../src/store/flow.ts'
import type { StartAnswer, StoredEvent, StoredRun } from '../../src/store/store.ts'
import { Driver } from './gates.ts'
import { limits as few, newEvent, newRun, type StoreUnderTest } from './store.ts'

const t0 = 1_790_000_000_000
const second = 1000
const limits = { ...few, max_open_runs: 10_000 }

class Pauser extends Driver {
  async define(at = t0, filter: object = { type: ['push'] }): Promise<void> {
    await this.store.write([
      {
        noun: 'trigger',
        id: 'deploy',
        definition: { id: 'deploy', filter: filter as never, action: { bot_id: 'deployer' } },
        at,
      },
    ])
  }

  pause(at: number): Promise<unknown> {
    return this.store.pauseTrigger('deploy', 'the server is being moved', at)
  }

  resume(at: number): Promise<boolean> {
    return this.store.resumeTrigger('deploy', null, at)
  }

  async one(at: number, flow?: RunFlow, change: object = {}): Promise<string> {
    return (await this.emit(at, [{ ...(flow === undefined ? {} : { flow }), ...change }])).run_ids[0]!
  }

  async run(run_id: string): Promise<StoredRun> {
    return (await this.store.run(run_id))!
  }

  /** Emits as many events at once; answers their decisions. */
  async flood(at: number, count: number): Promise<string[]> {
    return (await this.flooded(at, count)).map(({ decisions }) => decisions[0]!.outcome)
  }

  async flooded(
    at: number,
    count: number,
  ): Promise<{ event_id: string; decisions: { outcome: string }[]; run_ids: string[] }[]> {
    const outcomes = await this.store.accept(
      Array.from({ length: count }, () => {
        const decisions = [{ trigger_id: 'deploy', trigger_version: 1, outcome: 'routed' as const }]
        return newEvent({ received_at: at, timestamp: at, decisions, runs: [newRun({ not_before: at })] })
      }),
      limits,
    )
    return outcomes.map(outcome => outcome as typeof outcome & { kind: 'accepted' })
  }
}

type Reopen = (now: number) => Promise<void>

function waitingTests(driver: Pauser, reopen: Reopen): void {
  test('runs of a paused trigger wait, those of others do not', async () => {
    const before = await driver.one(t0)
    await driver.pause(t0)
    const [during, other] = [
      await driver.one(t0 + 1),
      await driver.one(t0 + 2, undefined, { trigger_id: 'other' }),
    ]
    expect(await driver.claimed(t0 + second)).toEqual([other])
    expect(await driver.run(before)).toMatchObject({ state: 'pending', parked_on: 'trigger:deploy' })
    await reopen(t0 + 2 * second)
    expect(await driver.claimed(t0 + 2 * second)).toEqual([other])
    expect(await driver.resume(t0 + 3 * second)).toBe(true)
    expect(await driver.claimed(t0 + 3 * second)).toEqual([before, during])
    expect(await driver.resume(t0 + 3 * second)).toBe(false)
  })

  test('a resumed trigger starts its runs in order', async () => {
    await driver.pause(t0)
    const [plain, urgent, later] = [
      await driver.one(t0),
      await driver.one(t0, undefined, { priority: 100 }),
      await driver.one(t0, undefined, { not_before: t0 + 9 * second }),
    ]
    const kept = await driver.one(t0, { concurrency: { lane: 'c', limit: 1 } })
    await driver.resume(t0 + second)
    const claim = await driver.claim(t0 + second, undefined, 1)
    expect(claim.runs.map(run => run.id)).toEqual([urgent])
    expect(await driver.claimed(t0 + second)).toEqual([plain, kept])
    expect(await driver.claimed(t0 + 9 * second)).toEqual([later])
  })

  test('what runs continues, and its next attempt waits', async () => {
    const run = await driver.one(t0)
    await driver.claimed(t0)
    await driver.pause(t0)
    expect(await driver.run(run)).toMatchObject({ state: 'running' })
    await driver.move(run, { move: 'retry_later', from: ['running'], to: 'pending', at: t0, not_before: t0 })
    expect(await driver.claimed(t0)).toEqual([])
    await driver.resume(t0)
    expect(await driver.claimed(t0)).toEqual([run])
  })

  test('an order behind a paused run is stuck, until it is skipped', async () => {
    const order: RunFlow = { order: { lane: 'order:deployer:a', on_dead: 'block' } }
    await driver.pause(t0)
    const waits = await driver.one(t0, order)
    const behind = await driver.one(t0, order, { trigger_id: 'other' })
    expect(await driver.claimed(t0)).toEqual([])
    expect(await driver.store.stuck('deployer', 10)).toMatchObject([
      { order_key: 'a', run_id: waits, state: 'pending', waiting: 1 },
    ])
    await driver.move(waits, { move: 'skip', from: ['pending'], to: 'pending', at: t0, skip_order: true })
    expect(await driver.claimed(t0)).toEqual([behind])
  })

  test('a run that waits for another gate is judged again', async () => {
    const order: RunFlow = { order: { lane: 'order:deployer:a', on_dead: 'block' } }
    const [first, second_] = [await driver.one(t0, order), await driver.one(t0, order)]
    expect(await driver.claimed(t0)).toEqual([first])
    expect(await driver.run(second_)).toMatchObject({ parked_on: 'order:deployer:a' })
    await driver.pause(t0)
    await driver.complete(first, t0)
    expect(await driver.claimed(t0)).toEqual([])
    await driver.resume(t0)
    expect(await driver.claimed(t0)).toEqual([second_])
  })
}

function limitTests(driver: Pauser, reopen: Reopen): void {
  test('1,000 runs wait, further events make none, a replay does', async () => {
    await driver.flood(t0, 10)
    await driver.pause(t0)
    expect(new Set(await driver.flood(t0, 990))).toEqual(new Set(['routed']))
    const full = (await driver.flooded(t0, 1))[0]!
    expect(full.decisions).toMatchObject([{ outcome: 'trigger_paused' }])
    expect(full.run_ids).toEqual([])
    expect((await driver.store.event(full.event_id))!.decisions).toMatchObject([
      { outcome: 'trigger_paused' },
    ])
    await reopen(t0)
    expect(await driver.flood(t0, 1)).toEqual(['trigger_paused'])
    const replayed = await driver.store.replay(
      [{ event_id: full.event_id, at: t0, runs: [newRun({ replay: true })], only_missing: true }],
      10_000,
    )
    expect(replayed).toHaveLength(1)
    expect(await driver.claimed(t0)).toEqual([])
    await driver.resume(t0)
    expect(await driver.flood(t0, 1)).toEqual(['routed'])
  })

  test('gates before the outbox decide as always', async () => {
    await driver.pause(t0)
    const debounce: RunFlow = {
      debounce: { lane: 'd', period_ms: 10 * second, max_wait_ms: 60 * second, delay_ms: 0 },
      max_age_ms: 20 * second,
    }
    const quiet = await driver.emit(t0, [{ flow: debounce, not_before: t0 + 10 * second }])
    const more = await driver.emit(t0 + 5 * second, [{ flow: debounce, not_before: t0 + 15 * second }])
    expect(more.decisions).toMatchObject([{ outcome: 'debounced', run_id: quiet.run_ids[0] }])
    const single: RunFlow = { singleton: { lane: 's', on_conflict: 'skip' } }
    await driver.emit(t0, [{ flow: single }])
    expect((await driver.emit(t0, [{ flow: single }])).decisions).toMatchObject([
      { outcome: 'singleton_skipped' },
    ])
    expect((await driver.claim(t0 + 30 * second)).overdue).toEqual([])
    expect((await driver.claim(t0 + 30 * second)).runs).toEqual([])
    await driver.resume(t0 + 40 * second)
    const { runs, overdue } = await driver.claim(t0 + 40 * second)
    expect(overdue).toEqual([])
    expect(runs.map(run => run.event_id)).toContain(more.event_id)
  })
}

function timeTests(driver: Pauser, reopen: Reopen): void {
  const aged: RunFlow = { max_age_ms: 10 * second }

  test('the age of a run stands still while it waits', async () => {
    const before = await driver.one(t0, aged, { not_before: t0 + 5 * second })
    await driver.pause(t0 + 4 * second)
    const during = await driver.one(t0 + 6 * second, aged, { not_before: t0 + 200 * second })
    expect(await driver.run(before)).toMatchObject({ deadline_at: null, deadline_name: null })
    expect(await driver.claim(t0 + 60 * second)).toMatchObject({ overdue: [], runs: [] })
    await reopen(t0 + 61 * second)
    await driver.resume(t0 + 104 * second)
    expect(await driver.run(before)).toMatchObject({
      deadline_at: t0 + 110 * second,
      deadline_name: 'max_age_ms',
    })
    expect(await driver.run(during)).toMatchObject({ deadline_at: t0 + 114 * second })
    // A second pause adds to the first.
    await driver.pause(t0 + 105 * second)
    await driver.resume(t0 + 205 * second)
    expect(await driver.run(before)).toMatchObject({ deadline_at: t0 + 210 * second })
    expect(await driver.claimed(t0 + 209 * second)).toEqual([before, during])
  })

  test('without a pause the same run is overdue', async () => {
    const run = await driver.one(t0, aged, { not_before: t0 + 50 * second })
    expect((await driver.claim(t0 + 60 * second)).overdue).toMatchObject([
      { id: run, deadline_name: 'max_age_ms' },
    ])
  })

  test('the time to approve stands still', async () => {
    const run = await driver.one(t0, { approval: { timeout_ms: 5 * second } })
    expect((await driver.claim(t0)).asked).toHaveLength(1)
    await driver.pause(t0 + 2 * second)
    expect((await driver.claim(t0 + 60 * second)).overdue).toEqual([])
    await driver.resume(t0 + 100 * second)
    expect(await driver.run(run)).toMatchObject({
      state: 'awaiting_approval',
      deadline_at: t0 + 103 * second,
      deadline_name: 'approval',
    })
    await driver.move(run, {
      move: 'approve',
      from: ['awaiting_approval'],
      to: 'pending',
      at: t0 + 101 * second,
      approve: true,
    })
    expect(await driver.claimed(t0 + 101 * second)).toEqual([run])
  })

  test('a run that a worker gives back does not age during the pause', async () => {
    const run = await driver.one(t0, aged)
    const claim = {
      bots: [{ bot_id: 'deployer', room: 1 }],
      limit: 1,
      now: t0,
      lease_token: 'x',
      lease_until: t0 + 99 * second,
      worker_tokens: ['w:1'],
    }
    await driver.store.claim(claim)
    await driver.pause(t0 + second)
    await driver.move(run, { move: 'put_back', from: ['assigned'], to: 'pending', at: t0 + 30 * second })
    expect(await driver.claim(t0 + 31 * second)).toMatchObject({ overdue: [], runs: [] })
    await driver.resume(t0 + 51 * second)
    expect(await driver.run(run)).toMatchObject({ state: 'pending', deadline_at: t0 + 60 * second })
  })
}

function definitionTests(driver: Pauser, reopen: (now: number) => Promise<StartAnswer>): void {
  test('a new definition keeps the pause', async () => {
    await driver.pause(t0)
    await driver.define(t0 + second, { type: ['other'] })
    await driver.one(t0 + second)
    expect(await driver.claimed(t0 + second)).toEqual([])
    const opened = await reopen(t0 + 2 * second)
    expect(opened.trigger_pauses).toEqual([
      { trigger_id: 'deploy', reason: 'the server is being moved', paused_at: t0 },
    ])
  })

  test('a deleted trigger is paused no more', async () => {
    await driver.pause(t0)
    const run = await driver.one(t0)
    await driver.store.write([{ noun: 'trigger', id: 'deploy', definition: null, at: t0 + second }])
    expect(await driver.claimed(t0 + second)).toEqual([run])
    expect((await reopen(t0 + second)).trigger_pauses).toEqual([])
    expect(await driver.pause(t0 + second)).toBeNull()
  })

  test('pauses are reported as lifecycle events', async () => {
    await driver.pause(t0)
    await driver.store.pauseTrigger('deploy', 'another reason', t0 + 1)
    await driver.store.resumeTrigger('deploy', 'it is moved', t0 + 2)
    const told = (await driver.store.events({
      selection: { source_id: 'router' },
      order: 'asc',
      limit: 10,
      after: null,
      whole: true,
    })) as StoredEvent[]
    expect(
      told.map(({ type, body }) => ({ type, ...(JSON.parse(Buffer.from(body).toString()) as object) })),
    ).toEqual([
      { type: 'trigger.paused', trigger: 'deploy', reason: 'the server is being moved' },
      { type: 'trigger.resumed', trigger: 'deploy', reason: 'it is moved' },
    ])
  })
}

/** underTest reports lifecycle events. */
export function pausesConformance(underTest: () => StoreUnderTest): void {
  const driver = new Pauser()
  beforeEach(async () => {
    driver.store = (await underTest().open()).store
    await driver.define()
  })
  const reopen = async (now: number): Promise<StartAnswer> => {
    const opened = await underTest().open(now)
    driver.store = opened.store
    return opened.start
  }
  const again = async (now: number): Promise<void> => void (await reopen(now))
  waitingTests(driver, again)
  limitTests(driver, again)
  timeTests(driver, again)
  definitionTests(driver, reopen)
}
