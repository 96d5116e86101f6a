// Promise P39: a backup that is made under load opens, is whole, and has every event that was answered before it began;
// intake goes on meanwhile.
import { cpSync, existsSync, mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import { freshDirectory } from '../support/router.ts'
import { report, size } from './report.ts'
import { faultyRouter } from './shim.ts'
import { faultsOf } from './states.ts'
import { checked, define, send, someEvents, type Sent } from './workload.ts'

const backups = size('SIGNALBOX_BACKUPS', 5, 25)

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
  await expect(client.call('router.backup', { path: '/no/such/directory/x.db' })).rejects.toMatchObject({ code: -32602 })
  await expect(client.call('router.backup', { path: join(directory, 'state', 'signalbox.db') })).rejects.toMatchObject({ code: -32009 })
  client.close()
  // The copy is a state directory that a router starts on.
  const restored = await faultyRouter(last)
  expect(restored.ready, restored.said()).toBe(true)
  // What was done since the backup is not there, or done once more.
  const faults = [{ what: 'a backup that is started on', at: 0, until: Date.now(), in_flight: Infinity }]
  wrong.push(...(await checked(restored, book, { before: router.socket, faults })).filter(text => !/^C1|is not there$/.test(text)))
  report('P39', `backups under load, of up to ${book.length} events`, backups, wrong.length, begun)
  expect(wrong).toEqual([])
  for (const each of [router, restored]) {
    each.process.kill('SIGKILL')
    await each.ended
  }
})
