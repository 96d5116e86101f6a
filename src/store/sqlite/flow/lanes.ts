// Lanes: which runs share a limit, and which wait for it.
//
// A run that a gate keeps back is parked on the gate's lane: it is in no index of due rows, so no claim reads it
// again until the lane has room, and 100,000 of them cost a claim nothing. Room comes with a move of one of the lane's
// runs, or with time (lane_opening); then the first of each bot and queue is unparked, and judged again when it is claimed.
import type { RunFlow } from '../../flow.ts'
import { dependencyLane } from '../../flow.ts'
import { pauseReason } from '../../store.ts'
import type { CompleteBudget } from '../../../contract/budgets.ts'
import { budgetLane, budgetLanePrefix, Budgets, scopeLanePrefix } from './budgets.ts'
import type { DamageLog } from '../tables/damage.ts'
import type { GateCounting } from '../tables/gate-counts.ts'
import type { History } from '../tables/history.ts'
import type { Db } from '../db.ts'
import { Rings } from '../tables/rate-limits.ts'
import type { RunRow } from '../tables/run-rows.ts'
import { ownLanes, slots } from './run-lanes.ts'
import { triggerLane, triggerLanePrefix, TriggerPauses } from './trigger-pauses.ts'
import { statements } from './lane-statements.ts'

/** Runs that an approver is asked about at the same time. */
const questionsAtOnce = 10
/** Lanes that one call opens because their time has come, and runs that it unparks of a budget that is gone. */
const openedAtOnce = 500
/**
 * After a budget's lane was opened its next run goes when the one before it is claimed or parked. Should that one be ended in
 * between, the lane would stay closed: as long as runs wait on it, it is checked again.
 */
const budgetAgainMs = 60_000

export type Verdict =
  | { kind: 'go' }
  | { kind: 'ask' }
  | { kind: 'park'; lane: string; reason: string; held?: true }

/** A run that depends on others of its event stays until they are over. */
export function waitsForRuns({ triggers }: NonNullable<RunFlow['depends_on']>): Verdict & { kind: 'park' } {
  return {
    kind: 'park',
    lane: dependencyLane,
    reason: `waits for the runs of ${triggers.join(', ')} for the same event`,
  }
}

/** The least text that is after every text with this prefix. */
function nextAfter(prefix: string): string {
  return `${prefix.slice(0, -1)}${String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1)}`
}

interface LaneParts {
  history: History
  damage: DamageLog
  counts: GateCounting
}

export class Lanes {
  /** bots (and needs) whose runs may go now that could not before; taken and reported after each commit */
  readonly due = new Set<string>()
  readonly rings: Rings
  readonly budgets: Budgets
  readonly pauses: TriggerPauses
  readonly #sql: ReturnType<typeof statements>
  readonly #history: History
  readonly #counts: GateCounting

  /** budgets: those of the configuration */
  constructor(db: Db, { history, damage, counts }: LaneParts, budgets: readonly CompleteBudget[]) {
    this.#history = history
    this.#counts = counts
    this.#sql = statements(db)
    this.rings = new Rings(db)
    this.budgets = new Budgets(db, { history, damage }, budgets)
    this.pauses = new TriggerPauses(db, damage)
  }

  /** At a start: budgets may be others now, so what waits for one is judged again. So is what waits for a trigger that is not paused. */
  restart(now: number): void {
    for (const lane of this.#sql.waitedFor.all(triggerLanePrefix, nextAfter(triggerLanePrefix)))
      if (this.pauses.of(lane.slice(triggerLanePrefix.length)) === undefined)
        this.#sql.setOpening.run(lane, now)
    for (const lane of this.#sql.waitedFor.all(budgetLanePrefix, nextAfter(budgetLanePrefix)))
      this.#sql.setOpening.run(lane, now)
  }

  /** A bot was written: its budgets may be others now. */
  rewrittenBot(bot_id: string, now: number): void {
    const prefix = scopeLanePrefix(`bot:${bot_id}`)
    for (const lane of this.#sql.waitedFor.all(prefix, nextAfter(prefix))) this.#openBudget(lane, now)
  }

  /** A run is open (again), or was released from the repeat limit. */
  enter(seq: number, flow: RunFlow): void {
    for (const each of [flow.order, flow.singleton])
      if (each !== undefined) this.#sql.enter.run(each.lane, seq)
  }

  /** A run still absorbs events. */
  absorbs(lane: string, seq: number): void {
    this.#sql.enter.run(lane, seq)
  }

  /** A run of a lane that is still open, if there is one. */
  first(lane: string): number | undefined {
    return this.#sql.head.get(lane)
  }

  /** Absorbs nothing more: what it holds is what its bot will be given. */
  closes(seq: number, { debounce, batch }: RunFlow): void {
    for (const each of [debounce, batch]) if (each !== undefined) this.#sql.leave.run(each.lane, seq)
  }

  /** Whether a run that is due may go to its bot; the gates in their order. bot_id: the bot that it would go to. */
  judge(
    row: Pick<RunRow, 'seq' | 'approved' | 'trigger_id'>,
    flow: RunFlow,
    bot_id: string,
    now: number,
  ): Verdict {
    const { depends_on, approval, throttle, order } = flow
    const pause = this.pauses.of(row.trigger_id)
    if (pause !== undefined)
      return { kind: 'park', lane: triggerLane(row.trigger_id), reason: pauseReason(pause) }
    if (depends_on !== undefined && this.#sql.dependsOn.get(row.seq) !== undefined)
      return waitsForRuns(depends_on)
    if (approval !== undefined && row.approved === 0) {
      const { lane } = approval
      const isBusy = lane !== undefined && this.#sql.active.get(lane, questionsAtOnce)! >= questionsAtOnce
      return isBusy
        ? { kind: 'park', lane, reason: 'its approver is busy with other requests' }
        : { kind: 'ask' }
    }
    const over = this.budgets.over(this.budgets.of(flow, bot_id), now)
    if (over !== undefined) {
      this.#sql.setBudgetOpening.run(over.lane, over.opens_at)
      return { kind: 'park', lane: over.lane, reason: over.reason, held: true }
    }
    if (throttle !== undefined) {
      const opens_at = this.#throttleOpensAt(throttle, now)
      if (opens_at > now) {
        this.#sql.setOpening.run(throttle.lane, opens_at)
        return {
          kind: 'park',
          lane: throttle.lane,
          reason: `throttled until ${new Date(opens_at).toISOString()}`,
        }
      }
    }
    if (
      order !== undefined &&
      (this.#sql.head.get(order.lane) !== row.seq || this.#sql.active.get(order.lane, 1)! > 0)
    )
      return { kind: 'park', lane: order.lane, reason: 'waits for an earlier run with the same order_key' }
    for (const { lane, limit, what } of slots(flow))
      if (this.#sql.active.get(lane, limit)! >= limit)
        return {
          kind: 'park',
          lane,
          reason: `${what}: ${limit} of ${limit} runs with this key are with bots`,
        }
    return { kind: 'go' }
  }

  park(row: RunRow, verdict: Verdict & { kind: 'park' }, now: number): void {
    const [state, held_by, move] =
      verdict.held === true ? (['held', 'budget', 'hold'] as const) : (['pending', null, 'wait'] as const)
    this.#sql.park.run(
      verdict.lane,
      state,
      held_by,
      verdict.held === true ? verdict.reason : null,
      now,
      row.seq,
    )
    this.#history.add(row, { at: now, move, state, reason: verdict.reason })
    this.#counts.parked(verdict.lane)
    this.onParked(row, now, verdict.lane)
  }

  /** A run that stood first for some limits waits for something else: those behind it may go. */
  onParked({ flow, bot_id }: Pick<RunRow, 'flow' | 'bot_id'>, now: number, except?: string): void {
    if (flow !== null || this.budgets.defined.any)
      this.#offer(flow === null ? {} : (JSON.parse(flow) as RunFlow), bot_id, now, except)
  }

  /** Its approver is asked. */
  asks({ seq, bot_id }: Pick<RunRow, 'seq' | 'bot_id'>, flow: RunFlow, now: number): void {
    this.closes(seq, flow)
    this.#counts.add('approval')
    if (flow.approval?.lane !== undefined) this.#sql.activate.run(flow.approval.lane, seq)
    this.#offer(flow, bot_id, now)
  }

  /** A run goes to its bot: it counts from now on. */
  leased(seq: number, flow: RunFlow, bot_id: string, now: number): void {
    this.closes(seq, flow)
    this.budgets.began(this.budgets.all(flow, bot_id), now)
    for (const rate of flow.throttle?.rates ?? []) this.rings.take(rate, now)
    for (const { lane } of slots(flow)) this.#sql.activate.run(lane, seq)
    if (flow.order !== undefined) this.#sql.activate.run(flow.order.lane, seq)
    this.#offer(flow, bot_id, now)
  }

  /** A worker gave back what it had not begun at the time at which it was given it: that spent nothing. */
  unspent(flow: RunFlow, bot_id: string, leased_at: number): void {
    this.budgets.unspent(this.budgets.all(flow, bot_id), leased_at)
    for (const rate of flow.throttle?.rates ?? []) this.rings.giveBack(rate, leased_at)
  }

  /** A run is not with its bot any more, or not open any more. */
  moved(
    { seq, bot_id }: Pick<RunRow, 'seq' | 'bot_id'>,
    flow: RunFlow,
    to: { active: boolean; open: boolean; ordered: boolean; asked?: boolean },
    now: number,
  ): void {
    const { singleton, concurrency, order, approval } = flow
    if (approval?.lane !== undefined && to.asked !== true) this.#sql.leave.run(approval.lane, seq)
    if (!to.active && concurrency !== undefined) this.#sql.leave.run(concurrency.lane, seq)
    if (!to.active && singleton !== undefined)
      (to.open ? this.#sql.deactivate : this.#sql.leave).run(singleton.lane, seq)
    if (!to.open) this.closes(seq, flow)
    if (order !== undefined && !to.ordered) this.#sql.leave.run(order.lane, seq)
    else if (order !== undefined && !to.active) this.#sql.deactivate.run(order.lane, seq)
    if (order !== undefined && !to.active) {
      const next = this.#sql.head.get(order.lane)
      if (next !== undefined) this.#unpark(next, order.lane, now)
    }
    this.#offer(flow, bot_id, now)
  }

  /** What waits for a run's limits, where they have room. */
  #offer(flow: RunFlow, bot_id: string, now: number, except?: string): void {
    const { throttle, approval } = flow
    const asked = approval?.lane
    if (
      asked !== undefined &&
      asked !== except &&
      this.#sql.active.get(asked, questionsAtOnce)! < questionsAtOnce
    )
      this.#open(asked, now)
    for (const { lane, limit } of slots(flow))
      if (lane !== except && this.#sql.active.get(lane, limit)! < limit) this.#open(lane, now)
    this.#offerBudgets(flow, bot_id, now, except)
    if (throttle !== undefined && throttle.lane !== except)
      this.#openAt(throttle.lane, this.#throttleOpensAt(throttle, now), now)
  }

  /** The next run of each budget that binds this one. */
  #offerBudgets(flow: RunFlow, bot_id: string, now: number, except?: string): void {
    for (const each of this.budgets.of(flow, bot_id)) {
      const lane = budgetLane(each)
      // Whether anybody waits is known at once, whether there is room may take a sum.
      if (lane === except || this.#sql.firstParked.get(lane) === undefined) continue
      const opens_at = this.budgets.opensAt(each, now)
      if (opens_at <= now) this.#open(lane, now)
      else this.#sql.setBudgetOpening.run(lane, opens_at)
    }
  }

  /** When each of a throttle's rates has room again. */
  #throttleOpensAt({ rates }: NonNullable<RunFlow['throttle']>, now: number): number {
    return Math.max(...rates.map(rate => this.rings.opensAt(rate, now)))
  }

  #openAt(lane: string, opens_at: number, now: number): void {
    if (this.#sql.firstParked.get(lane) === undefined) return
    if (opens_at <= now) this.#open(lane, now)
    else this.#sql.setOpening.run(lane, opens_at)
  }

  /** Unparks the first run of each bot and queue: one that cannot go for another reason blocks no other. */
  #open(lane: string, now: number): void {
    let found = this.#sql.firstParked.get(lane)
    while (found !== undefined) {
      this.#unpark(found.seq, lane, now)
      found = this.#sql.nextParked.get(lane, found.bot_id, found.queue)
    }
  }

  #unpark(seq: number, lane: string, now: number, reason = 'there is room again'): void {
    const row = this.#sql.bySeq.get(seq)
    if (row === undefined || this.#sql.unpark.run(now, now, seq, lane).changes === 0) return
    if (row.state === 'held') this.#history.add(row, { at: now, move: 'release', state: 'pending', reason })
    this.due.add(row.bot_id)
  }

  /** What each run is in, for mend(); runs that are not there any more are in none. */
  members(): Map<number, Map<string, number>> {
    this.#sql.dropOrphans.run()
    const all = new Map<number, Map<string, number>>()
    for (const { lane, run_seq, active } of this.#sql.members.iterate()) {
      const own = all.get(run_seq) ?? new Map<string, number>()
      all.set(run_seq, own.set(lane, active))
    }
    return all
  }

  /** Puts a run into the lanes of its flow and out of others; answers whether anything was not as it should be. */
  mend(row: RunRow, flow: RunFlow, members: ReadonlyMap<string, number>): boolean {
    const own = ownLanes(row, flow)
    const absorbing = new Set([flow.debounce?.lane, flow.batch?.lane])
    const wrong = [...members].filter(
      ([lane, active]) =>
        own.get(lane) !== active && !(absorbing.has(lane) && active === 0 && !own.has(lane)),
    )
    const missing = [...own].filter(([lane]) => !members.has(lane))
    for (const [lane] of wrong) this.#sql.leave.run(lane, row.seq)
    for (const [lane, active] of own) (active === 1 ? this.#sql.activate : this.#sql.enter).run(lane, row.seq)
    return wrong.length + missing.length > 0
  }

  /** A run leaves every lane that it is in, whatever its flow says: those that wait for it go on. */
  abandon(seq: number, now: number): void {
    for (const lane of this.#sql.memberOf.all(seq)) {
      this.#sql.leave.run(lane, seq)
      const next = this.#sql.head.get(lane)
      if (next !== undefined) this.#unpark(next, lane, now)
      this.#open(lane, now)
    }
  }

  /** Lets the first runs that wait for a lane be judged again, at once or with the next tick. */
  open(lane: string, now: number): void {
    this.#sql.setOpening.run(lane, now)
  }

  /** A run that waits for nothing of its lane any more. */
  release(seq: number, lane: string, now: number): void {
    this.#unpark(seq, lane, now)
  }

  /** Opens the lanes whose time has come. */
  tick(now: number): void {
    for (const lane of this.#sql.openings.all(now, openedAtOnce)) {
      this.#sql.closeOpening.run(lane)
      if (lane.startsWith(budgetLanePrefix)) this.#openBudget(lane, now)
      else if (lane.startsWith(triggerLanePrefix)) this.openTrigger(lane, now)
      else this.#open(lane, now)
    }
  }

  /** Unparks every run of a trigger that is not paused; answers when the first of them that is not due yet is. */
  openTrigger(lane: string, now: number): number | null {
    if (this.pauses.of(lane.slice(triggerLanePrefix.length)) !== undefined) return null
    const { bots, due_at } = this.pauses.unpark(lane, now)
    for (const bot_id of bots) this.due.add(bot_id)
    return due_at
  }

  /** Unparks runs that a budget may not keep any more, and says when its lane is opened again. */
  #openBudget(lane: string, now: number): void {
    const gate = this.budgets.ofLane(lane)
    // A run that begins offers the next one of budgets that bind it: of one that is gone all are judged again.
    if (gate === undefined)
      for (const seq of this.#sql.parkedOn.all(lane, openedAtOnce))
        this.#unpark(seq, lane, now, 'its budget was removed or changed')
    const opens_at = gate === undefined ? now : this.budgets.opensAt(gate, now)
    if (gate !== undefined && opens_at <= now) this.#open(lane, now)
    if (this.#sql.firstParked.get(lane) === undefined) return
    this.#sql.setBudgetOpening.run(
      lane,
      gate !== undefined && opens_at <= now ? now + budgetAgainMs : opens_at,
    )
  }

  /** A trigger's limit of concurrent runs was written again: it also counts for waiting runs. */
  relimit(trigger_id: string, limit: number, now: number): void {
    this.#sql.relimit.run(limit, trigger_id)
    for (const lane of this.#sql.waitedFor.all(`concurrency:${trigger_id}:`, `concurrency:${trigger_id};`))
      this.#open(lane, now)
  }

  nextOpening(): number | null {
    return this.#sql.nextOpening.get() ?? null
  }
}
