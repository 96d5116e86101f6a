// Who makes a request to the admin listener: the holder of a token, a user that a trusted proxy names, or a browser that logged in.
import type { IncomingMessage } from 'node:http'
import type { Config } from '../contract/types.ts'
import type { MethodContract } from '../contract/validators.ts'
import { Fault } from '../errors.ts'
import { RateLimiter } from '../http/rate-limit.ts'
import { bearerToken, verifyToken } from '../http/token.ts'
import type { Store } from '../store/store.ts'
import type { Access } from './access.ts'
import type { Audit } from './audit.ts'
import { assertOwnPage } from './browser-rules.ts'
import { CallbackAccess, type CallbackRun } from './callback-access.ts'
import type { Logins } from './logins.ts'
import { environmentPrincipal, userPrincipal, type Principal } from './principal.ts'
import { Senders, type Sender } from './sender.ts'
import { secretIn, type CookieForm } from './session.ts'
import { TokenAccess } from './token-access.ts'
import type { Tokens } from './tokens.ts'

export interface AdminAccessOptions {
  config: Config
  contract: ReadonlyMap<string, MethodContract>
  store: Pick<Store, 'run'>
  tokens: Tokens
  logins: Logins
  /** the token that the environment gives; undefined: it gives none, or it cannot be read */
  environmentToken: () => Buffer | undefined
  /** the run that the token of a callback is for; undefined: it is for none that is under way */
  callback: (token: string) => Promise<CallbackRun | undefined>
  audit: Pick<Audit, 'failed'>
  /** Called for each request that is refused as a whole. rate: too many without a valid token came from its address. */
  unwelcome: (request: IncomingMessage, reason: 'token' | 'rate') => void
  /** Called when headers of forward_auth were ignored. */
  ignored: (count: number) => void
  now: () => number
}

/** A request, and what is known of its sender. */
export interface Asking {
  request: IncomingMessage
  headers: ReadonlyMap<string, string>
  sender: Sender
}

export class AdminAccess {
  readonly #options: AdminAccessOptions
  readonly #senders: Senders
  readonly #failures = new RateLimiter()
  readonly #requests = new RateLimiter()
  /** by principal: runs that are known to be of its bot */
  readonly #claimed = new Map<string, Set<string>>()

  /** Throws Error for trusted_proxies and forward_auth that cannot be used. */
  constructor(options: AdminAccessOptions) {
    this.#options = options
    this.#senders = new Senders(options.config)
  }

  /** Forgets a token that was revoked. */
  forget(principal: string): void {
    this.#claimed.delete(principal)
  }

  sender(request: IncomingMessage, headers: ReadonlyMap<string, string>): Sender {
    const sender = this.#senders.of(headers, request.socket.remoteAddress)
    if (sender.ignored > 0) this.#options.ignored(sender.ignored)
    return sender
  }

  #scheme({ request, sender }: Asking): string {
    return sender.scheme ?? ('encrypted' in request.socket ? 'https' : 'http')
  }

  #publicUrl(): URL | undefined {
    const { public_url } = this.#options.config
    return public_url === undefined ? undefined : new URL(public_url)
  }

  cookieForm(asking: Asking): CookieForm {
    const { request, sender } = asking
    const known = this.#publicUrl()
    const isPublic = known?.protocol === 'https:' && known.host === sender.host.toLowerCase()
    return { port: request.socket.localPort ?? 0, secure: isPublic || this.#scheme(asking) === 'https' }
  }

  /** Throws Fault forbidden for a request that the page of another origin may have caused. */
  assertOwnPage(asking: Asking): void {
    const { request, headers, sender } = asking
    const own = `${this.#scheme(asking)}://${sender.host.toLowerCase()}`
    const known = this.#publicUrl()?.origin
    assertOwnPage(request.method!, headers, new Set(known === undefined ? [own] : [own, known]))
  }

  /** The principal of a browser: a user that a proxy names, or a login; undefined: it has neither. */
  browser(asking: Asking): Principal | undefined {
    const { headers, sender } = asking
    const user = this.#senders.userIn(headers, sender)
    if (user !== undefined) return userPrincipal(user.name, sender.address, user.roles)
    const secret = secretIn(headers.get('cookie'), this.cookieForm(asking))
    return secret === undefined ? undefined : this.#options.logins.principalOf(secret, sender.address)
  }

  /**
   * Throws Fault unauthorized, and rate_limited after too many failures or for a principal that asks too often. Failures of others
   * change nothing for what is right.
   */
  async of(asking: Asking): Promise<Access> {
    const access = await this.#found(asking)
    const { id, login, bot_id } = access.principal
    // A worker makes as many calls as there are runs for it.
    if (bot_id !== undefined) return access
    const limit = this.#options.config.admin_rate_limit
    const wait = this.#requests.take(
      login ?? id,
      { limit, period_ms: 1000, burst: 2 * limit },
      this.#options.now(),
    )
    if (wait > 0)
      throw new Fault(
        'rate_limited',
        `${id} sends more than ${limit} requests a second; send several calls as one batch, or raise admin_rate_limit`,
        {
          retryAfterS: Math.ceil(wait / 1000),
        },
      )
    return access
  }

  async #found(asking: Asking): Promise<Access> {
    const { headers, sender } = asking
    const principal = /^bearer\b/i.test(headers.get('authorization') ?? '') ? undefined : this.browser(asking)
    if (principal !== undefined) {
      this.assertOwnPage(asking)
      return this.#accessOf(principal)
    }
    const access = await this.#holder(headers, sender)
    if (access !== undefined) return access
    const needed = 'the Authorization header must be "Bearer" followed by a token that is valid'
    throw await this.refused(asking, new Fault('unauthorized', needed, { reason: 'E_TOKEN' }))
  }

  /** Records a refusal. Answers the Fault to throw: the given one, or rate_limited after too many of them. */
  async refused({ request, sender: { address } }: Asking, fault: Fault): Promise<Fault> {
    const { config, audit, unwelcome, now } = this.#options
    const perMinute = config.auth_failures_per_minute
    const wait = this.#failures.take(
      address ?? '',
      { limit: perMinute, period_ms: 60_000, burst: perMinute },
      now(),
    )
    unwelcome(request, wait > 0 ? 'rate' : 'token')
    if (wait > 0)
      return new Fault(
        'rate_limited',
        `too many requests without a valid token; at most ${perMinute} a minute are accepted from one address`,
        {
          retryAfterS: Math.ceil(wait / 1000),
        },
      )
    await audit.failed({ ...environmentPrincipal(address), id: 'unknown' }, null, [], fault)
    return fault
  }

  /** The holder of a token. */
  async #holder(headers: ReadonlyMap<string, string>, { address }: Sender): Promise<Access | undefined> {
    const { tokens, environmentToken, callback } = this.#options
    const given = bearerToken(headers.get('authorization')) ?? ''
    const token = environmentToken()
    // Compare even if the token cannot be read, so that the response time does not reveal it.
    const isEnvironment = verifyToken(given, [token ?? Buffer.alloc(0)]) && token !== undefined
    const principal = isEnvironment ? environmentPrincipal(address) : tokens.principalOf(given, address)
    if (principal !== undefined) return this.#accessOf(principal)
    const run = await callback(given)
    return run === undefined ? undefined : new CallbackAccess(run, address)
  }

  #accessOf(principal: Principal): TokenAccess {
    const claimed = this.#claimed.get(principal.id) ?? new Set()
    if (principal.bot_id !== undefined) this.#claimed.set(principal.id, claimed)
    return new TokenAccess(principal, this.#options.contract, this.#options.store, claimed)
  }
}
