// The table of refused deliveries: what is stored, what a start makes of damage in it, and that it is recovered.
import Database from 'better-sqlite3'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { salvage } from '../../src/main/salvage.ts'
import { databasePath } from '../../src/store/sqlite/file/open.ts'
import { SqliteStore } from '../../src/store/sqlite/engine/sqlite-store.ts'
import type { RefusedRow, StartAnswer } from '../../src/store/store.ts'
import { freshDirectory } from '../support/router.ts'

const now = 1_790_000_000_000

function row(seq: number, given: Partial<RefusedRow> = {}): RefusedRow {
  const common = {
    path: null,
    reason: 'E_SIGNATURE',
    status: 401,
    address: '192.0.2.1',
    bytes: 2,
    first_at: now,
    last_at: now + seq,
    count: 1,
  }
  return { seq, source_id: 'forge', ...common, ...given }
}

async function started(stateDir: string): Promise<{ store: SqliteStore; start: StartAnswer }> {
  const store = new SqliteStore({ stateDir, onFatal: () => undefined })
  return { store, start: await store.start(now) }
}

async function stored(...rows: RefusedRow[]): Promise<string> {
  const directory = freshDirectory()
  const { store } = await started(directory)
  await store.noteRefused({ put: rows, removed: [] })
  await store.stop()
  return directory
}

test('rows are written, replaced and removed', async () => {
  const directory = await stored(
    row(1),
    row(2),
    row(3, { source_id: null, path: '/x', status: null, address: null, bytes: null }),
  )
  const { store, start } = await started(directory)
  expect(start.refused.map(({ seq }) => seq)).toEqual([1, 2, 3])
  await store.noteRefused({ put: [row(2, { count: 7 })], removed: [1] })
  await store.stop()
  const again = await started(directory)
  expect(again.start.refused).toEqual([
    row(2, { count: 7 }),
    row(3, { source_id: null, path: '/x', status: null, address: null, bytes: null }),
  ])
  await again.store.stop()
})

test('a damaged row is reported and goes; the others stay', async () => {
  const directory = await stored(row(1), row(2))
  const db = new Database(databasePath(directory))
  db.pragma('ignore_check_constraints = ON')
  db.exec('UPDATE refused_delivery SET count = -3 WHERE seq = 1')
  db.close()
  const { store, start } = await started(directory)
  expect(start.damage).toEqual(['refused_delivery.count of row 1 is damaged: must be at least 1; got -3'])
  expect(start.refused).toEqual([row(2)])
  await store.stop()
  const again = await started(directory)
  expect([again.start.damage, again.start.refused]).toEqual([[], [row(2)]])
  await again.store.stop()
})

test('of more rows than are kept a start leaves the newest', async () => {
  const directory = await stored(...Array.from({ length: 1010 }, (_, n) => row(n + 1)))
  const { store, start } = await started(directory)
  expect([start.refused.length, start.refused[0]!.seq]).toEqual([1000, 11])
  await store.stop()
})

test('they are recovered, and retention removes them', async () => {
  const directory = await stored(row(1), row(2, { last_at: now + 10_000 }))
  const into = join(directory, 'recovered')
  mkdirSync(into)
  salvage.recover(databasePath(directory), databasePath(into), () => undefined)
  const { store, start } = await started(into)
  expect(start.refused.length).toBe(2)
  await store.retain({ now: now + 6000, event_ms: 5000, dead_ms: 5000, dedupe_ms: 5000, slice: 10 })
  await store.stop()
  const again = await started(into)
  expect(again.start.refused.map(({ seq }) => seq)).toEqual([2])
  await again.store.stop()
})
