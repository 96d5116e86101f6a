// Numbers as filters compare them: by their exact decimal values. A double decides wherever a double holds the value;
// only what it cannot hold (813683310949021977, 1e400) is an ExactNumber, between the two doubles next to it.
//
// An exact number that a filter mentions is one object for as long as the filter lives, and a number of an event with
// the same value is that object too: so sets, tables and === compare exact numbers without knowing of them.
import { compareDecimals, decimalText, doubleHolds } from '../decimal.ts'

/** JSON.rawJSON is there since Node 21, but not in the types. */
const raw = JSON as unknown as { rawJSON: (text: string) => unknown; isRawJSON: (value: unknown) => boolean }

const bitsOfDouble = new BigInt64Array(1)
const double = new Float64Array(bitsOfDouble.buffer)

/** The next double in a direction. Infinite ones stay. */
function nextDouble(value: number, up: boolean): number {
  if (!Number.isFinite(value)) return value
  double[0] = value === 0 ? 0 : value
  if (value === 0) {
    bitsOfDouble[0] = 1n
    return up ? double[0] : -double[0]
  }
  bitsOfDouble[0]! += value > 0 === up ? 1n : -1n
  return double[0]
}

/** The digits of an event's number that are compared: a filter's have at most half as many (pattern-limits.ts). */
const comparedDigits = 1024

/** The same order against every number of a filter, whatever the length: what follows is not zero, and that is enough. */
function shortened(text: string): string {
  const [mantissa = '', exponent] = text.split('e')
  return mantissa.length <= comparedDigits
    ? text
    : `${mantissa.slice(0, comparedDigits)}1${exponent === undefined ? '' : `e${exponent}`}`
}

export class ExactNumber {
  /** its one text (decimal.ts), cut where no filter can tell the difference */
  readonly text: string
  /** the doubles next to it */
  readonly below: number
  readonly above: number

  constructor(text: string) {
    this.text = shortened(text)
    const nearest = Number(text)
    if (Number.isFinite(nearest)) {
      const isBelow = compareDecimals(String(nearest), this.text) < 0
      this.below = isBelow ? nearest : nextDouble(nearest, false)
      this.above = isBelow ? nextDouble(nearest, true) : nearest
    } else {
      this.below = nearest > 0 ? Number.MAX_VALUE : -Infinity
      this.above = nearest > 0 ? Infinity : -Number.MAX_VALUE
    }
  }

  toJSON(): unknown {
    return raw.rawJSON(this.text)
  }
}

export type FilterNumber = number | ExactNumber

/** The exact numbers that living filters mention, by text. */
const mentioned = new Map<string, WeakRef<ExactNumber>>()
const forgotten = new FinalizationRegistry<string>(text => {
  if (mentioned.get(text)?.deref() === undefined) mentioned.delete(text)
})

/** A number of an event. */
export function numberOf(source: string): FilterNumber {
  if (doubleHolds(source)) return Number(source)
  const exact = new ExactNumber(decimalText(source))
  return mentioned.get(exact.text)?.deref() ?? exact
}

/** A number of a filter. */
export function mentionedNumber(source: string): FilterNumber {
  const number = numberOf(source)
  if (typeof number === 'number' || mentioned.get(number.text)?.deref() === number) return number
  mentioned.set(number.text, new WeakRef(number))
  forgotten.register(number, number.text)
  return number
}

/** The text of a number that parsed JSON keeps as it was written (JSON.rawJSON); undefined for everything else. */
export function rawNumber(value: unknown): string | undefined {
  return raw.isRawJSON(value) ? (value as { rawJSON: string }).rawJSON : undefined
}

/** Order of two numbers by their exact values: below zero, zero, or above zero. */
export function compareNumbers(left: FilterNumber, right: FilterNumber): number {
  if (left === right) return 0
  if (typeof left === 'number') return typeof right === 'number' ? left - right : left <= right.below ? -1 : 1
  if (typeof right === 'number') return right <= left.below ? 1 : -1
  return left.below === right.below ? compareDecimals(left.text, right.text) : left.below - right.below
}

/** The end of a range. */
export interface Bound {
  value: FilterNumber
  /** whether it is outside of the range itself */
  open: boolean
}

/** The least double inside a range that begins here, or the greatest in one that ends here. */
export function innermostDouble({ value, open }: Bound, isLow: boolean): number {
  if (value instanceof ExactNumber) return isLow ? value.above : value.below
  return open ? nextDouble(value, isLow) : value
}

/** Whether an exact number lies between two bounds; doubles are compared with the innermost ones. */
export function liesBetween(value: ExactNumber, from: Bound | undefined, to: Bound | undefined): boolean {
  const low = from === undefined ? 1 : compareNumbers(value, from.value)
  const high = to === undefined ? -1 : compareNumbers(value, to.value)
  return (low > 0 || (low === 0 && !from!.open)) && (high < 0 || (high === 0 && !to!.open))
}
