// Filters compiled: the event pattern language of PATTERNS.md, read once when a trigger is written. Pure.
import {
  condition,
  fewValues,
  holds,
  isObject,
  operators,
  type Condition,
  type Fits,
  type Members,
  type Scalar,
} from './conditions.ts'
import { foldedActor } from '../forge.ts'
import { PatternError, patternLimits, shown } from './pattern-limits.ts'

export interface Field {
  /** Path from the event's top, its steps joined by dots. */
  path: string
  /** Any of these may hold. */
  conditions: readonly Condition[]
  /** Whether the absence of the path is one of the alternatives. */
  absent: boolean
  /** the exact values among the conditions, where they are many */
  exact: ReadonlySet<Scalar> | undefined
}

/** One way to match: all fields hold, sorted by path, in the same array elements. */
export interface Branch {
  fields: readonly Field[]
}

export interface CompiledPattern {
  /** Any of these may hold; one unless the filter has $or. */
  branches: readonly Branch[]
}

/** Whether one value is enough for a field. */
export function fieldHolds(field: Field, value: Scalar, fits?: Fits): boolean {
  if (field.exact?.has(value) === true) return true
  for (const { test } of field.conditions) {
    if (test.kind === 'equals' ? field.exact === undefined && test.value === value : holds(test, value, fits))
      return true
  }
  return false
}

/** A test as text: two that ask the same are the same. JSON has no sets, bigints and infinities; exact numbers are their digits. */
function testText(test: Condition['test']): string {
  return JSON.stringify(test, (_key, value: unknown) => {
    if (value instanceof Set) return [...value]
    return typeof value === 'bigint' || (typeof value === 'number' && !Number.isFinite(value))
      ? String(value)
      : value
  })
}

/** What is said twice counts once: indexes would put it in twice, and take it out twice. */
function withoutDoubles(conditions: readonly Condition[]): readonly Condition[] {
  return conditions.length < 2
    ? conditions
    : [...new Map(conditions.map(each => [testText(each.test), each])).values()]
}

/** An alternative for actors, which are compared without regard to case: its texts folded, its operators as they are. */
function folded(item: unknown): unknown {
  if (typeof item === 'string') return foldedActor(item)
  if (Array.isArray(item)) return item.map(folded)
  return isObject(item)
    ? Object.fromEntries(Object.entries(item).map(([name, value]) => [name, folded(value)]))
    : item
}

function field(path: string, list: unknown[]): Field {
  if (list.length === 0)
    throw new PatternError(path, 'must have at least one alternative; found an empty list')
  if (list.length > patternLimits.alternatives)
    throw new PatternError(path, `at most ${patternLimits.alternatives} alternatives; found ${list.length}`)
  const alternatives = list.map(item => condition(path === 'actor' ? folded(item) : item, path))
  const conditions = withoutDoubles(alternatives.filter(each => each !== 'absent'))
  const values = conditions.flatMap(({ test }) => (test.kind === 'equals' ? [test.value] : []))
  const operators = conditions.length - values.length
  if (operators > patternLimits.operators)
    throw new PatternError(
      path,
      `at most ${patternLimits.operators} alternatives that are not plain values; found ${operators}`,
    )
  return {
    path,
    conditions,
    absent: alternatives.includes('absent'),
    exact: values.length > fewValues ? new Set(values) : undefined,
  }
}

type Conjunction = Map<string, Field>

/** Both together. A path that is in both is refused: elsewhere one of the two would silently win. */
function joined(left: Conjunction, right: Conjunction): Conjunction {
  const both = new Map(left)
  if (left.size + right.size > patternLimits.fields)
    throw new PatternError(
      '',
      `a filter must have at most ${patternLimits.fields} fields; found ${left.size + right.size} on one way through it`,
    )
  for (const [path, own] of right) {
    if (both.has(path))
      throw new PatternError(
        path,
        'this field appears in the filter twice (nested and dotted keys name the same field, and what is beside $or holds in each of its branches); write it once, with its alternatives in one list, or in each branch of $or',
      )
    both.set(path, own)
  }
  return both
}

function disjunction(value: unknown, path: string, depth: number): Conjunction[] {
  const at = path === '' ? '$or' : `${path}.$or`
  if (!Array.isArray(value) || value.length < 2 || !value.every(isObject)) {
    throw new PatternError(at, `"$or" takes a list of at least two patterns; found ${shown(value)}`)
  }
  if (value.length > patternLimits.branches) throw tooManyWays(at)
  return value.flatMap((pattern, index) => {
    try {
      return conjunctions(pattern, path, depth)
    } catch (error) {
      if (!(error instanceof PatternError)) throw error
      // What is wrong is to be found on this way through $or.
      const inner = error.path.slice(path.length).replace(/^\./, '')
      throw new PatternError([`${at}.${index}`, inner].filter(step => step !== '').join('.'), error.message)
    }
  })
}

function tooManyWays(at: string): PatternError {
  return new PatternError(
    at,
    `$or multiplies out to more than ${patternLimits.branches} ways; split the trigger`,
  )
}

/** A pattern as the list of conjunctions of which any may hold. */
function conjunctions(pattern: Members, path: string, depth: number): Conjunction[] {
  const keys = Object.keys(pattern)
  if (keys.length === 0) throw new PatternError(path, 'must have at least one field; found an empty pattern')
  if (keys.length > patternLimits.fields)
    throw new PatternError(
      path,
      `a filter must have at most ${patternLimits.fields} fields; found ${keys.length}`,
    )
  if (depth > patternLimits.depth)
    throw new PatternError(path, `patterns nest at most ${patternLimits.depth} deep`)
  let result: Conjunction[] = [new Map()]
  for (const key of keys) {
    const value = pattern[key]
    const at = path === '' && depth === 0 ? key : `${path}.${key}`
    let parts: Conjunction[]
    if (key === '$or') parts = disjunction(value, path, depth)
    else if (Array.isArray(value)) parts = [new Map([[at, field(at, value)]])]
    else if (isObject(value)) parts = conjunctions(value, at, depth + 1)
    else if ((operators as readonly string[]).includes(key))
      throw new PatternError(
        path,
        `an operator must be in a list of alternatives; write [{"${key}": ${shown(value)}}]`,
      )
    else
      throw new PatternError(
        at,
        `must be a list of alternatives; found ${shown(value)} (write [${shown(value)}])`,
      )
    if (result.length * parts.length > patternLimits.branches) throw tooManyWays(at)
    result = result.flatMap(left => parts.map(right => joined(left, right)))
  }
  return result
}

/**
 * Compiles a filter. Throws PatternError with the path of what is wrong.
 * Semantics: AWS Event Ruler's; PATTERNS.md is the normative text.
 */
export function compilePattern(filter: unknown): CompiledPattern {
  if (!isObject(filter))
    throw new PatternError('', `a filter must be an object in the shape of the event; found ${shown(filter)}`)
  return {
    branches: conjunctions(filter, '', 0).map(conjunction => ({
      fields: [...conjunction.values()].toSorted((a, b) => (a.path < b.path ? -1 : 1)),
    })),
  }
}

/** The fields of a branch, and the source that its trigger listens to as one of them. */
export function withSource({ fields }: Branch, source_id: string | null): readonly Field[] {
  if (source_id === null) return fields
  const own: Field = {
    path: 'source_id',
    conditions: [{ operator: 'equals', expected: source_id, test: { kind: 'equals', value: source_id } }],
    absent: false,
    exact: undefined,
  }
  return [...fields, own].toSorted((a, b) => (a.path < b.path ? -1 : 1))
}
