import { describe, expect, test } from 'vitest'
import { answerValue, commandResult, jsonText, tooMuch } from '../../src/delivery/answer-json.ts'

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

describe('the result of a command', () => {
  test.each([
    ['all of it', ' {"a": 1}\n', ' {"a": 1}\n'],
    ['a value that is no object', '[1, 2]\n', '[1, 2]\n'],
    ['the last line that is a JSON object', 'x\n{"a": 1}\n{"a": 2}  \nbye\n\n', '{"a": 2}'],
    ['no line that is another value', 'x\n[1]\n2\n"y"\nnull\n', null],
    ['no line that only looks like one', 'x\n{"a": 1}\n{"a": 2\n{oops}\n', '{"a": 1}'],
    ['nothing of nothing', '', null],
  ])('is %s', (_name, stdout, result) => {
    expect(commandResult(stdout, false)).toBe(result)
  })

  test('is a whole line where the beginning is missing', () => {
    expect(commandResult('{"a": 1}\n', true)).toBeNull()
    expect(commandResult('{"a": 1}', true)).toBeNull()
    expect(commandResult('"b"}\n{"a": 1}\n', true)).toBe('{"a": 1}')
  })
})
