// A clock on the wall that can be set, over timers that cannot: what is due is done when the test says that time passes.
import type { Later } from '../../src/intake/timetable.ts'

export interface VirtualTime {
  now: () => number
  later: Later
  /** Time passes, and everything that falls due is done in its order. */
  advance: (ms: number) => Promise<void>
  /** Somebody sets the clock; no time passes. */
  jump: (ms: number) => void
  /** Waits until nothing more happens by itself. */
  settle: () => Promise<void>
}

export const acceptLimits = {
  dedupe_ms: 604_800_000,
  signed_body_ms: 259_200_000,
  max_open_runs: 100_000,
  loop_repeats: 3,
}

export function virtualTime(start: number): VirtualTime {
  let passed = 0
  let set = start
  let order = 0
  const timers = new Map<number, { at: number; work: () => void }>()
  const settle = async (): Promise<void> => {
    for (let turns = 0; turns < 6; turns++) await new Promise(resolve => setImmediate(resolve))
  }
  return {
    now: () => set + passed,
    later(ms, work) {
      const id = ++order
      timers.set(id, { at: passed + Math.max(0, Math.ceil(ms)), work })
      return () => timers.delete(id)
    },
    async advance(ms) {
      const until = passed + ms
      for (;;) {
        const due = [...timers]
          .filter(([, timer]) => timer.at <= until)
          .toSorted(([a, one], [b, other]) => one.at - other.at || a - b)[0]
        if (due === undefined) break
        timers.delete(due[0])
        passed = Math.max(passed, due[1].at)
        due[1].work()
        await settle()
      }
      passed = until
      await settle()
    },
    jump: ms => void (set += ms),
    settle,
  }
}
