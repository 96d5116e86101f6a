// Promise P2 (and P4): what was answered survives a loss of power at any point, on a disk that honours fsync. A router is
// recorded from its first start through a workload, checkpoints, a kill, a second start, retention, a backup and a clean stop; then
// the power goes at every point of that record, and each time some unsynced sectors are on the disk and some are not.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import { freshDirectory, until } from '../support/router.ts'
import { chance, Disk, everyKept } from './power-loss.ts'
import { report, size } from './report.ts'
import { faultyRouter, shim, type FaultyRouter } from './shim.ts'
import { faultsOf, isWhole, laid } from './states.ts'
import { readTrace, type Operation } from './trace.ts'
import { define, send, someEvents } from './workload.ts'

/** SIGNALBOX_STATES=50000 for as many as there is time for. */
const states = size('SIGNALBOX_STATES', 250, 50_000)
/** SIGNALBOX_OPENED=200 of them by the router itself. */
const opened = size('SIGNALBOX_OPENED', 2, 40)
const seed = Number(process.env.SIGNALBOX_SEED ?? 1)

/** The first router is killed before this operation: by the shim, so that the record has all that was done and no more. */
const killedAt = 2600
const backupName = 'signalbox.backup.db'
const retentionMs = 1000

interface Life {
  operations: Operation[]
  /** how many events were answered and are to stay */
  answered: number
}

/** Events that nobody waits for once their runs have ended; answers their ids. */
async function sentOld({ socket }: FaultyRouter): Promise<Set<string>> {
  const client = await SignalboxClient.connect(socket)
  await client.call('trigger.put', {
    trigger: {
      id: 'of-old',
      event_source_id: 'local',
      filter: { type: ['old'] },
      action: { bot_id: 'quick' },
    },
  })
  const ids = new Set<string>()
  for (let n = 0; n < 12; n++)
    ids.add(
      (
        await client.call('event.emit', {
          source_id: 'local',
          type: 'old',
          payload: { text: 'x'.repeat(2000) },
        })
      ).event_id,
    )
  await until(
    async () =>
      (await client.call('run.list', { trigger_id: 'of-old', state: 'completed' })).runs.length === ids.size,
  )
  client.close()
  return ids
}

/** Waits until retention has removed what is old, and makes a backup. */
async function tidied({ socket }: FaultyRouter, directory: string): Promise<void> {
  const client = await SignalboxClient.connect(socket)
  await until(async () => (await client.call('event.query', { type: 'old' })).events.length === 0)
  await client.call('router.backup', { path: join(directory, 'state', backupName) })
  client.close()
}

/** A router's life, recorded; of one that is broken on purpose without what tidies up. */
async function recorded(control?: string): Promise<Life> {
  const directory = freshDirectory()
  const trace = join(directory, 'trace')
  const faults = { trace, ...(control === undefined ? {} : { control }) }
  const first = await faultyRouter(directory, { ...faults, kill_at: killedAt })
  await define(first)
  const removed = control === undefined ? await sentOld(first) : new Set<string>()
  await send(first, someEvents(20, 'first'))
  // A checkpoint of its own comes once nothing was written for a second.
  await until(
    async () =>
      readTrace(trace).some(operation => operation.kind === 'sync' && operation.path.endsWith('.db')) ||
      undefined,
  )
  await send(first, someEvents(2000, 'second'), 4)
  expect(await first.ended).toBe(null)
  const config = join(directory, 'config.json')
  writeFileSync(config, JSON.stringify({ retention_ms: retentionMs, dedupe_ms: retentionMs }))
  const second = await faultyRouter(
    directory,
    { control: 'hasty.mjs', ...faults },
    { SIGNALBOX_CONFIG: config },
  )
  await send(second, someEvents(40, 'third'), 8)
  if (control === undefined) await tidied(second, directory)
  second.process.kill('SIGTERM')
  await second.ended
  // What retention has removed is nothing that must be there.
  const operations = readTrace(trace).map(each =>
    each.kind === 'answer' ? { ...each, event_ids: each.event_ids.filter(id => !removed.has(id)) } : each,
  )
  // A record that lacks something would accuse the router of what it did not do.
  const whole = new Disk()
  for (const operation of operations) whole.follow(operation)
  const [database] = ['signalbox.db'].map(name => whole.afterLoss('all', chance(1)).get(name)!)
  expect(
    database!.equals(readFileSync(join(directory, 'state', 'signalbox.db'))),
    'the record is not what the router did',
  ).toBe(true)
  return {
    operations,
    answered: new Set(
      operations.flatMap(operation => (operation.kind === 'answer' ? operation.event_ids : [])),
    ).size,
  }
}

let life: Promise<Life> | undefined

/** The life of a router as it is, recorded once. */
function whole(): Promise<Life> {
  return (life ??= recorded())
}

/** Starts a router on a state; answers what is wrong. */
async function openedAgain(
  files: ReadonlyMap<string, Buffer | null>,
  answered: ReadonlySet<string>,
): Promise<string[]> {
  const directory = freshDirectory()
  const state = join(directory, 'state')
  mkdirSync(state, { mode: 0o700 })
  laid(state, files)
  const router = await faultyRouter(directory)
  if (!router.ready) return [`it does not start: ${router.said().trim()}`]
  const client = await SignalboxClient.connect(router.socket)
  const wrong: string[] = []
  for (const event_id of answered)
    await client.call('event.get', { event_id }).catch(() => wrong.push(`lost: event ${event_id}`))
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
  /** a backup that is not whole, or not there although it was done */
  backup: number
  /** some of them, with what it takes to see them again */
  shown: string[]
}

/** Loses the power so many times, spread over a trace; honest: false is a disk whose syncs are lies. */
function losses({ operations }: Life, count: number, honest = true): Losses {
  const directory = mkdtempSync(join(process.platform === 'linux' ? '/dev/shm' : tmpdir(), 'sb-loss-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  const disk = new Disk(honest)
  const random = chance(seed)
  const answered = new Set<string>()
  const found: Losses = { states: 0, lost: 0, corrupt: 0, torn: 0, backup: 0, shown: [] }
  const named = operations.findIndex(
    operation => operation.kind === 'rename' && operation.to.endsWith(backupName),
  )
  const done =
    named < 0
      ? Infinity
      : operations.findIndex((operation, index) => index > named && operation.kind === 'directory_sync')
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
      const backup = join(directory, backupName)
      if (existsSync(backup) ? !isWhole(backup) : index >= done)
        faults.push('the backup is not there as a whole')
      found.states++
      if (faults.some(fault => fault.startsWith('lost'))) found.lost++
      if (faults.some(fault => fault.startsWith('corrupt'))) found.corrupt++
      if (faults.some(fault => fault.includes('without'))) found.torn++
      if (faults.some(fault => fault.includes('backup'))) found.backup++
      if (faults.length > 0 && found.shown.length < 5)
        found.shown.push(
          `after operation ${index} of ${operations.length}, ${kept} kept: ${faults.slice(0, 2).join('; ')}`,
        )
    }
  }
  return found
}

describe.skipIf(shim() === undefined)('after a loss of power', () => {
  test(
    `nothing that was answered is lost or torn in ${states} states (seed ${seed})`,
    { timeout: 180_000 + states * 60 },
    async () => {
      const begun = performance.now()
      const lived = await whole()
      const { operations, answered } = lived
      const found = losses(lived, states)
      const failures = found.lost + found.corrupt + found.torn + found.backup
      report(
        'P2',
        `power loss, ${operations.length} operations, ${answered} events answered`,
        found.states,
        failures,
        begun,
      )
      expect(found).toMatchObject({ lost: 0, corrupt: 0, torn: 0, backup: 0, shown: [] })
      expect(answered).toBeGreaterThanOrEqual(60)
      expect(found.states).toBeGreaterThanOrEqual(states - 1)
    },
  )

  test(
    `the router itself starts on ${opened} of them, and has what was answered`,
    { timeout: 60_000 + opened * 20_000 },
    async () => {
      const begun = performance.now()
      const { operations } = await whole()
      const disk = new Disk()
      const random = chance(seed)
      const answered = new Set<string>()
      const wrong: string[] = []
      // The last one is after the clean stop.
      const at = Array.from({ length: opened }, (_, index) =>
        Math.floor(((operations.length - 1) * (index + 1)) / opened),
      )
      for (const [index, operation] of operations.entries()) {
        disk.follow(operation)
        if (operation.kind === 'answer') for (const id of operation.event_ids) answered.add(id)
        const turn = at.indexOf(index)
        if (turn < 0) continue
        const kept = everyKept[turn % everyKept.length]!
        wrong.push(
          ...(await openedAgain(disk.afterLoss(kept, random), answered)).map(
            text => `after operation ${index}, ${kept} kept: ${text}`,
          ),
        )
      }
      // What a disk keeps of a clean stop is its own affair.
      const atTheEnd = everyKept.slice(0, 3)
      for (const kept of atTheEnd)
        wrong.push(
          ...(await openedAgain(disk.afterLoss(kept, random), answered)).map(
            text => `after the clean stop, ${kept} kept: ${text}`,
          ),
        )
      report('P2', 'states that the router itself started on', opened + atTheEnd.length, wrong.length, begun)
      expect(wrong).toEqual([])
    },
  )

  test('control: with synchronous=NORMAL answered events are lost', async () => {
    expect(losses(await recorded('synchronous-normal.mjs'), 500).lost).toBeGreaterThan(0)
  })

  test('control: on a disk that lies about fsync databases are broken', async () => {
    const { lost, corrupt, backup } = losses(await whole(), 500, false)
    expect(lost + corrupt).toBeGreaterThan(50)
    expect(backup).toBeGreaterThan(0)
  })

  test('control: what is answered before its commit is lost', async () => {
    expect(losses(await recorded('answer-before-commit.mjs'), 500).lost).toBeGreaterThan(0)
  })

  test('control: an event in one transaction and its runs in another are torn apart', async () => {
    expect(losses(await recorded('two-transactions.mjs'), 1000).torn).toBeGreaterThan(0)
  })
})
