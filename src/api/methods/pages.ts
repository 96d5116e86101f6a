// Pages of answers and their cursors.
import { defaults } from '../../contract/defaults.ts'
import { Fault } from '../../errors.ts'

export function encodeCursor(value: string | number): string {
  return Buffer.from(String(value)).toString('base64url')
}

function decoded(cursor: string): string {
  return Buffer.from(cursor, 'base64url').toString('utf8')
}

export function decodeSeq(cursor: string | undefined, path = 'cursor'): number | null {
  if (cursor === undefined) return null
  const text = decoded(cursor)
  const seq = Number(text)
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(seq))
    throw new Fault('invalid_params', `unknown ${path}; omit it to start from the beginning`, {
      data: { path },
    })
  return seq
}

/**
 * A page of an answer ends with the entry that makes it as large: 500 runs with results of 64 KiB would be 33 MB, more than answers
 * that are not read may hold.
 */
export const pageBytes = 1_048_576

/** One page of objects sorted by id, which ends at pageBytes, too. */
export function pageById<T extends { id: string }>(
  all: Iterable<T>,
  limit: number = defaults.Limit,
  cursor?: string,
): { page: T[]; next_cursor?: string } {
  const after = cursor === undefined ? '' : decoded(cursor)
  const rest = [...all].filter(item => item.id > after).toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const page: T[] = []
  let bytes = 0
  for (const item of rest.slice(0, limit)) {
    page.push(item)
    bytes += JSON.stringify(item).length
    if (bytes >= pageBytes) break
  }
  return rest.length > page.length ? { page, next_cursor: encodeCursor(page.at(-1)!.id) } : { page }
}

/**
 * A page of what the store has, and what its next one begins after. read: answers entries after one, and fewer than it is asked for
 * where they are large; isCut: whether it may have done that.
 */
export async function pageOf<T>(
  { limit = defaults.Limit, after }: { limit: number | undefined; after: number | null },
  read: (after: number | null, limit: number) => Promise<T[]>,
  seqOf: (entry: T) => number,
  isCut: (page: T[]) => boolean,
): Promise<{ page: T[]; next: number | null }> {
  const found = await read(after, limit + 1)
  const page = found.slice(0, limit)
  const last = page.length === 0 ? null : seqOf(page.at(-1)!)
  const isMore = found.length > limit || (last !== null && isCut(page) && (await read(last, 1)).length > 0)
  return { page, next: isMore ? last : null }
}
