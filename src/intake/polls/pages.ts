// The pages of one reading: which items are new, and which were known.
import type { Item } from './items.ts'
import type { Validators } from './reading.ts'

/** Keys that the store is asked about together: it takes some 5 ms. */
const lookedUpTogether = 5000

export interface Pages {
  /** what is new, by key */
  fresh: Map<string, Item>
  /** keys that were known */
  seen: string[]
  held: number
  /** everything was read, and nothing is left for the next reading */
  whole: boolean
  validators?: Validators
  problem?: string | undefined
  failure?: { error: string; retry_after_ms?: number }
}

/** Sorts the items of a page into those that are new and those that are known. */
export async function addItems(
  pages: Pages,
  items: readonly Item[],
  unseenOf: (keys: string[]) => Promise<string[]>,
): Promise<void> {
  for (let from = 0; from < items.length; from += lookedUpTogether) {
    const part = items.slice(from, from + lookedUpTogether)
    const unseen = new Set(await unseenOf(part.map(({ key }) => key)))
    for (const item of part) {
      if (!unseen.has(item.key)) pages.seen.push(item.key)
      else if (!pages.fresh.has(item.key)) pages.fresh.set(item.key, item)
    }
  }
}
