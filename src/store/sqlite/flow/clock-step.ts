// A start with a clock that is behind the log: it was ahead before, and was set right. What waits for a time of then would wait for
// as long as it was ahead.
import type { Db } from '../db.ts'
import { longestSilenceMs } from '../tables/event-log.ts'
import { spentSums } from '../tables/usage.ts'

/** Clocks differ by less between two routers, or two corrections; it is not worth a word. */
const toleratedMs = 1000

/** The newest times of three kinds of rows, two of each. */
const newest = `SELECT at FROM (
  SELECT at FROM (SELECT received_at AS at FROM event ORDER BY seq DESC LIMIT 2)
  UNION ALL SELECT at FROM (SELECT updated_at AS at FROM outbox ORDER BY updated_at DESC LIMIT 2)
  UNION ALL SELECT at FROM (SELECT updated_at AS at FROM run_archive ORDER BY seq DESC LIMIT 2)) WHERE typeof(at) = 'integer' ORDER BY at DESC LIMIT 2`

/** The newest time at which something was written. */
function lastWritten(db: Db): number {
  const [first = 0, second = first] = db.prepare<[], number>(newest).pluck().all()
  return first - second > longestSilenceMs ? second : first
}

/** The newest time that was behind which everything has been moved already: rows of then keep their times, and say it again at each start. */
const settledKey = 'clock_settled_at'

/**
 * Moves what is due by how far the clock is behind what was written last. What people set a time for stays: a first attempt is
 * moved only where it waits for more events. In a transaction; answers by how much, in milliseconds, 0 where nothing was to be done.
 */
export function movedBack(db: Db, now: number): number {
  const last = lastWritten(db)
  const behind = last - now
  if (behind <= toleratedMs) {
    db.prepare('DELETE FROM meta WHERE key = ?').run(settledKey)
    return 0
  }
  const settled = db.prepare<[string], number>('SELECT value FROM meta WHERE key = ?').pluck().get(settledKey)
  if (settled !== undefined && last <= settled) return 0
  db.prepare('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)').run(settledKey, last)
  const moves = [
    `UPDATE outbox SET not_before = not_before - :behind WHERE not_before > :now AND state IN ('pending', 'held')
       AND (attempt > 0 OR CASE WHEN json_valid(flow) THEN coalesce(flow ->> '$.debounce.lane', flow ->> '$.batch.lane') IS NOT NULL END)`,
    'UPDATE outbox SET lease_until = lease_until - :behind WHERE lease_until > :now',
    'UPDATE outbox SET timeout_at = timeout_at - :behind WHERE timeout_at > :now',
    'UPDATE outbox SET deadline_at = deadline_at - :behind WHERE deadline_at > :now',
    'UPDATE lane_opening SET opens_at = opens_at - :behind WHERE opens_at > :now',
    'UPDATE rate_ring SET at = at - :behind WHERE at > :now',
    'UPDATE rate_key SET keep_until = keep_until - :behind WHERE keep_until > :now',
  ]
  // What was spent in a time that is not yet counts from now on.
  const gather = `INSERT INTO spending SELECT scope, :now, ${spentSums} FROM spending WHERE at > :now GROUP BY scope
    ON CONFLICT (scope, at) DO UPDATE SET input_tokens = input_tokens + excluded.input_tokens, output_tokens = output_tokens + excluded.output_tokens,
      cost_micro_usd = cost_micro_usd + excluded.cost_micro_usd`
  db.prepare<[{ now: number }]>(gather).run({ now })
  db.prepare<[{ now: number }]>('DELETE FROM spending WHERE at > :now').run({ now })
  for (const sql of moves) db.prepare<[{ behind: number; now: number }]>(sql).run({ behind, now })
  return behind
}
