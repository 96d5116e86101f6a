// Where values stand in JSON texts, and limits before parsing, held against JSON.parse.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { exceededLimit, valueText } from '../src/json-text.ts'

const limits = { json_depth: 64, json_tokens: 200_000 }

/** JSON with odd white space. */
function spaced(value: unknown, spaces: string): string {
  if (Array.isArray(value))
    return `[${spaces}${value.map(each => spaced(each, spaces)).join(`${spaces},`)}${spaces}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  return `{${spaces}${Object.entries(value)
    .map(([key, each]) => `${JSON.stringify(key)}${spaces}:${spaces}${spaced(each, spaces)}`)
    .join(`,${spaces}`)}${spaces}}`
}

test('the text at a path parses to the value at the path', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 5 }), fc.constantFrom('', ' ', '\n\t ', '\r\n'), (value, spaces) => {
      const text = Buffer.from(spaced(value, spaces))
      const visit = (at: unknown, path: (string | number)[]): void => {
        expect(JSON.parse(Buffer.from(valueText(text, path)!).toString('utf8'))).toEqual(at)
        if (Array.isArray(at)) for (const [index, each] of at.entries()) visit(each, [...path, index])
        else if (typeof at === 'object' && at !== null)
          for (const [key, each] of Object.entries(at)) visit(each, [...path, key])
      }
      visit(JSON.parse(text.toString('utf8')), [])
      expect(valueText(text, ['no', 'such', 7])).toBeUndefined()
    }),
    { numRuns: 2000 },
  )
})

test('of doubled keys the last counts, and escaped keys are keys', () => {
  expect(Buffer.from(valueText(Buffer.from('{"a": 1, "\\u0061": 2}'), ['a'])!).toString()).toBe('2')
  expect(
    Buffer.from(valueText(Buffer.from('{"a": {"x": "}\\""}, "b": [1, 2.50 ]}'), ['b', 1])!).toString(),
  ).toBe('2.50')
})

test.each([
  ['[', 64, undefined],
  ['[', 65, 'JSON nests deeper than 64'],
  ['{"a":', 65, 'JSON nests deeper than 64'],
  ['[', 1_000_000, 'JSON nests deeper than 64'],
])('depth: %s %i times', (piece, count, found) => {
  expect(exceededLimit(Buffer.from(piece.repeat(count)), limits)).toBe(found)
})

test('tokens are counted, and brackets in strings are not', () => {
  expect(exceededLimit(Buffer.from(`[${'1,'.repeat(199_997)}1]`), limits)).toBeUndefined()
  expect(exceededLimit(Buffer.from(`[${'1,'.repeat(200_001)}1]`), limits)).toBe(
    'JSON holds more than 200000 values and keys',
  )
  expect(exceededLimit(Buffer.from(`["${'[{,:'.repeat(100_000)}\\"["]`), limits)).toBeUndefined()
})
