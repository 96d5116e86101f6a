// When a failed attempt is made again. Pure; times in milliseconds, chance handed in as a number from 0 to 1.
import type { RetryPolicy } from '../contract/types.ts'

const minute = 60_000
const hour = 60 * minute
const longest = 24 * hour

/** The schedule that Standard Webhooks 1.0.0 suggests. */
const standardWebhooks = [
  0,
  5000,
  5 * minute,
  30 * minute,
  2 * hour,
  5 * hour,
  10 * hour,
  14 * hour,
  20 * hour,
  24 * hour,
]

/** The waits before each attempt, the first one included. */
export function schedule(
  policy: RetryPolicy | undefined,
  defaultSchedule: readonly number[],
): readonly number[] {
  if (policy === undefined || policy === 'default') return defaultSchedule
  if (policy === 'standard-webhooks') return standardWebhooks
  return policy === 'none' ? [0] : policy
}

/**
 * When the next attempt is due, or null when none is left. made counts the attempts of this set so far. Waits are
 * spread by 20 % either way; a Retry-After is kept to between 1 s and 24 h, and never shortens a wait.
 */
export function nextAttemptAt(
  waits: readonly number[],
  made: number,
  now: number,
  random: number,
  retry_after_ms: number | undefined,
): number | null {
  const wait = waits[made]
  if (wait === undefined) return null
  const spread = wait * (0.8 + 0.4 * random)
  const asked = retry_after_ms === undefined ? 0 : Math.min(Math.max(retry_after_ms, 1000), longest)
  return now + Math.round(Math.min(Math.max(spread, asked), longest))
}
