// http bots that answer 202 and finish their runs later, with the token of the run.
import { describe, expect, test } from 'vitest'
import { leaseOfCallback, makeCallbackToken, runOfCallback } from '../../src/callback-token.ts'
import type { Methods } from '../../src/client/client.ts'
import { methodNames } from '../../src/contract/types.ts'
import { botServer } from '../support/bot-server.ts'
import { callWith, type Called } from '../support/admin.ts'
import { ended, freshDirectory, freshRouter, routerIn, until, type TestRouter } from '../support/router.ts'

const flags = {
  public_url: 'https://box.example.org/signalbox/',
  retry_schedule_ms: [0, 0],
  log_level: 'silent',
}

interface Asked {
  run_id: string
  url: string
  token: string
}

interface Started extends TestRouter {
  asked: Asked[]
  admin: () => Promise<string>
  emit: () => Promise<string>
  /** calls with the token of a callback */
  back: <M extends keyof Methods>(
    given: Pick<Asked, 'token'>,
    method: M,
    params?: object,
  ) => Promise<Called<M>>
}

async function started(
  {
    endpoint = {},
    status = 202,
    before,
  }: { endpoint?: object; status?: number; before?: (asked: Asked, admin: string) => Promise<void> } = {},
  directory = freshDirectory(),
): Promise<Started> {
  const asked: Asked[] = []
  const { url } = await botServer(({ body }, response) => {
    const { run, callback } = JSON.parse(body) as {
      run: { id: string }
      callback?: { url: string; token: string }
    }
    const given = { run_id: run.id, url: callback?.url ?? '', token: callback?.token ?? '' }
    asked.push(given)
    void (async () => {
      await before?.(given, await admin())
      response.writeHead(status, { 'content-type': 'application/json' }).end('{"taken": true}')
    })()
  })
  const router = await routerIn(directory, flags)
  const { call } = router
  const admin = (): Promise<string> => until(async () => (await call('router.status', {})).admin_address)
  await call('bot.put', { bot: { id: 'b', endpoint: { kind: 'http', url, callback: true, ...endpoint } } })
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  await call('trigger.put', { trigger: { id: 't', filter: { type: ['go'] }, action: { bot_id: 'b' } } })
  return {
    ...router,
    asked,
    admin,
    emit: async () => (await call('event.emit', { source_id: 's', type: 'go', payload: {} })).runs[0]!,
    back: async ({ token }, method, params = {}) => callWith(await admin(), token, method, params),
  }
}

const isHandedOver = ({ call }: TestRouter, run_id: string): Promise<true> =>
  until(
    async () =>
      (await call('run.history', { run_id })).history.some(({ move }) => move === 'hand_over') || undefined,
  )

describe('a bot that answers 202', () => {
  test('finishes its run later, after it has reported on it', async () => {
    const router = await started()
    const run_id = await router.emit()
    await isHandedOver(router, run_id)
    const [given] = router.asked
    expect(given).toMatchObject({ run_id, url: 'https://box.example.org/signalbox/rpc' })
    expect((await router.call('run.get', { run_id })).run).toMatchObject({ state: 'running', attempt: 1 })
    expect((await router.call('bot.get', { bot_id: 'b' })).bot.active).toBe(1)
    expect((await router.back(given!, 'run.log', { text: 'working' })).result).toMatchObject({
      cancel_requested: false,
    })
    expect((await router.back(given!, 'run.progress', { percent: 50 })).status).toBe(200)
    expect((await router.back(given!, 'run.complete', { result: { answer: 42 } })).result?.run.state).toBe(
      'completed',
    )
    expect((await router.call('run.get', { run_id })).run).toMatchObject({
      state: 'completed',
      attempt: 1,
      result: { answer: 42 },
    })
    expect((await router.call('run.output', { run_id })).parts).toMatchObject([
      { stream: 'log', text: 'working\n' },
    ])
    // It is over: the token is worth nothing.
    expect((await router.back(given!, 'run.log', { text: 'more' })).status).toBe(401)
    expect((await router.call('bot.get', { bot_id: 'b' })).bot.active).toBe(0)
  })

  test('says that it failed', async () => {
    const router = await started()
    const run_id = await router.emit()
    await isHandedOver(router, run_id)
    await router.back(router.asked[0]!, 'run.fail', { error: 'no such branch' })
    expect(await ended(router, run_id)).toMatchObject({ state: 'failed', error: 'no such branch' })
  })

  test('hears that it is asked to stop', async () => {
    const router = await started()
    const run_id = await router.emit()
    await isHandedOver(router, run_id)
    await router.call('run.cancel', { run_id })
    expect((await router.back(router.asked[0]!, 'run.heartbeat')).result).toMatchObject({
      cancel_requested: true,
    })
  })

  test(
    'and says nothing more: the run is tried again after its time, and the old token is worth nothing',
    { timeout: 30_000 },
    async () => {
      const router = await started({ endpoint: { callback_timeout_ms: 1000 } })
      const run_id = await router.emit()
      await until(async () => router.asked.length === 2)
      await until(async () => (await router.call('run.get', { run_id })).run.attempt === 2)
      const [first, second] = router.asked
      expect((await router.back(first!, 'run.complete')).status).toBe(401)
      expect((await router.back(second!, 'run.complete', { result: 1 })).status).toBe(200)
    },
  )

  test('calls back before it has answered', async () => {
    const answers: number[] = []
    const calls: Promise<unknown>[] = []
    const router = await started({
      before: async ({ token }, admin) =>
        void calls.push(
          callWith(admin, token, 'run.complete', { result: 'early' }).then(({ status }) =>
            answers.push(status),
          ),
        ),
    })
    const run_id = await router.emit()
    expect(await ended(router, run_id)).toMatchObject({ state: 'completed', result: 'early' })
    await Promise.all(calls)
    expect(answers).toEqual([200])
  })

  test('has its limit of runs at a time filled by those that it has taken', async () => {
    const router = await started()
    const runs = [await router.emit(), await router.emit(), await router.emit()]
    await Promise.all(runs.slice(0, 2).map(run_id => isHandedOver(router, run_id)))
    // Two at a time unless the bot says otherwise.
    expect(router.asked.length).toBe(2)
    await router.back(router.asked[0]!, 'run.complete')
    await until(async () => router.asked.length === 3)
  })

  test('goes on with its token after a restart of the router', async () => {
    const directory = freshDirectory()
    const first = await started({}, directory)
    const run_id = await first.emit()
    await isHandedOver(first, run_id)
    first.client.close()
    await first.router.stop()
    const again = await routerIn(directory, flags)
    expect(
      (await callWith(again.router.admin!, first.asked[0]!.token, 'run.complete', { result: 'later' }))
        .status,
    ).toBe(200)
    expect((await again.call('run.get', { run_id })).run).toMatchObject({
      state: 'completed',
      attempt: 1,
      result: 'later',
    })
  })
})

describe('the token', () => {
  test('allows nothing but the run', async () => {
    const router = await started()
    const [one, two] = [await router.emit(), await router.emit()]
    await Promise.all([isHandedOver(router, one), isHandedOver(router, two)])
    const given = router.asked.find(({ run_id }) => run_id === one)!
    const allowed: string[] = []
    for (const method of methodNames) {
      const { error } = await router.back(given, method, { nothing: 1 })
      if (error?.code !== -32015) allowed.push(method)
    }
    expect(allowed.toSorted()).toEqual([
      'rpc.discover',
      'rpc.health',
      'run.complete',
      'run.fail',
      'run.heartbeat',
      'run.log',
      'run.progress',
      'run.yield',
    ])
    expect((await router.back(given, 'run.complete', { run_id: two })).error?.code).toBe(-32015)
    const other = { token: given.token.slice(0, -1) + (given.token.endsWith('0') ? '1' : '0') }
    expect((await router.back(other, 'run.complete')).status).toBe(401)
    expect((await router.call('run.get', { run_id: two })).run.state).toBe('running')
  })

  test('is not kept: neither in the request that is shown, nor in the database as it is', async () => {
    const router = await started()
    const run_id = await router.emit()
    await isHandedOver(router, run_id)
    const [{ token }] = router.asked as [Asked]
    await router.back({ token }, 'run.complete', { result: { token } })
    const shown = [
      await router.call('run.history', { run_id }),
      await router.call('run.get', { run_id }),
      await router.call('audit.list', {}),
    ]
    expect(JSON.stringify(shown.slice(0, 1))).not.toContain(token)
    expect(leaseOfCallback(token)).toMatch(/^w:[0-9a-f]{32}$/)
    expect(leaseOfCallback(token)).not.toContain(token.slice(-32))
    expect(runOfCallback(makeCallbackToken(run_id))).toBe(run_id)
    for (const text of ['', 'sbx_run_', `${token}0`, token.slice(0, -1), token.toUpperCase()])
      expect(runOfCallback(text)).toBeUndefined()
  })
})

describe('what is not so', () => {
  test('202 of a bot without callback completes the run, and so does 200 of one with it', async () => {
    const plain = await started({ endpoint: { callback: false } })
    expect(await ended(plain, await plain.emit())).toMatchObject({ state: 'completed' })
    expect(plain.asked[0]).toMatchObject({ url: '', token: '' })
    const done = await started({ status: 200 })
    expect(await ended(done, await done.emit())).toMatchObject({
      state: 'completed',
      result: { taken: true },
    })
    expect((await done.back(done.asked[0]!, 'run.complete')).status).toBe(401)
  })

  test('a bot with callback is refused while the configuration has no public_url', async () => {
    const { call } = await freshRouter()
    const bot = { id: 'b', endpoint: { kind: 'http' as const, url: 'http://127.0.0.1:9', callback: true } }
    await expect(call('bot.put', { bot })).rejects.toThrow('callback needs public_url in the configuration')
  })
})
