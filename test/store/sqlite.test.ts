// The SQLite store: the conformance suite, and what only SQLite must do.
import Database from 'better-sqlite3'
import { hash } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { databasePath, openWriter, takeLock } from '../../src/store/sqlite/file/open.ts'
import { eventPageSql, runPageSql } from '../../src/store/sqlite/tables/page-queries.ts'
import { SqliteStore } from '../../src/store/sqlite/engine/sqlite-store.ts'
import type { EventPage, LifecycleEvents, NewEvent, RunPage } from '../../src/store/store.ts'
import type { CompleteBudget } from '../../src/contract/budgets.ts'
import { budgetsConformance } from '../conformance/budgets.ts'
import { gatesConformance } from '../conformance/gates.ts'
import { outputConformance } from '../conformance/output.ts'
import { pausesConformance } from '../conformance/pauses.ts'
import { repeatsConformance } from '../conformance/repeats.ts'
import { updatesConformance } from '../conformance/updates.ts'
import { limits, newEvent, newRun, storeConformance } from '../conformance/store.ts'

let directory = ''
let current: SqliteStore | undefined
let fatal: string[] = []

async function open(
  now = 1_790_000_000_000,
  budgets: readonly CompleteBudget[] = [],
  lifecycle: LifecycleEvents = 'none',
): Promise<{ store: SqliteStore; start: Awaited<ReturnType<SqliteStore['start']>> }> {
  await current?.stop()
  current = new SqliteStore({
    stateDir: directory,
    budgets,
    lifecycle,
    onFatal: message => fatal.push(message),
  })
  const start = await current.start(now)
  current.onDamage = found => fatal.push(...found)
  fatal.push(...start.damage)
  return { store: current, start }
}

/** How SQLite would read a page of runs. */
function runPlan(selection: Partial<RunPage>): string {
  const { db } = openWriter(directory)
  const { sql, params } = runPageSql({ limit: 50, after: 1000, ...selection }, null)
  const steps = db.prepare<unknown[], { detail: string }>(`EXPLAIN QUERY PLAN ${sql}`).all(...params)
  db.close()
  return steps.map(step => step.detail).join('\n')
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sb-'))
  fatal = []
})
afterEach(async () => {
  await current?.stop()
  current = undefined
  rmSync(directory, { recursive: true, force: true })
  expect(fatal).toEqual([])
})

describe('conformance', () => storeConformance(() => ({ open })))
describe('output', () => outputConformance(() => ({ open })))
describe('gates', () => gatesConformance(() => ({ open })))
describe('repeats', () => repeatsConformance(() => ({ open: now => open(now, [], 'outcomes') })))
describe('pauses', () => pausesConformance(() => ({ open: now => open(now, [], 'outcomes') })))
describe('updates', () => updatesConformance(() => ({ open })))
describe('budgets', () =>
  budgetsConformance(() => ({ open: (now, budgets) => open(now, budgets, 'outcomes') })))

test('a restarted router still commits with synchronous=FULL in WAL mode; control: better-sqlite3 alone does not', async () => {
  await open()
  const { store } = await open()
  expect(await store.facts()).toMatchObject({ synchronous: 2, journal_mode: 'wal' })
  await store.stop()
  const bare = new Database(databasePath(directory))
  expect(bare.pragma('synchronous', { simple: true })).toBe(1)
  bare.close()
})

test('only one store opens a state directory, also while the first is busy; after it everything is as it was', async () => {
  const { store } = await open()
  const second = new SqliteStore({ stateDir: directory, onFatal: () => undefined })
  await expect(second.start(0)).rejects.toMatchObject({ exitCode: 75 })
  await store.ping()
  await store.stop()
  takeLock(directory).close()
})

test('files are private, whatever the umask', async () => {
  await open()
  for (const name of ['signalbox.db', 'signalbox.db-wal', 'signalbox.db-shm', 'router.lock'])
    expect(statSync(join(directory, name)).mode & 0o777, name).toBe(0o600)
})

test.each([
  [
    'a newer schema',
    (): void => void new Database(databasePath(directory)).pragma('user_version = 99'),
    78,
    'schema 99',
  ],
  [
    'a foreign file',
    (): void =>
      writeFileSync(
        databasePath(directory),
        'this is not a database, but long enough to be looked at'.repeat(20),
      ),
    65,
    'damaged or not a Signalbox database',
  ],
])('%s is refused', async (_name, prepare, exitCode, message) => {
  openWriter(directory).db.close()
  prepare()
  await expect(open()).rejects.toMatchObject({
    exitCode,
    message: expect.stringContaining(message) as string,
  })
})

test('one operation that cannot be done does not take its group along', async () => {
  const { store } = await open()
  const wrong = newEvent({ runs: [newRun({ priority: 1000 })] })
  const [bad, good] = await Promise.allSettled([
    store.accept([wrong], limits),
    store.accept([newEvent({ runs: [newRun()] })], limits),
  ])
  expect(bad).toMatchObject({
    status: 'rejected',
    reason: { message: expect.stringContaining('SQLITE_CONSTRAINT') as string },
  })
  expect(good).toMatchObject({ status: 'fulfilled', value: [{ kind: 'accepted' }] })
  expect(await store.event(wrong.id)).toBeNull()
  expect(await store.counts()).toMatchObject({ events: 1, pending: 1 })
})

test('a commit is one fsync for everything that waits', async () => {
  const trace = join(directory, 'trace')
  const script = join(directory, 'many.ts')
  writeFileSync(
    script,
    `import { SqliteStore } from '${process.cwd()}/src/store/sqlite/engine/sqlite-store.ts'
     import { newEvent, limits } from '${process.cwd()}/test/support/new-event.ts'
     const store = new SqliteStore({ stateDir: '${directory}', onFatal: () => process.exit(74) })
     await store.start(Date.now())
     for (let round = 0; round < 5; round++) await Promise.all(Array.from({ length: 40 }, () => store.accept([newEvent()], limits)))
     process.exit(0)`,
  )
  let hasStrace = true
  try {
    execFileSync('strace', ['-V'], { stdio: 'ignore' })
  } catch {
    hasStrace = false
    console.log('SKIPPED: strace is not installed, fsyncs were not counted')
  }
  if (!hasStrace) return
  execFileSync('strace', ['-f', '-e', 'trace=fsync,fdatasync', '-o', trace, process.execPath, script])
  const syncs = Number(execFileSync('grep', ['-c', 'sync(', trace]).toString())
  // 5 rounds of at most 2 groups each, and what opening and checkpoints need.
  expect(syncs).toBeGreaterThanOrEqual(5)
  expect(syncs).toBeLessThan(60)
})

describe('lists find their rows by an index, and never sort', () => {
  const page = (selection: EventPage['selection']): EventPage => ({
    selection,
    order: 'desc',
    limit: 50,
    after: 1000,
    whole: false,
  })
  test.each([
    [{}, 'SEARCH event USING INTEGER PRIMARY KEY'],
    [{ source_id: 'a' }, 'USING INDEX event_source'],
    [{ type: 'a' }, 'USING INDEX event_type'],
    [{ subject: 'a' }, 'USING INDEX event_subject'],
    [{ actor: 'a' }, 'USING INDEX event_actor'],
    [{ thread: 'a' }, 'USING INDEX event_thread'],
    [{ thread: 'a', actor: 'b', subject: 'c', source_id: 'd', matched: true }, 'USING INDEX event_thread'],
    [{ actor: 'a', type: 'b' }, 'USING INDEX event_actor'],
    [{ requested_by: 'token:a', thread: 'b' }, 'USING INDEX event_requested_by'],
    [{ matched: false }, 'USING INDEX event_matched'],
    [{ source_id: 'a', type: 'b', matched: true }, 'USING INDEX event_source'],
    [{ trigger_id: 'a', type: 'b' }, 'SEARCH decision USING PRIMARY KEY'],
  ])('events %j', (selection, expected) => {
    const { db } = openWriter(directory)
    const { sql, params } = eventPageSql(page(selection), 5, 2000)
    const plan = db
      .prepare<unknown[], { detail: string }>(`EXPLAIN QUERY PLAN ${sql}`)
      .all(...params)
      .map(row => row.detail)
      .join('\n')
    db.close()
    expect(plan).toContain(expected)
    expect(plan).not.toMatch(/TEMP B-TREE|SCAN event/)
  })
  test.each([
    [{}, ['SEARCH outbox USING INTEGER PRIMARY KEY', 'SEARCH run_archive USING INTEGER PRIMARY KEY']],
    [{ dead: true }, ['USING INDEX outbox_dead']],
    [{ trigger_id: 'a' }, ['USING INDEX run_archive_trigger']],
    [{ bot_id: 'a' }, ['USING INDEX run_archive_bot']],
    [
      { requested_by: 'token:a', bot_id: 'b' },
      ['USING INDEX outbox_requested_by', 'USING INDEX run_archive_requested_by'],
    ],
    [{ failed: true }, ['USING INDEX outbox_dead', 'USING INDEX run_archive_unhappy']],
  ] as [Partial<RunPage>, string[]][])('runs %j', (selection, expected) => {
    const plan = runPlan(selection)
    for (const part of expected) expect(plan).toContain(part)
    expect(plan).not.toContain('TEMP B-TREE')
  })
  // These are found by their events, and sorted.
  test.each([
    [{ thread: 'a' }, 'event_thread'],
    [{ actor: 'a' }, 'event_actor'],
    [{ thread: 'a', actor: 'b', trigger_id: 't' }, 'event_thread'],
    [{ requested_by: 'token:a', thread: 'a' }, 'event_thread'],
  ] as [Partial<RunPage>, string][])('runs %j', (selection, index) => {
    const plan = runPlan(selection)
    for (const each of [index, 'outbox_event', 'run_archive_event']) expect(plan).toContain(`INDEX ${each}`)
    expect(plan).not.toMatch(/SCAN (outbox|run_archive|event)/)
  })
})

test('a delivery is known wherever its hash stands: in memory, moved to the index, across restarts, after a rollback', async () => {
  let { store } = await open()
  const count = 44_000
  const body = Buffer.from('1')
  const body_sha256 = hash('sha256', body, 'buffer')
  const push = (index: number): NewEvent => ({
    ...newEvent({ body, body_sha256 }),
    delivery_key: `d${index}`,
    signed_sha256: index % 7 === 0 ? body_sha256 : null,
  })
  for (let at = 0; at < count; at += 2000) {
    await store.accept(
      Array.from({ length: 2000 }, (_, index) => push(at + index)),
      limits,
    )
    if (at === 20_000 || at === 34_000) ({ store } = await open())
    if (at === 30_000)
      await store.accept([{ ...push(count), type: null as never }], limits).catch(() => undefined)
  }
  const known = async (): Promise<number> => {
    const outcomes = await store.accept(
      Array.from({ length: 440 }, (_, index) => push(index * 100)),
      limits,
    )
    return outcomes.filter(outcome => outcome.kind === 'duplicate').length
  }
  expect(await known()).toBe(440)
  ;({ store } = await open())
  expect(await known()).toBe(440)
  expect(await store.accept([push(count)], limits)).toMatchObject([{ kind: 'accepted' }])
  const db = new Database(databasePath(directory), { readonly: true })
  const [moved, first] = [
    db.prepare('SELECT count(*) FROM delivery_index').pluck().get(),
    db.prepare("SELECT value FROM meta WHERE key = 'delivery_index_seq'").pluck().get(),
  ]
  db.close()
  // One whole round of slices has gone to the table, and not everything: both places were looked at.
  expect(moved).toBeGreaterThan(10_000)
  expect(moved).toBeLessThan(count)
  expect(first).toBeGreaterThan(0)
})
