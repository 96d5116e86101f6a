// The SQL of admission.
import type { Db } from '../db.ts'
import { runColumns, type RunRow } from '../tables/run-rows.ts'

export function statements(db: Db) {
  const insertRun = db.prepare(
    `INSERT INTO outbox (id, event_seq, trigger_id, trigger_version, bot_id, workflow_id, state, ready, priority, not_before, replay, created_at, updated_at, queue, need, allowed_tools, flow, deadline_at, deadline_name, assignment, parked_on, requested_by)
     VALUES (?, ?, ?, ?, ?, ?, 'pending', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  )
  const bySeq = db.prepare<[number], RunRow>(`SELECT ${runColumns} FROM outbox WHERE seq = ?`)
  const join = db.prepare('UPDATE outbox SET steps = steps + 1, updated_at = ? WHERE seq = ?')
  const takeOver = db.prepare(
    `UPDATE outbox SET event_seq = ?, trigger_version = ?, bot_id = ?, queue = ?, workflow_id = ?, priority = ?, need = ?, allowed_tools = ?, flow = ?, assignment = ?,
       not_before = ?, ready = (? <= ?), deadline_at = ?, deadline_name = ?, state = ?, held_by = ?, parked_on = ?, requested_by = ?, steps = steps + 1, updated_at = ? WHERE seq = ?`,
  )
  const decisions = db.prepare<[number], string | null>('SELECT decisions FROM event WHERE seq = ?').pluck()
  const setDecisions = db.prepare('UPDATE event SET decisions = ? WHERE seq = ?')
  const due = db.prepare('UPDATE outbox SET not_before = ?, ready = 1 WHERE seq = ?')
  const joinBatch = db.prepare('INSERT OR IGNORE INTO run_event (run_seq, event_seq) VALUES (?, ?)')
  const batchSize = db.prepare<[number], { events: number; bytes: number }>(
    'SELECT count(*) AS events, sum(body_bytes) AS bytes FROM run_event JOIN event ON event.seq = run_event.event_seq WHERE run_seq = ?',
  )
  const origin = db.prepare<[number], { source_id: string; thread: string }>(
    'SELECT source_id, thread FROM event WHERE seq = ?',
  )
  const depend = db.prepare('INSERT OR IGNORE INTO run_dependency (run_seq, on_seq) VALUES (?, ?)')
  const undepend = db.prepare('DELETE FROM run_dependency WHERE run_seq = ?')
  const isOpen = db
    .prepare<[number]>("SELECT 1 FROM outbox WHERE seq = ? AND state NOT IN ('failed', 'timed_out')")
    .pluck()
  const openInLane = db
    .prepare<[string], number>('SELECT run_seq FROM run_lane WHERE lane = ? ORDER BY run_seq')
    .pluck()
  return {
    origin,
    insertRun,
    bySeq,
    join,
    due,
    decisions,
    setDecisions,
    takeOver,
    joinBatch,
    batchSize,
    depend,
    undepend,
    isOpen,
    openInLane,
  }
}
