// Promise P33: a file operation that fails with EIO, once or from then on, is the end of the process within seconds, exit
// code 74, and what was answered before is there after a restart. Promise P32: ENOSPC is a full disk, which is answered 507 and
// outlived; nothing that was answered is lost.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import { freshDirectory } from '../support/router.ts'
import type { FaultNote } from './checker.ts'
import { report, size } from './report.ts'
import { faultyRouter, shim, type Faults } from './shim.ts'
import { readTrace } from './trace.ts'
import { checked, define, send, someEvents, type Sent } from './workload.ts'

const eio = 5
const enospc = 28
/** Operations of each kind that are made to fail; SIGNALBOX_ERRORS=500 for as many as there is time for. */
const errors = size('SIGNALBOX_ERRORS', 3, 80)
/** Beyond this the workload has ended. */
const lastOperation = 500

interface Met {
  /** the fault was met */
  failed: boolean
  code: number | null
  said: string
  book: Sent[]
  directory: string
  fault: FaultNote
  /** SQLite says nothing of a directory that could not be synced; it was synced later, before anything was answered */
  madeGood: boolean
}

/** A state directory with the definitions of the workload in it. */
async function prepared(): Promise<string> {
  const directory = freshDirectory()
  const router = await faultyRouter(directory)
  await define(router)
  router.process.kill('SIGTERM')
  expect(await router.ended).toBe(0)
  return directory
}

/** A router whose n-th file operation fails, under load; on a fresh state directory unless one is given. */
async function met(faults: Faults, directory: string = freshDirectory()): Promise<Met> {
  const trace = `${directory}/trace`
  const book = someEvents(40, 'io')
  const at = Date.now()
  const router = await faultyRouter(directory, { ...faults, trace })
  if (router.ready) {
    await define(router).catch(() => undefined)
    await send(router, book)
  }
  const operations = existsSync(trace) ? readTrace(trace) : []
  const failure = operations.find(operation => operation.kind === 'failure')
  const failed = failure !== undefined
  const next = operations
    .slice(failed ? operations.indexOf(failure) : 0)
    .find(({ kind }) => kind === 'directory_sync' || kind === 'answer')
  const madeGood = failure?.of === 'D' && next?.kind === 'directory_sync'
  if (!failed || madeGood || faults.errno === enospc) router.process.kill('SIGTERM')
  // Who does not end by himself is ended, which his exit code shows.
  const patience = setTimeout(() => router.process.kill('SIGKILL'), 10_000)
  const code = await router.ended
  clearTimeout(patience)
  return {
    failed,
    code,
    said: router.said(),
    book,
    directory,
    madeGood,
    fault: { what: 'an operation that failed', at, until: Date.now() },
  }
}

/** What is wrong after a restart without faults, with everything sent that had no answer. */
async function after({ directory, book, fault }: Met): Promise<string[]> {
  const router = await faultyRouter(directory)
  if (!router.ready) return [`it does not start any more: ${router.said()}`]
  await define(router)
  const lost = await checkedBeforeSending(router.socket, book)
  await send(router, book)
  const wrong = [...lost, ...(await checked(router, book, { faults: [fault] }))]
  router.process.kill('SIGKILL')
  await router.ended
  return wrong
}

async function checkedBeforeSending(socket: string, book: readonly Sent[]): Promise<string[]> {
  const client = await SignalboxClient.connect(socket)
  const wrong: string[] = []
  for (const { event_id, delivery_id } of book)
    if (event_id !== undefined)
      await client
        .call('event.get', { event_id })
        .catch(() => wrong.push(`C1 ${delivery_id} was accepted and is not there`))
  client.close()
  return wrong
}

function spread(count: number): number[] {
  return Array.from({ length: count }, (_, index) =>
    Math.ceil(1 + (lastOperation - 1) * (index / count) ** 2),
  )
}

describe.skipIf(shim() === undefined)('an operation that fails', () => {
  test(
    `with EIO, at ${errors} points, once and from then on: the process ends with 74`,
    { timeout: 60_000 + errors * 20_000 },
    async () => {
      const begun = performance.now()
      const wrong: string[] = []
      let faults = 0
      for (const [index, fail_at] of spread(errors).entries()) {
        const own = await met({ fail_at, errno: eio, persist: index % 2 === 1 })
        const point = `operation ${fail_at}${index % 2 === 1 ? ' and all after it' : ''}`
        if (own.failed) {
          faults++
          if (own.code !== (own.madeGood ? 0 : 74))
            wrong.push(`${point}: exit code ${own.code}: ${own.said.trim().slice(-200)}`)
        }
        wrong.push(...(await after(own)).map(each => `${point}: ${each}`))
      }
      report('P33', `EIO, met ${faults} times`, errors, wrong.length, begun)
      expect(wrong).toEqual([])
      expect(faults).toBeGreaterThan(errors / 2)
    },
  )

  test('with EIO at the sync of the directory, of which SQLite says nothing: it does not start', async () => {
    const directory = await prepared()
    const trace = join(directory, 'trace')
    const calm = await faultyRouter(directory, { trace })
    calm.process.kill('SIGTERM')
    const operations = readTrace(trace).filter(({ kind }) =>
      ['write', 'sync', 'truncate', 'directory_sync'].includes(kind),
    )
    expect(await calm.ended).toBe(0)
    const fail_at = operations.findLastIndex(({ kind }) => kind === 'directory_sync') + 1
    expect(fail_at).toBeGreaterThan(0)
    const router = await faultyRouter(directory, { fail_at, errno: eio })
    expect(router.ready).toBe(false)
    expect(await router.ended).toBe(74)
    expect(router.said()).toContain('cannot be kept (EIO')
  })

  test('with ENOSPC: it is a full disk, which is said and outlived', async () => {
    const begun = performance.now()
    const wrong: string[] = []
    const points = [60, 240]
    for (const fail_at of points) {
      const own = await met({ fail_at, errno: enospc, persist: true, ops: 'W' }, await prepared())
      expect(own.failed).toBe(true)
      const refusals = new Set(own.book.flatMap(each => each.refused ?? []))
      for (const refused of refusals)
        if (![507, -32_006].includes(refused)) wrong.push(`${fail_at}: refused with ${refused}`)
      if (refusals.size === 0) wrong.push(`${fail_at}: nothing was refused`)
      wrong.push(...(await after(own)).map(each => `${fail_at}: ${each}`))
    }
    report('P32', 'ENOSPC from some write on', points.length, wrong.length, begun)
    expect(wrong).toEqual([])
  })

  test('control: a router that takes a failed commit for one that succeeded loses what it answered', async () => {
    // A sync may also be that of a checkpoint, which loses nothing: which ones are depends on how fast the machine is.
    const found: string[] = []
    for (const fail_at of [8, 9, 10, 12, 14]) {
      const own = await met({ fail_at, errno: eio, ops: 'S', control: 'ignore-errors.mjs' }, await prepared())
      expect(own.failed).toBe(true)
      found.push(...(await after(own)))
      if (found.some(each => each.includes('was accepted and is not there'))) return
    }
    expect(found).toContainEqual(expect.stringContaining('was accepted and is not there') as string)
  })
})
