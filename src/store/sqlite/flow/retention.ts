// Retention: events that are too old, or too many, go in slices, with everything that belongs to them.
import type { Statement } from 'better-sqlite3'
import type { RunFlow } from '../../flow.ts'
import type { RetentionLimits } from '../../store.ts'
import type { Lanes } from './lanes.ts'
import { flowCheck } from '../tables/checks.ts'
import { longestSilenceMs } from '../tables/event-log.ts'
import { isConstraint, type DamageLog } from '../tables/damage.ts'
import type { Db } from '../db.ts'
import type { Output } from '../tables/output.ts'
import { pruning } from '../tables/pruning.ts'
import { RunOverrides } from '../tables/run-overrides.ts'
import { filesHash, numberOf, parsed, readableDecisions, type Hashes } from '../tables/rows.ts'
import { usedBytes } from '../space.ts'

interface EventRow extends Hashes {
  received_at: number
  decisions: string | null
  body_bytes: number
}

interface DeadRow {
  seq: number
  bot_id: string
  flow: string | null
}

/** What a slice may still delete; 100 events with two runs each take 15 ms. */
interface Budget {
  rows: number
  bytes: number
}

/** Bytes that one slice deletes, but for those of its last event: 8 MiB take 2 ms where they are in memory. */
const sliceBytes = 16_777_216
/** What an event takes up beside its body, at the least: its row and the entries of five indexes. */
const leastEventBytes = 300

/** Rows that are read beyond a slice, to compare times of receipt with. */
const following = 2

/** The gates of a run; null where it has none, or they are damaged. */
function readableFlow(flow: string | null): RunFlow | null {
  return flowCheck(flow) === undefined ? (parsed(flow) as RunFlow | null) : null
}

const dead = "('failed', 'timed_out')"

function eventStatements(db: Db) {
  const columns = 'seq, received_at, decisions, delivery_hash, body_hash, body_bytes'
  const keepKey = (insert: string): Statement =>
    db.prepare(
      `${insert} INTO removed_event (seq, id, source_id, received_at, delivery_key, delivery_hash, body_hash, body_sha256, decisions, files_sha256)
       SELECT seq, id, source_id, received_at, delivery_key, delivery_hash, body_hash, body_sha256, decisions, ? FROM event WHERE seq = ?`,
    )
  return {
    oldest: db.prepare<[number, number], EventRow>(
      `SELECT ${columns} FROM event WHERE seq > ? ORDER BY seq LIMIT ?`,
    ),
    // An open run holds its event, and so does one that ended only lately (a dead one that was retried, say).
    held: db
      .prepare<[number, number, number, number, number, number, number]>(
        `SELECT 1 FROM outbox WHERE event_seq = ? UNION ALL SELECT 1 FROM run_archive WHERE event_seq = ? AND finished_at >= ?
         UNION ALL SELECT 1 FROM run_event JOIN outbox ON outbox.seq = run_event.run_seq WHERE run_event.event_seq = ?
         UNION ALL SELECT 1 FROM run_event JOIN run_archive ON run_archive.seq = run_event.run_seq WHERE run_event.event_seq = ? AND run_archive.finished_at >= ?
         UNION ALL SELECT 1 FROM unrouted WHERE event_seq = ? LIMIT 1`,
      )
      .pluck(),
    // For want of room only what is open holds its event: runs, its place in a batch, and that no trigger was asked about it yet.
    heldOpen: db
      .prepare<[number, number, number]>(
        `SELECT 1 FROM outbox WHERE event_seq = ? AND state NOT IN ${dead} UNION ALL SELECT 1 FROM run_event JOIN outbox ON outbox.seq = run_event.run_seq WHERE run_event.event_seq = ?
           AND outbox.event_seq <> run_event.event_seq
         UNION ALL SELECT 1 FROM unrouted WHERE event_seq = ? LIMIT 1`,
      )
      .pluck(),
    deadRuns: db.prepare<[number], DeadRow>(
      `SELECT seq, bot_id, flow FROM outbox WHERE event_seq = ? AND state IN ${dead}`,
    ),
    inLane: db.prepare<[string, number]>('SELECT 1 FROM run_lane WHERE lane = ? AND run_seq = ?').pluck(),
    forgetBatch: db.prepare('DELETE FROM run_event WHERE event_seq = ?'),
    endedRuns: db
      .prepare<[number, number], number>('SELECT seq FROM run_archive WHERE event_seq = ? LIMIT ?')
      .pluck(),
    deleteDecision: db.prepare('DELETE FROM decision WHERE trigger_id = ? AND event_seq = ?'),
    deleteDecisions: db.prepare('DELETE FROM decision WHERE event_seq = ?'),
    files: db.prepare<[number], { name: string; sha256: Buffer }>(
      'SELECT name, sha256 FROM context_file WHERE event_seq = ? ORDER BY position',
    ),
    deleteFiles: db.prepare('DELETE FROM context_file WHERE event_seq = ?'),
    deleteEvent: db.prepare('DELETE FROM event WHERE seq = ?'),
    keepKey: { fail: keepKey('INSERT'), replace: keepKey('INSERT OR REPLACE') },
    oldestKeys: db.prepare<[number], Hashes & { received_at: number }>(
      'SELECT seq, received_at, delivery_hash, body_hash FROM removed_event ORDER BY seq LIMIT ?',
    ),
    deleteKey: db.prepare('DELETE FROM removed_event WHERE seq = ?'),
  }
}

function runStatements(db: Db) {
  return {
    expireDead: db.prepare<[number, number], DeadRow>(
      `SELECT seq, bot_id, flow FROM outbox INDEXED BY outbox_died WHERE state IN ${dead} AND finished_at < ? ORDER BY finished_at LIMIT ?`,
    ),
    deleteLive: db.prepare('DELETE FROM outbox WHERE seq = ?'),
    deleteEnded: db.prepare('DELETE FROM run_archive WHERE seq = ?'),
    deleteHistory: db.prepare('DELETE FROM run_history WHERE run_seq = ?'),
    deleteAttempts: db.prepare('DELETE FROM attempt WHERE run_seq = ?'),
    deleteUsage: db.prepare('DELETE FROM run_usage WHERE run_seq = ?'),
    forgetDependencies: db.prepare('DELETE FROM run_dependency WHERE run_seq = ? OR on_seq = ?'),
    forgetEvents: db.prepare('DELETE FROM run_event WHERE run_seq = ?'),
  }
}

/** Events go with everything of theirs, oldest first, and never while one of their runs is open. */
export class Retaining {
  readonly #db: Db
  readonly #lanes: Lanes
  readonly #output: Output
  readonly #overrides: RunOverrides
  readonly #damage: DamageLog
  readonly #forget: (hashes: Hashes) => void
  readonly #prune: (limits: RetentionLimits) => boolean
  readonly #events
  readonly #runs
  readonly #meta
  readonly #setMeta

  /** forget: an event's hashes lead nowhere any more. */
  constructor(
    db: Db,
    { lanes, output, damage }: { lanes: Lanes; output: Output; damage: DamageLog },
    forget: (hashes: Hashes) => void,
  ) {
    this.#db = db
    this.#lanes = lanes
    this.#output = output
    this.#overrides = new RunOverrides(db)
    this.#damage = damage
    this.#forget = forget
    this.#prune = pruning(db, lanes.rings)
    this.#events = eventStatements(db)
    this.#runs = runStatements(db)
    this.#meta = db.prepare<[string], number>('SELECT value FROM meta WHERE key = ?').pluck()
    this.#setMeta = db.prepare('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)')
  }

  /** One slice. */
  retain(limits: RetentionLimits): { events: number; more: boolean } {
    const expired = this.#runs.expireDead.all(limits.now - limits.dead_ms, limits.slice)
    for (const row of expired) this.#deleteDead(row, limits.now)
    const { events, more } = this.#retainEvents(limits)
    const moreKeys = this.#expireKeys(limits)
    const moreOutput = this.#output.prune(limits.slice)
    return {
      events,
      more: more || moreKeys || moreOutput || expired.length === limits.slice || this.#prune(limits),
    }
  }

  #retainEvents(limits: RetentionLimits): { events: number; more: boolean } {
    const { now, event_ms, dedupe_ms, slice, max_bytes } = limits
    // An event that is held back by an open run is passed over and met again in the next round.
    const passed = this.#meta.get('retention_passed_seq') ?? 0
    const before = now - Math.max(event_ms, dedupe_ms)
    let excess = max_bytes === undefined ? 0 : usedBytes(this.#db) - max_bytes
    const budget: Budget = { rows: 2 * slice, bytes: sliceBytes }
    const looked = this.#believable('event', this.#events.oldest.all(passed, slice + following), now).slice(
      0,
      slice,
    )
    let last = passed
    let events = 0
    for (const row of looked) {
      const isOld = row.received_at < before
      // received_at never falls: behind the first young one, nothing is old.
      if (!isOld && excess <= 0) break
      if (!(excess > 0 ? this.#isHeldOpen(row.seq) : this.#isHeld(row.seq, before))) {
        if (budget.rows <= 0 || budget.bytes <= 0 || !this.#removed(row, limits, budget))
          return this.#passedTo(last, events)
        excess -= numberOf(row.body_bytes) + leastEventBytes
        events++
      }
      last = row.seq
      if (last === looked.at(-1)!.seq && looked.length === slice) return this.#passedTo(last, events)
    }
    this.#setMeta.run('retention_passed_seq', 0)
    return { events, more: false }
  }

  /**
   * Rows with the times that retention goes by. Times of receipt never fall, so one that is later than both that follow is damaged,
   * and so is one of a time to come that a row of now follows: such a row goes with the next, or all behind it would stay.
   */
  #believable<R extends { seq: number; received_at: number }>(table: string, rows: R[], now: number): R[] {
    const latest = now + longestSilenceMs
    let [next, second]: (number | undefined)[] = []
    const checked = rows.toReversed().map(row => {
      const at = row.received_at
      const isPast =
        next !== undefined &&
        second !== undefined &&
        (at > Math.max(next, second) || !Number.isSafeInteger(at))
      const isAhead = next !== undefined && next <= latest && (at > latest || !Number.isSafeInteger(at))
      const believed = isPast || isAhead ? Math.max(next!, second ?? next!) : at
      if (believed !== at)
        this.#damage.addRow(table, row.seq, [
          { column: 'received_at', why: `it is later than what was received after it: ${at}` },
        ])
      if (Number.isSafeInteger(believed)) [next, second] = [believed, next]
      return { ...row, received_at: believed }
    })
    return checked.toReversed()
  }

  #passedTo(seq: number, events: number): { events: number; more: true } {
    this.#setMeta.run('retention_passed_seq', seq)
    return { events, more: true }
  }

  #isHeld(seq: number, before: number): boolean {
    return this.#events.held.get(seq, seq, before, seq, seq, before, seq) !== undefined
  }

  /** A dead run that others wait behind is left to people, as policy block says. */
  #isHeldOpen(seq: number): boolean {
    if (this.#events.heldOpen.get(seq, seq, seq) !== undefined) return true
    return this.#events.deadRuns.all(seq).some(row => {
      const lane = readableFlow(row.flow)?.order?.lane
      return lane !== undefined && this.#events.inLane.get(lane, row.seq) !== undefined
    })
  }

  /** Removes an event with everything of its; false: the budget was spent on its runs first, and it is still there. */
  #removed(row: EventRow, limits: RetentionLimits, budget: Budget): boolean {
    const runs = this.#events.endedRuns.all(row.seq, budget.rows)
    for (const seq of runs) {
      this.#runs.deleteEnded.run(seq)
      this.#deleteTrail(seq)
    }
    budget.rows -= runs.length + 1
    if (budget.rows < 0) return false
    const { dedupe_ms, signed_body_ms = 0, now } = limits
    for (const run of this.#events.deadRuns.all(row.seq)) this.#deleteDead(run, now)
    const decided = readableDecisions(row.decisions)
    // Which triggers had a part in it is not known any more: the table is looked through from end to end.
    if (decided === null || decided.some(({ trigger_id }) => typeof trigger_id !== 'string'))
      this.#events.deleteDecisions.run(row.seq)
    else for (const decision of decided) this.#events.deleteDecision.run(decision.trigger_id, row.seq)
    const isKnown = (of: number | null, ms: number): boolean => of !== null && row.received_at >= now - ms
    if (isKnown(row.delivery_hash, dedupe_ms) || isKnown(row.body_hash, signed_body_ms)) this.#keepKey(row)
    else this.#forget(row)
    this.#events.forgetBatch.run(row.seq)
    this.#events.deleteFiles.run(row.seq)
    this.#events.deleteEvent.run(row.seq)
    budget.bytes -= numberOf(row.body_bytes)
    return true
  }

  /** What an event was delivered by; of a damaged event nothing is kept, and the same delivery is a new event. */
  #keepKey(row: EventRow): void {
    const files = filesHash(this.#events.files.all(row.seq))
    try {
      this.#damage.insert('removed_event', row.seq, or => this.#events.keepKey[or].run(files, row.seq))
    } catch (error) {
      if (!isConstraint(error)) throw error
      this.#damage.add(
        `event: row ${row.seq} is damaged, and its delivery is not known any more: ${(error as Error).message}`,
      )
      this.#forget(row)
    }
  }

  #deleteDead(row: DeadRow, now: number): void {
    const { seq, flow } = row
    this.#runs.deleteLive.run(seq)
    this.#deleteTrail(seq)
    const gates = readableFlow(flow)
    if (gates !== null) this.#lanes.moved(row, gates, { active: false, open: false, ordered: false }, now)
    else if (flow !== null) this.#lanes.abandon(seq, now)
  }

  #deleteTrail(seq: number): void {
    this.#runs.deleteHistory.run(seq)
    this.#runs.deleteAttempts.run(seq)
    this.#runs.deleteUsage.run(seq)
    this.#overrides.remove(seq)
    this.#output.forget(seq)
    this.#runs.forgetDependencies.run(seq, seq)
    this.#runs.forgetEvents.run(seq)
  }

  /** Delivery keys whose event went before them; answers whether there are more. */
  #expireKeys(limits: RetentionLimits): boolean {
    const { now, dedupe_ms, signed_body_ms = 0 } = limits
    const before = now - Math.max(dedupe_ms, signed_body_ms)
    const oldest = this.#believable(
      'removed_event',
      this.#events.oldestKeys.all(limits.slice + following),
      now,
    ).slice(0, limits.slice)
    const rows = oldest.filter(row => row.received_at < before)
    for (const row of rows) {
      this.#forget(row)
      this.#events.deleteKey.run(row.seq)
    }
    return rows.length === limits.slice
  }
}
