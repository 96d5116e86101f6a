// Ids of runs and events as people use them: in full, their last characters, or "last".
import type { Output } from './output.ts'
import { UsageError } from './refusals.ts'

/** Characters of a short id: the end of a UUIDv7 is random, its beginning is the time and much the same for all. */
const shortLength = 8
/** Ids that a short one is looked for among: the newest. */
const mostRecent = 1000
const mostNamed = 5

/** An id as a table shows it: short on a terminal, in full for programs. */
export function shownId({ terminal }: Pick<Output, 'terminal'>, id: string): string {
  return terminal ? id.slice(-shortLength) : id
}

/** A page of ids, newest first. */
export type RecentIds = (
  cursor: string | undefined,
) => Promise<{ ids: string[]; next_cursor: string | undefined }>

/** Resolves a given id, or the end of one. noun: run or event. Throws UsageError if it is invalid, unknown or ambiguous. */
export async function givenId(given: string, noun: string, recent: RecentIds): Promise<string> {
  if (/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(given)) return given
  const plural = `${noun}s`
  if (!/^[0-9a-f-]{8,35}$/.test(given))
    throw new UsageError(
      `the id of ${noun === 'event' ? 'an' : 'a'} ${noun} was expected, its last ${shortLength} or more characters, or last; found ${JSON.stringify(given)}`,
    )
  const found: string[] = []
  let looked = 0
  for (let cursor: string | undefined; looked < mostRecent;) {
    const { ids, next_cursor } = await recent(cursor)
    looked += ids.length
    found.push(...ids.filter(id => id.endsWith(given)))
    if (next_cursor === undefined) break
    cursor = next_cursor
  }
  if (found.length === 1) return found[0]!
  if (found.length === 0)
    throw new UsageError(
      `none of the newest ${looked.toLocaleString('en-US')} ${plural} ends with ${given}; signalbox ${plural} lists them, and takes ids in full`,
    )
  throw new UsageError(
    `${found.length} ${plural} end with ${given}: ${found.slice(0, mostNamed).join(', ')}${found.length > mostNamed ? ', ...' : ''}; give more characters`,
  )
}
