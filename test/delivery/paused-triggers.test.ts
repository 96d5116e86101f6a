// A paused trigger as people see it: over the control socket and on the command line, in one router.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Methods } from '../../src/client/client.ts'
import { signalbox } from '../support/command-line.ts'
import { sharedRouter, until, type TestRouter } from '../support/router.ts'

let shared: Awaited<ReturnType<typeof sharedRouter>>
let directory: string
const call: TestRouter['call'] = (method, params) => shared.call(method, params)

beforeAll(async () => {
  shared = await sharedRouter()
  directory = shared.directory
  await call('source.put', { source: { id: 'jobs', source_type: 'service' } })
  await call('bot.put', { bot: { id: 'a', endpoint: { kind: 'command', argv: ['/bin/true'] } } })
})
afterAll(() => shared.stop())

async function put(id: string, policy: object = {}): Promise<unknown> {
  return call('trigger.put', {
    trigger: { id, event_source_id: 'jobs', filter: { type: [id] }, action: { bot_id: 'a' }, policy },
  })
}

const emit = async (type: string): Promise<string> =>
  (await call('event.emit', { source_id: 'jobs', type, payload: {} })).runs[0]!
const run = async (run_id: string): Promise<Methods['run.get']['result']['run']> =>
  (await call('run.get', { run_id })).run
const completed = (run_id: string): Promise<unknown> =>
  until(async () => (await run(run_id)).state === 'completed')

test('a waiting run says why, and starts when the trigger is resumed', async () => {
  await put('one')
  await put('other')
  const { trigger } = await call('trigger.pause', { trigger_id: 'one', reason: 'moving' })
  expect(trigger).toMatchObject({
    id: 'one',
    enabled: true,
    paused: true,
    paused_reason: 'moving',
    version: 1,
  })
  const waiting = await emit('one')
  // Control: a trigger that is not paused starts its run.
  await completed(await emit('other'))
  expect(await run(waiting)).toMatchObject({
    state: 'pending',
    waiting_for: 'trigger_paused: trigger one is paused: moving',
  })
  const { event_id } = await run(waiting)
  const { gates } = (await call('event.explain', { event_id, trigger_id: 'one' })).decisions[0]!
  expect(gates.at(-1)).toEqual({
    gate: 'trigger_paused',
    verdict: 'hold',
    detail: 'trigger_paused: trigger one is paused: moving',
  })
  expect((await call('trigger.resume', { trigger_id: 'one' })).trigger.paused).toBeUndefined()
  await completed(waiting)
})

test('the pause is shown, and a new definition keeps it', async () => {
  await put('kept')
  await call('trigger.pause', { trigger_id: 'kept', reason: 'moving' })
  await put('kept', { priority: 5 })
  expect((await call('trigger.get', { trigger_id: 'kept' })).trigger).toMatchObject({
    version: 2,
    paused: true,
    paused_reason: 'moving',
  })
  const listed = (await call('trigger.list', {})).triggers.map(({ id, paused }) => [id, paused])
  expect(listed).toContainEqual(['kept', true])
  expect(listed).toContainEqual(['other', undefined])
  await call('trigger.disable', { trigger_id: 'kept' })
  await call('trigger.enable', { trigger_id: 'kept' })
  expect((await call('trigger.get', { trigger_id: 'kept' })).trigger.paused).toBe(true)
})

test('a deleted trigger takes its pause with it', async () => {
  await put('gone')
  await call('trigger.pause', { trigger_id: 'gone' })
  const waiting = await emit('gone')
  await call('trigger.delete', { trigger_id: 'gone' })
  await completed(waiting)
  await put('gone')
  expect((await call('trigger.get', { trigger_id: 'gone' })).trigger.paused).toBeUndefined()
  await expect(call('trigger.pause', { trigger_id: 'nobody' })).rejects.toMatchObject({ code: -32002 })
})

test('beyond 1,000 waiting runs an event makes none', async () => {
  await put('full')
  await call('trigger.pause', { trigger_id: 'full' })
  const [first] = await Promise.all(Array.from({ length: 50 }, () => emit('full')))
  for (let rest = 950; rest > 0; rest -= 50) await Promise.all(Array.from({ length: 50 }, () => emit('full')))
  const { decisions, event_id, runs } = await call('event.emit', {
    source_id: 'jobs',
    type: 'full',
    payload: {},
  })
  expect(decisions).toEqual([{ trigger_id: 'full', trigger_version: 1, outcome: 'trigger_paused' }])
  expect(runs).toEqual([])
  const { gates } = (await call('event.explain', { event_id, trigger_id: 'full' })).decisions[0]!
  expect(gates.at(-1)).toMatchObject({
    gate: 'trigger_paused',
    verdict: 'stop',
    detail: expect.stringContaining('event.replay'),
  })
  const [replayed] = (await call('event.replay', { event_id })).runs
  expect(await run(replayed!)).toMatchObject({ state: 'pending' })
  // Room for one: the event after it makes a run again.
  for (const run_id of [first!, replayed!]) await call('run.cancel', { run_id })
  expect(await emit('full')).toBeDefined()
})

test('triggers pause and resume on the command line', async () => {
  await put('typed')
  const at = { directory }
  const paused = await signalbox(at, ['triggers', 'pause', 'typed', '--reason', 'moving'])
  expect(paused).toMatchObject({ code: 0, err: '' })
  expect(paused.out).toMatch(/paused_reason +moving/)
  const list = await signalbox(at, ['triggers', 'list'])
  expect(list.out.split('\n').find(line => line.startsWith('typed'))).toMatch(/ paused .*moving$/)
  const edited = JSON.stringify((await call('trigger.get', { trigger_id: 'typed' })).trigger)
  expect((await signalbox(at, ['triggers', 'put', '-'], {}, edited)).code).toBe(0)
  const resumed = await signalbox(at, ['triggers', 'resume', 'typed'])
  expect(resumed.code).toBe(0)
  expect(resumed.out).not.toContain('paused')
})
