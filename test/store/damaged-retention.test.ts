// Damage that retention meets: it goes on behind the damaged row, and notes it.
import { expect, test } from 'vitest'
import { limits, newEvent } from '../conformance/store.ts'
import { DamagedStore, t0 } from '../support/damaged-store.ts'

const day = 86_400_000
const old = { event_ms: day, dead_ms: day, dedupe_ms: day, signed_body_ms: day }
/** Every finished event goes, however young; its key stays. */
const noRoom = { ...old, event_ms: 30 * day, dedupe_ms: 7 * day, max_bytes: 1 }

async function logged(count: number): Promise<DamagedStore> {
  const damaged = new DamagedStore()
  const file = { name: 'a', is_text: true, sha256: Buffer.alloc(32, 1), content: Buffer.from('x') }
  const events = Array.from({ length: count }, (_, n) =>
    newEvent({ delivery_key: `d${n}`, received_at: t0 + n, context_files: n === 1 ? [file] : [] }),
  )
  await damaged.store.accept(events, limits)
  return damaged
}

const countOf = (damaged: DamagedStore, table: string): number =>
  damaged.db.prepare<[], number>(`SELECT count(*) FROM ${table}`).pluck().get()!

test.each([
  ['the oldest, by 35 years', 1, `received_at + ${2 ** 40}`],
  ['the oldest, by 3 days', 1, `received_at + ${2 ** 28}`],
  ['another', 3, `received_at + ${2 ** 40}`],
  ['the last but one', 5, `received_at + ${2 ** 40}`],
])('a time of receipt that is too late holds nothing back: %s', async (_name, seq, value) => {
  const damaged = await logged(6)
  damaged.hurt(`UPDATE event SET received_at = ${value} WHERE seq = ${seq}`)
  expect(await damaged.swept({ ...old, now: t0 + 2 * day })).toBe(6)
  expect(damaged.damage).toEqual([expect.stringContaining(`event.received_at of row ${seq} is damaged`)])
  expect(countOf(damaged, 'event')).toBe(0)
})

test('a time of receipt without a number holds nothing back', async () => {
  const damaged = await logged(6)
  damaged.mistype('event', "UPDATE event SET received_at = CAST('x' AS BLOB) WHERE seq = 2")
  expect(await damaged.swept({ ...old, now: t0 + 2 * day })).toBe(6)
  expect(damaged.damage).toEqual([expect.stringContaining('event.received_at of row 2 is damaged')])
})

test('an undamaged event does not go with one before it', async () => {
  const damaged = await logged(6)
  damaged.hurt(`UPDATE event SET received_at = received_at - ${2 ** 40} WHERE seq = 3`)
  expect(await damaged.swept({ ...old, now: t0 + day / 2 })).toBe(0)
  expect(damaged.damage).toEqual([])
})

test('events of a clock that was ahead are no damage', async () => {
  const damaged = await logged(3)
  await damaged.store.accept(
    [
      newEvent({ received_at: t0 + 400 * day }),
      newEvent({ received_at: t0 + 1 }),
      newEvent({ received_at: t0 + 2 }),
    ],
    limits,
  )
  expect(await damaged.swept({ ...old, now: t0 + 2 * day })).toBe(3)
  expect(damaged.damage).toEqual([])
})

test.each([
  ['body_sha256', "CAST('x' AS TEXT)"],
  ['id', "CAST('x' AS TEXT)"],
  ['body_bytes', "CAST('x' AS BLOB)"],
  ['decisions', "CAST('[[{}]]' AS BLOB)"],
  ['delivery_hash', "CAST('x' AS BLOB)"],
  ['delivery_hash', '-1'],
])('a damaged event gives way under retention_bytes: %s = %s', async (column, value) => {
  const damaged = await logged(6)
  damaged.mistype('event', `UPDATE event SET ${column} = ${value} WHERE seq = 2`)
  expect(await damaged.swept({ ...noRoom, now: t0 + day })).toBe(6)
  expect(countOf(damaged, 'removed_event')).toBeGreaterThanOrEqual(5)
})

test('a damaged hash of a context file holds nothing back', async () => {
  const damaged = await logged(6)
  damaged.mistype('context_file', 'UPDATE context_file SET sha256 = 7')
  expect(await damaged.swept({ ...noRoom, now: t0 + day })).toBe(6)
})

test('a delivery key of another event gives way to the right one', async () => {
  const damaged = await logged(6)
  damaged.hurt(
    `INSERT INTO removed_event SELECT 4, id, 'x', received_at, NULL, NULL, NULL, body_sha256, NULL, body_sha256 FROM event WHERE seq = 1`,
  )
  expect(await damaged.swept({ ...noRoom, now: t0 + day })).toBe(6)
  expect(damaged.damage).toEqual([
    expect.stringContaining('removed_event: a row with a damaged key had that of row 4'),
  ])
  const again = newEvent({ delivery_key: 'd3', received_at: t0 + day })
  expect(await damaged.store.accept([again], limits)).toMatchObject([{ kind: 'duplicate' }])
})

test('a delivery key that is dated too late goes with the next', async () => {
  const damaged = await logged(6)
  await damaged.swept({ ...noRoom, now: t0 + day })
  damaged.hurt(`UPDATE removed_event SET received_at = received_at + ${2 ** 40} WHERE seq = 2`)
  await damaged.swept({ ...noRoom, now: t0 + 20 * day })
  expect(countOf(damaged, 'removed_event')).toBe(0)
  expect(damaged.damage).toEqual([expect.stringContaining('removed_event.received_at of row 2 is damaged')])
})

test('the time of a damaged last event is not that of all later ones', async () => {
  const damaged = await logged(3)
  damaged.hurt(`UPDATE event SET received_at = received_at + ${2 ** 40} WHERE seq = 3`)
  const after = damaged.reopened()
  await after.store.accept([newEvent({ received_at: t0 + 50 }), newEvent({ received_at: t0 + 20 })], limits)
  expect(after.db.prepare('SELECT received_at FROM event WHERE seq > 3').pluck().all()).toEqual([
    t0 + 50,
    t0 + 50,
  ])
  expect(after.damage).toEqual([expect.stringContaining('event.received_at of row 3 is damaged')])
})

test('a last event after a long silence keeps its time', async () => {
  const damaged = await logged(3)
  await damaged.store.accept([newEvent({ received_at: t0 + 10 * day })], limits)
  const after = damaged.reopened()
  await after.store.accept([newEvent({ received_at: t0 + 10 * day - 5 })], limits)
  expect(
    after.db.prepare('SELECT max(received_at), min(received_at) FROM event WHERE seq > 3').raw().get(),
  ).toEqual([t0 + 10 * day, t0 + 10 * day])
  expect(after.damage).toEqual([])
})

test.each([
  ['source_stat', "UPDATE source_stat SET events = CAST('x' AS BLOB)"],
  ['source_stat', 'UPDATE source_stat SET events = NULL'],
  ['meta', "UPDATE meta SET value = NULL WHERE key = 'events_of_deleted_sources'"],
])('a damaged count in %s of events that are gone holds nothing back: %s', async (table, sql) => {
  const damaged = await logged(3)
  // Their source is not defined: with them goes its count.
  expect(await damaged.swept({ ...old, now: t0 + 2 * day })).toBe(3)
  await damaged.store.accept([newEvent({ source_id: 'other', received_at: t0 + 3 * day })], limits)
  expect(
    damaged.db.prepare("SELECT count(*) FROM meta WHERE key = 'events_of_deleted_sources'").pluck().get(),
  ).toBe(1)
  damaged.mistype(table, sql)
  expect(await damaged.swept({ ...old, now: t0 + 9 * day })).toBe(1)
  expect(countOf(damaged, 'source_stat')).toBe(0)
})
