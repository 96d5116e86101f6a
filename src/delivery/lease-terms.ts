// What holds of leases: how long they last, how an attempt remembers one, and when a bot takes one over.
import { hash } from 'node:crypto'
import { defaults } from '../contract/defaults.ts'
import type { Endpoint } from '../contract/types.ts'
import type { ClaimedRun, RunMove, WorkerLease } from '../store/store.ts'

/** How long the lease of a run lasts that a worker holds, or a bot that calls back. */
export function leaseMs(endpoint: Endpoint | undefined): number {
  if (endpoint?.kind === 'http')
    return endpoint.callback_timeout_ms ?? defaults.HttpEndpoint.callback_timeout_ms
  return endpoint?.kind === 'pull'
    ? (endpoint.lease_ms ?? defaults.PullEndpoint.lease_ms)
    : defaults.PullEndpoint.lease_ms
}

/** What an attempt keeps of the token that ended it: enough to know it again. */
export function tokenMark(lease_token: string): string {
  return `worker ${hash('sha256', lease_token).slice(0, 16)}`
}

/** The lease under which a bot will finish a run later; undefined: the attempt is over. */
export function handedOver(
  { id: run_id, bot_id }: ClaimedRun,
  { new_lease_token: lease_token, lease_until = 0 }: RunMove,
): WorkerLease | undefined {
  return lease_token === undefined ? undefined : { run_id, bot_id, lease_token, lease_until }
}
