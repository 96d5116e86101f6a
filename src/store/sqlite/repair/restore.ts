// signalbox restore: a backup takes the place of the database of a stopped router. Nothing is deleted: the old database is moved to
// a directory of its own, under its own names, so that it can be verified, recovered and restored in turn.
//
// The order decides what a kill leaves behind:
//   1. The copy is made, changed and synced beside the database.         killed: the old database starts
//   2. The old database moves aside, then what SQLite keeps beside it.   killed: no database; a start says so (open.ts), a restore goes on
//   3. The copy gets the name of the database.                           killed: the restored database starts
// The mark stays where it is: the copy goes on behind it (high-water.ts), so it fits the old database and the restored one. The
// numbers of events are not given twice, because cursors of readers may be beyond those of the backup.
import Database from 'better-sqlite3'
import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { ExitError, exitCodes } from '../../../errors.ts'
import { fileError } from '../../../plain-file.ts'
import { markPath, goOnBehind, readMark } from '../file/high-water.ts'
import { besideDatabase, databasePath, giveName, synced, takeLock } from '../file/open.ts'
import {
  asideDirectory,
  freshStamp,
  interruptedStamp,
  unfinishedStamps,
  workDirectory,
} from '../file/restore-names.ts'
import { assertFile, isDamage, type Refusal } from './tolerant-reader.ts'
import { storePaused } from '../tables/router-state.ts'
import { removeLeft, verify, type Finding, type Verified } from './verify.ts'

export interface Restored {
  /** the database */
  path: string
  from: string
  bytes: number
  events: number
  runs: number
  /** where the old database is now; null: there was none */
  aside: string | null
  /** why dispatching is paused at the next start */
  paused: string
}

export interface RestoreOptions {
  stateDir: string
  at: number
  tell: (finding: Finding) => void
  refusal: Refusal
}

/** What a copy may need beside its size: its write-ahead log while it is changed. */
const spareBytes = 1_048_576

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined
}

/** The files of a database, those that exist. */
function filesOf(path: string): string[] {
  return [path, ...besideDatabase.map(end => `${path}${end}`)].filter(isThere)
}

/** Throws ExitError 64 where a file is the database that it is to replace, 74 where a link or something else has its name. */
function assertReplaceable(from: string, live: string): void {
  for (const path of filesOf(live)) {
    if (!lstatSync(path).isFile())
      throw new ExitError(
        exitCodes.ioError,
        `${path} is not a regular file; a restore moves files only, and follows no links: move it away yourself`,
      )
  }
  if (!existsSync(live)) return
  const [given, own] = [statSync(from), statSync(live)]
  if (given.dev === own.dev && given.ino === own.ino)
    throw new ExitError(
      exitCodes.usage,
      `${from} is the database of this state directory; name the backup that is to take its place`,
    )
}

/** Throws ExitError 65 for a damaged file; each finding was told. */
function verified(from: string, { tell, refusal }: RestoreOptions): Verified {
  const looking = verify(from, refusal)
  for (;;) {
    const { done, value } = looking.next()
    if (done !== true) tell(value)
    else if (value.findings === 0) return value
    else
      throw new ExitError(
        exitCodes.dataDamaged,
        `${from} is damaged; nothing was changed. Restore another backup, or restore what signalbox recover FILE --from ${from} writes`,
      )
  }
}

function assertSpace(from: string, stateDir: string): void {
  const needed = filesOf(from).reduce((sum, path) => sum + statSync(path).size, spareBytes)
  const { bavail, bsize } = statfsSync(stateDir)
  const free = bavail * bsize
  if (free < needed)
    throw new ExitError(
      exitCodes.ioError,
      `the copy needs ${needed} bytes in ${stateDir}, ${free} are free; free some space. Nothing was changed`,
    )
}

/** Copies a database out of one snapshot, with what is in its write-ahead log. */
async function copied(from: string, copy: string): Promise<void> {
  const left = ['-wal', '-shm'].filter(end => !existsSync(`${from}${end}`))
  closeSync(openSync(copy, 'wx', 0o600))
  const db = new Database(from, { readonly: true, fileMustExist: true })
  try {
    db.exec('BEGIN')
    db.prepare('SELECT count(*) FROM meta').get()
    await db.backup(copy)
  } finally {
    db.close()
    removeLeft(from, left)
  }
}

/** Makes a copy fit to take the place of the database of a state directory. */
function prepared(copy: string, stateDir: string, paused: string): void {
  const db = new Database(copy)
  try {
    const check = db.pragma('quick_check(1)', { simple: true }) as string
    if (check !== 'ok')
      throw new ExitError(
        exitCodes.dataDamaged,
        `the copy is damaged (${check}); nothing was changed. Look at the disk`,
      )
    const mark = readMark(stateDir)
    if (mark !== undefined) goOnBehind(db, mark)
    storePaused(db, paused)
    db.pragma('wal_checkpoint(TRUNCATE)')
  } finally {
    db.close()
  }
  synced(copy)
  synced(dirname(copy))
}

/** Moves the old database aside, or goes on with it where a restore was killed. Returns its new path, or null where there was no old database. */
function movedAside(live: string, stateDir: string, stamp: string): string | null {
  const files = filesOf(live)
  const aside = asideDirectory(stateDir, stamp)
  if (files.length === 0) return existsSync(aside) ? aside : null
  if (!existsSync(aside)) mkdirSync(aside, { mode: 0o700 })
  const mark = join(aside, basename(markPath(stateDir)))
  if (existsSync(markPath(stateDir)) && !isThere(mark))
    copyFileSync(markPath(stateDir), mark, constants.COPYFILE_EXCL)
  for (const file of files) {
    const to = join(aside, basename(file))
    if (isThere(to))
      throw new ExitError(exitCodes.ioError, `${to} exists; a restore overwrites nothing: move it away`)
    renameSync(file, to)
  }
  synced(aside)
  synced(stateDir)
  return aside
}

/** Puts a finished copy in the place of the database. */
function installed(copy: string, stateDir: string, stamp: string): string | null {
  const live = databasePath(stateDir)
  let of = stamp
  try {
    // Without a database an unfinished restore has moved it, and what is left beside its name belongs to it.
    if (!existsSync(live)) of = interruptedStamp(stateDir) ?? stamp
    const aside = movedAside(live, stateDir, of)
    giveName(copy, live)
    synced(stateDir)
    return aside
  } catch (error) {
    const why =
      error instanceof ExitError
        ? error.message
        : fileError(error, (error as NodeJS.ErrnoException).path ?? live, 'moved').message
    throw new ExitError(
      exitCodes.ioError,
      `${why}. The restore is not finished: run it again. What was moved is in ${asideDirectory(stateDir, of)}`,
    )
  }
}

/** Nothing was moved yet. */
function unmade(error: unknown, stateDir: string): unknown {
  const { code, message } = error as NodeJS.ErrnoException
  if (error instanceof ExitError) return error
  if (isDamage(error))
    return new ExitError(
      exitCodes.dataDamaged,
      `it cannot be read far enough (${message}); nothing was changed`,
    )
  if (code === 'SQLITE_FULL' || code === 'ENOSPC')
    return new ExitError(
      exitCodes.ioError,
      `there is no space for the copy in ${stateDir}; nothing was changed`,
    )
  return /^(E[A-Z]+|SQLITE_CANTOPEN)$/.test(code ?? '')
    ? new ExitError(exitCodes.ioError, `${message}; nothing was changed`)
    : error
}

/**
 * Puts a copy of a database in the place of that of a state directory, with dispatching paused. Throws ExitError 64 for the database
 * itself, 65 for a damaged one, 74 for files that cannot be read or written, 75 while a router runs.
 */
export async function restore(from: string, options: RestoreOptions): Promise<Restored> {
  const { stateDir, at } = options
  assertFile(from)
  const live = databasePath(stateDir)
  const lock = takeLock(stateDir)
  try {
    assertReplaceable(from, live)
    const { events, runs } = verified(from, options)
    assertSpace(from, stateDir)
    const stamp = freshStamp(stateDir, at)
    const work = workDirectory(stateDir, stamp)
    const copy = join(work, basename(live))
    const paused = `restored from ${from} at ${new Date(at).toISOString()}; signalbox resume starts dispatching`
    mkdirSync(work, { mode: 0o700 })
    try {
      await copied(from, copy)
      prepared(copy, stateDir, paused)
    } catch (error) {
      rmSync(work, { recursive: true })
      throw unmade(error, stateDir)
    }
    const aside = installed(copy, stateDir, stamp)
    // The copies of restores that were killed; where one of them is being restored from, it is kept.
    for (const each of unfinishedStamps(stateDir)) {
      const path = workDirectory(stateDir, each)
      if (dirname(from) !== path) rmSync(path, { recursive: true })
    }
    return { path: live, from, bytes: statSync(live).size, events, runs, aside, paused }
  } finally {
    lock.close()
  }
}
