// Moving runs: one guarded update and one row of history per move, and what ended leaves the outbox. What a move means
// for others follows in the same transaction: lanes and queues get room, and runs that depend on it go, end or are held.
import type { RunFlow } from '../../flow.ts'
import { dependencyLane } from '../../flow.ts'
import {
  isWithWorker,
  type MoveOutcome,
  type RunMove,
  type StoredRun,
  type UsageReport,
  type UsageTotals,
  type WorkerLease,
} from '../../store.ts'
import type { DamageLog } from '../tables/damage.ts'
import type { History } from '../tables/history.ts'
import type { Lanes } from './lanes.ts'
import type { Db } from '../db.ts'
import { isActive, type Queues } from './queues.ts'
import { givesPassBack } from './repeats.ts'
import type { Soon } from '../next-due.ts'
import { idBytes, idText } from '../tables/rows.ts'
import { runColumnNames, runColumns, runDamage, storedRun, type RunRow } from '../tables/run-rows.ts'
import { RunOverrides } from '../tables/run-overrides.ts'
import { Usage } from '../tables/usage.ts'
import { restingStates, actualMove, moved, openDelta } from './moved-rows.ts'

function statements(db: Db) {
  const live = db.prepare<[Buffer], RunRow>(`SELECT ${runColumns} FROM outbox WHERE id = ?`)
  const archived = db.prepare<[Buffer], RunRow>(`SELECT ${runColumns} FROM run_archive WHERE id = ?`)
  const eventId = db.prepare<[number], Buffer>('SELECT id FROM event WHERE seq = ?').pluck()
  const update = db.prepare(
    `UPDATE outbox SET state = :state, priority = :priority, ready = :ready, not_before = :not_before, attempt = :attempt, attempt_base = :attempt_base, steps = steps + 1,
       cancel_requested = :cancel_requested, lease_token = :lease_token, lease_until = :lease_until, error = :error, result = :result, updated_at = :updated_at, finished_at = :finished_at,
       bot_id = :bot_id, queue = :queue, allowed_tools = :allowed_tools, timeout_at = :timeout_at, deadline_at = :deadline_at, deadline_name = :deadline_name, flow = :flow, approved = :approved, denials = :denials,
       parked_on = :parked_on, held_by = :held_by, pause_requested = :pause_requested
     WHERE seq = :seq AND state = :from AND lease_token IS :seen_token`,
  )
  const row = `INTO run_archive (${runColumns}) VALUES (${runColumnNames.map(name => `:${name}`).join(', ')})`
  const copy = { fail: db.prepare(`INSERT ${row}`), replace: db.prepare(`INSERT OR REPLACE ${row}`) }
  const remove = db.prepare('DELETE FROM outbox WHERE seq = ? AND state = ? AND lease_token IS ?')
  const attempt = db.prepare(
    'INSERT OR REPLACE INTO attempt (run_seq, number, started_at, ended_at, outcome, status, error, output, request) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
  )
  const leased = db
    .prepare<[], Buffer>(
      "SELECT id FROM outbox INDEXED BY outbox_leased WHERE lease_token IS NOT NULL AND lease_token NOT LIKE 'w:%'",
    )
    .pluck()
  const workers = db.prepare<[], RunRow>(
    `SELECT ${runColumns} FROM outbox INDEXED BY outbox_leased WHERE lease_token IS NOT NULL AND lease_token LIKE 'w:%'`,
  )
  const liveBySeq = db.prepare<[number], RunRow>(`SELECT ${runColumns} FROM outbox WHERE seq = ?`)
  const dependents = db
    .prepare<[number], number>('SELECT run_seq FROM run_dependency WHERE on_seq = ?')
    .pluck()
  const met = db.prepare('DELETE FROM run_dependency WHERE run_seq = ? AND on_seq = ?')
  const stillDepends = db.prepare('SELECT 1 FROM run_dependency WHERE run_seq = ? LIMIT 1').pluck()
  const forgetDependencies = db.prepare('DELETE FROM run_dependency WHERE run_seq = ?')
  return {
    workers,
    live,
    archived,
    eventId,
    update,
    copy,
    remove,
    attempt,
    leased,
    liveBySeq,
    dependents,
    met,
    stillDepends,
    forgetDependencies,
  }
}

export interface MovingParts {
  lanes: Lanes
  queues: Queues
  history: History
  soon: Soon
  damage: DamageLog
}

export class Moving {
  readonly #sql: ReturnType<typeof statements>
  readonly #lanes: Lanes
  readonly #queues: Queues
  readonly #history: History
  readonly #soon: Soon
  readonly #usage: Usage
  readonly #overrides: RunOverrides
  readonly #damage: DamageLog
  /** by how much moves that followed from others changed the count of open runs */
  #followedDelta = 0

  constructor(db: Db, { lanes, queues, history, soon, damage }: MovingParts) {
    this.#damage = damage
    this.#soon = soon
    this.#history = history
    this.#sql = statements(db)
    this.#lanes = lanes
    this.#queues = queues
    this.#usage = new Usage(db, damage)
    this.#overrides = new RunOverrides(db)
  }

  /** Makes moves, each for itself; also answers by how much the count of open runs changed. */
  move(moves: RunMove[]): { outcomes: MoveOutcome[]; openDelta: number } {
    this.#followedDelta = 0
    const outcomes = moves.map(each => this.#one(each))
    return {
      outcomes,
      openDelta: moves.reduce(
        (sum, each, index) => sum + openDelta(each, outcomes[index]!),
        this.#followedDelta,
      ),
    }
  }

  /** What workers hold: it is theirs whatever becomes of the router. */
  workerLeases(): WorkerLease[] {
    return this.#sql.workers.all().map(({ id, bot_id, lease_token, lease_until }) => ({
      run_id: idText(id),
      bot_id,
      lease_token: lease_token!,
      lease_until: lease_until!,
    }))
  }

  /** Puts back everything that was running in a process that is gone; answers how many. */
  recover(now: number): number {
    const ids = this.#sql.leased.all()
    const reason = 'the router stopped during this attempt'
    for (const id of ids) {
      const found = this.#sql.live.get(id)
      if (found === undefined) continue
      const { state, updated_at } = found
      const attempt = {
        started_at: updated_at,
        ended_at: now,
        outcome: 'unknown' as const,
        status: null,
        error: reason,
        output: null,
      }
      this.#one({
        run_id: idText(id),
        move: 'recover',
        from: [state],
        to: 'pending',
        at: now,
        reason,
        attempt,
        not_before: now,
      })
    }
    return ids.length
  }

  #answer(row: RunRow, isArchived: boolean): StoredRun {
    return storedRun(row, idText(this.#sql.eventId.get(row.event_seq) ?? Buffer.alloc(16)), isArchived)
  }

  #write(row: RunRow, next: RunRow, move: RunMove): boolean {
    if (move.archive !== true) {
      return this.#sql.update.run({ ...next, from: row.state, seen_token: row.lease_token }).changes === 1
    }
    if (this.#sql.remove.run(row.seq, row.state, row.lease_token).changes !== 1) return false
    this.#damage.insert('run_archive', row.seq, or =>
      this.#sql.copy[or].run({ ...next, cancel_requested: 0 }),
    )
    return true
  }

  #one(asked: RunMove): MoveOutcome {
    const id = idBytes(asked.run_id)
    const row = this.#sql.live.get(id)
    if (row === undefined) {
      const ended = this.#sql.archived.get(id)
      if (ended !== undefined) this.#reportLate(ended, asked)
      return ended === undefined ? { kind: 'not_found' } : { kind: 'refused', run: this.#answer(ended, true) }
    }
    const move = actualMove(asked, row)
    const tokenFits = move.lease_token === undefined || move.lease_token === row.lease_token
    const isLate = move.expired_at === undefined || (row.lease_until ?? 0) <= move.expired_at
    const isSame = move.steps_seen === undefined || row.steps === move.steps_seen
    const isDue = move.deadline_seen === undefined || row.deadline_at === move.deadline_seen
    if (!tokenFits) this.#reportLate(row, move)
    const isAllowed =
      move.from.includes(row.state) &&
      (move.update === undefined || (row.attempt === 0 && runDamage(row).length === 0))
    if (!isAllowed || !tokenFits || !isLate || !isDue || !isSame)
      return { kind: 'refused', run: this.#answer(row, false) }
    const shrank = move.usage === undefined ? undefined : this.#report(row, move.usage, move.at)
    if (shrank !== undefined) return { kind: 'usage_shrank', reported: shrank }
    const next = this.#lanes.pauses.stopped(moved(row, move), move.at)
    if (!this.#write(row, next, move)) return { kind: 'refused', run: this.#answer(row, false) }
    if (move.touch !== 'silent')
      this.#history.add(row, {
        ...next,
        at: move.at,
        move: move.move,
        reason: move.reason ?? null,
        progress: move.progress,
      })
    if (move.update?.inputs !== undefined || move.update?.context_files !== undefined)
      this.#overrides.put(row.seq, move.update)
    if (move.attempt !== undefined) {
      const { started_at, ended_at, outcome, status, error, output, request = null } = move.attempt
      this.#sql.attempt.run(
        row.seq,
        row.attempt,
        started_at === 0 ? row.updated_at : started_at,
        ended_at,
        outcome,
        status,
        error,
        output,
        request,
      )
    }
    if (next.deadline_at !== row.deadline_at) this.#soon.add(next.deadline_at)
    if (next.state === 'pending' && next.not_before > move.at) this.#soon.add(next.not_before)
    this.#follow(row, next, move)
    return { kind: 'moved', run: this.#answer(next, move.archive === true) }
  }

  /** A worker that has lost its run is refused, but what it used was used. */
  #reportLate({ seq }: RunRow, { lease_token, usage, at }: RunMove): void {
    if (lease_token !== undefined && usage !== undefined) this.#usage.lateReport(seq, lease_token, usage, at)
  }

  #report(row: RunRow, usage: UsageReport, at: number): UsageTotals | undefined {
    const flow = row.flow === null ? {} : (JSON.parse(row.flow) as RunFlow)
    return this.#lanes.budgets.report(this.#usage, row, flow, usage, at)
  }

  /** What a move means for others. */
  #follow(row: RunRow, next: RunRow, move: RunMove): void {
    const ended = move.archive === true || restingStates.has(next.state)
    if (isActive(row.state) && !isActive(next.state)) {
      const isTaken = move.expired_at !== undefined || move.deadline_seen !== undefined
      if (isTaken && isWithWorker(row)) this.#usage.leaseLost(row, move.at)
      this.#usage.attemptOver(row.seq)
    }
    if (row.state !== next.state) {
      this.#queues.add(row.queue, row.state, -1)
      if (!ended) this.#queues.add(next.queue, next.state, 1)
    }
    if (next.state === 'pending' && next.parked_on === null) this.#lanes.due.add(next.bot_id)
    if ((row.flow !== null || this.#lanes.budgets.defined.any) && move.touch === undefined)
      this.#followLanes(row, next, move, ended)
    if (!ended) return
    if (move.archive === true) this.#sql.forgetDependencies.run(row.seq)
    this.endedBesides(next, move.at)
  }

  /** What the end of a run means for those that depend on it. */
  endedBesides(ended: RunRow, at: number): void {
    for (const seq of this.#sql.dependents.all(ended.seq)) this.#emitLifecycle(seq, ended, at)
  }

  #followLanes(row: RunRow, next: RunRow, move: RunMove, ended: boolean): void {
    const flow = row.flow === null ? {} : (JSON.parse(row.flow) as RunFlow)
    const returns = restingStates.has(row.state) || (flow.repeat_held === true && next.state === 'pending')
    if (returns && !ended) this.#lanes.enter(row.seq, flow)
    const ordered =
      move.skip_order !== true && move.archive !== true && (!ended || flow.order?.on_dead === 'block')
    if (givesPassBack(row, flow, move)) this.#lanes.rings.giveBack(flow.repeat_limit!, row.created_at)
    if (row.state === 'assigned' && next.state === 'pending')
      this.#lanes.unspent(flow, row.bot_id, row.updated_at)
    this.#lanes.moved(
      row,
      flow,
      { active: isActive(next.state), open: !ended, ordered, asked: next.state === 'awaiting_approval' },
      move.at,
    )
    // Only a person releases a run from what it depends on.
    if (move.move === 'release' && row.held_by === 'dependency') this.#sql.forgetDependencies.run(row.seq)
  }

  /** Tells a run that one which it depends on has ended. */
  #emitLifecycle(seq: number, ended: RunRow, at: number): void {
    const row = this.#sql.liveBySeq.get(seq)
    // A dead run waits for nothing; its gates may be what it died of.
    if (row === undefined || row.flow === null || restingStates.has(row.state)) return
    // A damaged row cannot be moved: the next claim, or the examination at a start, buries it.
    if (runDamage(row).length > 0) return this.#lanes.release(seq, dependencyLane, at)
    const run_id = idText(row.id)
    if (ended.state === 'completed') {
      this.#sql.met.run(seq, ended.seq)
      if (this.#sql.stillDepends.get(seq) !== undefined) return
      const { repeat_held } = JSON.parse(row.flow) as RunFlow
      if (row.state === 'held' && row.held_by === 'dependency' && repeat_held === true) {
        const reason = 'repeat limit: what it depends on has completed; release this run, or discard it'
        this.#also({
          run_id,
          move: 'hold',
          from: ['held'],
          to: 'held',
          held_by: 'repeat_limit',
          at,
          error: reason,
          reason,
        })
      } else if (row.state === 'held' && row.held_by === 'dependency')
        this.#also({
          run_id,
          move: 'release',
          from: ['held'],
          to: 'pending',
          at,
          error: null,
          reason: 'what it depends on has completed',
        })
      else this.#lanes.release(seq, dependencyLane, at)
      return
    }
    const { depends_on } = JSON.parse(row.flow) as RunFlow
    const reason = `run ${idText(ended.id)} of trigger ${ended.trigger_id}, which it depends on, ended ${ended.state}`
    const common = { run_id, at, reason, error: reason }
    if (depends_on?.on_failed === 'hold')
      this.#also({
        ...common,
        move: 'hold',
        from: ['pending', 'awaiting_approval', 'held'],
        to: 'held',
        held_by: 'dependency',
      })
    else
      this.#also({
        ...common,
        move: 'cancel',
        from: ['pending', 'awaiting_approval', 'held'],
        to: 'cancelled',
        archive: true,
      })
  }

  #also(move: RunMove): void {
    this.#followedDelta += openDelta(move, this.#one(move))
  }
}
