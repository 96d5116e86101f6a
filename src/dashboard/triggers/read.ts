// Reading the list of triggers.
import type { Trigger } from '../../contract/types.ts'
import { call } from '../rpc.ts'

const page = 500
const most = 10_000

/** All triggers, by id; of more than 10,000 the first ones. */
export async function readTriggers(
  selection: { event_source_id?: string; bot_id?: string },
  abort: AbortSignal,
): Promise<Trigger[]> {
  const all: Trigger[] = []
  let cursor: string | undefined
  do {
    const { triggers, next_cursor } = await call(
      'trigger.list',
      { ...selection, limit: page, ...(cursor === undefined ? {} : { cursor }) },
      abort,
    )
    all.push(...triggers)
    cursor = next_cursor
  } while (cursor !== undefined && all.length < most)
  return all
}
