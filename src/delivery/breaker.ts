// The breaker of one bot: holds its runs while it fails, so that they spend no attempts on it. Pure; times in ms.
//
// States: closed (runs go) -> open (none go, for a pause that doubles each time) -> half_open (one goes, to see) ->
// closed after its success, open again after its failure.

const windowMs = 5 * 60_000
const windowAttempts = 10
const windowShare = 0.7
const inARow = 10
const longestPauses = 20
/** A bot that only ever failed so often is disabled. */
export const disableAfter = 100

export interface Breaker {
  readonly recent: readonly { at: number; ok: boolean }[]
  readonly consecutive_failures: number
  /** how often it opened since it was last closed */
  readonly opened: number
  /** 0: closed */
  readonly open_until: number
}

export const closedBreaker: Breaker = { recent: [], consecutive_failures: 0, opened: 0, open_until: 0 }

export function breakerState({ open_until }: Breaker, now: number): 'closed' | 'open' | 'half_open' {
  if (open_until === 0) return 'closed'
  return now < open_until ? 'open' : 'half_open'
}

/** The breaker after an attempt: ok says whether the bot could be reached and did not fail for itself. */
export function recorded(breaker: Breaker, ok: boolean, now: number, firstPauseMs: number): Breaker {
  if (ok) {
    // A success while it is open comes from an attempt begun before; it closes it as well.
    const recent =
      breaker.open_until === 0
        ? [
            ...breaker.recent.filter(each => each.at > now - windowMs).slice(1 - 2 * windowAttempts),
            { at: now, ok },
          ]
        : []
    return { recent, consecutive_failures: 0, opened: 0, open_until: 0 }
  }
  const recent = [
    ...breaker.recent.filter(each => each.at > now - windowMs).slice(1 - 2 * windowAttempts),
    { at: now, ok },
  ]
  const consecutive_failures = breaker.consecutive_failures + 1
  const failures = recent.filter(each => !each.ok).length
  const tooMany =
    consecutive_failures >= inARow ||
    (recent.length >= windowAttempts && failures / recent.length >= windowShare)
  const state = breakerState(breaker, now)
  if (state === 'open' || (state === 'closed' && !tooMany))
    return { ...breaker, recent, consecutive_failures }
  const pause = Math.min(firstPauseMs * 2 ** breaker.opened, firstPauseMs * longestPauses)
  return { recent, consecutive_failures, opened: breaker.opened + 1, open_until: now + pause }
}
