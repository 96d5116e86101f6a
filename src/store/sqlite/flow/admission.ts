// Admission: what becomes of an event for one trigger that it matched. The gates before the outbox in their order
// (rate limit, debounce, batch, singleton, room in the queue), then the run's row, and what it depends on.
import type { Decision } from '../../../contract/types.ts'
import type { RunFlow } from '../../flow.ts'
import type { Burial } from './burial.ts'
import type { DamageLog } from '../tables/damage.ts'
import type { GateCounting } from '../tables/gate-counts.ts'
import type { History } from '../tables/history.ts'
import { pauseReason, type NewRun } from '../../store.ts'
import { waitsForRuns, type Lanes } from './lanes.ts'
import type { Moving } from './moves.ts'
import type { Db } from '../db.ts'
import { isActive, type Queues } from './queues.ts'
import { overLimit, withPassOf } from './repeats.ts'
import { RunOverrides } from '../tables/run-overrides.ts'
import type { Soon } from '../next-due.ts'
import { withTimeOf } from './trigger-pauses.ts'
import { decisionsText, idBytes, idText, readableDecisions } from '../tables/rows.ts'
import { runDamage, type RunRow } from '../tables/run-rows.ts'
import { statements } from './admission-statements.ts'
import { inOrder, unassigned, jsonOrNull } from './new-runs.ts'

/** A batch is closed when its bodies are larger than this together: its bot gets them in one piece. */
const maxBatchBytes = 4_194_304

/** What stands for a run that was not made: it never completes. */
const never = 0

export interface AdmissionParts {
  lanes: Lanes
  queues: Queues
  moving: Moving
  history: History
  soon: Soon
  burial: Burial
  damage: DamageLog
  counts: GateCounting
}

/** What admitting does besides: runs that are with bots and were asked to stop, and to the count of open runs. */
interface Admitting {
  cancel: string[]
  openDelta: number
}

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

export class Admission {
  readonly #sql: ReturnType<typeof statements>
  readonly #lanes: Lanes
  readonly #queues: Queues
  readonly #moving: Moving
  readonly #history: History
  readonly #soon: Soon
  readonly #burial: Burial
  readonly #overrides: RunOverrides
  readonly #damage: DamageLog
  readonly #counts: GateCounting

  constructor(db: Db, { lanes, queues, moving, history, soon, burial, damage, counts }: AdmissionParts) {
    this.#damage = damage
    this.#counts = counts
    this.#burial = burial
    this.#overrides = new RunOverrides(db)
    this.#history = history
    this.#soon = soon
    this.#sql = statements(db)
    this.#lanes = lanes
    this.#queues = queues
    this.#moving = moving
  }

  /** Admits the runs of one event; answers its decisions, the runs that were made, and those that were asked to stop. */
  admit(runs: readonly NewRun[], arrival: Arrival): Admitting & { decisions: Decision[]; run_ids: string[] } {
    const made = new Map<string, Admitted>()
    const admitting: Admitting = { cancel: [], openDelta: 0 }
    for (const run of inOrder(runs)) {
      const isFree =
        run.flow === undefined &&
        !this.#queues.isFull(run.queue) &&
        !this.#lanes.pauses.isFull(run.trigger_id)
      const admitted = isFree ? this.#insert(run, arrival) : this.#gates(run, arrival, admitting)
      if (admitted.outcome === 'routed') admitting.openDelta++
      made.set(run.trigger_id, admitted)
      this.#depends(run, made, arrival, admitting)
    }
    const decisions = runs.map(({ trigger_id, trigger_version }): Decision => {
      const { outcome, run_id } = made.get(trigger_id)!
      return {
        trigger_id,
        trigger_version,
        outcome,
        ...(run_id === undefined || outcome === 'routed' ? {} : { run_id }),
      }
    })
    const run_ids = runs
      .map(run => made.get(run.trigger_id)!)
      .flatMap(({ outcome, run_id }) => (outcome === 'routed' ? [run_id!] : []))
    return { ...admitting, decisions, run_ids }
  }

  #gates(run: NewRun, arrival: Arrival, admitting: Admitting): Admitted {
    const flow = run.flow ?? {}
    // A person asked for the replay: limits on how many runs events make do not apply.
    if (!run.replay) {
      const gated = this.#beforeRow(run, flow, arrival, admitting)
      if (gated !== undefined) return gated
      for (const gate of [flow.rate_limit, flow.repeat_limit])
        if (gate !== undefined) this.#lanes.rings.take(gate, arrival.at)
    }
    const admitted = this.#insert(run, arrival)
    const seq = admitted.run_seq!
    this.#lanes.enter(seq, flow)
    if (flow.batch !== undefined) this.#sql.joinBatch.run(seq, arrival.event_seq)
    if (run.replay) return admitted
    for (const each of [flow.debounce, flow.batch])
      if (each !== undefined) this.#lanes.absorbs(each.lane, seq)
    return admitted
  }

  /**
   * A trigger that has made as many runs about a thread as it may: the next one is held, so that a person sees it, and what
   * comes after that within the period makes none. It is asked only about events that would make a run, and what it holds is in no
   * lane: it takes in no events, and keeps no other run. undefined: there is room.
   */
  #repeated(run: NewRun, flow: RunFlow, arrival: Arrival): Admitted | undefined {
    const { repeat_limit } = flow
    const { rings } = this.#lanes
    if (repeat_limit === undefined || rings.opensAt(repeat_limit, arrival.at) <= arrival.at) return undefined
    const { key, limit, period_ms } = repeat_limit
    const held = { key: `held:${key}`, limit: 1, period_ms }
    if (rings.opensAt(held, arrival.at) > arrival.at) return { outcome: 'repeat_limit' }
    rings.take(held, arrival.at)
    this.#counts.add('repeat_limit')
    const admitted = this.#insert({ ...run, flow: overLimit(flow) }, arrival)
    if (flow.batch !== undefined) this.#sql.joinBatch.run(admitted.run_seq!, arrival.event_seq)
    const { source_id, thread } = this.#sql.origin.get(arrival.event_seq)!
    const about = `${limit} runs of trigger ${run.trigger_id} about ${thread} of source ${source_id} within ${Math.round(period_ms / 1000)} s`
    const reason = `repeat limit: there were ${about}; release this run, or discard it`
    this.#moving.move([
      {
        run_id: run.id,
        move: 'hold',
        from: ['pending'],
        to: 'held',
        held_by: 'repeat_limit',
        at: arrival.at,
        reason,
        error: reason,
      },
    ])
    this.#history.emitLifecycle(
      'trigger.repeating',
      run.trigger_id,
      { trigger: run.trigger_id, source_id, thread, run: run.id, limit, period_ms },
      arrival.at,
    )
    return admitted
  }

  #beforeRow(run: NewRun, flow: RunFlow, arrival: Arrival, admitting: Admitting): Admitted | undefined {
    const { rate_limit, debounce, batch, singleton } = flow
    if (rate_limit !== undefined && this.#lanes.rings.opensAt(rate_limit, arrival.at) > arrival.at)
      return { outcome: 'rate_limited' }
    const absorbed = this.#absorbed(run, debounce, batch, arrival, admitting)
    if (absorbed !== undefined) {
      if (rate_limit !== undefined) this.#lanes.rings.take(rate_limit, arrival.at)
      return absorbed
    }
    const open =
      singleton === undefined || singleton.on_conflict === 'queue'
        ? []
        : this.#openIn(singleton.lane, arrival, admitting)
    if (open.length > 0 && singleton!.on_conflict === 'skip')
      return { outcome: 'singleton_skipped', run_id: idText(open[0]!.id) }
    // What it takes the place of waits in the queue no more.
    if (
      this.#queues.isFull(
        run.queue,
        open.filter(row => row.queue === run.queue && !isActive(row.state)).length,
      )
    )
      return { outcome: 'queue_full' }
    const paused = this.#lanes.pauses.laneOf(run.trigger_id)
    if (this.#lanes.pauses.isFull(run.trigger_id, open.filter(row => row.parked_on === paused).length))
      return { outcome: 'trigger_paused' }
    const repeated = this.#repeated(run, flow, arrival)
    if (repeated !== undefined) return repeated
    for (const row of open) this.#replace(row, arrival.at, admitting)
    if (open.length > 0) this.#counts.add('singleton')
    return undefined
  }

  /** The row of an open run; a damaged one is buried and blocks no event. */
  #open(seq: number, { at }: Arrival, admitting: Admitting): RunRow | undefined {
    const row = this.#sql.bySeq.get(seq)
    const damaged = row === undefined ? [] : runDamage(row)
    if (row === undefined || damaged.length === 0) return row
    admitting.openDelta += this.#burial.bury(row, damaged, at)
    return undefined
  }

  #openIn(lane: string, arrival: Arrival, admitting: Admitting): RunRow[] {
    return this.#sql.openInLane.all(lane).flatMap(seq => this.#open(seq, arrival, admitting) ?? [])
  }

  /** An event that joins a run which still takes some in. */
  #absorbed(
    run: NewRun,
    debounce: RunFlow['debounce'],
    batch: RunFlow['batch'],
    arrival: Arrival,
    admitting: Admitting,
  ): Admitted | undefined {
    const lane = debounce?.lane ?? batch?.lane
    const seq = lane === undefined ? undefined : this.#lanes.first(lane)
    const row = seq === undefined ? undefined : this.#open(seq, arrival, admitting)
    if (row === undefined || (row.state !== 'pending' && row.state !== 'held')) return undefined
    if (debounce !== undefined) return this.#debounced(row, run, debounce, arrival)
    if (row.trigger_version === run.trigger_version) return this.#batched(row, batch!, arrival)
    // Events of two versions of a trigger are not one run's: the one before is full.
    this.#sql.join.run(arrival.at, row.seq)
    this.#history.add(row, {
      at: arrival.at,
      move: 'absorb',
      state: row.state,
      reason: 'it takes no more events: its trigger has a new version',
    })
    this.#full(row, batch!, arrival.at)
    return undefined
  }

  /** The run becomes that of the newest event altogether: its trigger, its keys and its gates as they are now. */
  #debounced(
    row: RunRow,
    run: NewRun,
    gate: NonNullable<RunFlow['debounce']>,
    { event_seq, at }: Arrival,
  ): Admitted {
    const quiet = Math.min(at + gate.period_ms, row.created_at + gate.max_wait_ms)
    const not_before = Math.max(quiet, at + gate.delay_ms)
    // A person who held it has not said that it may go; a gate that did is asked again.
    const stays = row.held_by === 'person'
    const state = stays ? 'held' : 'pending'
    const before = row.flow === null ? {} : (JSON.parse(row.flow) as RunFlow)
    const after = this.#lanes.pauses.limits(
      withTimeOf(before, withPassOf(before, run.flow!)),
      run.trigger_id,
      row.created_at,
      at,
    )
    if (row.flow !== null) this.#lanes.moved(row, before, { active: false, open: false, ordered: false }, at)
    this.#queues.add(row.queue, row.state, -1)
    this.#sql.undepend.run(row.seq)
    this.#wasDebounced(row)
    if (before.overridden === true) this.#overrides.remove(row.seq)
    const need = jsonOrNull(run.need)
    this.#sql.takeOver.run(
      event_seq,
      run.trigger_version,
      run.bot_id,
      run.queue,
      run.workflow_id,
      run.priority,
      need,
      jsonOrNull(run.allowed_tools),
      after.flow,
      jsonOrNull(unassigned(run)),
      not_before,
      not_before,
      at,
      after.deadline_at,
      after.deadline_name,
      state,
      stays ? row.held_by : null,
      stays ? null : this.#lanes.pauses.laneOf(run.trigger_id),
      run.requested_by ?? null,
      at,
      row.seq,
    )
    this.#queues.add(run.queue, state, 1)
    this.#lanes.enter(row.seq, run.flow!)
    this.#lanes.absorbs(gate.lane, row.seq)
    this.#history.add(row, {
      at,
      move: 'absorb',
      state,
      reason: 'a further event; the run is now that one’s',
    })
    this.#soon.add(after.deadline_at)
    return { outcome: 'debounced', run_id: idText(row.id), run_seq: row.seq }
  }

  /** The run is another event's from now on: what was decided about its event before points to it. */
  #wasDebounced({ event_seq, trigger_id, id }: RunRow): void {
    const decided = readableDecisions(this.#sql.decisions.get(event_seq) ?? null)
    if (decided === null) return
    const now = decided.map(each =>
      each.trigger_id === trigger_id ? { ...each, outcome: 'debounced' as const, run_id: idText(id) } : each,
    )
    this.#damage.tolerate('event', event_seq, () => this.#sql.setDecisions.run(decisionsText(now), event_seq))
  }

  #batched(
    row: RunRow,
    gate: NonNullable<RunFlow['batch']>,
    { event_seq, body_bytes, at }: Arrival,
  ): Admitted {
    this.#sql.joinBatch.run(row.seq, event_seq)
    const { events, bytes } = this.#sql.batchSize.get(row.seq)!
    this.#sql.join.run(at, row.seq)
    this.#history.add(row, {
      at,
      move: 'absorb',
      state: row.state,
      reason: `event ${events} of at most ${gate.max}`,
    })
    if (events >= gate.max || bytes + body_bytes > maxBatchBytes) this.#full(row, gate, at)
    return { outcome: 'batched', run_id: idText(row.id), run_seq: row.seq }
  }

  /** A batch takes no more in, and is due now. */
  #full(row: RunRow, batch: NonNullable<RunFlow['batch']>, at: number): void {
    const not_before = Math.min(at, row.not_before)
    this.#sql.due.run(not_before, row.seq)
    this.#lanes.closes(row.seq, { batch })
    this.#lanes.due.add(row.bot_id)
  }

  /** A newer run takes the place of an open one: it is cancelled, or its bot asked to stop. */
  #replace(row: RunRow, at: number, admitting: Admitting): void {
    const run_id = idText(row.id)
    const reason = 'a newer event with the same singleton key took its place'
    const common = { run_id, at, reason, error: reason }
    if (!isActive(row.state)) {
      const { openDelta } = this.#moving.move([
        {
          ...common,
          move: 'cancel',
          from: ['pending', 'awaiting_approval', 'held'],
          to: 'cancelled',
          archive: true,
        },
      ])
      admitting.openDelta += openDelta
    } else if (row.cancel_requested === 0) {
      this.#moving.move([
        {
          ...common,
          move: 'request_cancel',
          from: [row.state],
          to: row.state,
          request_cancel: true,
          touch: 'noted',
        },
      ])
      admitting.cancel.push(run_id)
    }
  }

  #insert(run: NewRun, { event_seq, at }: Arrival): Admitted {
    const due = run.not_before <= at ? 1 : 0
    const need = jsonOrNull(run.need)
    const { flow, deadline_at, deadline_name } = this.#lanes.pauses.limits(run.flow, run.trigger_id, at, at)
    const paused = this.#lanes.pauses.of(run.trigger_id)
    if (paused !== undefined) this.#counts.add('trigger_paused')
    this.#soon.add(deadline_at)
    this.#soon.add(due === 1 ? null : run.not_before)
    const { lastInsertRowid } = this.#sql.insertRun.run(
      idBytes(run.id),
      event_seq,
      run.trigger_id,
      run.trigger_version,
      run.bot_id,
      run.workflow_id,
      // As every parked run: it is in no one's way, and the orders that wait behind it are seen to be stuck.
      paused === undefined ? due : 0,
      run.priority,
      run.not_before,
      run.replay ? 1 : 0,
      at,
      at,
      run.queue,
      need,
      jsonOrNull(run.allowed_tools),
      flow,
      deadline_at,
      deadline_name,
      jsonOrNull(unassigned(run)),
      this.#lanes.pauses.laneOf(run.trigger_id),
      run.requested_by ?? null,
    )
    const seq = Number(lastInsertRowid)
    const created = {
      ...run,
      seq,
      event_seq,
      id: idBytes(run.id),
      steps: 0,
      attempt: 0,
      result: null,
      state: null,
    }
    this.#history.add(created, {
      at,
      move: 'create',
      state: 'pending',
      reason: run.replay ? 'replay' : paused === undefined ? null : pauseReason(paused),
    })
    this.#queues.add(run.queue, 'pending', 1)
    return { outcome: 'routed', run_seq: seq, run_id: run.id }
  }

  /** Lets a run wait for those of the same event that it depends on; those come before it. */
  #depends(run: NewRun, made: ReadonlyMap<string, Admitted>, { at }: Arrival, admitting: Admitting): void {
    const depends_on = run.flow?.depends_on
    const own = made.get(run.trigger_id)!
    if (depends_on === undefined || own.run_seq === undefined) return
    const found = depends_on.triggers.flatMap(id => made.get(id) ?? [])
    // One that was not made, or was ended by what it depends on itself, will never complete.
    const failed = found.find(
      ({ run_seq }) => run_seq === undefined || this.#sql.isOpen.get(run_seq) === undefined,
    )
    for (const { run_seq = never } of found) this.#sql.depend.run(own.run_seq, run_seq)
    const row = this.#sql.bySeq.get(own.run_seq)!
    if (failed !== undefined) {
      const reason = `a run that it depends on was not made or is over (${failed.outcome})`
      const common = { run_id: idText(row.id), at, reason, error: reason }
      const outcome =
        depends_on.on_failed === 'skip'
          ? this.#moving.move([
              { ...common, move: 'cancel', from: ['pending', 'held'], to: 'cancelled', archive: true },
            ])
          : this.#moving.move([
              { ...common, move: 'hold', from: ['pending', 'held'], to: 'held', held_by: 'dependency' },
            ])
      admitting.openDelta += outcome.openDelta
      this.#counts.add('dependency')
    } else if (found.length > 0 && row.state === 'pending' && row.parked_on === null) {
      this.#lanes.park(row, waitsForRuns(depends_on), at)
    }
  }
}
