// What attempts print, as the store takes it and hands it out.

/** log: sent by a worker with run.log; answer: what an http or unix_rpc bot answered */
export type OutputStream = 'stdout' | 'stderr' | 'log' | 'answer'

/** The largest content of a part. */
export const mostPartBytes = 65_536

/** A piece of the output of an attempt. */
export interface OutputPart {
  run_id: string
  attempt: number
  stream: OutputStream
  /** milliseconds, when the router read it */
  at: number
  /**
   * Bytes of the attempt's output before this part, over all streams, as its producer counts them; parts may skip offsets, where
   * the producer dropped bytes. 0 again: an attempt of the same number began again, and its output replaces what there was.
   * Absent: behind everything that is stored, as for run.log; what a producer counts does not include these.
   */
  offset?: number
  /** at most 64 KiB, one or more whole lines where possible */
  content: Uint8Array
  /** it ends inside a line that was too long for one part */
  split?: boolean
}

export interface OutputLimits {
  /** kept of one attempt: the first 64 KiB (of less than 128 KiB the first half), and the last of the rest */
  output_bytes: number
  /** kept in all: beyond it the output of the oldest ended runs is removed */
  output_total_bytes: number
}

export interface OutputRequest {
  run_id: string
  /** default: the last one */
  attempt?: number
  /** bytes of the attempt's output that the caller has: the next of an answer. Default: 0 */
  after?: number
  /** the page begins with the last parts, as few as have so many bytes together; after does not count then */
  last_bytes?: number
  /** the page ends before it would be larger, but has one part at least */
  max_bytes: number
}

export interface StoredPart {
  offset: number
  stream: OutputStream
  at: number
  content: Uint8Array
  split: boolean
}

export interface OutputPage {
  /** 0: none has begun */
  attempt: number
  parts: StoredPart[]
  /** what to give as after for what follows */
  next: number
  /** whether parts follow that are stored already */
  more: boolean
  /** everything that the attempt has printed so far, kept or not */
  total_bytes: number
  /** of these: what was not kept, because the attempt printed more than is kept of one */
  skipped_bytes: number
  /** whether output was removed because there was too much in all */
  removed: boolean
  /** whether the attempt is over: nothing follows after the last part */
  finished: boolean
  /** of an attempt that has no output stored: the end of what it printed, where its row has it */
  tail: string | null
  /** when that attempt ended; 0: it has no tail */
  tail_at: number
}
