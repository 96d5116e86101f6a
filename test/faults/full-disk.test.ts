// Promise P32 on a disk that is really full: below its reserve a router answers 507, what waits goes on, nothing that was answered is
// lost, and once there is space it takes events in again by itself. Needs a small file system of its own, so root.
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import { signalbox } from '../support/command-line.ts'
import { freshDirectory, until } from '../support/router.ts'
import { report, size } from './report.ts'
import { faultyRouter } from './shim.ts'
import { checked, define, send, someEvents, type Sent } from './workload.ts'

const rounds = size('SIGNALBOX_FULL_DISKS', 1, 20)

/** A directory on a file system of 24 MiB; undefined where none can be mounted. */
function smallDisk(): string | undefined {
  const directory = freshDirectory()
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=24m,mode=0700', 'tmpfs', directory]).status !== 0)
    return undefined
  onTestFinished(() => void spawnSync('umount', ['-l', directory]))
  return directory
}

const mayMount =
  process.getuid?.() === 0 &&
  spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0
if (!mayMount)
  console.log('SKIPPED: no file system can be mounted; full disks were tried with injected errors only')

describe.skipIf(!mayMount)('a full disk', () => {
  test(`${rounds} times: 507, and back by itself; then without a reserve, to the last byte`, async () => {
    const begun = performance.now()
    const wrong: string[] = []
    let refused = 0
    const recovered: number[] = []
    for (const reserve of [...Array.from({ length: rounds }, () => 4 * 1024 * 1024), 0]) {
      const directory = smallDisk()!
      writeFileSync(join(directory, 'config.json'), JSON.stringify({ disk_reserve_bytes: reserve }))
      mkdirSync(join(directory, 'state'), { mode: 0o700 })
      const router = await faultyRouter(directory, {}, { SIGNALBOX_CONFIG: join(directory, 'config.json') })
      expect(router.ready, router.said()).toBe(true)
      await define(router)
      const book: Sent[] = someEvents(30, 'before')
      await send(router, book)
      const filler = join(directory, 'filler')
      const filled = Date.now()
      const free = (): number => statfsSync(directory).bavail * statfsSync(directory).bsize
      try {
        writeFileSync(filler, Buffer.alloc(free() - (reserve === 0 ? 200_000 : 3.5 * 1024 * 1024)))
      } catch (error) {
        // The router writes, too: then it is full as it is.
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
      }
      // Until the reserve is noticed to be gone, one event after the other; without one, until a write fails.
      let round = 0
      await until(async () => {
        const more = someEvents(reserve === 0 ? 10 : 1, `full-${round++}`)
        book.push(...more)
        await send(router, more)
        return more.some(sent => sent.refused !== undefined)
      })
      const refusals = new Set(book.flatMap(sent => sent.refused ?? []))
      refused += book.filter(sent => sent.refused !== undefined).length
      for (const code of refusals)
        if (![507, -32_006].includes(code)) wrong.push(`reserve ${reserve}: refused with ${code}`)
      if (refusals.size === 0) wrong.push(`reserve ${reserve}: nothing was refused`)
      // Reading goes on.
      const client = await SignalboxClient.connect(router.socket)
      await client
        .call('event.query', { limit: 1 })
        .catch((error: unknown) => wrong.push(`reading: ${String(error)}`))
      client.close()
      rmSync(filler)
      const freed = performance.now()
      const again = book.filter(sent => sent.event_id === undefined)
      await until(async () => {
        await send(router, again)
        return again.every(sent => sent.event_id !== undefined)
      })
      recovered.push(performance.now() - freed)
      wrong.push(
        ...(await checked(router, book, {
          faults: [{ what: 'a full disk', at: filled, until: Date.now() }],
        })),
      )
      router.process.kill('SIGTERM')
      if ((await router.ended) !== 0) wrong.push(`reserve ${reserve}: it ended badly: ${router.said()}`)
      const verified = await signalbox({ directory }, ['verify'], {
        SIGNALBOX_STATE_DIR: join(directory, 'state'),
      })
      if (verified.code !== 0) wrong.push(`reserve ${reserve}: ${verified.out}`)
    }
    const slowest = Math.max(...recovered) / 1000
    report(
      'P32',
      `full disks, ${refused} events refused; took events in again after ${slowest.toFixed(1)} s at most`,
      recovered.length,
      wrong.length,
      begun,
    )
    expect(wrong).toEqual([])
    // The promise is 30 s; disks are looked at every second.
    expect(slowest).toBeLessThan(30)
  })
})
