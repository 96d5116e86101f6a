// What is remembered of a source that is read again and again, and what is reported about it.
import type { SourceHealth } from '../../contract/types.ts'
import type { Watched } from './crossing.ts'
import type { Validators } from './reading.ts'

/** What is remembered of a source from one reading to the next. */
export interface Memory extends Watched {
  /** there was a reading that succeeded */
  begun?: boolean
  validators?: Validators
  /** the last reading that was read and used to its end */
  whole_at?: number
  failures?: number
  error?: string
  read_at?: number
  items?: number
  next_at?: number
}

/** How the readings go. */
export function healthOf({ failures = 0, error, read_at, items, previous }: Memory): SourceHealth {
  return {
    failures,
    ...(error === undefined ? {} : { error }),
    ...(read_at === undefined ? {} : { read_at }),
    ...(items === undefined ? {} : { items }),
    ...(previous === undefined ? {} : { value: previous }),
  }
}

/** What is wrong with the last reading, in a sentence; undefined: nothing. */
export function warningOf(id: string, { failures = 0, error }: Memory): string | undefined {
  if (error === undefined) return undefined
  return failures > 0
    ? `source ${id} cannot be read, ${failures} times in a row: ${error}`
    : `source ${id} was read, and something in it could not be used: ${error}`
}
