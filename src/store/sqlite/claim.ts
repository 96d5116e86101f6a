// Claiming: what is due, in the order of priority, due time and id, for the bots that have room.
import type { ClaimAnswer, ClaimedRun, ClaimRequest, StoredEvent } from '../store.ts'
import type { Db } from './open.ts'
import { eventColumns, runColumns, storedEvent, storedRun, type EventRow, type RunRow } from './rows.ts'

const damaged = 'the stored event is missing or damaged'
/** Runs of the future that one claim may let fall due. */
const dueAtOnce = 1000

export interface Claiming {
  claim(request: ClaimRequest): ClaimAnswer
  nextDueAt(): number | null
}

function statements(db: Db) {
  // outbox_later serves both; outbox_due serves the selection, in its own order.
  const fallDue = db
    .prepare<[number, number], string>(
      `UPDATE outbox SET ready = 1 WHERE seq IN (SELECT seq FROM outbox WHERE state = 'pending' AND ready = 0 AND not_before <= ? ORDER BY not_before LIMIT ?) RETURNING bot_id`,
    )
    .pluck()
  const nextLater = db.prepare("SELECT min(not_before) FROM outbox WHERE state = 'pending' AND ready = 0").pluck()
  const due = db.prepare<[string, number], RunRow>(
    `SELECT ${runColumns} FROM outbox WHERE bot_id = ? AND state = 'pending' AND ready = 1 ORDER BY priority DESC, not_before, seq LIMIT ?`,
  )
  const lease = db.prepare(
    `UPDATE outbox SET state = ?, ready = 1, attempt = ?, steps = steps + 1, lease_token = ?, lease_until = ?, updated_at = ? WHERE seq = ? AND state = 'pending'`,
  )
  const history = db.prepare(
    "INSERT INTO run_history (run_seq, step, at, move, from_state, to_state, attempt, reason) VALUES (?, ?, ?, ?, 'pending', ?, ?, NULL)",
  )
  const bury = db.prepare(
    "UPDATE outbox SET state = 'failed', steps = steps + 1, error = ?, updated_at = ?, finished_at = ? WHERE seq = ? AND state = 'pending'",
  )
  const buryHistory = db.prepare(
    "INSERT INTO run_history (run_seq, step, at, move, from_state, to_state, attempt, reason) VALUES (?, ?, ?, 'fail', 'pending', 'failed', ?, ?)",
  )
  const event = db.prepare<[number], EventRow>(`SELECT ${eventColumns} FROM event WHERE seq = ?`)
  return { fallDue, nextLater, due, lease, history, bury, buryHistory, event }
}

export function claiming(db: Db): Claiming {
  const { fallDue, nextLater, due, lease, history, bury, buryHistory, event } = statements(db)

  function readable(row: RunRow): StoredEvent | undefined {
    try {
      const stored = event.get(row.event_seq)
      return stored === undefined ? undefined : storedEvent(stored)
    } catch (error) {
      if (error instanceof SyntaxError) return undefined
      throw error
    }
  }

  /** The run leased, or nothing where its event cannot be read: then it is dead, and stands in nobody's way. */
  function take(row: RunRow, request: ClaimRequest, worker_token: string | undefined): ClaimedRun[] {
    const stored = readable(row)
    if (stored === undefined) {
      bury.run(damaged, request.now, request.now, row.seq)
      buryHistory.run(row.seq, row.steps + 1, request.now, row.attempt, damaged)
      return []
    }
    // To a worker it is only assigned: it counts as an attempt when that begins.
    const [move, state, attempt, token] =
      worker_token === undefined
        ? (['dispatch', 'running', row.attempt + 1, request.lease_token] as const)
        : (['claim', 'assigned', row.attempt, worker_token] as const)
    lease.run(state, attempt, token, request.lease_until, request.now, row.seq)
    history.run(row.seq, row.steps + 1, request.now, move, state, attempt)
    const leased: RunRow = { ...row, state, attempt, lease_token: token, updated_at: request.now }
    return [{ ...storedRun(leased, stored.id, false), event: stored }]
  }

  function nextDueAt(): number | null {
    return nextLater.get() as number | null
  }

  return {
    nextDueAt,
    claim(request) {
      const became_due = [...new Set(fallDue.all(request.now, dueAtOnce))]
      const drained: string[] = []
      const candidates: RunRow[] = []
      for (const { bot_id, room } of request.bots) {
        const rows = due.all(bot_id, Math.min(room, request.limit) + 1)
        if (rows.length <= room && rows.length <= request.limit) drained.push(bot_id)
        candidates.push(...rows.slice(0, room))
      }
      candidates.sort((a, b) => b.priority - a.priority || a.not_before - b.not_before || a.seq - b.seq)
      const chosen = candidates.slice(0, request.limit)
      const left = new Set(candidates.slice(request.limit).map(row => row.bot_id))
      return {
        runs: chosen.flatMap((row, index) => take(row, request, request.worker_tokens?.[index])),
        drained: drained.filter(bot => !left.has(bot)),
        became_due,
        next_due_at: nextDueAt(),
      }
    },
  }
}
