// What the columns of events and runs may hold. The CHECKs of the tables guard what is written; this guards what is read,
// where a flipped bit may have put anything. A claim checks each row that it takes: at most 4 us, measured with two gates.
import type { DamagedColumn } from './damage.ts'
import type { RunFlow } from '../../flow.ts'

/** Why a value cannot be what was written; undefined: it can. */
export type Check = (value: unknown) => string | undefined
export type Checks = readonly (readonly [column: string, check: Check])[]

/** The latest time that a Date can hold. */
const latest = 8.64e15
const shownLength = 40

function shown(value: unknown): string {
  if (value === null) return 'NULL'
  if (value instanceof Buffer) return `${value.length} bytes`
  return value === undefined ? 'nothing' : JSON.stringify(value).slice(0, shownLength)
}

export const text: Check = value =>
  typeof value === 'string' ? undefined : `must be text; got ${shown(value)}`
/** Names of objects are ASCII: the replacement character stands for bytes that are no UTF-8. */
export const name: Check = value =>
  typeof value === 'string' && value !== '' && !value.includes('�')
    ? undefined
    : `must be a name in UTF-8; got ${shown(value)}`
/** The queue of a run that no bot is chosen for has no name yet. */
const queueName: Check = value => (value === '' ? undefined : name(value))
export const integer: Check = value =>
  Number.isSafeInteger(value) ? undefined : `must be an integer; got ${shown(value)}`
const priority: Check = value =>
  Number.isSafeInteger(value) && Math.abs(value as number) <= 100
    ? undefined
    : `must be an integer from -100 to 100; got ${shown(value)}`
export const count: Check = value =>
  Number.isSafeInteger(value) && (value as number) >= 0
    ? undefined
    : `must be an integer from 0; got ${shown(value)}`
export const positive: Check = value =>
  integer(value) ?? ((value as number) > 0 ? undefined : `must be at least 1; got ${shown(value)}`)
export const time: Check = value =>
  Number.isSafeInteger(value) && Math.abs(value as number) <= latest
    ? undefined
    : `must be a time in milliseconds; got ${shown(value)}`
export const flag: Check = value =>
  value === 0 || value === 1 ? undefined : `must be 0 or 1; got ${shown(value)}`
export const id: Check = value =>
  value instanceof Buffer && value.length === 16 ? undefined : `must be 16 bytes; got ${shown(value)}`
export const sha256: Check = value =>
  value instanceof Buffer && value.length === 32 ? undefined : `must be 32 bytes; got ${shown(value)}`
export const blob: Check = value =>
  value instanceof Buffer ? undefined : `must be bytes; got ${shown(value)}`

export function orNull(check: Check): Check {
  return value => (value === null ? undefined : check(value))
}

export function oneOf(...names: readonly string[]): Check {
  const known = new Set<unknown>(names)
  return value => (known.has(value) ? undefined : `must be one of ${names.join(', ')}; got ${shown(value)}`)
}

/** A column of JSON whose value must have a shape. */
export function json(hasShape: (value: unknown) => boolean): Check {
  return value => {
    if (typeof value !== 'string') return `must be JSON as text; got ${shown(value)}`
    try {
      return hasShape(JSON.parse(value)) ? undefined : 'it is not what the router writes there'
    } catch {
      return 'it is not JSON'
    }
  }
}

type Shape = (value: unknown) => boolean

const isText: Shape = value => typeof value === 'string'
const isNumber: Shape = value => Number.isSafeInteger(value)
/** Limits and periods are at least 1: a ring of 0 slots would divide by zero. */
const isLimit: Shape = value => Number.isSafeInteger(value) && (value as number) > 0

/** An object with these members, those that end in ? optional, and no others. */
function object(members: Record<string, Shape>): Shape {
  const shapes = new Map(
    Object.entries(members).map(([key, shape]) => [
      key.replace('?', ''),
      { shape, optional: key.endsWith('?') },
    ]),
  )
  const required = [...shapes].filter(([, { optional }]) => !optional).map(([key]) => key)
  return value => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
    for (const key of required) if (!(key in value)) return false
    for (const [key, member] of Object.entries(value))
      if (shapes.get(key)?.shape(member) !== true) return false
    return true
  }
}

function list(item: Shape): Shape {
  return value => Array.isArray(value) && value.every(item)
}

function among(...names: readonly unknown[]): Shape {
  return value => names.includes(value)
}

const rate = object({ key: isText, limit: isLimit, period_ms: isLimit })
const gates: { [K in keyof Required<RunFlow>]: Shape } = {
  repeat_limit: rate,
  repeat_held: among(true),
  stopped_by_person: among(true),
  rate_limit: rate,
  debounce: object({ lane: isText, period_ms: isNumber, max_wait_ms: isNumber, delay_ms: isNumber }),
  batch: object({ lane: isText, max: isLimit, timeout_ms: isNumber }),
  singleton: object({ lane: isText, on_conflict: among('skip', 'queue', 'cancel_running') }),
  concurrency: object({ lane: isText, limit: isLimit }),
  throttle: object({ lane: isText, rates: value => list(rate)(value) && (value as unknown[]).length > 0 }),
  budget: object({ trigger_id: isText, 'lane?': isText, rate }),
  budgets: list(
    object({
      scope: isText,
      figure: among('runs', 'tokens', 'cost_usd'),
      limit: isLimit,
      period_ms: isLimit,
    }),
  ),
  budgets_released: among(true),
  order: object({ lane: isText, on_dead: among('block', 'continue') }),
  depends_on: object({ triggers: list(isText), on_failed: among('skip', 'hold') }),
  approval: object({ 'lane?': isText, timeout_ms: value => value === null || isNumber(value) }),
  overridden: among(true),
  max_age_ms: isNumber,
  stopped_at: isNumber,
  answer_left_ms: isNumber,
  paused_ms: isNumber,
  start_timeout_ms: isNumber,
  timeout_ms: isNumber,
  idle_timeout_ms: isNumber,
}
/** A gate with a damaged name would never be checked: so an unknown member is damage too. */
const isFlow = object(Object.fromEntries(Object.entries(gates).map(([key, shape]) => [`${key}?`, shape])))
export const flowCheck: Check = orNull(json(isFlow))
const isNeed = object({
  capabilities: list(isText),
  'owner?': isText,
  'queue?': isText,
  'allowed_tools?': list(isText),
})
const isAssignment: Shape = value =>
  typeof value === 'object' &&
  value !== null &&
  list(isText)((value as { capabilities?: unknown }).capabilities)
const isDecision: Shape = value =>
  Array.isArray(value) &&
  isText(value[0]) &&
  isLimit(value[1]) &&
  outcomes.has(value[2] as string) &&
  (value[3] === undefined || isText(value[3]))
const outcomes = new Set([
  'routed',
  'loop_held',
  'redelivery_logged',
  'replayed',
  'rate_limited',
  'debounced',
  'batched',
  'singleton_skipped',
  'queue_full',
  'own_event',
  'repeat_limit',
  'trigger_paused',
])
const isHeaders: Shape = value =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every(isText)

/** A bot's name, or what a run without one needs: "?" and [capabilities, owner or null]. */
const botOrNeed: Check = value => {
  const wrong = name(value)
  if (wrong !== undefined || !(value as string).startsWith('?')) return wrong
  return json(need => Array.isArray(need) && list(isText)(need[0]) && (need[1] === null || isText(need[1])))(
    (value as string).slice(1),
  )
}

export const lineChecks: Checks = [
  ['id', id],
  ['source_id', name],
  ['type', text],
  ['subject', orNull(text)],
  ['timestamp', time],
  ['received_at', time],
  ['redelivery_of', orNull(id)],
  ['duplicates', count],
  ['decisions', orNull(json(list(isDecision)))],
  ['body_bytes', count],
  ['actor', orNull(text)],
  ['thread', orNull(text)],
  ['emitted', orNull(flag)],
  ['requested_by', orNull(text)],
]

export const headersCheck: Check = orNull(json(isHeaders))
export const formatCheck: Check = oneOf('json', 'form', 'cloudevent', 'text', 'binary', 'none')
export const causationCheck: Check = orNull(
  json(object({ event_id: isText, run_id: isText, depth: isLimit })),
)

export const eventChecks: Checks = [
  ...lineChecks,
  ['causation', causationCheck],
  ['headers', headersCheck],
  ['delivery_key', orNull(text)],
  ['body_format', formatCheck],
  ['body_sha256', sha256],
  ['body', blob],
]

export const fileChecks: Checks = [
  ['name', name],
  ['is_text', flag],
  ['sha256', sha256],
  ['content', blob],
]

export const outputChecks: Checks = [
  ['total_bytes', count],
  ['added_bytes', count],
  ['head_end', orNull(count)],
  ['kept_bytes', count],
  ['parts', count],
  ['removed_bytes', count],
]
export const partChecks: Checks = [
  ['offset', count],
  ['at', time],
  ['stream', oneOf('stdout', 'stderr', 'log', 'answer')],
  ['split', flag],
  ['content', blob],
]

const openStates = [
  'pending',
  'awaiting_approval',
  'held',
  'assigned',
  'running',
  'paused',
  'failed',
  'timed_out',
] as const
const endedStates = ['completed', 'cancelled', 'failed', 'timed_out'] as const

function runChecks(states: readonly string[]): Checks {
  return [
    ['id', id],
    ['event_seq', integer],
    ['trigger_id', name],
    ['trigger_version', integer],
    ['bot_id', botOrNeed],
    ['workflow_id', orNull(text)],
    ['state', oneOf(...states)],
    ['ready', flag],
    ['priority', priority],
    ['not_before', time],
    ['attempt', count],
    ['attempt_base', count],
    ['steps', count],
    ['replay', flag],
    ['cancel_requested', flag],
    ['lease_token', orNull(text)],
    ['lease_until', orNull(time)],
    ['error', orNull(text)],
    ['result', orNull(text)],
    ['created_at', time],
    ['updated_at', time],
    ['finished_at', orNull(time)],
    ['queue', queueName],
    ['need', orNull(json(isNeed))],
    ['assignment', orNull(json(isAssignment))],
    ['allowed_tools', orNull(json(list(isText)))],
    ['flow', flowCheck],
    ['parked_on', orNull(text)],
    ['held_by', orNull(oneOf('person', 'dependency', 'budget', 'approval', 'repeat_limit'))],
    ['timeout_at', orNull(time)],
    ['deadline_at', orNull(time)],
    [
      'deadline_name',
      orNull(oneOf('max_age_ms', 'start_timeout_ms', 'timeout_ms', 'idle_timeout_ms', 'approval')),
    ],
    ['pause_requested', flag],
    ['approved', flag],
    ['denials', count],
    ['requested_by', orNull(text)],
  ]
}

export const liveChecks = runChecks(openStates)
export const archiveChecks = runChecks(endedStates)

/** More than all reports within the longest period of a budget, and few enough that their sum stays below 2^63. */
export const mostSpent = 1e15
const spent: Check = value =>
  count(value) ??
  ((value as number) <= mostSpent ? undefined : `must be at most ${mostSpent}; got ${shown(value)}`)
export const spendingChecks: Checks = [
  ['input_tokens', spent],
  ['output_tokens', spent],
  ['cost_micro_usd', spent],
]
const percent: Check = value =>
  typeof value === 'number' && value >= 0 && value <= 100
    ? undefined
    : `must be a number from 0 to 100; got ${shown(value)}`
export const progressChecks: Checks = [
  ['at', time],
  ['percent', orNull(percent)],
  ['message', orNull(text)],
]
export const usageChecks: Checks = [
  ['input_tokens', count],
  ['output_tokens', count],
  ['cost_micro_usd', count],
  ['attempt_input_tokens', count],
  ['attempt_output_tokens', count],
  ['attempt_cost_micro_usd', count],
  ['reports', positive],
  ['attempt_reported', flag],
]

const none: readonly DamagedColumn[] = []

/** The columns of a row that hold what cannot have been written. */
export function damagedColumns(checks: Checks, row: object): readonly DamagedColumn[] {
  let found: DamagedColumn[] | undefined
  for (const [column, check] of checks) {
    const why = check((row as Record<string, unknown>)[column])
    if (why !== undefined) (found ??= []).push({ column, why })
  }
  return found ?? none
}
