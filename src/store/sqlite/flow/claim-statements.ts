// The SQL of claims.
import type { Db } from '../db.ts'
import { eventColumns, type EventRow } from '../tables/rows.ts'
import { runColumns, type RunRow } from '../tables/run-rows.ts'

export function statements(db: Db) {
  // outbox_later serves both; outbox_due serves the selection, in its own order.
  const fallDue = db
    .prepare<[number, number], string>(
      `UPDATE outbox SET ready = 1 WHERE seq IN (SELECT seq FROM outbox WHERE state = 'pending' AND ready = 0 AND parked_on IS NULL AND not_before <= ? ORDER BY not_before LIMIT ?) RETURNING bot_id`,
    )
    .pluck()
  const nextLater = db
    .prepare<[], number | null>(
      "SELECT min(not_before) FROM outbox WHERE state = 'pending' AND ready = 0 AND parked_on IS NULL",
    )
    .pluck()
  const isDue = "state = 'pending' AND ready = 1 AND parked_on IS NULL"
  const nextQueue = db
    .prepare<[string, string], string>(
      `SELECT queue FROM outbox INDEXED BY outbox_due WHERE bot_id = ? AND queue > ? AND ${isDue} ORDER BY queue LIMIT 1`,
    )
    .pluck()
  const hasDue = db
    .prepare<[string, string]>(
      `SELECT 1 FROM outbox INDEXED BY outbox_due WHERE bot_id = ? AND queue = ? AND ${isDue} LIMIT 1`,
    )
    .pluck()
  const due = db.prepare<[string, string, number], RunRow>(
    `SELECT ${runColumns} FROM outbox INDEXED BY outbox_due WHERE bot_id = ? AND queue = ? AND ${isDue} ORDER BY (not_before - priority * 60000), seq LIMIT ?`,
  )
  const lease = db.prepare(
    `UPDATE outbox SET state = ?, ready = 1, attempt = ?, steps = steps + 1, lease_token = ?, lease_until = ?, updated_at = ?, bot_id = ?, queue = ?, assignment = ?, allowed_tools = ?,
       timeout_at = NULL, deadline_at = ?, deadline_name = ? WHERE seq = ? AND state = 'pending'`,
  )
  const ask = db.prepare(
    `UPDATE outbox SET state = 'awaiting_approval', steps = steps + 1, updated_at = ?, deadline_at = ?, deadline_name = ? WHERE seq = ? AND state = 'pending'`,
  )
  const event = db.prepare<[number], EventRow>(`SELECT ${eventColumns} FROM event WHERE seq = ?`)
  const batch = db.prepare<[number], EventRow>(
    `SELECT ${eventColumns} FROM run_event JOIN event ON event.seq = run_event.event_seq WHERE run_seq = ? ORDER BY run_event.event_seq`,
  )
  const batched = db.prepare<[number], number>('SELECT count(*) FROM run_event WHERE run_seq = ?').pluck()
  const overdue = db.prepare<[number, number], RunRow>(
    `SELECT ${runColumns} FROM outbox INDEXED BY outbox_deadline WHERE deadline_at <= ? ORDER BY deadline_at LIMIT ?`,
  )
  const nextDeadline = db
    .prepare<[], number | null>(
      'SELECT min(deadline_at) FROM outbox INDEXED BY outbox_deadline WHERE deadline_at IS NOT NULL',
    )
    .pluck()
  const eventId = db.prepare<[number], Buffer>('SELECT id FROM event WHERE seq = ?').pluck()
  return {
    fallDue,
    nextLater,
    nextQueue,
    hasDue,
    due,
    lease,
    ask,
    event,
    batch,
    batched,
    overdue,
    nextDeadline,
    eventId,
  }
}
