// The time that waiting is measured by. The clock on the wall is set back by people, time servers and dead batteries; what is due
// in a second must not wait an hour for that, and a lease must not last one longer.

/** How fast it goes while it is ahead of the wall: it meets it again after ten times what it is ahead. */
const heldBack = 0.9

/**
 * A clock that follows another one (both in milliseconds), also where that leaps ahead, but never goes back: ahead of it, it
 * goes on a tenth slower, by a monotonic one, until they meet.
 */
export function steadyClock(wall: () => number, monotonic: () => number): () => number {
  let at = wall()
  let last = monotonic()
  return () => {
    const mark = monotonic()
    at = Math.max(wall(), at + Math.max(0, mark - last) * heldBack)
    last = mark
    return Math.floor(at)
  }
}
