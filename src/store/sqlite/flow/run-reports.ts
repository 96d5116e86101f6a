// What the attempts of a run reported of themselves: what they used, and how far they are.
import type { StoredRun, UsageTotals } from '../../store.ts'
import { damagedColumns, progressChecks, usageChecks } from '../tables/checks.ts'
import type { DamageLog } from '../tables/damage.ts'
import type { Db } from '../db.ts'
import { isActive } from './queues.ts'
import type { RunRow } from '../tables/run-rows.ts'

export class RunReports {
  readonly #damage: DamageLog
  readonly #usage
  readonly #progress

  constructor(db: Db, damage: DamageLog) {
    this.#damage = damage
    this.#usage = db.prepare<
      [number],
      UsageTotals & { reports: number; attempt_reported: number; ended: number }
    >(
      'SELECT *, (SELECT count(*) FROM attempt WHERE attempt.run_seq = run_usage.run_seq) AS ended FROM run_usage WHERE run_seq = ?',
    )
    this.#progress = db.prepare<
      [number, number],
      { at: number; percent: number | null; message: string | null }
    >(
      `SELECT at, percent, message FROM run_history WHERE run_seq = ? AND attempt = ? AND move = 'progress' ORDER BY step DESC LIMIT 1`,
    )
  }

  of(row: RunRow): Pick<StoredRun, 'usage' | 'progress'> {
    const [usage, progress] = [this.#usageOf(row), this.#progressOf(row)]
    return { ...(usage === undefined ? {} : { usage }), ...(progress === undefined ? {} : { progress }) }
  }

  #usageOf({ seq, state }: RunRow): StoredRun['usage'] {
    const row = this.#usage.get(seq)
    if (row === undefined) return undefined
    const { input_tokens, output_tokens, cost_micro_usd, reports, attempt_reported, ended } = row
    const damaged = damagedColumns(usageChecks, row)
    this.#damage.addRow('run_usage', seq, damaged)
    if (damaged.length > 0) return undefined
    const endedReports = reports - (isActive(state) ? attempt_reported : 0)
    return { input_tokens, output_tokens, cost_micro_usd, unreported: Math.max(0, ended - endedReports) }
  }

  /** What the last attempt said last. */
  #progressOf({ seq, attempt }: RunRow): StoredRun['progress'] {
    const row = this.#progress.get(seq, attempt)
    if (row === undefined) return undefined
    const damaged = damagedColumns(progressChecks, row)
    this.#damage.addRow('run_history', seq, damaged)
    if (damaged.length > 0) return undefined
    const { at, percent, message } = row
    return { at, ...(percent === null ? {} : { percent }), ...(message === null ? {} : { message }) }
  }
}
