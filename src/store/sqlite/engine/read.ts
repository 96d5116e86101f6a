// What is read: on a connection of its own, so that a heavy query never blocks a commit.
import type { Assignment, Causation } from '../../../contract/types.ts'
import { isNeed } from '../../store.ts'
import type {
  AttemptRow,
  Cause,
  Counts,
  EventLine,
  EventPage,
  HistoryRow,
  RunOverride,
  RunPage,
  RunStats,
  StoredEvent,
  StoredRun,
  StoreFacts,
  Space,
  StuckOrder,
  UsageTotals,
} from '../../store.ts'
import type { ContextFileBytes } from '../../../context-files.ts'
import type { BudgetGate, BudgetUse } from '../../flow.ts'
import { damagedColumns, fileChecks } from '../tables/checks.ts'
import { damageText, DamageLog } from '../tables/damage.ts'
import type { Db } from '../db.ts'
import { goneEventsKey } from '../tables/pruning.ts'
import { budgetUse } from '../flow/budgets.ts'
import { eventPageSql, runPageSql } from '../tables/page-queries.ts'
import { boundedPage, columnBytes } from '../page.ts'
import { fileBytes, spaceOf } from '../space.ts'
import { RunOverrides } from '../tables/run-overrides.ts'
import { RunReports } from '../flow/run-reports.ts'
import { runStats } from '../tables/stats.ts'
import { Spending } from '../tables/usage.ts'
import {
  eventLine,
  idBytes,
  idText,
  parsed,
  storedEvent,
  textOf,
  withPayloadChecked,
  type EventLineRow,
  type EventRow,
} from '../tables/rows.ts'
import { storedRun, type RunRow } from '../tables/run-rows.ts'
import { statements } from './read-statements.ts'

type Params = (string | number | Buffer)[]

/** Order keys that one look for stuck ones goes through. */
const mostOrders = 10_000

export class Reading {
  readonly #db: Db
  readonly #sql: ReturnType<typeof statements>
  readonly #spending: Spending
  readonly #damage: DamageLog
  readonly #overrides: RunOverrides
  readonly #reports: RunReports

  constructor(db: Db, damage = new DamageLog()) {
    this.#damage = damage
    this.#overrides = new RunOverrides(db)
    this.#reports = new RunReports(db, damage)
    this.#db = db
    this.#sql = statements(db)
    this.#spending = new Spending(db)
  }

  /** The first seq that was received at or after a time: halving, since received_at never falls. */
  firstSeqAt(time: number): number {
    const { low, high } = this.#sql.seqBounds.get()!
    if (low === null || high === null) return 0
    let from = low
    let to = high + 1
    while (from < to) {
      const middle = Math.floor((from + to) / 2)
      const row = this.#sql.nextReceived.get(middle)
      if (row === undefined || row.received_at >= time) to = middle
      else from = row.seq + 1
    }
    return from
  }

  #shown(row: RunRow & { archived: number }): StoredRun {
    const run = storedRun(
      row,
      idText(this.#sql.eventIdBySeq.get(row.event_seq) ?? Buffer.alloc(16)),
      row.archived === 1,
    )
    for (const column of run.damaged ?? [])
      this.#damage.add(
        damageText(row.archived === 1 ? 'run_archive' : 'outbox', row.seq, {
          column,
          why: 'it is not what was written',
        }),
      )
    return run.flow?.batch === undefined ? run : { ...run, event_count: this.#sql.eventsOf.get(row.seq)! }
  }

  #whole(row: EventRow): StoredEvent {
    return withPayloadChecked(storedEvent(row, this.#damage), this.#damage)
  }

  event(id: string): StoredEvent | null {
    const row = this.#sql.eventById.get(idBytes(id))
    return row === undefined ? null : this.#whole(row)
  }

  events(page: EventPage): (EventLine | StoredEvent)[] {
    const { since, until } = page.selection
    const { sql, params } = eventPageSql(
      page,
      since === undefined ? null : this.firstSeqAt(since),
      until === undefined ? null : this.firstSeqAt(until),
    )
    if (!page.whole) {
      // Bodies are read of events that were logged before their origin was.
      const rows = this.#db.prepare<Params, EventLineRow>(sql).iterate(...params)
      return boundedPage(
        rows,
        page.max_bytes,
        row => columnBytes(row.body),
        row => eventLine(row, this.#damage),
      )
    }
    const events: StoredEvent[] = []
    let bytes = 0
    for (const row of this.#db.prepare<Params, EventRow>(sql).iterate(...params)) {
      bytes += columnBytes(row.body)
      if (events.length > 0 && bytes > (page.max_bytes ?? Infinity)) break
      events.push(this.#whole(row))
    }
    return events
  }

  originsSince(): number | null {
    const { low, high } = this.#sql.seqBounds.get()!
    if (low === null || high === null || this.#sql.originKnown.get(low)!.known === 1) return null
    // Those that were logged before come first: halving, as above.
    let [from, to] = [low, high + 1]
    while (from < to) {
      const middle = Math.floor((from + to) / 2)
      const row = this.#sql.originKnown.get(middle)
      if (row === undefined || row.known === 1) to = middle
      else from = row.seq + 1
    }
    return this.#sql.originKnown.get(from)?.received_at ?? Infinity
  }

  cause(run_id: string): Cause | null {
    const id = idBytes(run_id)
    const row = this.#sql.cause.get(id, id)
    if (row === undefined) return null
    // A run that was found a bot by its capabilities may be back in the outbox while that bot, late, still emits.
    const bot_id = isNeed(row.bot_id) ? (parsed(row.assignment) as Assignment | null)?.chosen : row.bot_id
    if (bot_id === undefined) return null
    const before = (parsed(row.causation) as Causation | null)?.depth ?? 0
    return { bot_id, causation: { event_id: idText(row.event_id), run_id, depth: before + 1 } }
  }

  run(id: string): StoredRun | null {
    const row = this.#sql.runById.get(idBytes(id), idBytes(id))
    if (row === undefined) return null
    return { ...this.#shown(row), ...this.#reports.of(row) }
  }

  runEvents(run_id: string): StoredEvent[] {
    const row = this.#sql.runById.get(idBytes(run_id), idBytes(run_id))
    return row === undefined ? [] : this.#sql.batch.all(row.seq).map(each => storedEvent(each, this.#damage))
  }

  runs(page: RunPage): StoredRun[] {
    const seq = page.event_id === undefined ? null : (this.#sql.eventSeq.get(idBytes(page.event_id)) ?? -1)
    const [since, until] = [page.since, page.until].map(time =>
      time === undefined ? null : this.#firstRunAt(time),
    )
    const { sql, params } = runPageSql(page, seq, since, until)
    const rows = this.#db.prepare<Params, RunRow & { archived: number }>(sql).iterate(...params)
    return boundedPage(
      rows,
      page.max_bytes,
      ({ result, error }) => columnBytes(result) + columnBytes(error),
      row => this.#shown(row),
    )
  }

  /** The first seq of a run that was created at or after a time: halving, as for events. */
  #firstRunAt(time: number): number {
    const { low, high } = this.#sql.runBounds.get()!
    let from = low ?? 0
    let to = (high ?? -1) + 1
    while (from < to) {
      const middle = Math.floor((from + to) / 2)
      const row = this.#sql.nextCreated.get(middle, middle)
      if (row === undefined || row.created_at >= time) to = middle
      else from = row.seq + 1
    }
    return from
  }

  override(run_id: string): RunOverride | null {
    const row = this.#sql.runById.get(idBytes(run_id), idBytes(run_id))
    const found = row === undefined ? null : this.#overrides.get(row.seq)
    if (found?.damaged === true)
      this.#damage.add(
        damageText('run_override', row!.seq, {
          column: 'sha256',
          why: 'inputs or context files are not what was written',
        }),
      )
    return found
  }

  history(run_id: string): { history: HistoryRow[]; attempts: AttemptRow[] } | null {
    const row = this.#sql.runById.get(idBytes(run_id), idBytes(run_id))
    return row === undefined
      ? null
      : { history: this.#sql.historyOf.all(row.seq), attempts: this.#sql.attemptsOf.all(row.seq) }
  }

  contextFiles(event_id: string): ContextFileBytes[] {
    return this.#sql.contextFiles
      .all(idBytes(event_id))
      .map(({ event_seq, is_text, position, ...file }, index) => {
        const damaged = damagedColumns(fileChecks, { ...file, is_text })
        this.#damage.addRow('context_file', `${event_seq}, position ${position}`, damaged)
        const isWhole = damaged.length === 0 && position === index
        if (isWhole) return { ...file, is_text: is_text === 1 }
        const bytes = (value: unknown): Buffer => (value instanceof Buffer ? value : Buffer.alloc(0))
        return {
          name: textOf(file.name),
          is_text: is_text === 1,
          sha256: bytes(file.sha256),
          content: bytes(file.content),
          damaged: true,
        }
      })
  }

  unrouted(limit: number): StoredEvent[] {
    return this.#sql.unrouted.all(limit).map(row => this.#whole(row))
  }

  stats(since: number): RunStats {
    return runStats(this.#db, since)
  }

  budgetUses(gates: BudgetGate[], now: number): BudgetUse[] {
    return gates.map(each => ({ ...each, used: budgetUse(each, now, this.#spending, this.#sql.begun) }))
  }

  usage(since: number): (UsageTotals & { scope: string })[] {
    return this.#sql.usedSince.all(since)
  }

  nextSeq(after: number): number | null {
    return this.#sql.nextSeq.get(after) ?? null
  }

  lastSeq(): number {
    return this.#sql.seqBounds.get()!.high ?? 0
  }

  /** Orders of a queue whose first run is dead, held, or waits for another try, with runs behind it. */
  stuck(queue: string, limit: number): StuckOrder[] {
    const prefix = `order:${queue}:`
    const rows = this.#db
      .prepare<[string, string, number], { lane: string; head: number; members: number }>(
        'SELECT lane, min(run_seq) AS head, count(*) AS members FROM run_lane WHERE lane >= ? AND lane < ? GROUP BY lane HAVING members > 1 LIMIT ?',
      )
      .all(prefix, `order:${queue};`, mostOrders)
    const stuck = rows.flatMap(({ lane, head, members }) => {
      const row = this.#sql.liveBySeq.get(head)
      const isStuck =
        row !== undefined &&
        (['failed', 'timed_out', 'held', 'awaiting_approval'].includes(row.state) ||
          (row.state === 'pending' && row.ready === 0))
      if (!isStuck) return []
      return [
        {
          order_key: lane.slice(prefix.length),
          run_id: idText(row.id),
          state: row.state,
          waiting: members - 1,
          since: row.updated_at,
          error: row.error,
        },
      ]
    })
    return stuck.slice(0, limit)
  }

  sourceStats(): { source_id: string; events: number; last_event_at: number }[] {
    return this.#db
      .prepare<[], { source_id: string; events: number; last_event_at: number }>(
        'SELECT source_id, events, last_event_at FROM source_stat',
      )
      .all()
  }

  #oldestAt(): number | null {
    const found = this.#db.prepare('SELECT received_at FROM event ORDER BY seq LIMIT 1').pluck().get()
    return Number.isSafeInteger(found) && (found as number) >= 0 ? (found as number) : null
  }

  counts(): Counts {
    const states = this.#db
      .prepare<[], { state: string; count: number }>(
        'SELECT state, count(*) AS count FROM outbox GROUP BY state',
      )
      .all()
    const of = (...names: string[]): number =>
      states.filter(row => names.includes(row.state)).reduce((sum, row) => sum + row.count, 0)
    return {
      events: this.#db
        .prepare<[string], number>(
          'SELECT CAST(max(total(events), 0) AS INTEGER) + coalesce((SELECT value FROM meta WHERE key = ?), 0) FROM source_stat',
        )
        .pluck()
        .get(goneEventsKey)!,
      event_bytes: fileBytes(this.#db.name) + fileBytes(`${this.#db.name}-wal`),
      oldest_at: this.#oldestAt(),
      pending: of('pending'),
      running: of('assigned', 'running', 'paused'),
      held: of('held', 'awaiting_approval'),
      dead: of('failed', 'timed_out'),
    }
  }

  facts(): StoreFacts {
    const { database_bytes, wal_bytes, reusable_bytes } = spaceOf(this.#db)
    return { ...connectionFacts(this.#db), database_bytes, wal_bytes, reusable_bytes }
  }

  space(): Space {
    return spaceOf(this.#db)
  }
}

/** What a connection says of itself. */
export function connectionFacts(db: Db): Omit<StoreFacts, 'database_bytes' | 'wal_bytes' | 'reusable_bytes'> {
  return {
    path: db.name,
    sqlite_version: db.prepare('SELECT sqlite_version()').pluck().get() as string,
    journal_mode: db.pragma('journal_mode', { simple: true }) as string,
    synchronous: db.pragma('synchronous', { simple: true }) as number,
    schema_version: db.pragma('user_version', { simple: true }) as number,
  }
}
