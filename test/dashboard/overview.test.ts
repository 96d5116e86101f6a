import { describe, expect, test } from 'vitest'
import type { RouterStatusResult } from '../../src/contract/types.ts'
import { latencies, percentile, series, widthFor } from '../../src/dashboard/overview/buckets.ts'
import { concernsOf } from '../../src/dashboard/overview/concerns.ts'
import { sentenceOf, type Standing } from '../../src/dashboard/overview/sentence.ts'
import { overlaps } from '../../src/dashboard/schedules/strip.ts'
import { addressOf, curlFor } from '../../src/dashboard/sources/address.ts'
import { event, run } from './samples.ts'

const quiet: Standing = {
  paused: undefined,
  isFull: false,
  running: 0,
  approvals: 0,
  dead: [],
  broken: [],
  refused: 0,
  events: 5,
}
const text = (more: Partial<Standing>): string =>
  sentenceOf({ ...quiet, ...more })
    .map(part => part.text)
    .join('')

describe('the sentence', () => {
  test.each([
    [{}, 'All is quiet.'],
    [{ events: 0 }, 'Ready, and waiting for the first event.'],
    [{ running: 2 }, '2 runs are running.'],
    [{ approvals: 1 }, 'All is quiet. 1 run waits for approval.'],
    [
      { running: 1, approvals: 2, dead: [{ trigger_id: 'review', count: 4 }] },
      '1 run is running. 2 runs wait for approval and 4 runs of review failed for good.',
    ],
    [
      { paused: 'upgrade', broken: ['coder'], refused: 3, approvals: 1 },
      'Dispatching is paused: upgrade. 1 run waits for approval, the circuit breaker of bot coder is open and 3 deliveries were refused.',
    ],
    [{ isFull: true }, 'The disk is full and no event is taken in.'],
  ])('%j', (more, sentence) => {
    expect(text(more)).toBe(sentence)
  })

  test('leads to where more is said', () => {
    expect(sentenceOf({ ...quiet, broken: ['coder'] }).find(({ to }) => to !== undefined)).toMatchObject({
      to: ['bots', 'coder'],
      kind: 'stop',
    })
  })
})

test('what needs a person is listed, most urgent first', () => {
  const router = {
    warnings: ['tools were removed'],
    bots: [{ id: 'coder', health: { state: 'open', consecutive_failures: 5 } }],
  } as unknown as RouterStatusResult
  const runs = [
    run({ id: 'w', state: 'awaiting_approval', trigger_id: 'deploy' }),
    run({ id: 'd', dead: true, state: 'failed', error: 'exit code 3' }),
  ]
  const found = concernsOf(
    { ...quiet, approvals: 3, dead: [{ trigger_id: 'review', count: 4 }], broken: ['coder'], refused: 2 },
    router,
    runs,
  )
  expect(found.map(({ word, text: words }) => [word, words])).toEqual([
    ['breaker', 'bot coder, 5 failures in a row'],
    ['failing', 'review, 4×: exit code 3'],
    ['approval', 'deploy'],
    ['approval', '2 runs wait'],
    ['refused', '2 deliveries'],
    ['warning', 'tools were removed'],
  ])
})

describe('figures over time', () => {
  test('are counted by bucket', () => {
    const made = series(
      [
        event({ received_at: 60_000 }),
        event({ received_at: 61_000, matched_triggers: [] }),
        event({ received_at: 500_000 }),
      ],
      [run({ state: 'failed', updated_at: 130_000 })],
      60_000,
      180_000,
    )
    expect(made).toEqual({ at: [60, 120], accepted: [2, 0], matched: [1, 0], failed: [0, 1] })
  })

  test('have at most 90 buckets', () => {
    expect([3_600_000, 86_400_000, 604_800_000].map(widthFor)).toEqual([60_000, 3_600_000, 7_200_000])
  })

  test('percentiles are values that occurred', () => {
    expect([percentile([5, 1, 3], 0.5), percentile([1], 0.99), percentile([], 0.5)]).toEqual([
      3,
      1,
      undefined,
    ])
    expect(
      latencies([run({ created_at: 1, finished_at: 5 }), run({ state: 'failed', finished_at: 9 })]),
    ).toEqual([4])
  })
})

test('schedules that are due at the same time are found', () => {
  const both = overlaps(
    [
      { id: 'a', at: [0, 100_000] },
      { id: 'b', at: [30_000, 300_000] },
      { id: 'a', at: [100_500] },
    ],
    60_000,
  )
  expect([...both].toSorted((a, b) => a - b)).toEqual([0, 30_000])
})

describe('the address of a source', () => {
  const source = {
    webhook_path: '/webhook/forge',
    config: { provider: 'forgejo', secrets: [{ file: '/run/forge secret' }] },
  }

  test.each([
    ['http://127.0.0.1:8020', 'http://127.0.0.1:8020/webhook/forge'],
    ['127.0.0.1:8020', 'http://127.0.0.1:8020/webhook/forge'],
    ['/run/intake.sock', '/webhook/forge'],
    [undefined, undefined],
  ])('at %s is %s', (intake, address) => {
    expect(addressOf(source, intake)).toBe(address)
  })

  test('is in a command that signs', () => {
    expect(curlFor(source, '127.0.0.1:8020')).toContain(
      `openssl dgst -sha256 -hmac "$(cat '/run/forge secret')"`,
    )
    expect(curlFor({ ...source, config: { provider: 'none' } }, '127.0.0.1:8020')).toBe(
      `curl -sS -H 'content-type: application/json' -d '{"hello":"world"}' http://127.0.0.1:8020/webhook/forge`,
    )
    expect(curlFor({ ...source, config: { provider: 'standard' } }, '127.0.0.1:8020')).toBeUndefined()
  })
})
