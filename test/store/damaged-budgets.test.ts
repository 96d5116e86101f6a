// A bot whose definition is found damaged while the router runs: no run of it starts, because its budgets cannot be read.
import { expect, test } from 'vitest'
import { DamagedStore, t0 } from '../support/damaged-store.ts'

const bot = (id: string): object => ({ id, endpoint: { kind: 'pull' }, budget: { runs: 2, period: 'hour' } })

async function written(damaged: DamagedStore, id: string, at: number): Promise<void> {
  await damaged.store.write([{ noun: 'bot', id, at, definition: bot(id) as never }])
}

test.each([
  ['no JSON', `substr(definition, 2)`],
  ['another id', `replace(definition, 'deployer', 'deployes')`],
  ['no object', `'[]'`],
  ['text as a budget', `json_set(definition, '$.budget', 'much')`],
  ['null in its budgets', `json_set(definition, '$.budget', json('[null]'))`],
  ['a limit that is text', `json_set(definition, '$.budget.runs', 'x')`],
  ['an unknown period', `json_set(definition, '$.budget.period', 'hous')`],
  ['a budget without a figure', `replace(definition, '"runs"', '"runz"')`],
])('a bot is off whose definition has %s', async (_what, value) => {
  const damaged = new DamagedStore()
  await written(damaged, 'deployer', t0)
  damaged.hurt(`UPDATE bot SET definition = ${value}`)
  await written(damaged, 'another', t0)
  const [first, second] = [
    (await damaged.emit(t0, [{}])).run_ids[0]!,
    (await damaged.emit(t0, [{}])).run_ids[0]!,
  ]
  const others = (await damaged.emit(t0, [{ bot_id: 'another' }])).run_ids
  expect(await damaged.claimed(t0 + 1, ['deployer', 'another'])).toEqual(others)
  expect(damaged.damage).toEqual([
    expect.stringMatching('^bot.definition of row deployer is damaged: .*the bot is off'),
  ])
  expect(await damaged.store.run(first)).toMatchObject({
    state: 'held',
    error: expect.stringContaining('bot.definition of row deployer') as string,
  })
  expect(await damaged.claimed(t0 + 3_600_000 * 5)).toEqual([])
  await written(damaged, 'deployer', t0 + 3_600_000 * 6)
  expect((await damaged.claimed(t0 + 3_600_000 * 6 + 1)).toSorted()).toEqual([first, second].toSorted())
})
