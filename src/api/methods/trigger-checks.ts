// What a trigger has to pass before it is written or tried, besides its schema.
import { budgetRefusal, type BudgetHolder } from '../../contract/budgets.ts'
import type { Action, Budgets, Policy, TriggerInput } from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import { checkTemplate, InputsError, keyRefusal } from '../../routing/inputs.ts'
import { doubledKey } from '../../json-text.ts'
import { PatternError } from '../../routing/pattern-limits.ts'
import { compilePattern, type CompiledPattern } from '../../routing/pattern.ts'
import { routerSource } from '../../store/store.ts'
import type { Checking, Context, Known } from './context.ts'

export function invalid(path: string, message: string): Fault {
  return new Fault('invalid_params', `${path} ${message}`, { data: { path } })
}

/** Compiles a filter; text is its JSON as written, for keys that parsing would lose. */
export function compiledFilter(filter: unknown, text: Uint8Array | undefined, at: string): CompiledPattern {
  const doubled = text === undefined ? undefined : doubledKey(text)
  if (doubled !== undefined) throw invalid(`${at}.${doubled}`, 'appears in the filter twice, and JSON keeps only the last; put the alternatives into one list')
  try {
    return compilePattern(filter)
  } catch (error) {
    if (error instanceof PatternError) throw invalid(error.path === '' ? at : `${at}.${error.path}`, `is refused: ${error.message}`)
    throw error
  }
}

/** What is written together with a trigger, and so may be named by it. */
export interface Company {
  source_id?: string
  triggers?: readonly TriggerInput[]
}

/** Everything about a trigger that its schema cannot say. */
export async function assertTrigger(context: Checking, trigger: TriggerInput, text: Uint8Array | undefined, at: string, company: Company = {}): Promise<void> {
  const { registry, expressions } = context
  compiledFilter(trigger.filter, text, `${at}.filter`)
  const source = trigger.event_source_id ?? null
  if (source !== null && source !== routerSource && source !== company.source_id && !registry.sources.has(source)) {
    throw invalid(`${at}.event_source_id`, `names the source ${source}, which does not exist; write it first with source.put, or leave it null for any source`)
  }
  assertAction(trigger, registry, at)
  assertPolicy(trigger, registry, at, company)
  await assertInputs(trigger.action, at, expressions)
}

function assertAction({ action: { bot_id, capabilities, owner }, policy }: TriggerInput, { bots }: Known, at: string): void {
  if ((bot_id === undefined) === (capabilities === undefined)) {
    const found = bot_id === undefined ? 'neither' : 'both'
    throw invalid(`${at}.action`, `has a bot_id or capabilities; found ${found}`)
  }
  if (bot_id === undefined && policy?.queue === undefined) {
    if (policy?.order_key !== undefined)
      throw invalid(`${at}.policy.queue`, 'is needed with order_key where the action names capabilities: an order is one of a queue')
    if (policy?.approval?.on_denied === 'pause_queue')
      throw invalid(`${at}.policy.queue`, 'is needed with on_denied pause_queue where the action names capabilities')
  }
  if (bot_id !== undefined && owner !== undefined) throw invalid(`${at}.action.owner`, 'goes with capabilities; a bot that is named has its own')
  if (bot_id !== undefined && !bots.has(bot_id))
    throw invalid(`${at}.action.bot_id`, `names the bot ${bot_id}, which does not exist; write it first with bot.put`)
}

const keyed = ['rate_limit', 'debounce', 'batch', 'singleton', 'concurrency', 'throttle'] as const

/** Everything about a policy that its schema cannot say. */
function assertPolicy({ id, policy = {} }: TriggerInput, registry: Known, at: string, { triggers = [] }: Company): void {
  for (const name of keyed) assertKey(policy[name]?.key, `${at}.policy.${name}.key`)
  assertKey(policy.order_key, `${at}.policy.order_key`)
  if (policy.debounce !== undefined && policy.batch !== undefined)
    throw invalid(`${at}.policy.batch`, 'and debounce exclude one another: either the last event counts or all do')
  const { max_wait_ms, period_ms = 0 } = policy.debounce ?? {}
  if (max_wait_ms !== undefined && max_wait_ms < period_ms)
    throw invalid(`${at}.policy.debounce.max_wait_ms`, `is ${max_wait_ms}, less than period_ms, which is ${period_ms}`)
  const others = (other: string): Pick<TriggerInput, 'policy'> | undefined => triggers.find(each => each.id === other) ?? registry.triggers.get(other)
  if (policy.depends_on !== undefined && policy.order_key !== undefined && (policy.batch ?? policy.debounce) !== undefined)
    throw invalid(
      `${at}.policy.depends_on`,
      'cannot be together with order_key and batch or debounce: a run that takes events in would wait for runs behind it',
    )
  const { delay_ms = 0, max_age_ms = Infinity, throttle } = policy
  if (delay_ms >= max_age_ms)
    throw invalid(`${at}.policy.max_age_ms`, `is ${max_age_ms}, not more than delay_ms, which is ${delay_ms}: every run would be too old`)
  if (throttle?.burst !== undefined && throttle.burst > throttle.limit)
    throw invalid(`${at}.policy.throttle.burst`, `is ${throttle.burst}, more than limit, which is ${throttle.limit}`)
  if (policy.on_dead !== undefined && policy.order_key === undefined) throw invalid(`${at}.policy.on_dead`, 'says nothing without an order_key')
  if (policy.on_failed_dependency !== undefined && policy.depends_on === undefined)
    throw invalid(`${at}.policy.on_failed_dependency`, 'says nothing without depends_on')
  if (policy.queue !== undefined && !registry.queues.has(policy.queue) && !registry.bots.has(policy.queue))
    throw invalid(`${at}.policy.queue`, `names the queue ${policy.queue}, which does not exist; write it first with queue.put`)
  assertDependencies(id, policy.depends_on ?? [], others, `${at}.policy.depends_on`)
  assertApprover(policy.approval, registry, `${at}.policy.approval`)
  assertBudgets(policy.budget, ['trigger'], `${at}.policy.budget`)
}

/** Throws Fault invalid_params for budgets that cannot be; takes: whose they may be here. */
export function assertBudgets(budgets: Budgets | undefined, takes: readonly BudgetHolder[], at: string): void {
  const refusal = budgets === undefined ? undefined : budgetRefusal(budgets, takes)
  if (refusal !== undefined) throw invalid(`${at}${refusal.path}`, refusal.message)
}

function assertKey(key: string | undefined, at: string): void {
  const refusal = key === undefined ? undefined : keyRefusal(key)
  if (refusal !== undefined) throw invalid(at, `cannot be used: ${refusal}`)
}

/** Throws where a trigger that another depends on is not there, or a circle would be closed; the circle is told. */
function assertDependencies(id: string, depends_on: readonly string[], others: (id: string) => Pick<TriggerInput, 'policy'> | undefined, at: string): void {
  const seen = new Set<string>()
  const walk = (from: string, way: readonly string[]): void => {
    if (from === id) throw invalid(at, `closes a circle: ${[id, ...way].join(' -> ')}`)
    if (seen.has(from)) return
    seen.add(from)
    for (const next of others(from)?.policy?.depends_on ?? []) walk(next, [...way, next])
  }
  for (const each of depends_on) {
    if (each !== id && others(each) === undefined) throw invalid(at, `names the trigger ${each}, which does not exist; write it first with trigger.put`)
    walk(each, [each])
  }
}

function assertApprover(approval: Policy['approval'], { bots }: Known, at: string): void {
  if (approval?.bot_id === undefined) {
    const asked = approval?.questions?.filter(question => question !== 'start') ?? []
    if (asked.length > 0)
      throw invalid(`${at}.questions`, `can hold ${asked.join(', ')} only where a bot is asked; a person who cancels or pauses a run has said so already`)
    return
  }
  const bot = bots.get(approval.bot_id)
  if (bot === undefined) throw invalid(`${at}.bot_id`, `names the bot ${approval.bot_id}, which does not exist; write it first with bot.put`)
  const { kind } = bot.endpoint
  if (kind === 'pull' || kind === 'emit') throw invalid(`${at}.bot_id`, `names the bot ${approval.bot_id}, which is of kind ${kind} and cannot be asked`)
}

export function assertInputs(action: Action, at: string, expressions: Context['expressions']): Promise<void> {
  return assertTemplate(action.inputs ?? {}, `${at}.action.inputs`, expressions)
}

/** Throws Fault invalid_params where a template cannot be used; at is where it stands. */
export async function assertTemplate(template: unknown, at: string, expressions: Context['expressions']): Promise<void> {
  try {
    await checkTemplate(template, at, expressions)
  } catch (error) {
    if (error instanceof InputsError) throw new Fault('invalid_params', error.message, { data: { path: error.path } })
    throw error
  }
}
