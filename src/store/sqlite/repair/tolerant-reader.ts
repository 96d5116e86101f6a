// Reading a database that may be damaged: what can be read of each table, row by row, and what cannot.
import Database from 'better-sqlite3'
import { ExitError, exitCodes } from '../../../errors.ts'
import { assertPlainFile, FileError } from '../../../plain-file.ts'
import { exactJson } from '../../../exact-json.ts'
import type { Noun } from '../../store.ts'
import {
  archiveChecks,
  damagedColumns,
  eventChecks,
  fileChecks,
  json,
  liveChecks,
  name,
  outputChecks,
  partChecks,
  positive,
  time,
  type Checks,
} from '../tables/checks.ts'
import type { DamagedColumn } from '../tables/damage.ts'
import { definitionDamage, nouns, type DefinitionRow } from '../tables/definitions.ts'
import type { Db } from '../db.ts'
import { auditChecks } from '../tables/audit.ts'
import { refusedChecks } from '../tables/refused.ts'
import { tokenChecks } from '../tables/tokens.ts'
import { idText, textOf } from '../tables/rows.ts'

export type Row = Record<string, unknown>

/** A row, or the keys (from, to; both included) of rows that cannot be read, where there were any. */
export type Read = { row: Row } | { from: number; to: number; why: string }

/** Tables whose key is a number, and the column that has it. */
export const numbered = { event: 'seq', outbox: 'seq', run_archive: 'seq' } as const
export type Numbered = keyof typeof numbered

/** How much of the key space is tried key by key behind an error, before a scan goes on: 10 us a key. */
const triedKeys = 256
/** Keys that are tried in vain before the rest is given up: the highest one may be damaged itself. */
const mostTried = 1_000_000

/** What damage makes SQLite say; SQLITE_ERROR is a table or a column that a damaged schema does not have. */
export function isDamage(error: unknown): boolean {
  return /^SQLITE_(CORRUPT|NOTADB|IOERR|ERROR|FORMAT)/.test((error as { code?: string }).code ?? '')
}

/** The result of a read, or undefined where damage prevents it. */
export function readable<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (isDamage(error)) return undefined
    throw error
  }
}

/** Runs a check of a path. Throws ExitError 74 with what it finds. */
export function atPath(check: () => void): void {
  try {
    check()
  } catch (error) {
    if (error instanceof FileError) throw new ExitError(exitCodes.ioError, error.message)
    throw error
  }
}

/** Throws ExitError 74 unless a path is that of a regular file. Anything else could block the reader for ever. */
export function assertFile(path: string): void {
  atPath(() => assertPlainFile(path))
}

/**
 * Opens a database to read what can be read of it. A file that is shorter than its header says is refused as a whole
 * otherwise. Throws ExitError 65 where it is no database, in words made of SQLite's, 74 where it cannot be opened.
 */
export function openDamaged(path: string, complaint: (message: string) => string): Db {
  let db: Db | undefined
  try {
    db = new Database(path, { readonly: true, fileMustExist: true })
    db.unsafeMode(true)
    db.pragma('writable_schema = ON')
    db.pragma('query_only = ON')
    db.pragma('trusted_schema = OFF')
    db.prepare('SELECT count(*) FROM sqlite_master').get()
    return db
  } catch (error) {
    db?.close()
    const { code = 'bug', message } = error as { code?: string; message: string }
    if (isDamage(error)) throw new ExitError(exitCodes.dataDamaged, complaint(message))
    if (code.startsWith('SQLITE_CANTOPEN'))
      throw new ExitError(exitCodes.ioError, `${path} cannot be opened; is it yours to read?`)
    throw error
  }
}

export function hasTable(db: Db, table: string): boolean {
  return (
    readable(() => db.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?").get(table)) !==
    undefined
  )
}

/** The id of an event or a run; undefined where it is damaged. */
export function rowId({ id }: Row): string | undefined {
  return id instanceof Buffer && id.length === 16 ? idText(id) : undefined
}

/** The highest key that a table can have had: by its sequence, by itself, by its index of ids. */
function highestKey(db: Db, table: Numbered): number {
  const sequence = table === 'event' ? 'event' : 'outbox'
  const reads = [
    () => db.prepare('SELECT seq FROM sqlite_sequence WHERE name = ?').pluck().get(sequence),
    () => db.prepare(`SELECT max(seq) FROM ${table}`).pluck().get(),
    () => db.prepare(`SELECT max(seq) FROM ${table} INDEXED BY ${table}_id`).pluck().get(),
  ]
  return Math.max(0, ...reads.map(read => Number(readable(read) ?? 0)))
}

/** All rows of a numbered table, in the order of their keys. */
export function* numberedRows(db: Db, table: Numbered): Generator<Read> {
  const highest = highestKey(db, table)
  const statements = readable(() => ({
    scan: db.prepare<[number], Row>(`SELECT * FROM ${table} WHERE seq > ? ORDER BY seq`),
    one: db.prepare<[number], Row>(`SELECT * FROM ${table} WHERE seq = ?`),
  }))
  if (statements === undefined)
    return yield { from: 1, to: highest, why: `the schema has no table ${table} that can be read` }
  const { scan, one } = statements
  let at = 0
  let tried = 0
  let lost: { from: number; to: number; why: string } | undefined
  for (;;) {
    try {
      let inOrder = true
      for (const row of scan.iterate(at)) {
        // On a damaged page keys may be in any order.
        inOrder = (row.seq as number) > at
        if (!inOrder) break
        if (lost !== undefined) yield lost
        lost = undefined
        at = row.seq as number
        yield { row }
      }
      if (inOrder) break
    } catch (error) {
      if (!isDamage(error)) throw error
    }
    if (at >= highest || tried > mostTried) break
    for (const end = Math.min(at + triedKeys, highest); at < end;) {
      at++
      tried++
      let row: Row | undefined
      try {
        row = one.get(at)
      } catch (error) {
        if (!isDamage(error)) throw error
        lost = { from: lost?.from ?? at, to: at, why: (error as Error).message }
        continue
      }
      if (row === undefined) continue
      tried = 0
      if (lost !== undefined) yield lost
      lost = undefined
      yield { row }
    }
  }
  if (lost !== undefined) yield lost
}

/** The rows of a table without numbers, from its beginning and, behind an error, from its end; then "lost": some cannot be read. */
export function* otherRows(db: Db, table: string): Generator<Row | 'lost'> {
  const keys =
    readable(() =>
      db
        .prepare<[], string>(`SELECT name FROM pragma_table_info('${table}') WHERE pk > 0 ORDER BY pk`)
        .pluck()
        .all(),
    ) ?? []
  for (const direction of ['ASC', 'DESC']) {
    const order =
      keys.length === 0 ? `rowid ${direction}` : keys.map(key => `"${key}" ${direction}`).join(', ')
    try {
      yield* db.prepare<[], Row>(`SELECT * FROM "${table}" ORDER BY ${order}`).iterate()
      if (direction === 'ASC') return
    } catch (error) {
      if (!isDamage(error)) throw error
    }
  }
  yield 'lost'
}

const version: Checks = [
  ['trigger_id', name],
  ['version', positive],
  [
    'definition',
    json(
      value =>
        typeof value === 'object' &&
        value !== null &&
        typeof (value as { action?: unknown }).action === 'object',
    ),
  ],
  ['created_at', time],
]
const checks: Record<string, Checks> = {
  event: eventChecks,
  outbox: liveChecks,
  run_archive: archiveChecks,
  context_file: fileChecks,
  trigger_version: version,
  attempt_output: outputChecks,
  output_part: partChecks,
  refused_delivery: refusedChecks,
  token: tokenChecks,
  audit: auditChecks,
}

function isNoun(table: string): table is Noun {
  return (nouns as readonly string[]).includes(table)
}

/** The column of a row that holds what cannot have been written; the router would fail over it. A schema of before has fewer columns. */
export function damagedValue(table: string, row: Row): DamagedColumn | undefined {
  if (isNoun(table)) return definitionDamage(row as unknown as DefinitionRow)
  return damagedColumns(checks[table] ?? [], row).find(({ column }) => column in row)
}

/** Why a definition is refused that can be read, as a router checks it at its start; undefined: it is not. */
export type Refusal = (noun: Noun, definition: { id: string }) => string | undefined

/** The column of a definition for which no router would start. The row has no other damage. */
export function refusedDefinition(table: string, row: Row, refusal: Refusal): DamagedColumn | undefined {
  if (!isNoun(table)) return undefined
  const why = refusal(table, exactJson(row.definition as string) as { id: string })
  return why === undefined ? undefined : { column: 'definition', why }
}

/** What a row without a number is called. */
export function keyText(row: Row): string {
  const [first] = Object.values(row)
  return textOf(row.id ?? row.trigger_id ?? row.lane ?? row.scope ?? row.source_id ?? first) || String(first)
}
