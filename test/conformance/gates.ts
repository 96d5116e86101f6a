// What every store must do with the gates of runs: times are given, so nothing is waited for.
import { beforeEach, describe, expect, test } from 'vitest'
import type { RunFlow } from '../../src/store/flow.ts'
import {
  needKey,
  type AcceptOutcome,
  type ClaimAnswer,
  type MoveOutcome,
  type NewRun,
  type RunMove,
  type Store,
} from '../../src/store/store.ts'
import { limits, newEvent, newRun, type StoreUnderTest } from './store.ts'

const t0 = 1_790_000_000_000
const second = 1000

type Accepted = AcceptOutcome & { kind: 'accepted' }

/** A store with short words for what these tests do to it. */
export class Driver {
  store!: Store
  tokens = 0

  async emit(
    at: number,
    runs: (Partial<NewRun> & { flow?: RunFlow })[],
    subject: string | null = 's',
  ): Promise<Accepted> {
    const owed = runs.map(run => newRun({ not_before: at, ...run }))
    const decisions = owed.map(({ trigger_id, trigger_version }) => ({
      trigger_id,
      trigger_version,
      outcome: 'routed' as const,
    }))
    const [outcome] = await this.store.accept(
      [newEvent({ received_at: at, timestamp: at, subject, decisions, runs: owed })],
      limits,
    )
    expect(outcome!.kind).toBe('accepted')
    return outcome as Accepted
  }

  claim(now: number, bots: string[] = ['deployer'], room = 100): Promise<ClaimAnswer> {
    const lease_token = `t${this.tokens++}`
    return this.store.claim({
      bots: bots.map(bot_id => ({ bot_id, room })),
      limit: 1000,
      now,
      lease_token,
      lease_until: now + 60_000,
    })
  }

  async claimed(now: number, bots?: string[], room?: number): Promise<string[]> {
    return (await this.claim(now, bots, room)).runs.map(run => run.id)
  }

  async move(
    run_id: string,
    change: Partial<RunMove> & Pick<RunMove, 'move' | 'from' | 'to' | 'at'>,
  ): Promise<MoveOutcome> {
    const [outcome] = await this.store.move([{ run_id, ...change }])
    return outcome!
  }

  async complete(run_id: string, at: number): Promise<void> {
    const outcome = await this.move(run_id, {
      move: 'complete',
      from: ['running'],
      to: 'completed',
      archive: true,
      at,
    })
    expect(outcome.kind).toBe('moved')
  }

  async fail(run_id: string, at: number): Promise<void> {
    const outcome = await this.move(run_id, {
      move: 'fail',
      from: ['running'],
      to: 'failed',
      at,
      error: 'it failed',
    })
    expect(outcome.kind).toBe('moved')
  }
}

export function gatesConformance(underTest: () => StoreUnderTest): void {
  const driver = new Driver()
  beforeEach(async () => {
    driver.store = (await underTest().open()).store
  })
  const reopen = async (now?: number): Promise<void> => {
    driver.store = (await underTest().open(now)).store
  }

  describe('before the outbox', () => {
    test('a rate limit lets so many pass in any period, also over a restart; what is beyond makes no run, and is logged', async () => {
      const flow: RunFlow = { rate_limit: { key: 'k', limit: 2, period_ms: 10 * second } }
      expect((await driver.emit(t0, [{ flow }])).run_ids).toHaveLength(1)
      expect((await driver.emit(t0 + 4 * second, [{ flow }])).run_ids).toHaveLength(1)
      await reopen(t0 + 5 * second)
      const beyond = await driver.emit(t0 + 9 * second, [{ flow }])
      expect(beyond.decisions).toMatchObject([{ outcome: 'rate_limited' }])
      expect(beyond.run_ids).toEqual([])
      expect((await driver.store.event(beyond.event_id))!.decisions).toMatchObject([
        { outcome: 'rate_limited' },
      ])
      expect((await driver.emit(t0 + 10 * second, [{ flow }])).run_ids).toHaveLength(1)
      expect((await driver.emit(t0 + 13 * second, [{ flow }])).run_ids).toHaveLength(0)
      expect((await driver.emit(t0 + 14 * second, [{ flow }])).run_ids).toHaveLength(1)
    })

    test('debounce: one run, of the last event, once it is quiet, at the latest after max_wait_ms', async () => {
      const flow: RunFlow = {
        debounce: { lane: 'd', period_ms: 10 * second, max_wait_ms: 25 * second, delay_ms: 0 },
      }
      const at = (seconds: number): Promise<Accepted> =>
        driver.emit(t0 + seconds * second, [{ flow, not_before: t0 + (seconds + 10) * second }])
      const first = await at(0)
      const next = await at(8)
      expect(next.decisions).toMatchObject([{ outcome: 'debounced', run_id: first.run_ids[0] }])
      expect(await driver.claimed(t0 + 11 * second)).toEqual([])
      await at(16)
      const last = await at(22)
      expect(await driver.claimed(t0 + 24 * second)).toEqual([])
      // Quiet would be at 32, but the first has waited long enough at 25.
      const { runs } = await driver.claim(t0 + 25 * second)
      expect(runs).toMatchObject([{ id: first.run_ids[0], event_id: last.event_id }])
      // It is the last event's; what was decided about the others points to it.
      const decided = async (event_id: string): Promise<unknown> =>
        (await driver.store.event(event_id))!.decisions[0]
      expect(await decided(first.event_id)).toMatchObject({ outcome: 'debounced', run_id: first.run_ids[0] })
      expect(await decided(last.event_id)).toMatchObject({ outcome: 'routed' })
      // One that is with its bot takes nothing in any more.
      expect((await at(26)).run_ids).toHaveLength(1)
    })

    test('batch: one run with all events, when it is full or its time is over', async () => {
      const flow: RunFlow = { batch: { lane: 'b', max: 3, timeout_ms: 10 * second } }
      const at = (seconds: number): Promise<Accepted> =>
        driver.emit(t0 + seconds * second, [{ flow, not_before: t0 + (seconds + 10) * second }])
      const events = [await at(0), await at(1)]
      expect(await driver.claimed(t0 + 2 * second)).toEqual([])
      events.push(await at(3))
      const full = await driver.claim(t0 + 3 * second)
      expect(full.runs).toHaveLength(1)
      expect(full.runs[0]!.events!.map(event => event.id)).toEqual(events.map(event => event.event_id))
      const [four, five] = [await at(4), await at(5)]
      expect(five.decisions).toMatchObject([{ outcome: 'batched', run_id: four.run_ids[0] }])
      expect(await driver.claimed(t0 + 13 * second)).toEqual([])
      const late = await driver.claim(t0 + 14 * second)
      expect(late.runs[0]!.events!.map(event => event.id)).toEqual([four.event_id, five.event_id])
      expect(await driver.store.run(four.run_ids[0]!)).toMatchObject({ event_count: 2 })
    })

    test('singleton: skipped, queued, or in the place of the one before', async () => {
      const flow = (on_conflict: 'skip' | 'queue' | 'cancel_running'): RunFlow => ({
        singleton: { lane: on_conflict, on_conflict },
      })
      const one = await driver.emit(t0, [{ flow: flow('skip') }])
      const two = await driver.emit(t0, [{ flow: flow('skip') }])
      expect(two.decisions).toMatchObject([{ outcome: 'singleton_skipped', run_id: one.run_ids[0] }])
      expect(await driver.claimed(t0)).toEqual(one.run_ids)
      expect((await driver.emit(t0, [{ flow: flow('skip') }])).run_ids).toEqual([])
      await driver.complete(one.run_ids[0]!, t0)
      expect((await driver.emit(t0, [{ flow: flow('skip') }])).run_ids).toHaveLength(1)
      await driver.claimed(t0)

      const [first, next] = [
        await driver.emit(t0, [{ flow: flow('queue') }]),
        await driver.emit(t0, [{ flow: flow('queue') }]),
      ]
      expect(await driver.claimed(t0)).toEqual(first.run_ids)
      expect(await driver.claimed(t0)).toEqual([])
      await driver.complete(first.run_ids[0]!, t0)
      expect(await driver.claimed(t0)).toEqual(next.run_ids)

      const waiting = await driver.emit(t0, [{ flow: flow('cancel_running') }])
      const running = await driver.emit(t0, [{ flow: flow('cancel_running') }])
      expect(await driver.store.run(waiting.run_ids[0]!)).toMatchObject({ state: 'cancelled' })
      expect(await driver.claimed(t0)).toEqual(running.run_ids)
      const newer = await driver.emit(t0, [{ flow: flow('cancel_running') }])
      expect(newer.cancel).toEqual(running.run_ids)
      expect(await driver.store.run(running.run_ids[0]!)).toMatchObject({
        state: 'running',
        cancel_requested: true,
      })
      expect(await driver.claimed(t0)).toEqual([])
      await driver.move(running.run_ids[0]!, {
        move: 'acknowledge_cancel',
        from: ['running'],
        to: 'cancelled',
        archive: true,
        at: t0,
      })
      expect(await driver.claimed(t0)).toEqual(newer.run_ids)
    })

    test('a full queue refuses the run and logs the event; a replay by a person is not refused', async () => {
      await driver.store.write([
        { noun: 'queue', id: 'deployer', definition: { id: 'deployer', max_pending: 2 }, at: t0 },
      ])
      for (const _ of [1, 2]) expect((await driver.emit(t0, [{}])).run_ids).toHaveLength(1)
      const refused = await driver.emit(t0, [{}])
      expect(refused.decisions).toMatchObject([{ outcome: 'queue_full' }])
      expect(
        await driver.store.replay(
          [{ event_id: refused.event_id, at: t0, runs: [newRun({ replay: true })], only_missing: true }],
          1000,
        ),
      ).toHaveLength(1)
      await driver.claimed(t0)
      expect((await driver.emit(t0, [{}])).run_ids).toHaveLength(1)
    })

    test('a trigger that comes again and again about the same subject in one chain of causes is held', async () => {
      let causation = null as { event_id: string; run_id: string; depth: number } | null
      for (let depth = 1; depth <= 4; depth++) {
        const run = newRun({ not_before: t0 })
        const event = newEvent({
          received_at: t0,
          causation,
          decisions: [{ trigger_id: 'deploy', trigger_version: 1, outcome: 'routed' }],
          runs: [run],
        })
        const [outcome] = await driver.store.accept([event], { ...limits, loop_repeats: 3 })
        expect((outcome as Accepted).decisions).toMatchObject([
          { outcome: depth <= 3 ? 'routed' : 'loop_held' },
        ])
        causation = { event_id: event.id, run_id: run.id, depth }
      }
    })
  })

  describe('before the lease', () => {
    test('concurrency: so many of a key at once; others of its bot pass those that wait', async () => {
      const flow: RunFlow = { concurrency: { lane: 'c', limit: 2 } }
      const keyed = await Promise.all([0, 1, 2, 3].map(() => driver.emit(t0, [{ flow, priority: 50 }])))
      const free = await driver.emit(t0, [{}])
      const ids = keyed.map(each => each.run_ids[0]!)
      expect((await driver.claimed(t0)).toSorted()).toEqual([ids[0]!, ids[1]!, free.run_ids[0]!].toSorted())
      expect(await driver.claimed(t0)).toEqual([])
      await reopen()
      // What the process before had in hand is owed again, and counts no more.
      expect(await driver.claimed(t0)).toHaveLength(3)
      expect(await driver.claimed(t0)).toHaveLength(0)
    })

    test('throttle: so many begin in any period, others wait, and the claim says until when', async () => {
      const flow: RunFlow = {
        throttle: { lane: 'th', rates: [{ key: 'th', limit: 2, period_ms: 10 * second }] },
      }
      for (const _ of [1, 2, 3]) await driver.emit(t0, [{ flow }])
      const first = await driver.claim(t0)
      expect(first.runs).toHaveLength(2)
      expect(first.next_due_at).toBe(t0 + 10 * second)
      expect(await driver.claimed(t0 + 9 * second)).toEqual([])
      const opened = await driver.claim(t0 + 10 * second)
      expect(opened.runs).toHaveLength(1)
    })

    test('budget: held beyond it with the time when there is room, warned of at 80 %, released by time or by a person', async () => {
      const flow: RunFlow = {
        budgets: [{ scope: 'trigger:deploy', figure: 'runs', limit: 5, period_ms: 3_600_000 }],
      }
      const runs: string[] = []
      for (let count = 0; count < 8; count++)
        runs.push((await driver.emit(t0 + count, [{ flow }])).run_ids[0]!)
      expect(await driver.claimed(t0 + 10)).toEqual(runs.slice(0, 5))
      expect(await driver.store.run(runs[5]!)).toMatchObject({
        state: 'held',
        held_by: 'budget',
        error: expect.stringContaining('there is room at'),
      })
      await driver.move(runs[7]!, {
        move: 'release',
        from: ['held'],
        to: 'pending',
        at: t0 + 20,
        error: null,
      })
      expect(await driver.claimed(t0 + 20)).toEqual([runs[7]])
      expect(await driver.claimed(t0 + 3_600_009)).toEqual([])
      expect(await driver.claimed(t0 + 3_600_010)).toEqual([runs[5], runs[6]])
    })

    test('order: one after the other, in the order of events, whatever their priority; a dead one blocks only its own', async () => {
      const order = (key: string, on_dead: 'block' | 'continue' = 'block'): RunFlow => ({
        order: { lane: `order:deployer:${key}`, on_dead },
      })
      const [a1, a2, a3] = [
        await driver.emit(t0, [{ flow: order('a') }]),
        await driver.emit(t0, [{ flow: order('a'), priority: 100 }]),
        await driver.emit(t0, [{ flow: order('a') }]),
      ].map(each => each.run_ids[0]!) as [string, string, string]
      const b = (await driver.emit(t0, [{ flow: order('b') }])).run_ids[0]!
      expect((await driver.claimed(t0)).toSorted()).toEqual([a1, b].toSorted())
      await driver.fail(a1, t0)
      expect(await driver.claimed(t0)).toEqual([])
      expect(await driver.store.stuck('deployer', 10)).toMatchObject([
        { order_key: 'a', run_id: a1, state: 'failed', waiting: 2, error: 'it failed' },
      ])
      await driver.move(a1, { move: 'skip', from: ['failed'], to: 'failed', at: t0, skip_order: true })
      expect(await driver.claimed(t0)).toEqual([a2])
      // A retry goes behind nobody: it begins anew when it is its turn.
      await driver.complete(a2, t0)
      expect(await driver.claimed(t0)).toEqual([a3])
      const [c1, c2] = [
        await driver.emit(t0, [{ flow: order('c', 'continue') }]),
        await driver.emit(t0, [{ flow: order('c', 'continue') }]),
      ]
      expect(await driver.claimed(t0)).toEqual(c1.run_ids)
      await driver.fail(c1.run_ids[0]!, t0)
      expect(await driver.claimed(t0)).toEqual(c2.run_ids)
    })

    test('a run waits for those that it depends on; when one fails it is cancelled or held', async () => {
      const after = (on_failed: 'skip' | 'hold', ...triggers: string[]): RunFlow => ({
        depends_on: { triggers, on_failed },
      })
      const build = { trigger_id: 'build' }
      const check = { trigger_id: 'test', flow: after('skip', 'build') }
      const ship = { trigger_id: 'ship', flow: after('hold', 'build', 'test') }
      const one = await driver.emit(t0, [build, ship, check])
      const [b, s, t] = one.run_ids as [string, string, string]
      expect(await driver.claimed(t0)).toEqual([b])
      await driver.complete(b, t0)
      expect(await driver.claimed(t0)).toEqual([t])
      await driver.complete(t, t0)
      expect(await driver.claimed(t0)).toEqual([s])
      const two = await driver.emit(t0, [build, ship, check])
      const [b2, s2, t2] = two.run_ids as [string, string, string]
      await driver.claimed(t0)
      await driver.fail(b2, t0)
      expect(await driver.store.run(t2)).toMatchObject({
        state: 'cancelled',
        error: expect.stringContaining('which it depends on'),
      })
      expect(await driver.store.run(s2)).toMatchObject({ state: 'held', held_by: 'dependency' })
      await driver.move(s2, { move: 'release', from: ['held'], to: 'pending', at: t0, error: null })
      expect(await driver.claimed(t0)).toEqual([s2])
      // One that is not there for the event is not waited for.
      expect(await driver.claimed(t0)).toEqual([])
      const alone = await driver.emit(t0, [ship])
      expect(await driver.claimed(t0)).toEqual(alone.run_ids)
    })

    test('an approval is asked for once, binds to its run, and no answer in time is told of', async () => {
      const flow: RunFlow = { approval: { timeout_ms: 5 * second } }
      const [a, b] = [await driver.emit(t0, [{ flow }]), await driver.emit(t0, [{ flow }])].map(
        each => each.run_ids[0]!,
      ) as [string, string]
      const claim = await driver.claim(t0)
      expect(claim.runs).toEqual([])
      expect(claim.asked.map(run => run.id)).toEqual([a, b])
      expect((await driver.claim(t0)).asked).toEqual([])
      await driver.move(a, {
        move: 'approve',
        from: ['awaiting_approval'],
        to: 'pending',
        at: t0,
        approve: true,
      })
      expect(await driver.claimed(t0)).toEqual([a])
      expect((await driver.claim(t0 + 4 * second)).overdue).toEqual([])
      expect((await driver.claim(t0 + 5 * second)).overdue).toMatchObject([
        { id: b, deadline_name: 'approval' },
      ])
    })

    test('limits of time: an age before it begins, a start, an attempt, and silence; those of a paused run stand still', async () => {
      const flow: RunFlow = {
        max_age_ms: 5 * second,
        start_timeout_ms: 2 * second,
        timeout_ms: 20 * second,
        idle_timeout_ms: 8 * second,
      }
      const run = (await driver.emit(t0, [{ flow }])).run_ids[0]!
      const overdue = async (at: number): Promise<(string | null)[]> =>
        (await driver.claim(at, [])).overdue.map(each => each.deadline_name)
      const old = (await driver.emit(t0, [{ flow, bot_id: 'other' }])).run_ids[0]!
      expect(await overdue(t0 + 5 * second)).toEqual(['max_age_ms', 'max_age_ms'])
      const { runs } = await driver.store.claim({
        bots: [{ bot_id: 'deployer', room: 1 }],
        limit: 1,
        now: t0 + 4 * second,
        lease_token: '',
        lease_until: t0 + 65 * second,
        worker_tokens: ['w:1'],
      })
      expect(runs).toMatchObject([{ id: run, state: 'assigned' }])
      // One that is too old is not begun, even by a claim that comes before anybody could say so.
      expect((await driver.claim(t0 + 5 * second, ['other'])).runs).toEqual([])
      expect(await driver.store.run(old)).toMatchObject({ state: 'cancelled', error: 'max_age_ms is over' })
      expect(await overdue(t0 + 6 * second)).toEqual(['start_timeout_ms'])
      const at = (seconds: number): { at: number; lease_token: string } => ({
        at: t0 + seconds * second,
        lease_token: 'w:1',
      })
      await driver.move(run, {
        move: 'start',
        from: ['assigned'],
        to: 'running',
        count_attempt: true,
        ...at(6),
      })
      expect(await overdue(t0 + 13 * second)).toEqual([])
      expect(await overdue(t0 + 14 * second)).toEqual(['idle_timeout_ms'])
      await driver.move(run, {
        move: 'progress',
        from: ['running'],
        to: 'running',
        touch: 'noted',
        ...at(13),
      })
      expect(await overdue(t0 + 14 * second)).toEqual([])
      await driver.move(run, { move: 'pause', from: ['running'], to: 'paused', ...at(16) })
      expect(await overdue(t0 + 1000 * second)).toEqual([])
      await driver.move(run, { move: 'resume', from: ['paused'], to: 'running', ...at(116) })
      // 10 s of 20 were used before the pause.
      expect(await overdue(t0 + 123 * second)).toEqual([])
      expect(await overdue(t0 + 124 * second)).toEqual(['idle_timeout_ms'])
      await driver.move(run, {
        move: 'extend',
        from: ['running'],
        to: 'running',
        touch: 'silent',
        ...at(120),
      })
      expect(await overdue(t0 + 126 * second)).toEqual(['timeout_ms'])
    })
  })

  describe('queues', () => {
    test('max_active, rate and pause hold the queue; bots of other queues go on, and room is told of', async () => {
      const told: string[] = []
      driver.store.onDue = ids => told.push(...ids)
      const put = (definition: object): Promise<unknown> =>
        driver.store.write([
          { noun: 'queue', id: 'robot', definition: { id: 'robot', ...definition }, at: t0 },
        ])
      await put({ max_active: 1 })
      const runs: string[] = []
      for (const bot_id of ['one', 'two', 'one'])
        runs.push((await driver.emit(t0, [{ bot_id, queue: 'robot' }])).run_ids[0]!)
      const first = await driver.claim(t0, ['one', 'two'])
      expect(first.runs.map(run => run.id)).toEqual([runs[0]])
      expect(first.blocked.toSorted()).toEqual(['one', 'two'])
      expect(await driver.store.queueCounts()).toEqual([{ queue: 'robot', waiting: 2, active: 1 }])
      told.length = 0
      await driver.complete(runs[0]!, t0)
      expect(told.toSorted()).toEqual(['one', 'two'])
      await put({ paused: true, paused_reason: 'moved' })
      expect(await driver.claimed(t0, ['one', 'two'])).toEqual([])
      await put({ rate: { limit: 1, period_ms: 10 * second } })
      expect(await driver.claimed(t0, ['one', 'two'])).toEqual([runs[1]])
      const waits = await driver.claim(t0 + second, ['one', 'two'])
      expect(waits).toMatchObject({ runs: [], next_due_at: t0 + 10 * second })
      expect(await driver.claimed(t0 + 10 * second, ['one', 'two'])).toEqual([runs[2]])
    })

    test('priority goes first, a level is a minute of waiting, and what is due later blocks nothing', async () => {
      await driver.emit(t0, [{ priority: 100, not_before: t0 + 3_600_000 }])
      const low = (await driver.emit(t0, [{ priority: -1 }])).run_ids[0]!
      const high = (await driver.emit(t0 + second, [{ priority: 1 }])).run_ids[0]!
      const late = (await driver.emit(t0 + 180 * second, [{ priority: 1 }])).run_ids[0]!
      expect(await driver.claimed(t0 + 180 * second, ['deployer'], 1)).toEqual([high])
      // It has waited for three minutes, which is worth more than two levels.
      expect(await driver.claimed(t0 + 180 * second, ['deployer'], 1)).toEqual([low])
      expect(await driver.claimed(t0 + 180 * second, ['deployer'], 1)).toEqual([late])
      expect(await driver.claimed(t0 + 180 * second, ['deployer'], 1)).toEqual([])
    })

    test('a run that names capabilities stands under its need until it is given to a bot, and again when it comes back', async () => {
      const need = { capabilities: ['build', 'arm'] }
      const key = needKey(need)
      const run = (await driver.emit(t0, [{ bot_id: key, queue: '', need, allowed_tools: ['git', 'rm'] }]))
        .run_ids[0]!
      const assignment = { ...need, chosen: 'arm-1', candidates: [], considered: 1 }
      const choices = [{ bot_id: 'arm-1', assignment, tools: ['git'] }]
      expect(await driver.store.cause(run)).toBeNull()
      const claim = await driver.store.claim({
        bots: [{ bot_id: key, room: 1, choices }],
        limit: 1,
        now: t0,
        lease_token: 't',
        lease_until: t0 + 1,
      })
      expect(claim.runs).toMatchObject([
        {
          id: run,
          bot_id: 'arm-1',
          queue: 'arm-1',
          allowed_tools: ['git'],
          assignment: { chosen: 'arm-1', priority: 0.5 },
        },
      ])
      await driver.move(run, {
        move: 'retry_later',
        from: ['running'],
        to: 'pending',
        at: t0,
        not_before: t0,
      })
      expect(await driver.store.run(run)).toMatchObject({ bot_id: key, queue: '' })
      // What its bot emits late is still of this run.
      expect(await driver.store.cause(run)).toMatchObject({
        bot_id: 'arm-1',
        causation: { run_id: run, depth: 1 },
      })
      expect(await driver.store.queueCounts()).toEqual([{ queue: '', waiting: 1, active: 0 }])
    })
  })
}
