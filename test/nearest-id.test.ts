// The existing id that is suggested for one that does not exist.
import { expect, test } from 'vitest'
import { noSuch, mostCompared, nearestId } from '../src/nearest-id.ts'
import { freshRouter } from './support/router.ts'

test.each([
  ['depoly', ['build', 'deploy', 'deploy-all'], 'deploy'],
  ['Deploy', ['deploy'], 'deploy'],
  ['bild', ['build'], 'build'],
  ['nothing', ['build', 'deploy'], undefined],
  ['ab', ['xy'], undefined],
  ['', ['a'], undefined],
  ['x'.repeat(81), ['x'.repeat(80)], undefined],
])('of %j among %j', (wanted, ids, nearest) => {
  expect(nearestId(wanted, ids)).toBe(nearest)
})

test('a limited number of ids is compared', () => {
  let read = 0
  const ids = function* (): Generator<string> {
    for (;;) yield `id-${read++}`
  }
  expect(nearestId('deploy', ids())).toBeUndefined()
  expect(read).toBe(mostCompared + 1)
})

test('an error without a similar id keeps its text', () => {
  expect(noSuch('bot', 'x', 'bot.list', ['deployer'])).toBe('there is no bot x; bot.list shows what there is')
})

test('the router suggests ids of every noun', async () => {
  const router = await freshRouter()
  await router.call('bot.put', { bot: { id: 'deployer', endpoint: { kind: 'pull' } } })
  await router.call('source.put', { source: { id: 'forge', source_type: 'service' } })
  await router.call('trigger.put', {
    trigger: { id: 'deploy', filter: { type: ['push'] }, action: { bot_id: 'deployer' } },
  })
  const { event_id } = await router.call('event.emit', { source_id: 'forge', type: 'push', payload: null })
  const refused = (noun: string, nearest: string): object => ({
    message: expect.stringContaining(`there is no ${noun}; did you mean "${nearest}"? `) as string,
  })
  await expect(router.call('trigger.get', { trigger_id: 'depoly' })).rejects.toMatchObject(
    refused('trigger depoly', 'deploy'),
  )
  await expect(router.call('event.explain', { event_id, trigger_id: 'depoly' })).rejects.toMatchObject(
    refused('trigger depoly', 'deploy'),
  )
  await expect(router.call('bot.get', { bot_id: 'deplyer' })).rejects.toMatchObject(
    refused('bot deplyer', 'deployer'),
  )
  await expect(router.call('queue.get', { queue_id: 'deplyer' })).rejects.toMatchObject(
    refused('queue deplyer', 'deployer'),
  )
  await expect(router.call('source.get', { source_id: 'froge' })).rejects.toMatchObject(
    refused('source froge', 'forge'),
  )
  await expect(
    router.call('event.emit', { source_id: 'froge', type: 'push', payload: null }),
  ).rejects.toMatchObject(refused('source froge', 'forge'))
})
