// Tokens of callbacks: with one of them a bot finishes the run that it was given, and does nothing else. sbx_run_, the id of the run as
// 32 hex digits, and a secret. Of the token there is only a hash, which is the token of the run's lease.
import { hash, randomBytes } from 'node:crypto'

const shape = /^sbx_run_([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})[0-9a-f]{32}$/

/** The prefix of leases that are not the router's own. */
const leasePrefix = 'w:'

export function makeCallbackToken(run_id: string): string {
  return `sbx_run_${run_id.replaceAll('-', '')}${randomBytes(16).toString('hex')}`
}

/** The run that a token is for; undefined: it is no such token. */
export function runOfCallback(token: string): string | undefined {
  const parts = shape.exec(token)
  return parts === null ? undefined : parts.slice(1).join('-')
}

/** The token of the lease under which a run is finished with a callback token. */
export function leaseOfCallback(token: string): string {
  return `${leasePrefix}${hash('sha256', token).slice(0, 32)}`
}
