// What is remembered of sources between their events: the ticks of schedules, the items of polls, since when a source is
// as it is.
import { hash } from 'node:crypto'
import type { NewEvent, Once, SkippedTicks, SourceNote, SourceState, TickPage, TickRow } from '../../store.ts'
import type { Db } from '../db.ts'
import { idBytes, idText, parsed } from './rows.ts'

interface Row extends Omit<TickRow, 'event_id'> {
  event_id: Buffer | null
}

function keyHash(key: string): Buffer {
  return hash('sha256', key, 'buffer')
}

/** How exactly it is known when an item was there last. */
const dayMs = 86_400_000

function statements(db: Db) {
  const fired = db
    .prepare<[string, number], Buffer>(
      "SELECT event_id FROM tick WHERE source_id = ? AND scheduled_at = ? AND outcome <> 'skipped'",
    )
    .pluck()
  const fire = db.prepare(
    `INSERT INTO tick (source_id, scheduled_at, outcome, at, event_id) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (source_id, scheduled_at) DO UPDATE SET outcome = excluded.outcome, at = excluded.at, event_id = excluded.event_id,
       last_scheduled_at = NULL, count = NULL, reason = NULL WHERE tick.outcome = 'skipped'`,
  )
  const skip = db.prepare(
    `INSERT OR IGNORE INTO tick (source_id, scheduled_at, outcome, at, last_scheduled_at, count, reason) VALUES (?, ?, 'skipped', ?, ?, ?, ?)`,
  )
  const changed = db.prepare(
    `INSERT INTO source_state (source_id, since) VALUES (?, ?) ON CONFLICT (source_id) DO UPDATE SET since = excluded.since, state = CASE WHEN NOT json_valid(state) OR state ->> '$.begun' THEN '{"begun":true}' END`,
  )
  const forgetState = db.prepare('DELETE FROM source_state WHERE source_id = ?')
  const setState = db.prepare('UPDATE source_state SET state = ? WHERE source_id = ?')
  const dropValidators = db.prepare(
    "UPDATE source_state SET state = CASE WHEN json_valid(state) THEN json_remove(state, '$.validators') END WHERE source_id = ?",
  )
  const seen = db.prepare<[string, Buffer], { event_id: Buffer | null }>(
    'SELECT event_id FROM seen_item WHERE source_id = ? AND key_hash = ?',
  )
  const see = db.prepare('INSERT INTO seen_item (source_id, key_hash, event_id, seen_at) VALUES (?, ?, ?, ?)')
  const seeAgain = db.prepare(
    `INSERT INTO seen_item (source_id, key_hash, seen_at) VALUES (?, ?, ?)
     ON CONFLICT (source_id, key_hash) DO UPDATE SET seen_at = excluded.seen_at WHERE seen_at < excluded.seen_at - ${dayMs}`,
  )
  const unsee = db.prepare('DELETE FROM seen_item WHERE source_id = ? AND key_hash = ?')
  const unseeAll = db.prepare('DELETE FROM seen_item WHERE source_id = ?')
  // Both maxima are the last entry of the primary key.
  const states = db.prepare<[{ until: number }], SourceState & { state: string | null }>(
    `SELECT source_id, since, state, (SELECT max(coalesce(last_scheduled_at, scheduled_at)) FROM
       (SELECT scheduled_at, last_scheduled_at FROM tick WHERE tick.source_id = source_state.source_id AND scheduled_at <= :until ORDER BY scheduled_at DESC LIMIT 1)) AS last_tick_at
     FROM source_state`,
  )
  return {
    fired,
    fire,
    skip,
    changed,
    forgetState,
    setState,
    dropValidators,
    seen,
    see,
    seeAgain,
    unsee,
    unseeAll,
    states,
  }
}

export class Sources {
  readonly #db: Db
  readonly #sql: ReturnType<typeof statements>

  constructor(db: Db) {
    this.#db = db
    this.#sql = statements(db)
  }

  /** The event that was the one already, '' where there was none but there is to be no other; undefined: there was none. */
  first(source_id: string, once: Once): string | undefined {
    switch (once.kind) {
      case 'state':
        return undefined
      case 'tick': {
        const id = this.#sql.fired.get(source_id, once.scheduled_at)
        return id === undefined ? undefined : idText(id)
      }
      case 'item': {
        const row = this.#sql.seen.get(source_id, keyHash(once.key))
        return row === undefined ? undefined : row.event_id === null ? '' : idText(row.event_id)
      }
    }
  }

  /** Notes an event as the only one; throws where there was one. */
  keep({ id, source_id, received_at }: Pick<NewEvent, 'id' | 'source_id' | 'received_at'>, once: Once): void {
    switch (once.kind) {
      case 'state':
        this.#sql.setState.run(JSON.stringify(once.state), source_id)
        return
      case 'item':
        this.#sql.see.run(source_id, keyHash(once.key), idBytes(id), received_at)
        return
      case 'tick': {
        const outcome = once.caught_up ? 'caught_up' : 'fired'
        if (this.#sql.fire.run(source_id, once.scheduled_at, outcome, received_at, idBytes(id)).changes === 0)
          throw new Error(`source ${source_id} has an event for ${once.scheduled_at} already`)
      }
    }
  }

  skip(skipped: SkippedTicks[]): void {
    for (const { source_id, scheduled_at, last_scheduled_at, count, reason, at } of skipped)
      this.#sql.skip.run(source_id, scheduled_at, at, last_scheduled_at, count, reason)
  }

  note({ source_id, state, seen, at }: SourceNote): void {
    // A source that was deleted meanwhile remembers nothing.
    if (this.#sql.setState.run(JSON.stringify(state), source_id).changes === 0) return
    for (const key of seen) this.#sql.seeAgain.run(source_id, keyHash(key), at)
  }

  unseen(source_id: string, keys: string[]): string[] {
    return keys.filter(key => this.#sql.seen.get(source_id, keyHash(key)) === undefined)
  }

  forget(source_id: string, key: string): boolean {
    // So that what was asked for before is asked for again.
    this.#sql.dropValidators.run(source_id)
    return this.#sql.unsee.run(source_id, keyHash(key)).changes > 0
  }

  /** A source was written: what was due before is not owed where it is not what it was. */
  written(source_id: string, changed: boolean, at: number): void {
    if (changed) this.#sql.changed.run(source_id, at)
  }

  deleted(source_id: string): void {
    this.#sql.forgetState.run(source_id)
    this.#sql.unseeAll.run(source_id)
  }

  /**
   * What sources remember. A time of more than a day ahead is damage, and no clock that was set right since: nothing would be due until then. A state that cannot be read is that of
   * a source that has begun: the items that it has seen are remembered apart.
   */
  states(now: number): SourceState[] {
    return this.#sql.states.all({ until: now + dayMs }).map(row => ({
      ...row,
      since: row.since > now + dayMs ? now : row.since,
      state:
        row.state === null ? null : ((parsed(row.state) as SourceState['state'] | null) ?? { begun: true }),
    }))
  }

  ticks({ source_id, outcome, since, until, before, limit }: TickPage): TickRow[] {
    const conditions = ['source_id = ?', 'scheduled_at < ?']
    const params: (string | number)[] = [
      source_id,
      Math.min(before ?? Number.MAX_SAFE_INTEGER, until ?? Number.MAX_SAFE_INTEGER),
    ]
    const add = (condition: string, value: string | number | undefined): void => {
      if (value === undefined) return
      conditions.push(condition)
      params.push(value)
    }
    add('scheduled_at >= ?', since)
    add('outcome = ?', outcome)
    const sql = `SELECT scheduled_at, outcome, at, event_id, last_scheduled_at, count, reason FROM tick WHERE ${conditions.join(' AND ')} ORDER BY scheduled_at DESC LIMIT ?`
    return this.#db
      .prepare<(string | number)[], Row>(sql)
      .all(...params, limit)
      .map(row => ({ ...row, event_id: row.event_id === null ? null : idText(row.event_id) }))
  }
}
