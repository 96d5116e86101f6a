// Promise P1 while a router tidies up: killed before any file operation of retention, an idle checkpoint, a backup or a clean stop,
// it is whole; runs that wait and their events stay, and a backup is there as a whole or not at all.
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import { signalbox } from '../support/command-line.ts'
import { freshDirectory, until } from '../support/router.ts'
import { report, size } from './report.ts'
import { faultyRouter, shim, type Faults, type FaultyRouter } from './shim.ts'
import { define, send, someEvents, type Sent } from './workload.ts'

const points = size('SIGNALBOX_POINTS', 2, 60)
const old = 40
const env = (directory: string): Record<string, string> => ({
  SIGNALBOX_CONFIG: join(directory, 'config.json'),
})

/** A state directory with events that nobody waits for any more, and ten whose runs wait. */
async function prepared(): Promise<{ directory: string; kept: Sent[] }> {
  const directory = freshDirectory()
  writeFileSync(join(directory, 'config.json'), JSON.stringify({ retention_ms: 1000, dedupe_ms: 1000 }))
  const router = await faultyRouter(directory)
  await define(router)
  const kept = someEvents(10, 'kept')
  await send(router, kept)
  const client = await SignalboxClient.connect(router.socket)
  for (let n = 0; n < old; n++)
    await client.call('event.emit', { source_id: 'local', type: 'old', payload: { text: 'x'.repeat(2000) } })
  client.close()
  router.process.kill('SIGTERM')
  expect(await router.ended).toBe(0)
  return { directory, kept }
}

async function countOf(client: SignalboxClient, type: string): Promise<number> {
  return (await client.call('event.query', { type, limit: 500 })).events.length
}

/** A life with everything that tidies up in it: retention, a backup, an idle checkpoint, a clean stop. */
async function life(directory: string, faults: Faults): Promise<{ router: FaultyRouter; swept: boolean }> {
  const router = await faultyRouter(directory, { control: 'hasty.mjs', ...faults }, env(directory))
  let swept = false
  try {
    if (!router.ready) return { router, swept }
    const client = await SignalboxClient.connect(router.socket)
    await until(async () => (await countOf(client, 'old')) === 0)
    swept = true
    await client.call('router.backup', { path: join(directory, 'state', 'signalbox.backup.db') })
    client.close()
    router.process.kill('SIGTERM')
  } catch {
    // It is dead, which is what is looked at.
  }
  await router.ended
  return { router, swept }
}

describe.skipIf(shim() === undefined)('killed while it tidies up', () => {
  test(
    `at ${points} points of retention, backup, checkpoint and clean stop`,
    { timeout: 120_000 + points * 10_000 },
    async () => {
      const begun = performance.now()
      const { directory: origin, kept } = await prepared()
      const lived = (): string => {
        const directory = freshDirectory()
        cpSync(join(origin, 'config.json'), join(directory, 'config.json'))
        mkdirSync(join(directory, 'state'), { mode: 0o700 })
        for (const name of ['signalbox.db', 'signalbox.high'])
          cpSync(join(origin, 'state', name), join(directory, 'state', name))
        return directory
      }
      const whole = lived()
      const counted = join(whole, 'count')
      const calm = await life(whole, { count: counted })
      expect(calm.swept && existsSync(join(whole, 'state', 'signalbox.backup.db'))).toBe(true)
      const operations = Number.parseInt(readFileSync(counted, 'utf8'), 10)
      expect(operations).toBeGreaterThan(50)
      const wrong: string[] = []
      let died = 0
      for (let index = 0; index < points; index++) {
        const kill_at = Math.ceil(1 + (operations - 2) * (index / points))
        const directory = lived()
        const { router } = await life(directory, { kill_at })
        if (router.process.signalCode === 'SIGKILL') died++
        const fail = (text: string): unknown => wrong.push(`operation ${kill_at} of ${operations}: ${text}`)
        const backup = join(directory, 'state', 'signalbox.backup.db')
        if (existsSync(backup)) {
          const { code, out } = await signalbox({ directory }, ['verify', backup])
          if (code !== 0) fail(`the backup is not whole: ${out}`)
        }
        const next = await faultyRouter(directory, {}, env(directory))
        if (!next.ready) {
          fail(`it does not start: ${next.said()}`)
          continue
        }
        const client = await SignalboxClient.connect(next.socket)
        for (const { event_id, delivery_id } of kept) {
          const { runs } = await client.call('run.list', { event_id: event_id!, trigger_id: 'to-off' })
          if (runs[0]?.state !== 'pending') fail(`the run of ${delivery_id} is ${runs[0]?.state ?? 'gone'}`)
          await client
            .call('event.get', { event_id: event_id! })
            .catch(() => fail(`the event ${delivery_id} is gone`))
        }
        client.close()
        const verified = await signalbox({ directory }, ['verify'], {
          SIGNALBOX_STATE_DIR: join(directory, 'state'),
        })
        if (verified.code !== 0) fail(verified.out)
        next.process.kill('SIGKILL')
        await next.ended
      }
      report(
        'P1 P41',
        `killed while it tidies up, ${died} times, in ${operations} operations`,
        points,
        wrong.length,
        begun,
      )
      expect(wrong).toEqual([])
      expect(died).toBeGreaterThan(points / 2)
    },
  )
})
