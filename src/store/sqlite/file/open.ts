// Opening the database: the single-instance lock, the settings that durability rests on, and migrations.
import type { Db } from '../db.ts'
import Database from 'better-sqlite3'
import { closeSync, existsSync, fsyncSync, linkSync, openSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ExitError, exitCodes } from '../../../errors.ts'
import { isOlder } from '../../../machine.ts'
import type { Loss } from '../../store.ts'
import { goOnBehind, lossOf, readMark, type Mark } from './high-water.ts'
import { asideDirectory, interruptedStamp, workDirectory } from './restore-names.ts'
import { precreate, assertSchema, migrate, damaged } from './schema.ts'

/** The first SQLite without the WAL-reset bug, which could lose pages when a checkpoint met a write. */
const oldestSqlite = '3.51.3'

export const busyTimeoutMs = 2000

const quickCheckBytes = 64 * 1024 * 1024

export function databasePath(stateDir: string): string {
  return join(stateDir, 'signalbox.db')
}

/**
 * Takes the lock of a state directory for as long as the answered connection is open: an exclusive transaction on
 * a small database of its own. It outlives a stopped process and is free at once after kill -9.
 */
export function takeLock(stateDir: string): Db {
  const path = join(stateDir, 'router.lock')
  precreate(path)
  const lock = new Database(path, { timeout: 0 })
  try {
    lock.pragma('journal_mode = MEMORY')
    lock.exec('BEGIN EXCLUSIVE')
    return lock
  } catch (error) {
    lock.close()
    if ((error as { code?: string }).code?.startsWith('SQLITE_BUSY') !== true) throw error
    throw new ExitError(
      exitCodes.alreadyRunning,
      `another router holds ${path}; stop it, or set SIGNALBOX_STATE_DIR to another directory`,
    )
  }
}

/**
 * better-sqlite3 is built so that every *later* open of a WAL database runs synchronous=NORMAL, which loses
 * acknowledged commits on power loss (200 commits: 12 fsyncs instead of 212). So FULL is set on every connection.
 */
function configure(db: Db): void {
  db.pragma(`busy_timeout = ${busyTimeoutMs}`)
  db.pragma('journal_mode = WAL')
  db.pragma('synchronous = FULL')
  db.pragma('foreign_keys = ON')
  db.pragma('trusted_schema = OFF')
  // SQLite does not report errors inside automatic checkpoints; checkpoint.ts runs them and checks.
  db.pragma('wal_autocheckpoint = 0')
  db.pragma('journal_size_limit = 16777216')
  db.pragma('cache_size = -16384')
}

function assertSqliteVersion(db: Db): void {
  const found = db.prepare('SELECT sqlite_version()').pluck().get() as string
  if (isOlder(found, oldestSqlite))
    throw new ExitError(exitCodes.configuration, `SQLite ${oldestSqlite} or newer is needed, found ${found}`)
}

const noLinks = new Set(['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK'])

/** What SQLite keeps beside a database. */
export const besideDatabase = ['-wal', '-shm', '-journal']

/** Gives a finished file its name. A link, unlike a rename, never takes the place of a file that came meanwhile: that throws EEXIST. */
export function giveName(from: string, to: string): void {
  try {
    linkSync(from, to)
  } catch (error) {
    if (!noLinks.has((error as NodeJS.ErrnoException).code ?? '')) throw error
    // A file system without hard links: an empty file takes the name first, and is replaced.
    closeSync(openSync(to, 'wx', 0o600))
    renameSync(from, to)
    return
  }
  rmSync(from)
}

/** Syncs a file or a directory. */
export function synced(path: string): void {
  const file = openSync(path, 'r')
  fsyncSync(file)
  closeSync(file)
}

/** Throws ExitError 65 for what is gone, unless that is accepted: then it is answered. */
function accepted(
  loss: Loss | undefined,
  path: string,
  fresh: boolean,
  acceptLoss: boolean,
): Loss | undefined {
  if (loss === undefined || acceptLoss) return loss
  const gone = `${loss.commits} transactions with ${loss.events} events and ${loss.runs} runs that were committed are not in it`
  const why = fresh
    ? `${path} is not there any more`
    : `${path}-wal is ${loss.wal_missing ? 'missing' : 'damaged, emptied, or of another time'}`
  throw new ExitError(
    exitCodes.dataDamaged,
    `${path} is not what it was: ${gone} (${why}). Nothing was written. Put the file back, restore a backup, or start once with --accept-loss`,
  )
}

/** Whether SQLite would roll something back: a connection that can only read cannot, and says so. An empty journal counts as no journal. */
function isHot(path: string): boolean {
  if (!existsSync(`${path}-journal`)) return false
  const db = new Database(path, { readonly: true })
  try {
    db.pragma('page_count')
    return false
  } catch (error) {
    if ((error as { code?: string }).code === 'SQLITE_READONLY_ROLLBACK') return true
    throw error
  } finally {
    db.close()
  }
}

/**
 * A journal to roll back is left by a first start that broke off before there was a WAL, and so before the mark: to put it back takes
 * a connection that writes. Beside a database that has a mark it is not the router's, and would overwrite what was committed.
 */
function rolledBackBy(path: string, mark: Mark | undefined): undefined {
  if (mark === undefined) return undefined
  throw new ExitError(
    exitCodes.dataDamaged,
    `${path}-journal is a rollback journal, which a router that has run never leaves: SQLite would overwrite ${mark.commits} transactions with it. Nothing was written. Move it away`,
  )
}

/**
 * Looks at a database on a connection that can only read: one that writes would checkpoint a damaged WAL and remove it as
 * it is closed. Throws ExitError 65.
 */
function examined(path: string, mark: Mark | undefined, acceptLoss: boolean): Loss | undefined {
  if (isHot(path)) return rolledBackBy(path, mark)
  const walThere = existsSync(`${path}-wal`)
  const db = new Database(path, { readonly: true })
  try {
    assertSchema(db, path)
    quickCheck(db, path)
    return accepted(lossOf(db, mark, !walThere), path, false, acceptLoss)
  } finally {
    db.close()
    // Looking makes an empty one.
    if (!walThere) for (const end of ['-wal', '-shm']) rmSync(`${path}${end}`, { force: true })
  }
}

/** A database that is open for writing. */
export interface Opened {
  db: Db
  /** what was lost and is accepted to be */
  loss: Loss | undefined
  /** what was found damaged and put right, in words */
  damage: string[]
}

/** Throws ExitError 65 where a restore was killed after it had moved the database aside: a start would make an empty one. */
function assertRestored(stateDir: string): void {
  const stamp = interruptedStamp(stateDir)
  if (stamp === undefined) return
  const aside = asideDirectory(stateDir, stamp)
  throw new ExitError(
    exitCodes.dataDamaged,
    `a signalbox restore was interrupted: the database is in ${aside}, and nothing is in its place. Run signalbox restore FILE again, or move the files of ${aside} back to ${stateDir}; to start with an empty database, remove ${workDirectory(stateDir, stamp)}`,
  )
}

/** Opens the database for writing, creating or migrating it. Throws ExitError 65 when it is damaged, 78 when newer. */
export function openWriter(stateDir: string, acceptLoss = false): Opened {
  const path = databasePath(stateDir)
  const mark = readMark(stateDir)
  const fresh = !existsSync(path) || statSync(path).size === 0
  if (fresh) assertRestored(stateDir)
  let db: Db | undefined
  try {
    const loss = fresh
      ? accepted(lossOf(undefined, mark, false), path, true, acceptLoss)
      : examined(path, mark, acceptLoss)
    precreate(path)
    db = new Database(path)
    assertSqliteVersion(db)
    // Whether it is empty shows once it is open: a first start that was killed may leave pages, which SQLite rolls back.
    if (db.pragma('page_count', { simple: true }) === 0) db.pragma('auto_vacuum = INCREMENTAL')
    configure(db)
    migrate(db, path)
    if (loss !== undefined) goOnBehind(db, mark!)
    // Of a failed sync of the directory SQLite says nothing: what its files are called might be lost with the power.
    synced(stateDir)
    return { db, loss, damage: indexesMended(db) }
  } catch (error) {
    db?.close()
    throw asDamage(error, path)
  }
}

export function openReader(stateDir: string): Db {
  const db = new Database(databasePath(stateDir), { readonly: true })
  db.pragma(`busy_timeout = ${busyTimeoutMs}`)
  db.pragma('query_only = ON')
  db.pragma('cache_size = -8192')
  return db
}

/** Structure is looked at before anything is written, where that takes no longer than a start may (80 ms for 64 MiB). */
function quickCheck(db: Db, path: string): void {
  if (statSync(path).size > quickCheckBytes) return
  const found = (db.pragma(`quick_check(${mostFaults})`) as { quick_check: string }[]).map(
    row => row.quick_check,
  )
  const structure = found.find(each => each !== 'ok' && !ofValue.test(each))
  if (structure !== undefined) throw damaged(path, structure)
  if (found.length >= mostFaults) throw damaged(path, `${mostFaults} values or more, the first: ${found[0]}`)
}

/** Findings that are listed; so many damaged values are damage of the whole. */
const mostFaults = 100
/** What is said of a value that its column cannot hold: it costs its row, which is dealt with where it is read. */
const ofValue =
  /^(CHECK constraint failed in|NULL value in|(NUMERIC|TEXT|BLOB|INTEGER|REAL|non-[A-Z]+) value in) /

/** Tables whose rows are found by their indexes alone: a run that its index has lost would wait for ever. */
const foundByIndex = [
  'outbox',
  'run_lane',
  'lane_opening',
  'run_dependency',
  'run_event',
  'tick',
  'seen_item',
  'rate_key',
]

/** Makes the indexes of live tables again where they do not fit; answers what was wrong, in words. */
function indexesMended(db: Db): string[] {
  return foundByIndex.flatMap(table => {
    const found = (db.pragma(`integrity_check('${table}')`) as { integrity_check: string }[]).map(
      row => row.integrity_check,
    )
    const wrong = found.find(each => each !== 'ok' && !ofValue.test(each))
    if (wrong === undefined) return []
    db.exec(`REINDEX ${table}`)
    return [`an index of ${table} did not fit it (${wrong}); it was made again`]
  })
}

/** What an error of SQLite says of the file, as an exit code. */
export function asDamage(error: unknown, path: string): unknown {
  const { code } = error as { code?: string }
  if (code?.startsWith('SQLITE_CORRUPT') === true || code === 'SQLITE_NOTADB') {
    return damaged(path, code)
  }
  if (code === 'SQLITE_CANTOPEN') return new ExitError(exitCodes.ioError, `${path} cannot be opened`)
  if (code === 'EIO')
    return new ExitError(
      exitCodes.ioError,
      `${path} cannot be kept (${(error as Error).message}); look at its disk`,
    )
  return error
}
