// Requests to the admin listener, and calls that are refused over any interface, as they are counted.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import { ask, bearerOf, callOf, callWith, listening } from '../support/admin.ts'
import { metricsOf, value } from '../support/metrics.ts'
import { until, type TestRouter } from '../support/router.ts'
import { SseReader } from '../support/sse.ts'

/** Every refusal that was counted, by interface and reason. */
async function failures(router: Pick<TestRouter, 'router'>): Promise<Record<string, number>> {
  const { samples } = (await metricsOf(router)).get('signalbox_auth_failures_total')!
  return Object.fromEntries(
    samples
      .filter(each => each.value > 0)
      .map(({ labels, value: count }) => [`${labels.interface} ${labels.reason}`, count]),
  )
}

test('requests are counted by interface, route and code', async () => {
  const router = await listening()
  const { call, admin } = router
  const { token } = await call('token.create', { name: 'all', role: 'admin' })
  const get = async (path: string, given = token): Promise<number> =>
    (await ask(admin, { method: 'GET', path, headers: bearerOf(given) })).status
  expect((await callWith(admin, token, 'rpc.health')).status).toBe(200)
  expect([
    await get('/metrics'),
    await get('/metrics'),
    await get('/metrics', 'wrong'),
    await get('/x/y'),
    await get('/openrpc.json'),
    await get('/health'),
  ]).toEqual([200, 200, 401, 404, 200, 200])
  const stream = new SseReader(admin, '?topics=events', bearerOf(token))
  expect((await stream.open()).status).toBe(200)
  stream.close()
  const streams = { interface: 'sse', route: '/stream' }
  const found = await until(async () => {
    const metrics = await metricsOf(router)
    return value(metrics, 'signalbox_http_requests_total', streams) !== undefined && metrics
  })
  const counted = found.get('signalbox_http_requests_total')!.samples
  expect(
    Object.fromEntries(
      counted.map(({ labels, value: count }) => [
        `${labels.interface} ${labels.route} ${labels.code}`,
        count,
      ]),
    ),
  ).toEqual({
    'rpc /rpc 200': 1,
    'http /metrics 200': 2,
    'http /metrics 401': 1,
    'http other 404': 1,
    'http /openrpc.json 200': 1,
    'http /health 200': 1,
    'sse /stream 200': 1,
  })
  const lasted = (labels: Record<string, string>): number | undefined =>
    value(found, 'signalbox_http_request_duration_seconds', labels, '_count')
  expect([
    lasted({ interface: 'rpc', route: '/rpc' }),
    lasted({ interface: 'http', route: '/metrics' }),
    lasted(streams),
  ]).toEqual([1, 3, undefined])
})

test('refusals are counted by interface and reason', async () => {
  const router = await listening({ auth_failures_per_minute: 4 })
  const { call, admin } = router
  const begun = (await metricsOf(router)).get('signalbox_auth_failures_total')!.samples
  // Prometheus sees no increase from nothing.
  expect(begun.length).toBe(11)
  expect(begun.filter(sample => sample.value !== 0)).toEqual([])
  const created = async (scope: 'metrics' | 'read'): Promise<string> =>
    (await call('token.create', { name: scope, scopes: [scope] })).token
  const [metrics, read] = [await created('metrics'), await created('read')]
  const get = async (path: string, given: string): Promise<number> =>
    (await ask(admin, { method: 'GET', path, headers: bearerOf(given) })).status
  expect([
    await get('/metrics', metrics),
    await get('/metrics', read),
    await get('/stream?topics=events', metrics),
  ]).toEqual([200, 403, 403])
  expect((await callWith(admin, read, 'router.pause')).status).toBe(403)
  const batch = `[${callOf('router.pause', {}, 1)},${callOf('rpc.health', {}, 2)},${callOf('router.resume', {}, 3)}]`
  expect((await ask(admin, { body: batch, headers: bearerOf(read) })).status).toBe(200)
  expect(await failures(router)).toEqual({ 'http scope': 1, 'sse scope': 1, 'rpc scope': 3 })
  expect([
    await get('/stream', 'wrong'),
    await get('/metrics', 'wrong'),
    await get('/x', ''),
    (await callWith(admin, 'wrong', 'rpc.health')).status,
  ]).toEqual([401, 401, 401, 401])
  expect([await get('/stream', 'wrong'), (await callWith(admin, 'wrong', 'rpc.health')).status]).toEqual([
    429, 429,
  ])
  expect(await failures(router)).toEqual({
    'http scope': 1,
    'sse scope': 1,
    'rpc scope': 3,
    'sse token': 1,
    'http token': 2,
    'rpc token': 1,
    'sse rate': 1,
    'rpc rate': 1,
  })
})

test('forbidden calls over both kinds of sockets are counted', async () => {
  const router = await listening({ approval: { other_person: true } })
  const { call, directory } = router
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  const [end, named] = [join(directory, 'end'), join(directory, 'socket')]
  execFileSync('mkfifo', [end])
  const argv = [
    '/bin/sh',
    '-c',
    `cat > /dev/null; echo "$SIGNALBOX_SOCKET" > new; mv new "${named}"; exec cat "${end}"`,
  ]
  await call('bot.put', { bot: { id: 'c', endpoint: { kind: 'command', argv, cwd: directory } } })
  await call('trigger.put', { trigger: { id: 'c', filter: { type: ['c'] }, action: { bot_id: 'c' } } })
  await call('trigger.put', {
    trigger: { id: 'asks', filter: { type: ['asks'] }, action: { bot_id: 'c' }, policy: { approval: {} } },
  })
  await call('event.emit', { source_id: 's', type: 'c', payload: {} })
  await until(async () => existsSync(named))
  const client = await SignalboxClient.connect(readFileSync(named, 'utf8').trim())
  onTestFinished(() => client.close())
  await expect(client.call('router.pause', {})).rejects.toMatchObject({ code: -32015 })
  writeFileSync(end, '')
  const { runs } = await call('event.emit', { source_id: 's', type: 'asks', payload: {} })
  const run_id = runs[0]!
  await until(async () => (await call('run.get', { run_id })).run.state === 'awaiting_approval')
  await expect(call('run.approve', { run_id })).rejects.toMatchObject({ code: -32015 })
  // What fails for another reason is no refusal.
  await expect(call('run.approve', { run_id: '01900000-0000-7000-8000-000000000000' })).rejects.toMatchObject(
    { code: -32002 },
  )
  expect(await failures(router)).toEqual({ 'command scope': 1, 'socket scope': 1 })
})
