// Filters compiled: the event pattern language of PATTERNS.md, read once when a trigger is written. Pure.
import { BlockList, isIP, isIPv4 } from 'node:net'

export type Scalar = string | number | boolean | null

/** One alternative of a field: holds or not for one value that stands at the field's path. */
export interface Test {
  /** The operator's name, as explanations show it. */
  operator: string
  /** What the filter asks for, as it was written. */
  expected: unknown
  /** The exact values that alone can make it hold, where there are such: the matcher finds these by hash. */
  exact?: Scalar
  holds(value: Scalar): boolean
}

export interface Field {
  /** Path from the event's top, its steps joined by dots. */
  path: string
  /** Any of these may hold. */
  tests: Test[]
  /** the exact values among them, for one look-up, and the others, each to be tried */
  exact: ReadonlySet<Scalar>
  others: readonly Test[]
  /** Whether the absence of the path is one of the alternatives. */
  absent: boolean
}

/** One way to match: all fields hold, sorted by path, in the same array elements. */
export interface Branch {
  fields: Field[]
}

export interface CompiledPattern {
  /** Any of these may hold; one unless the filter has $or. */
  branches: Branch[]
}

/** A filter that cannot be compiled: where, what was expected, what was found. */
export class PatternError extends Error {
  readonly path: string

  constructor(path: string, message: string) {
    super(message)
    this.name = 'PatternError'
    this.path = path
  }
}

export const patternLimits = {
  depth: 32,
  fields: 100,
  alternatives: 1000,
  operators: 100,
  branches: 256,
  wildcardStars: 16,
  wildcardLength: 512,
  textLength: 4096,
} as const

type Members = Record<string, unknown>

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

/**
 * Unicode simple case folding, code point by code point, so that a text keeps its length in UTF-16 units.
 * The dotless i folds to itself: only Turkish rules make it an i.
 */
export function folded(text: string): string {
  if (/^[\0-\x7f]*$/.test(text)) return text.toLowerCase()
  let result = ''
  for (const character of text) {
    const upper = character.toUpperCase()
    const base = character !== 'ı' && upper.length === character.length ? upper : character
    const lower = base.toLowerCase()
    result += lower.length === base.length ? lower : base
  }
  return result
}

/** Wildcard pieces: the literal texts between the stars. */
function wildcardPieces(text: string, path: string): string[] {
  const pieces = ['']
  for (let index = 0; index < text.length; index++) {
    const character = text[index]!
    if (character === '\\') {
      const next = text[++index]
      if (next !== '*' && next !== '\\') {
        throw new PatternError(path, `in a wildcard a backslash stands only before * or \\; found ${shown(text)}`)
      }
      pieces[pieces.length - 1] += next
    } else if (character !== '*') pieces[pieces.length - 1] += character
    else if (text[index + 1] === '*') throw new PatternError(path, `two stars in a row mean no more than one; found ${shown(text)}`)
    else pieces.push('')
  }
  if (text.length > patternLimits.wildcardLength)
    throw new PatternError(path, `a wildcard has at most ${patternLimits.wildcardLength} characters; found ${text.length}`)
  if (pieces.length - 1 > patternLimits.wildcardStars) {
    throw new PatternError(path, `a wildcard has at most ${patternLimits.wildcardStars} stars; found ${pieces.length - 1}`)
  }
  return pieces
}

/** Whether a text fits: first and last piece at the ends, the others leftmost first between them. Linear for few stars. */
function wildcardHolds(pieces: string[], text: string): boolean {
  const first = pieces[0]!
  const last = pieces.at(-1)!
  if (pieces.length === 1) return text === first
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false
  const end = text.length - last.length
  let at = first.length
  for (let index = 1; index < pieces.length - 1; index++) {
    const found = text.indexOf(pieces[index]!, at)
    if (found < 0 || found + pieces[index]!.length > end) return false
    at = found + pieces[index]!.length
  }
  return true
}

type TextHolds = (text: string) => boolean

function textTest(operator: string, expected: unknown, holds: TextHolds): Test {
  return { operator, expected, holds: value => typeof value === 'string' && holds(value) }
}

function requiredText(value: unknown, operator: string, path: string): string {
  if (typeof value !== 'string') throw new PatternError(path, `"${operator}" takes a string; found ${shown(value)}`)
  if (value.length > patternLimits.textLength) throw new PatternError(path, `"${operator}" takes at most ${patternLimits.textLength} characters`)
  return value
}

/** prefix and suffix, plain or {"equals-ignore-case": text}. */
function affix(operator: 'prefix' | 'suffix', value: unknown, path: string): TextHolds {
  const method = operator === 'prefix' ? 'startsWith' : 'endsWith'
  if (!isObject(value)) {
    const text = requiredText(value, operator, path)
    return candidate => candidate[method](text)
  }
  const inner = onlyMember(value, path)
  if (inner.key !== 'equals-ignore-case') throw new PatternError(path, `inside "${operator}" only "equals-ignore-case" is known; found ${shown(inner.key)}`)
  const text = folded(requiredText(inner.value, inner.key, path))
  return candidate => {
    const part = operator === 'prefix' ? candidate.slice(0, text.length) : candidate.slice(Math.max(0, candidate.length - text.length))
    return folded(part) === text
  }
}

function textOperator(operator: string, value: unknown, path: string): TextHolds | undefined {
  switch (operator) {
    case 'prefix':
    case 'suffix':
      return affix(operator, value, path)
    case 'equals-ignore-case': {
      const text = folded(requiredText(value, operator, path))
      return candidate => candidate.length === text.length && folded(candidate) === text
    }
    case 'wildcard': {
      const pieces = wildcardPieces(requiredText(value, operator, path), path)
      return candidate => wildcardHolds(pieces, candidate)
    }
    default:
      return undefined
  }
}

function onlyMember(value: Members, path: string): { key: string; value: unknown } {
  const keys = Object.keys(value)
  if (keys.length !== 1) throw new PatternError(path, `one operator was expected here; found ${keys.length === 0 ? 'none' : keys.map(shown).join(', ')}`)
  return { key: keys[0]!, value: value[keys[0]!] }
}

function anythingBut(value: unknown, path: string): Test {
  const expected = value
  const result = (holds: (candidate: Scalar) => boolean): Test => ({ operator: 'anything-but', expected, holds })
  if (isObject(value)) {
    const inner = onlyMember(value, path)
    const list = Array.isArray(inner.value) ? inner.value : [inner.value]
    if (list.length === 0) throw new PatternError(path, `"anything-but" with "${inner.key}" takes a text or a list of texts; found an empty list`)
    const tests = list.map(item => {
      const holds = textOperator(inner.key, item, path)
      if (holds === undefined) throw new PatternError(path, `"anything-but" takes prefix, suffix, equals-ignore-case or wildcard; found ${shown(inner.key)}`)
      const empty = item === '' || (isObject(item) && item['equals-ignore-case'] === '')
      if (empty && (inner.key === 'prefix' || inner.key === 'suffix'))
        throw new PatternError(path, `"anything-but" with an empty ${inner.key} would exclude every string`)
      return holds
    })
    return result(candidate => typeof candidate !== 'string' || !tests.some(holds => holds(candidate)))
  }
  const list = Array.isArray(value) ? value : [value]
  const kinds = new Set(list.map(item => typeof item))
  if (list.length === 0 || kinds.size > 1 || !(kinds.has('string') || kinds.has('number'))) {
    throw new PatternError(path, `"anything-but" takes strings or numbers, not both and not none; found ${shown(value)}`)
  }
  const excluded = new Set(list as Scalar[])
  return result(candidate => !excluded.has(candidate))
}

const comparisons: Record<string, { side: 'low' | 'high' | 'both'; holds: (value: number, bound: number) => boolean }> = {
  '=': { side: 'both', holds: (value, bound) => value === bound },
  '<': { side: 'high', holds: (value, bound) => value < bound },
  '<=': { side: 'high', holds: (value, bound) => value <= bound },
  '>': { side: 'low', holds: (value, bound) => value > bound },
  '>=': { side: 'low', holds: (value, bound) => value >= bound },
}

function numeric(value: unknown, path: string): Test {
  const wrong = (): PatternError =>
    new PatternError(path, `"numeric" takes one comparison such as [">", 5] or a range such as [">=", 0, "<", 10]; found ${shown(value)}`)
  if (!Array.isArray(value) || (value.length !== 2 && value.length !== 4)) throw wrong()
  const bounds: { sign: string; bound: number }[] = []
  for (let index = 0; index < value.length; index += 2) {
    const sign: unknown = value[index]
    const bound: unknown = value[index + 1]
    if (typeof sign !== 'string' || !Object.hasOwn(comparisons, sign) || typeof bound !== 'number' || !Number.isFinite(bound)) throw wrong()
    bounds.push({ sign, bound })
  }
  if (bounds.length === 2) {
    const low = bounds.find(({ sign }) => comparisons[sign]!.side === 'low')
    const high = bounds.find(({ sign }) => comparisons[sign]!.side === 'high')
    if (low === undefined || high === undefined) throw wrong()
    const nothing = low.bound > high.bound || (low.bound === high.bound && (low.sign === '>' || high.sign === '<'))
    if (nothing) throw new PatternError(path, `no number lies in the range ${shown(value)}`)
  }
  return {
    operator: 'numeric',
    expected: value,
    holds: candidate => typeof candidate === 'number' && bounds.every(({ sign, bound }) => comparisons[sign]!.holds(candidate, bound)),
  }
}

function cidr(value: unknown, path: string): Test {
  const text = requiredText(value, 'cidr', path)
  const [address = '', bits = '', ...rest] = text.split('/')
  const family = isIPv4(address) ? 'ipv4' : 'ipv6'
  const most = family === 'ipv4' ? 32 : 128
  if (isIP(address) === 0 || address.includes('%') || rest.length > 0 || !/^(0|[1-9]\d{0,2})$/.test(bits) || Number(bits) > most) {
    throw new PatternError(path, `"cidr" takes a block such as 10.0.0.0/8 or fd00::/8; found ${shown(value)}`)
  }
  const block = new BlockList()
  block.addSubnet(address, Number(bits), family)
  return textTest('cidr', value, candidate => {
    // A zone id is no part of an address.
    if (candidate.length > 45 || candidate.includes('%')) return false
    const version = isIP(candidate)
    return version !== 0 && block.check(candidate, version === 4 ? 'ipv4' : 'ipv6') && (family === 'ipv4' || version === 6)
  })
}

/** The tests of one alternative; exists:false is none of them but the field's own property. */
function alternative(value: unknown, path: string): Test | 'absent' {
  if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
    return { operator: 'equals', expected: value, exact: value, holds: candidate => candidate === value }
  }
  if (!isObject(value)) throw new PatternError(path, `a value or an operator was expected in the list; found ${shown(value)}`)
  const { key: operator, value: argument } = onlyMember(value, path)
  const text = textOperator(operator, argument, path)
  if (text !== undefined) return textTest(operator, argument, text)
  switch (operator) {
    case 'anything-but':
      return anythingBut(argument, path)
    case 'numeric':
      return numeric(argument, path)
    case 'cidr':
      return cidr(argument, path)
    case 'exists':
      if (typeof argument !== 'boolean') throw new PatternError(path, `"exists" takes true or false; found ${shown(argument)}`)
      return argument ? { operator, expected: argument, holds: () => true } : 'absent'
    default:
      throw new PatternError(
        path,
        `${shown(operator)} is no operator; known are prefix, suffix, equals-ignore-case, wildcard, anything-but, numeric, exists and cidr`,
      )
  }
}

function field(path: string, list: unknown[]): Field {
  if (list.length === 0) throw new PatternError(path, 'at least one alternative was expected; found an empty list')
  if (list.length > patternLimits.alternatives) throw new PatternError(path, `at most ${patternLimits.alternatives} alternatives; found ${list.length}`)
  const alternatives = list.map(item => alternative(item, path))
  const tests = alternatives.filter(test => test !== 'absent')
  const others = tests.filter(test => test.exact === undefined)
  if (others.length > patternLimits.operators)
    throw new PatternError(path, `at most ${patternLimits.operators} alternatives that are not plain values; found ${others.length}`)
  return { path, tests, exact: new Set(tests.flatMap(test => (test.exact === undefined ? [] : [test.exact]))), others, absent: alternatives.includes('absent') }
}

type Conjunction = Map<string, Field>

/** Both together; a path that stands in both is refused, as one of them would silently win elsewhere. */
function joined(left: Conjunction, right: Conjunction): Conjunction {
  const both = new Map(left)
  for (const [path, own] of right) {
    if (both.has(path))
      throw new PatternError(
        path,
        'this field stands in the filter twice (nested and dotted keys name the same field, and $or adds to what stands beside it); put its alternatives into one list',
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
  return value.flatMap(pattern => conjunctions(pattern, path, depth))
}

/** A pattern as the list of conjunctions of which any may hold. */
function conjunctions(pattern: Members, path: string, depth: number): Conjunction[] {
  const keys = Object.keys(pattern)
  if (keys.length === 0) throw new PatternError(path, 'at least one field was expected; found an empty pattern')
  if (depth > patternLimits.depth) throw new PatternError(path, `patterns nest at most ${patternLimits.depth} deep`)
  let result: Conjunction[] = [new Map()]
  for (const key of keys) {
    const value = pattern[key]
    const at = path === '' && depth === 0 ? key : `${path}.${key}`
    let parts: Conjunction[]
    if (key === '$or') parts = disjunction(value, path, depth)
    else if (Array.isArray(value)) parts = [new Map([[at, field(at, value)]])]
    else if (isObject(value)) parts = conjunctions(value, at, depth + 1)
    else throw new PatternError(at, `a list of alternatives was expected; found ${shown(value)} (write [${shown(value)}])`)
    result = result.flatMap(left => parts.map(right => joined(left, right)))
    if (result.length > patternLimits.branches) throw new PatternError(at, `$or multiplies out to more than ${patternLimits.branches} ways; split the trigger`)
  }
  return result
}

/**
 * Compiles a filter. Throws PatternError with the path of what is wrong.
 * Semantics: AWS Event Ruler's; PATTERNS.md is the normative text.
 */
export function compilePattern(filter: unknown): CompiledPattern {
  if (!isObject(filter)) throw new PatternError('', `a filter is an object that mirrors the event; found ${shown(filter)}`)
  const branches = conjunctions(filter, '', 0).map(conjunction => {
    if (conjunction.size > patternLimits.fields) throw new PatternError('', `a filter has at most ${patternLimits.fields} fields; found ${conjunction.size}`)
    return { fields: [...conjunction.values()].toSorted((a, b) => (a.path < b.path ? -1 : 1)) }
  })
  return { branches }
}

const sourced = /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/

/** Digits and exponent without leading and trailing zeros: two spellings of one number come out alike. */
function normalNumber(text: string): string {
  const [, whole = '0', fraction = '', exponent = '0'] = sourced.exec(text) ?? []
  const digits = `${whole}${fraction}`.replace(/^0+/, '')
  const kept = digits.replace(/0+$/, '')
  return kept === '' ? '0' : `${kept}e${Number(exponent) - fraction.length + (digits.length - kept.length)}`
}

/**
 * The first number of a JSON text that a double cannot hold as it was written (such as 9007199254740993), or
 * undefined. Filters with such numbers are refused: they would match other events than they say.
 */
export function inexactNumber(text: string): string | undefined {
  let found: string | undefined
  JSON.parse(text, (_key, value: unknown, context?: { source?: string }) => {
    if (typeof value === 'number' && context?.source !== undefined && found === undefined) {
      if (!Number.isFinite(value) || normalNumber(context.source) !== normalNumber(String(value))) found = context.source
    }
    return value
  })
  return found
}
