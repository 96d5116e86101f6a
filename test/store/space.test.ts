// Promise P65 without a small disk: free pages go back to it in slices and when the writer is idle.
import Database from 'better-sqlite3'
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { databasePath } from '../../src/store/sqlite/file/open.ts'
import { SqliteStore } from '../../src/store/sqlite/engine/sqlite-store.ts'
import { limits, newEvent } from '../conformance/store.ts'
import { until } from '../support/router.ts'

const t0 = 1_790_000_000_000
let directory = ''
let store: SqliteStore

async function open(): Promise<void> {
  store = new SqliteStore({ stateDir: directory, onFatal: message => expect.fail(message) })
  await store.start(t0)
}

/** So many events of 8 KB, and all of them removed again but for some young ones. */
async function filledAndEmptied(events: number, young = 0): Promise<void> {
  for (let count = 0; count < events; count += 100) {
    const body = Buffer.alloc(8192, count)
    await store.accept(
      Array.from({ length: 100 }, () => newEvent({ body })),
      limits,
    )
  }
  const late = { body: Buffer.alloc(8192), received_at: t0 + 8500 }
  await store.accept(
    Array.from({ length: young }, () => newEvent(late)),
    limits,
  )
  for (let more = true; more;)
    more = (
      await store.retain({ now: t0 + 9000, event_ms: 1000, dead_ms: 1000, dedupe_ms: 1000, slice: 200 })
    ).more
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'sb-'))
  await open()
})
afterEach(async () => {
  await store.stop()
  rmSync(directory, { recursive: true, force: true })
})

test('slices give back all but the share that may stay free', async () => {
  await filledAndEmptied(500, 200)
  const before = await store.space()
  expect(before).toMatchObject({ gives_back: true, database_bytes: expect.any(Number) as number })
  expect(before.reusable_bytes).toBeGreaterThan(3_000_000)
  const first = await store.giveBack({ pages: 100, keep_share: 0.3, checkpoint: true })
  expect(first).toEqual({ pages: 100, more: true })
  expect((await store.space()).reusable_bytes).toBe(before.reusable_bytes - 100 * 4096)
  let slices = 1
  for (let more = true; more; slices++)
    ({ more } = await store.giveBack({ pages: 100, keep_share: 0.3, checkpoint: true }))
  expect(slices).toBeGreaterThan(5)
  // The checkpoint of the last slice comes after its answer.
  await store.ping()
  const { reusable_bytes, database_bytes } = await store.space()
  expect(reusable_bytes / (database_bytes - reusable_bytes)).toBeLessThan(0.31)
  expect(statSync(databasePath(directory)).size).toBe(database_bytes)
})

test('a nearly full disk: each slice uses the same log again', async () => {
  await filledAndEmptied(500)
  await store.stop()
  await open()
  for (let more = true; more;)
    ({ more } = await store.giveBack({ pages: 32, keep_share: 0, checkpoint: true }))
  await store.ping()
  const { database_bytes, wal_bytes } = await store.space()
  expect(database_bytes).toBeLessThan(1_000_000)
  // 32 pages, what describes them, and the pages that point to them.
  expect(wal_bytes).toBeLessThan(3 * 32 * 4096)
})

test('an idle writer gives back what is free, after a restart too', async () => {
  await filledAndEmptied(500)
  await store.stop()
  expect(statSync(databasePath(directory)).size).toBeGreaterThan(3_000_000)
  await open()
  await until(async () => (await store.space()).database_bytes < 1_000_000)
})

test('a database of another program keeps its size', async () => {
  await store.stop()
  const path = databasePath(directory)
  const db = new Database(path)
  db.pragma('auto_vacuum = NONE')
  db.exec('VACUUM')
  db.close()
  await open()
  await filledAndEmptied(300)
  expect(await store.giveBack({ pages: 100, keep_share: 0, checkpoint: false })).toEqual({
    pages: 0,
    more: false,
  })
  expect(await store.space()).toMatchObject({ gives_back: false })
})

/** A database with committed events whose log was lost after a kill. */
async function withLostLog(): Promise<string> {
  const path = databasePath(directory)
  const copy = mkdtempSync(join(tmpdir(), 'sb-'))
  await store.accept(
    Array.from({ length: 50 }, () => newEvent()),
    limits,
  )
  for (const name of ['signalbox.db', 'signalbox.high']) copyFileSync(join(directory, name), join(copy, name))
  await store.stop()
  for (const name of ['signalbox.db', 'signalbox.high']) copyFileSync(join(copy, name), join(directory, name))
  rmSync(copy, { recursive: true })
  for (const end of ['-wal', '-shm']) rmSync(`${path}${end}`, { force: true })
  return path
}

const hotJournal = Buffer.concat([Buffer.from('d9d505f920a163d7', 'hex'), Buffer.alloc(4096)])

test.each([
  ['no journal', undefined],
  ['an empty journal', Buffer.alloc(0)],
  ['a journal of zeros', Buffer.alloc(4096)],
  ['a journal that would be rolled back', hotJournal],
])('lost commits are noticed beside %s', async (_name, journal) => {
  const path = await withLostLog()
  if (journal !== undefined) writeFileSync(`${path}-journal`, journal)
  const before = readFileSync(path)
  const again = new SqliteStore({ stateDir: directory, onFatal: message => expect.fail(message) })
  await expect(again.start(t0)).rejects.toMatchObject({ exitCode: 65 })
  expect(readFileSync(path).equals(before)).toBe(true)
})
