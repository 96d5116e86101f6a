// Pages of what attempts printed. A damaged part is left out and reported: it costs no more than itself.
import type { OutputPage, OutputRequest, OutputStream, StoredPart } from '../../store.ts'
import { damagedColumns, outputChecks, partChecks } from './checks.ts'
import type { DamageLog } from './damage.ts'
import type { Db } from '../db.ts'
import { idBytes, numberOf, textOf } from './rows.ts'

interface RunOfOutput {
  seq: number
  state: string
  attempt: number
}

interface Totals {
  total_bytes: number
  kept_bytes: number
  removed_bytes: number
}

interface PartRow {
  seq: number
  offset: number
  at: number
  stream: OutputStream
  split: number
  content: Buffer
}

const ended = new Set(['completed', 'cancelled', 'failed', 'timed_out'])

export class OutputReader {
  readonly #sql
  readonly #damage: DamageLog

  constructor(db: Db, damage: DamageLog) {
    this.#damage = damage
    this.#sql = {
      run: db.prepare<[Buffer, Buffer], RunOfOutput>(
        'SELECT seq, state, attempt FROM outbox WHERE id = ? UNION ALL SELECT seq, state, attempt FROM run_archive WHERE id = ?',
      ),
      last: db
        .prepare<[number], number | null>(
          'SELECT max(attempt) FROM attempt_output WHERE run_seq = ? AND gone = 0',
        )
        .pluck(),
      totals: db.prepare<[number, number], Totals>(
        'SELECT * FROM attempt_output WHERE run_seq = ? AND attempt = ? AND gone = 0',
      ),
      parts: db.prepare<[number, number, number], PartRow>(
        'SELECT seq, offset, at, stream, split, content FROM output_part WHERE run_seq = ? AND attempt = ? AND offset >= ? ORDER BY offset',
      ),
      backwards: db.prepare<[number, number], { offset: number; length: number }>(
        'SELECT offset, length(content) AS length FROM output_part WHERE run_seq = ? AND attempt = ? ORDER BY offset DESC',
      ),
      tail: db.prepare<[number, number], { output: unknown; ended_at: unknown }>(
        'SELECT output, ended_at FROM attempt WHERE run_seq = ? AND number = ?',
      ),
    }
  }

  page({
    run_id,
    attempt: asked,
    after: given = 0,
    last_bytes,
    max_bytes,
  }: OutputRequest): OutputPage | null {
    const id = idBytes(run_id)
    const run = this.#sql.run.get(id, id)
    if (run === undefined) return null
    // An attempt that did not count (its run was given back) has output, too.
    const last = Math.max(numberOf(run.attempt), numberOf(this.#sql.last.get(run.seq)))
    const attempt = asked ?? last
    if (attempt > last) return null
    const isRunning = (run.state === 'running' || run.state === 'paused') && run.attempt === attempt
    const finished = attempt === 0 ? ended.has(run.state) : !isRunning
    const after = last_bytes === undefined ? given : this.#lastParts(run.seq, attempt, last_bytes)
    const totals = this.#sql.totals.get(run.seq, attempt)
    const { parts, next, more } = this.#parts(run.seq, attempt, after, max_bytes)
    const row = totals === undefined ? this.#sql.tail.get(run.seq, attempt) : undefined
    const tail = textOf(row?.output)
    return {
      attempt,
      parts,
      next,
      more,
      ...this.#counted(run.seq, attempt, totals),
      finished,
      tail: tail === '' ? null : tail,
      tail_at: numberOf(row?.ended_at),
    }
  }

  /** Where the last parts begin, as few as have so many bytes together. */
  #lastParts(run_seq: number, attempt: number, bytes: number): number {
    let [begin, found] = [0, 0]
    for (const { offset, length } of this.#sql.backwards.iterate(run_seq, attempt)) {
      begin = numberOf(offset)
      found += numberOf(length)
      if (found >= bytes) break
    }
    return begin
  }

  #counted(
    run_seq: number,
    attempt: number,
    totals: Totals | undefined,
  ): Pick<OutputPage, 'total_bytes' | 'skipped_bytes' | 'removed'> {
    if (totals === undefined) return { total_bytes: 0, skipped_bytes: 0, removed: false }
    this.#damage.addRow(
      'attempt_output',
      `${run_seq}, attempt ${attempt}`,
      damagedColumns(outputChecks, totals),
    )
    const [total_bytes, kept, removed] = [
      numberOf(totals.total_bytes),
      numberOf(totals.kept_bytes),
      numberOf(totals.removed_bytes),
    ]
    return { total_bytes, skipped_bytes: Math.max(0, total_bytes - kept - removed), removed: removed > 0 }
  }

  #parts(
    run_seq: number,
    attempt: number,
    after: number,
    max_bytes: number,
  ): Pick<OutputPage, 'parts' | 'next' | 'more'> {
    const parts: StoredPart[] = []
    let bytes = 0
    let next = after
    for (const { seq, ...row } of this.#sql.parts.iterate(run_seq, attempt, after)) {
      const damaged = damagedColumns(partChecks, row)
      this.#damage.addRow('output_part', seq, damaged)
      if (damaged.length > 0) continue
      if (parts.length > 0 && bytes + row.content.length > max_bytes) return { parts, next, more: true }
      bytes += row.content.length
      next = row.offset + row.content.length
      parts.push({ ...row, split: row.split === 1 })
    }
    return { parts, next, more: false }
  }
}
