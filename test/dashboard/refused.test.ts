import { describe, expect, test } from 'vitest'
import type { RefusedDelivery } from '../../src/contract/types.ts'
import { commandOf, groupsOf, rowsOf, selectionOf, sentence } from '../../src/dashboard/refused/groups.ts'

const refusal = (more: Partial<RefusedDelivery> = {}): RefusedDelivery => ({
  source_id: 'forge',
  reason: 'E_SIGNATURE',
  title: 'signature does not match',
  help: 'compare the secrets',
  count: 1,
  first_at: 1000,
  last_at: 2000,
  ...more,
})

const unknown = (more: Partial<RefusedDelivery>): RefusedDelivery => {
  const { source_id: _, ...rest } = refusal(more)
  return rest
}

describe('refused deliveries by source', () => {
  test('are counted, the newest source first', () => {
    const groups = groupsOf([
      refusal({ count: 3 }),
      refusal({ address: '10.0.0.1', first_at: 500 }),
      unknown({ path: '/webhook/x', last_at: 9000 }),
    ])
    expect(groups.map(({ id, count, first_at, last_at }) => [id, count, first_at, last_at])).toEqual([
      [null, 1, 1000, 9000],
      ['forge', 4, 500, 2000],
    ])
  })

  test('have each reason once, the most frequent first', () => {
    const [group] = groupsOf([
      refusal(),
      refusal({ reason: 'E_JSON', title: 'not JSON', count: 5 }),
      refusal({ address: '10.0.0.1' }),
    ])
    expect(group!.reasons.map(({ reason, count }) => [reason, count])).toEqual([
      ['E_JSON', 5],
      ['E_SIGNATURE', 2],
    ])
  })

  test('keep the texts of one reason apart', () => {
    expect(
      groupsOf([
        unknown({ reason: 'E_HTTP', title: 'too late' }),
        unknown({ reason: 'E_HTTP', title: 'too large' }),
      ])[0]!.reasons,
    ).toHaveLength(2)
  })

  test('are rows of their own', () => {
    const rows = rowsOf([
      refusal(),
      refusal({ address: '10.0.0.1' }),
      refusal({ status: 401 }),
      unknown({ path: 'forge' }),
    ])
    expect(new Set(rows.map(({ id }) => id)).size).toBe(4)
  })
})

describe('the filter of refused deliveries', () => {
  const selected = (query: string): object => selectionOf(new URLSearchParams(query), 10_000_000)

  test.each([
    ['', {}],
    ['source=forge&since=', { source_id: 'forge' }],
    ['since=2h', { since: 2_800_000 }],
  ])('%j', (query, selection) => {
    expect(selected(query)).toEqual(selection)
  })

  test('refuses what is no time', () => {
    expect(() => selected('since=yesterday')).toThrow(/since must be a time/)
  })

  test('is in the command', () => {
    expect(commandOf({ source_id: "it's", since: 0 })).toBe(
      String.raw`signalbox events refused --source 'it'\''s' --since 1970-01-01T00:00:00.000Z --limit 500`,
    )
  })
})

test.each([
  ['', ''],
  ['look at it', 'Look at it.'],
  ['Done!', 'Done!'],
])('%j as a sentence is %j', (text, shown) => {
  expect(sentence(text)).toBe(shown)
})
