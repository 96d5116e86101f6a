// What every implementation of the Store interface must do. An implementation's test calls this with a way to open one.
import { hash } from 'node:crypto'
import { beforeEach, describe, expect, test } from 'vitest'
import type { ClaimRequest, NewEvent, NewRun, RunMove, Store } from '../../src/store/store.ts'
import { uuidv7Maker } from '../../src/ids.ts'

/** A store over the same data each time, as a restarted router would open it. */
export interface StoreUnderTest {
  open: (now?: number) => Promise<{ store: Store; start: Awaited<ReturnType<Store['start']>> }>
}

const makeId = uuidv7Maker()
const t0 = 1_790_000_000_000
export const limits = {
  dedupe_ms: 604_800_000,
  signed_body_ms: 259_200_000,
  max_open_runs: 1000,
  loop_repeats: 100,
}

export function newRun(changes: Partial<NewRun> = {}): NewRun {
  return {
    id: makeId(t0),
    trigger_id: 'deploy',
    trigger_version: 1,
    bot_id: 'deployer',
    queue: changes.bot_id ?? 'deployer',
    workflow_id: null,
    priority: 0,
    not_before: t0,
    replay: false,
    ...changes,
  }
}

export function newEvent(changes: Partial<NewEvent> = {}): NewEvent {
  const body = changes.body ?? Buffer.from('{"a":1}')
  return {
    id: makeId(t0),
    source_id: 'forge',
    type: 'push',
    subject: 'acme/site',
    actor: null,
    thread: null,
    emitted: false,
    timestamp: t0,
    received_at: t0,
    headers: null,
    causation: null,
    delivery_key: null,
    body,
    body_format: 'json',
    body_sha256: hash('sha256', body, 'buffer'),
    signed_sha256: null,
    log_redelivery_only: false,
    decisions: (changes.runs ?? []).map(run => ({
      trigger_id: run.trigger_id,
      trigger_version: run.trigger_version,
      outcome: 'routed' as const,
    })),
    runs: [],
    ...changes,
  }
}

const claimAll = (changes: Partial<ClaimRequest> = {}): ClaimRequest => ({
  bots: [{ bot_id: 'deployer', room: 100 }],
  limit: 100,
  now: t0,
  lease_token: 'token-1',
  lease_until: t0 + 60_000,
  ...changes,
})
const completed = (run_id: string, changes: Partial<RunMove> = {}): RunMove => ({
  run_id,
  move: 'complete',
  from: ['running'],
  to: 'completed',
  archive: true,
  at: t0 + 5,
  lease_token: 'token-1',
  ...changes,
})

export function storeConformance(underTest: () => StoreUnderTest): void {
  let store: Store
  const reopen = async (now?: number): Promise<Awaited<ReturnType<Store['start']>>> => {
    const opened = await underTest().open(now)
    store = opened.store
    return opened.start
  }
  beforeEach(async () => {
    await reopen()
  })
  const accept = async (...events: NewEvent[]): ReturnType<Store['accept']> => store.accept(events, limits)

  describe('events', () => {
    test('come back byte for byte, whatever they hold', async () => {
      const bodies = [
        Buffer.from([0, 1, 2, 255, 254, 0]),
        Buffer.from('"\\ud800" \u0000 9007199254740993'),
        Buffer.alloc(0),
        Buffer.alloc(300_000, 'x'),
        Buffer.from('{"a":1,"a":2}'),
      ]
      const events = bodies.map((body, index) =>
        newEvent({ body, headers: { 'x-n': String(index) }, subject: index === 0 ? null : 'ümlaut' }),
      )
      expect((await accept(...events)).map(outcome => outcome.kind)).toEqual(bodies.map(() => 'accepted'))
      for (const [index, event] of events.entries()) {
        const stored = (await store.event(event.id))!
        expect(Buffer.from(stored.body).equals(bodies[index]!)).toBe(true)
        expect(stored).toMatchObject({
          source_id: 'forge',
          type: 'push',
          headers: { 'x-n': String(index) },
          subject: event.subject,
          body_bytes: bodies[index]!.length,
        })
        expect(Buffer.from(stored.body_sha256)).toEqual(Buffer.from(event.body_sha256))
      }
      expect(await store.event(makeId(t0))).toBeNull()
    })

    test('a known delivery is a duplicate, concurrent or after a restart; with another body it is refused', async () => {
      const first = newEvent({ delivery_key: 'd1', runs: [newRun()] })
      const answers = (
        await Promise.all([
          accept(first),
          ...Array.from({ length: 20 }, () => accept(newEvent({ delivery_key: 'd1', runs: [newRun()] }))),
        ])
      ).flat()
      expect(answers.filter(answer => answer.kind === 'accepted')).toHaveLength(1)
      const known = {
        kind: 'duplicate',
        event_id: first.id,
        matched_triggers: ['deploy'],
        run_ids: [first.runs[0]!.id],
      }
      expect(answers.slice(1)).toEqual(Array.from({ length: 20 }, () => known))
      await reopen()
      expect(await accept(newEvent({ delivery_key: 'd1' }))).toEqual([known])
      expect(await accept(newEvent({ delivery_key: 'd1', body: Buffer.from('other') }))).toEqual([
        { kind: 'key_reused', event_id: first.id },
      ])
      expect(await accept(newEvent({ delivery_key: 'd1', source_id: 'other' }))).toMatchObject([
        { kind: 'accepted' },
      ])
      expect((await store.event(first.id))!.duplicates).toBe(21)
      expect((await store.counts()).events).toBe(2)
    })

    test('a delivery is forgotten after its time', async () => {
      await accept(newEvent({ delivery_key: 'd1' }))
      expect(
        await accept(newEvent({ delivery_key: 'd1', received_at: t0 + limits.dedupe_ms - 1 })),
      ).toMatchObject([{ kind: 'duplicate' }])
      expect(
        await accept(newEvent({ delivery_key: 'd1', received_at: t0 + limits.dedupe_ms })),
      ).toMatchObject([{ kind: 'accepted' }])
    })

    test('the same signed body under another delivery id is known as a redelivery, and routed or only logged', async () => {
      const signed_sha256 = newEvent().body_sha256
      const first = newEvent({ delivery_key: 'd1', signed_sha256, runs: [newRun()] })
      await accept(first)
      const again = newEvent({ delivery_key: 'd2', signed_sha256, runs: [newRun()] })
      expect(await accept(again)).toMatchObject([{ kind: 'accepted', redelivery_of: first.id, routed: true }])
      const logged = newEvent({
        delivery_key: 'd3',
        signed_sha256,
        log_redelivery_only: true,
        runs: [newRun()],
      })
      expect(await accept(logged)).toMatchObject([
        { kind: 'accepted', redelivery_of: first.id, routed: false },
      ])
      expect(await store.runs({ event_id: logged.id, limit: 10, after: null })).toEqual([])
      expect((await store.event(logged.id))!.decisions).toEqual([
        { trigger_id: 'deploy', trigger_version: 1, outcome: 'redelivery_logged' },
      ])
      expect(
        await accept(
          newEvent({ delivery_key: 'd4', signed_sha256, received_at: t0 + limits.signed_body_ms + 1 }),
        ),
      ).toMatchObject([{ redelivery_of: null }])
    })

    test('a form that was logged by a hash of all its bytes is known', async () => {
      // Earlier versions kept the hash of the whole form, not that of the JSON in it.
      const body = Buffer.from(`other=1&payload=${encodeURIComponent('{"n":1}')}`)
      const whole = hash('sha256', body, 'buffer')
      const then = newEvent({
        delivery_key: 'd1',
        body,
        body_format: 'form',
        body_sha256: whole,
        signed_sha256: whole,
      })
      await accept(then)
      const now = {
        body,
        body_format: 'form' as const,
        body_sha256: whole,
        signed_sha256: hash('sha256', '{"n":1}', 'buffer'),
        log_redelivery_only: true,
      }
      const [again, third] = ['d2', 'd3'].map(delivery_key =>
        newEvent({ ...now, delivery_key, runs: [newRun()] }),
      )
      expect(await accept(again!)).toMatchObject([
        { kind: 'accepted', redelivery_of: then.id, routed: false, run_ids: [] },
      ])
      expect(await accept(third!)).toMatchObject([
        { kind: 'accepted', redelivery_of: again!.id, routed: false, run_ids: [] },
      ])
      const other = {
        ...now,
        body: Buffer.from('payload=1'),
        body_sha256: hash('sha256', 'payload=1', 'buffer'),
        signed_sha256: hash('sha256', '1', 'buffer'),
      }
      expect(await accept(newEvent({ ...other, delivery_key: 'd4' }))).toMatchObject([
        { redelivery_of: null, routed: true },
      ])
    })

    test('more runs than may be open are refused, and nothing of them is stored', async () => {
      const tight = { ...limits, max_open_runs: 2, loop_repeats: 100 }
      const event = newEvent({ runs: [newRun(), newRun({ trigger_id: 'b' })] })
      expect(await store.accept([event, newEvent({ runs: [newRun()] }), newEvent()], tight)).toMatchObject([
        { kind: 'accepted' },
        { kind: 'backlog' },
        { kind: 'accepted' },
      ])
      await store.claim(claimAll())
      await store.move([completed(event.runs[0]!.id)])
      expect(await store.accept([newEvent({ runs: [newRun()] })], tight)).toMatchObject([
        { kind: 'accepted' },
      ])
    })

    test('pages go by key, in both directions, with every selection', async () => {
      const events = Array.from({ length: 12 }, (_, index) =>
        newEvent({
          type: index % 2 === 0 ? 'push' : 'issues',
          source_id: index % 3 === 0 ? 'forge' : 'lab',
          subject: `s${index % 4}`,
          received_at: t0 + index * 10,
          runs: index % 4 === 0 ? [newRun()] : [],
        }),
      )
      for (const event of events) await accept(event)
      const ids = async (
        selection: Parameters<Store['events']>[0]['selection'],
        order: 'asc' | 'desc' = 'asc',
      ): Promise<number[]> => {
        const found: number[] = []
        for (let after: number | null = null; ;) {
          const page = await store.events({
            selection,
            order,
            limit: 5,
            after,
            whole: found.length % 2 === 0,
          })
          found.push(...page.map(line => events.findIndex(event => event.id === line.id)))
          if (page.length < 5) return found
          after = page.at(-1)!.seq
        }
      }
      const where = (test: (index: number) => boolean): number[] =>
        events.map((_, index) => index).filter(test)
      expect(await ids({})).toEqual(where(() => true))
      expect(await ids({}, 'desc')).toEqual(where(() => true).toReversed())
      expect(await ids({ type: 'push' })).toEqual(where(index => index % 2 === 0))
      expect(await ids({ source_id: 'forge', type: 'push' })).toEqual(where(index => index % 6 === 0))
      expect(await ids({ subject: 's1', matched: false })).toEqual(where(index => index % 4 === 1))
      expect(await ids({ matched: true })).toEqual(where(index => index % 4 === 0))
      expect(await ids({ trigger_id: 'deploy', type: 'push' }, 'desc')).toEqual(
        where(index => index % 4 === 0).toReversed(),
      )
      expect(await ids({ since: t0 + 30, until: t0 + 61 })).toEqual([3, 4, 5, 6])
      expect(await ids({ since: t0 + 31 })).toEqual(where(index => index > 3))
      expect(await ids({ until: t0 })).toEqual([])
    })

    test('actor and thread are kept as they were sent', async () => {
      const given = [
        { actor: 'Ada', thread: 'acme/site#12', emitted: false },
        { actor: null, thread: 'acme/Site@refs/heads/ü', emitted: true },
        { actor: 'bot:b', thread: null, emitted: false },
      ]
      const events = given.map(each => newEvent(each))
      await accept(...events)
      for (const [index, { id }] of events.entries())
        expect(await store.event(id)).toMatchObject(given[index]!)
      const page = { selection: {}, order: 'asc' as const, limit: 9, after: null }
      expect(await store.events({ ...page, whole: false })).toMatchObject(given)
      expect(await store.events({ ...page, whole: true })).toMatchObject(given)
      expect(await store.originsSince()).toBeNull()
    })

    test('actors are found in any case, threads in their own', async () => {
      const actors = ['Ada', 'ada', 'ADA', 'adam', null, 'ÄDA', 'äda']
      const events = actors.map((actor, index) =>
        newEvent({ actor, thread: index % 2 === 0 ? 'a/b#1' : 'A/b#1', source_id: index < 2 ? 'x' : 'y' }),
      )
      await accept(...events)
      const found = async (selection: Parameters<Store['events']>[0]['selection']): Promise<number[]> => {
        const lines = await store.events({ selection, order: 'asc', limit: 50, after: null, whole: false })
        return lines.map(line => events.findIndex(event => event.id === line.id))
      }
      expect(await found({ actor: 'aDa' })).toEqual([0, 1, 2])
      expect(await found({ actor: 'äda' })).toEqual([6])
      expect(await found({ thread: 'a/b#1' })).toEqual([0, 2, 4, 6])
      expect(await found({ thread: 'a/b#1', actor: 'ada' })).toEqual([0, 2])
      expect(await found({ actor: 'ada', source_id: 'y' })).toEqual([2])
      expect(await found({ actor: 'ada', since: t0 + 1 })).toEqual([])
    })

    test('a run is known as the cause of an event', async () => {
      const [named, open] = [newRun(), newRun({ bot_id: '?{"capabilities":["x"]}' })]
      const cause = { event_id: makeId(t0), run_id: makeId(t0), depth: 4 }
      const event = newEvent({ causation: cause, runs: [named, open] })
      await accept(event)
      expect(await store.cause(named.id)).toEqual({
        bot_id: 'deployer',
        causation: { event_id: event.id, run_id: named.id, depth: 5 },
      })
      expect(await store.cause(open.id)).toBeNull()
      expect(await store.cause(makeId(t0))).toBeNull()
      await store.claim(claimAll())
      await store.move([completed(named.id)])
      expect(await store.cause(named.id)).toMatchObject({ bot_id: 'deployer' })
    })

    test('the log never goes back in time, though the clock may', async () => {
      await accept(newEvent({ received_at: t0 + 1000 }))
      const early = newEvent({ received_at: t0 })
      await accept(early)
      expect((await store.event(early.id))!.received_at).toBe(t0 + 1000)
    })
  })

  describe('definitions', () => {
    const source = { id: 'forge', source_type: 'service' as const }
    test('are written all or none, and only by who knows their version', async () => {
      const put = (version?: number): Promise<unknown> =>
        store.write([{ noun: 'source', id: 'forge', definition: source, version, at: t0 }])
      expect(await put(0)).toMatchObject({ kind: 'written', objects: [{ version: 1 }] })
      expect(await put(0)).toMatchObject({ kind: 'conflict', expected: 0, found: 1 })
      expect(await put(1)).toMatchObject({ kind: 'written', objects: [{ version: 2, created_at: t0 }] })
      expect(await put()).toMatchObject({ kind: 'written', objects: [{ version: 3 }] })
      const both = await store.write([
        {
          noun: 'bot',
          id: 'b',
          definition: { id: 'b', endpoint: { kind: 'command', argv: ['/bin/true'] } },
          at: t0,
        },
        { noun: 'source', id: 'forge', definition: null, version: 2, at: t0 },
      ])
      expect(both).toMatchObject({ kind: 'conflict', noun: 'source' })
      expect((await reopen()).definitions).toMatchObject({ sources: [{ id: 'forge', version: 3 }], bots: [] })
    })

    test('every version of a trigger stays, also when it is deleted and comes again', async () => {
      const trigger = (
        type: string,
      ): { id: string; filter: Record<string, unknown>; action: { bot_id: string } } => ({
        id: 't',
        filter: { type: [type] },
        action: { bot_id: 'b' },
      })
      const change = (definition: ReturnType<typeof trigger> | null): Promise<unknown> =>
        store.write([{ noun: 'trigger', id: 't', definition, at: t0 }])
      await change(trigger('one'))
      await change(trigger('two'))
      await change(null)
      expect(await change(trigger('three'))).toMatchObject({ objects: [{ version: 3 }] })
      expect(await store.triggerVersion('t', 1)).toEqual(trigger('one'))
      expect(await store.triggerVersion('t', 3)).toEqual(trigger('three'))
      expect(await store.triggerVersion('t', 4)).toBeNull()
    })

    test('a bot with open runs is not deleted', async () => {
      await store.write([
        {
          noun: 'bot',
          id: 'deployer',
          definition: { id: 'deployer', endpoint: { kind: 'command', argv: ['x'] } },
          at: t0,
        },
      ])
      await accept(newEvent({ runs: [newRun()] }))
      expect(await store.write([{ noun: 'bot', id: 'deployer', definition: null, at: t0 }])).toMatchObject({
        kind: 'in_use',
        open_runs: 1,
      })
    })
  })

  describe('runs', () => {
    test('are claimed by priority, due time and age, within the room of each bot', async () => {
      const runs = [
        newRun({ priority: 0 }),
        newRun({ priority: 5, bot_id: 'other' }),
        newRun({ priority: 0, not_before: t0 - 10 }),
        newRun({ priority: 1 }),
        newRun({ priority: -5 }),
      ]
      await accept(...runs.map(run => newEvent({ runs: [run] })))
      const answer = await store.claim(
        claimAll({
          bots: [
            { bot_id: 'deployer', room: 3 },
            { bot_id: 'other', room: 3 },
          ],
          limit: 3,
        }),
      )
      expect(answer.runs.map(run => runs.findIndex(each => each.id === run.id))).toEqual([1, 3, 2])
      expect(answer.drained).toEqual(['other'])
      expect(answer.runs[0]).toMatchObject({
        state: 'running',
        attempt: 1,
        lease_token: 'token-1',
        event: { type: 'push' },
      })
      const rest = await store.claim(claimAll({ lease_token: 'token-2' }))
      expect(rest.runs.map(run => runs.findIndex(each => each.id === run.id))).toEqual([0, 4])
      expect(rest.drained).toEqual(['deployer'])
    })

    test('of the future wait, and never stand before what is due', async () => {
      const later = newRun({ not_before: t0 + 1000, priority: 100 })
      const now = newRun()
      await accept(newEvent({ runs: [later] }), newEvent({ runs: [now] }))
      const first = await store.claim(claimAll())
      expect(first).toMatchObject({ runs: [{ id: now.id }], next_due_at: t0 + 1000, became_due: [] })
      expect(await store.claim(claimAll({ now: t0 + 999 }))).toMatchObject({ runs: [] })
      expect(await store.claim(claimAll({ now: t0 + 1000 }))).toMatchObject({
        runs: [{ id: later.id }],
        became_due: ['deployer'],
        next_due_at: null,
      })
    })

    test('are moved only from the state and under the lease that the mover saw, and every move is history', async () => {
      const run = newRun()
      await accept(newEvent({ runs: [run] }))
      await store.claim(claimAll())
      expect(await store.move([completed(run.id, { lease_token: 'foreign' })])).toMatchObject([
        { kind: 'refused', run: { state: 'running' } },
      ])
      const attempt = {
        started_at: t0,
        ended_at: t0 + 5,
        outcome: 'success' as const,
        status: 'HTTP 200',
        error: null,
        output: 'ok',
      }
      expect(await store.move([completed(run.id, { attempt, result: '{"x":1}' })])).toMatchObject([
        { kind: 'moved', run: { state: 'completed', lease_token: null, finished_at: t0 + 5 } },
      ])
      expect(await store.move([completed(run.id)])).toMatchObject([
        { kind: 'refused', run: { state: 'completed' } },
      ])
      expect(await store.move([completed(makeId(t0))])).toEqual([{ kind: 'not_found' }])
      expect(await store.run(run.id)).toMatchObject({
        state: 'completed',
        dead: false,
        result: '{"x":1}',
        attempt: 1,
      })
      expect(await store.history(run.id)).toEqual({
        history: [
          { at: t0, move: 'create', from: null, to: 'pending', attempt: 0, reason: null },
          { at: t0, move: 'dispatch', from: 'pending', to: 'running', attempt: 1, reason: null },
          { at: t0 + 5, move: 'complete', from: 'running', to: 'completed', attempt: 1, reason: null },
        ],
        attempts: [{ number: 1, request: null, ...attempt }],
      })
      expect(await store.history(makeId(t0))).toBeNull()
    })

    test('that are put back count no attempt; that are dead can be given new ones or discarded', async () => {
      const run = newRun()
      await accept(newEvent({ runs: [run] }))
      await store.claim(claimAll())
      await store.move([
        { run_id: run.id, move: 'put_back', from: ['running'], to: 'pending', at: t0, uncount_attempt: true },
      ])
      expect(await store.run(run.id)).toMatchObject({ state: 'pending', attempt: 0 })
      await store.claim(claimAll())
      await store.move([
        { run_id: run.id, move: 'fail', from: ['running'], to: 'failed', at: t0 + 1, error: 'no' },
      ])
      expect(await store.runs({ dead: true, limit: 10, after: null })).toMatchObject([
        { id: run.id, dead: true, error: 'no', attempt: 1, attempt_base: 0 },
      ])
      expect(
        await store.move([
          {
            run_id: run.id,
            move: 'retry',
            from: ['failed'],
            to: 'pending',
            at: t0 + 2,
            fresh_attempts: true,
            not_before: t0 + 2,
            error: null,
          },
        ]),
      ).toMatchObject([{ kind: 'moved', run: { attempt: 1, attempt_base: 1 } }])
      expect((await store.counts()).dead).toBe(0)
      await store.claim(claimAll({ now: t0 + 2, lease_token: 'token-2' }))
      await store.move([
        { run_id: run.id, move: 'fail', from: ['running'], to: 'failed', at: t0 + 3, error: 'no' },
      ])
      expect(
        await store.move([
          { run_id: run.id, move: 'discard', from: ['failed'], to: 'failed', at: t0 + 4, archive: true },
        ]),
      ).toMatchObject([{ kind: 'moved', run: { state: 'failed', dead: false } }])
      expect(await store.runs({ dead: true, limit: 10, after: null })).toEqual([])
      expect(await store.runs({ dead: false, state: 'failed', limit: 10, after: null })).toMatchObject([
        { id: run.id, attempt: 2 },
      ])
    })

    test('wait no longer for a clock that was ahead and is right again; what people set a time for stays', async () => {
      const [retried, dated] = [newRun(), newRun({ not_before: t0 + 50_000_000, bot_id: 'later' })]
      await accept(newEvent({ runs: [retried] }), newEvent({ runs: [dated] }))
      await store.claim(claimAll())
      const ahead = t0 + 3_600_000
      await store.move([
        {
          run_id: retried.id,
          move: 'retry_later',
          from: ['running'],
          to: 'pending',
          at: ahead,
          not_before: ahead + 5000,
          error: 'no',
        },
      ])
      const start = await reopen(t0)
      expect(start).toMatchObject({ clock_behind_ms: 3_600_000, next_due_at: t0 + 5000 })
      expect(await store.run(dated.id)).toMatchObject({ not_before: t0 + 50_000_000 })
      // What was written then says so still; what waits is right by now.
      expect(await reopen(t0 + 2000)).toMatchObject({ clock_behind_ms: 0, next_due_at: t0 + 5000 })
      expect((await reopen(t0 + 3_600_000)).clock_behind_ms).toBe(0)
      await accept(newEvent({ received_at: t0 + 4_000_000 }))
      expect((await reopen(t0 + 3_700_000)).clock_behind_ms).toBe(300_000)
    })

    test('that were in hand when the process ended are owed again, at once', async () => {
      const [kept, cancelled] = [newRun(), newRun()]
      await accept(
        newEvent({ runs: [kept] }),
        newEvent({ runs: [cancelled] }),
        newEvent({ runs: [newRun({ not_before: t0 + 9000, bot_id: 'later' })] }),
      )
      await store.claim(claimAll())
      await store.move([
        {
          run_id: cancelled.id,
          move: 'request_cancel',
          from: ['running'],
          to: 'running',
          at: t0,
          request_cancel: true,
        },
      ])
      const start = await reopen()
      expect(start).toMatchObject({
        recovered: 2,
        open_runs: 2,
        waiting_bots: ['deployer'],
        next_due_at: t0 + 9000,
      })
      expect(await store.run(kept.id)).toMatchObject({ state: 'pending', attempt: 1 })
      expect(await store.run(cancelled.id)).toMatchObject({ state: 'cancelled' })
      expect((await store.history(kept.id))!.attempts).toMatchObject([{ number: 1, outcome: 'unknown' }])
    })

    test('pages go through what is live and what has ended', async () => {
      const runs = Array.from({ length: 9 }, (_, index) =>
        newRun({
          trigger_id: index % 2 === 0 ? 'even' : 'odd',
          bot_id: index % 3 === 0 ? 'deployer' : 'other',
        }),
      )
      const events = runs.map(run => newEvent({ runs: [run] }))
      await accept(...events)
      const claimed = await store.claim(claimAll({ bots: [{ bot_id: 'deployer', room: 2 }] }))
      await store.move(claimed.runs.map(run => completed(run.id)))
      const ids = async (page: Omit<Parameters<Store['runs']>[0], 'limit' | 'after'>): Promise<number[]> => {
        const found: number[] = []
        for (let after: number | null = null; ;) {
          const rows = await store.runs({ ...page, limit: 2, after })
          found.push(...rows.map(row => runs.findIndex(run => run.id === row.id)))
          if (rows.length < 2) return found
          after = rows.at(-1)!.seq
        }
      }
      expect(await ids({})).toEqual([8, 7, 6, 5, 4, 3, 2, 1, 0])
      expect(await ids({ trigger_id: 'even' })).toEqual([8, 6, 4, 2, 0])
      expect(await ids({ bot_id: 'deployer' })).toEqual([6, 3, 0])
      expect(await ids({ state: 'completed' })).toEqual([3, 0])
      expect(await ids({ state: 'pending', trigger_id: 'odd' })).toEqual([7, 5, 1])
      expect(await ids({ event_id: events[3]!.id })).toEqual([3])
      expect(await ids({ event_id: makeId(t0) })).toEqual([])
    })

    test('are listed by time, by failure, and by who caused their event where', async () => {
      const runs = Array.from({ length: 8 }, () => newRun())
      const who = (index: number): Partial<NewEvent> => ({
        actor: index % 2 === 0 ? 'Ada' : 'bob',
        thread: index < 3 ? 'acme/site#1' : 'acme/site#2',
      })
      await accept(
        ...runs.map((run, index) => newEvent({ runs: [run], received_at: t0 + index * 1000, ...who(index) })),
      )
      const end = { from: ['running' as const], to: 'failed' as const, at: t0 + 9000 }
      await store.claim(claimAll({ now: t0 + 9000 }))
      await store.move(
        [1, 4, 6].map(index => ({ ...end, run_id: runs[index]!.id, move: 'fail', error: 'no' })),
      )
      await store.move([{ ...end, run_id: runs[4]!.id, from: ['failed'], move: 'discard', archive: true }])
      await store.move([completed(runs[5]!.id)])
      const ids = async (page: Omit<Parameters<Store['runs']>[0], 'limit' | 'after'>): Promise<number[]> => {
        const found = await store.runs({ ...page, limit: 20, after: null })
        return found.map(row => runs.findIndex(run => run.id === row.id))
      }
      expect(await ids({ failed: true })).toEqual([6, 4, 1])
      expect(await ids({ failed: true, dead: true })).toEqual([6, 1])
      expect(await ids({ failed: true, dead: false })).toEqual([4])
      expect(await ids({ since: t0 + 5000 })).toEqual([7, 6, 5])
      expect(await ids({ since: t0 + 1001, until: t0 + 4000 })).toEqual([3, 2])
      expect(await ids({ until: t0 })).toEqual([])
      expect(await ids({ since: t0 + 9000 })).toEqual([])
      expect(await ids({ actor: 'ADA' })).toEqual([6, 4, 2, 0])
      expect(await ids({ thread: 'acme/site#1' })).toEqual([2, 1, 0])
      expect(await ids({ thread: 'acme/site#2', actor: 'bob', failed: true })).toEqual([])
      expect(await ids({ thread: 'acme/site#2', actor: 'ada', failed: true })).toEqual([6, 4])
      expect(await ids({ thread: 'acme/site#3' })).toEqual([])
    })

    test('of replays are written for what is missing, or once more', async () => {
      const event = newEvent({ runs: [newRun()] })
      await accept(event)
      const request = {
        event_id: event.id,
        at: t0 + 1,
        runs: [newRun({ replay: true }), newRun({ trigger_id: 'new', replay: true })],
      }
      expect(await store.replay([{ ...request, only_missing: true }], 100)).toEqual([request.runs[1]!.id])
      expect((await store.event(event.id))!.decisions).toMatchObject([
        { trigger_id: 'deploy', outcome: 'routed' },
        { trigger_id: 'new', outcome: 'replayed' },
      ])
      const once_more = { ...request, runs: [newRun({ replay: true })], only_missing: false }
      expect(await store.replay([once_more], 100)).toEqual([once_more.runs[0]!.id])
      expect(await store.replay([once_more], 3)).toBeNull()
      expect(
        await store.events({
          selection: { trigger_id: 'new' },
          order: 'asc',
          limit: 5,
          after: null,
          whole: false,
        }),
      ).toHaveLength(1)
    })
  })

  test('retention takes what is old and over, in slices, and never what is owed', async () => {
    const [done, owed, dead] = [newRun(), newRun({ bot_id: 'other' }), newRun({ trigger_id: 'dies' })]
    const events = [
      newEvent({ runs: [done], delivery_key: 'k' }),
      newEvent({ runs: [owed] }),
      newEvent({ runs: [dead] }),
      ...Array.from({ length: 5 }, () => newEvent()),
    ]
    const young = newEvent({ received_at: t0 + 5000 })
    await accept(...events, young)
    const claimed = await store.claim(claimAll())
    await store.move(
      claimed.runs.map(run =>
        run.id === dead.id
          ? { ...completed(run.id), move: 'fail', to: 'failed', archive: false }
          : completed(run.id),
      ),
    )
    const sweep = async (now: number): Promise<number> => {
      let taken = 0
      for (let more = true; more;) {
        const slice = await store.retain({ now, event_ms: 1000, dead_ms: 8000, dedupe_ms: 1000, slice: 2 })
        taken += slice.events
        more = slice.more
      }
      return taken
    }
    expect(await sweep(t0 + 500)).toBe(0)
    expect(await sweep(t0 + 2000)).toBe(6)
    expect(await store.event(events[0]!.id)).toBeNull()
    expect(await store.run(done.id)).toBeNull()
    expect(await store.history(done.id)).toBeNull()
    expect(await store.event(events[1]!.id)).not.toBeNull()
    expect(await store.run(dead.id)).toMatchObject({ dead: true })
    expect(await sweep(t0 + 20_000)).toBe(2)
    expect(await store.run(dead.id)).toBeNull()
    expect(await store.event(events[1]!.id)).not.toBeNull()
    expect(await accept(newEvent({ delivery_key: 'k', received_at: t0 + 20_000 }))).toMatchObject([
      { kind: 'accepted' },
    ])
  })

  test('an event whose source is gone or disabled by now is refused', async () => {
    const hook = (enabled: boolean) => ({
      noun: 'source' as const,
      id: 'hook',
      definition: {
        id: 'hook',
        source_type: 'webhook' as const,
        enabled,
        config: { provider: 'none' as const },
      },
      at: t0,
    })
    const guarded = () => newEvent({ source_id: 'hook', source_guard: true })
    expect(await accept(guarded())).toEqual([{ kind: 'source_off', exists: false }])
    await store.write([hook(true)])
    expect(await accept(guarded())).toMatchObject([{ kind: 'accepted' }])
    // Both are on their way at once; what was asked for first is done first.
    const disabling = store.write([hook(false)])
    const late = accept(guarded())
    expect([(await disabling).kind, await late]).toEqual(['written', [{ kind: 'source_off', exists: true }]])
    await store.write([{ ...hook(true), definition: null }])
    expect(await accept(guarded(), newEvent({ source_id: 'hook' }))).toMatchObject([
      { kind: 'source_off' },
      { kind: 'accepted' },
    ])
  })

  test('an instant of a schedule has one event, whatever comes twice, and a skipped one may still have it', async () => {
    const source = (enabled: boolean, at: number) => ({
      noun: 'source' as const,
      id: 'clock',
      definition: { id: 'clock', source_type: 'cron' as const, enabled, config: { expression: '* * * * *' } },
      at,
    })
    await store.write([source(true, t0)])
    const tick = (scheduled_at: number) =>
      newEvent({
        source_id: 'clock',
        once: { kind: 'tick', scheduled_at, caught_up: false },
        received_at: scheduled_at + 7,
      })
    const first = tick(t0 + 1000)
    expect(await accept(first)).toMatchObject([{ kind: 'accepted' }])
    const twice = tick(t0 + 2000)
    expect(await accept(tick(t0 + 1000), twice, tick(t0 + 2000))).toMatchObject([
      { kind: 'duplicate', event_id: first.id },
      { kind: 'accepted' },
      { kind: 'duplicate', event_id: twice.id },
    ])
    const skip = {
      source_id: 'clock',
      scheduled_at: t0 + 3000,
      last_scheduled_at: t0 + 5000,
      count: 3,
      reason: 'missed',
      at: t0 + 9000,
    }
    await store.skipTicks([skip, { ...skip, scheduled_at: t0 + 2000 }])
    const page = { source_id: 'clock', before: null, limit: 10 }
    expect(
      (await store.ticks(page)).map(row => [row.scheduled_at - t0, row.outcome, row.event_id, row.count]),
    ).toEqual([
      [3000, 'skipped', null, 3],
      [2000, 'fired', twice.id, null],
      [1000, 'fired', first.id, null],
    ])
    expect(await accept(tick(t0 + 3000))).toMatchObject([{ kind: 'accepted' }])
    expect(await store.ticks({ ...page, outcome: 'skipped' })).toEqual([])
    expect(await store.ticks({ ...page, since: t0 + 2000, until: t0 + 3000, limit: 1 })).toMatchObject([
      { scheduled_at: t0 + 2000 },
    ])
    await store.skipTicks([{ ...skip, scheduled_at: t0 + 6000, last_scheduled_at: t0 + 8000 }])
    await store.write([source(true, t0 + 10_000)])
    expect((await reopen()).source_states).toEqual([
      { source_id: 'clock', since: t0, last_tick_at: t0 + 8000, state: null },
    ])
    await store.write([source(false, t0 + 20_000)])
    expect((await reopen()).source_states).toMatchObject([{ since: t0 + 20_000 }])
    for (let more = true; more;)
      more = (
        await store.retain({ now: t0 + 99_000, event_ms: 1000, dead_ms: 8000, dedupe_ms: 1000, slice: 2 })
      ).more
    expect(await store.ticks(page)).toMatchObject([{ scheduled_at: t0 + 6000 }])
  })

  test('an item of a poll is known with its event and not before, and what its source remembers goes with it', async () => {
    const feed = { noun: 'source' as const, id: 'feed', at: t0 }
    const definition = { id: 'feed', source_type: 'poll' as const, config: { url: 'http://127.0.0.1/' } }
    await store.write([{ ...feed, definition }])
    const item = (key: string) => newEvent({ source_id: 'feed', once: { kind: 'item', key } })
    const first = item('a')
    expect(await store.unseen('feed', ['a', 'b'])).toEqual(['a', 'b'])
    expect(await accept(first, item('a'))).toMatchObject([
      { kind: 'accepted' },
      { kind: 'duplicate', event_id: first.id },
    ])
    expect(
      await store.accept([{ ...item('b'), runs: [newRun(), newRun()] }], { ...limits, max_open_runs: 1 }),
    ).toEqual([{ kind: 'backlog' }])
    expect(await store.unseen('feed', ['a', 'b'])).toEqual(['b'])
    const state = { begun: true, validators: { etag: 'x' } }
    await store.noteSource({ source_id: 'feed', state, seen: ['a', 'old'], at: t0 })
    expect(await accept(item('old'))).toMatchObject([{ kind: 'duplicate', event_id: '' }])
    expect((await reopen()).source_states).toMatchObject([{ source_id: 'feed', state }])
    expect(await store.forgetItem('feed', 'a')).toBe(true)
    expect(await store.forgetItem('feed', 'a')).toBe(false)
    expect((await reopen()).source_states).toMatchObject([{ state: { begun: true } }])
    expect(
      await accept(
        item('a'),
        newEvent({ source_id: 'feed', once: { kind: 'state', state: { previous: 7 } } }),
      ),
    ).toMatchObject([{ kind: 'accepted' }, { kind: 'accepted' }])
    expect((await reopen()).source_states).toMatchObject([{ state: { previous: 7 } }])
    await store.write([{ ...feed, definition: null }])
    await store.noteSource({ source_id: 'feed', state, seen: ['z'], at: t0 })
    expect((await reopen()).source_states).toEqual([])
    expect(await store.unseen('feed', ['a', 'z'])).toEqual(['a', 'z'])
  })
}
