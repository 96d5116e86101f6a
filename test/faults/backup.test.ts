// Promise P39: a backup that is made under load opens, is whole, and has every event that was answered before it began;
// intake goes on meanwhile.
import { cpSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import { giveName } from '../../src/store/sqlite/file/open.ts'
import { freshDirectory } from '../support/router.ts'
import { report, size } from './report.ts'
import { faultyRouter } from './shim.ts'
import { faultsOf } from './states.ts'
import { checked, define, send, someEvents, type Sent } from './workload.ts'

const backups = size('SIGNALBOX_BACKUPS', 3, 25)

test(`${backups} backups under load have all that was answered before`, async () => {
  const begun = performance.now()
  const directory = freshDirectory()
  const router = await faultyRouter(directory)
  await define(router)
  const client = await SignalboxClient.connect(router.socket)
  const book: Sent[] = []
  const done = new AbortController()
  const load = (async () => {
    for (let part = 0; !done.signal.aborted; part++) {
      const events = someEvents(20, `part${part}`)
      book.push(...events)
      await send(router, events)
    }
  })()
  const wrong: string[] = []
  let last = ''
  for (let count = 0; count < backups; count++) {
    const answered = book.flatMap(each => each.event_id ?? [])
    const copy = join(freshDirectory(), 'state')
    mkdirSync(copy, { mode: 0o700 })
    const path = join(copy, 'signalbox.db')
    const made = await client.call('router.backup', { path })
    expect(made.events).toBeGreaterThanOrEqual(answered.length)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(existsSync(`${path}.unfinished`)).toBe(false)
    last = freshDirectory()
    mkdirSync(join(last, 'state'), { mode: 0o700 })
    cpSync(path, join(last, 'state', 'signalbox.db'))
    wrong.push(...faultsOf(copy, answered).map(text => `backup ${count}: ${text}`))
  }
  done.abort()
  await load
  expect(book.filter(each => each.refused !== undefined)).toEqual([])
  await expect(client.call('router.backup', { path: 'relative' })).rejects.toMatchObject({ code: -32602 })
  await expect(client.call('router.backup', { path: '/no/such/directory/x.db' })).rejects.toMatchObject({
    code: -32602,
  })
  await expect(
    client.call('router.backup', { path: join(directory, 'state', 'signalbox.db') }),
  ).rejects.toMatchObject({ code: -32009 })
  client.close()
  // The copy is a state directory that a router starts on.
  const restored = await faultyRouter(last)
  expect(restored.ready, restored.said()).toBe(true)
  // What was done since the backup is not there, or done once more.
  const faults = [{ what: 'a backup that is started on', at: 0, until: Date.now(), in_flight: Infinity }]
  wrong.push(
    ...(await checked(restored, book, { before: router.socket, faults })).filter(
      text => !/^C1|is not there$/.test(text),
    ),
  )
  report('P39', `backups under load, of up to ${book.length} events`, backups, wrong.length, begun)
  expect(wrong).toEqual([])
  for (const each of [router, restored]) {
    each.process.kill('SIGKILL')
    await each.ended
  }
})

describe('a backup destroys nothing', () => {
  /** A running router with a client, and a directory for backups. */
  async function running(): Promise<{ client: SignalboxClient; state: string; into: string }> {
    const directory = freshDirectory()
    const router = await faultyRouter(directory)
    await define(router)
    await send(router, someEvents(4, 'kept'))
    const client = await SignalboxClient.connect(router.socket)
    onTestFinished(() => client.close())
    return { client, state: join(directory, 'state'), into: freshDirectory() }
  }

  test("names of the router's own files are refused", async () => {
    const { client, state, into } = await running()
    symlinkSync(state, join(into, 'link'))
    for (const name of [
      'signalbox.db-journal',
      'signalbox.high-journal',
      'router.lock-wal',
      'contexts',
      'SIGNALBOX.DB-journal',
      '../state/signalbox.db-journal',
    ])
      for (const directory of [state, join(into, 'link')])
        await expect(
          client.call('router.backup', { path: `${directory}/${name}` }),
          name,
        ).rejects.toMatchObject({ code: -32602 })
    // The same names elsewhere are a state directory's own.
    await expect(client.call('router.backup', { path: join(into, 'signalbox.db') })).resolves.toMatchObject({
      events: expect.any(Number) as number,
    })
    await expect(
      client.call('router.backup', { path: join(state, 'signalbox.backup.db') }),
    ).resolves.toMatchObject({ events: expect.any(Number) as number })
  })

  test.each(['', '.unfinished', '-wal', '-journal', '.unfinished-journal'])(
    'what is there already stays: X%s',
    async end => {
      const { client, into } = await running()
      const path = join(into, 'x.db')
      writeFileSync(`${path}${end}`, 'of another')
      await expect(client.call('router.backup', { path })).rejects.toMatchObject({
        code: -32009,
        message: expect.stringContaining(`${path}${end} exists`) as string,
      })
      expect(readFileSync(`${path}${end}`, 'utf8')).toBe('of another')
      expect(existsSync(path)).toBe(end === '')
    },
  )

  test('a link to nowhere stays', async () => {
    const { client, into } = await running()
    symlinkSync(join(into, 'nowhere'), join(into, 'x.db'))
    await expect(client.call('router.backup', { path: join(into, 'x.db') })).rejects.toMatchObject({
      code: -32009,
    })
    expect(existsSync(join(into, 'nowhere'))).toBe(false)
  })

  test('a file that appears meanwhile stays', () => {
    const into = freshDirectory()
    const [from, to] = [join(into, 'x.db.unfinished'), join(into, 'x.db')]
    writeFileSync(from, 'the backup')
    writeFileSync(to, 'of another')
    expect(() => giveName(from, to)).toThrow(expect.objectContaining({ code: 'EEXIST' }) as Error)
    expect([readFileSync(from, 'utf8'), readFileSync(to, 'utf8')]).toEqual(['the backup', 'of another'])
    giveName(from, join(into, 'y.db'))
    expect([existsSync(from), readFileSync(join(into, 'y.db'), 'utf8')]).toEqual([false, 'the backup'])
  })
})
