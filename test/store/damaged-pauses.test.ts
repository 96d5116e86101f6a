// Damage of paused triggers and of changed runs: what is paused stays paused, and no run starts with half of a change.
import { expect, test } from 'vitest'
import { DamagedStore, t0 } from '../support/damaged-store.ts'

async function paused(): Promise<{ damaged: DamagedStore; run: string }> {
  const damaged = new DamagedStore()
  await damaged.store.write([
    {
      noun: 'trigger',
      id: 'deploy',
      definition: { id: 'deploy', filter: { n: [1] }, action: { bot_id: 'deployer' } },
      at: t0,
    },
  ])
  await damaged.store.pauseTrigger('deploy', 'moving', t0)
  return { damaged, run: (await damaged.emit(t0, [{ flow: { max_age_ms: 60_000 } }])).run_ids[0]! }
}

test.each([
  ['reason', "CAST('x' AS BLOB)", { reason: 'the stored reason is damaged', paused_at: t0 }],
  ['paused_at', "CAST('x' AS BLOB)", { reason: 'moving', paused_at: 0 }],
])('with a damaged %s the trigger stays paused', async (column, value, expected) => {
  const { damaged } = await paused()
  damaged.mistype('trigger_pause', `UPDATE trigger_pause SET ${column} = ${value}`)
  const opened = damaged.restarted(t0 + 1)
  expect(opened.trigger_pauses).toEqual([{ trigger_id: 'deploy', ...expected }])
  expect(opened.damage).toEqual([expect.stringContaining(`trigger_pause.${column}`)])
  expect(await damaged.reopened().claimed(t0 + 1)).toEqual([])
})

test('control: an undamaged pause is reported as nothing', async () => {
  const { damaged } = await paused()
  expect(damaged.restarted(t0 + 1)).toMatchObject({ damage: [], trigger_pauses: [{ reason: 'moving' }] })
})

test.each([
  ['is lost', 'DELETE FROM trigger_pause'],
  ['names another trigger', "UPDATE trigger_pause SET trigger_id = 'deplox'"],
])('runs go on, and age again, when the pause %s', async (_what, sql) => {
  const { damaged, run } = await paused()
  damaged.hurt(sql)
  const opened = damaged.restarted(t0 + 10_000)
  expect(opened.trigger_pauses).toEqual([])
  expect(opened.damage.length).toBe(sql.startsWith('UPDATE') ? 1 : 0)
  expect(await damaged.store.run(run)).toMatchObject({
    deadline_at: t0 + 70_000,
    deadline_name: 'max_age_ms',
  })
  expect(await damaged.reopened().claimed(t0 + 10_000)).toEqual([run])
})

test.each([
  ['inputs', "replace(inputs, '1', '2')"],
  ['context_files', "'[]'"],
  ['sha256', 'zeroblob(32)'],
])('with damaged %s a changed run is not given half of its change', async (column, value) => {
  const damaged = new DamagedStore()
  const run = (await damaged.emit(t0, [{}])).run_ids[0]!
  const change = (update: object): Promise<unknown> =>
    damaged.move(run, { move: 'update', from: ['pending'], to: 'pending', at: t0, update })
  await change({ inputs: '{"n":1}' })
  expect(await damaged.store.override(run)).toEqual({ inputs: '{"n":1}', context_files: null })
  damaged.hurt(`UPDATE run_override SET ${column} = ${value}`)
  expect(await damaged.store.override(run)).toMatchObject({ damaged: true })
  // A change of one part does not hide the damage of the other; one of both replaces it.
  await change({ context_files: '[]' })
  expect(await damaged.store.override(run)).toMatchObject({ damaged: true })
  await change({ inputs: '{"n":3}', context_files: '[]' })
  expect(await damaged.store.override(run)).toEqual({ inputs: '{"n":3}', context_files: '[]' })
})
