// Durations in definition files and in the configuration.
import { describe, expect, test } from 'vitest'
import { durationOf, withDurations } from '../src/durations.ts'

test.each([
  ['500ms', 500],
  ['3s', 3000],
  ['15m', 900_000],
  ['2h30m', 9_000_000],
  ['7d', 604_800_000],
  ['', undefined],
  ['3', undefined],
  ['3 s', undefined],
  ['-3s', undefined],
  ['1.5h', undefined],
  ['3y', undefined],
])('%s is %s ms', (text, length) => {
  expect(durationOf(text)).toBe(length)
})

describe('in a definition', () => {
  test('a key in milliseconds takes a duration', () => {
    const trigger = {
      policy: {
        timeout_ms: '24h',
        retry: ['1s', 2000],
        debounce: { period_ms: '3s' },
        budget: { period: '1h' },
      },
    }
    expect(withDurations(trigger)).toEqual({
      policy: {
        timeout_ms: 86_400_000,
        retry: [1000, 2000],
        debounce: { period_ms: 3000 },
        budget: { period: 3_600_000 },
      },
    })
  })

  test('what is not a duration stays for the validator', () => {
    const policy = { timeout_ms: 'soon', retry: 'default', priority: '3s', budget: { period: 'day' } }
    expect(withDurations({ policy })).toEqual({ policy })
  })

  test.each(['filter', 'payload', 'params', 'body', 'inputs', 'headers', 'payload_schema'])(
    'the texts of %s stay as they are',
    key => {
      const definition = { [key]: { timeout_ms: '3s', retry: ['1s'] } }
      expect(withDurations(definition)).toEqual(definition)
    },
  )
})
