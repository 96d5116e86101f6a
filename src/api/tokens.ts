// Tokens of the admin listener: which exist, what they allow, and when they end.
import type { Role, Scope, Token } from '../contract/types.ts'
import { Fault } from '../errors.ts'
import type { Store, TokenRow } from '../store/store.ts'
import { roleScopes, type Principal } from './principal.ts'
import { givenIn, isHashOf, makeSecret } from './token-text.ts'

/** Tokens that exist at the same time, with those that ended and are still listed. */
const mostTokens = 1000
/** How often the last use of a token is written. */
const useMs = 60_000

export interface TokenWish {
  name: string
  role?: Role | undefined
  scopes?: Scope[] | undefined
  bot_id?: string | undefined
  mcp: boolean
  person: boolean
  /** null: it does not expire */
  expires_in_ms: number | null
}

export interface TokensOptions {
  store: Pick<Store, 'putToken' | 'revokeToken' | 'noteTokenUses'>
  now: () => number
  logBug: (error: unknown) => void
}

function refused(path: string, message: string): Fault {
  return new Fault('invalid_params', `${path} ${message}`, { data: { path } })
}

/** Throws Fault invalid_params for a combination that makes no token. */
function kindOf({
  role,
  scopes,
  bot_id,
  mcp,
  person,
}: TokenWish): Pick<TokenRow, 'kind' | 'scopes' | 'agent'> {
  if ((role === undefined) === (scopes === undefined))
    throw refused('role', 'or scopes is required, and not both')
  const given = scopes ?? [...roleScopes[role!]]
  const isWorker = role === 'worker' || (scopes !== undefined && given.includes('work'))
  if (isWorker && bot_id === undefined)
    throw refused('bot_id', 'is required with the scope work: the bot whose runs are worked on')
  if (!isWorker && bot_id !== undefined)
    throw refused('bot_id', 'is taken with role worker or scope work alone')
  const agent = (role === 'agent' || mcp) && !person
  if (agent && given.includes('admin'))
    throw refused(
      role === undefined ? 'scopes' : 'role',
      'must not hold the scope admin in the token of an agent',
    )
  if (mcp && isWorker) throw refused('mcp', 'must be false for a worker')
  return {
    kind: mcp ? 'mcp' : isWorker ? 'wrk' : given.includes('admin') ? 'adm' : 'api',
    scopes: given,
    agent,
  }
}

export class Tokens {
  readonly #options: TokensOptions
  readonly #rows: Map<string, TokenRow>
  /** Told when a token has been revoked. */
  onRevoked: (token_id: string) => void = () => undefined

  /** rows: those that are stored; logins are left out */
  constructor(rows: readonly TokenRow[], options: TokensOptions) {
    this.#options = options
    this.#rows = new Map(rows.filter(({ kind }) => kind !== 'ses').map(row => [row.id, row]))
  }

  /** Whether there is a token that is accepted now. */
  get any(): boolean {
    return [...this.#rows.values()].some(row => this.#stateOf(row) === 'valid')
  }

  /** Creates a token. Returns it whole; nothing keeps its secret. Throws Fault invalid_params and overloaded. */
  async create(wish: TokenWish, created_by: string): Promise<{ token: string; created: Token }> {
    const kind = kindOf(wish)
    if (this.#rows.size >= mostTokens) {
      throw new Fault(
        'overloaded',
        `there are ${this.#rows.size} tokens, with those that ended; at most ${mostTokens} may exist`,
      )
    }
    const { id, text: token, hash } = makeSecret(kind.kind, this.#rows)
    const { name, role = null, bot_id = null, expires_in_ms } = wish
    const created_at = this.#options.now()
    const expires_at = expires_in_ms === null ? null : created_at + expires_in_ms
    const ended = { last_used_at: null, last_used_from: null, revoked_at: null }
    const row: TokenRow = {
      id,
      ...kind,
      name,
      hash,
      role,
      bot_id,
      created_by,
      created_at,
      expires_at,
      ...ended,
    }
    await this.#options.store.putToken(row)
    this.#rows.set(id, row)
    return { token, created: this.#shown(row) }
  }

  /** Newest first. */
  list(): Token[] {
    return [...this.#rows.values()].toReversed().map(row => this.#shown(row))
  }

  /** Ends a token. Throws Fault not_found. */
  async revoke(token_id: string): Promise<Token> {
    const row = this.#rows.get(token_id)
    if (row === undefined)
      throw new Fault('not_found', `there is no token ${token_id}; token.list shows the tokens`)
    const at = this.#options.now()
    await this.#options.store.revokeToken(token_id, at)
    row.revoked_at ??= at
    this.onRevoked(token_id)
    return this.#shown(row)
  }

  /** The principal of a token; undefined: it is unknown, wrong, expired or revoked. address: where it was used */
  principalOf(token: string, address: string | undefined): Principal | undefined {
    const given = givenIn(token)
    if (given === undefined) return undefined
    const row = this.#rows.get(given.id)
    if (
      !isHashOf(token, row?.hash) ||
      row === undefined ||
      row.kind !== given.kind ||
      this.#stateOf(row) !== 'valid'
    )
      return undefined
    this.#noteUse(row, address)
    const { name, scopes, agent, bot_id } = row
    return {
      id: `token:${row.id}`,
      name,
      login: undefined,
      interface: 'http',
      address,
      scopes: new Set(scopes),
      agent,
      bot_id: bot_id ?? undefined,
    }
  }

  /** Whether the token of a principal is still valid. */
  isValid(principal: string): boolean {
    const row = principal.startsWith('token:') ? this.#rows.get(principal.slice('token:'.length)) : undefined
    return row === undefined ? !principal.startsWith('token:') : this.#stateOf(row) === 'valid'
  }

  #noteUse(row: TokenRow, address: string | undefined): void {
    const at = this.#options.now()
    if (row.last_used_at !== null && Math.abs(at - row.last_used_at) < useMs) return
    row.last_used_at = at
    row.last_used_from = address ?? null
    this.#options.store
      .noteTokenUses([{ token_id: row.id, at, from: row.last_used_from }])
      .catch(this.#options.logBug)
  }

  #stateOf({ revoked_at, expires_at }: TokenRow): Token['state'] {
    if (revoked_at !== null) return 'revoked'
    return expires_at !== null && expires_at <= this.#options.now() ? 'expired' : 'valid'
  }

  #shown(row: TokenRow): Token {
    const {
      hash: _,
      kind,
      role,
      bot_id,
      expires_at,
      last_used_at,
      last_used_from,
      revoked_at,
      ...always
    } = row
    const optional = Object.entries({
      role,
      bot_id,
      expires_at,
      last_used_at,
      last_used_from,
      revoked_at,
    }).filter(([, value]) => value !== null)
    return {
      ...always,
      kind: kind as Token['kind'],
      ...Object.fromEntries(optional),
      state: this.#stateOf(row),
    }
  }
}
