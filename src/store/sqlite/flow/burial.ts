// The end of a run whose row is damaged: it is dead, with a reason that names table, column and row, whatever its state was.
// A move would not do: it parses what cannot be parsed, and goes by a state that may be the damage itself. Damaged JSON
// stays where it is, so that a run whose gates cannot be read is not started without them on a retry.
import { damageText, type DamagedColumn, type DamageLog } from '../tables/damage.ts'
import type { History } from '../tables/history.ts'
import type { Lanes } from './lanes.ts'
import type { Moving } from './moves.ts'
import type { Db } from '../db.ts'
import { isOpen, type Queues } from './queues.ts'
import { mendedRun, runColumnNames, type RunRow } from '../tables/run-rows.ts'

export interface BurialParts {
  lanes: Lanes
  queues: Queues
  moving: Moving
  history: History
  damage: DamageLog
}

export class Burial {
  readonly #bury
  readonly #lastStep
  readonly #parts: BurialParts

  constructor(db: Db, parts: BurialParts) {
    this.#parts = parts
    const columns = runColumnNames.filter(column => column !== 'seq').map(column => `${column} = :${column}`)
    this.#bury = db.prepare(`UPDATE outbox SET ${columns.join(', ')} WHERE seq = :seq`)
    this.#lastStep = db
      .prepare<[number], number | null>('SELECT max(step) FROM run_history WHERE run_seq = ?')
      .pluck()
  }

  /** The last step that the history of a run has. */
  lastStep(seq: number): number {
    return this.#lastStep.get(seq) ?? 0
  }

  /** Ends a run; answers by how much the count of open runs changed. */
  bury(row: RunRow, damaged: readonly DamagedColumn[], at: number): number {
    const { lanes, queues, moving, history, damage } = this.#parts
    damage.addRow('outbox', row.seq, damaged)
    const error = damaged.map(each => damageText('outbox', row.seq, each)).join('; ')
    const mended = mendedRun(row, damaged)
    const before: RunRow = { ...mended, steps: Math.max(mended.steps, this.lastStep(row.seq)) }
    const after: RunRow = {
      ...before,
      state: 'failed',
      ready: 1,
      steps: before.steps + 1,
      lease_token: null,
      lease_until: null,
      parked_on: null,
      held_by: null,
      timeout_at: null,
      deadline_at: null,
      deadline_name: null,
      cancel_requested: 0,
      pause_requested: 0,
      error,
      updated_at: at,
      finished_at: at,
    }
    this.#bury.run(after)
    history.add(before, { at, move: 'fail', state: 'failed', reason: error })
    lanes.abandon(row.seq, at)
    moving.endedBesides(after, at)
    // What the damaged row counted as cannot be told from it.
    queues.reload()
    return isOpen(row.state) ? -1 : 0
  }
}
