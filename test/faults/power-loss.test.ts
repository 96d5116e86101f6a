// Promise P2 (and P4): what was answered survives a loss of power at any point, on a disk that honours fsync. A router is
// recorded from its first start through a workload, checkpoints, a kill, a second start and a clean stop; then the power
// goes at every point of that record, and each time some unsynced sectors are on the disk and some are not.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import { freshDirectory, until } from '../support/router.ts'
import { chance, Disk, everyKept } from './power-loss.ts'
import { report, size } from './report.ts'
import { faultyRouter, shim } from './shim.ts'
import { faultsOf, laid } from './states.ts'
import { readTrace, type Operation } from './trace.ts'
import { define, send, someEvents } from './workload.ts'

/** SIGNALBOX_STATES=50000 for as many as there is time for. */
const states = size('SIGNALBOX_STATES', 5000, 50_000)
/** SIGNALBOX_OPENED=200 of them by the router itself. */
const opened = size('SIGNALBOX_OPENED', 4, 100)
const seed = Number(process.env.SIGNALBOX_SEED ?? 1)

/** The first router is killed before this operation: by the shim, so that the record has all that was done and no more. */
const killedAt = 1200

/** A router's life, recorded. */
async function recorded(control?: string): Promise<{ operations: Operation[]; answered: number }> {
  const directory = freshDirectory()
  const trace = join(directory, 'trace')
  const faults = { trace, ...(control === undefined ? {} : { control }) }
  const first = await faultyRouter(directory, { ...faults, kill_at: killedAt })
  await define(first)
  await send(first, someEvents(20, 'first'))
  // A checkpoint of its own comes once nothing was written for a second.
  await until(async () => readTrace(trace).some(operation => operation.kind === 'sync' && operation.path.endsWith('.db')) || undefined)
  await send(first, someEvents(2000, 'second'), 4)
  expect(await first.ended).toBe(null)
  const second = await faultyRouter(directory, faults)
  await send(second, someEvents(40, 'third'), 8)
  second.process.kill('SIGTERM')
  await second.ended
  const operations = readTrace(trace)
  // A record that lacks something would accuse the router of what it did not do.
  const whole = new Disk()
  for (const operation of operations) whole.follow(operation)
  const [database] = ['signalbox.db'].map(name => whole.afterLoss('all', chance(1)).get(name)!)
  expect(database!.equals(readFileSync(join(directory, 'state', 'signalbox.db'))), 'the record is not what the router did').toBe(true)
  return { operations, answered: new Set(operations.flatMap(operation => (operation.kind === 'answer' ? operation.event_ids : []))).size }
}

let life: ReturnType<typeof recorded> | undefined

/** The life of a router as it is, recorded once. */
function whole(): ReturnType<typeof recorded> {
  return (life ??= recorded())
}

/** Starts a router on a state; answers what is wrong. */
async function openedAgain(files: ReadonlyMap<string, Buffer | null>, answered: ReadonlySet<string>): Promise<string[]> {
  const directory = freshDirectory()
  const state = join(directory, 'state')
  mkdirSync(state, { mode: 0o700 })
  laid(state, files)
  const router = await faultyRouter(directory)
  if (!router.ready) return [`it does not start: ${router.said().trim()}`]
  const client = await SignalboxClient.connect(router.socket)
  const wrong: string[] = []
  for (const event_id of answered) await client.call('event.get', { event_id }).catch(() => wrong.push(`lost: event ${event_id}`))
  client.close()
  router.process.kill('SIGKILL')
  await router.ended
  return wrong
}

interface Losses {
  states: number
  lost: number
  corrupt: number
  torn: number
  /** some of them, with what it takes to see them again */
  shown: string[]
}

/** Loses the power so many times, spread over a trace; honest: false is a disk whose syncs are lies. */
function losses(operations: readonly Operation[], count: number, honest = true): Losses {
  const directory = mkdtempSync(join(process.platform === 'linux' ? '/dev/shm' : tmpdir(), 'sb-loss-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  mkdirSync(join(directory, 'state'))
  const disk = new Disk(honest)
  const random = chance(seed)
  const answered = new Set<string>()
  const found: Losses = { states: 0, lost: 0, corrupt: 0, torn: 0, shown: [] }
  // Nothing is to be lost before the first file is there.
  const each = count / operations.length
  let due = 0
  for (const [index, operation] of operations.entries()) {
    disk.follow(operation)
    if (operation.kind === 'answer') for (const id of operation.event_ids) answered.add(id)
    for (due += each; due >= 1; due--) {
      const kept = everyKept[found.states % everyKept.length]!
      laid(directory, disk.afterLoss(kept, random))
      const faults = faultsOf(directory, answered)
      found.states++
      if (faults.some(fault => fault.startsWith('lost'))) found.lost++
      if (faults.some(fault => fault.startsWith('corrupt'))) found.corrupt++
      if (faults.some(fault => fault.includes('without'))) found.torn++
      if (faults.length > 0 && found.shown.length < 5)
        found.shown.push(`after operation ${index} of ${operations.length}, ${kept} kept: ${faults.slice(0, 2).join('; ')}`)
    }
  }
  return found
}

describe.skipIf(shim() === undefined)('after a loss of power', () => {
  test(`nothing that was answered is lost or torn in ${states} states (seed ${seed})`, { timeout: 900_000 }, async () => {
    const begun = performance.now()
    const { operations, answered } = await whole()
    const found = losses(operations, states)
    report('P2', `power loss, ${operations.length} operations, ${answered} events answered`, found.states, found.lost + found.corrupt + found.torn, begun)
    expect(found).toMatchObject({ lost: 0, corrupt: 0, torn: 0, shown: [] })
    expect(answered).toBeGreaterThanOrEqual(60)
    expect(found.states).toBeGreaterThanOrEqual(states - 1)
  })

  test(`the router itself starts on ${opened} of them, and has what was answered`, { timeout: 60_000 + opened * 20_000 }, async () => {
    const begun = performance.now()
    const { operations } = await whole()
    const disk = new Disk()
    const random = chance(seed)
    const answered = new Set<string>()
    const wrong: string[] = []
    // The last one is after the clean stop.
    const at = Array.from({ length: opened }, (_, index) => Math.floor(((operations.length - 1) * (index + 1)) / opened))
    for (const [index, operation] of operations.entries()) {
      disk.follow(operation)
      if (operation.kind === 'answer') for (const id of operation.event_ids) answered.add(id)
      const turn = at.indexOf(index)
      if (turn < 0) continue
      const kept = everyKept[turn % everyKept.length]!
      wrong.push(...(await openedAgain(disk.afterLoss(kept, random), answered)).map(text => `after operation ${index}, ${kept} kept: ${text}`))
    }
    // What a disk keeps of a clean stop is its own affair.
    const atTheEnd = everyKept.slice(0, 3)
    for (const kept of atTheEnd)
      wrong.push(...(await openedAgain(disk.afterLoss(kept, random), answered)).map(text => `after the clean stop, ${kept} kept: ${text}`))
    report('P2', 'states that the router itself started on', opened + atTheEnd.length, wrong.length, begun)
    expect(wrong).toEqual([])
  })

  test('control: with synchronous=NORMAL answered events are lost', async () => {
    const { operations } = await recorded('synchronous-normal.mjs')
    expect(losses(operations, 500).lost).toBeGreaterThan(0)
  })

  test('control: on a disk that lies about fsync databases are broken', async () => {
    const { operations } = await whole()
    const { lost, corrupt } = losses(operations, 500, false)
    expect(lost + corrupt).toBeGreaterThan(50)
  })

  test('control: what is answered before its commit is lost', async () => {
    const { operations } = await recorded('answer-before-commit.mjs')
    expect(losses(operations, 500).lost).toBeGreaterThan(0)
  })

  test('control: an event in one transaction and its runs in another are torn apart', async () => {
    const { operations } = await recorded('two-transactions.mjs')
    expect(losses(operations, 1000).torn).toBeGreaterThan(0)
  })
})
