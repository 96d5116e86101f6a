// Finds events by a 48-bit hash of their delivery key or their signed body.
//
// Hashes are random, so an ordinary index dirties a page of its own for each: measured at 64 in flight, two such indexes
// took 30 % of the writer's rate, and more the larger they grew. Here new hashes stay in memory and go into the table
// sorted, one sixteenth of the hash space at a time, inside the transaction of some later group; so a page takes several
// at once. Measured with 1,000,000 events: 12.3k/s against 17.3k/s in the first 100,000; slices of 8,192 events change
// nothing, what is left is looking up hashes that are not there in pages that SQLite's cache does not hold. What is in
// memory only can always be read again from the events behind indexed_seq, as a start does.
import type { Db } from '../db.ts'

const slices = 16
const sliceWidth = 2 ** 44
/** Events between two slices. Memory holds at most about twice slices times this many hashes. */
const eventsPerSlice = 2048

/** A hash that cannot be one is damage: its event is not known again by it, the others are. */
function isHash(hash: number): boolean {
  return Number.isSafeInteger(hash) && hash >= 0 && hash < slices * sliceWidth
}

export class HashIndex {
  readonly #sql
  readonly #metaKey: string
  /** per slice: hash -> seq; a list only where two events share a hash, which is rare */
  readonly #recent: Map<number, number | number[]>[] = Array.from({ length: slices }, () => new Map())
  #added = 0
  /** hashes that the last reading found outside of the table */
  #behind = 0
  #nextSlice = 0
  #lastSeq = 0
  /** once this round of slices is through, everything up to here is in the table */
  #roundSeq = 0

  constructor(db: Db, table: 'delivery_index' | 'body_index', column: 'delivery_hash' | 'body_hash') {
    this.#metaKey = `${table}_seq`
    this.#sql = {
      find: db
        .prepare<[number], number>(`SELECT event_seq FROM ${table} WHERE hash = ? ORDER BY event_seq`)
        .pluck(),
      insert: db.prepare(`INSERT OR IGNORE INTO ${table} (hash, event_seq) VALUES (?, ?)`),
      remove: db.prepare(`DELETE FROM ${table} WHERE hash = ? AND event_seq = ?`),
      behind: db.prepare<[number, number], { seq: number; hash: number }>(
        `SELECT seq, ${column} AS hash FROM event WHERE seq > ? AND ${column} IS NOT NULL
         UNION ALL SELECT seq, ${column} FROM removed_event WHERE seq > ? AND ${column} IS NOT NULL ORDER BY seq`,
      ),
      meta: db.prepare<[string], number>('SELECT value FROM meta WHERE key = ?').pluck(),
      setMeta: db.prepare('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)'),
    }
    this.reload()
  }

  /** Reads again what is not in the table yet; after a rollback, what memory holds may never have been. */
  reload(): void {
    for (const map of this.#recent) map.clear()
    this.#added = 0
    this.#nextSlice = 0
    const indexed = this.#sql.meta.get(this.#metaKey) ?? 0
    this.#lastSeq = indexed
    for (const { seq, hash } of this.#sql.behind.iterate(indexed, indexed)) this.#remember(hash, seq)
    this.#roundSeq = this.#lastSeq
    this.#behind = this.#added
    this.#added = 0
  }

  /** At a start, within a transaction: a router that is restarted often must not have ever more behind its index. */
  catchUp(): void {
    if (this.#behind < slices * eventsPerSlice) return
    for (let count = 0; count < slices; count++) this.#moveSlice()
  }

  #remember(hash: number, seq: number): void {
    this.#lastSeq = seq
    if (!isHash(hash)) return
    const map = this.#recent[Math.floor(hash / sliceWidth)]!
    const known = map.get(hash)
    map.set(hash, known === undefined ? seq : [known, seq].flat())
    this.#added++
  }

  /** Seqs of events that may have this hash, oldest first; what they really hold is for the caller to see. */
  find(hash: number): number[] {
    const recent = this.#recent[Math.floor(hash / sliceWidth)]!.get(hash)
    const older = this.#sql.find.all(hash)
    return recent === undefined ? older : older.concat(recent)
  }

  /** Takes in an event; called within the transaction that writes it. */
  add(hash: number, seq: number): void {
    this.#remember(hash, seq)
    if (this.#added >= eventsPerSlice) this.#moveSlice()
  }

  /** Forgets an event, wherever its hash is by now: what memory holds would go into the table later. */
  forget(hash: number, seq: number): void {
    if (!isHash(hash)) return
    const map = this.#recent[Math.floor(hash / sliceWidth)]!
    const known = map.get(hash)
    const others = known === undefined ? [] : [known].flat().filter(each => each !== seq)
    if (others.length > 0) map.set(hash, others)
    else map.delete(hash)
    this.#sql.remove.run(hash, seq)
  }

  #moveSlice(): void {
    const map = this.#recent[this.#nextSlice]!
    for (const hash of [...map.keys()].toSorted((a, b) => a - b)) {
      for (const seq of [map.get(hash)!].flat()) this.#sql.insert.run(hash, seq)
    }
    map.clear()
    this.#added = 0
    this.#nextSlice = (this.#nextSlice + 1) % slices
    if (this.#nextSlice !== 0) return
    this.#sql.setMeta.run(this.#metaKey, this.#roundSeq)
    this.#roundSeq = this.#lastSeq
  }
}
