// Promise P37: signalbox recover writes every event and run that is whole to a new database, says what is missing, never writes
// to the original; a router starts on it. Promise P36: a flipped bit in a body is noticed before delivery: that run is dead, the
// others go. signalbox verify finds what is damaged.
import Database from 'better-sqlite3'
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import { signalbox, type Ran } from '../support/command-line.ts'
import { freshDirectory, until } from '../support/router.ts'
import { chance } from './power-loss.ts'
import { report, size } from './report.ts'
import { faultyRouter } from './shim.ts'
import { define, send, someEvents, type Sent } from './workload.ts'

const pageSize = 4096
const events = 600
const damages = size('SIGNALBOX_DAMAGES', 2, 150)
const flips = 40
const random = chance(Number(process.env.SIGNALBOX_SEED ?? 1))
const digest = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex')

let origin = Buffer.alloc(0)
let book: Sent[] = []

/** A database that a router wrote and closed: events of all sizes, runs that wait and runs that ended. */
async function prepared(): Promise<void> {
  if (origin.length > 0) return
  const directory = freshDirectory()
  const router = await faultyRouter(directory)
  await define(router)
  book = someEvents(events, 'r')
  await send(router, book, 16)
  router.process.kill('SIGTERM')
  expect(await router.ended).toBe(0)
  expect(book.every(each => each.event_id !== undefined)).toBe(true)
  origin = readFileSync(join(directory, 'state', 'signalbox.db'))
}

beforeEach(prepared, 120_000)

/** A state directory with a damaged copy of the database. */
function damaged(damage: (bytes: Buffer) => Buffer): { directory: string; path: string } {
  const directory = freshDirectory()
  mkdirSync(join(directory, 'state'), { mode: 0o700 })
  const path = join(directory, 'state', 'signalbox.db')
  writeFileSync(path, damage(Buffer.from(origin)), { mode: 0o600 })
  return { directory, path }
}

function run(directory: string, ...args: string[]): Promise<Ran> {
  return signalbox({ directory }, args, { SIGNALBOX_STATE_DIR: join(directory, 'state') })
}

const zeroed =
  (page: number) =>
  (bytes: Buffer): Buffer =>
    bytes.fill(0, (page - 1) * pageSize, page * pageSize)

/** How many rows each page of the tables of events and runs holds; on a page of something else none are lost. */
function rowsOfPages(): Map<number, number> {
  const path = join(freshDirectory(), 'whole.db')
  writeFileSync(path, origin)
  const db = new Database(path)
  const pages = db
    .prepare<[], { pageno: number; pagetype: string; ncell: number }>(
      "SELECT pageno, pagetype, ncell FROM dbstat WHERE name IN ('event', 'outbox', 'run_archive')",
    )
    .all()
  db.close()
  // An overflow page holds part of one row, an inner page none.
  return new Map(
    pages.map(({ pageno, pagetype, ncell }) => [
      pageno,
      pagetype === 'leaf' ? ncell : pagetype === 'internal' ? 0 : 1,
    ]),
  )
}

function stored(path: string): { events: Set<string>; runs: number; orphans: number } {
  const db = new Database(path, { readonly: true })
  const ids = db.prepare<[], Buffer>("SELECT id FROM event WHERE source_id <> 'router'").pluck().all()
  const runs = db
    .prepare('SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM run_archive)')
    .pluck()
    .get() as number
  const orphans = db
    .prepare('SELECT count(*) FROM outbox WHERE event_seq NOT IN (SELECT seq FROM event)')
    .pluck()
    .get() as number
  db.close()
  return { events: new Set(ids.map(id => id.toString('hex'))), runs, orphans }
}

const hexOf = (sent: Sent): string => sent.event_id!.replaceAll('-', '')

describe('signalbox recover', () => {
  test(
    `of ${damages} zeroed pages, whichever they are: all rows on the others`,
    { timeout: 60_000 + damages * 6000 },
    async () => {
      const begun = performance.now()
      const pages = origin.length / pageSize
      const held = rowsOfPages()
      const tree = [...held].filter(([, rows]) => rows === 0).map(([page]) => page)
      const wrong: string[] = []
      let runsLost = 0
      for (let count = 0; count < damages; count++) {
        // The first page, the map, inner pages of the tables, then any.
        const page = [1, 2, ...tree][count] ?? 1 + Math.floor(random() * pages)
        const { directory, path } = damaged(zeroed(page))
        const before = digest(path)
        const out = join(directory, 'recovered.db')
        const { code, out: said, err } = await run(directory, 'recover', out, '--json')
        const fail = (text: string): unknown => wrong.push(`page ${page}: ${text}`)
        if (code !== 0) fail(`exit code ${code}: ${err}${said.slice(-300)}`)
        else {
          const found = stored(out)
          const missing = book.filter(each => !found.events.has(hexOf(each)))
          runsLost += events + 3 - found.runs
          const loss = held.get(page) ?? 0
          if (missing.length > loss) fail(`${missing.length} events are missing, of at most ${loss}`)
          if (found.orphans > 0) fail(`${found.orphans} runs without their event`)
          for (const each of missing)
            if (!said.includes(each.event_id!)) fail(`${each.event_id} is missing, and is not told of`)
          if (loss > 0 && missing.length === 0 && !said.includes('"kind"')) fail('nothing was told of')
        }
        if (digest(path) !== before || existsSync(`${path}-wal`)) fail('the original was written to')
      }
      report(
        'P37',
        `zeroed pages of ${pages}, ${tree.length} of them inner ones, ${runsLost} runs lost`,
        damages,
        wrong.length,
        begun,
      )
      expect(wrong).toEqual([])
    },
  )

  test('of a file that was cut off: what is in front of the cut', async () => {
    const wrong: string[] = []
    for (const share of [0.4, 0.9]) {
      const { directory, path } = damaged(bytes => bytes)
      truncateSync(path, Math.floor((origin.length * share) / 512) * 512)
      const out = join(directory, 'recovered.db')
      const { code, err } = await run(directory, 'recover', out)
      if (code !== 0) wrong.push(`${share}: exit code ${code}: ${err}`)
      else if (stored(out).events.size < events * share * 0.7 - 30)
        wrong.push(`${share}: only ${stored(out).events.size} events`)
      expect(await run(directory, 'verify')).toMatchObject({ code: 65 })
    }
    const { directory, path } = damaged(bytes => bytes.subarray(0, 1500))
    expect(await run(directory, 'recover', join(directory, 'nothing.db'))).toMatchObject({
      code: 65,
      err: expect.stringContaining('restore a backup') as string,
    })
    expect(existsSync(join(directory, 'nothing.db'))).toBe(false)
    expect(readFileSync(path).length).toBe(1500)
    expect(wrong).toEqual([])
  })

  test('nothing that was there is touched: not the damaged file whatever its name, not what is left of another database', async () => {
    const { directory, path } = damaged(zeroed(1))
    const into = path
    const aside = `${path}.damaged`
    renameSync(path, aside)
    const before = readFileSync(aside)
    writeFileSync(`${aside}-wal`, Buffer.alloc(8192, 'x'))
    const there = readdirSync(dirname(path))
    expect((await run(directory, 'verify', aside)).code).toBe(65)
    expect(readdirSync(dirname(path))).toEqual(there)
    rmSync(`${aside}-wal`)
    const log = `${into}-wal`
    writeFileSync(log, 'of another')
    expect(await run(directory, 'recover', into, '--from', aside)).toMatchObject({
      code: 74,
      err: expect.stringContaining(`${log} is left of another`) as string,
    })
    expect(readFileSync(log, 'utf8')).toBe('of another')
    rmSync(log)
    expect(await run(directory, 'recover', into, '--from', aside)).toMatchObject({
      code: 0,
      out: expect.stringContaining('starts on it') as string,
    })
    expect(readFileSync(aside).equals(before)).toBe(true)
    expect(readdirSync(dirname(path)).filter(name => name.includes('recovering'))).toEqual([])
    expect((await run(directory, 'verify')).code).toBe(0)
  })

  test('a router starts on what was recovered and goes on with it', async () => {
    const held = [...rowsOfPages()].filter(([, rows]) => rows > 1).map(([page]) => page)
    const { directory, path } = damaged(bytes => zeroed(held[3]!)(zeroed(held.at(-2)!)(bytes)))
    expect((await run(directory, 'verify')).code).toBe(65)
    const out = join(directory, 'recovered.db')
    const made = await run(directory, 'recover', out)
    expect(made.out).toContain('to start on it')
    expect(await run(directory, 'recover', out)).toMatchObject({ code: 74 })
    rmSync(path)
    cpSync(out, path)
    expect(await run(directory, 'verify')).toMatchObject({
      code: 0,
      out: expect.stringContaining('all whole') as string,
    })
    const router = await faultyRouter(directory)
    expect(router.ready, router.said()).toBe(true)
    expect(await run(directory, 'recover', join(directory, 'second.db'))).toMatchObject({ code: 75 })
    await define(router)
    const client = await SignalboxClient.connect(router.socket)
    const kept = stored(out).events
    // What is there is known by its delivery id; what was lost comes again.
    const again = book.map(({ delivery_id, body }): Sent => ({ delivery_id, body }))
    await send(router, again, 16)
    const { events: newest } = await client.call('event.query', { limit: 500 })
    expect(newest.length).toBe(500)
    for (const [index, each] of again.entries())
      if (kept.has(hexOf(book[index]!))) expect(each.event_id).toBe(book[index]!.event_id)
    client.close()
    router.process.kill('SIGTERM')
    expect(await router.ended).toBe(0)
    expect(await run(directory, 'verify')).toMatchObject({ code: 0 })
  })
})

test('what was lost with a WAL is told by its number, and no number is given twice', async () => {
  const directory = freshDirectory()
  const first = await faultyRouter(directory)
  await define(first)
  await send(first, someEvents(5, 'kept'))
  first.process.kill('SIGTERM')
  expect(await first.ended).toBe(0)
  const router = await faultyRouter(directory)
  await send(router, someEvents(20, 'lost'))
  router.process.kill('SIGKILL')
  await router.ended
  const path = join(directory, 'state', 'signalbox.db')
  rmSync(`${path}-wal`)
  const verified = await run(directory, 'verify')
  expect(verified).toMatchObject({
    code: 65,
    out: expect.stringMatching(/loss: \d+ transactions with \d+ events/) as string,
  })
  const made = await run(directory, 'recover', join(directory, 'recovered.db'), '--json')
  expect(made).toMatchObject({ code: 0, out: expect.stringContaining('"kind":"loss"') as string })
  cpSync(join(directory, 'recovered.db'), path)
  const next = await faultyRouter(directory)
  expect(next.ready, next.said()).toBe(true)
  next.process.kill('SIGTERM')
  expect(await next.ended).toBe(0)
})

describe('flipped bits', () => {
  test(`in ${flips} bodies: verify finds each, their runs are dead, all others go`, async () => {
    const begun = performance.now()
    const hurt = new Set<Sent>()
    const { directory } = damaged(bytes => {
      while (hurt.size < flips) {
        const sent = book[Math.floor(random() * events)]!
        // Bodies with a text that stands on one page; most of it is x.
        const at = bytes.indexOf(sent.body.slice(0, 100))
        if (hurt.has(sent) || sent.body.length < 400 || at < 0) continue
        bytes[at + 60]! ^= 1 << Math.floor(random() * 8)
        hurt.add(sent)
      }
      return bytes
    })
    const { code, out } = await run(directory, 'verify', '--json')
    expect(code).toBe(65)
    for (const { event_id } of hurt) expect(out).toContain(event_id!)
    const router = await faultyRouter(directory)
    expect(router.ready, router.said()).toBe(true)
    const client = await SignalboxClient.connect(router.socket)
    await client.call('bot.put', {
      bot: { id: 'off', enabled: true, endpoint: { kind: 'command', argv: ['/bin/true'] }, max_active: 8 },
    })
    const wrong: string[] = []
    for (const each of book) {
      const state = await until(async () => {
        const { runs } = await client.call('run.list', { event_id: each.event_id!, trigger_id: 'to-off' })
        return ['completed', 'failed'].includes(runs[0]!.state) && runs[0]
      })
      if ((state.state === 'failed') !== hurt.has(each)) wrong.push(`${each.event_id} is ${state.state}`)
      if (hurt.has(each) && !(state.error ?? '').includes('does not have the hash'))
        wrong.push(`${each.event_id}: ${state.error}`)
    }
    client.close()
    router.process.kill('SIGKILL')
    await router.ended
    report('P36', `bodies with a flipped bit, of ${events}`, flips, wrong.length, begun)
    expect(wrong).toEqual([])
  })

  test('control: to the structure alone they are nothing', () => {
    const { path } = damaged(bytes => {
      bytes[bytes.indexOf(book[100]!.body.slice(0, 100)) + 60]! ^= 4
      return bytes
    })
    const db = new Database(path, { readonly: true })
    expect(db.pragma('integrity_check', { simple: true })).toBe('ok')
    db.close()
  })
})
