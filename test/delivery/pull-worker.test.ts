// Workers that pull: leases under tokens, waiting claims, and what becomes of a run whose worker is late, gone or foreign.
import fc from 'fast-check'
import { spawn } from 'node:child_process'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { SignalboxClient, type Lease, type RunState } from '../../src/client/client.ts'
import { TryAgain, worker } from '../../src/client/worker.ts'
import { readConfig } from '../../src/config.ts'
import { startRouter } from '../../src/main.ts'
import { ended, freshRouter, quiet, until, type TestRouter } from '../support/router.ts'

async function pulling(
  lease_ms = 60_000,
  more: Record<string, unknown> = {},
): Promise<TestRouter & { emit: (n?: number) => Promise<string> }> {
  const router = await freshRouter()
  const { call } = router
  await call('source.put', { source: { id: 'jobs', source_type: 'service' } })
  await call('bot.put', { bot: { id: 'puller', endpoint: { kind: 'pull', lease_ms }, max_active: 4 } })
  await call('trigger.put', {
    trigger: {
      id: 't',
      event_source_id: 'jobs',
      filter: { type: ['work'] },
      action: { bot_id: 'puller', workflow_id: 'w', inputs: { n: '{{ payload.n }}' } },
      ...more,
    },
  })
  const emit = async (n = 0): Promise<string> =>
    (await call('event.emit', { source_id: 'jobs', type: 'work', payload: { n } })).runs[0]!
  return { ...router, emit }
}

const own = ({ run_id, lease_token }: Lease): { run_id: string; lease_token: string } => ({
  run_id,
  lease_token,
})
const lost = { code: -32003 }

async function claimed({ call }: Pick<TestRouter, 'call'>): Promise<Lease> {
  const { leases } = await call('run.claim', { bot_id: 'puller', wait_ms: 5000 })
  expect(leases).toHaveLength(1)
  return leases[0]!
}

describe('a lease', () => {
  test('from claim to completion, with its history, and the same completion again', async () => {
    const router = await pulling()
    const { call } = router
    const run_id = await router.emit(7)
    expect((await call('run.get', { run_id })).run.waiting_for).toContain(
      'no worker of bot puller has claimed it',
    )
    const lease = await claimed(router)
    expect(lease).toMatchObject({
      run_id,
      delivery: { run: { id: run_id, attempt: 1 }, inputs: { n: 7 }, event: { payload: { n: 7 } } },
    })
    expect((await call('run.get', { run_id })).run).toMatchObject({ state: 'assigned', attempt: 0 })
    expect((await call('run.start', own(lease))).run).toMatchObject({ state: 'running', attempt: 1 })
    // Said again because the answer was not heard.
    expect((await call('run.start', own(lease))).run).toMatchObject({ state: 'running', attempt: 1 })
    expect(await call('run.heartbeat', own(lease))).toMatchObject({ cancel_requested: false })
    await call('run.progress', { ...own(lease), percent: 50, message: 'half' })
    const { run } = await call('run.complete', { ...own(lease), result: { ok: [1] } })
    expect(run).toMatchObject({ state: 'completed', result: { ok: [1] } })
    const progress = { at: expect.any(Number) as number, percent: 50, message: 'half' }
    expect((await call('run.complete', { ...own(lease), result: 'other' })).run).toEqual({ ...run, progress })
    const { history, attempts } = await call('run.history', { run_id })
    expect(history.map(each => each.move)).toEqual(['create', 'claim', 'start', 'progress', 'complete'])
    expect(history[3]!.reason).toBe('50 %: half')
    expect(attempts).toMatchObject([{ number: 1, outcome: 'success' }])
    expect((await call('bot.get', { bot_id: 'puller' })).bot.active).toBe(0)
  })

  test('late, foreign and repeated calls change nothing', async () => {
    const router = await pulling()
    const { call } = router
    const run_id = await router.emit()
    const lease = await claimed(router)
    const foreign = { run_id, lease_token: `w:${'0'.repeat(32)}` }
    const works = [
      call('run.start', foreign),
      call('run.heartbeat', foreign),
      call('run.progress', { ...foreign, percent: 1 }),
      call('run.complete', foreign),
      call('run.fail', { ...foreign, error: 'x' }),
      call('run.yield', foreign),
    ]
    for (const outcome of await Promise.allSettled(works))
      expect(outcome).toMatchObject({ status: 'rejected', reason: lost })
    expect((await call('run.get', { run_id })).run.state).toBe('assigned')
    await call('run.yield', own(lease))
    await expect(call('run.complete', own(lease))).rejects.toMatchObject(lost)
    const again = await claimed(router)
    expect(again.lease_token).not.toBe(lease.lease_token)
    await expect(call('run.start', own(lease))).rejects.toMatchObject(lost)
    await call('run.complete', own(again))
    await expect(call('run.complete', own(lease))).rejects.toMatchObject(lost)
    await expect(call('run.fail', { ...own(again), error: 'x' })).rejects.toMatchObject(lost)
    await expect(
      call('run.complete', { ...foreign, run_id: '01997f3e-5b00-7000-8000-00000000ffff' }),
    ).rejects.toMatchObject({ code: -32002 })
    await expect(call('run.complete', { run_id, lease_token: 'x' })).rejects.toMatchObject({ code: -32602 })
  })

  test('a claim that is given back spends no attempt, a failed run is dead unless it or its trigger wants another', async () => {
    const router = await pulling()
    const { call } = router
    const run_id = await router.emit()
    await call('run.yield', own(await claimed(router)))
    const second = await claimed(router)
    await call('run.start', own(second))
    expect((await call('run.yield', { ...own(second), reason: 'no room' })).run).toMatchObject({
      state: 'pending',
      attempt: 0,
    })
    const third = await claimed(router)
    expect(third.delivery).toMatchObject({ run: { attempt: 1 } })
    expect(
      (await call('run.fail', { ...own(third), error: 'away', retryable: true, after_ms: 0 })).run,
    ).toMatchObject({ state: 'pending', attempt: 1 })
    const fourth = await claimed(router)
    await call('run.start', own(fourth))
    expect((await call('run.fail', { ...own(fourth), error: 'broken' })).run).toMatchObject({
      id: run_id,
      state: 'failed',
      dead: true,
      attempt: 2,
      error: 'broken',
    })
    const retrying = await pulling(60_000, { policy: { retry: [0, 0] } })
    await retrying.emit()
    expect(
      (await retrying.call('run.fail', { ...own(await claimed(retrying)), error: 'a' })).run,
    ).toMatchObject({ state: 'pending' })
    expect(
      (await retrying.call('run.fail', { ...own(await claimed(retrying)), error: 'b' })).run,
    ).toMatchObject({ state: 'failed', dead: true })
    await expect(
      call('run.complete', { run_id, lease_token: `w:${'0'.repeat(32)}`, result: 'x'.repeat(70_000) }),
    ).rejects.toMatchObject({ code: -32004 })
  })

  test('that is not heard of is taken back, and its late result refused', async () => {
    const router = await pulling(1000)
    const { call } = router
    const run_id = await router.emit()
    const first = await claimed(router)
    const second = await claimed(router)
    expect(second.run_id).toBe(run_id)
    await expect(call('run.start', own(first))).rejects.toMatchObject(lost)
    await call('run.start', own(second))
    const third = await claimed(router)
    // What it used was used, however it says so.
    await expect(call('run.complete', { ...own(second), usage: { input_tokens: 5 } })).rejects.toMatchObject(
      lost,
    )
    await expect(
      call('run.fail', { ...own(second), error: 'late', usage: { input_tokens: 7 } }),
    ).rejects.toMatchObject(lost)
    await expect(call('run.progress', { ...own(second), usage: { input_tokens: 8 } })).rejects.toMatchObject(
      lost,
    )
    await call('run.complete', own(third))
    expect((await call('run.get', { run_id })).run.usage).toEqual({
      input_tokens: 8,
      output_tokens: 0,
      cost_usd: 0,
      unreported: 1,
    })
    const { history, attempts } = await call('run.history', { run_id })
    expect(history.map(each => each.move)).toEqual([
      'create',
      'claim',
      'put_back',
      'claim',
      'start',
      'recover',
      'claim',
      'start',
      'complete',
    ])
    expect(attempts.map(each => each.outcome)).toEqual(['unknown', 'success'])
  })

  test('outlives the router: the same worker goes on with the same token, and a lost one is taken back', async () => {
    const router = await pulling(2000)
    const kept = await router.emit().then(() => claimed(router))
    await router.call('run.start', own(kept))
    await router.emit()
    const left = await claimed(router)
    router.client.close()
    await router.router.stop()
    const config = readConfig(
      { HOME: router.directory },
      { state_dir: router.directory, socket: join(router.directory, 'rpc.sock'), ...quiet },
    )
    const second = await startRouter(config, {
      env: { HOME: router.directory },
      onFatal: message => expect(message).toBe(''),
    })
    const client = await SignalboxClient.connect(second.socket)
    onTestFinished(async () => {
      client.close()
      await second.stop()
    })
    expect((await client.call('bot.get', { bot_id: 'puller' })).bot.active).toBe(2)
    expect((await client.call('run.complete', own(kept))).run.state).toBe('completed')
    const again = await claimed({ call: (method, params) => client.call(method, params) })
    expect(again.run_id).toBe(left.run_id)
    await expect(client.call('run.start', own(left))).rejects.toMatchObject(lost)
  })

  test('is cancelled by its worker, who is told with the next heartbeat', async () => {
    const router = await pulling()
    const { call } = router
    const run_id = await router.emit()
    const lease = await claimed(router)
    await call('run.start', own(lease))
    await call('run.cancel', { run_id })
    expect(await call('run.heartbeat', own(lease))).toMatchObject({ cancel_requested: true })
    expect((await call('run.yield', own(lease))).run.state).toBe('cancelled')
  })
})

test('a held run is given to nobody until it is released', async () => {
  const router = await pulling()
  const { call } = router
  const run_id = await router.emit()
  expect((await call('run.hold', { run_id, reason: 'not today' })).run).toMatchObject({
    state: 'held',
    waiting_for: 'held: not today',
  })
  expect(await call('run.claim', { bot_id: 'puller' })).toEqual({ leases: [] })
  await expect(call('run.hold', { run_id })).rejects.toMatchObject({
    code: -32013,
    message: expect.stringContaining('run.release') as string,
  })
  const waiting = claimed(router)
  expect((await call('run.release', { run_id })).run.state).toBe('pending')
  const lease = await waiting
  expect(lease.run_id).toBe(run_id)
  await expect(call('run.hold', { run_id })).rejects.toMatchObject({ code: -32013 })
  await expect(call('run.release', { run_id })).rejects.toMatchObject({ code: -32013 })
  await call('run.yield', own(lease))
  await call('run.hold', { run_id })
  expect((await call('run.cancel', { run_id })).run.state).toBe('cancelled')
  expect((await call('run.history', { run_id })).history.map(each => each.move)).toEqual([
    'create',
    'hold',
    'release',
    'claim',
    'put_back',
    'hold',
    'cancel',
  ])
})

describe('a claim', () => {
  test('waits for a commit, and who goes away is given nothing', async () => {
    const router = await pulling()
    const { call } = router
    expect(await call('run.claim', { bot_id: 'puller' })).toEqual({ leases: [] })
    const waiting = call('run.claim', { bot_id: 'puller', max: 4, wait_ms: 30_000 })
    const run_id = await router.emit()
    expect((await waiting).leases.map(lease => lease.run_id)).toEqual([run_id])
    const leaving = await SignalboxClient.connect(router.router.socket)
    const stop = new AbortController()
    const gone = leaving.call('run.claim', { bot_id: 'puller', wait_ms: 30_000 }, { signal: stop.signal })
    stop.abort()
    expect(await gone).toEqual({ leases: [] })
    leaving.close()
    const next = await router.emit()
    expect((await claimed(router)).run_id).toBe(next)
  })

  test('of a run of the future is woken when it falls due', async () => {
    const router = await pulling()
    const { call } = router
    const run_id = await router.emit()
    await call('run.yield', { ...own(await claimed(router)), after_ms: 300 })
    expect(await call('run.claim', { bot_id: 'puller' })).toEqual({ leases: [] })
    expect((await claimed(router)).run_id).toBe(run_id)
  })

  test('keeps to max_active over all workers, and goes on when there is room', async () => {
    const router = await pulling()
    const { call } = router
    for (let n = 0; n < 6; n++) await router.emit(n)
    const { leases } = await call('run.claim', { bot_id: 'puller', max: 16 })
    expect(leases.map(lease => (lease.delivery.inputs as { n: number }).n)).toEqual([0, 1, 2, 3])
    expect(await call('run.claim', { bot_id: 'puller' })).toEqual({ leases: [] })
    const waiting = claimed(router)
    await call('run.complete', own(leases[2]!))
    expect((await waiting).delivery.inputs).toEqual({ n: 4 })
  })

  test('is refused where it cannot be', async () => {
    const { call } = await pulling()
    await call('bot.put', { bot: { id: 'pushed', endpoint: { kind: 'command', argv: ['/bin/true'] } } })
    await expect(call('run.claim', { bot_id: 'nobody' })).rejects.toMatchObject({ code: -32002 })
    await expect(call('run.claim', { bot_id: 'pushed' })).rejects.toMatchObject({ code: -32013 })
    await call('bot.put', { bot: { id: 'puller', endpoint: { kind: 'pull' }, enabled: false } })
    await expect(call('run.claim', { bot_id: 'puller' })).rejects.toMatchObject({ code: -32012 })
  })
})

test('who writes no more is given nothing, since he could say nothing of it', async () => {
  const router = await pulling()
  const socket = connect(router.router.socket)
  const heard = new Promise<string>(resolve => socket.once('data', chunk => resolve(chunk.toString('utf8'))))
  socket.end(
    `${JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'run.claim', params: { bot_id: 'puller', wait_ms: 30_000 } })}\n`,
  )
  expect(await heard).toContain('"leases":[]')
  const run_id = await router.emit()
  expect((await claimed(router)).run_id).toBe(run_id)
})

test('a bot that is written anew as one that is pushed to gets what its workers give back', async () => {
  const router = await pulling()
  const { call } = router
  const run_id = await router.emit()
  const lease = await claimed(router)
  await call('bot.put', { bot: { id: 'puller', endpoint: { kind: 'command', argv: ['/bin/true'] } } })
  await call('run.yield', own(lease))
  expect((await ended(router, run_id)).state).toBe('completed')
})

test('a run of the future is given to a worker while all slots of the router are taken', async () => {
  const router = await freshRouter({ max_active: 1 })
  const { call } = router
  await call('source.put', { source: { id: 'jobs', source_type: 'service' } })
  await call('bot.put', { bot: { id: 'puller', endpoint: { kind: 'pull' } } })
  await call('bot.put', { bot: { id: 'slow', endpoint: { kind: 'command', argv: ['/bin/sleep', '30'] } } })
  for (const bot_id of ['puller', 'slow'])
    await call('trigger.put', { trigger: { id: bot_id, filter: { type: [bot_id] }, action: { bot_id } } })
  const [slow] = (await call('event.emit', { source_id: 'jobs', type: 'slow', payload: {} })).runs
  await until(async () => (await call('run.get', { run_id: slow! })).run.state === 'running')
  await call('event.emit', { source_id: 'jobs', type: 'puller', payload: {} })
  const first = await claimed(router)
  await call('run.yield', { ...own(first), after_ms: 200 })
  expect((await claimed(router)).run_id).toBe(first.run_id)
  expect((await call('run.get', { run_id: slow! })).run.state).toBe('running')
  await call('run.cancel', { run_id: slow! })
})

test('whoever does what and when: one holder at a time, and history is a path of the table', async () => {
  const step = fc.oneof(
    fc.record({ act: fc.constantFrom('emit', 'claim') }),
    fc.record({
      act: fc.constantFrom(
        'start',
        'heartbeat',
        'progress',
        'complete',
        'fail',
        'retry_later',
        'yield',
        'cancel',
        'dead_retry',
      ),
      of: fc.nat(9),
      stale: fc.boolean(),
    }),
  )
  const router = await pulling()
  const { call } = router
  await call('bot.put', { bot: { id: 'puller', endpoint: { kind: 'pull' }, max_active: 1000 } })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60 }), async steps => {
      const runs: string[] = []
      const tokens = new Map<string, string[]>()
      for (const each of steps) {
        if (each.act === 'emit') runs.push(await router.emit())
        else if (each.act === 'claim') {
          for (const lease of (await call('run.claim', { bot_id: 'puller', max: 2 })).leases) {
            const state = (await call('run.get', { run_id: lease.run_id })).run.state
            expect(state).toBe('assigned')
            tokens.set(lease.run_id, [...(tokens.get(lease.run_id) ?? []), lease.lease_token])
          }
        } else if ('of' in each && runs.length > 0) {
          const run_id = runs[each.of % runs.length]!
          const all = tokens.get(run_id) ?? []
          const stale = each.stale && all.length > 1
          const lease_token = (stale ? all[0] : all.at(-1)) ?? `w:${'0'.repeat(32)}`
          const before = (await call('run.get', { run_id })).run
          const done = await acted(call, each.act, run_id, lease_token)
          if (stale && !['cancel', 'dead_retry'].includes(each.act)) {
            expect(done).toBe(false)
            expect((await call('run.get', { run_id })).run).toEqual(before)
          }
        }
      }
      for (const run_id of runs) {
        const { history } = await call('run.history', { run_id })
        for (const [index, row] of history.entries())
          expect(row.from).toBe(index === 0 ? null : history[index - 1]!.to)
        expect((await call('run.get', { run_id })).run.state).toBe(history.at(-1)!.to satisfies RunState)
      }
    }),
    { numRuns: 40 },
  )
})

async function acted(
  call: TestRouter['call'],
  act: string,
  run_id: string,
  lease_token: string,
): Promise<boolean> {
  const mine = { run_id, lease_token }
  const works: Record<string, () => Promise<unknown>> = {
    start: () => call('run.start', mine),
    heartbeat: () => call('run.heartbeat', mine),
    progress: () => call('run.progress', { ...mine, percent: 1 }),
    complete: () => call('run.complete', mine),
    fail: () => call('run.fail', { ...mine, error: 'x' }),
    retry_later: () => call('run.fail', { ...mine, error: 'x', retryable: true, after_ms: 0 }),
    yield: () => call('run.yield', mine),
    cancel: () => call('run.cancel', { run_id }),
    dead_retry: () => call('run.retry', { run_id }),
  }
  try {
    await works[act]!()
    return true
  } catch (error) {
    expect([-32003, -32013]).toContain((error as { code: number }).code)
    return false
  }
}

describe('the worker of the client package', () => {
  test('works through runs, says how they ended, and drains when it is told to stop', async () => {
    const router = await pulling()
    const { call } = router
    const stop = new AbortController()
    const seen: number[] = []
    let release: (() => void) | undefined
    const working = worker({
      socket: router.router.socket,
      bot_id: 'puller',
      max: 2,
      signal: stop.signal,
      async handler({ delivery, signal, progress }) {
        const { n } = delivery.inputs as { n: number }
        seen.push(n)
        if (n === 1) throw new Error('broken')
        if (n === 2 && seen.filter(each => each === 2).length === 1) throw new TryAgain('not yet', 0)
        if (n === 3) await new Promise<void>(resolve => (release = resolve))
        if (n === 4) await new Promise(resolve => signal.addEventListener('abort', resolve))
        await progress(100, 'done')
        return { n }
      },
    })
    const runs = [await router.emit(0), await router.emit(1), await router.emit(2)]
    const [good, bad, again] = await Promise.all(runs.map(run_id => ended(router, run_id)))
    expect(good).toMatchObject({ state: 'completed', result: { n: 0 } })
    expect(bad).toMatchObject({ state: 'failed', error: 'broken' })
    expect(again).toMatchObject({ state: 'completed', attempt: 2 })
    const last = await router.emit(3)
    await until(async () => release !== undefined)
    stop.abort()
    const unwanted = await router.emit(5)
    release!()
    await working
    expect((await ended(router, last)).state).toBe('completed')
    expect((await call('run.get', { run_id: unwanted })).run.state).toBe('pending')
  })

  test('says an ending that the router does not take as a failure, and goes on when its bot was disabled for a while', async () => {
    const router = await pulling(1000)
    const { call } = router
    const stop = new AbortController()
    const working = worker({
      socket: router.router.socket,
      bot_id: 'puller',
      signal: stop.signal,
      handler: async ({ delivery }) =>
        (delivery.inputs as { n: number }).n === 1
          ? 'x'.repeat(70_000)
          : (delivery.inputs as { n: number }).n === 2
            ? 5n
            : 'fine',
    })
    const [large, odd] = [await router.emit(1), await router.emit(2)]
    expect(await ended(router, large)).toMatchObject({
      state: 'failed',
      attempt: 1,
      error: expect.stringContaining('its ending was refused') as string,
    })
    expect(await ended(router, odd)).toMatchObject({ state: 'failed', attempt: 1 })
    const bot = { id: 'puller', endpoint: { kind: 'pull' as const, lease_ms: 1000 }, max_active: 4 }
    await call('bot.put', { bot: { ...bot, enabled: false } })
    const later = await router.emit(3)
    await call('bot.put', { bot })
    expect(await ended(router, later)).toMatchObject({ state: 'completed', result: 'fine' })
    stop.abort()
    await working
  })

  test('works on while the router is started anew, once, and is heard then', async () => {
    const router = await pulling(5000)
    const stop = new AbortController()
    let begun = 0
    let release: (() => void) | undefined
    const working = worker({
      socket: router.router.socket,
      bot_id: 'puller',
      signal: stop.signal,
      async handler() {
        begun++
        await new Promise<void>(resolve => (release = resolve))
        return begun
      },
    })
    const run_id = await router.emit()
    await until(async () => release !== undefined)
    router.client.close()
    await router.router.stop()
    release!()
    const config = readConfig(
      { HOME: router.directory },
      { state_dir: router.directory, socket: join(router.directory, 'rpc.sock'), ...quiet },
    )
    const second = await startRouter(config, {
      env: { HOME: router.directory },
      onFatal: message => expect(message).toBe(''),
    })
    const client = await SignalboxClient.connect(second.socket)
    onTestFinished(async () => {
      client.close()
      await second.stop()
    })
    const run = await until(async () => {
      const { run: found } = await client.call('run.get', { run_id })
      return found.state === 'completed' && found
    })
    expect(run).toMatchObject({ attempt: 1, result: 1 })
    stop.abort()
    await working
  })

  test('honours a pause at its next checkpoint, and goes on after it', async () => {
    const router = await pulling(1000)
    const stop = new AbortController()
    let turns = 0
    const working = worker({
      socket: router.router.socket,
      bot_id: 'puller',
      signal: stop.signal,
      handler: async ({ checkpoint, progress }) => {
        for (; turns < 1_000_000 && !stop.signal.aborted; turns++) {
          await checkpoint()
          if (turns === 1) await progress(1, 'begun', { turns })
          await new Promise(resolve => setTimeout(resolve, 2))
        }
        return turns
      },
    })
    const run_id = await router.emit()
    const state = async (): Promise<RunState> => (await router.call('run.get', { run_id })).run.state
    await until(async () => turns > 5)
    await router.call('run.pause', { run_id })
    await until(async () => (await state()) === 'paused')
    const stood = turns
    await router.call('run.resume', { run_id })
    await until(async () => (await state()) === 'running' && turns > stood)
    stop.abort()
    await working
    expect(await state()).toBe('completed')
    const { history } = await router.call('run.history', { run_id })
    expect(history.map(each => each.move)).toEqual([
      'create',
      'claim',
      'start',
      'progress',
      'request_pause',
      'pause',
      'request_resume',
      'resume',
      'complete',
    ])
    expect(history[3]!.reason).toBe('1 %: begun: {"turns":1}')
  })

  test('a worker process that is stopped past its lease loses the run, one that is killed is replaced', async () => {
    const router = await pulling(1000)
    const program = `
      const { worker } = await import('${new URL('../../src/client/worker.ts', import.meta.url).href}')
      console.log('ready')
      await worker({ socket: process.argv[1], bot_id: 'puller', handler: async ({ signal }) => { console.log('begun'); await new Promise(resolve => setTimeout(resolve, 60000)); return 'late' } })`
    const child = spawn(process.execPath, ['--input-type=module', '-e', program, router.router.socket], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    onTestFinished(() => void child.kill('SIGKILL'))
    let said = ''
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
    const run_id = await router.emit()
    await until(async () => said.includes('begun'))
    child.kill('SIGSTOP')
    const mine = await claimed(router)
    expect(mine.run_id).toBe(run_id)
    await router.call('run.start', own(mine))
    child.kill('SIGCONT')
    await router.call('run.complete', { ...own(mine), result: 'mine' })
    expect((await ended(router, run_id)).result).toBe('mine')
    child.kill('SIGKILL')
    const next = await router.emit()
    expect((await claimed(router)).run_id).toBe(next)
  })
})
