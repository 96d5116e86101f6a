// kill -9 around the very moment of a tick: every instant has one event, none has two (promise P26).
import { join } from 'node:path'
import type { ChildProcess } from 'node:child_process'
import { expect, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import { child, firstLine } from '../support/processes.ts'
import { freshDirectory, until } from '../support/router.ts'

/** SIGNALBOX_KILLS=200 for as many as there is time for. */
const kills = Number(process.env.SIGNALBOX_KILLS ?? 8)
const secondMs = 1000
/** How far from the tick the kills are spread, before and behind it. */
const aroundMs = 12

test(`${kills} kills around ticks`, async () => {
  const directory = freshDirectory()
  const socket = join(directory, 'rpc.sock')
  const env = {
    SIGNALBOX_STATE_DIR: join(directory, 'state'),
    SIGNALBOX_SOCKET: socket,
    SIGNALBOX_INTAKE_ADDRESS: join(directory, 'intake.sock'),
    SIGNALBOX_LOG_LEVEL: 'error',
  }
  let router!: ChildProcess
  const start = async (): Promise<SignalboxClient> => {
    router = child(['src/signalbox.ts', 'serve'], env)
    await firstLine(router)
    return SignalboxClient.connect(socket)
  }
  const first = await start()
  const config = { expression: '* * * * * *', catch_up: 'all' as const }
  for (const id of ['one', 'two', 'three']) await first.call('source.put', { source: { id, source_type: 'cron', config } })
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
    await until(async () => ((await client.call('source.ticks', { source_id, limit: 1 })).ticks[0]?.scheduled_at ?? 0) > now)
    const found: number[] = []
    for (let cursor: string | undefined; ;) {
      const page = await client.call('event.query', { source_id, limit: 500, cursor })
      for (const { id } of page.events) found.push(((await client.call('event.get', { event_id: id })).payload as { scheduled_at: number }).scheduled_at)
      if ((cursor = page.next_cursor) === undefined) break
    }
    const [last, begin] = [Math.max(...found), Math.min(...found)]
    const every = Array.from({ length: (last - begin) / secondMs + 1 }, (_, index) => begin + index * secondMs)
    expect(found.toSorted((a, b) => a - b)).toEqual(every)
    expect(every.length).toBeGreaterThan(kills)
    const { ticks } = await client.call('source.ticks', { source_id, outcome: 'skipped' })
    expect(ticks).toEqual([])
  }
  client.close()
})
