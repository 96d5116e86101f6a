// Paused triggers: what a pause means for a run that waits.
//
// A run of a paused trigger is parked on the trigger's lane, and its time limits are suspended: its row has no deadline, its
// flow says since when (stopped_at) and, of a run that awaits approval, how long the answer still had (answer_left_ms). Once the
// trigger is resumed, paused_ms in the flow is how long the run's time limits were suspended in all.
import type { RunFlow } from '../../flow.ts'
import type { DeadlineName, TriggerPause } from '../../store.ts'
import { flowCheck, name, time } from '../tables/checks.ts'
import { damageText, type DamageLog } from '../tables/damage.ts'
import type { Db } from '../db.ts'
import { textOf } from '../tables/rows.ts'
import type { RunRow } from '../tables/run-rows.ts'

export const triggerLanePrefix = 'trigger:'
/** Runs that may wait for one paused trigger: further events make none. */
export const mostWaiting = 1000

export function triggerLane(trigger_id: string): string {
  return `${triggerLanePrefix}${trigger_id}`
}

/** When a run that has not begun is too old; null: it has no such limit, or it is suspended. */
export function tooOldAt(
  { max_age_ms, stopped_at, paused_ms = 0 }: RunFlow,
  created_at: number,
): number | null {
  return max_age_ms === undefined || stopped_at !== undefined ? null : created_at + max_age_ms + paused_ms
}

/** The flow of a run that further events have changed: its time goes on where it was. */
export function withTimeOf({ stopped_at, paused_ms }: RunFlow, flow: RunFlow): RunFlow {
  return {
    ...flow,
    ...(stopped_at === undefined ? {} : { stopped_at }),
    ...(paused_ms === undefined ? {} : { paused_ms }),
  }
}

type Limited = Pick<RunRow, 'trigger_id' | 'state' | 'flow' | 'created_at' | 'deadline_at' | 'deadline_name'>

const waiting: readonly string[] = ['pending', 'held', 'awaiting_approval']

/** The flow of a run whose time goes on, and its deadline. */
function goesOn(
  row: Pick<RunRow, 'state' | 'created_at'> & { flow: RunFlow },
  now: number,
): Pick<Limited, 'deadline_at' | 'deadline_name'> & { flow: RunFlow } {
  const { stopped_at = now, answer_left_ms, ...rest } = row.flow
  const flow: RunFlow = { ...rest, paused_ms: (rest.paused_ms ?? 0) + Math.max(0, now - stopped_at) }
  const too_old = tooOldAt(flow, row.created_at)
  const answer_by =
    row.state === 'awaiting_approval' && answer_left_ms !== undefined ? now + answer_left_ms : null
  const [deadline_at, deadline_name]: [number | null, DeadlineName | null] =
    answer_by !== null && answer_by < (too_old ?? Infinity)
      ? [answer_by, 'approval']
      : [too_old, too_old === null ? null : 'max_age_ms']
  return { flow, deadline_at, deadline_name }
}

/** Damaged gates are left to the next claim, which buries the run. */
function isReadable({ flow }: { flow: string | null }): boolean {
  return flowCheck(flow) === undefined
}

function statements(db: Db) {
  return {
    all: db.prepare<[], TriggerPause>('SELECT trigger_id, reason, paused_at FROM trigger_pause'),
    exists: db.prepare<[string]>('SELECT 1 FROM "trigger" WHERE id = ?').pluck(),
    put: db.prepare('INSERT OR REPLACE INTO trigger_pause (trigger_id, reason, paused_at) VALUES (?, ?, ?)'),
    remove: db.prepare('DELETE FROM trigger_pause WHERE trigger_id = ?'),
    parked: db
      .prepare<[string, number], number>(
        'SELECT count(*) FROM (SELECT 1 FROM outbox WHERE parked_on = ? LIMIT ?)',
      )
      .pluck(),
    unpark: db.prepare<[number, string], { bot_id: string; ready: number; not_before: number }>(
      `UPDATE outbox SET parked_on = NULL, ready = (not_before <= ?) WHERE parked_on = ? AND state = 'pending' RETURNING bot_id, ready, not_before`,
    ),
    limited: db.prepare<[string], Limited & { seq: number }>(
      `SELECT seq, trigger_id, state, flow, created_at, deadline_at, deadline_name FROM outbox
       WHERE trigger_id = ? AND state IN ('pending', 'held', 'awaiting_approval') AND deadline_at IS NOT NULL AND json_valid(flow)`,
    ),
    stopped: db.prepare<[string], { seq: number; state: RunRow['state']; flow: string; created_at: number }>(
      `SELECT seq, state, flow, created_at FROM outbox
       WHERE trigger_id = ? AND json_valid(flow) AND flow ->> '$.stopped_at' IS NOT NULL AND state NOT IN ('failed', 'timed_out')`,
    ),
    setLimits: db.prepare('UPDATE outbox SET flow = ?, deadline_at = ?, deadline_name = ? WHERE seq = ?'),
  }
}

export class TriggerPauses {
  readonly #sql: ReturnType<typeof statements>
  readonly #damage: DamageLog
  #paused = new Map<string, TriggerPause>()

  constructor(db: Db, damage: DamageLog) {
    this.#sql = statements(db)
    this.#damage = damage
    this.reload()
  }

  /** After a rollback, too. */
  reload(): void {
    this.#paused = new Map(
      this.#sql.all
        .all()
        .flatMap(row => this.#read(row) ?? [])
        .map(pause => [pause.trigger_id, pause]),
    )
  }

  /** A trigger whose row is found damaged stays paused: its runs must not start because of a flipped bit. */
  #read({ trigger_id, reason, paused_at }: TriggerPause): TriggerPause | undefined {
    if (name(trigger_id) !== undefined || !this.isDefined(trigger_id)) {
      this.#damage.add(
        damageText('trigger_pause', textOf(trigger_id), {
          column: 'trigger_id',
          why: 'there is no such trigger; pause the trigger that was meant again',
        }),
      )
      return undefined
    }
    const isReason = reason === null || typeof reason === 'string'
    const wrong = time(paused_at)
    if (!isReason)
      this.#damage.add(damageText('trigger_pause', trigger_id, { column: 'reason', why: 'it is no text' }))
    if (wrong !== undefined)
      this.#damage.add(damageText('trigger_pause', trigger_id, { column: 'paused_at', why: wrong }))
    return {
      trigger_id,
      reason: isReason ? reason : 'the stored reason is damaged',
      paused_at: wrong === undefined ? paused_at : 0,
    }
  }

  get any(): boolean {
    return this.#paused.size > 0
  }

  all(): TriggerPause[] {
    return [...this.#paused.values()]
  }

  of(trigger_id: string): TriggerPause | undefined {
    return this.#paused.get(trigger_id)
  }

  isDefined(trigger_id: string): boolean {
    return this.#sql.exists.get(trigger_id) !== undefined
  }

  put(pause: TriggerPause): void {
    this.#sql.put.run(pause.trigger_id, pause.reason, pause.paused_at)
    this.#paused.set(pause.trigger_id, pause)
  }

  remove(trigger_id: string): void {
    this.#sql.remove.run(trigger_id)
    this.#paused.delete(trigger_id)
  }

  /** The lane that a new run of a trigger waits on; null: the trigger is not paused. */
  laneOf(trigger_id: string): string | null {
    return this.#paused.has(trigger_id) ? triggerLane(trigger_id) : null
  }

  /** Whether no run more may wait for a paused trigger, once some wait for it no more. */
  isFull(trigger_id: string, leaving = 0): boolean {
    if (!this.#paused.has(trigger_id)) return false
    return this.#sql.parked.get(triggerLane(trigger_id), mostWaiting + leaving)! - leaving >= mostWaiting
  }

  /** The row to write: the time limits of a run that waits for a paused trigger are suspended. */
  stopped<Row extends Limited>(row: Row, now: number): Row {
    const pause = this.#paused.get(row.trigger_id)
    if (pause === undefined || row.deadline_at === null || row.flow === null || !waiting.includes(row.state))
      return row
    const answer =
      row.deadline_name === 'approval' ? { answer_left_ms: Math.max(0, row.deadline_at - now) } : {}
    const flow: RunFlow = {
      ...(JSON.parse(row.flow) as RunFlow),
      stopped_at: Math.max(pause.paused_at, row.created_at),
      ...answer,
    }
    return { ...row, flow: JSON.stringify(flow), deadline_at: null, deadline_name: null }
  }

  /** The gates of a new run as they are stored, and when it is too old. */
  limits(
    given: RunFlow | undefined,
    trigger_id: string,
    created_at: number,
    now: number,
  ): Pick<Limited, 'flow' | 'deadline_at' | 'deadline_name'> {
    const flow = given === undefined ? null : JSON.stringify(given)
    const deadline_at = given === undefined ? null : tooOldAt(given, created_at)
    return this.stopped(
      {
        trigger_id,
        state: 'pending',
        flow,
        created_at,
        deadline_at,
        deadline_name: deadline_at === null ? null : 'max_age_ms',
      },
      now,
    )
  }

  /** Stops the time of all runs that wait for a trigger. */
  stopClocks(trigger_id: string, now: number): void {
    for (const row of this.#sql.limited.all(trigger_id).filter(isReadable)) {
      const { flow, deadline_at, deadline_name } = this.stopped(row, now)
      this.#sql.setLimits.run(flow, deadline_at, deadline_name, row.seq)
    }
  }

  /** Lets the time of all runs of a trigger go on; answers their nearest deadline. */
  startClocks(trigger_id: string, now: number): number | null {
    const deadlines = this.#sql.stopped
      .all(trigger_id)
      .filter(isReadable)
      .map(row => {
        const { flow, deadline_at, deadline_name } = goesOn(
          { ...row, flow: JSON.parse(row.flow) as RunFlow },
          now,
        )
        this.#sql.setLimits.run(JSON.stringify(flow), deadline_at, deadline_name, row.seq)
        return deadline_at ?? Infinity
      })
    const nearest = Math.min(...deadlines)
    return nearest === Infinity ? null : nearest
  }

  /** Unparks every run that waits on the lane of a trigger; answers their bots, and when the first that is not due yet is. */
  unpark(lane: string, now: number): { bots: Set<string>; due_at: number | null } {
    const rows = this.#sql.unpark.all(now, lane)
    const later = Math.min(...rows.filter(row => row.ready === 0).map(row => row.not_before))
    return { bots: new Set(rows.map(row => row.bot_id)), due_at: later === Infinity ? null : later }
  }
}
