// The numbers of a filter, and the operator numeric. Pure.
import {
  compareNumbers,
  innermostDouble,
  mentionedNumber,
  rawNumber,
  type Bound,
  type FilterNumber,
} from './exact-number.ts'
import { PatternError, patternLimits, shown } from './pattern-limits.ts'

export interface RangeTest {
  kind: 'range'
  /** the doubles in it, both ends included: those next to open ends. low > high: none, though numbers between doubles */
  low: number
  high: number
  /** its ends as they were written, which decide about numbers that no double holds; undefined: none */
  from: Bound | undefined
  to: Bound | undefined
}

/** A number of a filter, plain or as it was written; undefined for anything else. */
export function numberIn(value: unknown, path: string): FilterNumber | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? value : undefined
  const source = rawNumber(value)
  if (source !== undefined && source.length > patternLimits.numberLength)
    throw new PatternError(
      path,
      `a number has at most ${patternLimits.numberLength} characters; found ${source.length}`,
    )
  return source === undefined ? undefined : mentionedNumber(source)
}

type Sign = '=' | '<' | '<=' | '>' | '>='

function isSign(value: unknown): value is Sign {
  return typeof value === 'string' && ['=', '<', '<=', '>', '>='].includes(value)
}

export function numeric(value: unknown, path: string): RangeTest {
  const wrong = (): PatternError =>
    new PatternError(
      path,
      `"numeric" takes one comparison such as [">", 5] or a range such as [">=", 0, "<", 10]; found ${shown(value)}`,
    )
  if (!Array.isArray(value) || (value.length !== 2 && value.length !== 4)) throw wrong()
  let from: Bound | undefined
  let to: Bound | undefined
  const sides = new Set<string>()
  for (let index = 0; index < value.length; index += 2) {
    const sign: unknown = value[index]
    const bound = numberIn(value[index + 1], path)
    if (!isSign(sign) || bound === undefined || (sign === '=' && value.length > 2)) throw wrong()
    sides.add(sign[0]!)
    if (sign !== '<' && sign !== '<=') from = { value: bound, open: sign === '>' }
    if (sign !== '>' && sign !== '>=') to = { value: bound, open: sign === '<' }
  }
  if (sides.size * 2 !== value.length) throw wrong()
  const order = from === undefined || to === undefined ? -1 : compareNumbers(from.value, to.value)
  if (order > 0 || (order === 0 && (from!.open || to!.open)))
    throw new PatternError(path, `no number lies in the range ${shown(value)}`)
  return {
    kind: 'range',
    low: from === undefined ? -Infinity : innermostDouble(from, true),
    high: to === undefined ? Infinity : innermostDouble(to, false),
    from,
    to,
  }
}

/** Whether a range is one number. */
export function isPoint({ from, to }: RangeTest): boolean {
  return from !== undefined && from.value === to?.value
}
