import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import type { AuditEntry, Condition, Run, TriggerStat } from '../../src/contract/types.ts'
import { fieldsOf, nearestChange, verdictOf } from '../../src/dashboard/event/nearest.ts'
import { readJson, writeJson } from '../../src/dashboard/json.ts'
import { diffLines } from '../../src/dashboard/trigger/diff.ts'
import { authorOf } from '../../src/dashboard/trigger/authors.ts'
import {
  beginningOf,
  inputOf,
  merged,
  newDraft,
  problemPath,
  valueAt,
  withValue,
} from '../../src/dashboard/trigger/draft.ts'
import { yamlText } from '../../src/dashboard/trigger/yaml.ts'
import {
  changed,
  conditionsOf,
  filterOf,
  filterText,
  valuesIn,
  valueText,
} from '../../src/dashboard/triggers/filter-words.ts'
import { hasText, lastRuns, outcomesOf } from '../../src/dashboard/triggers/words.ts'

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

  test('keeps a field beside the fields below it', () => {
    const both = filterOf([
      { path: ['a'], operator: 'exists', values: [] },
      { path: ['a', 'b', 'c'], operator: 'is', values: [1] },
    ])
    expect(writeJson(both)).toBe(writeJson({ a: [{ exists: true }], 'a.b.c': [1] }))
  })

  test('with the key __proto__ changes nothing else', () => {
    const odd = filterOf([{ path: ['payload', '__proto__', 'polluted'], operator: 'is', values: ['yes'] }])
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
    expect(JSON.stringify(odd)).toBe('{"payload":{"__proto__":{"polluted":["yes"]}}}')
  })

  test('stays a field of the form while it has no value', () => {
    expect(conditionsOf({ type: [] })).toEqual([{ path: ['type'], operator: 'is', values: [] }])
  })

  test('has texts where the operator takes only texts', () => {
    const condition = { path: ['a'], operator: 'is' as const, values: [5, 'x'] }
    expect(changed(condition, { operator: 'begins with' }).values).toEqual(['5', 'x'])
    expect(changed({ ...condition, operator: 'exists', values: [] }, { operator: 'is not' }).values).toEqual([
      '',
    ])
    expect(changed(condition, { operator: 'exists' }).values).toEqual([])
  })

  test('shows invisible characters of a value as escapes', () => {
    expect(valueText('a\u202eb')).toBe(String.raw`"a\u202eb"`)
    expect(valueText('a\nb')).toBe(String.raw`"a\nb"`)
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
      fc.property(
        fc.array(
          fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.boolean(), fc.integer(), fc.constant(null)),
          { minLength: 1 },
        ),
        values => {
          expect(valuesIn(values.map(valueText).join(', '), readJson)).toEqual(values)
        },
      ),
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
    expect(inputOf({ ...stored, paused: true, file_set: 'x' })).toEqual({
      id: 't',
      event_source_id: 'forge',
      filter: { type: ['push'] },
      action: { bot_id: 'b' },
    })
    expect(inputOf({ ...stored, enabled: false })).toMatchObject({ enabled: false })
  })

  test('begins with a value of an event', () => {
    expect(
      newDraft({ source_id: 'forge', type: 'issues', path: ['payload', 'issue', 'number'], value: 12 }),
    ).toEqual({
      id: 'new-trigger',
      event_source_id: 'forge',
      filter: { type: ['issues'], payload: { issue: { number: [12] } } },
      action: { bot_id: 'bot' },
    })
  })

  test.each([
    [
      'event=1&path=["payload","a.b"]&value=12.50',
      { event_id: '1', path: ['payload', 'a.b'], value: readJson('12.50') },
    ],
    ['source=forge', { source_id: 'forge' }],
    ['event=1&path=nonsense&value="x"', { event_id: '1' }],
    ['event=1&path=[1]&value="x"', { event_id: '1' }],
    ['', {}],
  ])('begins with the address %s', (query, beginning) => {
    expect(writeJson(beginningOf(new URLSearchParams(query)))).toBe(writeJson(beginning))
  })

  test('is put on top of a newer version', () => {
    const base = { id: 't', filter: { a: [1] }, action: { bot_id: 'x' }, policy: { priority: 1 } }
    const mine = {
      id: 't',
      filter: { a: [1] },
      action: { bot_id: 'x', workflow_id: 'w' },
      policy: { priority: 2 },
    }
    const theirs = {
      id: 't',
      enabled: false,
      filter: { a: [2] },
      action: { bot_id: 'y' },
      policy: { priority: 3 },
    }
    expect(merged(base, mine, theirs)).toEqual({
      document: {
        id: 't',
        enabled: false,
        filter: { a: [2] },
        action: { bot_id: 'y', workflow_id: 'w' },
        policy: { priority: 2 },
      },
      both: ['policy.priority'],
    })
  })

  test('put on top keeps what either took out', () => {
    expect(merged({ a: 1, b: 2, c: 3 }, { b: 2, c: 3 }, { a: 1, c: 3 })).toEqual({
      document: { c: 3 },
      both: [],
    })
  })

  test('keeps its filter where both changed it', () => {
    expect(
      merged({ filter: { a: [1], b: [1] } }, { filter: { a: [2], b: [1] } }, { filter: { a: [1], b: [2] } }),
    ).toEqual({
      document: { filter: { a: [2], b: [1] } },
      both: ['filter'],
    })
  })

  test('has problems at its own paths', () => {
    expect(problemPath({ path: 'trigger.filter.payload.a' })).toBe('filter.payload.a')
    expect(problemPath({ path: 'trigger' })).toBe('')
    expect(problemPath({})).toBe('')
  })

  test('changes one value, and loses objects that become empty', () => {
    const changed = withValue({ a: 1 }, ['policy', 'concurrency', 'limit'], 2)
    expect(changed).toEqual({ a: 1, policy: { concurrency: { limit: 2 } } })
    expect(valueAt(changed, ['policy', 'concurrency', 'limit'])).toBe(2)
    expect(withValue(changed, ['policy', 'concurrency', 'limit'], undefined)).toEqual({ a: 1 })
  })
})

describe('the list of triggers', () => {
  const trigger = {
    id: 'review',
    description: 'Reads pull requests',
    event_source_id: 'forge',
    enabled: true,
    filter: { type: ['pull_request'] },
    action: { bot_id: 'reviewer' },
    policy: {},
    version: 1,
    created_at: 1,
    updated_at: 1,
  }

  test.each(['', 'READS', 'forge pull_request', 'reviewer'])('finds it by %j', text => {
    expect(hasText(trigger, text)).toBe(true)
  })

  test('does not find what has not all words', () => {
    expect(hasText(trigger, 'review push')).toBe(false)
  })

  test('counts runs by outcome, with where they are listed', () => {
    const stat: TriggerStat = { id: 'review', waiting: 2, active: 0, dead: 1, done: 1200, failed: 0 }
    expect(outcomesOf('review', { since: 0, triggers: [stat] })).toEqual([
      { text: '1,200 completed', query: { state: 'completed', since: '1970-01-01T00:00:00.000Z' } },
      { text: '2 waiting', query: {} },
      { text: '1 dead letter', query: { state: 'dead letter' } },
    ])
    expect(outcomesOf('other', { since: 0, triggers: [stat] })).toEqual([])
  })

  test('has the newest run of each', () => {
    const run = (id: string, trigger_id: string): Run => ({ id, trigger_id }) as Run
    expect(lastRuns([run('3', 'a'), run('2', 'b'), run('1', 'a')]).get('a')).toEqual(run('3', 'a'))
  })
})

describe('the author of a version', () => {
  const entry = (more: Partial<AuditEntry>): AuditEntry => ({
    seq: 1,
    at: 1005,
    principal: 'token:1',
    interface: 'http',
    method: 'trigger.put',
    ids: ['t'],
    outcome: 'done',
    count: 1,
    ...more,
  })

  test('is the caller whose call ended soonest after it', () => {
    expect(
      authorOf('t', 1000, [
        entry({ at: 1009, principal: 'later' }),
        entry({ name: 'ada' }),
        entry({ at: 999, principal: 'before' }),
      ]),
    ).toBe('ada')
    expect(authorOf('t', 1000, [entry({})])).toBe('token:1')
  })

  test('is unknown where the log has no call', () => {
    expect(
      authorOf('t', 1000, [entry({ ids: ['u'] }), entry({ outcome: 'failed' }), entry({ at: 99_000 })]),
    ).toBeUndefined()
  })

  test('is the caller of an apply of many', () => {
    const ids = Array.from({ length: 20 }, (_, index) => `x${index}`)
    expect(authorOf('t', 1000, [entry({ method: 'router.apply', ids })])).toBe('token:1')
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
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), value => {
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
    const lines = fc
      .array(fc.constantFrom('a', 'b', 'c', '{', '}'), { maxLength: 12 })
      .map(each => each.join('\n'))
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
      {
        path: 'payload.label',
        branch: 0,
        holds: false,
        asks: 'is "agent" or begins with "bot"',
        found: '"bug", "ci"',
        hint: undefined,
      },
    ])
    expect(fieldsOf([condition({ found: [] })])[0]!.found).toBe('nothing')
  })

  test('of an alternative that holds the others are left out', () => {
    expect(
      fieldsOf([
        condition({ field_holds: true }),
        condition({ expected: 'ci', holds: true, field_holds: true }),
      ])[0],
    ).toMatchObject({
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
    expect(nearestChange({ matched: false, conditions })).toBe(
      'would match if payload.ref began with "refs/"',
    )
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
