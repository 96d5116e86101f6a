// Promises P35 and P38: a database that is damaged, or whose WAL is missing, emptied, cut off or damaged after a kill, is not
// started on: exit code 65, a message that says what and what to do, and nothing written. --accept-loss says what is gone.
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { describe, expect, onTestFinished, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import { freshDirectory, until } from '../support/router.ts'
import { chance } from './power-loss.ts'
import { report, size } from './report.ts'
import { faultyRouter, type FaultyRouter } from './shim.ts'
import { define, send, someEvents } from './workload.ts'

const random = chance(Number(process.env.SIGNALBOX_SEED ?? 1))
const each = size('SIGNALBOX_DAMAGES', 1, 12)

/**
 * A state directory that a killed router left behind, its WAL full of what was answered. A reader that holds an old snapshot keeps
 * it there: on a slow machine a checkpoint comes before the kill, and then a damaged WAL has lost nothing.
 */
async function leftBehind(): Promise<{ state: string; events: number }> {
  const directory = freshDirectory()
  const router = await faultyRouter(directory)
  const reader = new Database(join(directory, 'state', 'signalbox.db'), { readonly: true })
  onTestFinished(() => void reader.close())
  reader.exec('BEGIN')
  reader.prepare('SELECT count(*) FROM event').get()
  await define(router)
  const events = someEvents(30, 'd')
  await send(router, events)
  router.process.kill('SIGKILL')
  await router.ended
  expect(events.every(event => event.event_id !== undefined)).toBe(true)
  return { state: join(directory, 'state'), events: events.length }
}

/** Whether the main file is a whole database by itself. A kill in the middle of a checkpoint leaves one that only its WAL completes. */
function wholeAlone(state: string): boolean {
  const alone = join(freshDirectory(), 'alone.db')
  cpSync(main(state), alone)
  const database = new Database(alone)
  try {
    return database.pragma('quick_check', { simple: true }) === 'ok'
  } catch {
    return false
  } finally {
    database.close()
  }
}

/** A copy of a state directory for one damage. */
function copied(state: string): { directory: string; state: string } {
  const directory = freshDirectory()
  const own = join(directory, 'state')
  mkdirSync(own, { mode: 0o700 })
  for (const name of readdirSync(state))
    if (name.startsWith('signalbox.') && !name.endsWith('-shm')) cpSync(join(state, name), join(own, name))
  return { directory, state: own }
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes[at]! ^= 1 << Math.floor(random() * 8)
  writeFileSync(path, bytes)
}

const digest = (path: string): string =>
  existsSync(path) ? createHash('sha256').update(readFileSync(path)).digest('hex') : 'none'

async function refused(directory: string, state: string): Promise<string[]> {
  const files = ['signalbox.db', 'signalbox.db-wal', 'signalbox.high'].map(name => join(state, name))
  const before = files.map(digest)
  const router = await faultyRouter(directory)
  if (router.ready) {
    router.process.kill('SIGKILL')
    return ['it started']
  }
  const code = await router.ended
  const wrong: string[] = []
  if (code !== 65) wrong.push(`exit code ${code}: ${router.said()}`)
  if (!router.said().includes('signalbox.db')) wrong.push(`it does not name the file: ${router.said()}`)
  for (const [index, file] of files.entries())
    if (digest(file) !== before[index]) wrong.push(`${file} was written to`)
  return wrong
}

const wal = (state: string): string => join(state, 'signalbox.db-wal')

/**
 * A place in the WAL, so far (0 to 1) through the frames that count: behind them may be those of an earlier round of it, which
 * have another salt (https://sqlite.org/fileformat2.html#the_write_ahead_log).
 */
function within(state: string, share: number): number {
  const bytes = readFileSync(wal(state))
  const salt = bytes.subarray(16, 24)
  const frameBytes = 24 + bytes.readUInt32BE(8)
  let end = 32
  while (end + frameBytes <= bytes.length && bytes.subarray(end + 8, end + 16).equals(salt)) end += frameBytes
  return 32 + Math.floor(share * (end - 32))
}

const walDamages: Record<string, (state: string) => void> = {
  'the WAL is missing': state => rmSync(wal(state)),
  'the WAL is empty': state => truncateSync(wal(state), 0),
  'the WAL is cut off': state => truncateSync(wal(state), within(state, 0.1 + random() * 0.5)),
  'a bit of the header of the WAL is flipped': state => flip(wal(state), Math.floor(random() * 24)),
  'a bit in the midst of the WAL is flipped': state => flip(wal(state), within(state, 0.2 + random() * 0.3)),
}

const main = (state: string): string => join(state, 'signalbox.db')
const mainDamages: Record<string, (state: string) => void> = {
  'it is cut off': state =>
    truncateSync(
      main(state),
      4096 * (1 + Math.floor(random() * (readFileSync(main(state)).length / 4096 - 2))),
    ),
  'its header is garbage': state => flip(main(state), Math.floor(random() * 16)),
  'it is another file': state => writeFileSync(main(state), 'x'.repeat(20_000)),
  'it is gone': state => rmSync(main(state)),
}

async function stopped(router: FaultyRouter): Promise<void> {
  router.process.kill('SIGTERM')
  expect(await router.ended).toBe(0)
}

describe('what is not whole is not started on', () => {
  test('a WAL that is missing, emptied, cut off or damaged after a kill', async () => {
    const begun = performance.now()
    const { state: origin } = await leftBehind()
    const wrong: string[] = []
    for (const [name, damage] of Object.entries(walDamages)) {
      for (let count = 0; count < each; count++) {
        const { directory, state } = copied(origin)
        damage(state)
        wrong.push(...(await refused(directory, state)).map(text => `${name}: ${text}`))
      }
    }
    report('P38', 'damaged WALs', each * Object.keys(walDamages).length, wrong.length, begun)
    expect(wrong).toEqual([])
  })

  test('a database that is cut off, garbage, another file or gone', async () => {
    const begun = performance.now()
    const { state: origin } = await leftBehind()
    // All of it in the main file: a clean stop.
    const settled = copied(origin)
    await stopped(await faultyRouter(settled.directory))
    const wrong: string[] = []
    for (const [name, damage] of Object.entries(mainDamages)) {
      for (let count = 0; count < each; count++) {
        const { directory, state } = copied(settled.state)
        damage(state)
        wrong.push(...(await refused(directory, state)).map(text => `${name}: ${text}`))
      }
    }
    report('P35', 'damaged databases', each * Object.keys(mainDamages).length, wrong.length, begun)
    expect(wrong).toEqual([])
  })

  test('--accept-loss starts all the same, says what is gone, and gives no number twice; after it all is well', async () => {
    // On a slow machine the kill may come in the middle of a checkpoint: that file is refused, --accept-loss or not.
    let left = await leftBehind()
    while (!wholeAlone(left.state)) left = await leftBehind()
    const { directory, state } = copied(left.state)
    rmSync(wal(state))
    const router = await faultyRouter(directory, {}, {}, ['--accept-loss'])
    expect(router.ready, router.said()).toBe(true)
    const line = await until(async () =>
      router
        .said()
        .split('\n')
        .find(each => each.includes('store.loss_accepted')),
    )
    const told = JSON.parse(line) as Record<string, unknown>
    expect(told).toMatchObject({ wal_missing: true })
    const lost = told.events as number
    expect(lost).toBeGreaterThan(0)
    const client = await SignalboxClient.connect(router.socket)
    const { events } = await client.call('event.query', { limit: 500 })
    expect(events.filter(event => event.source_id !== 'router').length).toBeLessThanOrEqual(left.events)
    client.close()
    await define(router)
    await send(router, someEvents(4, 'again'))
    await stopped(router)
    const next = await faultyRouter(directory)
    expect(next.ready, next.said()).toBe(true)
    await stopped(next)
  })

  test('control: without its mark a router with half a WAL starts as if nothing had been', async () => {
    const { state: origin } = await leftBehind()
    const { directory, state } = copied(origin)
    walDamages['a bit in the midst of the WAL is flipped']!(state)
    rmSync(join(state, 'signalbox.high'))
    const router = await faultyRouter(directory)
    expect(router.ready).toBe(true)
    await stopped(router)
  })
})
