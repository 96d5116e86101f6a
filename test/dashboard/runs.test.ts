import { describe, expect, test } from 'vitest'
import type { Attempt, RunHistoryEntry } from '../../src/contract/types.ts'
import { beforeText } from '../../src/dashboard/approvals/before.ts'
import { queueLanes } from '../../src/dashboard/bots/lanes.ts'
import { isOver, lampOfRun } from '../../src/dashboard/parts/lamp-kind.ts'
import { plainOutput } from '../../src/dashboard/run/plain-output.ts'
import { timeline } from '../../src/dashboard/run/timeline.ts'
import { run } from './samples.ts'

const attempt = (
  number: number,
  started_at: number,
  ended_at: number,
  outcome: Attempt['outcome'] = 'success',
): Attempt => ({
  number,
  started_at,
  ended_at,
  outcome,
})

describe('the timeline of a run', () => {
  test('has its waiting, attempts and backoff in order', () => {
    const segments = timeline(
      run({ created_at: 0, finished_at: 1000, attempt: 2 }),
      [],
      [attempt(1, 100, 500, 'timeout'), attempt(2, 600, 1000)],
      1000,
    )
    expect(segments.map(({ name, kind, text }) => [name, kind, text])).toEqual([
      ['waited', 'miss', '100 ms'],
      ['attempt 1', 'stop', '400 ms · timed out'],
      ['backoff', 'miss', '100 ms'],
      ['attempt 2', 'clear', '400 ms'],
    ])
    expect(segments.at(-1)!.until).toBeCloseTo(1)
    expect(segments[1]!.from).toBeCloseTo(0.1)
  })

  test('draws a long wait shorter, and says so', () => {
    const [waited, worked] = timeline(
      run({ created_at: 0, finished_at: 3_601_000 }),
      [],
      [attempt(1, 3_600_000, 3_601_000)],
      3_601_000,
    )
    expect(waited).toMatchObject({ isCompressed: true, text: '1 h' })
    expect(worked!.until - worked!.from).toBeGreaterThan(0.7)
  })

  test('has the attempt that runs, up to now', () => {
    const history = [
      { at: 200, move: 'dispatch', from: 'pending', to: 'running', attempt: 1 },
    ] as RunHistoryEntry[]
    const segments = timeline(run({ state: 'running', created_at: 100 }), history, [], 1200)
    expect(segments.map(({ name, kind, text }) => [name, kind, text])).toEqual([
      ['waited', 'miss', '100 ms'],
      ['attempt 1', 'active', '1.0 s · running'],
    ])
  })

  test('of a run that waits is its waiting', () => {
    expect(timeline(run({ state: 'pending', attempt: 0, created_at: 0 }), [], [], 5000)).toMatchObject([
      { name: 'waited', from: 0, until: 1, text: '5.0 s' },
    ])
  })
})

describe('a state', () => {
  test.each([
    [{ state: 'completed', dead: false }, 'clear', 'completed', true],
    [{ state: 'running', dead: false }, 'active', 'running', false],
    [{ state: 'awaiting_approval', dead: false }, 'held', 'awaiting approval', false],
    [{ state: 'failed', dead: true }, 'stop', 'failed, dead letter', true],
    [{ state: 'timed_out', dead: false }, 'stop', 'timed out, discarded', true],
    [{ state: 'cancelled', dead: false }, 'miss', 'cancelled', true],
  ] as const)('%j', (state, kind, word, over) => {
    expect(lampOfRun(state)).toEqual({ kind, word })
    expect(isOver(state)).toBe(over)
  })
})

describe('output', () => {
  test.each([
    ['\u001b[31mred\u001b[0m', 'red'],
    ['\u001b]0;title\u0007text', 'text'],
    ['10 %\r20 %\r30 %\ndone', '30 %\ndone'],
    ['windows\r\nlines\r\n', 'windows\nlines\n'],
    ['bell\u0007 \u202Eevil', 'bell␇ ⟨U+202E⟩evil'],
    ['<script>alert(1)</script>', '<script>alert(1)</script>'],
  ])('%j is shown as %j', (text, shown) => {
    expect(plainOutput(text)).toBe(shown)
  })
})

describe('earlier runs in a sentence', () => {
  test.each([
    [[], 'No run of this trigger has ended before.'],
    [['completed'], '1 run before: it completed.'],
    [['completed', 'completed', 'running'], '2 runs before: all completed.'],
    [
      ['completed', 'failed', 'cancelled', 'timed_out'],
      '4 runs before: 1 completed, 2 failed, 1 cancelled or denied.',
    ],
  ] as const)('%j', (states, text) => {
    expect(
      beforeText(
        states.map(state => ({ state })),
        true,
      ),
    ).toBe(text)
  })

  test('says where there are more', () => {
    expect(beforeText([{ state: 'completed' }, { state: 'failed' }], false)).toBe(
      'Of the last 2 runs: 1 completed, 1 failed.',
    )
  })
})

test('a queue shows running runs first, then what waits and for what', () => {
  const { lanes, since } = queueLanes(
    [
      run({ id: 'waits', state: 'pending', created_at: 500, waiting_for: 'concurrency' }),
      run({ id: 'over' }),
      run({ id: 'runs', state: 'running', created_at: 200 }),
      run({ id: 'urgent', state: 'pending', created_at: 900, priority: 5 }),
    ],
    1200,
  )
  expect(since).toBe(200)
  expect(lanes.map(({ run: { id }, kind, from, text }) => [id, kind, from, text])).toEqual([
    ['runs', 'active', 0, 'running'],
    ['urgent', 'held', 0.7, 'pending'],
    ['waits', 'held', 0.3, 'concurrency'],
  ])
})
