// kill -9 around the very moment of a tick, and in the midst of polls: every instant and every item has one event, none
// has two (promises P26 and P31).
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ChildProcess } from 'node:child_process'
import { expect, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import { feedServer, sendFeed } from '../support/feed-server.ts'
import { child, firstLine } from '../support/processes.ts'
import { freshDirectory, until } from '../support/router.ts'

/** SIGNALBOX_KILLS=200 for as many as there is time for. */
const kills = Number(process.env.SIGNALBOX_KILLS ?? 2)
const secondMs = 1000
/** How far from the tick the kills are spread, before and behind it. */
const aroundMs = 12

async function payloads(client: SignalboxClient, source_id: string): Promise<unknown[]> {
  const found: unknown[] = []
  for (let cursor: string | undefined; ;) {
    const page = await client.call('event.query', { source_id, limit: 500, cursor })
    for (const { id } of page.events) found.push((await client.call('event.get', { event_id: id })).payload)
    if ((cursor = page.next_cursor) === undefined) return found
  }
}

test(`${kills} kills around ticks`, async () => {
  const directory = freshDirectory()
  const socket = join(directory, 'rpc.sock')
  const env = {
    SIGNALBOX_STATE_DIR: join(directory, 'state'),
    SIGNALBOX_SOCKET: socket,
    SIGNALBOX_INTAKE_ADDRESS: join(directory, 'intake.sock'),
    SIGNALBOX_LOG_LEVEL: 'error',
    SIGNALBOX_CONFIG: join(directory, 'config.json'),
  }
  writeFileSync(env.SIGNALBOX_CONFIG, JSON.stringify({ poll_min_interval_ms: 10 }))
  // A feed that grows by one with each reading, newest first, and keeps what it had.
  const items: { id: number }[] = []
  const feed = await feedServer((_path, headers, response) => {
    items.unshift({ id: items.length })
    sendFeed(items, headers, response)
  })
  let router!: ChildProcess
  const start = async (): Promise<SignalboxClient> => {
    router = child(['src/signalbox.ts', 'serve'], env)
    await firstLine(router)
    return SignalboxClient.connect(socket)
  }
  const first = await start()
  const config = { expression: '* * * * * *', catch_up: 'all' as const }
  for (const id of ['one', 'two', 'three'])
    await first.call('source.put', { source: { id, source_type: 'cron', config } })
  const poll = { url: feed.url, key: '{{ item.id }}', interval_ms: 10 }
  await first.call('source.put', { source: { id: 'feed', source_type: 'poll', config: poll } })
  first.close()
  for (let count = 0; count < kills; count++) {
    const wait = secondMs - (Date.now() % secondMs) + ((count % 7) / 3 - 1) * aroundMs
    await new Promise(resolve => setTimeout(resolve, wait))
    const gone = new Promise(resolve => router.once('exit', resolve))
    router.kill('SIGKILL')
    await gone
    if (count < kills - 1) (await start()).close()
  }
  const client = await start()
  const now = Date.now()
  for (const source_id of ['one', 'two', 'three']) {
    await until(
      async () =>
        ((await client.call('source.ticks', { source_id, limit: 1 })).ticks[0]?.scheduled_at ?? 0) > now,
    )
    const found = (await payloads(client, source_id)).map(
      payload => (payload as { scheduled_at: number }).scheduled_at,
    )
    const [last, begin] = [Math.max(...found), Math.min(...found)]
    const every = Array.from(
      { length: (last - begin) / secondMs + 1 },
      (_, index) => begin + index * secondMs,
    )
    expect(found.toSorted((a, b) => a - b)).toEqual(every)
    expect(every.length).toBeGreaterThan(kills)
    const { ticks } = await client.call('source.ticks', { source_id, outcome: 'skipped' })
    expect(ticks).toEqual([])
  }
  feed.answer = (_path, headers, response) => sendFeed(items, headers, response)
  await until(
    async () =>
      (await client.call('source.get', { source_id: 'feed' })).source.health!.items === items.length,
  )
  const ids = (await payloads(client, 'feed')).map(payload => (payload as { id: number }).id)
  expect(ids.toSorted((a, b) => a - b)).toEqual(items.map(item => item.id).toReversed())
  expect(items.length).toBeGreaterThan(kills)
  client.close()
})
