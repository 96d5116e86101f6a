// A filter as conditions: for a sentence, and for the form of the editor. Pure: no DOM.
import { isRaw, pathText, writeJson } from '../json.ts'
import { oneLine } from '../text.ts'

export type Operator =
  | 'is'
  | 'begins with'
  | 'ends with'
  | 'is like'
  | 'is not'
  | 'exists'
  | 'does not exist'
  | 'other'

/** One field of a filter. */
export interface FilterCondition {
  /** segments; dotted keys are split, as the matcher reads them */
  path: string[]
  operator: Operator
  values: unknown[]
  /** of other: what the document has there, which only the code shows */
  raw?: unknown
}

const ofKey: Record<string, Operator> = {
  prefix: 'begins with',
  suffix: 'ends with',
  wildcard: 'is like',
  'anything-but': 'is not',
}
const keyOf: Partial<Record<Operator, string>> = {
  'begins with': 'prefix',
  'ends with': 'suffix',
  'is like': 'wildcard',
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !isRaw(value)
const isScalar = (value: unknown): boolean => !isObject(value) && !Array.isArray(value)

function leaf(path: string[], alternatives: unknown): FilterCondition {
  const other: FilterCondition = { path, operator: 'other', values: [], raw: alternatives }
  if (!Array.isArray(alternatives)) return other
  if (alternatives.every(isScalar)) return { path, operator: 'is', values: alternatives }
  if (!alternatives.every(isObject)) return other
  const entries = alternatives.flatMap(each => Object.entries(each))
  const [first] = entries
  if (
    first === undefined ||
    entries.length !== alternatives.length ||
    entries.some(([key]) => key !== first[0])
  )
    return other
  const [key, value] = first
  if (key === 'exists' && entries.length === 1 && typeof value === 'boolean')
    return { path, operator: value ? 'exists' : 'does not exist', values: [] }
  const operator = ofKey[key]
  if (operator === undefined) return other
  const values = entries.flatMap(([, each]) => (Array.isArray(each) ? (each as unknown[]) : [each]))
  const isPlain = values.every(isScalar) && (operator !== 'is not' || entries.length === 1)
  return isPlain ? { path, operator, values } : other
}

/** The conditions of a filter, in its order. */
export function conditionsOf(filter: unknown, path: string[] = []): FilterCondition[] {
  if (!isObject(filter)) return path.length === 0 ? [] : [leaf(path, filter)]
  return Object.entries(filter).flatMap(([key, value]) => {
    if (key.startsWith('$'))
      return [{ path: [...path, key], operator: 'other' as const, values: [], raw: value }]
    const below = [...path, ...key.split('.')]
    return isObject(value) ? conditionsOf(value, below) : [leaf(below, value)]
  })
}

function alternativesOf({ operator, values, raw }: FilterCondition): unknown {
  if (operator === 'other') return raw
  if (operator === 'is') return values
  if (operator === 'is not') return [{ 'anything-but': values }]
  if (operator === 'exists' || operator === 'does not exist') return [{ exists: operator === 'exists' }]
  return values.map(value => ({ [keyOf[operator]!]: value }))
}

const keyOfPath = (path: readonly string[]): string => path.join('.')

/** The filter that has just these conditions. Paths must differ. Where a path begins with another one, the rest of it is a dotted key. */
export function filterOf(conditions: readonly FilterCondition[]): Record<string, unknown> {
  // Without a prototype: an event of strangers may have the key __proto__.
  const nothing = (): Record<string, unknown> => Object.create(null) as Record<string, unknown>
  const filter = nothing()
  const leaves = new Set(conditions.map(({ path }) => keyOfPath(path)))
  for (const condition of conditions) {
    const { path } = condition
    let [at, depth] = [filter, 0]
    for (; depth < path.length - 1 && !leaves.has(keyOfPath(path.slice(0, depth + 1))); depth++)
      at = (at[path[depth]!] ??= nothing()) as typeof at
    at[keyOfPath(path.slice(depth))] = alternativesOf(condition)
  }
  return filter
}

const textOperators: readonly Operator[] = ['begins with', 'ends with', 'is like']

/** A condition with another operator or other values, so that it can be written: there is a value where one is needed, and a text where only texts fit. */
export function changed(
  condition: FilterCondition,
  change: Partial<Pick<FilterCondition, 'operator' | 'values'>>,
): FilterCondition {
  const { path, operator, values } = { ...condition, ...change }
  if (operator === 'exists' || operator === 'does not exist') return { path, operator, values: [] }
  const some = values.length === 0 && operator !== 'is' ? [''] : values
  return {
    path,
    operator,
    values: textOperators.includes(operator)
      ? some.map(value => (typeof value === 'string' ? value : writeJson(value)))
      : some,
  }
}

/** Characters that an input drops or shows as something else, as escapes of JSON. */
function escaped(json: string): string {
  const units = (text: string): string =>
    text.replaceAll(/[^]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
  return json.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, units)
}

/** How a value is written into a field of the form. */
export function valueText(value: unknown): string {
  if (typeof value !== 'string') return writeJson(value)
  const isPlain =
    value !== '' &&
    value.trim() === value &&
    !/[",[\]{}\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]|^(true|false|null|-?\d.*)$/u.test(value)
  return isPlain ? value : escaped(JSON.stringify(value))
}

/** A quoted text, or what is before the next comma. */
const token = /\s*("(?:[^"\\]|\\.)*"|[^,]*)\s*(?:,|$)/gsy

/** The values of a field of the form: JSON values, or words, separated by commas. readJson: keeps the digits of numbers */
export function valuesIn(text: string, readJson: (text: string) => unknown): unknown[] {
  const read = (each: string): unknown => {
    try {
      const value = readJson(each)
      return isScalar(value) ? value : each
    } catch {
      return each
    }
  }
  return [...text.matchAll(token)].flatMap(([, each]) => (each!.trim() === '' ? [] : [read(each!.trim())]))
}

/** A condition in words. */
export function conditionText({ path, operator, values, raw }: FilterCondition): string {
  const name = pathText(path)
  if (operator === 'other') return `${name} ${oneLine(writeJson(raw).replaceAll(/\s*\n\s*/g, ' '), 60)}`
  if (operator === 'exists' || operator === 'does not exist') return `${name} ${operator}`
  return `${name} ${operator} ${values.map(value => oneLine(valueText(value), 60)).join(' or ')}`
}

/** A filter in a sentence. */
export function filterText(filter: unknown): string {
  const conditions = conditionsOf(filter)
  return conditions.length === 0 ? 'every event' : conditions.map(conditionText).join(', and ')
}
