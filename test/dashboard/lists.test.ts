import { describe, expect, test } from 'vitest'
import type { Run } from '../../src/contract/types.ts'
import {
  commandOf as eventsCommand,
  isSelected as isEvent,
  isSimple,
  selectionOf as eventSelection,
} from '../../src/dashboard/events/selection.ts'
import { groupDead } from '../../src/dashboard/dead-letters/groups.ts'
import { rowsInView } from '../../src/dashboard/parts/window.ts'
import { preview, treeRows, idOf } from '../../src/dashboard/parts/tree-rows.ts'
import { readJson } from '../../src/dashboard/json.ts'
import {
  commandOf as runsCommand,
  isSelected as isRun,
  selectionOf as runSelection,
} from '../../src/dashboard/runs/selection.ts'
import { withLatest, withOlder } from '../../src/dashboard/stream/latest.ts'
import { backoff, messageFrom } from '../../src/dashboard/stream/messages.ts'
import { event, run } from './samples.ts'

describe('the selection of events', () => {
  const query = new URLSearchParams(
    'source=forge&actor=ada&matched=yes&since=2026-11-27T10:00:00Z&filter={"payload":{"id":[813683310949021977]}}',
  )

  test('is what the address says, with the digits of numbers', () => {
    const selection = eventSelection(query, 0)
    expect(selection).toMatchObject({
      source_id: 'forge',
      actor: 'ada',
      matched: true,
      since: Date.UTC(2026, 10, 27, 10),
    })
    expect(JSON.stringify(selection.filter)).toBe('{"payload":{"id":[813683310949021977]}}')
    expect(eventsCommand(selection)).toBe(
      `signalbox events list --source forge --actor ada --matched --since 2026-11-27T10:00:00.000Z --filter '{"payload":{"id":[813683310949021977]}}'`,
    )
  })

  test('is left to the router where it has a filter', () => {
    expect(isSimple(eventSelection(query, 0))).toBe(false)
    expect(isSimple(eventSelection(new URLSearchParams('type=push'), 0))).toBe(true)
  })

  test.each([
    ['type=push&actor=ADA&trigger=review&matched=yes', true],
    ['type=issues', false],
    ['matched=no', false],
    ['trigger=deploy', false],
    ['since=2026-01-01', false],
    ['thread=acme/site%231', true],
  ])('%s has the event: %s', (text, isIn) => {
    expect(isEvent(event(), eventSelection(new URLSearchParams(text), 0))).toBe(isIn)
  })

  test('refuses a filter that is not JSON', () => {
    expect(() => eventSelection(new URLSearchParams('filter={'), 0)).toThrow(SyntaxError)
  })
})

describe('the selection of runs', () => {
  test.each([
    ['state=any+failure', { failed: true }, 'signalbox runs list --failed'],
    ['state=dead+letter', { dead: true }, 'signalbox runs list --dead'],
    [
      'state=running&bot=coder',
      { state: 'running', bot_id: 'coder' },
      'signalbox runs list --bot coder --state running',
    ],
    ['state=nonsense', {}, 'signalbox runs list'],
  ])('%s', (text, selection, command) => {
    expect(runSelection(new URLSearchParams(text), 0)).toEqual(selection)
    expect(runsCommand(runSelection(new URLSearchParams(text), 0))).toBe(command)
  })

  test.each([
    [{ state: 'failed', dead: true }, { failed: true as const }, true],
    [{ state: 'completed' }, { failed: true as const }, false],
    [{ state: 'failed', dead: false }, { dead: true }, false],
    [{}, { trigger_id: 'other' }, false],
    [{}, { since: 1001 }, false],
  ] as [Partial<Run>, object, boolean][])('%j in %j: %s', (more, selection, isIn) => {
    expect(isRun(run(more), selection)).toBe(isIn)
  })
})

describe('what is shown of a log', () => {
  test('has new rows on top and changed ones where they are, each once', () => {
    expect(
      withLatest(
        [{ id: 'b' }, { id: 'a' }],
        [{ id: 'a', new: 1 } as { id: string }, { id: 'c' }, { id: 'd' }],
        10,
      ),
    ).toEqual([{ id: 'd' }, { id: 'c' }, { id: 'b' }, { id: 'a', new: 1 }])
  })

  test('keeps so many', () => {
    expect(withLatest([{ id: 'a' }], [{ id: 'b' }], 1)).toEqual([{ id: 'b' }])
  })

  test('has older rows below, each once', () => {
    expect(withOlder([{ id: 'b' }, { id: 'a' }], [{ id: 'a' }, { id: '0' }])).toEqual([
      { id: 'b' },
      { id: 'a' },
      { id: '0' },
    ])
  })

  test.each([
    [0, 340, { first: 0, end: 18 }],
    [34_000, 340, { first: 992, end: 1018 }],
    [10_000_000, 340, { first: 99_999, end: 100_000 }],
  ])('at %d px of 100,000 rows is in view: %j', (top, height, view) => {
    expect(rowsInView(top, height, 34, 100_000)).toEqual(view)
  })

  test('dead runs are grouped by trigger, bot and error', () => {
    const groups = groupDead([
      run({ id: '3', error: 'x', created_at: 3 }),
      run({ id: '2', error: 'y' }),
      run({ id: '1', error: 'x', created_at: 1 }),
    ])
    expect(groups).toMatchObject([
      { error: 'x', first_at: 1, last_at: 3, runs: [{ id: '3' }, { id: '1' }] },
      { error: 'y', runs: [{ id: '2' }] },
    ])
  })
})

describe('the stream', () => {
  test('messages are read by name', () => {
    expect(messageFrom('run', { run: run() })).toMatchObject({ kind: 'run', run: { id: 'r1' } })
    expect(messageFrom('sampled', { topic: 'events', skipped: 3 })).toEqual({
      kind: 'sampled',
      topic: 'events',
      skipped: 3,
    })
    expect(messageFrom('gap', { topic: 'runs' })).toEqual({ kind: 'gap', topic: 'runs' })
  })

  test('is tried again after 1 s, then ever later up to 30 s', () => {
    expect([1, 2, 3, 6, 20].map(backoff)).toEqual([1000, 2000, 4000, 30_000, 30_000])
  })
})

describe('a tree', () => {
  const value = readJson(
    '{"id": 813683310949021977, "issue": {"labels": [{"name": "bug"}], "user": {"login": "ada"}}, "empty": {}}',
  )

  test('opens two levels, and what is asked for', () => {
    const rows = treeRows(value, new Set(), ['payload'])
    expect(rows.map(({ path }) => path.join('.'))).toEqual([
      'payload.id',
      'payload.issue',
      'payload.issue.labels',
      'payload.issue.labels.0',
      'payload.issue.user',
      'payload.issue.user.login',
      'payload.empty',
    ])
    const toggled = new Set([idOf(['payload', 'issue', 'labels', 0]), idOf(['payload', 'issue', 'user'])])
    expect(treeRows(value, toggled, ['payload']).map(({ path }) => path.join('.'))).toContain(
      'payload.issue.labels.0.name',
    )
    expect(treeRows(value, toggled, ['payload']).map(({ path }) => path.join('.'))).not.toContain(
      'payload.issue.user.login',
    )
  })

  test('shows the digits of numbers, and texts with nothing hidden', () => {
    expect(preview((value as { id: unknown }).id)).toBe('813683310949021977')
    expect(preview('a\u202Eb')).toBe('"a⟨U+202E⟩b"')
    expect([preview([]), preview({}), preview([1, 2]), preview({ a: 1 }), preview(null)]).toEqual([
      '[]',
      '{}',
      '[2]',
      '{a}',
      'null',
    ])
  })
})
