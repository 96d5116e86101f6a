// The table of refused deliveries. The router keeps the rows in memory and writes what changed, at most once a second.
import { mostRefused, type RefusedBatch, type RefusedRow } from '../../store.ts'
import { count, damagedColumns, integer, name, orNull, positive, text, time, type Checks } from './checks.ts'
import type { DamageLog } from './damage.ts'
import type { Db } from '../db.ts'

export const refusedChecks: Checks = [
  ['seq', integer],
  ['source_id', orNull(name)],
  ['path', orNull(text)],
  ['reason', name],
  ['status', orNull(positive)],
  ['address', orNull(text)],
  ['bytes', orNull(count)],
  ['first_at', time],
  ['last_at', time],
  ['count', positive],
]

export class RefusedTable {
  readonly #damage: DamageLog
  readonly #newest
  readonly #put
  readonly #remove
  readonly #removeOld

  constructor(db: Db, damage: DamageLog) {
    this.#damage = damage
    this.#newest = db.prepare<[number], RefusedRow>(
      'SELECT * FROM refused_delivery ORDER BY last_at DESC, seq DESC LIMIT ?',
    )
    this.#put = db.prepare<RefusedRow>(
      `INSERT OR REPLACE INTO refused_delivery (seq, source_id, path, reason, status, address, bytes, first_at, last_at, count)
       VALUES (:seq, :source_id, :path, :reason, :status, :address, :bytes, :first_at, :last_at, :count)`,
    )
    this.#remove = db.prepare('DELETE FROM refused_delivery WHERE seq = ?')
    // Of more rows than are kept the router would know nothing: they would stay until they are old.
    this.#removeOld = db.prepare(
      'DELETE FROM refused_delivery WHERE seq NOT IN (SELECT seq FROM refused_delivery ORDER BY last_at DESC, seq DESC LIMIT ?)',
    )
  }

  /** The rows at a start, oldest first. A damaged row is reported and removed. */
  load(): RefusedRow[] {
    this.#removeOld.run(mostRefused)
    const whole = this.#newest.all(mostRefused).filter(row => {
      const damaged = damagedColumns(refusedChecks, row)
      if (damaged.length === 0) return true
      this.#damage.addRow('refused_delivery', row.seq, damaged)
      this.#remove.run(row.seq)
      return false
    })
    return whole.toReversed()
  }

  note({ put, removed }: RefusedBatch): void {
    for (const seq of removed) this.#remove.run(seq)
    for (const row of put) this.#put.run(row)
  }
}
