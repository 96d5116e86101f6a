// Ids as people use them: in full, short, or the last one.
import { describe, expect, test } from 'vitest'
import { givenId, shownId, type RecentIds } from '../../src/cli/ids.ts'
import { hasTerminal, onTerminal, signalbox } from '../support/command-line.ts'
import { freshRouter } from '../support/router.ts'

const idOf = (end: string): string => `01997f3e-5b00-7000-8000-${end.padStart(12, '0')}`
/** Pages of 500, newest first; counts those that were asked for. */
function pagesOf(ids: string[]): { recent: RecentIds; asked: () => number } {
  let asked = 0
  return {
    asked: () => asked,
    recent: async cursor => {
      asked++
      const from = Number(cursor ?? 0)
      return {
        ids: ids.slice(from, from + 500),
        next_cursor: from + 500 < ids.length ? String(from + 500) : undefined,
      }
    },
  }
}

describe('an id that is given', () => {
  test('in full is taken as it is, without a look at what there is', async () => {
    const { recent, asked } = pagesOf([])
    expect(await givenId(idOf('a1'), 'run', recent)).toBe(idOf('a1'))
    expect(asked()).toBe(0)
  })

  test('short is the one of the newest 1,000 that ends so', async () => {
    const ids = Array.from({ length: 1500 }, (_, index) => idOf(index.toString(16)))
    const { recent, asked } = pagesOf(ids)
    expect(await givenId('00000007', 'run', recent)).toBe(ids[7])
    expect(await givenId('000000000007', 'run', recent)).toBe(ids[7])
    await expect(givenId('00000578', 'run', recent)).rejects.toThrow(
      'none of the newest 1,000 runs ends with 00000578; signalbox runs lists them',
    )
    expect(asked()).toBe(6)
  })

  test('short may be several: they are named', async () => {
    const { recent } = pagesOf([idOf('1000000ab'), idOf('2000000ab')])
    await expect(givenId('000000ab', 'event', recent)).rejects.toThrow(
      `2 events end with 000000ab: ${idOf('1000000ab')}, ${idOf('2000000ab')}; give more characters`,
    )
    expect(await givenId('1000000ab', 'event', recent)).toBe(idOf('1000000ab'))
  })

  test.each(['', 'a', '0000007', 'LAST', 'zzzzzzzz', `${idOf('1')}0`])('%j is none', async given => {
    await expect(givenId(given, 'run', pagesOf([]).recent)).rejects.toThrow(
      'the id of a run was expected, its last 8 or more characters, or last; found',
    )
  })
})

test('is short in tables on a terminal alone, and a short one is accepted', { timeout: 60_000 }, async () => {
  const router = await freshRouter()
  const { call } = router
  await call('bot.put', { bot: { id: 'b', endpoint: { kind: 'command', argv: ['/bin/true'] } } })
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  await call('trigger.put', { trigger: { id: 't', filter: { type: ['x'] }, action: { bot_id: 'b' } } })
  const { event_id, runs } = await call('event.emit', { source_id: 's', type: 'x', payload: {} })
  const run_id = runs[0]!
  const short = shownId({ terminal: true }, run_id)
  expect(run_id.endsWith(short) && short.length === 8).toBe(true)
  expect((await signalbox(router, ['runs'])).out).toContain(run_id)
  expect((await signalbox(router, ['runs', 'show', short])).out).toContain(run_id)
  expect((await signalbox(router, ['explain', event_id.slice(-9)])).code).toBe(0)
  if (!hasTerminal) return
  const { out } = await onTerminal(router, ['runs'])
  expect(out).toContain(short)
  expect(out).not.toContain(run_id)
})
