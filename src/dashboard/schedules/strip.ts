// Instants of schedules on an axis, and those at which several are due. Pure: no DOM.

export interface Planned {
  id: string
  at: number[]
}

/** Instants at which at least two schedules are due within so many milliseconds of each other. */
export function overlaps(plans: readonly Planned[], within: number): Set<number> {
  const all = plans
    .flatMap(({ id, at }) => at.map(each => ({ id, at: each })))
    .toSorted((a, b) => a.at - b.at)
  const found = new Set<number>()
  for (const [index, each] of all.entries())
    for (let next = index + 1; next < all.length && all[next]!.at - each.at < within; next++)
      if (all[next]!.id !== each.id) {
        found.add(each.at)
        found.add(all[next]!.at)
      }
  return found
}
