// Budgets and usage: reads a list of budgets, checks what the schema cannot check, and converts costs to whole numbers. Pure.
import { anyOf, validationError, type ValidationError } from '../validation-error.ts'
import type { Budget, Budgets, Usage } from './types.ts'

export type BudgetFigure = 'runs' | 'tokens' | 'cost_usd'
export type BudgetHolder = NonNullable<Budget['per']>

const figures = ['runs', 'tokens', 'cost_usd'] as const satisfies BudgetFigure[]
const hourMs = 3_600_000
const periods = { hour: hourMs, day: 24 * hourMs, month: 30 * 24 * hourMs }

/** Costs are kept as whole millionths of a dollar, so that sums are exact. */
export const microPerUsd = 1_000_000

/** One budget with its defaults filled in; limit is in runs, tokens or micro-dollars. */
export interface CompleteBudget {
  per: BudgetHolder
  figure: BudgetFigure
  limit: number
  period_ms: number
}

function listOf(budgets: Budgets): readonly Budget[] {
  return Array.isArray(budgets) ? budgets : [budgets]
}

/** The budgets of a list that has been checked. usual: what a budget without per is. */
export function completeBudgets(budgets: Budgets | undefined, usual: BudgetHolder): CompleteBudget[] {
  return listOf(budgets ?? []).map(budget => {
    const figure = figures.find(name => budget[name] !== undefined)!
    const limit = figure === 'cost_usd' ? Math.round(budget.cost_usd! * microPerUsd) : budget[figure]!
    const period_ms = typeof budget.period === 'number' ? budget.period : periods[budget.period]
    return { per: budget.per ?? usual, figure, limit, period_ms }
  })
}

/**
 * What a list of budgets must not be, or undefined; path: which budget, from the list on. takes: whose use may be limited where the
 * list is written, the default first.
 */
export function budgetRefusal(budgets: Budgets, takes: readonly BudgetHolder[]): ValidationError | undefined {
  for (const [index, budget] of listOf(budgets).entries()) {
    const path = Array.isArray(budgets) ? `.${index}` : ''
    const found = figures.filter(name => budget[name] !== undefined)
    if (found.length !== 1)
      return validationError({
        path,
        expected: `must have exactly one of ${figures.join(', ')}`,
        found: found.length === 0 ? 'none' : found.join(' and '),
      })
    const per = budget.per ?? takes[0]!
    if (!takes.includes(per))
      return validationError({
        path: `${path}.per`,
        expected: `must be ${anyOf(takes)} here`,
        found: per,
        suggestion: places[per],
      })
  }
  return undefined
}

const places: Record<BudgetHolder, string> = {
  trigger: 'budgets of a trigger belong into its policy',
  bot: 'budgets of a bot belong into the bot, those of every bot into the configuration',
  router: 'budgets of all runs belong into the configuration',
}

/** A report of usage with its cost in micro-dollars. */
export function usageReport({ input_tokens, output_tokens, cost_usd }: Usage): {
  input_tokens?: number
  output_tokens?: number
  cost_micro_usd?: number
} {
  return {
    ...(input_tokens === undefined ? {} : { input_tokens }),
    ...(output_tokens === undefined ? {} : { output_tokens }),
    ...(cost_usd === undefined ? {} : { cost_micro_usd: Math.round(cost_usd * microPerUsd) }),
  }
}
