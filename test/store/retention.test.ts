// What retention removes, and what it must leave: keys of deliveries, open runs, versions that are named.
import { hash } from 'node:crypto'
import { expect, onTestFinished, test } from 'vitest'
import { limits, newEvent, newRun } from '../conformance/store.ts'
import { LocalStore } from '../support/local-store.ts'
import { dayMs, newLife, rowCounts, sweep, t0, type Life } from '../support/lifetime.ts'

const old = { event_ms: dayMs, dead_ms: dayMs, dedupe_ms: dayMs, signed_body_ms: dayMs }
/** Every finished event goes, however young. */
const noRoom = { ...old, event_ms: 30 * dayMs, dead_ms: 30 * dayMs, dedupe_ms: 7 * dayMs, max_bytes: 1 }

async function life(): Promise<Life> {
  const made = await newLife()
  onTestFinished(made.close)
  return made
}

/** The store of a life as a restarted router has it. */
async function restarted(lived: Life, now: number): Promise<void> {
  lived.store.crash()
  lived.store = new LocalStore({
    db: lived.db,
    lifecycle: 'none',
    guard: 'lease',
    later: (_way, work) => work(),
    committed: () => undefined,
  })
  await lived.store.start(now)
}

const many = (count: number, event: (n: number) => object = () => ({})) =>
  Array.from({ length: count }, (_, n) => {
    const made = { delivery_key: `d${n}`, body: Buffer.from(`{"n":${n}}`), ...event(n) }
    return newEvent({ signed_sha256: hash('sha256', made.body, 'buffer'), ...made })
  })

test('hashes in memory go with their event, and are not written later', async () => {
  const lived = await life()
  await lived.store.accept(many(3000), limits)
  await sweep(lived, { ...old, now: t0 + 2 * dayMs }, undefined)
  expect(rowCounts(lived)).toMatchObject({ event: 0, delivery_index: 0, body_index: 0 })
  // As many again push what memory holds into the table, a slice for each 2,048.
  for (let round = 0; round < 20; round++)
    await lived.store.accept(
      many(2048, n => ({
        delivery_key: `later-${round}-${n}`,
        body: Buffer.from(`${round}-${n}`),
        received_at: t0 + 2 * dayMs,
      })),
      limits,
    )
  const orphans = (table: string): unknown =>
    lived.db
      .prepare(`SELECT count(*) FROM ${table} WHERE event_seq NOT IN (SELECT seq FROM event)`)
      .pluck()
      .get()
  expect([orphans('delivery_index'), orphans('body_index')]).toEqual([0, 0])
  expect(rowCounts(lived).delivery_index).toBeGreaterThan(2000)
})

test('retention_bytes: a delivery is recognised after its event went', async () => {
  const lived = await life()
  const events = many(20, n =>
    n === 3
      ? {
          context_files: [
            { name: 'a', is_text: true, sha256: Buffer.alloc(32, 1), content: Buffer.from('x') },
          ],
        }
      : {},
  )
  await lived.store.accept(events, limits)
  await sweep(lived, { ...noRoom, now: t0 + dayMs }, undefined)
  expect(rowCounts(lived)).toMatchObject({ event: 0, removed_event: 20, context_file: 0 })
  for (const restart of [false, true]) {
    if (restart) await restarted(lived, t0 + dayMs)
    const again = events.map(event => ({ ...newEvent(event), id: newEvent().id, received_at: t0 + dayMs }))
    expect(await lived.store.accept(again, limits)).toEqual(
      events.map(({ id }) => ({ kind: 'duplicate', event_id: id, matched_triggers: [], run_ids: [] })),
    )
    const other = { ...again[3]!, context_files: [] }
    expect(
      await lived.store.accept([{ ...again[1]!, body_sha256: Buffer.alloc(32) }, other], limits),
    ).toMatchObject([{ kind: 'key_reused' }, { kind: 'key_reused' }])
    const signed = { ...again[5]!, id: newEvent().id, delivery_key: `fresh ${restart}` }
    expect(await lived.store.accept([signed], limits)).toMatchObject([
      { kind: 'accepted', redelivery_of: events[5]!.id },
    ])
  }
})

test('a form of before is recognised after its event went', async () => {
  const lived = await life()
  const body = Buffer.from('payload=%7B%7D')
  const whole = hash('sha256', body, 'buffer')
  const form = { body, body_format: 'form' as const, body_sha256: whole }
  const then = newEvent({ ...form, signed_sha256: whole })
  await lived.store.accept([then], limits)
  await sweep(lived, { ...noRoom, now: t0 + dayMs }, undefined)
  expect(rowCounts(lived)).toMatchObject({ event: 0, removed_event: 1 })
  const again = newEvent({ ...form, signed_sha256: hash('sha256', '{}', 'buffer'), received_at: t0 + dayMs })
  expect(await lived.store.accept([again], limits)).toMatchObject([{ redelivery_of: then.id }])
})

test('keys without their event expire like the others', async () => {
  const lived = await life()
  await lived.store.accept(many(20), limits)
  await sweep(lived, { ...noRoom, now: t0 + dayMs }, undefined)
  await sweep(lived, { ...noRoom, now: t0 + 7 * dayMs + 1 }, undefined)
  expect(rowCounts(lived)).toMatchObject({ removed_event: 0, delivery_index: 0, body_index: 0 })
  expect(
    await lived.store.accept(
      many(1, () => ({ received_at: t0 + 7 * dayMs + 1 })),
      limits,
    ),
  ).toMatchObject([{ kind: 'accepted' }])
})

test('retention_bytes leaves what is open, and takes what is dead', async () => {
  const lived = await life()
  const lane = 'order:deployer:x'
  const [open, dies, blocks, behind, done] = [
    newRun({ bot_id: 'absent' }),
    newRun(),
    newRun({ flow: { order: { lane, on_dead: 'block' } } }),
    newRun({ flow: { order: { lane, on_dead: 'block' } } }),
    newRun(),
  ]
  const events = [open, dies, blocks, behind, done].map(run => newEvent({ runs: [run] }))
  await lived.store.accept(events, limits)
  const { runs } = await lived.store.claim({
    bots: [{ bot_id: 'deployer', room: 9 }],
    limit: 9,
    now: t0,
    lease_token: 't',
    lease_until: t0 + 1000,
  })
  expect(runs.map(run => run.id)).toEqual([dies.id, blocks.id, done.id])
  const over = { from: ['running'] as const, at: t0 + 1, lease_token: 't' }
  await lived.store.move([
    { ...over, run_id: dies.id, move: 'fail', to: 'failed', error: 'no' },
    { ...over, run_id: blocks.id, move: 'fail', to: 'failed', error: 'no' },
    { ...over, run_id: done.id, move: 'complete', to: 'completed', archive: true },
  ])
  await sweep(lived, { ...noRoom, now: t0 + 1000 }, undefined)
  const left = await Promise.all(events.map(async event => (await lived.store.event(event.id)) !== null))
  expect(left).toEqual([true, false, true, true, false])
  const runsLeft = await Promise.all(
    [open, dies, blocks, behind, done].map(async run => (await lived.store.run(run.id)) !== null),
  )
  expect(runsLeft).toEqual([true, false, true, true, false])
})

test('an event with many runs goes in slices', async () => {
  const lived = await life()
  const made = Array.from({ length: 25 }, (_, n) => newRun({ trigger_id: `t${n}`, bot_id: `b${n}` }))
  await lived.store.accept([newEvent({ runs: made }), newEvent()], { ...limits, max_open_runs: 100 })
  await lived.store.move(
    made.map(run => ({
      run_id: run.id,
      move: 'cancel',
      from: ['pending'],
      to: 'cancelled',
      archive: true,
      at: t0,
    })),
  )
  const taken: number[] = []
  for (let more = true; more;) {
    const slice = await lived.store.retain({ ...old, now: t0 + 2 * dayMs, slice: 5 })
    taken.push(slice.events)
    ;({ more } = slice)
  }
  expect(taken.reduce((sum, events) => sum + events)).toBeGreaterThanOrEqual(2)
  expect(taken.length).toBeGreaterThan(2)
  expect(rowCounts(lived)).toMatchObject({ run_archive: 0, run_history: 0, decision: 0 })
})

const trigger = (id: string, at: number, deleted = false) => ({
  noun: 'trigger' as const,
  id,
  at,
  definition: deleted ? null : { id, filter: { n: [at] }, action: { bot_id: 'deployer' } },
})

test('versions of a deleted trigger stay while a run or decision names them', async () => {
  const lived = await life()
  for (const id of ['deploy', 'unused']) await lived.store.write([trigger(id, t0), trigger(id, t0 + 1)])
  const run = newRun({ trigger_version: 2 })
  await lived.store.accept([newEvent({ runs: [run] })], limits)
  await lived.store.write([trigger('deploy', t0 + 2, true), trigger('unused', t0 + 2, true)])
  const versions = async (id: string): Promise<number[]> =>
    (await lived.store.triggerVersions(id, null, 10)).map(each => each.version)
  await sweep(lived, { ...old, now: t0 + dayMs }, undefined)
  expect([await versions('deploy'), await versions('unused')]).toEqual([
    [2, 1],
    [2, 1],
  ])
  await sweep(lived, { ...old, now: t0 + 2 * dayMs }, undefined)
  expect([await versions('deploy'), await versions('unused')]).toEqual([[2, 1], []])
  await lived.store.move([
    { run_id: run.id, move: 'cancel', from: ['pending'], to: 'cancelled', archive: true, at: t0 + 2 * dayMs },
  ])
  await sweep(lived, { ...old, now: t0 + 4 * dayMs }, undefined)
  expect(await versions('deploy')).toEqual([])
})

test('a trigger that came back keeps its versions', async () => {
  const lived = await life()
  await lived.store.write([trigger('deploy', t0), trigger('deploy', t0 + 1, true), trigger('deploy', t0 + 2)])
  await sweep(lived, { ...old, now: t0 + 9 * dayMs }, undefined)
  expect(await lived.store.triggerVersions('deploy', null, 10)).toHaveLength(2)
})

test('of a present trigger the newest 100 versions stay', async () => {
  const lived = await life()
  await lived.store.write(Array.from({ length: 150 }, (_, n) => trigger('deploy', t0 + n)))
  await lived.store.accept([newEvent({ runs: [newRun({ trigger_version: 20 })] })], limits)
  const oldest = async (): Promise<number | undefined> =>
    (await lived.store.triggerVersions('deploy', null, 1000)).at(-1)?.version
  await sweep(lived, { ...old, now: t0 + dayMs }, undefined)
  expect(await oldest()).toBe(1)
  // Version 20 is named by a run.
  await sweep(lived, { ...old, now: t0 + 2 * dayMs }, undefined)
  expect(await oldest()).toBe(20)
  const run = lived.db.prepare<[], string>('SELECT lower(hex(id)) FROM outbox').pluck().get()!
  await lived.store.move([
    { run_id: run, move: 'cancel', from: ['pending'], to: 'cancelled', archive: true, at: t0 },
  ])
  await sweep(lived, { ...old, now: t0 + 3 * dayMs }, undefined)
  expect(await oldest()).toBe(51)
})

test('a deleted source leaves nothing but its part of the count', async () => {
  const lived = await life()
  const source = { noun: 'source' as const, id: 'clock', at: t0 }
  await lived.store.write([{ ...source, definition: { id: 'clock', source_type: 'service' } }])
  await lived.store.accept(
    [newEvent({ source_id: 'clock', once: { kind: 'tick', scheduled_at: t0, caught_up: false } })],
    limits,
  )
  await lived.store.write([{ ...source, definition: null }])
  const events = (await lived.store.counts()).events
  await sweep(lived, { ...old, now: t0 + 2 * dayMs }, undefined)
  expect(rowCounts(lived)).toMatchObject({ source_stat: 0, tick: 0, source_state: 0 })
  expect((await lived.store.counts()).events).toBe(events)
})

test('passes of more keys than a slice are forgotten in one sweep', async () => {
  const lived = await life()
  const rate = (n: number) => ({
    runs: [newRun({ flow: { rate_limit: { key: `k${n}`, limit: 1, period_ms: 1000 } } })],
  })
  await lived.store.accept(many(900, rate), limits)
  expect(rowCounts(lived).rate_key).toBe(900)
  await sweep(lived, { ...old, now: t0 + dayMs / 2 }, undefined)
  expect(rowCounts(lived)).toMatchObject({ rate_key: 0, rate_ring: 0 })
})

test('large events go in slices of bounded size', async () => {
  const lived = await life()
  await lived.store.accept(
    Array.from({ length: 40 }, (_, n) => newEvent({ body: Buffer.alloc(1_048_576, n) })),
    limits,
  )
  const taken: number[] = []
  for (let more = true; more;) {
    const slice = await lived.store.retain({ ...old, now: t0 + 2 * dayMs, slice: 200 })
    taken.push(slice.events)
    ;({ more } = slice)
  }
  expect(Math.max(...taken)).toBeLessThanOrEqual(16)
  expect(taken.reduce((sum, events) => sum + events)).toBe(40)
})
