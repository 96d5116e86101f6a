// The log: events as rows, in an order in which times of receipt never fall.
import type { BodyFormat } from '../../store.ts'
import type { DamageLog } from './damage.ts'
import type { Db } from '../db.ts'
import { numberOf } from './rows.ts'

/**
 * How far apart the two newest times of writing are at most, where both are right. One that is further ahead stands alone: a
 * flipped bit, which must not move everything that waits.
 */
export const longestSilenceMs = 86_400_000

/** An event as its row has it. */
export interface EventToLog {
  id: Buffer
  source_id: string
  type: string
  subject: string | null
  actor: string | null
  thread: string | null
  emitted: boolean
  requested_by: string | null
  timestamp: number
  received_at: number
  matched: boolean
  delivery_key: string | null
  delivery_hash: number | null
  body_hash: number | null
  redelivery_of: Buffer | null
  causation: string | null
  decisions: string | null
  headers: string | null
  body_format: BodyFormat
  body_sha256: Buffer
  body: Buffer
}

export class EventLog {
  readonly #insert
  readonly #last
  readonly #damage: DamageLog
  #clock = 0
  /** what holds where the last time of receipt is damaged */
  #floor = 0
  #lastSeq = 0
  #logged = false

  constructor(db: Db, damage: DamageLog) {
    this.#damage = damage
    this.#insert = db.prepare(
      `INSERT INTO event (id, source_id, type, subject, timestamp, received_at, matched, delivery_key, delivery_hash, body_hash, redelivery_of, causation, decisions, headers, body_format, body_bytes, body_sha256, body, actor, thread, emitted, requested_by)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    this.#last = db.prepare<[], { seq: number; received_at: number }>(
      'SELECT seq, received_at FROM event ORDER BY seq DESC LIMIT 2',
    )
    this.reload()
  }

  /** After a rollback the last time of receipt is read again. */
  reload(): void {
    const [last, before] = this.#last.all()
    this.#lastSeq = last?.seq ?? 0
    this.#clock = numberOf(last?.received_at)
    const floor = numberOf(before?.received_at)
    this.#floor = this.#clock - floor > longestSilenceMs ? floor : this.#clock
  }

  /**
   * A clock may step back; the log does not. A last event that alone is far ahead of this time, and of the event before it, has a
   * damaged time: every event to come would have it too.
   */
  received(at: number): number {
    if (this.#floor < this.#clock && this.#clock - at > longestSilenceMs) {
      this.#damage.addRow('event', this.#lastSeq, [
        { column: 'received_at', why: `it is a time to come: ${this.#clock}` },
      ])
      this.#clock = this.#floor
    }
    this.#clock = Math.max(this.#clock, at)
    this.#floor = this.#clock
    return this.#clock
  }

  /** Writes an event; answers its seq. received_at is what received() gave. */
  insert(event: EventToLog): number {
    this.#logged = true
    const { lastInsertRowid } = this.#insert.run(
      event.id,
      event.source_id,
      event.type,
      event.subject,
      event.timestamp,
      event.received_at,
      event.matched ? 1 : 0,
      event.delivery_key,
      event.delivery_hash,
      event.body_hash,
      event.redelivery_of,
      event.causation,
      event.decisions,
      event.headers,
      event.body_format,
      event.body.byteLength,
      event.body_sha256,
      event.body,
      event.actor,
      event.thread,
      event.emitted ? 1 : 0,
      event.requested_by,
    )
    return Number(lastInsertRowid)
  }

  /** Whether anything was written since this was asked last. */
  takeLogged(): boolean {
    const logged = this.#logged
    this.#logged = false
    return logged
  }
}
