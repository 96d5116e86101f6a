// The audit log: rows are added, read in pages, and removed when they are old.
import type { AuditEntry } from '../../../contract/types.ts'
import type { AuditPage, AuditRow } from '../../store.ts'
import {
  damagedColumns,
  integer,
  json,
  name,
  oneOf,
  orNull,
  positive,
  text,
  time,
  type Checks,
} from './checks.ts'
import type { DamageLog } from './damage.ts'
import type { Db } from '../db.ts'

export const auditChecks: Checks = [
  ['seq', integer],
  ['at', time],
  ['principal', name],
  ['name', orNull(text)],
  ['interface', oneOf('socket', 'command', 'http', 'page')],
  ['address', orNull(text)],
  ['method', orNull(text)],
  ['ids', json(value => Array.isArray(value) && value.every(each => typeof each === 'string'))],
  ['outcome', oneOf('done', 'refused', 'failed')],
  ['code', orNull(text)],
  ['count', positive],
]

/** Far above what is reached, and exact as a double. */
const highestSeq = 2 ** 52

interface StoredRow extends Omit<AuditRow, 'ids'> {
  seq: number
  ids: string
}

export class AuditTable {
  readonly #put
  readonly #removeFar
  readonly #damage: DamageLog

  constructor(db: Db, damage: DamageLog) {
    this.#damage = damage
    this.#removeFar = db.prepare<[number]>('DELETE FROM audit WHERE seq NOT BETWEEN 1 AND ?')
    this.#put = db.prepare<Omit<StoredRow, 'seq'>>(
      `INSERT INTO audit (at, principal, name, interface, address, method, ids, outcome, code, count)
       VALUES (:at, :principal, :name, :interface, :address, :method, :ids, :outcome, :code, :count)`,
    )
  }

  /** Removes rows whose number is damaged, before a start: new rows would be numbered from there, where they cannot be read. */
  removeFar(): void {
    const { changes } = this.#removeFar.run(highestSeq)
    if (changes > 0) this.#damage.add(`audit: ${changes} rows with a damaged seq were removed`)
  }

  add(rows: readonly AuditRow[]): void {
    for (const row of rows) this.#put.run({ ...row, ids: JSON.stringify(row.ids) })
  }
}

function shown({ ids, name: called, address, method, code, ...row }: StoredRow): AuditEntry {
  const optional = Object.entries({ name: called, address, method, code }).filter(
    ([, value]) => value !== null,
  )
  return { ...row, ids: JSON.parse(ids) as string[], ...Object.fromEntries(optional) }
}

/** A reader of pages, newest entries first. A damaged row is reported and left out. */
export function auditReading(db: Db, damage: DamageLog): (page: AuditPage) => AuditEntry[] {
  const ways = { principal: 'principal = :principal AND', method: 'method = :method AND', all: '' }
  const prepared = Object.fromEntries(
    Object.entries(ways).map(([way, condition]) => [
      way,
      db.prepare<Record<string, string | number | null>, StoredRow>(
        `SELECT * FROM audit WHERE ${condition} seq < :below
           AND (:principal IS NULL OR principal = :principal) AND (:method IS NULL OR method = :method)
           AND (:outcome IS NULL OR outcome = :outcome) AND at >= :since AND at < :until
         ORDER BY seq DESC`,
      ),
    ]),
  )
  return ({
    principal = null,
    method = null,
    outcome = null,
    since = 0,
    until = Number.MAX_SAFE_INTEGER,
    limit,
    after,
  }) => {
    const way = principal !== null ? 'principal' : method !== null ? 'method' : 'all'
    const entries: AuditEntry[] = []
    for (const row of prepared[way]!.iterate({
      principal,
      method,
      outcome,
      since,
      until,
      below: after ?? Number.MAX_SAFE_INTEGER,
    })) {
      const damaged = damagedColumns(auditChecks, row)
      if (damaged.length > 0) damage.addRow('audit', row.seq, damaged)
      else if (entries.push(shown(row)) >= limit) break
    }
    return entries
  }
}
