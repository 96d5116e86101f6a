// run.update as people use it: over the control socket and on the command line, in one router.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Methods } from '../../src/client/client.ts'
import { verify } from '../../src/store/sqlite/repair/verify.ts'
import { signalbox } from '../support/command-line.ts'
import { sharedRouter, until, type TestRouter } from '../support/router.ts'

let shared: Awaited<ReturnType<typeof sharedRouter>>
let directory: string
const call: TestRouter['call'] = (method, params) => shared.call(method, params)

beforeAll(async () => {
  shared = await sharedRouter()
  directory = shared.directory
  await call('source.put', { source: { id: 'jobs', source_type: 'service' } })
  // Its result is what it was given.
  await call('bot.put', { bot: { id: 'echo', endpoint: { kind: 'command', argv: ['/bin/cat'] } } })
  const trigger = (id: string, policy: object): object => ({
    id,
    event_source_id: 'jobs',
    filter: { type: [id] },
    action: { bot_id: 'echo', inputs: { to: '{{ payload.to }}' } },
    policy,
  })
  await call('trigger.put', { trigger: trigger('later', { delay_ms: 3_600_000 }) as never })
  await call('trigger.put', { trigger: trigger('asks', { approval: {} }) as never })
})
afterAll(() => shared.stop())

type Run = Methods['run.get']['result']['run']
const run = async (run_id: string): Promise<Run> => (await call('run.get', { run_id })).run
const version = async (run_id: string): Promise<number> => (await call('run.preview', { run_id })).version

async function emit(type: string, context_files: { name: string; content: string }[] = []): Promise<string> {
  return (await call('event.emit', { source_id: 'jobs', type, payload: { to: 'production' }, context_files }))
    .runs[0]!
}

/** What the bot was given, once the run is over. */
async function given(run_id: string): Promise<{ inputs: unknown; context_files?: { name: string }[] }> {
  await until(async () => (await run(run_id)).state === 'completed')
  return (await run(run_id)).result as { inputs: unknown }
}

test('the bot is given the changed inputs and files, unrendered', async () => {
  const files = [{ name: 'old.txt', content: 'old' }]
  const [changed, other] = [await emit('later', files), await emit('later', files)]
  const inputs = { to: '{{ payload.to }}', n: 7 }
  const context_files = [{ name: 'new.txt', content: 'new' }]
  const answer = await call('run.update', { run_id: changed, version: 1, inputs, context_files })
  expect(answer.version).toBe(2)
  expect(await call('run.preview', { run_id: changed })).toMatchObject({
    inputs,
    context_files: ['new.txt'],
    version: 2,
  })
  await call('run.update', { run_id: changed, version: 2, not_before: 1 })
  expect(await given(changed)).toMatchObject({ inputs, context_files: [{ name: 'new.txt' }] })
  // Control: a run whose due time alone is changed gets what its trigger and its event say.
  await call('run.update', { run_id: other, version: 1, not_before: 1 })
  expect(await given(other)).toMatchObject({
    inputs: { to: 'production' },
    context_files: [{ name: 'old.txt' }],
  })
})

test('numbers in inputs keep their digits', async () => {
  const run_id = await emit('later')
  const edited = join(directory, 'inputs.json')
  writeFileSync(edited, '{"id":813683310949021977,"price":10.00}')
  expect((await signalbox({ directory }, ['runs', 'update', run_id, '--inputs', `@${edited}`])).code).toBe(0)
  const { out } = await signalbox({ directory }, ['--json', 'rpc', 'run.preview', JSON.stringify({ run_id })])
  expect(out).toContain('"id":813683310949021977')
  expect(out).toContain('"price":10.00')
})

test('another version is refused, with what was found and expected', async () => {
  const run_id = await emit('later')
  await call('run.update', { run_id, version: 1, priority: 5 })
  const stale = call('run.update', { run_id, version: 1, priority: 9 })
  await expect(stale).rejects.toMatchObject({
    code: -32009,
    data: { found: 2, expected: 1 },
    message: expect.stringMatching(/version 2, .* expected version 1/),
  })
  expect(await run(run_id)).toMatchObject({ priority: 5 })
  const { history } = await call('run.history', { run_id })
  expect(history.at(-1)).toMatchObject({ move: 'update', reason: 'changed by a person: priority 0 to 5' })
})

test('an approval is void after a change', async () => {
  const run_id = await emit('asks')
  await until(async () => (await run(run_id)).state === 'awaiting_approval')
  const seen = await version(run_id)
  await call('run.update', { run_id, version: seen, inputs: { to: 'staging' } })
  await until(async () => (await run(run_id)).state === 'awaiting_approval')
  await expect(call('run.approve', { run_id, version: seen })).rejects.toMatchObject({ code: -32009 })
  await call('run.approve', { run_id, version: await version(run_id) })
  expect(await given(run_id)).toMatchObject({ inputs: { to: 'staging' } })
  const { history } = await call('run.history', { run_id })
  expect(history.map(({ move }) => move)).toEqual([
    'create',
    'ask',
    'update',
    'ask',
    'approve',
    'dispatch',
    'complete',
  ])
  expect(history[2]!.reason).toBe('changed by a person: inputs; its approval is void')
})

test('a run that has begun or ended cannot be changed', async () => {
  const run_id = await emit('asks')
  await until(async () => (await run(run_id)).state === 'awaiting_approval')
  await call('run.approve', { run_id })
  await given(run_id)
  await expect(call('run.update', { run_id, version: 4, priority: 1 })).rejects.toMatchObject({
    code: -32013,
    data: { state: 'completed' },
  })
  const unknown = '01997f3e-5b00-7000-8000-000000000000'
  await expect(call('run.update', { run_id: unknown, version: 1, priority: 1 })).rejects.toMatchObject({
    code: -32002,
  })
})

test.each([
  ['nothing to change', {}, 'nothing to change was given'],
  ['a name with a path', { context_files: [{ name: '../a', content: '' }] }, 'plain file name'],
  ['inputs over 256 KiB', { inputs: { a: 'x'.repeat(262_144) } }, 'at most 262144'],
  ['a priority over 100', { priority: 101 }, '100'],
])('%s is refused', async (_what, change, message) => {
  const run_id = await emit('later')
  await expect(call('run.update', { run_id, version: 1, ...change })).rejects.toMatchObject({
    code: -32602,
    message: expect.stringContaining(message),
  })
  expect(await version(run_id)).toBe(1)
})

test('a damaged change is not delivered, and verify finds it', async () => {
  const run_id = await emit('later')
  await call('run.update', { run_id, version: 1, inputs: { to: 'harmed' } })
  const path = join(directory, 'signalbox.db')
  const found = (): string[] =>
    Array.from(
      verify(path, () => undefined),
      ({ message }) => message,
    ).filter(message => message.includes('run_override'))
  // Control: as it was written there is nothing to find.
  expect(found()).toEqual([])
  const db = new Database(path)
  db.prepare(
    "UPDATE run_override SET inputs = replace(inputs, 'harmed', 'hurt') WHERE inputs LIKE '%harmed%'",
  ).run()
  db.close()
  expect(found()).toEqual([expect.stringContaining('does not have the hash')])
  const damaged = { problem: expect.stringContaining('run_override') }
  expect(await call('run.preview', { run_id })).toMatchObject(damaged)
  await call('run.update', { run_id, version: 2, not_before: 1 })
  await until(async () => (await run(run_id)).dead)
  expect(await run(run_id)).toMatchObject({ state: 'failed', error: expect.stringContaining('run_override') })
})

test('runs update takes the current version, or the one that is given', async () => {
  const run_id = await emit('later', [{ name: 'old.txt', content: 'old' }])
  const update = (...args: string[]): ReturnType<typeof signalbox> =>
    signalbox({ directory }, ['runs', 'update', run_id, ...args])
  const done = await update('--priority', '-7', '--not-before', '2h', '--no-context-files')
  expect(done).toMatchObject({ code: 0, out: expect.stringContaining('at version 2, pending') })
  expect(await call('run.preview', { run_id })).toMatchObject({ run: { priority: -7 }, context_files: [] })
  expect((await run(run_id)).not_before).toBeGreaterThan(Date.now() + 7_000_000)
  const stale = await update('--if-version', '1', '--priority', '3')
  expect(stale.code).not.toBe(0)
  expect(stale.err).toContain('expected version 1')
  expect(await update()).toMatchObject({
    code: 64,
    err: expect.stringContaining('nothing to change was given'),
  })
})
