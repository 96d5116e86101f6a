// run.log and run.output over the control socket, and backups with and without output.
import Database from 'better-sqlite3'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { outputMethods } from '../../src/api/methods/output.ts'
import type { Context } from '../../src/api/methods/context.ts'
import type { Call } from '../../src/api/jsonrpc.ts'
import { RunWatch } from '../../src/api/run-watch.ts'
import type { RunOutputResult } from '../../src/contract/types.ts'
import type { OutputPage } from '../../src/store/store.ts'
import { freshRouter, type TestRouter } from '../support/router.ts'

interface Job {
  run_id: string
  lease_token: string
}

/** A router with a run that a worker has claimed. */
async function working(
  flags: Record<string, unknown> = {},
  env: Record<string, string> = {},
): Promise<TestRouter & { job: Job }> {
  const router = await freshRouter(flags, env)
  const { call } = router
  await call('source.put', { source: { id: 'jobs', source_type: 'service' } })
  await call('bot.put', { bot: { id: 'puller', endpoint: { kind: 'pull' } } })
  await call('trigger.put', {
    trigger: { id: 't', event_source_id: 'jobs', filter: { type: ['work'] }, action: { bot_id: 'puller' } },
  })
  await call('event.emit', { source_id: 'jobs', type: 'work', payload: {} })
  const [lease] = (await call('run.claim', { bot_id: 'puller', wait_ms: 5000 })).leases
  return { ...router, job: { run_id: lease!.run_id, lease_token: lease!.lease_token } }
}

async function started(
  flags: Record<string, unknown> = {},
  env: Record<string, string> = {},
): Promise<TestRouter & { job: Job }> {
  const router = await working(flags, env)
  await router.call('run.start', router.job)
  return router
}

describe('run.log', () => {
  test('is shown by run.output as lines', async () => {
    const { call, job } = await started()
    await call('run.log', { ...job, text: 'one' })
    expect(await call('run.log', { ...job, text: 'two\nthree\n' })).toMatchObject({ cancel_requested: false })
    expect(await call('run.output', { run_id: job.run_id })).toMatchObject({
      run_id: job.run_id,
      attempt: 1,
      parts: [
        { offset: 0, stream: 'log', text: 'one\n' },
        { offset: 4, stream: 'log', text: 'two\nthree\n' },
      ],
      next: 14,
      more: false,
      total_bytes: 14,
      finished: false,
    })
  })

  test('needs a run that has begun, and its token', async () => {
    const { call, job } = await working()
    await expect(call('run.log', { ...job, text: 'x' })).rejects.toMatchObject({
      code: -32013,
      message: expect.stringContaining('run.start'),
    })
    await call('run.start', job)
    await expect(
      call('run.log', { ...job, lease_token: `w:${'0'.repeat(32)}`, text: 'x' }),
    ).rejects.toMatchObject({ code: -32003 })
    await call('run.complete', job)
    await expect(call('run.log', { ...job, text: 'x' })).rejects.toMatchObject({ code: -32003 })
    expect((await call('run.output', { run_id: job.run_id })).parts).toEqual([])
  })

  test('takes 65,536 bytes and no more', async () => {
    const { call, job } = await started()
    await call('run.log', { ...job, text: `${'é'.repeat(32_767)}x\n` })
    await call('run.log', { ...job, text: 'x'.repeat(65_536) })
    const error = {
      code: -32004,
      message: expect.stringContaining('at most 65536 bytes of UTF-8; got 65538'),
    }
    await expect(call('run.log', { ...job, text: 'é'.repeat(32_769) })).rejects.toMatchObject(error)
    const { parts } = await call('run.output', { run_id: job.run_id })
    expect(parts.map(({ offset, split }) => [offset, split])).toEqual([
      [0, undefined],
      [65_536, true],
    ])
  })

  test('hides secrets', async () => {
    const { call, job } = await started({}, { FORGE_TOKEN: 'canary-0123456789' })
    await call('run.log', { ...job, text: 'push with canary-0123456789 done' })
    expect((await call('run.output', { run_id: job.run_id })).parts).toMatchObject([
      { text: 'push with *** done\n' },
    ])
  })
})

describe('run.output', () => {
  test('pages by a cursor that belongs to an attempt', async () => {
    const { call, job } = await started()
    for (const text of ['a', 'b', 'c']) await call('run.log', { ...job, text })
    const first = await call('run.output', { run_id: job.run_id, limit: 4 })
    expect(first).toMatchObject({ parts: [{ text: 'a\n' }, { text: 'b\n' }], next: 4, more: true })
    expect(await call('run.output', { run_id: job.run_id, attempt: 1, after: first.next })).toMatchObject({
      parts: [{ text: 'c\n' }],
      more: false,
    })
    await expect(call('run.output', { run_id: job.run_id, after: 4 })).rejects.toMatchObject({
      code: -32602,
      message: expect.stringContaining('attempt'),
    })
    await expect(call('run.output', { run_id: job.run_id, attempt: 2 })).rejects.toMatchObject({
      code: -32002,
      message: expect.stringContaining('no attempt 2; its last one is 1'),
    })
  })

  test('waits for output, and for the end of the attempt', async () => {
    const { call, job } = await started()
    const { run_id } = job
    const waiting = call('run.output', { run_id, wait_ms: 60_000 })
    await call('run.log', { ...job, text: 'late' })
    expect(await waiting).toMatchObject({ parts: [{ text: 'late\n' }], next: 5, finished: false })
    const ending = call('run.output', { run_id, attempt: 1, after: 5, wait_ms: 60_000 })
    await call('run.complete', job)
    expect(await ending).toMatchObject({ parts: [], next: 5, finished: true })
  })

  test('keeps no others from their answers while it waits', async () => {
    const { client, job } = await started()
    const cancel = new AbortController()
    const waiting = Array.from({ length: 6 }, () =>
      client.call('run.output', { run_id: job.run_id, wait_ms: 60_000 }, { signal: cancel.signal }),
    )
    expect((await client.call('run.list', {})).runs.map(({ id }) => id)).toEqual([job.run_id])
    cancel.abort()
    expect((await Promise.all(waiting)).every(({ parts }) => parts.length === 0)).toBe(true)
  })

  test('a wait ends when its call is cancelled', async () => {
    const { client, call, job } = await started()
    const cancel = new AbortController()
    const waiting = client.call(
      'run.output',
      { run_id: job.run_id, wait_ms: 60_000 },
      { signal: cancel.signal },
    )
    await call('rpc.health', {})
    cancel.abort()
    expect(await waiting.catch((error: Error) => error.name)).toMatchObject({ parts: [], finished: false })
  })

  test('bytes that are not UTF-8 are base64', async () => {
    const parts = [
      { offset: 0, stream: 'stderr' as const, at: 1, content: Buffer.from([0xff, 0x0a]), split: false },
    ]
    expect(await answered({ parts, next: 2, total_bytes: 2 })).toMatchObject({
      parts: [{ offset: 0, stream: 'stderr', at: 1, base64: '/wo=' }],
    })
  })

  test('cut and removed output is reported', async () => {
    expect(await answered({ total_bytes: 9, skipped_bytes: 4, removed: true })).toMatchObject({
      total_bytes: 9,
      skipped_bytes: 4,
      removed: true,
    })
    expect(await answered({ total_bytes: 9 })).not.toHaveProperty('skipped_bytes')
    expect(await answered({ total_bytes: 9 })).not.toHaveProperty('removed')
  })

  test('an attempt from before has the end of its output', async () => {
    const parts = [{ offset: 0, stream: 'tail', at: 7, text: 'last words' }]
    expect(await answered({ tail: 'last words', tail_at: 7 })).toMatchObject({
      parts,
      next: 10,
      total_bytes: 10,
      finished: true,
    })
    expect(await answered({ tail: 'last words', tail_at: 7 }, 10)).toMatchObject({ parts: [], next: 10 })
  })
})

const nothing: OutputPage = {
  attempt: 1,
  parts: [],
  next: 0,
  more: false,
  total_bytes: 0,
  skipped_bytes: 0,
  removed: false,
  finished: true,
  tail: null,
  tail_at: 0,
}

/** The answer to a page of a store that holds what no worker can send. */
function answered(page: Partial<OutputPage>, after = 0): Promise<RunOutputResult> {
  const store = { output: async () => ({ ...nothing, next: after, ...page }) }
  const methods = outputMethods({ store, watch: new RunWatch() } as unknown as Context)
  const call = { signal: () => new AbortController().signal } as unknown as Call
  return methods['run.output']({ run_id: '01997f3e-5b00-7000-8000-0000000000d1', attempt: 1, after }, call)
}

describe('a run that is watched', () => {
  const never = (): AbortSignal => new AbortController().signal

  test('wakes the calls that wait for it, and no others', async () => {
    const watch = new RunWatch()
    let [a, b] = [0, 0]
    const enough = (seen: number): boolean => seen > 0
    const stop = new AbortController()
    const first = watch.until('a', async () => a, enough, 60_000, never())
    const second = watch.until('b', async () => b, enough, 60_000, stop.signal)
    await Promise.resolve()
    ;[a, b] = [1, 1]
    watch.changed(['a'])
    expect(await first).toBe(1)
    b = 0
    stop.abort()
    expect(await second).toBe(0)
    expect(watch.size).toBe(0)
  })

  test('misses no change between two looks', async () => {
    const watch = new RunWatch()
    let seen = 0
    const look = async (): Promise<number> => {
      const answer = seen
      if (seen++ < 3) watch.changed(['a'])
      return answer
    }
    expect(await watch.until('a', look, each => each === 3, 60_000, never())).toBe(3)
  })
})

test('backups have output only where it is asked for', async () => {
  const { call, job, directory } = await started()
  const noise = 'x'.repeat(65_000)
  for (let count = 0; count < 10; count++) await call('run.log', { ...job, text: noise })
  const [without, whole] = [join(directory, 'without.db'), join(directory, 'whole.db')]
  const [small, large] = [
    await call('router.backup', { path: without }),
    await call('router.backup', { path: whole, with_output: true }),
  ]
  expect(large.bytes - small.bytes).toBeGreaterThan(600_000)
  const count = (path: string): unknown => {
    const db = new Database(path, { readonly: true })
    const found = [
      db.prepare('SELECT count(*) FROM output_part').pluck().get(),
      db.prepare('SELECT removed_bytes FROM attempt_output').pluck().get(),
    ]
    const free = db.pragma('freelist_count', { simple: true })
    db.close()
    return [...found, free]
  }
  expect(count(without)).toEqual([0, 650_010, 0])
  expect(count(whole)).toEqual([11, 0, 0])
})
