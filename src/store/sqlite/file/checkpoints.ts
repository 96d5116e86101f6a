// Checkpoints, run by ourselves because SQLite does not report when an automatic one fails.
import type { Db } from '../db.ts'
import { busyTimeoutMs } from './open.ts'
import { fileBytes } from '../space.ts'

/**
 * Estimated bytes between checkpoints. Measured at 64 in flight (rate, p99): 2 MB 14.7k/s 8.5 ms, 4 MB 16.0k/s 8.1 ms,
 * 8 MB 16.0k/s 9.7 ms, 16 MB 15.3k/s 15 ms, 32 MB 15.2k/s 25 ms: a checkpoint holds up the group behind it.
 */
const passiveAtBytes = 4_000_000
const truncateAtBytes = 16_777_216
/**
 * How long a checkpoint waits for readers that hold an old snapshot. A reader that is short of a processor (a backtest
 * steps back behind everything else) may hold one for long: up to the second size it is left alone, and tried again 4 MB later.
 */
const shortWaitMs = 5
const longWaitAtBytes = 4 * truncateAtBytes

export interface Checkpointing {
  /** After a commit that wrote about so many bytes; at once: whatever was written before. */
  wrote(bytes: number, atOnce: boolean): void
  /** When nothing has been written for a while. */
  idle(): void
}

export function checkpointing(db: Db): Checkpointing {
  let bytesSince = 0

  function run(mode: 'PASSIVE' | 'TRUNCATE'): void {
    bytesSince = 0
    db.pragma(`wal_checkpoint(${mode})`)
  }

  function truncate(waitMs: number): void {
    db.pragma(`busy_timeout = ${waitMs}`)
    try {
      run('TRUNCATE')
    } finally {
      db.pragma(`busy_timeout = ${busyTimeoutMs}`)
    }
  }

  return {
    wrote(bytes, atOnce) {
      bytesSince += bytes
      if (bytesSince < passiveAtBytes && !atOnce) return
      // A reader that holds an old snapshot keeps the WAL from being used again: then it grows, and only
      // TRUNCATE, which waits for the reader, brings it back.
      const walBytes = fileBytes(`${db.name}-wal`)
      if (walBytes <= truncateAtBytes) run('PASSIVE')
      else truncate(walBytes < longWaitAtBytes ? shortWaitMs : busyTimeoutMs)
    },
    idle() {
      if (bytesSince > 0) run('PASSIVE')
    },
  }
}
