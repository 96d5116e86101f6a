// Counts over time from rows, for charts. Pure: no DOM.
import type { EventSummary, Run } from '../../contract/types.ts'

export interface Series {
  /** beginning of each bucket, seconds since 1970 */
  at: number[]
  accepted: number[]
  matched: number[]
  failed: number[]
}

/** Widths of a bucket in milliseconds, of which the first is taken that gives at most so many. */
const widths = [60_000, 300_000, 900_000, 3_600_000, 7_200_000, 21_600_000, 86_400_000]
const mostBuckets = 90

export function widthFor(span: number): number {
  return widths.find(width => span / width <= mostBuckets) ?? widths.at(-1)!
}

/** Events and failed runs by bucket, from and until in milliseconds. */
export function series(
  events: readonly EventSummary[],
  runs: readonly Run[],
  from: number,
  until: number,
): Series {
  const width = widthFor(until - from)
  const first = Math.floor(from / width)
  const size = Math.max(1, Math.ceil(until / width) - first)
  const zeros = (): number[] => Array.from({ length: size }, () => 0)
  const made: Series = {
    at: zeros().map((_, index) => ((first + index) * width) / 1000),
    accepted: zeros(),
    matched: zeros(),
    failed: zeros(),
  }
  const add = (counts: number[], at: number): void => {
    const index = Math.floor(at / width) - first
    if (index >= 0 && index < size) counts[index]! += 1
  }
  for (const { received_at, matched_triggers } of events) {
    add(made.accepted, received_at)
    if ((matched_triggers?.length ?? 0) > 0) add(made.matched, received_at)
  }
  for (const { state, updated_at } of runs)
    if (state === 'failed' || state === 'timed_out') add(made.failed, updated_at)
  return made
}

/** The value that a share of the values does not exceed; undefined: the list is empty. */
export function percentile(values: readonly number[], share: number): number | undefined {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)]
}

/** Milliseconds from the creation of each completed run to its end. */
export function latencies(runs: readonly Run[]): number[] {
  return runs.flatMap(({ state, created_at, finished_at }) =>
    state === 'completed' && finished_at !== undefined ? [finished_at - created_at] : [],
  )
}
