// router.stats: counts, times, usage and budgets by queue, bot and trigger.
import { completeBudgets, microPerUsd, type CompleteBudget } from '../../contract/budgets.ts'
import type { BudgetUse, RouterStatsResult, UsageTotals } from '../../contract/types.ts'
import { budgetGate, type BudgetGate } from '../../store/flow.ts'
import type { RunCounts, RunStats } from '../../store/store.ts'
import type { Handlers } from '../jsonrpc.ts'
import type { Context } from './context.ts'
import { shownUsage } from './shown-run.ts'

const dayMs = 86_400_000

type Shown = Omit<RunCounts, 'id' | 'unreported'> & { id: string | null }

function byId(counts: readonly RunCounts[]): (Shown & { unreported: number })[] {
  return counts
    .map(each => ({ ...each, id: each.id === '' ? null : each.id }))
    .toSorted((a, b) => ((a.id ?? '') < (b.id ?? '') ? -1 : 1))
}

/** Every budget that is defined, with whose it is as scope. */
function definedBudgets({ registry, config }: Context): BudgetGate[] {
  const configured = completeBudgets(config.budget, 'router')
  const everyBot = configured.filter(each => each.per === 'bot')
  const of = (scope: string, budgets: readonly CompleteBudget[]): BudgetGate[] =>
    budgets.map(each => budgetGate(scope, each))
  return [
    ...[...registry.triggers.values()].flatMap(({ id, policy }) =>
      of(`trigger:${id}`, completeBudgets(policy.budget, 'trigger')),
    ),
    ...[...registry.bots.values()].flatMap(({ id, budget }) =>
      of(`bot:${id}`, [...completeBudgets(budget, 'bot'), ...everyBot]),
    ),
    ...of(
      'router',
      configured.filter(each => each.per === 'router'),
    ),
  ]
}

/** What is used of every budget, by scope. */
async function budgetUses(context: Context): Promise<Map<string, BudgetUse[]>> {
  const gates = definedBudgets(context)
  const uses = gates.length === 0 ? [] : await context.store.budgetUses(gates, context.now())
  const byScope = new Map<string, BudgetUse[]>()
  for (const { scope, figure, limit, period_ms, used } of uses) {
    const shown = (amount: number): number => (figure === 'cost_usd' ? amount / microPerUsd : amount)
    const use: BudgetUse = {
      per: scope.split(':')[0] as BudgetUse['per'],
      figure,
      used: shown(used),
      limit: shown(limit),
      period_ms,
    }
    byScope.set(scope, [...(byScope.get(scope) ?? []), use])
  }
  return byScope
}

const noUsage = { input_tokens: 0, output_tokens: 0, cost_micro_usd: 0 }

interface Use {
  usage?: UsageTotals
  budgets?: BudgetUse[]
}

export function statsMethods(context: Context): Pick<Handlers, 'router.stats'> {
  const { store, now } = context
  return {
    async 'router.stats'({ since = now() - dayMs }): Promise<RouterStatsResult> {
      const [{ runs, unreported, events, queues, bots, triggers }, used, budgets] = await Promise.all([
        store.stats(since),
        store.usage(since),
        budgetUses(context),
      ])
      const usage = new Map(used.map(each => [each.scope, each]))
      const useOf = (scope: string, silent: number): Use => {
        const [reported, limited] = [usage.get(scope), budgets.get(scope)]
        return {
          ...(reported === undefined && silent === 0
            ? {}
            : { usage: shownUsage({ ...noUsage, ...reported, unreported: silent }) }),
          ...(limited === undefined ? {} : { budgets: limited }),
        }
      }
      const withUse = (kind: 'bot' | 'trigger', counts: RunStats['bots']): (Shown & Use)[] =>
        byId([...counts, ...idle(kind, counts, [...usage.keys(), ...budgets.keys()])]).map(
          ({ unreported: silent, ...each }) => ({
            ...each,
            ...(each.id === null ? {} : useOf(`${kind}:${each.id}`, silent)),
          }),
        )
      const plain = byId(queues).map(({ unreported: _, ...each }) => each)
      return {
        since,
        runs,
        events,
        refused: refusedSince(context, since),
        queues: plain,
        bots: withUse('bot', bots),
        triggers: withUse('trigger', triggers),
        ...useOf('router', unreported),
      }
    },
  }
}

function refusedSince({ refused }: Context, since: number): RouterStatsResult['refused'] {
  const sources = [...refused.totals(since)]
    .map(([id, totals]) => ({ id, ...totals }))
    .toSorted((a, b) => b.count - a.count)
  return { count: sources.reduce((sum, { count }) => sum + count, 0), sources }
}

/** Bots or triggers without runs that have a budget, or used something. */
function idle(kind: 'bot' | 'trigger', counts: readonly RunCounts[], scopes: readonly string[]): RunCounts[] {
  const known = new Set(counts.map(each => each.id))
  const ids = scopes.filter(scope => scope.startsWith(`${kind}:`)).map(scope => scope.slice(kind.length + 1))
  return [...new Set(ids)]
    .filter(id => !known.has(id))
    .map(id => ({ id, waiting: 0, active: 0, dead: 0, done: 0, failed: 0, unreported: 0 }))
}
