// Refused deliveries as they are stored. They hold nothing of a body or a header of the sender.

/** Deliveries that were refused for the same reason. source_id and path exclude each other; both are null where no path was read. */
export interface RefusedRow {
  seq: number
  /** the webhook source that the path names */
  source_id: string | null
  path: string | null
  reason: string
  /** HTTP status of the answer; null: the connection was closed without one */
  status: number | null
  /** remote address; null on a Unix socket */
  address: string | null
  /** size of the last body, as far as it is known */
  bytes: number | null
  first_at: number
  last_at: number
  count: number
}

/** Which rows a page of them has, newest first. */
export interface RefusedSelection {
  source_id?: string | undefined
  since?: number | undefined
  limit: number
  /** the last row of the page before */
  after: Pick<RefusedRow, 'seq' | 'last_at'> | null
}

/** What changed since the batch before. */
export interface RefusedBatch {
  /** rows that are new or changed */
  put: RefusedRow[]
  /** seq of rows that are no longer kept */
  removed: number[]
}

/** Rows that are kept in all. */
export const mostRefused = 1000
