// Lists of large entries: each answer is complete and bounded, and what is read for it is not held together.
import Database from 'better-sqlite3'
import { connect } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { EventSummary, Methods } from '../../src/client/client.ts'
import { DamageLog } from '../../src/store/sqlite/tables/damage.ts'
import { openReader } from '../../src/store/sqlite/file/open.ts'
import { Reading } from '../../src/store/sqlite/engine/read.ts'
import { freshRouter, until, type TestRouter } from '../support/router.ts'

const mib = 1_048_576
/** Answers that are not read hold a quarter of it: any page here is larger. */
const small = { max_inflight_body_bytes: mib }

/** The line that answers a call over a connection of its own; it throws where that is closed before. */
async function answerLine(socketPath: string, method: string, params: object): Promise<string> {
  const socket = connect(socketPath)
  const chunks: Buffer[] = []
  socket.end(`${JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })}\n`)
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString('utf8')
  expect(text.endsWith('\n'), `the answer is cut off after ${text.length} bytes`).toBe(true)
  return text
}

/** All pages of a list, and the size of the largest one. */
async function pages<M extends keyof Methods>(
  { router }: TestRouter,
  method: M,
  params: object,
): Promise<{ results: Methods[M]['result'][]; largest: number }> {
  const results: Methods[M]['result'][] = []
  let largest = 0
  for (let cursor: string | undefined; ;) {
    const line = await answerLine(router.socket, method, { ...params, cursor })
    largest = Math.max(largest, line.length)
    const { result } = JSON.parse(line) as { result: Methods[M]['result'] & { next_cursor?: string } }
    results.push(result)
    cursor = result.next_cursor
    if (cursor === undefined) return { results, largest }
  }
}

test('runs with large results are listed completely', async () => {
  const router = await freshRouter(small)
  const { call } = router
  await call('bot.put', { bot: { id: 'b', endpoint: { kind: 'pull' }, max_active: 100 } })
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  await call('trigger.put', { trigger: { id: 't', filter: { type: ['x'] }, action: { bot_id: 'b' } } })
  const runs: string[] = []
  for (let index = 0; index < 40; index++)
    runs.push(...(await call('event.emit', { source_id: 's', type: 'x', payload: index })).runs)
  const result = 'r'.repeat(65_000)
  for (let done = 0; done < runs.length; done += 10) {
    for (const { run_id, lease_token } of (await call('run.claim', { bot_id: 'b', max: 10 })).leases) {
      await call('run.start', { run_id, lease_token })
      await call('run.complete', { run_id, lease_token, result })
    }
  }
  for (const limit of [300, 40, 7]) {
    const { results, largest } = await pages(router, 'run.list', { limit })
    const listed = results.flatMap(page => page.runs)
    expect(listed.map(run => run.id)).toEqual(runs.toReversed())
    expect(listed.every(run => run.result === result)).toBe(true)
    expect(largest).toBeLessThan(1.2 * mib)
    expect(results.length).toBe(limit === 7 ? 6 : 3)
  }
})

test('large definitions are listed completely', async () => {
  const router = await freshRouter(small)
  const { call } = router
  await call('bot.put', { bot: { id: 'b', endpoint: { kind: 'pull' } } })
  const put = (id: string, index: number): Promise<unknown> =>
    call('trigger.put', {
      trigger: {
        id,
        filter: { type: ['x'] },
        action: { bot_id: 'b', inputs: { text: `${index} ${'x'.repeat(150_000)}` } },
      },
    })
  for (let index = 0; index < 12; index++) await put('t', index)
  for (let index = 0; index < 12; index++) await put(`t${index}`, index)
  const versions = await pages(router, 'trigger.versions', { trigger_id: 't', limit: 500 })
  expect(versions.results.flatMap(page => page.versions.map(each => each.version))).toEqual(
    Array.from({ length: 12 }, (_, index) => 12 - index),
  )
  const triggers = await pages(router, 'trigger.list', { limit: 500 })
  expect(triggers.results.flatMap(page => page.triggers)).toHaveLength(13)
  expect(Math.max(versions.largest, triggers.largest)).toBeLessThan(1.3 * mib)
})

test('an answer larger than the room for answers arrives', async () => {
  const router = await freshRouter(small)
  await router.call('source.put', { source: { id: 's', source_type: 'service' } })
  const { event_id } = await router.call('event.emit', {
    source_id: 's',
    type: 'x',
    payload: 'x'.repeat(900_000),
  })
  const deaf = Array.from({ length: 4 }, () => connect(router.router.socket).pause())
  onTestFinished(() => void deaf.map(socket => socket.destroy()))
  for (const socket of deaf)
    socket.write(
      `{"jsonrpc":"2.0","id":1,"method":"event.get","params":{"event_id":"${event_id}","raw":true}}\n`,
    )
  for (let turn = 0; turn < 3; turn++) {
    // While the answers to the others are still on their way one of them may be the last to wait: then it is asked again.
    const ask = (): Promise<string> => answerLine(router.router.socket, 'event.get', { event_id, raw: true })
    const line = await until(() => ask().catch(() => undefined))
    expect(
      (JSON.parse(line) as { result: { body_base64: string } }).result.body_base64.length,
    ).toBeGreaterThan(mib)
  }
})

const legacyEvents = 24
const payload = { sender: { login: 'ada' }, repository: { full_name: 'a/b' }, text: 'x'.repeat(900_000) }

/** A router with events of a forge as they were logged before their origin was. */
async function withLegacy(): Promise<TestRouter> {
  const router = await freshRouter()
  await router.call('source.put', {
    source: { id: 'forge', source_type: 'webhook', config: { provider: 'gitea', secrets: [{ env: 'S' }] } },
  })
  for (let index = 0; index < legacyEvents; index++)
    await router.call('event.emit', { source_id: 'forge', type: 'push', payload })
  const db = new Database(join(router.directory, 'signalbox.db'))
  db.prepare('UPDATE event SET emitted = NULL, actor = NULL, thread = NULL').run()
  db.close()
  return router
}

test('lines of old events are read in bounded pages', async () => {
  const router = await withLegacy()
  const { results } = await pages(router, 'event.query', { limit: 200 })
  expect(results.map(page => page.events.length)).toEqual([19, 5])
  const lines: EventSummary[] = results.flatMap(page => page.events)
  expect(new Set(lines.map(line => line.id)).size).toBe(legacyEvents)
  expect(lines.every(line => line.actor === 'ada')).toBe(true)
  expect(await router.call('event.replay', { query: {}, dry_run: true })).toMatchObject({
    events: legacyEvents,
    more: false,
  })
  expect(await router.call('trigger.backtest', { filter: { actor: ['ada'] } })).toMatchObject({
    scanned: legacyEvents,
    matched: legacyEvents,
  })
})

test('bodies of old events are not held together', async () => {
  const { directory } = await withLegacy()
  const db = openReader(directory)
  onTestFinished(() => void db.close())
  const before = process.memoryUsage().external
  const held: number[] = []
  const damage = new DamageLog()
  damage.addRow = () => void held.push(process.memoryUsage().external - before)
  const page = { selection: {}, order: 'desc', limit: legacyEvents, after: null } as const
  expect(new Reading(db, damage).events({ ...page, whole: false })).toHaveLength(legacyEvents)
  // When the first line is made, one body has been read.
  expect(held[0]).toBeLessThan(4 * payload.text.length)
})
