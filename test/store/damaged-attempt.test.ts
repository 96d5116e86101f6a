// A run whose count of attempts is damaged is buried: the router starts.
import { expect, test } from 'vitest'
import { limits, newEvent, newRun } from '../conformance/store.ts'
import { DamagedStore, t0 } from '../support/damaged-store.ts'

test.each(['pending', 'held', 'awaiting_approval'])('a negative attempt of a run that is %s', async state => {
  const damaged = new DamagedStore()
  await damaged.store.start(t0)
  const { id } = newRun()
  await damaged.store.accept([newEvent({ runs: [newRun({ id })] })], limits)
  damaged.hurt(`UPDATE outbox SET attempt = -128, state = '${state}'`)
  expect(damaged.restarted(t0 + 1).damage).toEqual([
    'outbox.attempt of row 1 is damaged: must be an integer from 0; got -128',
  ])
  expect(await damaged.store.run(id)).toMatchObject({ state: 'failed', attempt: 0 })
})
