// The schema of the database: migrations, and whether a file has the schema of its version.
import type { Db } from '../db.ts'
import Database from 'better-sqlite3'
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { ExitError, exitCodes } from '../../../errors.ts'

const migrations = new URL('../migrations/', import.meta.url)

/** SQLite would create its file world-readable; -wal and -shm inherit the mode of a file that is there. */
export function precreate(path: string): void {
  if (!existsSync(path)) closeSync(openSync(path, 'a', 0o600))
}

/** Makes a database where there is none, to be filled and closed: it is on the disk once it was synced. */
export function createAt(path: string, version = migrationFiles().length): Db {
  if (path !== ':memory:') precreate(path)
  const db = new Database(path)
  db.pragma('auto_vacuum = INCREMENTAL')
  db.pragma('journal_mode = MEMORY')
  db.pragma('synchronous = OFF')
  db.pragma('trusted_schema = OFF')
  migrate(db, path, migrationFiles().slice(0, version))
  return db
}

/** A table or index as sqlite_master has it. */
export interface SchemaRow {
  type: string
  name: string
  tbl_name: string
  rootpage: number
  sql: string | null
}

export function schemaOf(db: Db): SchemaRow[] {
  return db
    .prepare<[], SchemaRow>('SELECT type, name, tbl_name, rootpage, sql FROM sqlite_master ORDER BY name')
    .all()
}

/**
 * An empty database of a version, of this program's newest where there is no such version. Every database of that version has the
 * same schema: where the roots of tables stand is a matter of the migrations alone, whatever came between them.
 */
export function emptyOf(version: number | undefined): { schema: SchemaRow[]; bytes: Buffer } {
  const known = migrationFiles().length
  const db = createAt(':memory:', version !== undefined && version >= 1 && version <= known ? version : known)
  const empty = { schema: schemaOf(db), bytes: db.serialize() }
  db.close()
  return empty
}

export function newestSchema(): number {
  return migrationFiles().length
}

function migrationFiles(): string[] {
  return readdirSync(migrations)
    .filter(name => name.endsWith('.sql'))
    .toSorted()
}

/** No program will ever have so many migrations: a version beyond it is a flipped bit. */
const mostMigrations = 9999

/** What is wrong with a version, where no program can have written it. */
export function impossibleVersion(
  version: number,
  schema: readonly SchemaRow[] | undefined,
): string | undefined {
  if (version === 0 && schema !== undefined && schema.length > 0)
    return 'user_version is 0, but there are tables'
  return version < 0 || version > mostMigrations
    ? `user_version is ${version}, which no version of this program writes`
    : undefined
}

/** What of a schema its migrations do not make (a trigger, a view, a table, an index), and what they make that is not there or is another. */
export function schemaFaults(schema: readonly SchemaRow[], version: number): string[] {
  const key = ({ type, name }: SchemaRow): string => `${type} ${name}`
  const whole = ({ type, name, tbl_name, sql }: SchemaRow): string =>
    JSON.stringify([type, name, tbl_name, sql])
  const expected = new Map(emptyOf(version).schema.map(row => [key(row), whole(row)]))
  const found = new Map(schema.map(row => [key(row), whole(row)]))
  return [
    ...[...found.keys()].filter(each => !expected.has(each)).map(each => `${each} is not of this program`),
    ...[...expected]
      .filter(([each, text]) => found.get(each) !== text)
      .map(([each]) => `${each} is ${found.has(each) ? 'not what it was made as' : 'missing'}`),
  ]
}

/** Throws ExitError 65 for a version that cannot be or a schema that is not that of its version, 78 for a newer one. */
export function assertSchema(db: Db, path: string): void {
  const version = db.pragma('user_version', { simple: true }) as number
  const schema = schemaOf(db)
  const impossible = impossibleVersion(version, schema)
  if (impossible !== undefined) throw damaged(path, impossible)
  assertKnown(version, path, migrationFiles().length)
  if (version === 0) return
  const faults = schemaFaults(schema, version)
  if (faults.length > 0)
    throw damaged(
      path,
      `its schema is not that of version ${version}: ${faults.slice(0, mostNamed).join('; ')}`,
    )
}

function assertKnown(version: number, path: string, known: number): void {
  if (version > known)
    throw new ExitError(
      exitCodes.configuration,
      `${path} has schema ${version}, this program knows up to ${known}; start the newer program that wrote it`,
    )
}

export function migrate(db: Db, path: string, files = migrationFiles()): void {
  const present = db.pragma('user_version', { simple: true }) as number
  assertKnown(present, path, files.length)
  for (const [index, file] of files.entries()) {
    if (index < present) continue
    const sql = readFileSync(new URL(file, migrations), 'utf8')
    db.transaction(() => {
      db.exec(sql)
      db.pragma(`user_version = ${index + 1}`)
    }).immediate()
  }
}
/** Faults that a message names. */
const mostNamed = 5

export function damaged(path: string, detail: string | undefined): ExitError {
  return new ExitError(
    exitCodes.dataDamaged,
    `${path} is damaged or not a Signalbox database (${detail}); nothing was written to it. signalbox verify shows what is wrong, signalbox recover FILE copies everything undamaged into a new one; or restore a backup`,
  )
}
