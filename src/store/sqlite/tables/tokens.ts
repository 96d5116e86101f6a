// The table of tokens and logins.
import type { TokenRow, TokenUse } from '../../store.ts'
import { damagedColumns, flag, json, name, oneOf, orNull, sha256, text, time, type Checks } from './checks.ts'
import type { DamageLog } from './damage.ts'
import type { Db } from '../db.ts'

const scopes = ['read', 'payload', 'test', 'emit', 'write', 'operate', 'approve', 'work', 'admin', 'metrics']

export const tokenChecks: Checks = [
  ['id', name],
  ['kind', oneOf('adm', 'api', 'wrk', 'mcp', 'ses')],
  ['name', name],
  ['hash', sha256],
  ['role', orNull(oneOf('viewer', 'operator', 'developer', 'admin', 'worker', 'agent'))],
  [
    'scopes',
    json(
      value =>
        Array.isArray(value) && value.length > 0 && value.every(each => scopes.includes(each as string)),
    ),
  ],
  ['agent', flag],
  ['bot_id', orNull(name)],
  ['created_by', name],
  ['created_at', time],
  ['expires_at', orNull(time)],
  ['last_used_at', orNull(time)],
  ['last_used_from', orNull(text)],
  ['revoked_at', orNull(time)],
]

interface StoredRow extends Omit<TokenRow, 'scopes' | 'agent'> {
  scopes: string
  agent: number
}

export class TokenTable {
  readonly #damage: DamageLog
  readonly #all
  readonly #put
  readonly #remove
  readonly #revoke
  readonly #used

  constructor(db: Db, damage: DamageLog) {
    this.#damage = damage
    this.#all = db.prepare<[], StoredRow>('SELECT * FROM token ORDER BY created_at, id')
    this.#put = db.prepare<StoredRow>(
      `INSERT INTO token (id, kind, name, hash, role, scopes, agent, bot_id, created_by, created_at, expires_at, last_used_at, last_used_from, revoked_at)
       VALUES (:id, :kind, :name, :hash, :role, :scopes, :agent, :bot_id, :created_by, :created_at, :expires_at, :last_used_at, :last_used_from, :revoked_at)`,
    )
    this.#remove = db.prepare('DELETE FROM token WHERE id IS ?')
    this.#revoke = db.prepare('UPDATE token SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL')
    this.#used = db.prepare('UPDATE token SET last_used_at = ?, last_used_from = ? WHERE id = ?')
  }

  /** The tokens at a start. A damaged row is reported and removed, because nothing can be known of what it allowed. */
  load(): TokenRow[] {
    return this.#all.all().flatMap(row => {
      const damaged = damagedColumns(tokenChecks, row)
      if (damaged.length === 0)
        return [{ ...row, scopes: JSON.parse(row.scopes) as TokenRow['scopes'], agent: row.agent === 1 }]
      this.#damage.addRow('token', row.id, damaged)
      this.#remove.run(row.id)
      return []
    })
  }

  put({ scopes: given, agent, ...row }: TokenRow): void {
    this.#put.run({ ...row, scopes: JSON.stringify(given), agent: agent ? 1 : 0 })
  }

  revoke(token_id: string, at: number): void {
    this.#damage.tolerate('token', token_id, () => this.#revoke.run(at, token_id))
  }

  noteUses(uses: readonly TokenUse[]): void {
    for (const { token_id, at, from } of uses)
      this.#damage.tolerate('token', token_id, () => this.#used.run(at, from, token_id))
  }
}
