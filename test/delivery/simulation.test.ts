// Many lives of a router under one seed each. SIGNALBOX_SEEDS says how many, SIGNALBOX_SEED which is the first.
import { expect, test } from 'vitest'
import { Simulation } from '../support/simulation.ts'

const seeds = Number(process.env.SIGNALBOX_SEEDS ?? 12)
const first = Number(process.env.SIGNALBOX_SEED ?? 1)

test(
  `${seeds} lives with crashes, lost answers, slow and lying bots, and people who do anything at any time`,
  { timeout: 60_000 + seeds * 1000 },
  async () => {
    for (let seed = first; seed < first + seeds; seed++) {
      const { problems } = await new Simulation(seed).run()
      expect(problems, `SIGNALBOX_SEED=${seed} SIGNALBOX_SEEDS=1 replays it`).toEqual([])
    }
  },
)

test.each([
  ['guard of moves', 'none'],
  ['repeat limit', 'no_repeat_limit'],
] as const)('control: without the %s the same lives go wrong', async (_name, guard) => {
  let found = 0
  for (let seed = 1; seed <= 40 && found === 0; seed++)
    found = (await new Simulation(seed, guard).run()).problems.length
  expect(found).toBeGreaterThan(0)
})

test('a seed tells the same story every time', async () => {
  const [one, two] = [await new Simulation(first).run(), await new Simulation(first).run()]
  expect(one.trace.length).toBeGreaterThan(100)
  expect(two.trace).toEqual(one.trace)
})
