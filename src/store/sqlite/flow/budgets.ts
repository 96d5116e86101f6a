// Budgets: how much may be used in any period, by a trigger, a bot, or all runs together.
//
// A trigger's budgets come with the run (flow.ts); those of bots and of the router are those that are defined now. They are
// checked when a run is claimed: what does not fit is held on the lane of the budget until there is room. Runs that begin are
// counted exactly (begun.ts), tokens and costs as they are reported (usage.ts).
import { completeBudgets, microPerUsd, type CompleteBudget } from '../../../contract/budgets.ts'
import type { Budgets as WrittenBudgets } from '../../../contract/types.ts'
import { budgetGate, type BudgetGate, type RunFlow } from '../../flow.ts'
import { BegunRuns } from '../tables/begun.ts'
import { damageText, type DamageLog } from '../tables/damage.ts'
import type { History } from '../tables/history.ts'
import type { Db } from '../db.ts'
import { parsed } from '../tables/rows.ts'
import { figureOf, Spending, type Usage } from '../tables/usage.ts'
import { isNeed, type UsageReport, type UsageTotals } from '../../store.ts'

/** The share of a budget at which a lifecycle event warns. */
const warnedShare = 0.8
const hourMs = 3_600_000
/** After how long a run is judged again whose bot is off. Writing the bot judges it at once. */
const closedMs = 60_000

export const budgetLanePrefix = 'budget:'

export interface OverBudget {
  lane: string
  opens_at: number
  reason: string
}

/** A budget of what is reported, not of runs that begin. */
type ReportedGate = BudgetGate & { figure: 'tokens' | 'cost_usd' }

function isReported(each: BudgetGate): each is ReportedGate {
  return each.figure !== 'runs'
}

/** What a run is to a budget. */
interface Spender {
  trigger_id: string
  bot_id: string
}

/** The lane of one budget: what waits on it waits for the same limit, and has room at the same time. */
export function budgetLane({ scope, figure, limit, period_ms }: BudgetGate): string {
  return `${scopeLanePrefix(scope)}${figure}/${limit}/${period_ms}`
}

/** How the lanes of every budget of a scope begin. */
export function scopeLanePrefix(scope: string): string {
  return `${budgetLanePrefix}${scope}:`
}

/** The budget of a lane; undefined for a lane without a stored budget: earlier versions named only the scope. */
function gateOfLane(lane: string): BudgetGate | undefined {
  const [, scope, figure, limit, period_ms] =
    /^budget:(.*):(runs|tokens|cost_usd)\/(\d+)\/(\d+)$/.exec(lane) ?? []
  return scope === undefined
    ? undefined
    : { scope, figure: figure as BudgetGate['figure'], limit: Number(limit), period_ms: Number(period_ms) }
}

/** The budgets that a run carries, also in the form in which they were kept before there were several. */
export function triggerBudgets({ budget, budgets = [] }: RunFlow): readonly BudgetGate[] {
  if (budget === undefined) return budgets
  const { trigger_id, rate } = budget
  return [{ scope: `trigger:${trigger_id}`, figure: 'runs', limit: rate.limit, period_ms: rate.period_ms }]
}

/** One budget of each scope: they count the same. */
function oneOfScope(gates: readonly BudgetGate[]): BudgetGate[] {
  return [...new Map(gates.map(each => [each.scope, each])).values()]
}

/** Each budget once: a bot may have one that every bot has. */
function distinct(gates: readonly BudgetGate[]): BudgetGate[] {
  return [...new Map(gates.map(each => [budgetLane(each), each])).values()]
}

function periodText(period_ms: number): string {
  if (period_ms % (24 * hourMs) === 0)
    return period_ms === 24 * hourMs ? '24 hours' : `${period_ms / (24 * hourMs)} days`
  if (period_ms % 60_000 === 0) return `${period_ms / 60_000} minutes`
  return `${period_ms / 1000} s`
}

function amountText(figure: BudgetGate['figure'], amount: number): string {
  if (figure === 'cost_usd') return `${(amount / microPerUsd).toFixed(6).replace(/\.?0+$/, '')} USD`
  return `${amount} ${figure}`
}

function holderText(scope: string): string {
  const at = scope.indexOf(':')
  return at < 0 ? 'all runs' : `${scope.slice(0, at)} ${scope.slice(at + 1)}`
}

/** Bots with budgets, and those whose definition is not what was written. */
const budgetedBots = `SELECT id, definition FROM bot
  WHERE CASE WHEN json_valid(definition) THEN definition ->> '$.budget' IS NOT NULL OR definition ->> '$.id' IS NOT id ELSE 1 END`

interface BotRow {
  id: string
  definition: string
}

/** The budgets that a bot's definition has; undefined: it is not what was written. */
function budgetsOf({ id, definition }: BotRow): BudgetGate[] | undefined {
  const bot = parsed(definition) as { id?: unknown; budget?: WrittenBudgets } | null
  if (bot?.id !== id) return undefined
  try {
    const complete = completeBudgets(bot.budget, 'bot')
    const isSound = complete.every(
      ({ limit, period_ms }) =>
        Number.isSafeInteger(limit) && Number.isSafeInteger(period_ms) && limit >= 0 && period_ms > 0,
    )
    return isSound ? complete.map(each => budgetGate(`bot:${id}`, each)) : undefined
  } catch (error) {
    if (error instanceof TypeError) return undefined
    throw error
  }
}

/** The budget of a bot whose own cannot be read: no run fits in it. */
function closedGate(id: string): BudgetGate {
  return { scope: `bot:${id}`, figure: 'tokens', limit: 0, period_ms: closedMs }
}

/** The budgets that are defined for all runs and for bots, whatever their runs carry. */
export class DefinedBudgets {
  readonly #written
  readonly #router: BudgetGate[]
  readonly #everyBot: CompleteBudget[]
  readonly #damage: DamageLog
  #bots = new Map<string, BudgetGate[]>()
  /** bots that start no runs, by their scope, with the reason */
  #off = new Map<string, string>()

  constructor(db: Db, configured: readonly CompleteBudget[], damage: DamageLog) {
    this.#damage = damage
    this.#written = db.prepare<[], BotRow>(budgetedBots)
    this.#router = distinct(
      configured.filter(each => each.per === 'router').map(each => budgetGate('router', each)),
    )
    this.#everyBot = configured.filter(each => each.per === 'bot')
    this.reload()
  }

  /** After bots were written. */
  reload(): void {
    this.#off = new Map()
    this.#bots = new Map(this.#written.all().map(row => [row.id, budgetsOf(row) ?? this.#closed(row.id)]))
  }

  /** A bot whose definition is found damaged is off: without its budgets its runs would all start at once. */
  #closed(id: string): BudgetGate[] {
    const why = damageText('bot', id, {
      column: 'definition',
      why: 'it is not what was written; the bot is off until it is written again',
    })
    this.#damage.add(why)
    const gate = closedGate(id)
    this.#off.set(gate.scope, why)
    return [gate]
  }

  /** Why no run of a scope starts, whatever it has spent; undefined: its budgets decide. */
  whyOff(scope: string): string | undefined {
    return this.#off.get(scope)
  }

  of(bot_id: string): readonly BudgetGate[] {
    return [...this.ofBot(bot_id), ...this.#router]
  }

  /** Those of a bot alone; none binds a need. */
  ofBot(bot_id: string): readonly BudgetGate[] {
    if (isNeed(bot_id)) return []
    const every = this.#everyBot.map(each => budgetGate(`bot:${bot_id}`, each))
    return distinct([...(this.#bots.get(bot_id) ?? []), ...every])
  }

  /** Whether a budget of a bot or of the router is defined still. */
  has(each: BudgetGate): boolean {
    const lane = budgetLane(each)
    return this.of(each.scope.replace(/^bot:/, '')).some(own => budgetLane(own) === lane)
  }

  /** Whether there may be any that binds a run without budgets of its trigger. */
  get any(): boolean {
    return this.#router.length > 0 || this.#everyBot.length > 0 || this.#bots.size > 0
  }
}

export interface BudgetParts {
  history: History
  damage: DamageLog
}

export class Budgets {
  readonly defined: DefinedBudgets
  readonly #begun: BegunRuns
  readonly #spending: Spending
  readonly #history: History

  constructor(db: Db, { history, damage }: BudgetParts, configured: readonly CompleteBudget[]) {
    this.defined = new DefinedBudgets(db, configured, damage)
    this.#begun = new BegunRuns(db)
    this.#spending = new Spending(db)
    this.#history = history
  }

  /** Every budget that keeps a run: none where a person released it from them. */
  of(flow: RunFlow, bot_id: string): readonly BudgetGate[] {
    return flow.budgets_released === true ? [] : this.all(flow, bot_id)
  }

  /** Every budget that a run counts for. */
  all(flow: RunFlow, bot_id: string): readonly BudgetGate[] {
    const own = triggerBudgets(flow)
    return this.defined.any ? [...own, ...this.defined.of(bot_id)] : own
  }

  /** The budget that keeps a run, of several the one that has room last; undefined: it may begin. */
  over(gates: readonly BudgetGate[], now: number): OverBudget | undefined {
    let latest: OverBudget | undefined
    for (const each of gates) {
      const opens_at = this.opensAt(each, now)
      if (opens_at > now && opens_at > (latest?.opens_at ?? 0))
        latest = { lane: budgetLane(each), opens_at, reason: this.#reason(each, opens_at, now) }
    }
    return latest
  }

  /** The budget of a lane; undefined where it binds nothing any more: it was removed, or written with another limit. */
  ofLane(lane: string): BudgetGate | undefined {
    const each = gateOfLane(lane)
    // Those of triggers come with their runs.
    return each === undefined || each.scope.startsWith('trigger:') || this.defined.has(each)
      ? each
      : undefined
  }

  /** When the budgets of a bot alone have room for a run; a time that is not after now: they have. */
  botOpensAt(bot_id: string, now: number): number {
    return Math.max(0, ...this.defined.ofBot(bot_id).map(each => this.opensAt(each, now)))
  }

  /** When a budget has room for a run; a time that is not after now: it has. */
  opensAt(each: BudgetGate, now: number): number {
    if (this.defined.whyOff(each.scope) !== undefined) return now + closedMs
    if (!isReported(each)) return this.#begun.opensAt(each, now)
    if (this.#spent(each, now) < each.limit) return now
    return this.#spending.roomAt(each.scope, each.figure, each.limit, each.period_ms, now)
  }

  #spent({ scope, figure, period_ms }: ReportedGate, now: number): number {
    return figureOf(this.#spending.within(scope, period_ms, now), figure)
  }

  #reason(each: BudgetGate, opens_at: number, now: number): string {
    const { scope, figure, limit, period_ms } = each
    const off = this.defined.whyOff(scope)
    if (off !== undefined) return off
    const used = isReported(each)
      ? `${amountText(figure, this.#spent(each, now))} were used`
      : `${limit} runs began`
    return `the budget of ${holderText(scope)} is spent: ${used} within ${periodText(period_ms)}, the limit is ${amountText(figure, limit)}; there is room at ${new Date(opens_at).toISOString()}`
  }

  /** A run begins. */
  began(gates: readonly BudgetGate[], now: number): void {
    const runs = gates.filter(each => !isReported(each))
    for (const each of oneOfScope(runs)) this.#begun.take(each, now)
    for (const each of runs) {
      const warned = Math.ceil(each.limit * warnedShare)
      if (this.#begun.hasBegun(each, warned, now) && !this.#begun.hasBegun(each, warned + 1, now))
        this.#warn(each, warned, now)
    }
  }

  /** A run that began at a time came to nothing: its worker gave it back. */
  unspent(gates: readonly BudgetGate[], began_at: number): void {
    for (const each of oneOfScope(gates.filter(own => !isReported(own)))) this.#begun.giveBack(each, began_at)
  }

  /**
   * Takes a report, and warns where it makes a budget reach its share. Answers the last report where the new one is smaller: then
   * nothing was written.
   */
  report(
    usage: Usage,
    row: Spender & { seq: number },
    flow: RunFlow,
    given: UsageReport,
    now: number,
  ): UsageTotals | undefined {
    const gates = [...triggerBudgets(flow), ...this.defined.of(row.bot_id)].filter(isReported)
    const before = gates.map(each => this.#spent(each, now))
    const refused = usage.report(row, given, now)
    if (refused !== undefined) return refused
    for (const [index, each] of gates.entries()) {
      const warned = each.limit * warnedShare
      const spent = this.#spent(each, now)
      if (before[index]! < warned && spent >= warned) this.#warn(each, spent, now)
    }
    return undefined
  }

  #warn({ scope, figure, limit, period_ms }: BudgetGate, used: number, now: number): void {
    const [per = '', id = null] = scope.split(':')
    const shown = (amount: number): number => (figure === 'cost_usd' ? amount / microPerUsd : amount)
    const what = id === null ? {} : { [per]: id }
    this.#history.emitLifecycle(
      `${per}.budget_warning`,
      id,
      { ...what, figure, [figure]: shown(used), budget: shown(limit), period_ms },
      now,
    )
  }
}

/** How much of a budget is used. begun: how many runs began in its period up to now. */
export function budgetUse(
  each: BudgetGate,
  now: number,
  spending: Spending,
  begun: (each: BudgetGate, now: number) => number,
): number {
  const { scope, figure, period_ms } = each
  return figure === 'runs' ? begun(each, now) : figureOf(spending.within(scope, period_ms, now), figure)
}
