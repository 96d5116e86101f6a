// Every validation error says where, what was expected, what was found, and what was probably meant.
import { describe, expect, test } from 'vitest'
import { compileContract } from '../src/contract/validators.ts'
import type { Methods } from '../src/contract/types.ts'
import { didYouMean } from '../src/nearest-id.ts'
import { anyOf, shown, unknownKey, validationError } from '../src/validation-error.ts'

function refusalOf(method: keyof Methods, params: unknown): string {
  const checked = compileContract().get(method)!.validateParams(params)
  return checked.ok ? 'accepted' : `${checked.path} ${checked.message}`
}

const trigger = { id: 'a', filter: { type: ['x'] }, action: { bot_id: 'b' } }

describe('params', () => {
  test.each([
    ['a missing key', { source_id: 's', type: 'x' }, 'payload is required; found nothing'],
    [
      'an empty text',
      { source_id: 's', type: '', payload: 1 },
      'type must have at least 1 character; found ""',
    ],
    ['another type', { source_id: 1, type: 'x', payload: 1 }, 'source_id must be a string; found 1'],
    [
      'an unknown key',
      { source_id: 's', type: 'x', payload: 1, subjct: 'y' },
      'subjct must be a known key (source_id, type, payload, subject, idempotency_key, time, headers, causation, context_files, deliver_at, actor, thread); found "subjct"; did you mean "subject"?',
    ],
  ])('%s', (_name, params, message) => {
    expect(refusalOf('event.emit', params)).toBe(message)
  })

  test.each([
    ['exec', 'bot.endpoint.kind must be one of http, unix_rpc, command, pull, emit, notify; found "exec"'],
    [
      'htpp',
      'bot.endpoint.kind must be one of http, unix_rpc, command, pull, emit, notify; found "htpp"; did you mean "http"?',
    ],
    [undefined, 'bot.endpoint.kind is required; found nothing'],
  ])('kind %s: the known kinds are listed', (kind, message) => {
    expect(refusalOf('bot.put', { bot: { id: 'a', endpoint: { kind } } })).toBe(message)
  })

  test('of more than 16 known keys only the nearest is named', () => {
    expect(refusalOf('trigger.put', { trigger: { ...trigger, policy: { debunce: {} } } })).toBe(
      'trigger.policy.debunce must be a known key; found "debunce"; did you mean "debounce"?',
    )
  })

  test.each(['secret', 'bearer'])('a %s that was written in place of its reference is not repeated', name => {
    const config = { provider: 'forgejo', [name === 'secret' ? 'secrets' : 'bearer']: ['s3cret-value'] }
    expect(refusalOf('source.put', { source: { id: 'a', source_type: 'webhook', config } })).not.toContain(
      's3cret-value',
    )
  })
})

test('the parts make one sentence', () => {
  const parts = { path: 'a.b', expected: 'must be 1', found: shown('2'), suggestion: 'did you mean 1?' }
  expect(validationError(parts)).toEqual({ path: 'a.b', message: 'must be 1; found "2"; did you mean 1?' })
  expect(unknownKey('a.b', 'b', []).message).toBe('must be a known key; found "b"')
})

test('lists of names read as one', () => {
  expect([[], ['a'], ['a', 'b'], ['a', 'b', 'c']].map(anyOf)).toEqual(['', 'a', 'a or b', 'a, b or c'])
})

test('a long value is cut, and only near names are suggested', () => {
  expect(shown('x'.repeat(100))).toHaveLength(80)
  expect([didYouMean('typ', ['type']), didYouMean('zzz', ['type']), didYouMean(1, ['type'])]).toEqual([
    'did you mean "type"?',
    undefined,
    undefined,
  ])
})
