import { expect, test } from 'vitest'
import { answerValue, jsonText, tooMuch } from '../../src/delivery/answer-json.ts'

test('an answer that is JSON keeps its text', () => {
  expect(jsonText('{ "a": 1.0 }')).toBe('{ "a": 1.0 }')
  expect(answerValue('null')).toEqual({ value: null })
})

test.each(['', '{"a":', 'text'])('an answer that is not JSON has no value: %j', text => {
  expect([jsonText(text), answerValue(text), tooMuch(text)]).toEqual([null, undefined, undefined])
})

test.each([
  ['depth', `${'['.repeat(65)}${']'.repeat(65)}`, 'JSON nests deeper than 64'],
  ['values', `[1${',1'.repeat(200_000)}]`, 'JSON holds more than 200000 values and keys'],
])('an answer beyond the limit of %s is not parsed', (_name, text, reason) => {
  const parse = JSON.parse
  let parsed = 0
  JSON.parse = (...given) => {
    parsed++
    return parse(...given) as unknown
  }
  try {
    expect([tooMuch(text), answerValue(text), jsonText(text)]).toEqual([reason, undefined, null])
  } finally {
    JSON.parse = parse
  }
  expect(parsed).toBe(0)
  expect(parse(text)).toBeInstanceOf(Array)
})
