import { expect, test } from 'vitest'
import { mapInTurns, rest, sliceMs } from '../src/turns.ts'

/** Works for longer than a slice. */
function work(): void {
  for (const begun = performance.now(); performance.now() - begun < sliceMs * 1.2;);
}

/** Turns of the event loop until work is done. */
async function turnsOf(working: Promise<unknown>): Promise<number> {
  let turns = 0
  const state = { done: false }
  void working.then(() => (state.done = true))
  while (!state.done) {
    await new Promise(resolve => setImmediate(resolve))
    turns++
  }
  return turns
}

async function worker(steps: number, pause: () => Promise<void> | undefined): Promise<void> {
  for (let step = 0; step < steps; step++) {
    const pausing = pause()
    if (pausing !== undefined) await pausing
    work()
  }
}

const crowd = (pause: () => Promise<void> | undefined): Promise<unknown> =>
  Promise.all(Array.from({ length: 8 }, () => worker(3, pause)))

test('many that work at once share one slice a turn', async () => {
  expect(await turnsOf(crowd(rest))).toBeGreaterThanOrEqual(8 * 3 - 1)
})

test('control: those that count alone take a turn together', async () => {
  expect(await turnsOf(crowd(() => new Promise(resolve => setImmediate(resolve))))).toBeLessThan(8)
})

test('short work is not interrupted', async () => {
  await new Promise(resolve => setImmediate(resolve))
  expect(rest()).toBeUndefined()
  expect(rest()).toBeUndefined()
})

test('what waits goes on in the order in which it came', async () => {
  const order: number[] = []
  await Promise.all(
    Array.from({ length: 5 }, async (_, index) => {
      work()
      await rest()
      order.push(index)
    }),
  )
  expect(order).toEqual([0, 1, 2, 3, 4])
})

test('a list is mapped in its order', async () => {
  expect(await mapInTurns(['a', 'b', 'c'], (item, index) => `${item}${index}`)).toEqual(['a0', 'b1', 'c2'])
})
