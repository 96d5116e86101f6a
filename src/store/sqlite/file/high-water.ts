// The high-water mark: a small file beside the database that says how far it had come. SQLite says nothing when its WAL is
// lost, emptied or damaged: committed rows are simply not there any more (one flipped bit in its header took 500 of 500,
// with integrity_check content). Here it shows.
//
// Each group's transaction counts itself, in a row of sqlite_sequence, whose page it writes anyway where an event comes in;
// after the commit the mark is written, without fsync: it is for what happens to files, not to power. A mark is never ahead
// of an undamaged database, since it is written after the commits that it counts have been synced.
import { closeSync, existsSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { readPlainFile } from '../../../plain-file.ts'
import type { Loss } from '../../store.ts'
import type { Db } from '../db.ts'

/** Commits that were counted, and the last sequence numbers of events and runs. */
export interface Mark {
  commits: number
  events: number
  runs: number
}

const rows = { commits: 'commit', events: 'event', runs: 'outbox' } as const
const columns = ['commits', 'events', 'runs'] as const

const magic = 0x53_42_48_57
const markBytes = 32
/** A larger file was not written by a router. */
const mostMarkBytes = 4096
const fullCodes = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

export function markPath(stateDir: string): string {
  return join(stateDir, 'signalbox.high')
}

/** The mark of a state directory; undefined where there is none that can be read. */
export function readMark(stateDir: string): Mark | undefined {
  const path = markPath(stateDir)
  if (!existsSync(path)) return undefined
  const { bytes } = readPlainFile(path, { most_bytes: mostMarkBytes })
  if (bytes.length < markBytes || bytes.readUInt32LE(0) !== magic) return undefined
  const [commits, events, runs] = columns.map((_, index) => Number(bytes.readBigUInt64LE(8 + 8 * index)))
  return { commits: commits!, events: events!, runs: runs! }
}

/** How far a database has come; db undefined where there is none. */
export function standing(db: Db | undefined): Mark {
  const none = { commits: 0, events: 0, runs: 0 }
  if (
    db === undefined ||
    db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").get() === undefined
  )
    return none
  const found = new Map(db.prepare<[], [string, number]>('SELECT name, seq FROM sqlite_sequence').raw().all())
  return {
    commits: found.get(rows.commits) ?? 0,
    events: found.get(rows.events) ?? 0,
    runs: found.get(rows.runs) ?? 0,
  }
}

/** What a database has lost of the commits that its mark counts; undefined: nothing. */
export function lossOf(db: Db | undefined, mark: Mark | undefined, wal_missing: boolean): Loss | undefined {
  if (mark === undefined) return undefined
  const found = standing(db)
  const lost = (column: keyof Mark): number => Math.max(0, mark[column] - found[column])
  return lost('commits') > 0
    ? { commits: lost('commits'), events: lost('events'), runs: lost('runs'), wal_missing }
    : undefined
}

/** Goes on behind what was lost: its numbers are not given again, because cursors of readers may be beyond them. */
export function goOnBehind(db: Db, mark: Mark): void {
  const found = standing(db)
  db.transaction(() => {
    for (const column of columns) {
      if (found[column] >= mark[column]) continue
      db.prepare('DELETE FROM sqlite_sequence WHERE name = ?').run(rows[column])
      db.prepare('INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)').run(rows[column], mark[column])
    }
  }).immediate()
}

/** Counts the commits of a database that is open for writing, and keeps its mark. 5 us a commit. */
export class HighWater {
  readonly #file: number
  readonly #bytes = Buffer.alloc(markBytes)
  readonly #count
  readonly #sequences

  constructor(db: Db, stateDir: string) {
    this.#file = openSync(markPath(stateDir), existsSync(markPath(stateDir)) ? 'r+' : 'w+', 0o600)
    this.#bytes.writeUInt32LE(magic, 0)
    if (db.prepare('SELECT 1 FROM sqlite_sequence WHERE name = ?').get(rows.commits) === undefined)
      db.prepare('INSERT INTO sqlite_sequence (name, seq) VALUES (?, 0)').run(rows.commits)
    this.#count = db.prepare(`UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = '${rows.commits}'`)
    this.#sequences = db.prepare<[], [string, number]>('SELECT name, seq FROM sqlite_sequence').raw()
  }

  /** In a transaction, before its commit. */
  committing(): void {
    this.#count.run()
  }

  /** After the commit. */
  committed(): void {
    for (const [name, seq] of this.#sequences.iterate()) {
      const index = columns.findIndex(column => rows[column] === name)
      if (index >= 0) this.#bytes.writeBigUInt64LE(BigInt(seq), 8 + 8 * index)
    }
    try {
      writeSync(this.#file, this.#bytes, 0, markBytes, 0)
    } catch (error) {
      // A mark that stays behind is still true. A full disk is met by SQLite too, which is refused and outlived.
      if (!fullCodes.has((error as NodeJS.ErrnoException).code ?? '')) throw error
    }
  }

  close(): void {
    closeSync(this.#file)
  }
}
