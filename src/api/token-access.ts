// What the holder of a token may do: the scopes of the contract (x-scope), and of a worker's token the runs of its bot alone.
import type { MethodContract } from '../contract/validators.ts'
import type { Methods, Scope } from '../contract/types.ts'
import { Fault } from '../errors.ts'
import type { Store } from '../store/store.ts'
import type { Access, Implied } from './access.ts'
import type { Principal } from './principal.ts'

/** Many proxies close a connection after a minute without data, some earlier. */
const longestWaitMs = 25_000
/** Runs that a principal is remembered to have claimed; beyond that the oldest are looked up in the store. */
const mostRemembered = 1000

/** The scopes of which one allows a call. */
export function scopesFor(
  { scope, personScope }: Pick<MethodContract, 'scope' | 'personScope'>,
  { agent }: Pick<Principal, 'agent'>,
): Scope[] {
  if (scope === 'any') return []
  return personScope === undefined || agent ? [scope] : [scope, personScope]
}

export class TokenAccess implements Access {
  readonly principal: Principal
  readonly #contract: ReadonlyMap<string, MethodContract>
  readonly #store: Pick<Store, 'run'>
  readonly #claimed: Set<string>

  /** claimed: runs that are known to be of the principal's bot; shared by its requests */
  constructor(
    principal: Principal,
    contract: ReadonlyMap<string, MethodContract>,
    store: Pick<Store, 'run'>,
    claimed: Set<string>,
  ) {
    this.principal = principal
    this.#contract = contract
    this.#store = store
    this.#claimed = claimed
  }

  async admit(method: string, params: Readonly<Record<string, unknown>>): Promise<Implied> {
    const { scopes, id, name, bot_id, agent } = this.principal
    const known = this.#contract.get(method)!
    const needed = scopesFor(known, this.principal)
    if (needed.length > 0 && !needed.some(scope => scopes.has(scope))) {
      const who = name === undefined ? id : `${id} (${name})`
      const why =
        agent && known.personScope !== undefined
          ? ', because it passes a gate and the token is that of an agent'
          : ''
      throw new Fault(
        'forbidden',
        `${method} needs the scope ${needed.join(' or ')}${why}; ${who} has ${[...scopes].join(', ')}`,
        {
          data: { scope: needed[0]! },
        },
      )
    }
    if (known.scope === 'work' && bot_id !== undefined) await this.#assertOwn(method, params, bot_id)
    return Number(params.wait_ms) > longestWaitMs ? { wait_ms: longestWaitMs } : {}
  }

  /** Throws Fault forbidden for a bot or a run that is not the token's. */
  async #assertOwn(method: string, params: Readonly<Record<string, unknown>>, bot_id: string): Promise<void> {
    const { run_id, bot_id: asked } = params
    if (asked !== undefined && asked !== bot_id)
      throw new Fault(
        'forbidden',
        `the token is for workers of bot ${bot_id}; ${method} of bot ${JSON.stringify(asked).slice(0, 80)} is not allowed`,
      )
    if (typeof run_id !== 'string' || this.#claimed.has(run_id)) return
    const run = /^[0-9a-f-]{36}$/.test(run_id) ? await this.#store.run(run_id) : null
    // A run that does not exist is refused in the same way: its id says nothing.
    if (run?.bot_id !== bot_id)
      throw new Fault(
        'forbidden',
        `the token is for workers of bot ${bot_id}; run ${run_id.slice(0, 40)} is no run of that bot`,
      )
    this.#remember(run_id)
  }

  #remember(run_id: string): void {
    this.#claimed.add(run_id)
    if (this.#claimed.size > mostRemembered) this.#claimed.delete(this.#claimed.values().next().value!)
  }

  learn(method: string, result: unknown): void {
    if (method !== 'run.claim') return
    for (const { run_id } of (result as Methods['run.claim']['result']).leases) this.#remember(run_id)
  }
}
