// What runs report that they used: totals of each run, and the spending that budgets are checked against.
//
// A report is the total of its attempt so far. What it adds to the last one is spent now; attempts of a run add up.
import type { UsageReport, UsageTotals } from '../../store.ts'
import { damagedColumns, mostSpent, spendingChecks, usageChecks } from './checks.ts'
import { isConstraint, type DamageLog } from './damage.ts'
import type { Db } from '../db.ts'
import { textOf } from './rows.ts'
import type { RunRow } from './run-rows.ts'

const secondMs = 1000
const minuteMs = 60_000
const hourMs = 3_600_000
/** How long uses are kept to the second, and to the minute. Longer periods than these are counted with as much slack. */
const secondsKeptMs = hourMs
const minutesKeptMs = 25 * hourMs
/** Longer than any period of a budget (31 days), and an hour for the row that a use is part of. */
const keptMs = 31 * 24 * hourMs + hourMs

/** How long after a lease was lost a report of its worker counts. */
const lostKeptMs = 24 * hourMs

interface UsageRow {
  input_tokens: number
  output_tokens: number
  cost_micro_usd: number
  attempt_input_tokens: number
  attempt_output_tokens: number
  attempt_cost_micro_usd: number
  reports: number
  attempt_reported: number
}

type LostLease = UsageTotals & { trigger_id: string; bot_id: string; reported: number }

interface SpendingRow {
  scope: string
  at: number
  input_tokens: number
  output_tokens: number
  cost_micro_usd: number
}

const nothing: UsageRow = {
  input_tokens: 0,
  output_tokens: 0,
  cost_micro_usd: 0,
  attempt_input_tokens: 0,
  attempt_output_tokens: 0,
  attempt_cost_micro_usd: 0,
  reports: 0,
  attempt_reported: 0,
}

/** Whose spending a run's uses are: its trigger's, its bot's, and that of all. */
export function scopesOf({ trigger_id, bot_id }: Pick<RunRow, 'trigger_id' | 'bot_id'>): string[] {
  return [`trigger:${trigger_id}`, `bot:${bot_id}`, 'router']
}

function statements(db: Db) {
  const find = db.prepare<[number], UsageRow>(
    `SELECT input_tokens, output_tokens, cost_micro_usd, attempt_input_tokens, attempt_output_tokens, attempt_cost_micro_usd, reports, attempt_reported
     FROM run_usage WHERE run_seq = ?`,
  )
  const keep = db.prepare(
    `INSERT OR REPLACE INTO run_usage (run_seq, input_tokens, output_tokens, cost_micro_usd, attempt_input_tokens, attempt_output_tokens, attempt_cost_micro_usd, reports, attempt_reported)
     VALUES (:run_seq, :input_tokens, :output_tokens, :cost_micro_usd, :attempt_input_tokens, :attempt_output_tokens, :attempt_cost_micro_usd, :reports, :attempt_reported)`,
  )
  const attemptOver = db.prepare(
    'UPDATE run_usage SET attempt_input_tokens = 0, attempt_output_tokens = 0, attempt_cost_micro_usd = 0, attempt_reported = 0 WHERE run_seq = ?',
  )
  const spend = db.prepare(
    `INSERT INTO spending (scope, at, input_tokens, output_tokens, cost_micro_usd) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (scope, at) DO UPDATE SET input_tokens = input_tokens + excluded.input_tokens, output_tokens = output_tokens + excluded.output_tokens,
       cost_micro_usd = cost_micro_usd + excluded.cost_micro_usd`,
  )
  // Partial indexes serve these two: without them each slice reads the whole ledger, 150 ms of 217,000 rows.
  const columns = 'scope, at, input_tokens, output_tokens, cost_micro_usd'
  const seconds = db.prepare<[number], SpendingRow>(
    `SELECT ${columns} FROM spending INDEXED BY spending_seconds WHERE at < ? AND at % 60000 <> 59999 ORDER BY at LIMIT 200`,
  )
  const minutes = db.prepare<[number], SpendingRow>(
    `SELECT ${columns} FROM spending INDEXED BY spending_minutes WHERE at < ? AND at % 3600000 <> 3599999 ORDER BY at LIMIT 200`,
  )
  const ahead = db.prepare<[number], SpendingRow>(
    `SELECT ${columns} FROM spending INDEXED BY spending_at WHERE at > ? LIMIT 200`,
  )
  const remove = db.prepare('DELETE FROM spending WHERE scope = ? AND at = ?')
  const forgetUsage = db.prepare('DELETE FROM run_usage WHERE run_seq = ?')
  const forget = db.prepare(
    'DELETE FROM spending WHERE (scope, at) IN (SELECT scope, at FROM spending WHERE at < ? ORDER BY at LIMIT 200)',
  )
  const lose = db.prepare(
    `INSERT OR REPLACE INTO lost_lease (lease_token, trigger_id, bot_id, input_tokens, output_tokens, cost_micro_usd, reported, lost_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
  )
  const lost = db.prepare<[string], LostLease>(
    'SELECT trigger_id, bot_id, input_tokens, output_tokens, cost_micro_usd, reported FROM lost_lease WHERE lease_token = ?',
  )
  const reportedLate = db.prepare(
    'UPDATE lost_lease SET input_tokens = :input_tokens, output_tokens = :output_tokens, cost_micro_usd = :cost_micro_usd, reported = 1 WHERE lease_token = :lease_token',
  )
  const addLate = db.prepare(
    `INSERT INTO run_usage (run_seq, input_tokens, output_tokens, cost_micro_usd, attempt_input_tokens, attempt_output_tokens, attempt_cost_micro_usd, reports, attempt_reported)
     VALUES (:run_seq, :input_tokens, :output_tokens, :cost_micro_usd, 0, 0, 0, 1, 0)
     ON CONFLICT (run_seq) DO UPDATE SET input_tokens = input_tokens + excluded.input_tokens, output_tokens = output_tokens + excluded.output_tokens,
       cost_micro_usd = cost_micro_usd + excluded.cost_micro_usd, reports = reports + 1 - :reported`,
  )
  const forgetLost = db.prepare(
    'DELETE FROM lost_lease WHERE lease_token IN (SELECT lease_token FROM lost_lease WHERE lost_at < ? LIMIT 200)',
  )
  return {
    lose,
    lost,
    reportedLate,
    addLate,
    forgetLost,
    find,
    keep,
    attemptOver,
    spend,
    seconds,
    minutes,
    ahead,
    remove,
    forget,
    forgetUsage,
  }
}

export class Usage {
  readonly #sql: ReturnType<typeof statements>
  readonly #damage: DamageLog

  constructor(db: Db, damage: DamageLog) {
    this.#sql = statements(db)
    this.#damage = damage
  }

  /** What a run has reported. A damaged row is forgotten: it must keep neither the run nor the start. */
  #find(run_seq: number): UsageRow {
    const row = this.#sql.find.get(run_seq)
    if (row === undefined) return nothing
    const damaged = damagedColumns(usageChecks, row)
    if (damaged.length === 0) return row
    this.#damage.addRow('run_usage', run_seq, damaged)
    this.#sql.forgetUsage.run(run_seq)
    return nothing
  }

  /**
   * Takes the report of a run's attempt. Answers the last report where the new one is smaller in some figure: then nothing was
   * written, otherwise undefined.
   */
  report(
    row: Pick<RunRow, 'seq' | 'trigger_id' | 'bot_id'>,
    given: UsageReport,
    at: number,
  ): UsageTotals | undefined {
    const found = this.#find(row.seq)
    const before = {
      input_tokens: found.attempt_input_tokens,
      output_tokens: found.attempt_output_tokens,
      cost_micro_usd: found.attempt_cost_micro_usd,
    }
    const now = { ...before, ...given }
    const more = {
      input_tokens: now.input_tokens - before.input_tokens,
      output_tokens: now.output_tokens - before.output_tokens,
      cost_micro_usd: now.cost_micro_usd - before.cost_micro_usd,
    }
    if (Object.values(more).some(each => each < 0)) return before
    this.#sql.keep.run({
      run_seq: row.seq,
      input_tokens: found.input_tokens + more.input_tokens,
      output_tokens: found.output_tokens + more.output_tokens,
      cost_micro_usd: found.cost_micro_usd + more.cost_micro_usd,
      attempt_input_tokens: now.input_tokens,
      attempt_output_tokens: now.output_tokens,
      attempt_cost_micro_usd: now.cost_micro_usd,
      reports: found.reports + 1 - found.attempt_reported,
      attempt_reported: 1,
    })
    this.#spendNow(row, more, at)
    return undefined
  }

  #spendNow(
    row: Pick<RunRow, 'trigger_id' | 'bot_id'>,
    { input_tokens, output_tokens, cost_micro_usd }: UsageTotals,
    at: number,
  ): void {
    if (input_tokens + output_tokens + cost_micro_usd === 0) return
    for (const scope of scopesOf(row))
      this.#spend({ scope, at: endOf(at, secondMs), input_tokens, output_tokens, cost_micro_usd })
  }

  /** The router takes a run from its worker, which may report later. Before attemptOver(). */
  leaseLost({ seq, trigger_id, bot_id, lease_token }: RunRow, at: number): void {
    const { attempt_input_tokens, attempt_output_tokens, attempt_cost_micro_usd, attempt_reported } =
      this.#find(seq)
    this.#sql.lose.run(
      lease_token,
      trigger_id,
      bot_id,
      attempt_input_tokens,
      attempt_output_tokens,
      attempt_cost_micro_usd,
      attempt_reported,
      at,
    )
  }

  /** A report under a lease that was lost: what it adds to the last one was spent, and is the run's. */
  lateReport(run_seq: number, lease_token: string, given: UsageReport, at: number): void {
    const before = this.#sql.lost.get(lease_token)
    if (before === undefined) return
    const { trigger_id, bot_id, reported } = before
    const most = (name: keyof UsageTotals): number => Math.max(before[name], given[name] ?? 0)
    const now = {
      input_tokens: most('input_tokens'),
      output_tokens: most('output_tokens'),
      cost_micro_usd: most('cost_micro_usd'),
    }
    const more = {
      input_tokens: now.input_tokens - before.input_tokens,
      output_tokens: now.output_tokens - before.output_tokens,
      cost_micro_usd: now.cost_micro_usd - before.cost_micro_usd,
    }
    this.#damage.tolerate('lost_lease', lease_token, () =>
      this.#sql.reportedLate.run({ lease_token, ...now }),
    )
    this.#find(run_seq)
    this.#sql.addLate.run({ run_seq, reported, ...more })
    this.#spendNow({ trigger_id, bot_id }, more, at)
  }

  /** The run's attempt is over: the next one begins to count at 0. */
  attemptOver(run_seq: number): void {
    if (this.#find(run_seq) !== nothing) this.#sql.attemptOver.run(run_seq)
  }

  /** One slice of putting old spending together, and of forgetting what no period reaches; answers whether there is more. */
  compact(now: number): boolean {
    const second = endOf(now, secondMs)
    // Where the clock stepped back, what was spent in a time that is not yet counts from now on.
    const moved = this.#put(this.#sql.ahead.all(second), at => (at > now + keptMs ? undefined : second))
    const minutes = this.#put(this.#sql.seconds.all(now - secondsKeptMs), at => endOf(at, minuteMs))
    const hours = this.#put(this.#sql.minutes.all(now - minutesKeptMs), at => endOf(at, hourMs))
    const forgotten =
      this.#sql.forget.run(now - keptMs).changes + this.#sql.forgetLost.run(now - lostKeptMs).changes
    return moved + minutes + hours + forgotten > 0
  }

  /** Adds to what a scope spent by a time. A row that is damaged there is replaced: it refuses whatever is added. */
  #spend({ scope, at, input_tokens, output_tokens, cost_micro_usd }: SpendingRow): void {
    const add = (): void => void this.#sql.spend.run(scope, at, input_tokens, output_tokens, cost_micro_usd)
    try {
      add()
    } catch (error) {
      if (!isConstraint(error)) throw error
      this.#damage.add(
        `spending: the row ${scope} at ${at} is damaged and was replaced: ${(error as Error).message}`,
      )
      this.#sql.remove.run(scope, at)
      add()
    }
  }

  /** Gives rows another time, at which they are added to what is there. A damaged row, and one of a time without another, is forgotten. */
  #put(rows: readonly SpendingRow[], newTime: (at: number) => number | undefined): number {
    for (const row of rows) {
      const { scope, at } = row
      this.#sql.remove.run(scope, at)
      const time = newTime(at)
      const damaged = damagedColumns(spendingChecks, row)
      const all =
        time === undefined
          ? [{ column: 'at', why: 'it is further ahead than any period is long' }, ...damaged]
          : damaged
      this.#damage.addRow('spending', `${textOf(scope)} at ${at}`, all)
      if (time !== undefined && damaged.length === 0) this.#spend({ ...row, at: time })
    }
    return rows.length
  }
}

/** The last millisecond of the second, minute or hour that a time is in. */
function endOf(at: number, lengthMs: number): number {
  return Math.floor(at / lengthMs) * lengthMs + lengthMs - 1
}

/** The sum of a column in which a damaged value counts as nothing: SQLite fails where a sum is over 64 bits, for every run of a scope. */
function sumOf(column: string): string {
  return `coalesce(sum(CASE WHEN typeof(${column}) = 'integer' AND ${column} BETWEEN 0 AND ${mostSpent} THEN ${column} ELSE 0 END), 0) AS ${column}`
}

/** Sums of spending, by the names of its columns. */
export const spentSums = ['input_tokens', 'output_tokens', 'cost_micro_usd'].map(sumOf).join(', ')

/** What scopes have spent since a time. */
export class Spending {
  readonly #since
  readonly #rows

  constructor(db: Db) {
    this.#since = db.prepare<[string, number, number], UsageTotals>(
      `SELECT ${spentSums} FROM spending WHERE scope = ? AND at > ? AND at <= ?`,
    )
    this.#rows = db.prepare<[string, number, number], SpendingRow>(
      'SELECT scope, at, input_tokens, output_tokens, cost_micro_usd FROM spending WHERE scope = ? AND at > ? AND at <= ? ORDER BY at',
    )
  }

  /** In a period up to now. */
  within(scope: string, period_ms: number, now: number): UsageTotals {
    return this.#since.get(scope, now - period_ms, now + keptMs)!
  }

  /**
   * When a figure of a period that is at or over its limit will be below it, if nothing more is spent. What was spent in the future,
   * before a clock stepped back, counts as spent now.
   */
  roomAt(
    scope: string,
    figure: 'tokens' | 'cost_usd',
    limit: number,
    period_ms: number,
    now: number,
  ): number {
    const rows = this.#rows
      .all(scope, now - period_ms, now + keptMs)
      .filter(row => damagedColumns(spendingChecks, row).length === 0)
    let left = rows.reduce((sum, row) => sum + figureOf(row, figure), 0)
    for (const row of rows) {
      if (left < limit) break
      left -= figureOf(row, figure)
      if (left < limit) return Math.min(row.at, now) + period_ms
    }
    return now
  }
}

export function figureOf(
  { input_tokens, output_tokens, cost_micro_usd }: UsageTotals,
  figure: 'tokens' | 'cost_usd',
): number {
  return figure === 'tokens' ? input_tokens + output_tokens : cost_micro_usd
}
