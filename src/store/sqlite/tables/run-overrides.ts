// What a person changed of a run before it began (run.update): written with the move, read when the run is prepared, and removed
// with the run.
import { hash } from 'node:crypto'
import type { RunOverride } from '../../store.ts'
import type { Db } from '../db.ts'

interface OverrideRow {
  inputs: string | null
  context_files: string | null
  sha256: Buffer
}

function overrideHash({ inputs, context_files }: Pick<OverrideRow, 'inputs' | 'context_files'>): Buffer {
  return hash('sha256', `${inputs ?? ''}\n${context_files ?? ''}`, 'buffer')
}

/** Whether a row is what was written. */
export function isWholeOverride({
  inputs,
  context_files,
  sha256,
}: Record<keyof OverrideRow, unknown>): boolean {
  const isText = (value: unknown): value is string | null => value === null || typeof value === 'string'
  return (
    isText(inputs) &&
    isText(context_files) &&
    sha256 instanceof Buffer &&
    sha256.equals(overrideHash({ inputs, context_files }))
  )
}

export class RunOverrides {
  readonly #get
  readonly #put
  readonly #remove

  constructor(db: Db) {
    this.#get = db.prepare<[number], OverrideRow>(
      'SELECT inputs, context_files, sha256 FROM run_override WHERE run_seq = ?',
    )
    this.#put = db.prepare(
      'INSERT OR REPLACE INTO run_override (run_seq, inputs, context_files, sha256) VALUES (?, ?, ?, ?)',
    )
    this.#remove = db.prepare('DELETE FROM run_override WHERE run_seq = ?')
  }

  /** Writes what is given; what was changed before and is not given now stays. */
  put(run_seq: number, given: { inputs?: string; context_files?: string }): void {
    const before = this.#get.get(run_seq)
    const isComplete = given.inputs !== undefined && given.context_files !== undefined
    const row = {
      inputs: given.inputs ?? before?.inputs ?? null,
      context_files: given.context_files ?? before?.context_files ?? null,
    }
    // What stays of a damaged row stays damaged: the run must not start with it.
    const isWhole = before === undefined || isComplete || isWholeOverride(before)
    this.#put.run(run_seq, row.inputs, row.context_files, isWhole ? overrideHash(row) : before.sha256)
  }

  get(run_seq: number): RunOverride | null {
    const row = this.#get.get(run_seq)
    if (row === undefined) return null
    const { inputs, context_files } = row
    return isWholeOverride(row)
      ? { inputs, context_files }
      : { inputs: null, context_files: null, damaged: true }
  }

  remove(run_seq: number): void {
    this.#remove.run(run_seq)
  }
}
