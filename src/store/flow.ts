// The gates that a run carries with it: its trigger's policy when it was made, keys rendered. What they remember stands
// in the store, so a restart changes nothing.

import type { CompleteBudget } from '../contract/budgets.ts'
import type { Gate } from '../contract/types.ts'

/** A limit over time: at most limit passes of the key in any period. */
export interface RateGate {
  key: string
  limit: number
  period_ms: number
}

/** How much may be used in any period_ms, by whom. */
export interface BudgetGate {
  /** trigger:ID, bot:ID or router */
  scope: string
  figure: 'runs' | 'tokens' | 'cost_usd'
  /** runs, tokens, or micro-dollars */
  limit: number
  period_ms: number
}

/** A budget as it was written, as the budget of a scope. */
export function budgetGate(scope: string, { figure, limit, period_ms }: CompleteBudget): BudgetGate {
  return { scope, figure, limit, period_ms }
}

export interface BudgetUse extends BudgetGate {
  used: number
}

export interface RunFlow {
  /** how many runs of its trigger there may be about its thread, within a time; of a stored run: it has a pass of this gate */
  repeat_limit?: RateGate
  /** made although that limit was reached: it is in no lane until a person releases it, so that it blocks no other run */
  repeat_held?: true
  /** a person asked it to stop before it began */
  stopped_by_person?: true
  rate_limit?: RateGate
  /** delay_ms: how long the run waits after its event at the least, however quiet it is */
  debounce?: { lane: string; period_ms: number; max_wait_ms: number; delay_ms: number }
  batch?: { lane: string; max: number; timeout_ms: number }
  singleton?: { lane: string; on_conflict: 'skip' | 'queue' | 'cancel_running' }
  concurrency?: { lane: string; limit: number }
  /** every one of the rates must let it pass */
  throttle?: { lane: string; rates: RateGate[] }
  /** those of its trigger; those of bots and of the router are looked up when it is claimed */
  budgets?: BudgetGate[]
  /** of runs from before there were several: the one of its trigger, in runs */
  budget?: { trigger_id: string; rate: RateGate }
  /** a person released it: no budget keeps its next attempt */
  budgets_released?: true
  order?: { lane: string; on_dead: 'block' | 'continue' }
  depends_on?: { triggers: string[]; on_failed: 'skip' | 'hold' }
  /** asked before it starts: a bot by its lane, or people; timeout_ms: when no answer is a no, null: never */
  approval?: { lane?: string; timeout_ms: number | null }
  /** its inputs or its context files were changed before it began: run_override has them */
  overridden?: true
  max_age_ms?: number
  /** its trigger is paused: since when its time limits are suspended */
  stopped_at?: number
  /** of these: how long an approver still had to answer */
  answer_left_ms?: number
  /** how long its time limits were suspended before, in all */
  paused_ms?: number
  start_timeout_ms?: number
  timeout_ms?: number
  idle_timeout_ms?: number
}

/** What gates did, since it was reported last. */
export interface GateCounts {
  /** pairs of an event and a trigger that it matches */
  matches: number
  /** how often a gate acted */
  gates: (readonly [gate: Gate['gate'], count: number])[]
}

/** The lane that a run with dependencies waits for. */
export const dependencyLane = 'dependency'
