// What else grows with time, beside events and their runs: ticks, items of polls, passes of rate limits, and what is left of
// objects that were deleted. test/store/lifetime.test.ts holds that no table is forgotten.
import type { RetentionLimits } from '../../store.ts'
import type { Db } from '../db.ts'
import type { Rings } from './rate-limits.ts'

/** Versions of a trigger that stay however old they are. */
const versionsKept = 100
/** Where events of sources that were deleted go on being counted. */
export const goneEventsKey = 'events_of_deleted_sources'

/** Ticks and items of polls that are old; answers whether there are more. */
function forgetting(db: Db): (limits: RetentionLimits) => boolean {
  const deleteItems = db.prepare(
    'DELETE FROM seen_item WHERE (source_id, key_hash) IN (SELECT source_id, key_hash FROM seen_item WHERE seen_at < ? ORDER BY seen_at LIMIT ?)',
  )
  // The last of each schedule says where it goes on, as long as there is the schedule.
  const deleteTicks = db.prepare(
    `DELETE FROM tick WHERE (source_id, scheduled_at) IN
       (SELECT source_id, scheduled_at FROM tick AS old WHERE at < ?
          AND (scheduled_at < (SELECT max(scheduled_at) FROM tick WHERE source_id = old.source_id) OR source_id NOT IN (SELECT id FROM source))
        ORDER BY at LIMIT ?)`,
  )
  return ({ now, event_ms, dedupe_ms, slice }) => {
    const items = deleteItems.run(now - Math.max(event_ms, dedupe_ms), slice).changes
    return deleteTicks.run(now - event_ms, slice).changes === slice || items === slice
  }
}

/**
 * Versions of triggers. A version that a stored run or event names stays. Beside these, those of a deleted trigger stay for the
 * retention period; of a present one the newest, and whatever was replaced within the period.
 */
function versionPruning(db: Db): (before: number, most: number) => void {
  const deleted = db
    .prepare<[number, number], string>('SELECT trigger_id FROM deleted_trigger WHERE deleted_at < ? LIMIT ?')
    .pluck()
  const isNamed = db.prepare<[string, string, string]>(
    `SELECT 1 FROM decision WHERE trigger_id = ? UNION ALL SELECT 1 FROM run_archive WHERE trigger_id = ? UNION ALL SELECT 1 FROM outbox WHERE trigger_id = ? LIMIT 1`,
  )
  const forgetVersions = db.prepare('DELETE FROM trigger_version WHERE trigger_id = ?')
  const forgetTrigger = db.prepare('DELETE FROM deleted_trigger WHERE trigger_id = ?')
  const replaced = db.prepare<[number, number], { trigger_id: string; version: number }>(
    `SELECT old.trigger_id, max(old.version) AS version FROM trigger_version AS old
       JOIN "trigger" ON "trigger".id = old.trigger_id AND old.version <= "trigger".version - ${versionsKept}
       JOIN trigger_version AS next ON next.trigger_id = old.trigger_id AND next.version = old.version + 1
     WHERE next.created_at < ? GROUP BY old.trigger_id LIMIT ?`,
  )
  // Runs of a trigger are made with its current version, so the oldest run has the oldest version.
  const oldestNamed = db
    .prepare<[string, string], number | null>(
      `SELECT min(trigger_version) FROM (SELECT * FROM (SELECT trigger_version FROM run_archive WHERE trigger_id = ? ORDER BY seq LIMIT 1)
       UNION ALL SELECT trigger_version FROM outbox WHERE trigger_id = ?)`,
    )
    .pluck()
  const forgetUpTo = db.prepare('DELETE FROM trigger_version WHERE trigger_id = ? AND version <= ?')
  return (before, most) => {
    for (const id of deleted.all(before, most)) {
      if (isNamed.get(id, id, id) !== undefined) continue
      forgetVersions.run(id)
      forgetTrigger.run(id)
    }
    for (const { trigger_id, version } of replaced.all(before, most)) {
      const named = oldestNamed.get(trigger_id, trigger_id) ?? Number.MAX_SAFE_INTEGER
      forgetUpTo.run(trigger_id, Math.min(version, named - 1))
    }
  }
}

/** Counts of sources that were deleted and have no event any more; their sum goes on being counted. */
function statPruning(db: Db): () => void {
  const gone = db.prepare<[], { source_id: string; events: number }>(
    `SELECT source_id, events FROM source_stat
     WHERE source_id NOT IN (SELECT id FROM source) AND NOT EXISTS (SELECT 1 FROM event WHERE event.source_id = source_stat.source_id)`,
  )
  const forget = db.prepare('DELETE FROM source_stat WHERE source_id = ?')
  const count = db.prepare(
    `INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = iif(typeof(value) = 'integer', value, 0) + excluded.value`,
  )
  return () => {
    for (const { source_id, events } of gone.all()) {
      forget.run(source_id)
      // A damaged count is lost: what is counted from then on is not.
      count.run(goneEventsKey, Number.isSafeInteger(events) && events >= 0 ? events : 0)
    }
  }
}

/** One slice; answers whether there is more. */
export function pruning(db: Db, rings: Rings): (limits: RetentionLimits) => boolean {
  const forget = forgetting(db)
  const pruneVersions = versionPruning(db)
  const pruneStats = statPruning(db)
  const forgetRefused = db.prepare('DELETE FROM refused_delivery WHERE last_at < ?')
  const forgetBots = db.prepare('DELETE FROM bot_status WHERE bot_id NOT IN (SELECT id FROM bot)')
  const forgetAudit = db.prepare(
    'DELETE FROM audit WHERE seq IN (SELECT seq FROM audit WHERE at < ? ORDER BY seq LIMIT ?)',
  )
  const forgetTokens = db.prepare(
    'DELETE FROM token WHERE min(coalesce(revoked_at, expires_at), coalesce(expires_at, revoked_at)) < ?',
  )
  return limits => {
    const { now, event_ms, audit_ms, slice } = limits
    const moreKeys = rings.prune(now, slice)
    if (forget(limits) || moreKeys) return true
    pruneVersions(now - event_ms, slice)
    pruneStats()
    forgetBots.run()
    forgetRefused.run(now - event_ms)
    if (audit_ms === undefined) return false
    forgetTokens.run(now - audit_ms)
    return forgetAudit.run(now - audit_ms, slice).changes === slice
  }
}
