// What limits the calls of a connection.
import type { Principal } from './principal.ts'

/** Params that the router sets itself; undefined: what the caller gave is left out. */
export type Implied = Readonly<Record<string, unknown>>

/** Limits what the callers of a connection may do. */
export interface Access {
  readonly principal: Principal
  /** Answers what is implied in a call. Throws Fault forbidden, and lease_lost once the attempt is over. */
  admit(method: string, params: Readonly<Record<string, unknown>>): Promise<Implied>
  /** A call was answered. */
  learn(method: string, result: unknown): void
}
