// The steady clock: never back, along with the wall where that goes on or leaps ahead, and meeting it again after it was set back.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { steadyClock } from '../src/steady-clock.ts'

/** A wall and a monotonic clock, moved by hand. */
function clocks(): { wall: number; mono: number; pass: (ms: number) => void; read: () => number } {
  const state = {
    wall: 1_000_000,
    mono: 0,
    pass: (ms: number): void => void ((state.wall += ms), (state.mono += ms)),
    read: (): number => 0,
  }
  state.read = steadyClock(
    () => state.wall,
    () => state.mono,
  )
  return state
}

test('it goes with the wall, and ahead with it', () => {
  const time = clocks()
  time.pass(500)
  expect(time.read()).toBe(1_000_500)
  time.wall += 3_600_000
  expect(time.read()).toBe(4_600_500)
})

test('set back by an hour: a second is a second and a tenth, and after ten hours they have met', () => {
  const time = clocks()
  const before = time.read()
  time.wall -= 3_600_000
  expect(time.read()).toBe(before)
  time.pass(1000)
  expect(time.read() - before).toBe(900)
  for (let minute = 0; minute < 600; minute++) {
    time.pass(60_000)
    time.read()
  }
  expect(time.read()).toBe(time.wall)
})

test('whatever the wall does, it never goes back, and never stands still for what waits', () => {
  const step = fc.oneof(
    fc.record({ pass: fc.nat(10_000) }),
    fc.record({ jump: fc.integer({ min: -(10 ** 9), max: 10 ** 9 }) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), steps => {
      const time = clocks()
      let last = time.read()
      for (const each of steps) {
        if ('jump' in each) time.wall += each.jump
        else time.pass(each.pass)
        const now = time.read()
        expect(now).toBeGreaterThanOrEqual(last)
        if ('pass' in each) expect(now - last).toBeGreaterThanOrEqual(Math.floor(each.pass * 0.9) - 1)
        expect(now).toBeGreaterThanOrEqual(time.wall)
        last = now
      }
    }),
  )
})
