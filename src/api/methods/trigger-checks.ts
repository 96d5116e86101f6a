// What a trigger has to pass before it is written or tried, besides its schema.
import { budgetRefusal, type BudgetHolder } from '../../contract/budgets.ts'
import type { Action, Budgets, Policy, TriggerInput } from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import { checkTemplate, InputsError, keyRefusal } from '../../routing/inputs.ts'
import { doubledKey } from '../../json-text.ts'
import { PatternError } from '../../routing/pattern-limits.ts'
import { compilePattern, type CompiledPattern } from '../../routing/pattern.ts'
import { routerSource } from '../../store/store.ts'
import { didYouMean } from '../../nearest-id.ts'
import { shown, validationError, type ValidationErrorParts } from '../../validation-error.ts'
import type { Checking, Context, Known } from './context.ts'

/** The Fault of a param that its schema allows and that cannot work. */
export function invalid(parts: ValidationErrorParts): Fault {
  const { path, message } = validationError(parts)
  return refused(path, message)
}

/** The Fault of a param whose reason another module words. */
function refused(path: string, message: string): Fault {
  return new Fault('invalid_params', `${path} ${message}`, { data: { path } })
}

/** The Fault of a name that must be that of a stored definition. */
function unknownName(path: string, noun: string, id: string, known: Iterable<string>): Fault {
  const suggestion = didYouMean(id, known) ?? `write the ${noun} first with ${noun}.put`
  return invalid({ path, expected: `must be the id of a stored ${noun}`, found: shown(id), suggestion })
}

/** Compiles a filter; text is its JSON as written, for keys that parsing would lose. */
export function compiledFilter(filter: unknown, text: Uint8Array | undefined, at: string): CompiledPattern {
  const doubled = text === undefined ? undefined : doubledKey(text)
  if (doubled !== undefined)
    throw invalid({
      path: `${at}.${doubled}`,
      expected: 'must appear in the filter once',
      found: 'it twice, and JSON keeps only the last',
      suggestion: 'put the alternatives into one list',
    })
  try {
    return compilePattern(filter)
  } catch (error) {
    if (error instanceof PatternError)
      throw refused(error.path === '' ? at : `${at}.${error.path}`, `is refused: ${error.message}`)
    throw error
  }
}

/** What is written together with a trigger, and so may be named by it. */
export interface Company {
  source_id?: string
  triggers?: readonly TriggerInput[]
}

/** Everything about a trigger that its schema cannot say. */
export async function assertTrigger(
  context: Checking,
  trigger: TriggerInput,
  text: Uint8Array | undefined,
  at: string,
  company: Company = {},
): Promise<void> {
  const { registry, expressions } = context
  compiledFilter(trigger.filter, text, `${at}.filter`)
  const source = trigger.event_source_id ?? null
  if (
    source !== null &&
    source !== routerSource &&
    source !== company.source_id &&
    !registry.sources.has(source)
  ) {
    throw unknownName(`${at}.event_source_id`, 'source', source, registry.sources.keys())
  }
  assertAction(trigger, registry, at)
  assertPolicy(trigger, registry, at, company)
  await assertInputs(trigger.action, at, expressions)
}

function assertAction(
  { action: { bot_id, capabilities, owner }, policy }: TriggerInput,
  { bots }: Known,
  at: string,
): void {
  if ((bot_id === undefined) === (capabilities === undefined)) {
    const found = bot_id === undefined ? 'neither' : 'both'
    throw invalid({ path: `${at}.action`, expected: 'must have either bot_id or capabilities', found })
  }
  if (bot_id === undefined && policy?.queue === undefined) {
    if (policy?.order_key !== undefined)
      throw invalid({
        path: `${at}.policy.queue`,
        expected: 'is required with order_key and capabilities, because an order belongs to a queue',
        found: 'nothing',
      })
    if (policy?.approval?.on_denied === 'pause_queue')
      throw invalid({
        path: `${at}.policy.queue`,
        expected: 'is required with on_denied pause_queue and capabilities',
        found: 'nothing',
      })
  }
  if (bot_id !== undefined && owner !== undefined)
    throw invalid({
      path: `${at}.action.owner`,
      expected: 'must be given with capabilities only; a bot has an owner of its own',
      found: `it with bot_id ${bot_id}`,
    })
  if (bot_id !== undefined && !bots.has(bot_id))
    throw unknownName(`${at}.action.bot_id`, 'bot', bot_id, bots.keys())
}

const keyed = ['rate_limit', 'debounce', 'batch', 'singleton', 'concurrency', 'throttle'] as const

/** The times and amounts of a policy that exclude each other. */
function assertTimes(policy: Policy, at: string): void {
  const { max_wait_ms, period_ms = 0 } = policy.debounce ?? {}
  if (max_wait_ms !== undefined && max_wait_ms < period_ms)
    throw invalid({
      path: `${at}.policy.debounce.max_wait_ms`,
      expected: `must be at least period_ms (${period_ms})`,
      found: shown(max_wait_ms),
    })
  const { delay_ms = 0, max_age_ms = Infinity, throttle } = policy
  if (delay_ms >= max_age_ms)
    throw invalid({
      path: `${at}.policy.max_age_ms`,
      expected: `must be more than delay_ms (${delay_ms}): every run would be too old`,
      found: shown(max_age_ms),
    })
  if (throttle?.burst !== undefined && throttle.burst > throttle.limit)
    throw invalid({
      path: `${at}.policy.throttle.burst`,
      expected: `must be at most limit (${throttle.limit})`,
      found: shown(throttle.burst),
    })
}

/** Everything about a policy that its schema cannot say. */
function assertPolicy(
  { id, policy = {} }: TriggerInput,
  registry: Known,
  at: string,
  { triggers = [] }: Company,
): void {
  for (const name of keyed) assertKey(policy[name]?.key, `${at}.policy.${name}.key`)
  assertKey(policy.order_key, `${at}.policy.order_key`)
  if (policy.debounce !== undefined && policy.batch !== undefined)
    throw invalid({
      path: `${at}.policy.batch`,
      expected: 'must not be given with debounce: either the last event counts or all do',
      found: 'both',
    })
  assertTimes(policy, at)
  const others = (other: string): Pick<TriggerInput, 'policy'> | undefined =>
    triggers.find(each => each.id === other) ?? registry.triggers.get(other)
  if (
    policy.depends_on !== undefined &&
    policy.order_key !== undefined &&
    (policy.batch ?? policy.debounce) !== undefined
  )
    throw invalid({
      path: `${at}.policy.depends_on`,
      expected:
        'must not be given with order_key and batch or debounce: a run that takes in events would wait for runs behind it',
      found: 'all of them',
    })
  if (policy.on_dead !== undefined && policy.order_key === undefined)
    throw invalid({
      path: `${at}.policy.on_dead`,
      expected: 'must be given with order_key only',
      found: 'no order_key',
    })
  if (policy.on_failed_dependency !== undefined && policy.depends_on === undefined)
    throw invalid({
      path: `${at}.policy.on_failed_dependency`,
      expected: 'must be given with depends_on only',
      found: 'no depends_on',
    })
  if (policy.queue !== undefined && !registry.queues.has(policy.queue) && !registry.bots.has(policy.queue))
    throw unknownName(`${at}.policy.queue`, 'queue', policy.queue, [
      ...registry.queues.keys(),
      ...registry.bots.keys(),
    ])
  assertDependencies(
    id,
    policy.depends_on ?? [],
    others,
    [...registry.triggers.keys(), ...triggers.map(trigger => trigger.id)],
    `${at}.policy.depends_on`,
  )
  assertApprover(policy.approval, registry, `${at}.policy.approval`)
  assertBudgets(policy.budget, ['trigger'], `${at}.policy.budget`)
}

/** Throws Fault invalid_params for budgets that cannot be; takes: whose they may be here. */
export function assertBudgets(
  budgets: Budgets | undefined,
  takes: readonly BudgetHolder[],
  at: string,
): void {
  const refusal = budgets === undefined ? undefined : budgetRefusal(budgets, takes)
  if (refusal !== undefined) throw refused(`${at}${refusal.path}`, refusal.message)
}

function assertKey(key: string | undefined, at: string): void {
  const refusal = key === undefined ? undefined : keyRefusal(key)
  if (refusal !== undefined) throw refused(at, `cannot be used: ${refusal}`)
}

/** Throws where a trigger that another depends on is not there, or a circle would be closed; the circle is told. */
function assertDependencies(
  id: string,
  depends_on: readonly string[],
  others: (id: string) => Pick<TriggerInput, 'policy'> | undefined,
  known: readonly string[],
  at: string,
): void {
  const seen = new Set<string>()
  const walk = (from: string, way: readonly string[]): void => {
    if (from === id)
      throw invalid({
        path: at,
        expected: 'must not lead back to the trigger',
        found: [id, ...way].join(' -> '),
      })
    if (seen.has(from)) return
    seen.add(from)
    for (const next of others(from)?.policy?.depends_on ?? []) walk(next, [...way, next])
  }
  for (const each of depends_on) {
    if (each !== id && others(each) === undefined) throw unknownName(at, 'trigger', each, known)
    walk(each, [each])
  }
}

function assertApprover(approval: Policy['approval'], { bots }: Known, at: string): void {
  if (approval?.bot_id === undefined) {
    const asked = approval?.questions?.filter(question => question !== 'start') ?? []
    if (asked.length > 0)
      throw invalid({
        path: `${at}.questions`,
        expected:
          'must be start only, unless a bot is asked: a person who cancels or pauses a run has decided already',
        found: asked.join(', '),
        suggestion: 'name an approver with bot_id',
      })
    return
  }
  const bot = bots.get(approval.bot_id)
  if (bot === undefined) throw unknownName(`${at}.bot_id`, 'bot', approval.bot_id, bots.keys())
  const { kind } = bot.endpoint
  if (kind === 'pull' || kind === 'emit')
    throw invalid({
      path: `${at}.bot_id`,
      expected: 'must be a bot that can be asked, not one of kind pull or emit',
      found: `${approval.bot_id}, of kind ${kind}`,
    })
}

export function assertInputs(action: Action, at: string, expressions: Context['expressions']): Promise<void> {
  return assertTemplate(action.inputs ?? {}, `${at}.action.inputs`, expressions)
}

/** Throws Fault invalid_params where a template cannot be used; at is where it stands. */
export async function assertTemplate(
  template: unknown,
  at: string,
  expressions: Context['expressions'],
): Promise<void> {
  try {
    await checkTemplate(template, at, expressions)
  } catch (error) {
    if (error instanceof InputsError)
      throw new Fault('invalid_params', error.message, { data: { path: error.path } })
    throw error
  }
}
