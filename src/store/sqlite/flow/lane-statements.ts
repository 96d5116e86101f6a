// The SQL of lanes.
import type { Db } from '../db.ts'
import { runColumns, type RunRow } from '../tables/run-rows.ts'

interface LaneMember {
  lane: string
  run_seq: number
  active: number
}

interface Parked {
  seq: number
  bot_id: string
  queue: string
}

export function statements(db: Db) {
  const rank = '(not_before - priority * 60000)'
  return {
    enter: db.prepare('INSERT OR IGNORE INTO run_lane (lane, run_seq) VALUES (?, ?)'),
    activate: db.prepare(
      'INSERT INTO run_lane (lane, run_seq, active) VALUES (?, ?, 1) ON CONFLICT (lane, run_seq) DO UPDATE SET active = 1',
    ),
    deactivate: db.prepare('UPDATE run_lane SET active = 0 WHERE lane = ? AND run_seq = ? AND active = 1'),
    leave: db.prepare('DELETE FROM run_lane WHERE lane = ? AND run_seq = ?'),
    active: db
      .prepare<[string, number], number>(
        'SELECT count(*) FROM (SELECT 1 FROM run_lane INDEXED BY run_lane_active WHERE lane = ? AND active = 1 LIMIT ?)',
      )
      .pluck(),
    head: db
      .prepare<[string], number>('SELECT run_seq FROM run_lane WHERE lane = ? ORDER BY run_seq LIMIT 1')
      .pluck(),
    firstParked: db.prepare<[string], Parked>(
      `SELECT seq, bot_id, queue FROM outbox WHERE parked_on = ? ORDER BY bot_id, queue, ${rank}, seq LIMIT 1`,
    ),
    nextParked: db.prepare<[string, string, string], Parked>(
      `SELECT seq, bot_id, queue FROM outbox WHERE parked_on = ? AND (bot_id, queue) > (?, ?) ORDER BY bot_id, queue, ${rank}, seq LIMIT 1`,
    ),
    parkedOn: db
      .prepare<[string, number], number>(
        `SELECT seq FROM outbox WHERE parked_on = ? ORDER BY bot_id, queue, ${rank}, seq LIMIT ?`,
      )
      .pluck(),
    unpark: db.prepare<[number, number, number, string]>(
      `UPDATE outbox SET parked_on = NULL, held_by = NULL, ready = (not_before <= ?), updated_at = ?,
         steps = steps + (state = 'held'), error = CASE state WHEN 'held' THEN NULL ELSE error END, state = 'pending'
       WHERE seq = ? AND parked_on = ? AND state IN ('pending', 'held')`,
    ),
    park: db.prepare(
      `UPDATE outbox SET parked_on = ?, ready = 0, state = ?, held_by = ?, error = coalesce(?, error), steps = steps + 1, updated_at = ? WHERE seq = ?`,
    ),
    bySeq: db.prepare<[number], RunRow>(`SELECT ${runColumns} FROM outbox WHERE seq = ?`),
    setOpening: db.prepare(
      'INSERT INTO lane_opening (lane, opens_at) VALUES (?, ?) ON CONFLICT (lane) DO UPDATE SET opens_at = min(coalesce(opens_at, excluded.opens_at), excluded.opens_at)',
    ),
    // For a budget the last call counts: the time at which it has room is known exactly, and budgetAgainMs is only for lanes without one.
    setBudgetOpening: db.prepare('INSERT OR REPLACE INTO lane_opening (lane, opens_at) VALUES (?, ?)'),
    openings: db
      .prepare<[number, number], string>(
        'SELECT lane FROM lane_opening WHERE opens_at <= ? ORDER BY opens_at LIMIT ?',
      )
      .pluck(),
    closeOpening: db.prepare('DELETE FROM lane_opening WHERE lane = ?'),
    nextOpening: db.prepare<[], number | null>('SELECT min(opens_at) FROM lane_opening').pluck(),
    relimit: db.prepare(
      `UPDATE outbox SET flow = json_set(flow, '$.concurrency.limit', ?) WHERE trigger_id = ? AND json_valid(flow) AND flow ->> '$.concurrency.limit' IS NOT NULL AND state NOT IN ('failed', 'timed_out')`,
    ),
    waitedFor: db
      .prepare<[string, string], string>(
        'SELECT DISTINCT parked_on FROM outbox WHERE parked_on >= ? AND parked_on < ?',
      )
      .pluck(),
    members: db.prepare<[], LaneMember>('SELECT lane, run_seq, active FROM run_lane'),
    memberOf: db.prepare<[number], string>('SELECT lane FROM run_lane WHERE run_seq = ?').pluck(),
    dropOrphans: db.prepare('DELETE FROM run_lane WHERE run_seq NOT IN (SELECT seq FROM outbox)'),
    dependsOn: db.prepare('SELECT 1 FROM run_dependency WHERE run_seq = ? LIMIT 1').pluck(),
  }
}
