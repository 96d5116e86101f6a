// signalbox restore: a backup in the place of the database of a stopped router, killed at any point or not; and serve --paused.
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import { ExitError } from '../../src/errors.ts'
import { Backups } from '../../src/store/sqlite/file/backups.ts'
import { databasePath } from '../../src/store/sqlite/file/open.ts'
import { SqliteStore } from '../../src/store/sqlite/engine/sqlite-store.ts'
import type { StartAnswer } from '../../src/store/store.ts'
import { limits, newEvent } from '../conformance/store.ts'
import { faultyRouter, shim } from '../faults/shim.ts'
import { signalbox, type Ran } from '../support/command-line.ts'
import { ended, freshDirectory, until } from '../support/router.ts'

async function store(stateDir: string): Promise<{ store: SqliteStore; start: StartAnswer }> {
  const opened = new SqliteStore({ stateDir, onFatal: () => undefined })
  return { store: opened, start: await opened.start(1_790_000_000_000) }
}

/** A state directory as kill -9 leaves it, five events of which the last two are in its write-ahead log only; a backup has three. */
interface Image {
  state: string
  backup: string
}
let image: Image
const here: { directory?: string } = {}

async function imageOf(directory: string): Promise<Image> {
  const [live, state, backup] = [
    join(directory, 'live'),
    join(directory, 'state'),
    join(directory, 'backup.db'),
  ]
  mkdirSync(live, { mode: 0o700 })
  const { store: running } = await store(live)
  const accept = async (count: number): Promise<void> => {
    for (let n = 0; n < count; n++) await running.accept([newEvent()], limits)
  }
  await accept(3)
  await new Backups(live).make(backup, true)
  await accept(2)
  cpSync(live, state, { recursive: true })
  await running.stop()
  return { state, backup }
}

/** A state directory of its own to restore into. */
function copied(): string {
  const state = join(freshDirectory(), 'state')
  cpSync(image.state, state, { recursive: true })
  return state
}

function restore(state: string, file: string, env: Record<string, string> = {}): Promise<Ran> {
  return signalbox({ directory: state }, ['restore', file], env)
}

/** What a start finds. */
async function found(state: string): Promise<{ events: number; paused: string | null; loss: unknown }> {
  const { store: opened, start } = await store(state)
  const { events } = await opened.counts()
  await opened.stop()
  return { events, paused: start.paused, loss: start.loss }
}

function asideOf(state: string): string[] {
  return readdirSync(state).filter(name => name.startsWith('before-restore-'))
}

beforeAll(async () => {
  const { mkdtempSync } = await import('node:fs')
  const { tmpdir } = await import('node:os')
  here.directory = mkdtempSync(join(tmpdir(), 'sb-'))
  image = await imageOf(here.directory)
  return () => rmSync(here.directory!, { recursive: true, force: true })
})

describe('restore', () => {
  test('the backup starts paused; the old database is whole aside', async () => {
    const state = copied()
    const done = await restore(state, image.backup)
    expect(done).toMatchObject({ code: 0, err: '' })
    const [aside] = asideOf(state)
    expect(done.out).toMatch(
      /signalbox\.db: restored from .*backup\.db, verified: [\d,]+ bytes, 3 events, 0 runs\n/,
    )
    expect(done.out).toContain(
      `the database before it was moved to ${join(state, aside!)}; nothing was deleted\n`,
    )
    expect(readdirSync(join(state, aside!)).toSorted()).toEqual([
      'signalbox.db',
      'signalbox.db-shm',
      'signalbox.db-wal',
      'signalbox.high',
    ])
    for (const end of ['', '-wal']) {
      const name = `signalbox.db${end}`
      expect(
        readFileSync(join(state, aside!, name)).equals(readFileSync(join(image.state, name))),
        name,
      ).toBe(true)
    }
    expect(statSync(databasePath(state)).mode & 0o777).toBe(0o600)
    expect(await found(state)).toEqual({
      events: 3,
      paused: expect.stringMatching(
        /^restored from .*backup\.db at 20.*Z; signalbox resume starts dispatching$/,
      ) as string,
      loss: undefined,
    })
    // And back again, with what was in its write-ahead log.
    const undone = await restore(state, join(state, aside!, 'signalbox.db'))
    expect(undone).toMatchObject({ code: 0, out: expect.stringContaining('5 events') as string })
    expect(await found(state)).toMatchObject({ events: 5, loss: undefined })
    expect(asideOf(state).length).toBe(2)
  })

  test('numbers of events go on behind those that were given', async () => {
    const state = copied()
    await restore(state, image.backup)
    const { store: opened } = await store(state)
    await opened.accept([newEvent()], limits)
    expect(await opened.lastSeq()).toBe(6)
    await opened.stop()
  })

  test('into a directory that does not exist', async () => {
    const state = join(freshDirectory(), 'new', 'state')
    const done = await restore(state, image.backup)
    expect(done.out).not.toContain('moved')
    expect(await found(state)).toMatchObject({ events: 3 })
  })

  test('it refuses what it cannot do, and changes nothing', async () => {
    const state = copied()
    const before = readdirSync(state).toSorted()
    const damaged = join(state, '..', 'damaged.db')
    const bytes = readFileSync(image.backup)
    writeFileSync(damaged, bytes.fill(0, 8192, 12_288))
    const text = (part: string): unknown => expect.stringContaining(part)
    expect(await restore(state, damaged)).toMatchObject({
      code: 65,
      err: text('damaged.db is damaged; nothing was changed'),
    })
    expect(await restore(state, databasePath(state))).toMatchObject({
      code: 64,
      err: text('is the database of this state directory'),
    })
    expect(await restore(state, join(state, 'nothing'))).toMatchObject({
      code: 74,
      err: text('it does not exist'),
    })
    expect(await restore(state, state)).toMatchObject({ code: 74, err: text('a directory') })
    const { store: running } = await store(state)
    expect(await restore(state, image.backup)).toMatchObject({ code: 75, err: text('another router holds') })
    await running.stop()
    rmSync(join(state, 'router.lock'))
    expect(readdirSync(state).filter(name => !before.includes(name) && name !== 'compile-cache')).toEqual([])
    renameSync(databasePath(state), join(state, '..', 'elsewhere.db'))
    symlinkSync(join(state, '..', 'elsewhere.db'), databasePath(state))
    expect(await restore(state, image.backup)).toMatchObject({ code: 74, err: text('follows no links') })
  })

  /** Restores that are killed before some of their file operations: what starts then, and after another restore. */
  async function killed(env: Record<string, string>): Promise<string> {
    const state = copied()
    const faults = { LD_PRELOAD: shim()!, FAULT_PREFIX: join(state, 'signalbox'), ...env }
    const { out } = await restore(state, image.backup, faults)
    if (out !== '') return 'ended'
    const after = await found(state).catch((error: unknown) => {
      expect(error).toBeInstanceOf(ExitError)
      return (error as ExitError).message
    })
    if (typeof after === 'string')
      expect(after).toMatch(
        /a signalbox restore was interrupted: the database is in .*before-restore-.* Run signalbox restore FILE again/,
      )
    else expect(after.loss).toBeUndefined()
    const again = await restore(state, image.backup)
    expect(again).toMatchObject({ code: 0 })
    expect(await found(state)).toMatchObject({ events: 3, loss: undefined })
    expect(readdirSync(state).filter(name => name.includes('restoring'))).toEqual([])
    // Whatever was moved when: the old database is somewhere, with its write-ahead log.
    const whole = asideOf(state).filter(name => existsSync(join(state, name, 'signalbox.db')))
    const old = await Promise.all(
      whole.map(name => signalbox({ directory: state }, ['verify', join(state, name, 'signalbox.db')])),
    )
    expect(old.map(({ code: each }) => each).filter(each => each !== 0)).toEqual([])
    const events = old.map(({ out }) => Number(/(\d+) events/.exec(out)?.[1]))
    if (typeof after === 'string' || after.events === 5) expect(events).toContain(5)
    return typeof after === 'string' ? 'interrupted' : after.events === 5 ? 'old' : 'new'
  }

  test.skipIf(shim() === undefined)(
    'killed at the end of it: old, new, or a clear text',
    { timeout: 120_000 },
    async () => {
      const counts = join(freshDirectory(), 'operations')
      expect(await killed({ FAULT_COUNT: counts })).toBe('ended')
      const operations = Number(readFileSync(counts, 'utf8'))
      const results: string[] = []
      for (let at = operations; at > 0 && !results.includes('old'); at--)
        results.push(await killed({ FAULT_KILL_AT: String(at) }))
      expect(results.length).toBeLessThan(25)
      expect(new Set(results)).toEqual(new Set(['new', 'interrupted', 'old']))
    },
  )

  test.skipIf(shim() === undefined)('a full disk changes nothing', async () => {
    const state = copied()
    const full = {
      LD_PRELOAD: shim()!,
      FAULT_PREFIX: join(state, 'signalbox'),
      FAULT_FAIL_AT: '1',
      FAULT_ERRNO: '28',
      FAULT_PERSIST: '1',
      FAULT_OPS: 'W',
    }
    expect(await restore(state, image.backup, full)).toMatchObject({
      code: 74,
      err: expect.stringContaining('nothing was changed') as string,
    })
    expect(readdirSync(state).filter(name => name.includes('restor'))).toEqual([])
    expect(await found(state)).toMatchObject({ events: 5, paused: null, loss: undefined })
  })

  test('control: without the directory of a killed restore a start is empty', async () => {
    const state = copied()
    rmSync(join(state, 'signalbox.high'))
    mkdirSync(join(state, 'before-restore-20260101T000000Z'))
    for (const end of ['', '-wal', '-shm'])
      renameSync(
        `${databasePath(state)}${end}`,
        join(state, 'before-restore-20260101T000000Z', `signalbox.db${end}`),
      )
    mkdirSync(join(state, 'signalbox.restoring-20260101T000000Z'))
    await expect(found(state)).rejects.toThrow('was interrupted')
    expect(existsSync(databasePath(state))).toBe(false)
    rmSync(join(state, 'signalbox.restoring-20260101T000000Z'), { recursive: true })
    expect(await found(state)).toMatchObject({ events: 0 })
  })
})

test('serve --paused takes events and starts nothing until resume', async () => {
  const directory = freshDirectory()
  const router = await faultyRouter(directory, {}, {}, ['--paused'])
  const client = await SignalboxClient.connect(router.socket)
  const call: SignalboxClient['call'] = (...args) => client.call(...args)
  expect((await call('router.status', {})).paused).toBe('started with --paused')
  await call('source.put', { source: { id: 'local', source_type: 'service' } })
  await call('bot.put', { bot: { id: 'b', endpoint: { kind: 'command', argv: ['/bin/true'] } } })
  await call('trigger.put', {
    trigger: { id: 't', filter: { source_id: ['local'] }, action: { bot_id: 'b' } },
  })
  const { runs } = await call('event.emit', { source_id: 'local', type: 'x', payload: 1 })
  const waiting = await until(async () => (await call('run.get', { run_id: runs[0]! })).run.waiting_for)
  expect(waiting).toContain('started with --paused')
  await call('router.resume', {})
  expect((await ended({ call } as never, runs[0]!)).state).toBe('completed')
  client.close()
  router.process.kill('SIGTERM')
  expect(await router.ended).toBe(0)
  // Control: without it, and after a resume, a start is not paused.
  const again = await faultyRouter(directory)
  const second = await SignalboxClient.connect(again.socket)
  expect((await second.call('router.status', {})).paused).toBeUndefined()
  second.close()
})
