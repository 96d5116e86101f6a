// Accepting events: known delivery? known body? then the event, its dedupe key, its decisions and its runs.
import { hash } from 'node:crypto'
import type { AcceptLimits, AcceptOutcome, NewEvent, NewRun, ReplayRequest } from '../store.ts'
import { HashIndex } from './hash-index.ts'
import type { Db } from './open.ts'
import { decisionsOf, decisionsText, hash48, idBytes, idText } from './rows.ts'

interface First {
  seq: number
  id: Buffer
  decisions: string | null
  body_sha256: Buffer
}

function deliveryHash(source_id: string, key: string): number {
  return hash48(hash('sha256', `${source_id}\n${key}`, 'buffer'))
}

function statements(db: Db) {
  const known = db.prepare<[number, string, string, number], First>(
    'SELECT seq, id, decisions, body_sha256 FROM event WHERE seq = ? AND delivery_key = ? AND source_id = ? AND received_at > ?',
  )
  const knownBody = db.prepare<[number, string, Buffer, number], { id: Buffer }>(
    'SELECT id FROM event WHERE seq = ? AND source_id = ? AND body_sha256 = ? AND received_at >= ?',
  )
  const insertEvent = db.prepare(
    `INSERT INTO event (id, source_id, type, subject, timestamp, received_at, matched, delivery_key, delivery_hash, body_hash, redelivery_of, causation, decisions, headers, body_format, body_bytes, body_sha256, body)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  )
  const insertDecision = db.prepare('INSERT OR IGNORE INTO decision (trigger_id, event_seq) VALUES (?, ?)')
  const insertRun = db.prepare(
    `INSERT INTO outbox (id, event_seq, trigger_id, trigger_version, bot_id, workflow_id, state, ready, priority, not_before, replay, created_at, updated_at)
     VALUES (?, ?, ?, ?, ?, ?, 'pending', ?, ?, ?, ?, ?, ?)`,
  )
  const insertHistory = db.prepare(
    "INSERT INTO run_history (run_seq, step, at, move, from_state, to_state, attempt, reason) VALUES (?, 1, ?, 'create', NULL, 'pending', 0, ?)",
  )
  const countDuplicate = db.prepare('UPDATE event SET duplicates = duplicates + 1 WHERE seq = ?')
  const countEvent = db.prepare(
    'INSERT INTO source_stat (source_id, events, last_event_at) VALUES (?, ?, ?) ON CONFLICT (source_id) DO UPDATE SET events = events + excluded.events, last_event_at = excluded.last_event_at',
  )
  const lastReceived = db.prepare('SELECT received_at FROM event ORDER BY seq DESC LIMIT 1').pluck()
  const runsOf = db
    .prepare<[number, number], Buffer>('SELECT id FROM outbox WHERE event_seq = ? UNION ALL SELECT id FROM run_archive WHERE event_seq = ?')
    .pluck()
  const hasRun = db.prepare(
    'SELECT 1 FROM outbox WHERE event_seq = ? AND trigger_id = ? UNION ALL SELECT 1 FROM run_archive WHERE event_seq = ? AND trigger_id = ? LIMIT 1',
  )
  const eventDecisions = db.prepare<[Buffer], { seq: number; decisions: string | null }>('SELECT seq, decisions FROM event WHERE id = ?')
  const setDecisions = db.prepare('UPDATE event SET matched = 1, decisions = ? WHERE seq = ?')
  const countOpen = db.prepare("SELECT count(*) FROM outbox WHERE state NOT IN ('failed', 'timed_out')").pluck()
  return {
    known,
    knownBody,
    insertEvent,
    insertDecision,
    insertRun,
    insertHistory,
    countDuplicate,
    countEvent,
    lastReceived,
    runsOf,
    hasRun,
    eventDecisions,
    setDecisions,
    countOpen,
  }
}

export class Accepting {
  readonly #sql: ReturnType<typeof statements>
  readonly #deliveries: HashIndex
  readonly #bodies: HashIndex
  #open = 0
  #clock = 0

  constructor(db: Db) {
    this.#sql = statements(db)
    this.#deliveries = new HashIndex(db, 'delivery_index', 'delivery_hash')
    this.#bodies = new HashIndex(db, 'body_index', 'body_hash')
    this.recount()
  }

  /** Runs that wait or run, and the last time of receipt, read anew. */
  recount(): void {
    this.#open = this.#sql.countOpen.get() as number
    this.#clock = (this.#sql.lastReceived.get() as number | undefined) ?? 0
  }

  /** After a rollback nothing that was counted or remembered holds. */
  rolledBack(): void {
    this.recount()
    this.#deliveries.reload()
    this.#bodies.reload()
  }

  /** At a start, within a transaction. */
  catchUp(): void {
    this.#deliveries.catchUp()
    this.#bodies.catchUp()
  }

  get openRuns(): number {
    return this.#open
  }

  /** Tells the count of open runs what other writing does to it. */
  adjustOpenRuns(by: number): void {
    this.#open += by
  }

  accept(events: NewEvent[], limits: AcceptLimits): AcceptOutcome[] {
    const counted = new Map<string, number>()
    const outcomes = events.map(event => this.#acceptOne(event, limits, counted))
    for (const [source_id, count] of counted) this.#sql.countEvent.run(source_id, count, this.#clock)
    return outcomes
  }

  /** The ids of the runs that were written; null, and nothing written, where too many would be open. */
  replay(requests: ReplayRequest[], max_open_runs: number): string[] | null {
    const most = requests.reduce((sum, request) => sum + request.runs.length, 0)
    return this.#open + most > max_open_runs ? null : requests.flatMap(request => this.#replayOne(request)).map(run => run.id)
  }

  #writeRuns(runs: NewRun[], seq: number, at: number): void {
    for (const run of runs) {
      const due = run.not_before <= at ? 1 : 0
      const { lastInsertRowid } = this.#sql.insertRun.run(
        idBytes(run.id),
        seq,
        run.trigger_id,
        run.trigger_version,
        run.bot_id,
        run.workflow_id,
        due,
        run.priority,
        run.not_before,
        run.replay ? 1 : 0,
        at,
        at,
      )
      this.#sql.insertHistory.run(lastInsertRowid, at, run.replay ? 'replay' : null)
    }
    this.#open += runs.length
  }

  #duplicate(first: First, event: NewEvent): AcceptOutcome {
    const event_id = idText(first.id)
    if (!first.body_sha256.equals(event.body_sha256)) return { kind: 'key_reused', event_id }
    this.#sql.countDuplicate.run(first.seq)
    const run_ids = this.#sql.runsOf.all(first.seq, first.seq).map(idText)
    return { kind: 'duplicate', event_id, matched_triggers: decisionsOf(first.decisions).map(decision => decision.trigger_id), run_ids }
  }

  #knownDelivery(hash: number, { delivery_key, source_id, received_at }: NewEvent, { dedupe_ms }: AcceptLimits): First | undefined {
    for (const seq of this.#deliveries.find(hash)) {
      const first = this.#sql.known.get(seq, delivery_key!, source_id, received_at - dedupe_ms)
      if (first !== undefined) return first
    }
    return undefined
  }

  #knownBody(hash: number, sha256: Buffer, { source_id }: NewEvent, { signed_body_ms }: AcceptLimits): { id: Buffer } | undefined {
    for (const seq of this.#bodies.find(hash)) {
      const before = this.#sql.knownBody.get(seq, source_id, sha256, this.#clock - signed_body_ms)
      if (before !== undefined) return before
    }
    return undefined
  }

  #acceptOne(event: NewEvent, limits: AcceptLimits, counted: Map<string, number>): AcceptOutcome {
    const delivery = event.delivery_key === null ? null : deliveryHash(event.source_id, event.delivery_key)
    if (delivery !== null) {
      const first = this.#knownDelivery(delivery, event, limits)
      if (first !== undefined) return this.#duplicate(first, event)
    }
    if (event.runs.length > 0 && this.#open + event.runs.length > limits.max_open_runs) return { kind: 'backlog' }
    // The this.#clock may step back; the log does not.
    this.#clock = Math.max(this.#clock, event.received_at)
    const sha256 = Buffer.from(event.body_sha256.buffer, event.body_sha256.byteOffset, 32)
    const body = event.signed_body ? hash48(sha256) : null
    const before = body === null ? undefined : this.#knownBody(body, sha256, event, limits)
    const routed = before === undefined || !event.log_redelivery_only
    const decisions = routed ? event.decisions : event.decisions.map(decision => ({ ...decision, outcome: 'redelivery_logged' as const }))
    const { lastInsertRowid } = this.#sql.insertEvent.run(
      idBytes(event.id),
      event.source_id,
      event.type,
      event.subject,
      event.timestamp,
      this.#clock,
      decisions.length > 0 ? 1 : 0,
      event.delivery_key,
      delivery,
      body,
      before?.id ?? null,
      event.causation === null ? null : JSON.stringify(event.causation),
      decisionsText(decisions),
      event.headers === null ? null : JSON.stringify(event.headers),
      event.body_format,
      event.body.byteLength,
      sha256,
      Buffer.from(event.body.buffer, event.body.byteOffset, event.body.byteLength),
    )
    const seq = Number(lastInsertRowid)
    if (delivery !== null) this.#deliveries.add(delivery, seq)
    if (body !== null) this.#bodies.add(body, seq)
    for (const decision of decisions) this.#sql.insertDecision.run(decision.trigger_id, seq)
    if (routed) this.#writeRuns(event.runs, seq, this.#clock)
    counted.set(event.source_id, (counted.get(event.source_id) ?? 0) + 1)
    return { kind: 'accepted', event_id: event.id, redelivery_of: before === undefined ? null : idText(before.id), routed }
  }

  #replayOne(request: ReplayRequest): NewRun[] {
    const event = this.#sql.eventDecisions.get(idBytes(request.event_id))
    if (event === undefined) return []
    const { seq } = event
    const runs = request.only_missing ? request.runs.filter(run => this.#sql.hasRun.get(seq, run.trigger_id, seq, run.trigger_id) === undefined) : request.runs
    if (runs.length === 0) return []
    this.#writeRuns(runs, seq, request.at)
    const decisions = decisionsOf(event.decisions)
    for (const { trigger_id, trigger_version } of runs) {
      this.#sql.insertDecision.run(trigger_id, seq)
      if (!decisions.some(decision => decision.trigger_id === trigger_id)) decisions.push({ trigger_id, trigger_version, outcome: 'replayed' })
    }
    this.#sql.setDecisions.run(decisionsText(decisions), seq)
    return runs
  }
}
