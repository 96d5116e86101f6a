import { isUtf8 } from 'node:buffer'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { characterCut } from '../src/characters.ts'

test('a cut of UTF-8 leaves whole characters on both sides, and loses less than one', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 1 }), fc.nat(40), (text, most) => {
      const bytes = Buffer.from(text)
      const cut = characterCut(bytes, most)
      expect(cut).toBeLessThanOrEqual(Math.min(most, bytes.length))
      expect(cut).toBeGreaterThan(Math.min(most, bytes.length) - 4)
      expect(isUtf8(bytes.subarray(0, cut))).toBe(true)
      expect(isUtf8(bytes.subarray(cut))).toBe(true)
    }),
  )
})

test('what is not UTF-8 is cut where it was asked for', () => {
  expect(characterCut(Buffer.alloc(10, 0xbf), 5)).toBe(5)
  expect(characterCut(Buffer.alloc(10, 0xff), 5)).toBe(5)
})
