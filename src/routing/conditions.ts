// The conditions of the pattern language: what one alternative of a field asks of one value. Pure.
//
// A condition is data, not a closure: the matcher's indexes read it, explanations show it, and 100,000 triggers hold
// some 200,000 of them.
import { isIPv6 } from 'node:net'
import { ExactNumber, liesBetween, rawNumber, type FilterNumber } from './exact-number.ts'
import { edits } from '../nearest-id.ts'
import { numberIn, numeric, type RangeTest } from './numeric.ts'
import { PatternError, patternLimits, shown } from './pattern-limits.ts'
import { type Block, v4Number, v6Value, inBlock } from './addresses.ts'

/** A value as filters see it; a number that no double holds is an ExactNumber. */
export type Scalar = string | FilterNumber | boolean | null

/** An operator over texts, alone or inside anything-but. */
export type TextTest =
  /** ignoring case, text is folded */
  | { kind: 'prefix' | 'suffix'; text: string; ignore_case: boolean }
  /** text is folded */
  | { kind: 'equals_ignore_case'; text: string }
  /** the literal texts between the stars; the first and the last are at the ends */
  | { kind: 'wildcard'; pieces: readonly string[] }

/** What only texts pass. */
export type OnlyText = TextTest | { kind: 'cidr'; block: Block }

export type Test =
  | OnlyText
  | { kind: 'equals'; value: Scalar }
  | { kind: 'anything_but'; excluded: readonly Scalar[] | ReadonlySet<Scalar> }
  | { kind: 'anything_but_texts'; tests: readonly TextTest[] }
  | RangeTest
  | { kind: 'exists' }

/** One alternative of a field. */
export interface Condition {
  /** The operator's name, as explanations show it. */
  operator: string
  /** What the filter asks for, as it was written. */
  expected: unknown
  test: Test
}

export type Members = Record<string, unknown>

export function isObject(value: unknown): value is Members {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && rawNumber(value) === undefined
  )
}

/** Longer lists of values are sets: a set takes more room, a list more time. */
export const fewValues = 8

const ascii = /^[\0-\x7f]*$/
/** Alike by simple folding, though neither is the other's upper or lower case. */
const foldedByHand = new Map([
  ['\u1fd3', '\u0390'],
  ['\u1fe3', '\u03b0'],
  ['\ufb05', '\ufb06'],
])

/**
 * Unicode simple case folding, code point by code point, so that a text keeps its length in UTF-16 units.
 * The dotless i folds to itself: only Turkish rules make it an i.
 */
export function folded(text: string): string {
  if (ascii.test(text)) return text.toLowerCase()
  let result = ''
  for (const character of text) {
    const byHand = foldedByHand.get(character)
    if (byHand !== undefined) {
      result += byHand
      continue
    }
    const upper = character.toUpperCase()
    const base = character !== 'ı' && upper.length === character.length ? upper : character
    const lower = base.toLowerCase()
    result += lower.length === base.length ? lower : base
  }
  return result
}

let lastText = ''
let lastFolded = ''

/** The same; a value that many conditions look at one after the other is folded once. */
function foldedOnce(text: string): string {
  if (text !== lastText) {
    lastFolded = folded(text)
    lastText = text
  }
  return lastFolded
}

/** Whether a text fits: first and last piece at the ends, the others leftmost first between them. */
export function wildcardHolds(pieces: readonly string[], text: string): boolean {
  const first = pieces[0]!
  const last = pieces.at(-1)!
  if (pieces.length === 1) return text === first
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last))
    return false
  const end = text.length - last.length
  let at = first.length
  for (let index = 1; index < pieces.length - 1; index++) {
    const found = text.indexOf(pieces[index]!, at)
    if (found < 0 || found + pieces[index]!.length > end) return false
    at = found + pieces[index]!.length
  }
  return true
}

export type WildcardTest = Extract<TextTest, { kind: 'wildcard' }>

/** Whether a text fits a wildcard; the matcher tries all of a path at once and knows. */
export type Fits = (test: WildcardTest, text: string) => boolean

const fitsAlone: Fits = ({ pieces }, text) => wildcardHolds(pieces, text)

function textHolds(test: TextTest, text: string, fits: Fits): boolean {
  switch (test.kind) {
    case 'prefix':
      return (test.ignore_case ? foldedOnce(text) : text).startsWith(test.text)
    case 'suffix':
      return (test.ignore_case ? foldedOnce(text) : text).endsWith(test.text)
    case 'equals_ignore_case':
      return text.length === test.text.length && foldedOnce(text) === test.text
    case 'wildcard':
      return fits(test, text)
  }
}

/** Whether a value passes: the one place where operators are decided, for the matcher and for explanations. */
export function holds(test: Test, value: Scalar, fits: Fits = fitsAlone): boolean {
  switch (test.kind) {
    case 'equals':
      return test.value === value
    case 'exists':
      return true
    case 'anything_but':
      return !(test.excluded instanceof Set
        ? test.excluded.has(value)
        : (test.excluded as readonly Scalar[]).includes(value))
    case 'anything_but_texts':
      return typeof value !== 'string' || !test.tests.some(each => textHolds(each, value, fits))
    case 'range':
      if (typeof value === 'number') return value >= test.low && value <= test.high
      return value instanceof ExactNumber && liesBetween(value, test.from, test.to)
    case 'cidr':
      return typeof value === 'string' && inBlock(test.block, value)
    case 'prefix':
    case 'suffix':
    case 'equals_ignore_case':
    case 'wildcard':
      return typeof value === 'string' && textHolds(test, value, fits)
  }
}

function onlyMember(value: Members, path: string): { key: string; value: unknown } {
  const keys = Object.keys(value)
  if (keys.length !== 1)
    throw new PatternError(
      path,
      `one operator was expected here; found ${keys.length === 0 ? 'none' : keys.map(shown).join(', ')}`,
    )
  return { key: keys[0]!, value: value[keys[0]!] }
}

function requiredText(value: unknown, operator: string, path: string): string {
  if (Array.isArray(value))
    throw new PatternError(
      path,
      `"${operator}" takes one string; write an alternative for each: [{"${operator}": "a"}, {"${operator}": "b"}]; found ${shown(value)}`,
    )
  if (typeof value !== 'string')
    throw new PatternError(path, `"${operator}" takes a string; found ${shown(value)}`)
  if (!value.isWellFormed())
    throw new PatternError(
      path,
      `"${operator}" takes whole characters; found half of a surrogate pair in ${shown(value)}`,
    )
  if (value.length > patternLimits.textLength)
    throw new PatternError(path, `"${operator}" takes at most ${patternLimits.textLength} characters`)
  return value
}

/** Wildcard pieces: the literal texts between the stars. */
function wildcardPieces(text: string, path: string): string[] {
  const pieces = ['']
  for (let index = 0; index < text.length; index++) {
    const character = text[index]!
    if (character === '\\') {
      const next = text[++index]
      if (next !== '*' && next !== '\\') {
        throw new PatternError(
          path,
          `in a wildcard a backslash stands only before * or \\; found ${shown(text)}`,
        )
      }
      pieces[pieces.length - 1] += next
    } else if (character !== '*') pieces[pieces.length - 1] += character
    else if (text[index + 1] === '*')
      throw new PatternError(path, `two stars in a row mean no more than one; found ${shown(text)}`)
    else pieces.push('')
  }
  if (text.length > patternLimits.wildcardLength)
    throw new PatternError(
      path,
      `a wildcard has at most ${patternLimits.wildcardLength} characters; found ${text.length}`,
    )
  if (pieces.length - 1 > patternLimits.wildcardStars) {
    throw new PatternError(
      path,
      `a wildcard has at most ${patternLimits.wildcardStars} stars; found ${pieces.length - 1}`,
    )
  }
  return pieces
}

/** prefix and suffix, plain or {"equals-ignore-case": text}. */
function affix(kind: 'prefix' | 'suffix', value: unknown, path: string): TextTest {
  if (!isObject(value)) return { kind, text: requiredText(value, kind, path), ignore_case: false }
  const inner = onlyMember(value, path)
  if (inner.key !== 'equals-ignore-case')
    throw new PatternError(
      path,
      `inside "${kind}" only "equals-ignore-case" is known; found ${shown(inner.key)}`,
    )
  return { kind, text: folded(requiredText(inner.value, inner.key, path)), ignore_case: true }
}

function textTest(operator: string, value: unknown, path: string): TextTest | undefined {
  switch (operator) {
    case 'prefix':
    case 'suffix':
      return affix(operator, value, path)
    case 'equals-ignore-case':
      return { kind: 'equals_ignore_case', text: folded(requiredText(value, operator, path)) }
    case 'wildcard':
      return { kind: 'wildcard', pieces: wildcardPieces(requiredText(value, operator, path), path) }
    default:
      return undefined
  }
}

function anythingBut(value: unknown, path: string): Test {
  if (isObject(value)) {
    const inner = onlyMember(value, path)
    const list = Array.isArray(inner.value) ? inner.value : [inner.value]
    if (list.length === 0)
      throw new PatternError(
        path,
        `"anything-but" with "${inner.key}" takes a text or a list of texts; found an empty list`,
      )
    if (list.length > patternLimits.operators)
      throw new PatternError(
        path,
        `"anything-but" with "${inner.key}" takes at most ${patternLimits.operators} texts; found ${list.length}`,
      )
    const tests = list.map(item => {
      const test = textTest(inner.key, item, path)
      if (test === undefined)
        throw new PatternError(
          path,
          `"anything-but" takes prefix, suffix, equals-ignore-case or wildcard; found ${shown(inner.key)}`,
        )
      if ((test.kind === 'prefix' || test.kind === 'suffix') && test.text === '')
        throw new PatternError(path, `"anything-but" with an empty ${inner.key} would exclude every string`)
      return test
    })
    return { kind: 'anything_but_texts', tests }
  }
  const list = (Array.isArray(value) ? value : [value]).map(item => numberIn(item, path) ?? (item as unknown))
  const kinds = new Set(list.map(item => (item instanceof ExactNumber ? 'number' : typeof item)))
  if (list.length === 0 || kinds.size > 1 || !(kinds.has('string') || kinds.has('number'))) {
    throw new PatternError(
      path,
      `"anything-but" takes strings or numbers, not both and not none; found ${shown(value)}`,
    )
  }
  if (list.length > patternLimits.alternatives)
    throw new PatternError(
      path,
      `"anything-but" takes at most ${patternLimits.alternatives} values; found ${list.length}`,
    )
  return {
    kind: 'anything_but',
    excluded: list.length > fewValues ? new Set(list as Scalar[]) : (list as Scalar[]),
  }
}

function cidr(value: unknown, path: string): Test {
  const text = requiredText(value, 'cidr', path)
  const [address = '', bits = '', ...rest] = text.split('/')
  const v4 = v4Number(address)
  const most = v4 >= 0 ? 32 : 128
  if (
    (v4 < 0 && !isIPv6(address)) ||
    address.includes('%') ||
    rest.length > 0 ||
    !/^(0|[1-9]\d{0,2})$/.test(bits) ||
    Number(bits) > most
  ) {
    throw new PatternError(path, `"cidr" takes a block such as 10.0.0.0/8 or fd00::/8; found ${shown(value)}`)
  }
  if (v4 >= 0) {
    const size = 2 ** (32 - Number(bits))
    const low = Math.floor(v4 / size) * size
    return { kind: 'cidr', block: { version: 4, low, high: low + size - 1 } }
  }
  const host = BigInt(128 - Number(bits))
  const low = (v6Value(address) >> host) << host
  return { kind: 'cidr', block: { version: 6, low, high: low + (1n << host) - 1n } }
}

export const operators = [
  'prefix',
  'suffix',
  'equals-ignore-case',
  'wildcard',
  'anything-but',
  'numeric',
  'exists',
  'cidr',
] as const

/** The operator that a word may have meant, in words. */
function meant(word: string): string {
  const bare = (text: string): string => text.toLowerCase().replaceAll(/[^a-z]/g, '')
  const close = (operator: string): boolean =>
    operator.startsWith(word.toLowerCase()) || edits(bare(operator), bare(word)) <= 2
  const found = word.length > 2 && word.length < 32 ? operators.find(close) : undefined
  return found === undefined ? '' : `; did you mean ${found}?`
}

/** One alternative of a field; exists:false is not an alternative, but a property of the field. Throws PatternError. */
export function condition(value: unknown, path: string): Condition | 'absent' {
  if (value === null || typeof value === 'string' || typeof value === 'boolean')
    return { operator: 'equals', expected: value, test: { kind: 'equals', value } }
  const number = numberIn(value, path)
  if (number !== undefined)
    return { operator: 'equals', expected: value, test: { kind: 'equals', value: number } }
  if (!isObject(value))
    throw new PatternError(path, `a value or an operator was expected in the list; found ${shown(value)}`)
  const { key: operator, value: expected } = onlyMember(value, path)
  const text = textTest(operator, expected, path)
  if (text !== undefined) return { operator, expected, test: text }
  switch (operator) {
    case 'anything-but':
      return { operator, expected, test: anythingBut(expected, path) }
    case 'numeric':
      return { operator, expected, test: numeric(expected, path) }
    case 'cidr':
      return { operator, expected, test: cidr(expected, path) }
    case 'exists':
      if (typeof expected !== 'boolean')
        throw new PatternError(path, `"exists" takes true or false; found ${shown(expected)}`)
      return expected ? { operator, expected, test: { kind: 'exists' } } : 'absent'
    default:
      throw new PatternError(
        path,
        isObject(expected) || Array.isArray(expected)
          ? `${shown(operator)} is no operator; for a pattern among others use $or, and what stands beside each other in a pattern holds together`
          : `${shown(operator)} is no operator${meant(operator)}; known are ${operators.join(', ')}`,
      )
  }
}
