// Logins: a link whose code works once becomes a secret that a browser keeps in a cookie.
import { hash, randomBytes } from 'node:crypto'
import type { Login, Role, Scope } from '../contract/types.ts'
import { Fault } from '../errors.ts'
import type { Store, TokenRow } from '../store/store.ts'
import { localPrincipal, roleScopes, type Principal } from './principal.ts'
import { givenIn, isHashOf, makeSecret } from './token-text.ts'
import type { Tokens } from './tokens.ts'

export const codeMs = 60_000
/** Codes that are not used yet; beyond that the oldest ends. */
const mostCodes = 16
const idleMs = 8 * 3_600_000
const longestMs = 7 * 86_400_000
/** How long an ended login is listed. */
const listedMs = 90 * 86_400_000
/** Logins that exist at the same time, with those that ended and are still listed; the one that ended first makes room. */
const mostLogins = 1000
/** How often the last use is written. */
const useMs = 60_000
const longestBrowser = 100
/** The role of a login that the user of the control socket creates without one. */
const usualRole = 'developer'

/** What a login may do, and as whom. */
interface Grant {
  created_by: string
  role: Role | null
  scopes: Scope[]
}

export interface LoginsOptions {
  store: Pick<Store, 'putToken' | 'revokeToken' | 'noteTokenUses'>
  tokens: Pick<Tokens, 'isValid'>
  now: () => number
  /** milliseconds that no setting of a clock changes: the time of a code */
  elapsed: () => number
  logBug: (error: unknown) => void
}

/** Throws Fault forbidden and invalid_params. */
function grantTo(principal: Principal, role: Role | undefined): Grant {
  const { id: created_by, scopes, agent, bot_id } = principal
  // A login that could create others would outlive its own end.
  const who =
    principal.interface === 'page'
      ? 'in a browser already'
      : agent
        ? 'an agent'
        : bot_id === undefined
          ? undefined
          : 'a worker'
  if (who !== undefined)
    throw new Fault(
      'forbidden',
      `a login is created over the control socket or with the token of a person; ${created_by} is ${who}`,
      { reason: 'E_LOGIN' },
    )
  const chosen = role ?? (principal.interface === localPrincipal.interface ? usualRole : undefined)
  if (chosen === undefined) return { created_by, role: null, scopes: [...scopes] }
  const missing = roleScopes[chosen].filter(scope => !scopes.has(scope))
  if (missing.length > 0)
    throw new Fault(
      'forbidden',
      `a login with role ${chosen} may do more than ${created_by}, which has not ${missing.join(', ')}`,
      {
        reason: 'E_LOGIN',
        data: { scope: missing[0]! },
      },
    )
  return { created_by, role: chosen, scopes: [...roleScopes[chosen]] }
}

export class Logins {
  readonly #options: LoginsOptions
  readonly #rows: Map<string, TokenRow>
  /** by the SHA-256 of the code; they do not outlive the router */
  readonly #codes = new Map<string, { grant: Grant; ends: number }>()
  /** Told when a login has ended. */
  onEnded: (login_id: string) => void = () => undefined

  /** rows: what is stored; tokens are left out */
  constructor(rows: readonly TokenRow[], options: LoginsOptions) {
    this.#options = options
    this.#rows = new Map(rows.filter(({ kind }) => kind === 'ses').map(row => [row.id, row]))
  }

  /** Whether there is a login that is accepted now. */
  get any(): boolean {
    return [...this.#rows.values()].some(row => this.#stateOf(row) === 'valid')
  }

  /** A code that works once. Throws Fault forbidden. */
  createCode(principal: Principal, role?: Role): { code: string; scopes: Scope[]; expires_in_ms: number } {
    const grant = grantTo(principal, role)
    const code = randomBytes(16).toString('base64url')
    if (this.#codes.size >= mostCodes) this.#codes.delete(this.#codes.keys().next().value!)
    this.#codes.set(hash('sha256', code), { grant, ends: this.#options.elapsed() + codeMs })
    return { code, scopes: grant.scopes, expires_in_ms: codeMs }
  }

  /** Uses a code up. Answers the secret of the new login; undefined: there is no such code, it was used, or it is too late. */
  async redeem(
    code: string,
    address: string | undefined,
    browser: string | undefined,
  ): Promise<{ secret: string; principal: Principal } | undefined> {
    const key = hash('sha256', code)
    const found = this.#codes.get(key)
    this.#codes.delete(key)
    if (
      found === undefined ||
      found.ends <= this.#options.elapsed() ||
      !this.#options.tokens.isValid(found.grant.created_by)
    )
      return undefined
    this.#makeRoom()
    const { id, text, hash: secretHash } = makeSecret('ses', this.#rows)
    const at = this.#options.now()
    const row: TokenRow = {
      id,
      kind: 'ses',
      name: (browser ?? '').slice(0, longestBrowser) || 'unknown',
      hash: secretHash,
      ...found.grant,
      agent: false,
      bot_id: null,
      created_at: at,
      expires_at: at + longestMs,
      last_used_at: at,
      last_used_from: address ?? null,
      revoked_at: null,
    }
    await this.#options.store.putToken(row)
    this.#rows.set(id, row)
    return { secret: text, principal: this.#principalOf(row, address) }
  }

  /** The principal of a login; undefined: it is unknown, wrong or ended. address: where it was used */
  principalOf(secret: string, address: string | undefined): Principal | undefined {
    const given = givenIn(secret)
    if (given?.kind !== 'ses') return undefined
    const row = this.#rows.get(given.id)
    if (!isHashOf(secret, row?.hash) || row === undefined || this.#stateOf(row) !== 'valid') return undefined
    this.#noteUse(row, address)
    return this.#principalOf(row, address)
  }

  isValid(login_id: string): boolean {
    const row = this.#rows.get(login_id)
    return row !== undefined && this.#stateOf(row) === 'valid'
  }

  /** When a login ends at the latest. */
  expiryOf(login_id: string): number {
    return this.#rows.get(login_id)!.expires_at!
  }

  /** Newest first. */
  list(): Login[] {
    return [...this.#rows.values()].toReversed().map(row => this.#shown(row))
  }

  /** Ends a login. Throws Fault not_found. */
  async revoke(login_id: string): Promise<Login> {
    const row = this.#rows.get(login_id)
    if (row === undefined)
      throw new Fault('not_found', `there is no login ${login_id}; login.list shows the logins`)
    const at = this.#options.now()
    await this.#options.store.revokeToken(login_id, at)
    row.revoked_at ??= at
    this.onEnded(login_id)
    return this.#shown(row)
  }

  #principalOf({ id, created_by, scopes }: TokenRow, address: string | undefined): Principal {
    return {
      id: created_by,
      name: `login ${id}`,
      login: id,
      interface: 'page',
      address,
      scopes: new Set(scopes),
      agent: false,
      bot_id: undefined,
    }
  }

  #noteUse(row: TokenRow, address: string | undefined): void {
    const at = this.#options.now()
    if (Math.abs(at - row.last_used_at!) < useMs) return
    row.last_used_at = at
    row.last_used_from = address ?? null
    this.#options.store
      .noteTokenUses([{ token_id: row.id, at, from: row.last_used_from }])
      .catch(this.#options.logBug)
  }

  #stateOf({ revoked_at, expires_at, last_used_at, created_at, created_by }: TokenRow): Login['state'] {
    if (revoked_at !== null) return 'revoked'
    const now = this.#options.now()
    const isOver = expires_at! <= now || Math.max(last_used_at ?? 0, created_at) + idleMs <= now
    return isOver || !this.#options.tokens.isValid(created_by) ? 'expired' : 'valid'
  }

  #makeRoom(): void {
    const now = this.#options.now()
    const ended = [...this.#rows.values()].filter(row => this.#stateOf(row) !== 'valid')
    const old = ended.filter(({ revoked_at, expires_at }) => (revoked_at ?? expires_at!) + listedMs < now)
    const over =
      this.#rows.size - old.length >= mostLogins
        ? (ended.find(row => !old.includes(row)) ?? [...this.#rows.values()][0]!)
        : undefined
    for (const { id } of over === undefined ? old : [...old, over]) this.#rows.delete(id)
  }

  #shown(row: TokenRow): Login {
    const {
      id,
      created_by,
      role,
      scopes,
      name: browser,
      created_at,
      last_used_at,
      last_used_from: address,
      revoked_at,
    } = row
    const optional = Object.entries({ role, last_used_at, address, revoked_at }).filter(
      ([, value]) => value !== null,
    )
    return {
      id,
      created_by,
      scopes,
      browser,
      created_at,
      expires_at: row.expires_at!,
      ...Object.fromEntries(optional),
      state: this.#stateOf(row),
    }
  }
}
