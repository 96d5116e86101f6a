// What is remembered of sources between their events: the ticks of schedules, and since when a source is as it is.
import type { NewEvent, Once, SkippedTicks, SourceState, TickPage, TickRow } from '../store.ts'
import type { Db } from './open.ts'
import { idBytes, idText } from './rows.ts'

interface Row extends Omit<TickRow, 'event_id'> {
  event_id: Buffer | null
}

export interface Sources {
  /** The event that was the one already; undefined: there was none. */
  first(source_id: string, once: Once): string | undefined
  /** Notes an event as the only one; throws where there was one. */
  keep(event: NewEvent, once: Once): void
  skip(skipped: SkippedTicks[]): void
  /** A source was written: what was due before is not owed where it is not what it was. */
  written(source_id: string, changed: boolean, at: number): void
  deleted(source_id: string): void
  states(): SourceState[]
  ticks(page: TickPage): TickRow[]
}

export function sourceTables(db: Db): Sources {
  const fired = db.prepare<[string, number], Buffer>("SELECT event_id FROM tick WHERE source_id = ? AND scheduled_at = ? AND outcome <> 'skipped'").pluck()
  const fire = db.prepare(
    `INSERT INTO tick (source_id, scheduled_at, outcome, at, event_id) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (source_id, scheduled_at) DO UPDATE SET outcome = excluded.outcome, at = excluded.at, event_id = excluded.event_id,
       last_scheduled_at = NULL, count = NULL, reason = NULL WHERE tick.outcome = 'skipped'`,
  )
  const skip = db.prepare(
    `INSERT OR IGNORE INTO tick (source_id, scheduled_at, outcome, at, last_scheduled_at, count, reason) VALUES (?, ?, 'skipped', ?, ?, ?, ?)`,
  )
  const changed = db.prepare(
    `INSERT INTO source_state (source_id, since) VALUES (?, ?) ON CONFLICT (source_id) DO UPDATE SET since = excluded.since, state = NULL`,
  )
  const forget = db.prepare('DELETE FROM source_state WHERE source_id = ?')
  // Both maxima are the last entry of the primary key.
  const states = db.prepare<[], SourceState & { state: string | null }>(
    `SELECT source_id, since, state, (SELECT max(coalesce(last_scheduled_at, scheduled_at)) FROM
       (SELECT scheduled_at, last_scheduled_at FROM tick WHERE tick.source_id = source_state.source_id ORDER BY scheduled_at DESC LIMIT 1)) AS last_tick_at
     FROM source_state`,
  )

  return {
    first(source_id, once) {
      const id = fired.get(source_id, once.scheduled_at)
      return id === undefined ? undefined : idText(id)
    },
    keep({ id, source_id, received_at }, once) {
      const outcome = once.caught_up ? 'caught_up' : 'fired'
      if (fire.run(source_id, once.scheduled_at, outcome, received_at, idBytes(id)).changes === 0)
        throw new Error(`source ${source_id} has an event for ${once.scheduled_at} already`)
    },
    skip(skipped) {
      for (const { source_id, scheduled_at, last_scheduled_at, count, reason, at } of skipped)
        skip.run(source_id, scheduled_at, at, last_scheduled_at, count, reason)
    },
    written(source_id, isChanged, at) {
      if (isChanged) changed.run(source_id, at)
    },
    deleted: source_id => void forget.run(source_id),
    states: () => states.all().map(row => ({ ...row, state: row.state === null ? null : (JSON.parse(row.state) as SourceState['state']) })),
    ticks({ source_id, outcome, since, until, before, limit }) {
      const conditions = ['source_id = ?', 'scheduled_at < ?']
      const params: (string | number)[] = [source_id, Math.min(before ?? Number.MAX_SAFE_INTEGER, until ?? Number.MAX_SAFE_INTEGER)]
      if (since !== undefined) {
        conditions.push('scheduled_at >= ?')
        params.push(since)
      }
      if (outcome !== undefined) {
        conditions.push('outcome = ?')
        params.push(outcome)
      }
      const sql = `SELECT scheduled_at, outcome, at, event_id, last_scheduled_at, count, reason FROM tick WHERE ${conditions.join(' AND ')} ORDER BY scheduled_at DESC LIMIT ?`
      return db
        .prepare<(string | number)[], Row>(sql)
        .all(...params, limit)
        .map(row => ({ ...row, event_id: row.event_id === null ? null : idText(row.event_id) }))
    },
  }
}
