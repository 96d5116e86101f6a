// Exact values of JSON numbers, compared with doubles where doubles are exact and with BigInt where they are not.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compareDecimals, decimalText, doubleHolds } from '../src/decimal.ts'

/** A number's text, spelled in one of the ways that JSON knows. */
const spelled = fc
  .tuple(fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }), fc.integer({ min: -30, max: 30 }), fc.nat(4))
  .map(([digits, exponent, zeros]) => ({
    digits,
    exponent,
    text: `${digits}.${'0'.repeat(zeros)}0e${exponent}`,
  }))

test('of a double the text is that of String', () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), value => {
      const text = Object.is(value, -0) ? '0' : String(value)
      expect(decimalText(JSON.stringify(value))).toBe(text)
      expect(doubleHolds(JSON.stringify(value))).toBe(true)
    }),
    { numRuns: 5000 },
  )
})

test('numbers are ordered by their exact values', () => {
  fc.assert(
    fc.property(spelled, spelled, (a, b) => {
      const scale = ({ digits, exponent }: typeof a): bigint => digits * 10n ** BigInt(exponent + 30)
      const [left, right] = [scale(a), scale(b)]
      expect(Math.sign(compareDecimals(a.text, b.text))).toBe(left < right ? -1 : left > right ? 1 : 0)
      expect(decimalText(a.text) === decimalText(b.text)).toBe(left === right)
    }),
    { numRuns: 5000 },
  )
})

test.each([
  ['813683310949021977', false, '813683310949021977'],
  ['813683310949021978', false, '813683310949021978'],
  ['813683310949022000', true, '813683310949022000'],
  ['9007199254740993', false, '9007199254740993'],
  ['1e400', false, '1e+400'],
  ['-1e-400', false, '-1e-400'],
  ['0e999', true, '0'],
  ['-0', true, '0'],
  ['0.1', true, '0.1'],
  ['0.10', true, '0.1'],
  ['10.00', true, '10'],
  ['1E1', true, '10'],
  ['0.1000000000000000055511151231257827', false, '0.1000000000000000055511151231257827'],
  ['123456789012345678901234567890', false, '1.2345678901234567890123456789e+29'],
  ['1e99999999999999999999', false, '1e+99999999999999999999'],
])('%s: held by a double %s, written %s', (text, held, written) => {
  expect(doubleHolds(text)).toBe(held)
  expect(decimalText(text)).toBe(written)
})
