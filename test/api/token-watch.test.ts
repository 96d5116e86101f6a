// Tokens that end soon are told once.
import { expect, test } from 'vitest'
import { TokenWatch, warnMs } from '../../src/api/token-watch.ts'
import type { Token } from '../../src/contract/types.ts'

const dayMs = 86_400_000
const start = 1_790_000_000_000

interface Told {
  type: string
  subject: string | null
  payload: Record<string, unknown>
}

function watch(
  given: Partial<Token>,
  told: Told[] = [],
): { told: Told[]; clock: { now: number }; check: () => Promise<void> } {
  const clock = { now: start }
  const token: Token = {
    id: 'aaaaaaaa',
    name: 'build host',
    kind: 'wrk',
    scopes: ['work'],
    agent: false,
    created_by: 'local',
    created_at: start,
    state: 'valid',
    ...given,
  }
  const store = {
    events: async () => told.map(() => ({})) as never,
    emitLifecycle: async (type: string, subject: string | null, payload: Record<string, unknown>) =>
      void told.push({ type, subject, payload }),
  }
  const watching = new TokenWatch({
    tokens: { list: () => [token] },
    store,
    now: () => clock.now,
    logBug: error => {
      throw error
    },
  })
  return { told, clock, check: () => watching.check() }
}

test('7 days before its end, once, also over a restart', async () => {
  const { told, clock, check } = watch({ expires_at: start + 90 * dayMs })
  await check()
  clock.now = start + 90 * dayMs - warnMs - 1
  await check()
  expect(told).toEqual([])
  clock.now += 1
  await check()
  await check()
  const expected = [
    {
      type: 'token.expiring',
      subject: 'aaaaaaaa',
      payload: { token_id: 'aaaaaaaa', name: 'build host', expires_at: start + 90 * dayMs },
    },
  ]
  expect(told).toEqual(expected)
  const again = watch({ expires_at: start + 90 * dayMs }, told)
  again.clock.now = clock.now + dayMs
  await again.check()
  expect(again.told).toEqual(expected)
})

test.each([
  ['does not end', {}],
  ['was made to live no longer', { expires_at: start + warnMs }],
  ['is revoked', { expires_at: start + 8 * dayMs, state: 'revoked' }],
  ['has ended', { expires_at: start + 8 * dayMs, state: 'expired' }],
] as [string, Partial<Token>][])('nothing is told of one that %s', async (_name, given) => {
  const { told, clock, check } = watch(given)
  clock.now += 2 * dayMs
  await check()
  expect(told).toEqual([])
})
