// Pausing and resuming a trigger. Each is one transaction.
import { pauseReason, type TriggerPause } from '../../store.ts'
import type { History } from '../tables/history.ts'
import type { Lanes } from './lanes.ts'
import type { Db } from '../db.ts'
import { runColumns, runDamage, type RunRow } from '../tables/run-rows.ts'
import type { Soon } from '../next-due.ts'
import { mostWaiting, triggerLane } from './trigger-pauses.ts'

export class TriggerPausing {
  readonly #waiting
  readonly #lanes: Lanes
  readonly #history: History
  readonly #soon: Soon

  constructor(db: Db, { lanes, history, soon }: { lanes: Lanes; history: History; soon: Soon }) {
    this.#lanes = lanes
    this.#history = history
    this.#soon = soon
    this.#waiting = db.prepare<[string, string, number], RunRow>(
      `SELECT ${runColumns} FROM outbox WHERE trigger_id = ? AND state = 'pending' AND parked_on IS NOT ? ORDER BY seq LIMIT ?`,
    )
  }

  /**
   * Runs that wait are parked here as far as they count towards the limit, whatever they were parked on before: a resumed run is
   * judged again by every gate. Further ones are parked when they are claimed. null: there is no such trigger.
   */
  pause(trigger_id: string, reason: string | null, now: number): TriggerPause | null {
    const { pauses } = this.#lanes
    if (!pauses.isDefined(trigger_id)) return null
    const before = pauses.of(trigger_id)
    const pause: TriggerPause = { trigger_id, reason, paused_at: before?.paused_at ?? now }
    pauses.put(pause)
    if (before !== undefined) return pause
    pauses.stopClocks(trigger_id, now)
    const lane = triggerLane(trigger_id)
    const park = { kind: 'park' as const, lane, reason: pauseReason(pause) }
    for (const row of this.#waiting.all(trigger_id, lane, mostWaiting))
      if (runDamage(row).length === 0) this.#lanes.park(row, park, now)
    this.#history.emitLifecycle(
      'trigger.paused',
      trigger_id,
      { trigger: trigger_id, ...(reason === null ? {} : { reason }) },
      now,
    )
    return pause
  }

  /** Answers whether the trigger was paused. */
  resume(trigger_id: string, reason: string | null, now: number): boolean {
    const { pauses } = this.#lanes
    if (pauses.of(trigger_id) === undefined) return false
    pauses.remove(trigger_id)
    this.#go(trigger_id, now)
    this.#history.emitLifecycle(
      'trigger.resumed',
      trigger_id,
      { trigger: trigger_id, ...(reason === null ? {} : { reason }) },
      now,
    )
    return true
  }

  #go(trigger_id: string, now: number): void {
    this.#soon.add(this.#lanes.pauses.startClocks(trigger_id, now))
    this.#soon.add(this.#lanes.openTrigger(triggerLane(trigger_id), now))
  }
}
