// router.stats: counts and times by queue, bot and trigger.
import type { RouterStatsResult } from '../../contract/types.ts'
import { budgetRate } from '../../routing/run-flow.ts'
import type { RunCounts } from '../../store/store.ts'
import type { Handlers } from '../jsonrpc.ts'
import type { Context } from './context.ts'

const dayMs = 86_400_000

type Shown = Omit<RunCounts, 'id'> & { id: string | null }
type BudgetUse = NonNullable<RouterStatsResult['triggers'][number]['budget']>

function byId(counts: readonly RunCounts[]): Shown[] {
  return counts.map(each => ({ ...each, id: each.id === '' ? null : each.id })).toSorted((a, b) => ((a.id ?? '') < (b.id ?? '') ? -1 : 1))
}

/** How much of their budgets triggers have used. */
async function budgets({ registry, store, now }: Context): Promise<Map<string, BudgetUse>> {
  const all = [...registry.triggers.values()].flatMap(({ id, policy: { budget } }) => (budget === undefined ? [] : [{ id, budget }]))
  if (all.length === 0) return new Map()
  const gates = all.map(({ id, budget }) => budgetRate(id, budget))
  const passes = await store.passes(gates, now())
  return new Map(all.map(({ id, budget }, index) => [id, { runs: passes[index]!, of: budget.runs, period: budget.period }]))
}

export function statsMethods(context: Context): Pick<Handlers, 'router.stats'> {
  const { store, now } = context
  return {
    async 'router.stats'({ since = now() - dayMs }) {
      const [{ runs, queues, bots, triggers }, used] = await Promise.all([store.stats(since), budgets(context)])
      const known = new Set(triggers.map(each => each.id))
      const idle = [...used.keys()].filter(id => !known.has(id)).map(id => ({ id, waiting: 0, active: 0, dead: 0, done: 0, failed: 0 }))
      const withBudget = byId([...triggers, ...idle]).map(each => {
        const budget = used.get(each.id ?? '')
        return budget === undefined ? each : { ...each, budget }
      })
      return { since, runs, queues: byId(queues), bots: byId(bots), triggers: withBudget }
    },
  }
}
