// The room that the store takes up: what it says of it, and what it is told to give back or to remove.

/** What the files of the store take up on the disk. */
export interface Space {
  database_bytes: number
  wal_bytes: number
  reusable_bytes: number
  /** whether free pages can go back to the disk; false: the database was not made by a router */
  gives_back: boolean
}

export interface GiveBackRequest {
  /** most pages of this slice */
  pages: number
  /** free pages that may stay, as a share of those that hold data */
  keep_share: number
  /** the disk is nearly full: checkpoint after this slice, so that the write-ahead log is used again */
  checkpoint: boolean
}

export interface RetentionLimits {
  now: number
  event_ms: number
  dead_ms: number
  dedupe_ms: number
  /** how long a signed body is known again; default: 0 */
  signed_body_ms?: number
  /** how long entries of the audit log and ended tokens are kept; default: for ever */
  audit_ms?: number
  /** the data may be as large; beyond it the oldest events go, however young; default: no limit */
  max_bytes?: number | undefined
  /** rows to look at in one slice */
  slice: number
}

/** What a slice gave back to the disk, and whether there is more. */
export interface GivenBack {
  pages: number
  more: boolean
}
