// Tokens and the audit log as they are stored.
import type { AuditEntry, Token } from '../contract/types.ts'

/** A token, or the login of a browser: of its secret there is only a hash. */
export interface TokenRow extends Pick<
  Token,
  'id' | 'name' | 'scopes' | 'agent' | 'created_by' | 'created_at'
> {
  /** ses: a login */
  kind: Token['kind'] | 'ses'
  /** SHA-256 of the whole token */
  hash: Uint8Array
  role: Token['role'] | null
  bot_id: string | null
  /** null: it does not expire */
  expires_at: number | null
  last_used_at: number | null
  last_used_from: string | null
  revoked_at: number | null
}

/** When and from where a token was used. */
export interface TokenUse {
  token_id: string
  at: number
  from: string | null
}

/** A call that changed something or was refused. */
export interface AuditRow extends Pick<
  AuditEntry,
  'at' | 'principal' | 'interface' | 'ids' | 'outcome' | 'count'
> {
  name: string | null
  address: string | null
  method: string | null
  code: string | null
}

/** Which entries of the audit log a page has, newest first. */
export interface AuditPage {
  principal?: string | undefined
  method?: string | undefined
  outcome?: AuditRow['outcome'] | undefined
  since?: number | undefined
  until?: number | undefined
  limit: number
  /** seq of the last entry of the page before */
  after: number | null
}
