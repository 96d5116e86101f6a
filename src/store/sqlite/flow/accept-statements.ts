// The SQL of acceptance.
import type { Db } from '../db.ts'

export interface First {
  seq: number
  id: Buffer
  decisions: string | null
  body_sha256: Buffer
  /** of an event that retention removed: a hash of its context files; null: they are there */
  files_sha256: Buffer | null
}

/** An event whose signed bytes may be those of another one. */
export interface Signed {
  id: Buffer
  body_sha256: Buffer
  /** of a form */
  form: Buffer | null
}

export function statements(db: Db) {
  return {
    known: db.prepare<[number, string, string, number], First>(
      'SELECT seq, id, decisions, body_sha256, NULL AS files_sha256 FROM event WHERE seq = ? AND delivery_key = ? AND source_id = ? AND received_at > ?',
    ),
    removed: db.prepare<[number, string, string, number], First>(
      'SELECT seq, id, decisions, body_sha256, files_sha256 FROM removed_event WHERE seq = ? AND delivery_key = ? AND source_id = ? AND received_at > ?',
    ),
    removedBody: db.prepare<[number, string, number, number], { id: Buffer }>(
      'SELECT id FROM removed_event WHERE seq = ? AND source_id = ? AND body_hash = ? AND received_at >= ?',
    ),
    knownBody: db.prepare<[number, string, number], Signed>(
      "SELECT id, body_sha256, CASE body_format WHEN 'form' THEN body END AS form FROM event WHERE seq = ? AND source_id = ? AND received_at >= ?",
    ),
    // A definition that is damaged says nothing of it.
    sourceEnabled: db
      .prepare<[string], number>(
        "SELECT CASE WHEN json_valid(definition) THEN coalesce(definition ->> '$.enabled', 1) ELSE 1 END FROM source WHERE id = ?",
      )
      .pluck(),
    insertDecision: db.prepare('INSERT OR IGNORE INTO decision (trigger_id, event_seq) VALUES (?, ?)'),
    countDuplicate: db.prepare(
      'UPDATE event SET duplicates = coalesce(CAST(duplicates AS INTEGER), 0) + 1 WHERE seq = ?',
    ),
    countEvent: db.prepare(
      'INSERT INTO source_stat (source_id, events, last_event_at) VALUES (?, ?, ?) ON CONFLICT (source_id) DO UPDATE SET events = coalesce(CAST(events AS INTEGER), 0) + excluded.events, last_event_at = excluded.last_event_at',
    ),
    runsOf: db
      .prepare<[number, number], Buffer>(
        'SELECT id FROM outbox WHERE event_seq = ? UNION ALL SELECT id FROM run_archive WHERE event_seq = ?',
      )
      .pluck(),
    hasRun: db.prepare(
      'SELECT 1 FROM outbox WHERE event_seq = ? AND trigger_id = ? UNION ALL SELECT 1 FROM run_archive WHERE event_seq = ? AND trigger_id = ? LIMIT 1',
    ),
    eventDecisions: db.prepare<[Buffer], { seq: number; decisions: string | null; body_bytes: number }>(
      'SELECT seq, decisions, body_bytes FROM event WHERE id = ?',
    ),
    routable: db.prepare<
      [Buffer],
      { seq: number; body_bytes: number; subject: string | null; causation: string | null }
    >('SELECT seq, body_bytes, subject, causation FROM event WHERE id = ?'),
    wasUnrouted: db.prepare('DELETE FROM unrouted WHERE event_seq = ?'),
    setDecisions: db.prepare('UPDATE event SET matched = 1, decisions = ? WHERE seq = ?'),
    causing: db.prepare<
      [Buffer, Buffer],
      { trigger_id: string; subject: string | null; causation: string | null }
    >(
      `SELECT run.trigger_id, event.subject, event.causation FROM (SELECT trigger_id, event_seq FROM outbox WHERE id = ? UNION ALL SELECT trigger_id, event_seq FROM run_archive WHERE id = ?) AS run
       JOIN event ON event.seq = run.event_seq`,
    ),
    insertFile: db.prepare(
      'INSERT OR REPLACE INTO context_file (event_seq, position, name, is_text, bytes, sha256, content) VALUES (?, ?, ?, ?, ?, ?, ?)',
    ),
    filesOf: db.prepare<[number], { name: string; sha256: Buffer }>(
      'SELECT name, sha256 FROM context_file WHERE event_seq = ? ORDER BY position',
    ),
    countOpen: db.prepare("SELECT count(*) FROM outbox WHERE state NOT IN ('failed', 'timed_out')").pluck(),
  }
}
