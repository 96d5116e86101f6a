// Expressions that take too long: what they cost others, and when they are given up.
import { expect, onTestFinished, test } from 'vitest'
import { ExpressionProcess } from '../../src/routing/expressions.ts'
import { ended, freshRouter } from '../support/router.ts'

const endless = '($f := function($n) { $f($n + 1) }; $f(0))'

function fresh(): ExpressionProcess {
  const expressions = new ExpressionProcess()
  onTestFinished(() => expressions.stop())
  return expressions
}

async function timed<T>(work: () => Promise<T>): Promise<[T, number]> {
  const begun = performance.now()
  return [await work(), performance.now() - begun]
}

test('30 slow ones of one owner delay another by one of them', { timeout: 120_000 }, async () => {
  const expressions = fresh()
  await expressions.evaluate(['1 + 1'], {})
  // The floor: one slow one, which is tried twice.
  const [, floorMs] = await timed(() => expressions.evaluate([endless], {}))
  const owner = [`${endless} + 1`]
  let done = 0
  const slow = Array.from({ length: 30 }, async () => {
    await expressions.evaluate(owner, {})
    done++
  })
  const [answer, ms] = await timed(() => expressions.evaluate(['1 + 2'], {}))
  expect(answer).toEqual([{ ok: true, value: 3 }])
  expect(ms).toBeLessThan(2 * floorMs)
  // In that time at most four tries end: two evaluations.
  expect(done).toBeLessThanOrEqual(2)
  // From then on they have a lane of their own.
  for (let index = 0; index < 20; index++)
    expect(await expressions.evaluate(['1 + 2'], {})).toEqual([{ ok: true, value: 3 }])
  expect(done).toBeLessThan(30)
  await expressions.stop()
  void slow
})

// The first is begun before the others have come.
test('owners take turns', { timeout: 60_000 }, async () => {
  const expressions = fresh()
  const order: string[] = []
  const evaluate = async (name: string, source: string): Promise<void> => {
    await expressions.evaluate([source], {})
    order.push(name)
  }
  await Promise.all([
    ...Array.from({ length: 5 }, () => evaluate('a', '1')),
    evaluate('b', '2'),
    evaluate('c', '3'),
  ])
  expect(order).toEqual(['a', 'a', 'b', 'c', 'a', 'a', 'a'])
})

test('one that takes too long twice, alone, is given up', { timeout: 60_000 }, async () => {
  const [answer] = await fresh().evaluate([endless], {})
  expect(answer).toEqual({
    ok: false,
    reason: 'it took longer than 500 ms, 2 times, with nothing else to evaluate',
    transient: false,
  })
})

test('one that takes too long beside others may be tried again', { timeout: 60_000 }, async () => {
  const expressions = fresh()
  const state = { over: false }
  const slow = expressions.evaluate([endless], {}).finally(() => (state.over = true))
  while (!state.over) await expressions.evaluate(['1'], {})
  expect(await slow).toEqual([{ ok: false, reason: 'it took longer than 500 ms', transient: true }])
})

test('its run is dead with the reason, not tried on the schedule', { timeout: 60_000 }, async () => {
  const router = await freshRouter()
  const { call } = router
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  await call('bot.put', { bot: { id: 'b', endpoint: { kind: 'command', argv: ['/bin/true'] } } })
  await call('trigger.put', {
    trigger: { id: 't', filter: { type: ['x'] }, action: { bot_id: 'b', inputs: { a: `{{ ${endless} }}` } } },
  })
  const { runs } = await call('event.emit', { source_id: 's', type: 'x', payload: 1 })
  const run = await ended(router, runs[0]!)
  expect(run).toMatchObject({
    state: 'failed',
    attempt: 1,
    error: expect.stringContaining('with nothing else to evaluate') as string,
  })
})

test('after the end no process is started', async () => {
  const expressions = fresh()
  await expressions.evaluate(['1 + 1'], {})
  const waiting = Array.from({ length: 3 }, () => expressions.evaluate([endless], {}))
  await expressions.stop()
  const none = [{ ok: false, reason: 'the process for expressions did not start', transient: true }]
  expect(await expressions.evaluate(['1 + 2'], {})).toEqual(none)
  for (const answer of await Promise.all(waiting)) expect(answer).toMatchObject([{ ok: false }])
})
