import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import type { Condition, Trigger } from '../../src/contract/types.ts'
import { fieldsOf, nearestChange, verdictOf } from '../../src/dashboard/event/nearest.ts'
import { readJson, writeJson } from '../../src/dashboard/json.ts'
import { diffLines } from '../../src/dashboard/trigger/diff.ts'
import { inputOf, newDraft, valueAt, withValue } from '../../src/dashboard/trigger/draft.ts'
import { yamlText } from '../../src/dashboard/trigger/yaml.ts'
import { conditionsOf, filterOf, filterText, valuesIn, valueText } from '../../src/dashboard/triggers/filter-words.ts'

const filter = readJson(
  `{"type": ["push", "release"], "payload": {"ref": [{"prefix": "refs/heads/"}], "id": [813683310949021977], "labels": {"name": [{"anything-but": ["wip"]}]},
   "draft": [{"exists": false}], "$or": [{"a": [1]}, {"b": [2]}], "size": [{"numeric": [">", 5]}]}, "payload.repository.full_name": ["acme/site"]}`,
)

describe('a filter', () => {
  test('in words', () => {
    expect(filterText(filter)).toBe(
      'type is push or release, and payload.ref begins with refs/heads/, and payload.id is 813683310949021977, and payload.labels.name is not wip, ' +
        'and payload.draft does not exist, and payload.$or [ { "a": [ 1 ] }, { "b": [ 2 ] } ], and payload.size [ { "numeric": [ ">", 5 ] } ], and payload.repository.full_name is acme/site',
    )
    expect(filterText({})).toBe('every event')
  })

  test('is the same after it was shown as a form', () => {
    const again = filterOf(conditionsOf(filter))
    expect(writeJson(again)).toContain('813683310949021977')
    expect(conditionsOf(again)).toEqual(conditionsOf(filter))
  })

  test.each([
    ['push', ['push']],
    ['push, release', ['push', 'release']],
    ['1, true, null, "1"', [1, true, null, '1']],
    ['"a, b"', ['a, b']],
    ['', []],
    ['refs/heads/main', ['refs/heads/main']],
  ])('values of %j', (text, values) => {
    expect(valuesIn(text, readJson)).toEqual(values)
  })

  test('values survive their text', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.string(), fc.boolean(), fc.integer(), fc.constant(null)), { minLength: 1 }), values => {
        expect(valuesIn(values.map(valueText).join(', '), readJson)).toEqual(values)
      }),
      { numRuns: 300 },
    )
  })
})

describe('a draft', () => {
  const stored = {
    id: 't',
    event_source_id: 'forge',
    enabled: true,
    filter: { type: ['push'] },
    action: { bot_id: 'b' },
    policy: {},
    version: 3,
    created_at: 1,
    updated_at: 2,
  }

  test('is what can be written of a trigger', () => {
    expect(inputOf({ ...stored, paused: true, file_set: 'x' } as Trigger)).toEqual({
      id: 't',
      event_source_id: 'forge',
      filter: { type: ['push'] },
      action: { bot_id: 'b' },
    })
    expect(inputOf({ ...stored, enabled: false } as Trigger)).toMatchObject({ enabled: false })
  })

  test('begins with a value of an event', () => {
    expect(newDraft({ source_id: 'forge', type: 'issues', path: ['payload', 'issue', 'number'], value: 12 })).toEqual({
      id: 'new-trigger',
      event_source_id: 'forge',
      filter: { type: ['issues'], payload: { issue: { number: [12] } } },
      action: { bot_id: 'bot' },
    })
  })

  test('changes one value, and loses objects that become empty', () => {
    const changed = withValue({ a: 1 }, ['policy', 'concurrency', 'limit'], 2)
    expect(changed).toEqual({ a: 1, policy: { concurrency: { limit: 2 } } })
    expect(valueAt(changed, ['policy', 'concurrency', 'limit'])).toBe(2)
    expect(withValue(changed, ['policy', 'concurrency', 'limit'], undefined)).toEqual({ a: 1 })
  })
})

describe('YAML', () => {
  test.each([
    [{ triggers: [{ id: 'a', filter: { type: ['push'] }, on: 'yes', text: 'two: parts # not a comment' }] }],
    [{ a: [[1, 2], { b: [] }], c: {}, d: null, e: 'null', f: '1.0', g: '- x', h: '', i: ' x', j: 'a\nb' }],
    [[{ a: [{ b: 1, c: 2 }] }, 'x']],
    ['no'],
  ])('%j is read as the same', value => {
    expect(parse(yamlText(value))).toEqual(value)
  })

  test('any JSON is read as the same', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false } as object), value => {
        const text = yamlText(value)
        expect(parse(text, { version: '1.2' })).toEqual(JSON.parse(JSON.stringify(value)))
        expect(parse(text, { version: '1.1' })).toEqual(JSON.parse(JSON.stringify(value)))
      }),
      { numRuns: 300 },
    )
  })

  test('keeps the digits of numbers', () => {
    expect(yamlText(readJson('{"id": 813683310949021977}'))).toBe('id: 813683310949021977\n')
  })
})

describe('a difference', () => {
  test('has what was removed, added and kept', () => {
    expect(diffLines('a\nb\nc', 'a\nx\nc\nd')).toEqual([
      { kind: 'same', text: 'a' },
      { kind: 'removed', text: 'b' },
      { kind: 'added', text: 'x' },
      { kind: 'same', text: 'c' },
      { kind: 'added', text: 'd' },
    ])
  })

  test('gives both texts back', () => {
    const lines = fc.array(fc.constantFrom('a', 'b', 'c', '{', '}'), { maxLength: 12 }).map(each => each.join('\n'))
    fc.assert(
      fc.property(lines, lines, (before, after) => {
        const diff = diffLines(before, after)
        const text = (without: string): string =>
          diff
            .filter(({ kind }) => kind !== without)
            .map(each => each.text)
            .join('\n')
        expect([text('added'), text('removed')]).toEqual([before, after])
      }),
      { numRuns: 300 },
    )
  })
})

describe('why an event did not match', () => {
  const condition = (more: Partial<Condition>): Condition => ({
    path: 'payload.label',
    operator: 'equals',
    expected: 'agent',
    found: ['bug', 'ci'],
    holds: false,
    field_holds: false,
    branch: 0,
    ...more,
  })

  test('each field has what it asks for and what was found', () => {
    expect(fieldsOf([condition({}), condition({ expected: 'bot', operator: 'prefix' })])).toEqual([
      { path: 'payload.label', branch: 0, holds: false, asks: 'is "agent" or begins with "bot"', found: '"bug", "ci"', hint: undefined },
    ])
    expect(fieldsOf([condition({ found: [] })])[0]!.found).toBe('nothing')
  })

  test('of an alternative that holds the others are left out', () => {
    expect(fieldsOf([condition({ field_holds: true }), condition({ expected: 'ci', holds: true, field_holds: true })])[0]).toMatchObject({
      holds: true,
      asks: 'is "ci"',
    })
  })

  test('the nearest change is that of the branch with the fewest failures', () => {
    const conditions = [
      condition({ branch: 0 }),
      condition({ branch: 0, path: 'type' }),
      condition({ branch: 1, path: 'payload.ref', operator: 'prefix', expected: 'refs/' }),
    ]
    expect(nearestChange({ matched: false, conditions })).toBe('would match if payload.ref began with "refs/"')
    expect(nearestChange({ matched: true, conditions })).toBeUndefined()
  })

  test('the verdict counts', () => {
    const decision = {
      trigger_id: 't',
      trigger_version: 1,
      matched: false,
      reason: '',
      gates: [],
      run_ids: [],
      conditions: [condition({}), condition({ path: 'type', holds: true, field_holds: true })],
    }
    expect(verdictOf(decision)).toBe('did not match: 1 of 2 conditions fail')
    expect(verdictOf({ ...decision, matched: true })).toBe('matched, no run')
  })
})
