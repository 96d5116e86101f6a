// Checkpoints, run by ourselves because SQLite tells nobody when an automatic one fails, and retention in slices.
import type { RunFlow } from '../flow.ts'
import type { RetentionLimits } from '../store.ts'
import type { Lanes } from './lanes.ts'
import { busyTimeoutMs, type Db } from './open.ts'
import { decisionsOf } from './rows.ts'
import { fileBytes } from './space.ts'

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

export interface Retaining {
  retain(limits: RetentionLimits): { events: number; more: boolean }
}

/** Ticks and items of polls that are old; answers whether there are more. */
function forgetting(db: Db): (limits: RetentionLimits) => boolean {
  const deleteItems = db.prepare(
    'DELETE FROM seen_item WHERE (source_id, key_hash) IN (SELECT source_id, key_hash FROM seen_item WHERE seen_at < ? ORDER BY seen_at LIMIT ?)',
  )
  // The last of each schedule says where it goes on.
  const deleteTicks = db.prepare(
    `DELETE FROM tick WHERE (source_id, scheduled_at) IN
       (SELECT source_id, scheduled_at FROM tick AS old WHERE at < ? AND scheduled_at < (SELECT max(scheduled_at) FROM tick WHERE source_id = old.source_id) ORDER BY at LIMIT ?)`,
  )
  return ({ now, event_ms, dedupe_ms, slice }) => {
    const items = deleteItems.run(now - Math.max(event_ms, dedupe_ms), slice).changes
    return deleteTicks.run(now - event_ms, slice).changes === slice || items === slice
  }
}

/** Events go with everything of theirs, oldest first, and never while one of their runs is open or dead in time. */
export function retaining(db: Db, lanes: Lanes): Retaining {
  const meta = db.prepare<[string], number>('SELECT value FROM meta WHERE key = ?').pluck()
  const setMeta = db.prepare('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)')
  const oldest = db.prepare<
    [number, number],
    { seq: number; received_at: number; decisions: string | null; delivery_hash: number | null; body_hash: number | null }
  >('SELECT seq, received_at, decisions, delivery_hash, body_hash FROM event WHERE seq > ? ORDER BY seq LIMIT ?')
  const expireDead = db.prepare<[number, number], { seq: number; flow: string | null }>(
    "SELECT seq, flow FROM outbox INDEXED BY outbox_died WHERE state IN ('failed', 'timed_out') AND finished_at < ? ORDER BY finished_at LIMIT ?",
  )
  const deleteLive = db.prepare('DELETE FROM outbox WHERE seq = ?')
  // An open run holds its event, and so does one that ended only lately (a dead one that was retried, say).
  const held = db.prepare(
    `SELECT 1 FROM outbox WHERE event_seq = ? UNION ALL SELECT 1 FROM run_archive WHERE event_seq = ? AND finished_at >= ?
     UNION ALL SELECT 1 FROM run_event JOIN outbox ON outbox.seq = run_event.run_seq WHERE run_event.event_seq = ?
     UNION ALL SELECT 1 FROM run_event JOIN run_archive ON run_archive.seq = run_event.run_seq WHERE run_event.event_seq = ? AND run_archive.finished_at >= ? LIMIT 1`,
  )
  const forgetBatch = db.prepare('DELETE FROM run_event WHERE event_seq = ?')
  const endedRuns = db.prepare<[number], number>('SELECT seq FROM run_archive WHERE event_seq = ?').pluck()
  const deleteEnded = db.prepare('DELETE FROM run_archive WHERE seq = ?')
  const deleteHistory = db.prepare('DELETE FROM run_history WHERE run_seq = ?')
  const deleteAttempts = db.prepare('DELETE FROM attempt WHERE run_seq = ?')
  const forgetDependencies = db.prepare('DELETE FROM run_dependency WHERE run_seq = ? OR on_seq = ?')
  const forgetEvents = db.prepare('DELETE FROM run_event WHERE run_seq = ?')
  const deleteDecision = db.prepare('DELETE FROM decision WHERE trigger_id = ? AND event_seq = ?')
  const forgetDelivery = db.prepare('DELETE FROM delivery_index WHERE hash = ? AND event_seq = ?')
  const forgetBody = db.prepare('DELETE FROM body_index WHERE hash = ? AND event_seq = ?')
  const deleteFiles = db.prepare('DELETE FROM context_file WHERE event_seq = ?')
  const deleteEvent = db.prepare('DELETE FROM event WHERE seq = ?')
  const sources = forgetting(db)
  function deleteRunTrail(runSeq: number): void {
    deleteHistory.run(runSeq)
    deleteAttempts.run(runSeq)
    forgetDependencies.run(runSeq, runSeq)
    forgetEvents.run(runSeq)
  }

  return {
    retain(limits) {
      const dead = expireDead.all(limits.now - limits.dead_ms, limits.slice)
      for (const row of dead) {
        deleteLive.run(row.seq)
        deleteRunTrail(row.seq)
        if (row.flow !== null) lanes.moved(row.seq, JSON.parse(row.flow) as RunFlow, { active: false, open: false, ordered: false }, limits.now)
      }
      // An event that is held back by an open run is passed over and met again in the next round.
      const passed = meta.get('retention_passed_seq') ?? 0
      const before = limits.now - Math.max(limits.event_ms, limits.dedupe_ms)
      // received_at never falls: the first young one is the end, and nothing behind it is looked at.
      const looked = oldest.all(passed, limits.slice)
      const rows = looked.filter(row => row.received_at < before)
      let events = 0
      for (const row of rows) {
        if (held.get(row.seq, row.seq, before, row.seq, row.seq, before) !== undefined) continue
        for (const runSeq of endedRuns.all(row.seq)) {
          deleteEnded.run(runSeq)
          deleteRunTrail(runSeq)
        }
        for (const decision of decisionsOf(row.decisions)) deleteDecision.run(decision.trigger_id, row.seq)
        if (row.delivery_hash !== null) forgetDelivery.run(row.delivery_hash, row.seq)
        if (row.body_hash !== null) forgetBody.run(row.body_hash, row.seq)
        forgetBatch.run(row.seq)
        deleteFiles.run(row.seq)
        deleteEvent.run(row.seq)
        events++
      }
      const more = rows.length === limits.slice
      setMeta.run('retention_passed_seq', more ? rows.at(-1)!.seq : 0)
      const forgotten = sources(limits)
      return { events, more: more || dead.length === limits.slice || forgotten }
    },
  }
}
