// Did you mean: the existing id that is nearest to one that does not exist. Pure.

/** Limits for one suggestion: ids that are compared, and the length of those. 5,000 ids of 20 letters take about 15 ms. */
export const mostCompared = 5000
const maxLength = 80

/** Insertions, deletions and changes that may make one id the other: two of five letters, so that swapped ones (two) are found. */
function mostEdits(id: string): number {
  return Math.max(1, Math.round(id.length * 0.4))
}

/** Insertions, deletions and changes of one letter that make one word the other (Levenshtein). */
export function edits(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index)
  for (let at = 1; at <= left.length; at++) {
    const next = [at]
    for (let to = 1; to <= right.length; to++)
      next.push(
        Math.min(row[to]! + 1, next[to - 1]! + 1, row[to - 1]! + (left[at - 1] === right[to - 1] ? 0 : 1)),
      )
    row = next
  }
  return row[right.length]!
}

/** The nearest of some ids, or undefined where none is like the wanted one. Only the first 5,000 are compared. */
export function nearestId(wanted: string, ids: Iterable<string>): string | undefined {
  if (wanted.length === 0 || wanted.length > maxLength) return undefined
  const lower = wanted.toLowerCase()
  let nearest: string | undefined
  let least = mostEdits(wanted) + 1
  let compared = 0
  for (const id of ids) {
    if (compared++ >= mostCompared) break
    // The difference of the lengths is the least number of edits.
    if (id.length > maxLength || Math.abs(id.length - wanted.length) >= least) continue
    const distance = edits(lower, id.toLowerCase())
    if (distance < least) [nearest, least] = [id, distance]
  }
  return nearest
}

/** A suggestion for a misspelt name, or undefined. */
export function didYouMean(name: unknown, known: Iterable<string>): string | undefined {
  const nearest = typeof name === 'string' ? nearestId(name, known) : undefined
  return nearest === undefined ? undefined : `did you mean ${JSON.stringify(nearest)}?`
}

/** The text of a not_found error, with the nearest existing id where there is one. */
export function noSuch(noun: string, id: string, list: string, known: Iterable<string> = []): string {
  const meant = didYouMean(id, known)
  return `there is no ${noun} ${id};${meant === undefined ? '' : ` ${meant}`} ${list} shows what there is`
}
