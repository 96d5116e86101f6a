// Bots must not emit into webhook sources of forges, by whichever way they try.
import Database from 'better-sqlite3'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { BotInput, SourceInput } from '../../src/client/client.ts'
import { databasePath } from '../../src/store/sqlite/file/open.ts'
import { ended, freshRouter, type TestRouter } from '../support/router.ts'

const env = { SECRET: 'secret' }
const webhook = (id: string, provider: 'forgejo' | 'gitea' | 'github' | 'gitlab' | 'none'): SourceInput => ({
  id,
  source_type: 'webhook',
  config: { provider, ...(provider === 'none' ? {} : { secrets: [{ env: 'SECRET' }] }) },
})
const relay = (source_id: string): BotInput => ({ id: 'relay', endpoint: { kind: 'emit', source_id } })

async function stage(): Promise<TestRouter> {
  const router = await freshRouter({}, env)
  const { call } = router
  await call('source.put', { source: webhook('forge', 'forgejo') })
  await call('source.put', { source: { id: 'jobs', source_type: 'service' } })
  await call('bot.put', { bot: { id: 'echo', endpoint: { kind: 'command', argv: ['/bin/cat'] } } })
  await call('trigger.put', {
    trigger: { id: 't', event_source_id: 'jobs', filter: { type: ['go'] }, action: { bot_id: 'echo' } },
  })
  return router
}

const refused = (path: string): object => ({
  code: -32602,
  data: { path },
  message: expect.stringContaining('a webhook source of a forge') as string,
})

describe('a bot that emits into a forge source is refused', () => {
  test.each(['forgejo', 'gitea', 'github', 'gitlab'] as const)('by bot.put: %s', async provider => {
    const { call } = await stage()
    await call('source.put', { source: webhook('hook', provider) })
    await expect(call('bot.put', { bot: relay('hook') })).rejects.toMatchObject(
      refused('bot.endpoint.source_id'),
    )
  })

  test('by router.apply, also with the source in the same files', async () => {
    const { call } = await stage()
    const given = { bots: [relay('new')], sources: [webhook('new', 'github')] }
    for (const dry_run of [true, false])
      await expect(call('router.apply', { ...given, dry_run })).rejects.toMatchObject(
        refused('bots.0.endpoint.source_id'),
      )
    await expect(call('router.apply', { bots: [relay('forge')] })).rejects.toMatchObject(
      refused('bots.0.endpoint.source_id'),
    )
  })

  test('as is the source that would become one', async () => {
    const { call } = await stage()
    await call('bot.put', { bot: relay('later') })
    const conflict = {
      code: -32009,
      message: expect.stringContaining('1 bots emit into it (relay)') as string,
    }
    await expect(call('source.put', { source: webhook('later', 'gitea') })).rejects.toMatchObject(conflict)
    await expect(call('event.register', { source: webhook('later', 'gitea') })).rejects.toMatchObject(
      conflict,
    )
    await expect(call('router.apply', { sources: [webhook('later', 'gitea')] })).rejects.toMatchObject(
      conflict,
    )
    await call('source.put', { source: webhook('later', 'none') })
    await expect(call('source.put', { source: webhook('later', 'gitea') })).rejects.toMatchObject(conflict)
  })

  test('but not one that emits elsewhere', async () => {
    const { call } = await stage()
    await call('source.put', { source: webhook('plain', 'none') })
    for (const id of ['jobs', 'plain', 'missing']) await call('bot.put', { bot: relay(id) })
    await call('source.put', { source: { ...webhook('forge', 'forgejo'), description: 'changed' } })
  })
})

describe('a run that emits into a forge source is refused', () => {
  test('by event.emit, where the router knows the run', async () => {
    const router = await stage()
    const { call } = router
    const { event_id, runs } = await call('event.emit', { source_id: 'jobs', type: 'go', payload: {} })
    await ended(router, runs[0]!)
    const causation = { event_id, run_id: runs[0]!, depth: 1 }
    const into = (source_id: string): Promise<unknown> =>
      call('event.emit', { source_id, type: 'x', payload: {}, causation })
    await expect(into('forge')).rejects.toMatchObject(refused('source_id'))
    expect((await call('event.query', { source_id: 'forge' })).events).toEqual([])
    await into('jobs')
  })

  test('of a bot that was stored before, with a warning', async () => {
    const first = await stage()
    await first.call('bot.put', { bot: relay('jobs') })
    await first.call('trigger.put', {
      trigger: { id: 'r', event_source_id: 'jobs', filter: { type: ['hop'] }, action: { bot_id: 'relay' } },
    })
    await first.router.stop()
    const db = new Database(databasePath(first.directory))
    expect(
      db
        .prepare(
          "UPDATE bot SET definition = json_set(definition, '$.endpoint.source_id', 'forge') WHERE id = 'relay'",
        )
        .run().changes,
    ).toBe(1)
    db.close()
    const router = await freshRouter(
      { state_dir: first.directory, socket: join(first.directory, 'again.sock') },
      env,
    )
    const { call } = router
    const { runs } = await call('event.emit', { source_id: 'jobs', type: 'hop', payload: {} })
    expect(await ended(router, runs[0]!)).toMatchObject({
      state: 'failed',
      dead: true,
      error: expect.stringContaining('a webhook source of a forge'),
    })
    expect((await call('event.query', { source_id: 'forge' })).events).toEqual([])
    expect((await call('router.status', {})).warnings).toContainEqual(
      expect.stringContaining('bot relay: its runs fail, because forge'),
    )
    // Secrets of the source can still be changed.
    await call('source.put', { source: { ...webhook('forge', 'forgejo'), description: 'changed' } })
  })
})
