// Promise P65: what retention frees goes back to the disk, and a disk that the router itself filled heals by itself, also over a
// restart. Needs a small file system of its own, so root; test/store/space.test.ts has the same without one.
import { spawnSync } from 'node:child_process'
import { mkdirSync, statfsSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import { signalbox } from '../support/command-line.ts'
import { freshDirectory, until } from '../support/router.ts'
import { report } from './report.ts'
import { faultyRouter, type Faults, type FaultyRouter } from './shim.ts'

const mayMount =
  process.getuid?.() === 0 &&
  spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0
if (!mayMount) console.log('SKIPPED: no file system can be mounted; no disk was filled by the router itself')

const mebibyte = 1_048_576

/** A directory on a file system of its own. */
function smallDisk(size: string): string {
  const directory = freshDirectory()
  expect(spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=0700`, 'tmpfs', directory]).status).toBe(
    0,
  )
  onTestFinished(() => void spawnSync('umount', ['-l', directory]))
  mkdirSync(join(directory, 'state'), { mode: 0o700 })
  return directory
}

function started(
  directory: string,
  config: Record<string, number>,
  faults: Faults = {},
): Promise<FaultyRouter> {
  writeFileSync(join(directory, 'config.json'), JSON.stringify(config))
  return faultyRouter(directory, faults, { SIGNALBOX_CONFIG: join(directory, 'config.json') })
}

/** Sends one event; answers the error code, or undefined. */
async function emitted(client: SignalboxClient, bytes: number): Promise<number | undefined> {
  try {
    await client.call('event.emit', { source_id: 'local', type: 'x', payload: { text: 'x'.repeat(bytes) } })
    return undefined
  } catch (error) {
    return (error as { code: number }).code
  }
}

async function diskCheck(client: SignalboxClient): Promise<{ ok: boolean; detail: string }> {
  return (await client.call('rpc.health', {})).checks.find(check => check.name === 'disk')!
}

/** Sends events of 50 KB until the disk is nearly full. */
async function fill(router: FaultyRouter): Promise<SignalboxClient> {
  expect(router.ready, router.said()).toBe(true)
  const client = await SignalboxClient.connect(router.socket)
  await client.call('source.put', { source: { id: 'local', source_type: 'service' } })
  const check = await until(async () => {
    await emitted(client, 50_000)
    const found = await diskCheck(client)
    return !found.ok && found
  })
  expect(check.detail).toContain('intake answers 507 until')
  expect(await emitted(client, 10)).toBe(-32_006)
  return client
}

async function ends(router: FaultyRouter, client: SignalboxClient): Promise<void> {
  client.close()
  router.process.kill('SIGTERM')
  expect(await router.ended, router.said()).toBe(0)
}

/** Until events are accepted again and the file is small; what verify says of it then. */
async function healed(directory: string, router: FaultyRouter, client: SignalboxClient): Promise<void> {
  await until(async () => (await emitted(client, 10)) === undefined)
  await until(async () => (await client.call('router.status', {})).store.database_bytes < mebibyte)
  expect((await client.call('router.status', {})).store.full).toBe(false)
  await ends(router, client)
  const verified = await signalbox({ directory }, ['verify'], {
    SIGNALBOX_STATE_DIR: join(directory, 'state'),
  })
  expect(verified.code, verified.out).toBe(0)
}

/** A disk of 40 MiB that a router filled, and others since then, to less than the reserve. */
async function filled(reserve: number): Promise<string> {
  const directory = smallDisk('40m')
  const router = await started(directory, { disk_reserve_bytes: reserve })
  await ends(router, await fill(router))
  const { bavail, bsize } = statfsSync(directory)
  writeFileSync(join(directory, 'others'), Buffer.alloc(Math.max(0, bavail * bsize - reserve + mebibyte)))
  return directory
}

describe.skipIf(!mayMount)('a disk that the router filled', () => {
  test('heals after a restart, once retention has emptied it', async () => {
    const begun = performance.now()
    const directory = await filled(8 * mebibyte)
    const before = statSync(join(directory, 'state', 'signalbox.db')).size
    const router = await started(directory, {
      disk_reserve_bytes: 8 * mebibyte,
      retention_ms: 1000,
      dedupe_ms: 1000,
    })
    const client = await SignalboxClient.connect(router.socket)
    expect(await emitted(client, 10)).toBe(-32_006)
    await healed(directory, router, client)
    report('P65', `a database of ${before} bytes that filled its disk is small again`, 1, 0, begun)
  })

  test('heals where less than twice the reserve can become free', async () => {
    const directory = smallDisk('40m')
    const router = await started(directory, {
      disk_reserve_bytes: 24 * mebibyte,
      retention_ms: 6000,
      dedupe_ms: 6000,
    })
    await healed(directory, router, await fill(router))
  })

  test('control: without vacuum the file stays as large as it was', async () => {
    const directory = await filled(8 * mebibyte)
    const path = join(directory, 'state', 'signalbox.db')
    const router = await started(
      directory,
      { disk_reserve_bytes: 8 * mebibyte, retention_ms: 1000, dedupe_ms: 1000 },
      { control: 'no-vacuum.mjs' },
    )
    const client = await SignalboxClient.connect(router.socket)
    await until(async () => (await client.call('event.query', {})).events.length === 0)
    const { store } = await client.call('router.status', {})
    expect(await emitted(client, 10)).toBe(-32_006)
    expect(store.reusable_bytes).toBeGreaterThan(0.9 * store.database_bytes)
    expect(statSync(path).size).toBeGreaterThan(10 * mebibyte)
    client.close()
    router.process.kill('SIGKILL')
    await router.ended
  })
})
