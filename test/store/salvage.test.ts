// verify and recover on damage of every kind: they answer or say why not, and what recover writes is whole in itself.
import Database from 'better-sqlite3'
import fc from 'fast-check'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { ExitError } from '../../src/errors.ts'
import { salvage } from '../../src/main/salvage.ts'
import type { RunFlow } from '../../src/store/flow.ts'
import { databasePath } from '../../src/store/sqlite/file/open.ts'
import { newestSchema } from '../../src/store/sqlite/file/schema.ts'
import { SqliteStore } from '../../src/store/sqlite/engine/sqlite-store.ts'
import { limits, newEvent, newRun } from '../conformance/store.ts'
import { freshDirectory } from '../support/router.ts'

const pageSize = 4096
const sample = gunzipSync(readFileSync(`test/fixtures/databases/schema-${newestSchema()}.db.gz`))
const cases = Number(process.env.SIGNALBOX_SALVAGES ?? 15)

type Damage = (bytes: Buffer) => Buffer
const at = fc.nat(sample.length - 1)
const damage: fc.Arbitrary<Damage> = fc.oneof(
  at.map(
    (length): Damage =>
      bytes =>
        bytes.subarray(0, length),
  ),
  at.map(
    (where): Damage =>
      bytes =>
        bytes.fill(0, where - (where % pageSize), where - (where % pageSize) + pageSize),
  ),
  fc
    .tuple(at, fc.uint8Array({ minLength: 1, maxLength: pageSize }))
    .map(([where, garbage]): Damage => bytes => {
      bytes.set(garbage.subarray(0, bytes.length - where), where)
      return bytes
    }),
  fc.array(at, { minLength: 1, maxLength: 300 }).map((places): Damage => bytes => {
    for (const place of places) bytes[place]! ^= 1 << (place % 8)
    return bytes
  }),
  fc.array(fc.nat(pageSize - 1), { minLength: 1, maxLength: 40 }).map((places): Damage => bytes => {
    for (const place of places) bytes[place]! ^= 1 << (place % 8)
    return bytes
  }),
)

/** The answer, or undefined where it said with an exit code why there is none. */
function answered<T>(ask: () => T): T | undefined {
  try {
    return ask()
  } catch (error) {
    expect(error).toBeInstanceOf(ExitError)
    expect([65, 78]).toContain((error as ExitError).exitCode)
    return undefined
  }
}

test('reported usage and spent budgets are recovered', () => {
  const directory = freshDirectory()
  mkdirSync(join(directory, 'state'))
  const [path, into] = [join(directory, 'state', 'signalbox.db'), join(directory, 'recovered.db')]
  writeFileSync(path, sample)
  const db = new Database(path)
  db.exec(`INSERT INTO run_usage SELECT seq, 7, 5, 3, 0, 0, 0, 1, 0 FROM outbox LIMIT 1;
    INSERT INTO run_usage SELECT seq, 9, 5, 3, 0, 0, 0, 1, 0 FROM run_archive LIMIT 1;
    INSERT INTO spending VALUES ('router', 1790000000999, 16, 10, 6);
    INSERT INTO rate_ring VALUES ('begun router', 0, 1790000000999); INSERT INTO rate_key VALUES ('begun router', 1, 1890000000999)`)
  const tables = ['run_usage', 'spending', 'rate_ring', 'rate_key']
  const rows = (of: Database.Database): unknown[] =>
    tables.map(table => of.prepare(`SELECT * FROM ${table} ORDER BY 1, 2`).all())
  const before = rows(db)
  db.close()
  salvage.recover(path, into, () => undefined)
  const recovered = new Database(into)
  expect(rows(recovered)).toEqual(before)
  recovered.close()
})

test('output of attempts is recovered, without parts that are damaged', () => {
  const directory = freshDirectory()
  mkdirSync(join(directory, 'state'))
  const [path, into] = [join(directory, 'state', 'signalbox.db'), join(directory, 'recovered.db')]
  writeFileSync(path, sample)
  const db = new Database(path)
  db.pragma('ignore_check_constraints = ON')
  db.exec(`INSERT INTO attempt_output SELECT seq, 1, 8, 0, NULL, 8, 2, 0, 0 FROM run_archive LIMIT 1;
    INSERT INTO output_part (run_seq, attempt, offset, at, stream, split, content) SELECT run_seq, 1, 0, 7, 'stdout', 0, x'6f6e650a' FROM attempt_output;
    INSERT INTO output_part (run_seq, attempt, offset, at, stream, split, content) SELECT run_seq, 1, 4, 7, 'strout', 0, x'74776f0a' FROM attempt_output`)
  db.close()
  const findings: string[] = []
  salvage.verify(path, ({ message }) => findings.push(message))
  expect(findings).toContainEqual(expect.stringContaining('output_part.stream of row 2 is damaged'))
  salvage.recover(path, into, found => findings.push(found.message))
  expect(findings).toContainEqual(expect.stringContaining('a row of output_part of run'))
  const recovered = new Database(into)
  expect(recovered.prepare('SELECT total_bytes, kept_bytes, parts FROM attempt_output').all()).toEqual([
    { total_bytes: 8, kept_bytes: 4, parts: 1 },
  ])
  expect(recovered.prepare('SELECT offset, content FROM output_part').all()).toEqual([
    { offset: 0, content: Buffer.from('one\n') },
  ])
  recovered.close()
})

/** Made again from other tables, not copied. */
const derived = ['sqlite_sequence', 'delivery_index', 'body_index', 'decision']

test('recover reads every table', () => {
  const program = readFileSync('src/store/sqlite/repair/recover.ts', 'utf8')
  const db = new Database(':memory:')
  for (const name of readdirSync('src/store/sqlite/migrations').toSorted())
    db.exec(readFileSync(`src/store/sqlite/migrations/${name}`, 'utf8'))
  const tables = db.prepare<[], string>("SELECT name FROM sqlite_schema WHERE type = 'table'").pluck().all()
  expect(tables.length).toBeGreaterThan(25)
  expect(
    tables.filter(table => !derived.includes(table) && !new RegExp(`['\\s{]${table}['":]`).test(program)),
  ).toEqual([])
})

test(`${cases} damaged databases`, { timeout: 60_000 + cases * 2000 }, () => {
  const directory = freshDirectory()
  mkdirSync(join(directory, 'state'))
  const path = join(directory, 'state', 'signalbox.db')
  const into = join(directory, 'recovered.db')
  let recovered = 0
  fc.assert(
    fc.property(damage, hurt => {
      for (const end of ['', '-wal', '-shm']) rmSync(`${path}${end}`, { force: true })
      rmSync(into, { force: true })
      const bytes = hurt(Buffer.from(sample))
      writeFileSync(path, bytes)
      answered(() => salvage.verify(path, () => undefined))
      const made = answered(() => salvage.recover(path, into, () => undefined))
      expect(readFileSync(path).equals(bytes)).toBe(true)
      if (made === undefined) return
      recovered += made.events
      const said: string[] = []
      // What waits for a run that is lost is told of, and stays.
      salvage.verify(into, ({ message }) => said.push(message))
      expect(said).toEqual([])
    }),
    { numRuns: cases, seed: Number(process.env.SIGNALBOX_SEED ?? 1) },
  )
  expect(recovered).toBeGreaterThan(cases * 8)
})

test('a run over the repeat limit is recovered into no lane', async () => {
  const directory = freshDirectory()
  const { store } = await stored(directory)
  const flow: RunFlow = {
    repeat_limit: { key: 'k', limit: 1, period_ms: 600_000 },
    order: { lane: 'order:deployer:k', on_dead: 'block' },
    singleton: { lane: 's', on_conflict: 'queue' },
  }
  for (const _ of [1, 2, 3]) await store.accept([newEvent({ runs: [newRun({ flow })] })], limits)
  expect(await store.runs({ limit: 10, after: null, state: 'held' })).toMatchObject([
    { held_by: 'repeat_limit' },
  ])
  await store.stop()
  const into = join(directory, 'recovered')
  mkdirSync(into)
  salvage.recover(databasePath(directory), databasePath(into), () => undefined)
  const { store: recovered, start } = await stored(into)
  expect(start.damage).toEqual([])
  await recovered.stop()
})

async function stored(
  stateDir: string,
): Promise<{ store: SqliteStore; start: Awaited<ReturnType<SqliteStore['start']>> }> {
  const store = new SqliteStore({ stateDir, budgets: [], lifecycle: 'none', onFatal: () => undefined })
  return { store, start: await store.start(1_790_000_000_000) }
}
