// A copy of a damaged database to read from, since opening the original would change it.
import Database from 'better-sqlite3'
import { copyFileSync, existsSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ExitError, exitCodes } from '../../../errors.ts'
import { assertDirectory } from '../../../plain-file.ts'
import { readMark, standing, type Mark } from '../file/high-water.ts'
import { giveSchema, mended, rootsOf } from './pages.ts'
import type { Db } from '../db.ts'
import { databasePath, takeLock } from '../file/open.ts'
import { emptyOf, newestSchema, schemaOf } from '../file/schema.ts'
import { atPath, readable } from './tolerant-reader.ts'

/** What a file that may be damaged answers, on a connection of its own. */
function asked<T>(path: string, ask: (db: Db) => T): T | undefined {
  return readable(() => {
    const db = new Database(path)
    try {
      db.unsafeMode(true)
      db.pragma('writable_schema = ON')
      return ask(db)
    } finally {
      db.close()
    }
  })
}

/** A copy to work on: its write-ahead log folded in, its inner pages mended, its schema what it was. Answers what was done, in words. */
export function workingCopy(path: string, copy: string): string[] {
  copyFileSync(path, copy)
  if (existsSync(`${path}-wal`)) copyFileSync(`${path}-wal`, `${copy}-wal`)
  asked(copy, db => db.pragma('wal_checkpoint(TRUNCATE)'))
  for (const end of ['-wal', '-shm']) rmSync(`${copy}${end}`, { force: true })
  const notes = mended(copy)
  const roots = JSON.stringify(rootsOf(copy))
  const rootsOfEmpty = (version: number): string =>
    JSON.stringify(
      emptyOf(version)
        .schema.flatMap(({ rootpage }) => (rootpage > 1 ? rootpage : []))
        .toSorted((a, b) => a - b),
    )
  // The version is in the header, which may be damaged: the places of the roots also give it.
  const stated = asked(copy, db => db.pragma('user_version', { simple: true }) as number)
  const version = [
    stated ?? 0,
    ...Array.from({ length: newestSchema() }, (_, index) => newestSchema() - index),
  ].find(each => rootsOfEmpty(each) === roots)
  if (version === undefined && stated !== undefined && stated > newestSchema())
    throw new ExitError(
      exitCodes.configuration,
      `${path} has schema ${stated}, this program knows up to ${newestSchema()}; use the newer program that wrote it`,
    )
  const empty = emptyOf(version ?? stated)
  if (JSON.stringify(asked(copy, schemaOf)) === JSON.stringify(empty.schema)) return notes
  giveSchema(copy, empty.bytes)
  return [...notes, 'the head of the file or its schema was damaged and was made again']
}

/** Keeps routers away for as long as the answered lock is open. Throws ExitError 75 where one is at work. */
export function heldBack(path: string): Db | undefined {
  const stateDir = dirname(path)
  return path === databasePath(stateDir) && existsSync(join(stateDir, 'router.lock'))
    ? takeLock(stateDir)
    : undefined
}

/** The mark of the state directory that a database is of or is made for. */
export function markOf(...paths: readonly string[]): Mark | undefined {
  const own = paths.find(path => path === databasePath(dirname(path)))
  return own === undefined ? undefined : readMark(dirname(own))
}

/** Throws ExitError 74 where a file cannot be made without touching what is there: SQLite would read the log of another database into it. */
export function assertFree(into: string): void {
  atPath(() => assertDirectory(dirname(into)))
  if (existsSync(into))
    throw new ExitError(exitCodes.ioError, `${into} is there already; recovering overwrites nothing`)
  const beside = ['-wal', '-shm', '-journal'].map(end => `${into}${end}`).find(path => existsSync(path))
  if (beside !== undefined)
    throw new ExitError(
      exitCodes.ioError,
      `${beside} is left of another database; move it beside that, or give another name`,
    )
}

/** Where a database and its mark say that it had come, whichever is further. */
export function furthest(from: Db, mark: Mark | undefined): Mark {
  const found = readable(() => standing(from))
  const marks = [found, mark].filter(each => each !== undefined)
  const of = (column: keyof Mark): number => Math.max(0, ...marks.map(each => each[column]))
  return { commits: of('commits'), events: of('events'), runs: of('runs') }
}
