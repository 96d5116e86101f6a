// Admission: what becomes of an event for one trigger that it matched. The gates before the outbox in their order
// (rate limit, debounce, batch, singleton, room in the queue), then the run's row, and what it depends on.
import type { Decision } from '../../contract/types.ts'
import { dependencyLane, type RunFlow } from '../flow.ts'
import type { History } from './history.ts'
import type { NewRun } from '../store.ts'
import type { Lanes } from './lanes.ts'
import type { Moving } from './moves.ts'
import type { Db } from './open.ts'
import { isActive, type Queues } from './queues.ts'
import { idBytes, idText, runColumns, type RunRow } from './rows.ts'

/** A batch is closed when its bodies are larger than this together: its bot gets them in one piece. */
const maxBatchBytes = 4_194_304

interface Arrival {
  event_seq: number
  body_bytes: number
  at: number
}

/** outcome of the decision; run_seq: the run that was made or that took the event's part */
interface Admitted {
  outcome: Decision['outcome']
  run_seq?: number
  run_id?: string
}

function statements(db: Db) {
  const insertRun = db.prepare(
    `INSERT INTO outbox (id, event_seq, trigger_id, trigger_version, bot_id, workflow_id, state, ready, priority, not_before, replay, created_at, updated_at, queue, need, allowed_tools, flow, deadline_at, deadline_name, assignment)
     VALUES (?, ?, ?, ?, ?, ?, 'pending', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  )
  const bySeq = db.prepare<[number], RunRow>(`SELECT ${runColumns} FROM outbox WHERE seq = ?`)
  const absorb = db.prepare(
    'UPDATE outbox SET event_seq = ?, trigger_version = ?, not_before = ?, ready = (? <= ?), steps = steps + 1, updated_at = ? WHERE seq = ?',
  )
  const joinBatch = db.prepare('INSERT OR IGNORE INTO run_event (run_seq, event_seq) VALUES (?, ?)')
  const batchSize = db.prepare<[number], { events: number; bytes: number }>(
    'SELECT count(*) AS events, sum(body_bytes) AS bytes FROM run_event JOIN event ON event.seq = run_event.event_seq WHERE run_seq = ?',
  )
  const depend = db.prepare('INSERT OR IGNORE INTO run_dependency (run_seq, on_seq) VALUES (?, ?)')
  const openInLane = db.prepare<[string], number>('SELECT run_seq FROM run_lane WHERE lane = ? ORDER BY run_seq').pluck()
  return { insertRun, bySeq, absorb, joinBatch, batchSize, depend, openInLane }
}

export class Admission {
  readonly #sql: ReturnType<typeof statements>
  readonly #lanes: Lanes
  readonly #queues: Queues
  readonly #moving: Moving
  readonly #history: History

  constructor(db: Db, lanes: Lanes, queues: Queues, moving: Moving, history: History) {
    this.#history = history
    this.#sql = statements(db)
    this.#lanes = lanes
    this.#queues = queues
    this.#moving = moving
  }

  /** Admits the runs of one event; answers its decisions, the runs that were made, and those that were asked to stop. */
  admit(runs: readonly NewRun[], arrival: Arrival): { decisions: Decision[]; run_ids: string[]; cancel: string[]; openDelta: number } {
    const made = new Map<string, Admitted>()
    const cancel: string[] = []
    let openDelta = 0
    const decisions = runs.map((run): Decision => {
      const admitted = run.flow === undefined && !this.#queues.isFull(run.queue) ? this.#insert(run, arrival) : this.#gates(run, arrival, cancel)
      if (admitted.outcome === 'routed') openDelta++
      made.set(run.trigger_id, admitted)
      const { outcome, run_id } = admitted
      return { trigger_id: run.trigger_id, trigger_version: run.trigger_version, outcome, ...(run_id === undefined || outcome === 'routed' ? {} : { run_id }) }
    })
    for (const run of runs) openDelta += this.#depends(run, made, arrival)
    openDelta += this.#cancelled
    this.#cancelled = 0
    return { decisions, run_ids: [...made.values()].filter(each => each.outcome === 'routed').map(each => each.run_id!), cancel, openDelta }
  }

  #cancelled = 0

  #gates(run: NewRun, arrival: Arrival, cancel: string[]): Admitted {
    const flow = run.flow ?? {}
    // A replay is asked for by a person: what limits how many runs events make does not stand in its way.
    if (!run.replay) {
      const gated = this.#beforeRow(run, flow, arrival, cancel)
      if (gated !== undefined) return gated
      if (this.#queues.isFull(run.queue)) return { outcome: 'queue_full' }
      if (flow.rate_limit !== undefined) this.#lanes.rings.take(flow.rate_limit, arrival.at)
    }
    const admitted = this.#insert(run, arrival)
    const seq = admitted.run_seq!
    this.#lanes.enter(seq, flow)
    if (run.replay) return admitted
    for (const each of [flow.debounce, flow.batch]) if (each !== undefined) this.#lanes.absorbs(each.lane, seq)
    if (flow.batch !== undefined) this.#sql.joinBatch.run(seq, arrival.event_seq)
    return admitted
  }

  #beforeRow(run: NewRun, flow: RunFlow, arrival: Arrival, cancel: string[]): Admitted | undefined {
    const { rate_limit, debounce, batch, singleton } = flow
    if (rate_limit !== undefined && this.#lanes.rings.opensAt(rate_limit) > arrival.at) return { outcome: 'rate_limited' }
    const absorbing = this.#absorbing(debounce?.lane ?? batch?.lane)
    if (absorbing !== undefined) {
      if (rate_limit !== undefined) this.#lanes.rings.take(rate_limit, arrival.at)
      if (debounce !== undefined) return this.#debounced(absorbing, run, debounce, arrival)
      if (batch !== undefined) return this.#batched(absorbing, run, batch, arrival)
    }
    if (singleton === undefined || singleton.on_conflict === 'queue') return undefined
    const open = this.#sql.openInLane.all(singleton.lane).flatMap(seq => this.#sql.bySeq.get(seq) ?? [])
    if (open.length === 0) return undefined
    if (singleton.on_conflict === 'skip') return { outcome: 'singleton_skipped', run_id: idText(open[0]!.id) }
    for (const row of open) this.#replace(row, arrival.at, cancel)
    return undefined
  }

  #absorbing(lane: string | undefined): RunRow | undefined {
    const seq = lane === undefined ? undefined : this.#lanes.first(lane)
    return seq === undefined ? undefined : this.#sql.bySeq.get(seq)
  }

  #debounced(row: RunRow, run: NewRun, gate: NonNullable<RunFlow['debounce']>, { event_seq, at }: Arrival): Admitted {
    const not_before = Math.min(at + gate.period_ms, row.created_at + gate.max_wait_ms)
    this.#sql.absorb.run(event_seq, run.trigger_version, not_before, not_before, at, at, row.seq)
    this.#history.add(row, { at, move: 'absorb', state: row.state, reason: 'a further event; the run is now that one’s' })
    return { outcome: 'debounced', run_id: idText(row.id), run_seq: row.seq }
  }

  #batched(row: RunRow, run: NewRun, gate: NonNullable<RunFlow['batch']>, { event_seq, body_bytes, at }: Arrival): Admitted {
    this.#sql.joinBatch.run(row.seq, event_seq)
    const { events, bytes } = this.#sql.batchSize.get(row.seq)!
    const isFull = events >= gate.max || bytes + body_bytes > maxBatchBytes
    const not_before = isFull ? Math.min(at, row.not_before) : row.not_before
    this.#sql.absorb.run(event_seq, run.trigger_version, not_before, not_before, at, at, row.seq)
    this.#history.add(row, { at, move: 'absorb', state: row.state, reason: `event ${events} of at most ${gate.max}` })
    if (isFull) {
      this.#lanes.closes(row.seq, { batch: gate })
      this.#lanes.due.add(row.bot_id)
    }
    return { outcome: 'batched', run_id: idText(row.id), run_seq: row.seq }
  }

  /** A newer run takes the place of an open one: it is cancelled, or its bot asked to stop. */
  #replace(row: RunRow, at: number, cancel: string[]): void {
    const run_id = idText(row.id)
    const reason = 'a newer event with the same singleton key took its place'
    const common = { run_id, at, reason, error: reason }
    if (!isActive(row.state)) {
      const { openDelta } = this.#moving.move([{ ...common, move: 'cancel', from: ['pending', 'awaiting_approval', 'held'], to: 'cancelled', archive: true }])
      this.#cancelled += openDelta
    } else if (row.cancel_requested === 0) {
      this.#moving.move([{ ...common, move: 'request_cancel', from: [row.state], to: row.state, request_cancel: true, touch: 'noted' }])
      cancel.push(run_id)
    }
  }

  #insert(run: NewRun, { event_seq, at }: Arrival): Admitted {
    const { max_age_ms } = run.flow ?? {}
    const due = run.not_before <= at ? 1 : 0
    const { lastInsertRowid } = this.#sql.insertRun.run(
      idBytes(run.id),
      event_seq,
      run.trigger_id,
      run.trigger_version,
      run.bot_id,
      run.workflow_id,
      due,
      run.priority,
      run.not_before,
      run.replay ? 1 : 0,
      at,
      at,
      run.queue,
      run.need === undefined ? null : JSON.stringify(run.need),
      run.allowed_tools === undefined ? null : JSON.stringify(run.allowed_tools),
      run.flow === undefined ? null : JSON.stringify(run.flow),
      max_age_ms === undefined ? null : at + max_age_ms,
      max_age_ms === undefined ? null : 'max_age_ms',
      run.need === undefined ? null : JSON.stringify(run.need),
    )
    const seq = Number(lastInsertRowid)
    const created = { ...run, seq, event_seq, id: idBytes(run.id), steps: 0, attempt: 0, result: null, state: null }
    this.#history.add(created, { at, move: 'create', state: 'pending', reason: run.replay ? 'replay' : null })
    this.#queues.add(run.queue, 'pending', 1)
    return { outcome: 'routed', run_seq: seq, run_id: run.id }
  }

  /** Lets a run wait for those of the same event that it depends on; by how much the count of open runs changed. */
  #depends(run: NewRun, made: ReadonlyMap<string, Admitted>, { at }: Arrival): number {
    const depends_on = run.flow?.depends_on
    const own = made.get(run.trigger_id)!
    if (depends_on === undefined || own.outcome !== 'routed') return 0
    const found = depends_on.triggers.flatMap(id => made.get(id) ?? [])
    const failed = found.find(each => each.run_seq === undefined)
    const row = this.#sql.bySeq.get(own.run_seq!)!
    for (const each of found) if (each.run_seq !== undefined) this.#sql.depend.run(row.seq, each.run_seq)
    if (failed !== undefined) {
      const reason = `a run that it depends on was not made (${failed.outcome})`
      const common = { run_id: run.id, at, reason, error: reason }
      if (depends_on.on_failed === 'skip')
        return this.#moving.move([{ ...common, move: 'cancel', from: ['pending'], to: 'cancelled', archive: true }]).openDelta
      this.#moving.move([{ ...common, move: 'hold', from: ['pending'], to: 'held', held_by: 'dependency' }])
    } else if (found.length > 0) {
      this.#lanes.park(row, { kind: 'park', lane: dependencyLane, reason: `waits for the runs of ${depends_on.triggers.join(', ')} for the same event` }, at)
    }
    return 0
  }
}
