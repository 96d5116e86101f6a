// Did you mean: the path of an event that comes nearest to one that leads nowhere. Pure.

/** Paths of an event that are looked at. */
const maxPaths = 2000

/** The paths of all plain values of an event, arrays passed through. */
function pathsOf(value: unknown, path: string, into: Set<string>): void {
  if (into.size >= maxPaths) return
  if (Array.isArray(value)) for (const item of value as unknown[]) pathsOf(item, path, into)
  else if (typeof value === 'object' && value !== null)
    for (const [key, child] of Object.entries(value)) pathsOf(child, path === '' ? key : `${path}.${key}`, into)
  else into.add(path)
}

/** Insertions, deletions and changes of one letter that make one word the other (Levenshtein). */
function edits(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index)
  for (let at = 1; at <= left.length; at++) {
    const next = [at]
    for (let to = 1; to <= right.length; to++) next.push(Math.min(row[to]! + 1, next[to - 1]! + 1, row[to - 1]! + (left[at - 1] === right[to - 1] ? 0 : 1)))
    row = next
  }
  return row[right.length]!
}

/** How unlike two steps are: 0 the same, 1 nothing in common. */
function stepDistance(wanted: string, found: string): number {
  if (wanted === found) return 0
  const [a, b] = [wanted.toLowerCase(), found.toLowerCase()]
  if (a.replaceAll(/[_-]/g, '') === b.replaceAll(/[_-]/g, '')) return 0.1
  if (a.length > 1 && b.length > 1 && (a.startsWith(b) || b.startsWith(a))) return 0.3
  return a.length > 64 || b.length > 64 ? 1 : Math.min(1, (1.5 * edits(a, b)) / Math.max(a.length, b.length))
}

/** How unlike two paths are; steps that are left out or too many count half. */
function distance(wanted: readonly string[], found: readonly string[]): number {
  let row = Array.from({ length: found.length + 1 }, (_, index) => index * 0.5)
  for (const [at, step] of wanted.entries()) {
    const next = [(at + 1) * 0.5]
    for (const [to, other] of found.entries()) next.push(Math.min(row[to + 1]! + 0.5, next[to]! + 0.5, row[to]! + stepDistance(step, other)))
    row = next
  }
  return row[found.length]!
}

/** The nearest path of a value in an event, or undefined where none is like it. */
export function nearestPath(path: string, event: unknown): string | undefined {
  const paths = new Set<string>()
  pathsOf(event, '', paths)
  const wanted = path.split('.')
  let nearest: string | undefined
  let least = Math.min(1.01, wanted.length * 0.5 + 0.01)
  for (const candidate of paths) {
    const steps = candidate.split('.')
    if (Math.abs(steps.length - wanted.length) > 2) continue
    const own = distance(wanted, steps)
    if (own < least) [nearest, least] = [candidate, own]
  }
  return nearest
}
