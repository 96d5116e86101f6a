// Numbers of JSON as exact decimal values. A double holds some 17 digits: 813683310949021977 and 813683310949021978 are
// two ids in the text and one number after JSON.parse. Whatever compares, keys or keeps numbers asks here.

interface Decimal {
  negative: boolean
  /** without leading and trailing zeros; '' for zero */
  digits: string
  /** how many digits stand before the point: 12.5 has 2, 0.05 has -1 */
  point: bigint
}

const number = /^(-?)(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/
const zero: Decimal = { negative: false, digits: '', point: 0n }

/**
 * Exponents of more digits count as this many nines: BigInt takes 0.4 s for one of a million digits, and its text 0.3 s
 * more. Numbers that differ beyond that are one value; such differences are never intended.
 */
const maxExponentDigits = 1000
const furthest = 10n ** BigInt(maxExponentDigits) - 1n

function exponentOf(text: string): bigint {
  const digits = text.replace(/^[+-]?0*/, '')
  if (digits.length > maxExponentDigits) return text.startsWith('-') ? -furthest : furthest
  return text.startsWith('-') ? -BigInt(digits) : BigInt(digits)
}

/** The parts of a JSON number, or of String(number). */
function decimal(text: string): Decimal {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = number.exec(text) ?? []
  const written = `${whole}${fraction}`
  const unpadded = written.replace(/^0+/, '')
  // A loop, not /0+$/: that expression takes quadratic time over zeros in the middle.
  let end = unpadded.length
  while (end > 0 && unpadded[end - 1] === '0') end--
  if (end === 0) return zero
  return {
    negative: sign === '-',
    digits: unpadded.slice(0, end),
    point: BigInt(whole.length - (written.length - unpadded.length)) + exponentOf(exponent),
  }
}

/** As JavaScript writes numbers: plain from 1e-7 up to 1e21, with an exponent beyond. */
function written({ negative, digits, point }: Decimal): string {
  if (digits === '') return '0'
  const sign = negative ? '-' : ''
  if (point > 21n || point <= -6n) {
    const exponent = point - 1n
    return `${sign}${digits[0]!}${digits.length > 1 ? `.${digits.slice(1)}` : ''}e${exponent < 0n ? '' : '+'}${exponent}`
  }
  const at = Number(point)
  if (at <= 0) return `${sign}0.${'0'.repeat(-at)}${digits}`
  return at >= digits.length
    ? `${sign}${digits.padEnd(at, '0')}`
    : `${sign}${digits.slice(0, at)}.${digits.slice(at)}`
}

/**
 * The one text of a number's exact value, whatever its spelling: '10' for 10, 10.00 and 1e1, and '0' for -0. Where a
 * double holds the value, this is String(value).
 */
export function decimalText(source: string): string {
  return written(decimal(source))
}

/** No digit but zeros before the exponent: what is not zero and as small as that is no double. */
const spelledZero = /^-?[0.]*(?:[eE]|$)/

/** Whether a double holds the value of a JSON number: the shortest decimal of the double has the same value. */
export function doubleHolds(source: string): boolean {
  const value = Number(source)
  if (!Number.isFinite(value)) return false
  if (value === 0) return spelledZero.test(source)
  const shortest = String(value)
  return shortest === source || shortest === decimalText(source)
}

/** Order of two JSON numbers by their exact values: below zero, zero, or above zero. */
export function compareDecimals(left: string, right: string): number {
  const [a, b] = [decimal(left), decimal(right)]
  if (a.digits === '' || b.digits === '' || a.negative !== b.negative) return signOf(a) - signOf(b)
  const larger = a.point === b.point ? compareDigits(a.digits, b.digits) : a.point > b.point ? 1 : -1
  // -0 is no order.
  return a.negative && larger !== 0 ? -larger : larger
}

function signOf({ negative, digits }: Decimal): number {
  return digits === '' ? 0 : negative ? -1 : 1
}

/** Without trailing zeros, digits behind one point are ordered as texts are. */
function compareDigits(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1
}
