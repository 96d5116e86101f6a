// The SQL of reading.
import type { AttemptRow, HistoryRow, UsageTotals } from '../../store.ts'
import type { Db } from '../db.ts'
import { begunWithin } from '../tables/begun.ts'
import { spentSums } from '../tables/usage.ts'
import { eventColumns, type EventRow } from '../tables/rows.ts'
import { runColumns, type RunRow } from '../tables/run-rows.ts'

interface FileRow {
  event_seq: number
  position: number
  name: string
  is_text: number
  sha256: Buffer
  content: Buffer
}

function batchEvents(db: Db) {
  return db.prepare<[number], EventRow>(
    `SELECT ${eventColumns} FROM run_event JOIN event ON event.seq = run_event.event_seq WHERE run_seq = ? ORDER BY run_event.event_seq`,
  )
}

export function statements(db: Db) {
  return {
    eventById: db.prepare<[Buffer], EventRow>(`SELECT ${eventColumns} FROM event WHERE id = ?`),
    eventSeq: db.prepare<[Buffer], number>('SELECT seq FROM event WHERE id = ?').pluck(),
    nextSeq: db.prepare<[number], number>('SELECT seq FROM event WHERE seq > ? ORDER BY seq LIMIT 1').pluck(),
    eventIdBySeq: db.prepare<[number], Buffer>('SELECT id FROM event WHERE seq = ?').pluck(),
    runById: db.prepare<[Buffer, Buffer], RunRow & { archived: number }>(
      `SELECT ${runColumns}, 0 AS archived FROM outbox WHERE id = ? UNION ALL SELECT ${runColumns}, 1 FROM run_archive WHERE id = ?`,
    ),
    eventsOf: db.prepare<[number], number>('SELECT count(*) FROM run_event WHERE run_seq = ?').pluck(),
    historyOf: db.prepare<[number], HistoryRow>(
      'SELECT at, move, from_state AS "from", to_state AS "to", attempt, reason FROM run_history WHERE run_seq = ? ORDER BY step',
    ),
    attemptsOf: db.prepare<[number], AttemptRow>(
      'SELECT number, started_at, ended_at, outcome, status, error, output, request FROM attempt WHERE run_seq = ? ORDER BY number',
    ),
    seqBounds: db.prepare<[], { low: number | null; high: number | null }>(
      'SELECT min(seq) AS low, max(seq) AS high FROM event',
    ),
    nextReceived: db.prepare<[number], { seq: number; received_at: number }>(
      'SELECT seq, received_at FROM event WHERE seq >= ? ORDER BY seq LIMIT 1',
    ),
    unrouted: db.prepare<[number], EventRow>(
      `SELECT ${eventColumns} FROM unrouted JOIN event ON event.seq = unrouted.event_seq ORDER BY event_seq LIMIT ?`,
    ),
    // Read through spending_at: what is asked for is recent.
    usedSince: db.prepare<[number], UsageTotals & { scope: string }>(
      `SELECT scope, ${spentSums}
       FROM spending INDEXED BY spending_at WHERE at >= ? GROUP BY scope ORDER BY scope`,
    ),
    liveBySeq: db.prepare<[number], RunRow>(`SELECT ${runColumns} FROM outbox WHERE seq = ?`),
    contextFiles: db.prepare<[Buffer], FileRow>(
      'SELECT event_seq, position, name, is_text, sha256, content FROM context_file WHERE event_seq = (SELECT seq FROM event WHERE id = ?) ORDER BY position',
    ),
    runBounds: db.prepare<[], { low: number | null; high: number | null }>(
      'SELECT min(low) AS low, max(high) AS high FROM (SELECT min(seq) AS low, max(seq) AS high FROM outbox UNION ALL SELECT min(seq), max(seq) FROM run_archive)',
    ),
    nextCreated: db.prepare<[number, number], { seq: number; created_at: number }>(
      `SELECT seq, created_at FROM (SELECT * FROM (SELECT seq, created_at FROM outbox WHERE seq >= ? ORDER BY seq LIMIT 1)
         UNION ALL SELECT * FROM (SELECT seq, created_at FROM run_archive WHERE seq >= ? ORDER BY seq LIMIT 1)) ORDER BY seq LIMIT 1`,
    ),
    originKnown: db.prepare<[number], { seq: number; received_at: number; known: number }>(
      'SELECT seq, received_at, emitted IS NOT NULL AS known FROM event WHERE seq >= ? ORDER BY seq LIMIT 1',
    ),
    cause: db.prepare<
      [Buffer, Buffer],
      { bot_id: string; assignment: string | null; event_id: Buffer; causation: string | null }
    >(
      `SELECT run.bot_id, run.assignment, event.id AS event_id, event.causation
       FROM (SELECT bot_id, assignment, event_seq FROM outbox WHERE id = ? UNION ALL SELECT bot_id, assignment, event_seq FROM run_archive WHERE id = ?) AS run
       JOIN event ON event.seq = run.event_seq`,
    ),
    begun: begunWithin(db),
    batch: batchEvents(db),
  }
}
