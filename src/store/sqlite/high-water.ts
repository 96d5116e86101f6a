// The high-water mark: a small file beside the database that says how far the log had come and whether the process that
// wrote it came to its end. SQLite says nothing when its WAL is lost, emptied or damaged: committed rows are simply not
// there any more (one flipped bit in its header took 500 of 500, with integrity_check content). Here it shows.
//
// The mark is written after each commit, without fsync: it is for what happens to files, not to power. A mark is never
// ahead of a log that is whole, since it is written after what it tells of has been synced.
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Loss } from '../store.ts'
import type { Db } from './open.ts'

export interface Mark {
  /** the last sequence numbers that were committed */
  event_seq: number
  run_seq: number
  /** the writer closed the database */
  clean: boolean
}

const magic = 0x53_42_48_57
const markBytes = 24

function markPath(stateDir: string): string {
  return join(stateDir, 'signalbox.high')
}

/** The mark of a state directory; undefined where there is none that can be read. */
export function readMark(stateDir: string): Mark | undefined {
  const path = markPath(stateDir)
  if (!existsSync(path)) return undefined
  const bytes = readFileSync(path)
  if (bytes.length < markBytes || bytes.readUInt32LE(0) !== magic) return undefined
  return { clean: bytes.readUInt32LE(4) === 1, event_seq: Number(bytes.readBigUInt64LE(8)), run_seq: Number(bytes.readBigUInt64LE(16)) }
}

/** Whether a WAL that a process left behind is not there any more. To be asked before the database is opened, which makes one. */
export function walIsMissing(databasePath: string, mark: Mark | undefined): boolean {
  return mark?.clean === false && (statSync(databasePath, { throwIfNoEntry: false })?.size ?? 0) > 0 && !existsSync(`${databasePath}-wal`)
}

function sequence(db: Db | undefined, table: 'event' | 'outbox'): number {
  if (db === undefined) return 0
  const known = db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").get()
  return known === undefined ? 0 : ((db.prepare('SELECT seq FROM sqlite_sequence WHERE name = ?').pluck().get(table) as number | undefined) ?? 0)
}

/** What a log has lost of what its mark tells of, db undefined where there is none; undefined: nothing. */
export function lossOf(db: Db | undefined, mark: Mark | undefined, wal_missing: boolean): Loss | undefined {
  if (mark === undefined) return undefined
  const events = Math.max(0, mark.event_seq - sequence(db, 'event'))
  const runs = Math.max(0, mark.run_seq - sequence(db, 'outbox'))
  return events + runs > 0 || wal_missing ? { events, runs, wal_missing } : undefined
}

/** Goes on behind what was lost: its numbers are not given again, because cursors of readers may be beyond them. */
export function goOnBehind(db: Db, { event_seq, run_seq }: Mark): void {
  db.transaction(() => {
    for (const [table, seq] of [
      ['event', event_seq],
      ['outbox', run_seq],
    ] as const) {
      if (sequence(db, table) >= seq) continue
      db.prepare('DELETE FROM sqlite_sequence WHERE name = ?').run(table)
      db.prepare('INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)').run(table, seq)
    }
  }).immediate()
}

/**
 * Keeps the mark of a database that is open for writing. 3 us a commit. Its order with the WAL's own life is what keeps a
 * loss of power from looking like a lost WAL: "not clean" comes only after a commit, when the WAL and its place in the
 * directory are synced, and "clean" is synced before SQLite removes the WAL.
 */
export class HighWater {
  readonly #file: number
  readonly #bytes = Buffer.alloc(markBytes)
  readonly #sequences

  constructor(db: Db, stateDir: string) {
    this.#file = openSync(markPath(stateDir), existsSync(markPath(stateDir)) ? 'r+' : 'w+', 0o600)
    this.#bytes.writeUInt32LE(magic, 0)
    this.#sequences = db.prepare<[], { name: string; seq: number }>("SELECT name, seq FROM sqlite_sequence WHERE name IN ('event', 'outbox')")
  }

  #write(): void {
    for (const { name, seq } of this.#sequences.iterate()) this.#bytes.writeBigUInt64LE(BigInt(seq), name === 'event' ? 8 : 16)
    writeSync(this.#file, this.#bytes, 0, markBytes, 0)
  }

  /** After a commit. */
  committed(): void {
    this.#bytes.writeUInt32LE(0, 4)
    this.#write()
  }

  /** After the last checkpoint, before the database is closed and its WAL removed. */
  closing(): void {
    this.#bytes.writeUInt32LE(1, 4)
    this.#write()
    fsyncSync(this.#file)
    closeSync(this.#file)
  }
}
