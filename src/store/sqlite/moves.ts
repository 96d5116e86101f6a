// Moving runs: one guarded update and one row of history per move, and what ended leaves the outbox.
import type { MoveOutcome, RunMove, StoredRun, WorkerLease } from '../store.ts'
import type { Db } from './open.ts'
import { idBytes, idText, runColumns, storedRun, type RunRow } from './rows.ts'

const openStates = new Set(['pending', 'awaiting_approval', 'held', 'assigned', 'running', 'paused'])
const leasedStates = new Set(['assigned', 'running', 'paused'])
const restingStates = new Set(['failed', 'timed_out'])

/** The row as it is to be after the move. */
function moved(row: RunRow, move: RunMove): RunRow {
  const keepsLease = leasedStates.has(move.to)
  const not_before = move.not_before ?? row.not_before
  const counted = row.attempt - (move.uncount_attempt === true ? 1 : 0) + (move.count_attempt === true ? 1 : 0)
  return {
    ...row,
    state: move.to,
    ready: not_before <= move.at ? 1 : 0,
    not_before,
    attempt: counted,
    attempt_base: move.fresh_attempts === true ? row.attempt : Math.min(row.attempt_base, counted),
    steps: row.steps + 1,
    cancel_requested: move.request_cancel === true || (keepsLease && row.cancel_requested === 1) ? 1 : 0,
    lease_token: keepsLease ? row.lease_token : null,
    lease_until: keepsLease ? (move.lease_until ?? row.lease_until) : null,
    error: move.error === undefined ? row.error : move.error,
    result: move.result === undefined ? row.result : move.result,
    updated_at: move.touch === undefined ? move.at : row.updated_at,
    finished_at: move.archive === true ? (row.finished_at ?? move.at) : restingStates.has(move.to) ? move.at : null,
  }
}

/** What a move does to the count of open runs. */
function openDelta(move: RunMove, outcome: MoveOutcome): number {
  if (outcome.kind !== 'moved') return 0
  const wasOpen = !restingStates.has(move.from[0]!)
  const isOpen = openStates.has(outcome.run.state)
  return Number(isOpen) - Number(wasOpen)
}

function statements(db: Db) {
  const live = db.prepare<[Buffer], RunRow>(`SELECT ${runColumns} FROM outbox WHERE id = ?`)
  const archived = db.prepare<[Buffer], RunRow>(`SELECT ${runColumns} FROM run_archive WHERE id = ?`)
  const eventId = db.prepare<[number], Buffer>('SELECT id FROM event WHERE seq = ?').pluck()
  const update = db.prepare(
    `UPDATE outbox SET state = :state, ready = :ready, not_before = :not_before, attempt = :attempt, attempt_base = :attempt_base, steps = steps + 1,
       cancel_requested = :cancel_requested, lease_token = :lease_token, lease_until = :lease_until, error = :error, result = :result, updated_at = :updated_at, finished_at = :finished_at
     WHERE seq = :seq AND state = :from AND lease_token IS :seen_token`,
  )
  const copy = db.prepare(
    `INSERT INTO run_archive (${runColumns}) VALUES (${runColumns
      .split(', ')
      .map(name => `:${name}`)
      .join(', ')})`,
  )
  const remove = db.prepare('DELETE FROM outbox WHERE seq = ? AND state = ? AND lease_token IS ?')
  const history = db.prepare('INSERT INTO run_history (run_seq, step, at, move, from_state, to_state, attempt, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?)')
  const attempt = db.prepare('INSERT INTO attempt (run_seq, number, started_at, ended_at, outcome, status, error, output) VALUES (?, ?, ?, ?, ?, ?, ?, ?)')
  const leased = db.prepare<[], Buffer>("SELECT id FROM outbox INDEXED BY outbox_leased WHERE lease_token IS NOT NULL AND lease_token NOT LIKE 'w:%'").pluck()
  const workers = db.prepare<[], RunRow>(`SELECT ${runColumns} FROM outbox INDEXED BY outbox_leased WHERE lease_token IS NOT NULL AND lease_token LIKE 'w:%'`)
  return { workers, live, archived, eventId, update, copy, remove, history, attempt, leased }
}

export class Moving {
  readonly #sql: ReturnType<typeof statements>

  constructor(db: Db) {
    this.#sql = statements(db)
  }

  /** Makes moves, each for itself; also answers by how much the count of open runs changed. */
  move(moves: RunMove[]): { outcomes: MoveOutcome[]; openDelta: number } {
    const outcomes = moves.map(each => this.#one(each))
    return { outcomes, openDelta: moves.reduce((sum, each, index) => sum + openDelta(each, outcomes[index]!), 0) }
  }

  /** What workers hold: it is theirs whatever becomes of the router. */
  workerLeases(): WorkerLease[] {
    return this.#sql.workers
      .all()
      .map(({ id, bot_id, lease_token, lease_until }) => ({ run_id: idText(id), bot_id, lease_token: lease_token!, lease_until: lease_until! }))
  }

  /** Puts back everything that a process which is gone had in hand itself; answers how many. */
  recover(now: number): number {
    const ids = this.#sql.leased.all()
    const reason = 'the router stopped during this attempt'
    for (const id of ids) {
      const { state, updated_at } = this.#sql.live.get(id)!
      const attempt = { started_at: updated_at, ended_at: now, outcome: 'unknown' as const, status: null, error: reason, output: null }
      this.#one({ run_id: idText(id), move: 'recover', from: [state], to: 'pending', at: now, reason, attempt, not_before: now })
    }
    return ids.length
  }

  #answer(row: RunRow, isArchived: boolean): StoredRun {
    return storedRun(row, idText(this.#sql.eventId.get(row.event_seq) ?? Buffer.alloc(16)), isArchived)
  }

  #write(row: RunRow, next: RunRow, move: RunMove): boolean {
    if (move.archive !== true) {
      return (
        this.#sql.update.run({
          seq: row.seq,
          from: row.state,
          seen_token: row.lease_token,
          state: next.state,
          ready: next.ready,
          not_before: next.not_before,
          attempt: next.attempt,
          attempt_base: next.attempt_base,
          cancel_requested: next.cancel_requested,
          lease_token: next.lease_token,
          lease_until: next.lease_until,
          error: next.error,
          result: next.result,
          updated_at: next.updated_at,
          finished_at: next.finished_at,
        }).changes === 1
      )
    }
    if (this.#sql.remove.run(row.seq, row.state, row.lease_token).changes !== 1) return false
    this.#sql.copy.run({ ...next, cancel_requested: 0 })
    return true
  }

  #one(asked: RunMove): MoveOutcome {
    const id = idBytes(asked.run_id)
    const row = this.#sql.live.get(id)
    if (row === undefined) {
      const ended = this.#sql.archived.get(id)
      return ended === undefined ? { kind: 'not_found' } : { kind: 'refused', run: this.#answer(ended, true) }
    }
    // Whoever gives a run back that was to be cancelled meanwhile has thereby ended it.
    const cancels = asked.to === 'pending' && row.cancel_requested === 1
    const move: RunMove = cancels ? { ...asked, move: 'cancel', to: 'cancelled', archive: true } : asked
    const tokenFits = move.lease_token === undefined || move.lease_token === row.lease_token
    const isLate = move.expired_at === undefined || (row.lease_until ?? 0) <= move.expired_at
    if (!move.from.includes(row.state) || !tokenFits || !isLate) return { kind: 'refused', run: this.#answer(row, false) }
    const next = moved(row, move)
    if (!this.#write(row, next, move)) return { kind: 'refused', run: this.#answer(row, false) }
    if (move.touch !== 'silent') this.#sql.history.run(row.seq, next.steps, move.at, move.move, row.state, move.to, next.attempt, move.reason ?? null)
    if (move.attempt !== undefined) {
      const { started_at, ended_at, outcome, status, error, output } = move.attempt
      this.#sql.attempt.run(row.seq, row.attempt, started_at === 0 ? row.updated_at : started_at, ended_at, outcome, status, error, output)
    }
    return { kind: 'moved', run: this.#answer(next, move.archive === true) }
  }
}
