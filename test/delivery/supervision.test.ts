// Asking before a run starts or is touched, pauses, limits of time, queues as people see them.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { SignalboxClient, type Policy, type Run, type TriggerInput } from '../../src/client/client.ts'
import { readConfig } from '../../src/config.ts'
import { startRouter } from '../../src/main.ts'
import { botServer } from '../support/bot-server.ts'
import { ended, freshDirectory, freshRouter, quiet, until, type TestRouter } from '../support/router.ts'

const yes = { kind: 'command' as const, argv: ['/bin/true'] }
const sleeps = { kind: 'command' as const, argv: ['/bin/sleep', '60'] }
const answer = (approve: boolean, reason?: string): { kind: 'command'; argv: string[] } => ({
  kind: 'command',
  argv: ['/bin/sh', '-c', `cat > /dev/null; echo '${JSON.stringify({ approve, reason })}'`],
})

interface Supervised extends TestRouter {
  emit: (payload?: object) => Promise<string>
  run: (run_id: string) => Promise<Run>
  put: (policy: Policy, action?: TriggerInput['action']) => Promise<unknown>
}

async function supervised(
  policy: Policy,
  more: { bot?: object; flags?: Record<string, unknown>; approver?: object } = {},
): Promise<Supervised> {
  const router = await freshRouter(more.flags)
  const { call } = router
  await call('source.put', { source: { id: 'jobs', source_type: 'service' } })
  await call('bot.put', { bot: { id: 'a', endpoint: yes, ...more.bot } })
  if (more.approver !== undefined)
    await call('bot.put', { bot: { id: 'approver', endpoint: more.approver as typeof yes } })
  const put: Supervised['put'] = (wanted, action = { bot_id: 'a' }) =>
    call('trigger.put', {
      trigger: { id: 't', event_source_id: 'jobs', filter: { type: ['t'] }, action, policy: wanted },
    })
  await put(policy)
  return {
    ...router,
    put,
    emit: async (payload = {}) =>
      (await call('event.emit', { source_id: 'jobs', type: 't', payload })).runs[0]!,
    run: async run_id => (await call('run.get', { run_id })).run,
  }
}

const moves = async ({ call }: TestRouter, run_id: string): Promise<string[]> =>
  (await call('run.history', { run_id })).history.map(each => each.move)

describe('approval by people', () => {
  test('a run waits for approval, which binds to it and to the version that made it', async () => {
    const router = await supervised({ approval: {} })
    const [one, two] = [await router.emit(), await router.emit()]
    await until(async () => (await router.run(two)).state === 'awaiting_approval')
    expect((await router.run(one)).waiting_for).toContain('waiting for approval')
    await expect(router.call('run.approve', { run_id: one, trigger_version: 2 })).rejects.toMatchObject({
      code: -32009,
    })
    await router.call('run.approve', { run_id: one, trigger_version: 1, reason: 'fine' })
    expect(await ended(router, one)).toMatchObject({ state: 'completed' })
    expect(await router.run(two)).toMatchObject({ state: 'awaiting_approval' })
    await expect(router.call('run.approve', { run_id: one })).rejects.toMatchObject({ code: -32013 })
    await router.call('run.deny', { run_id: two, reason: 'no' })
    expect(await router.run(two)).toMatchObject({
      state: 'held',
      denials: 1,
      waiting_for: 'held: denied: no',
    })
    await router.call('run.release', { run_id: two })
    expect(await ended(router, two)).toMatchObject({ state: 'completed' })
  })

  test('a denial is asked again after its cooldown, and pauses the queue where that is wanted', async () => {
    const router = await supervised({
      approval: { max_denials: 2, cooldown_ms: 50, on_denied: 'pause_queue' },
    })
    const id = await router.emit()
    const asked = (): Promise<unknown> =>
      until(async () => (await router.run(id)).state === 'awaiting_approval')
    await asked()
    await router.call('run.deny', { run_id: id, reason: 'not now' })
    await asked()
    await router.call('run.deny', { run_id: id, reason: 'never' })
    expect(await router.run(id)).toMatchObject({ state: 'held', denials: 2 })
    const { queue } = await router.call('queue.get', { queue_id: 'a' })
    expect(queue).toMatchObject({ paused: true, paused_reason: expect.stringContaining('never') })
    expect(await moves(router, id)).toEqual(['create', 'ask', 'deny_for_now', 'ask', 'deny'])
  })
})

describe('approval by a bot', () => {
  test('a yes starts it; a no, an error, nonsense and silence hold it', async () => {
    const ask = async (approver: object): Promise<Run> => {
      const router = await supervised({}, { approver })
      await router.put({ approval: { bot_id: 'approver', timeout_ms: 1000 } })
      const id = await router.emit()
      return until(async () => {
        const run = await router.run(id)
        return ['completed', 'held'].includes(run.state) && run
      })
    }
    expect(await ask(answer(true, 'fine'))).toMatchObject({ state: 'completed' })
    expect(await ask(answer(false, 'too late'))).toMatchObject({ state: 'held', error: 'denied: too late' })
    expect(await ask({ kind: 'command', argv: ['/bin/false'] })).toMatchObject({
      state: 'held',
      error: expect.stringContaining('could not be asked'),
    })
    expect(await ask({ kind: 'command', argv: ['/bin/echo', 'sure'] })).toMatchObject({
      state: 'held',
      error: expect.stringContaining('did not answer {"approve"'),
    })
    expect(await ask(sleeps)).toMatchObject({
      state: 'held',
      error: expect.stringMatching(/no answer in time|after 1000 ms/),
    })
  })

  test('it is told the question and the run, under an id of its own, also of a run without a bot', async () => {
    const asked: Record<string, unknown>[] = []
    const ids: unknown[] = []
    const server = await botServer(({ body, headers }, response) => {
      asked.push(JSON.parse(body) as Record<string, unknown>)
      ids.push(headers['webhook-id'])
      response.setHeader('content-type', 'application/json')
      response.end('{"approve": true}')
    })
    const router = await supervised({}, { approver: { kind: 'http', url: server.url } })
    await router.put({ approval: { bot_id: 'approver' } }, { capabilities: ['x'] })
    await router.call('bot.put', { bot: { id: 'b', endpoint: yes, capabilities: ['x'] } })
    const id = await router.emit()
    await server.nth(1)
    expect(asked[0]).toMatchObject({ question: 'start', run: { id, bot_id: null }, inputs: {} })
    expect(ids[0]).not.toBe(id)
    expect(await ended(router, id)).toMatchObject({ state: 'completed' })
    expect(asked).toHaveLength(1)
  })

  test('an answer to an earlier question decides no later one', async () => {
    const answers: (() => void)[] = []
    const server = await botServer((_request, response) => {
      response.setHeader('content-type', 'application/json')
      answers.push(() =>
        response.end(JSON.stringify({ approve: answers.length === 1, reason: 'the second' })),
      )
    })
    const router = await supervised({}, { approver: { kind: 'http', url: server.url } })
    await router.put({ approval: { bot_id: 'approver' } })
    const id = await router.emit()
    await server.nth(1)
    await router.call('run.hold', { run_id: id })
    await router.call('run.release', { run_id: id })
    await server.nth(2)
    const [first, second] = [answers[0]!, answers[1]!]
    answers.length = 1
    first()
    await until(async () => (await router.call('router.status', {})).pid > 0)
    answers.length = 2
    second()
    await until(async () => (await router.run(id)).state === 'held')
    expect((await router.run(id)).error).toBe('denied: the second')
  })

  test('before a cancel and a pause, by a command that is not taken for the run itself', async () => {
    const router = await supervised(
      {},
      { approver: answer(false, 'it is nearly done'), bot: { endpoint: sleeps } },
    )
    await router.put({ approval: { bot_id: 'approver', questions: ['cancel', 'pause'] } })
    const id = await router.emit()
    await until(async () => (await router.run(id)).state === 'running')
    for (const method of ['run.cancel', 'run.pause'] as const)
      await expect(router.call(method, { run_id: id })).rejects.toMatchObject({
        code: -32009,
        message: expect.stringContaining('it is nearly done'),
      })
    expect(await router.run(id)).toMatchObject({ state: 'running' })
    const { history } = await router.call('run.history', { run_id: id })
    expect(history.slice(-2).map(each => [each.move, each.reason])).toEqual([
      ['refuse', 'to cancel: it is nearly done'],
      ['refuse', 'to pause: it is nearly done'],
    ])
    await router.call('bot.put', { bot: { id: 'approver', endpoint: answer(true) } })
    await router.call('run.cancel', { run_id: id })
    expect(await ended(router, id)).toMatchObject({ state: 'cancelled' })
  })

  test('is asked again by the next process when the one that asked is gone', async () => {
    const directory = freshDirectory()
    const server = await botServer((_request, response, count) => {
      if (count === 1) return
      response.setHeader('content-type', 'application/json')
      response.end('{"approve": true}')
    })
    const config = readConfig(
      { HOME: directory },
      { state_dir: directory, socket: join(directory, 'rpc.sock'), ...quiet, shutdown_grace_ms: 200 },
    )
    const options = { env: { HOME: directory }, onFatal: (message: string) => expect.fail(message) }
    const first = await startRouter(config, options)
    const client = await SignalboxClient.connect(first.socket)
    await client.call('source.put', { source: { id: 'jobs', source_type: 'service' } })
    await client.call('bot.put', { bot: { id: 'a', endpoint: yes } })
    await client.call('bot.put', { bot: { id: 'approver', endpoint: { kind: 'http', url: server.url } } })
    await client.call('trigger.put', {
      trigger: {
        id: 't',
        event_source_id: 'jobs',
        filter: { type: ['t'] },
        action: { bot_id: 'a' },
        policy: { approval: { bot_id: 'approver' } },
      },
    })
    const id = (await client.call('event.emit', { source_id: 'jobs', type: 't', payload: {} })).runs[0]!
    await server.nth(1)
    client.close()
    await first.stop()
    const second = await startRouter(config, options)
    onTestFinished(() => second.stop())
    const again = await SignalboxClient.connect(second.socket)
    onTestFinished(() => again.close())
    await until(async () => (await again.call('run.get', { run_id: id })).run.state === 'completed')
  })
})

describe('pausing', () => {
  test('a command stands still with its whole group and goes on; its time stands still too', async () => {
    const router = await supervised(
      { timeout_ms: 60_000 },
      {
        bot: {
          endpoint: { kind: 'command', argv: ['/bin/sh', '-c', 'echo $$ > "$HOME/pid"; sleep 60 & wait'] },
        },
      },
    )
    const id = await router.emit()
    const file = join(router.directory, 'pid')
    // The shell makes the file before it writes to it.
    const pid = await until(
      async () => existsSync(file) && /^\d+(?=\n)/.exec(readFileSync(file, 'utf8'))?.[0],
    )
    const standing = (): string => /^State:\s+(\w)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]!
    expect((await router.call('run.pause', { run_id: id })).run.state).toBe('paused')
    await until(async () => standing() === 'T')
    expect((await router.call('run.resume', { run_id: id })).run.state).toBe('running')
    await until(async () => standing() !== 'T')
    await router.call('run.pause', { run_id: id })
    await router.call('run.cancel', { run_id: id })
    expect(await ended(router, id)).toMatchObject({ state: 'cancelled' })
    expect(await moves(router, id)).toEqual([
      'create',
      'dispatch',
      'pause',
      'resume',
      'pause',
      'request_cancel',
      'acknowledge_cancel',
    ])
  })

  test('a worker is asked with its next heartbeat, and says when it has; what cannot be paused says so', async () => {
    const router = await supervised({}, { bot: { endpoint: { kind: 'pull' } } })
    const id = await router.emit()
    const [lease] = (await router.call('run.claim', { bot_id: 'a', wait_ms: 5000 })).leases
    const own = { run_id: id, lease_token: lease!.lease_token }
    await router.call('run.start', own)
    expect((await router.call('run.pause', { run_id: id })).run).toMatchObject({
      state: 'running',
      pause_requested: true,
    })
    expect(await router.call('run.heartbeat', own)).toMatchObject({ pause_requested: true })
    await router.call('run.heartbeat', { ...own, paused: true })
    expect(await router.run(id)).toMatchObject({ state: 'paused' })
    await router.call('run.resume', { run_id: id })
    expect(await router.call('run.heartbeat', own)).toMatchObject({ pause_requested: false })
    await router.call('run.heartbeat', { ...own, paused: false })
    expect((await router.call('run.complete', own)).run.state).toBe('completed')
    const http = await supervised(
      {},
      { bot: { endpoint: { kind: 'http', url: (await botServer(() => undefined)).url } } },
    )
    const running = await http.emit()
    await until(async () => (await http.run(running)).state === 'running')
    await expect(http.call('run.pause', { run_id: running })).rejects.toMatchObject({
      code: -32013,
      message: expect.stringContaining('cancel run'),
    })
  })

  test('what a person has stopped is not begun again by a restart or a new limit', async () => {
    const directory = freshDirectory()
    const config = readConfig(
      { HOME: directory },
      { state_dir: directory, socket: join(directory, 'rpc.sock'), ...quiet },
    )
    const options = { env: { HOME: directory }, onFatal: (message: string) => expect.fail(message) }
    const first = await startRouter(config, options)
    const client = await SignalboxClient.connect(first.socket)
    await client.call('source.put', { source: { id: 'jobs', source_type: 'service' } })
    await client.call('bot.put', { bot: { id: 'a', endpoint: sleeps } })
    await client.call('trigger.put', {
      trigger: { id: 't', event_source_id: 'jobs', filter: { type: ['t'] }, action: { bot_id: 'a' } },
    })
    const id = (await client.call('event.emit', { source_id: 'jobs', type: 't', payload: {} })).runs[0]!
    await until(async () => (await client.call('run.get', { run_id: id })).run.state === 'running')
    await until(() =>
      client.call('run.pause', { run_id: id }).then(
        () => true,
        () => false,
      ),
    )
    await client.call('queue.pause', { queue_id: 'a', reason: 'moved' })
    expect((await client.call('queue.put', { queue: { id: 'a', max_active: 2 } })).queue).toMatchObject({
      paused: true,
      paused_reason: 'moved',
      max_active: 2,
    })
    expect((await client.call('queue.put', { queue: { id: 'a', paused: false } })).queue.paused).toBe(false)
    client.close()
    await first.stop()
    const second = await startRouter(config, options)
    onTestFinished(() => second.stop())
    const again = await SignalboxClient.connect(second.socket)
    onTestFinished(() => again.close())
    expect((await again.call('run.get', { run_id: id })).run).toMatchObject({
      state: 'held',
      error: expect.stringContaining('it was paused'),
    })
  })

  test('the router as a whole, over a restart; events are logged meanwhile', async () => {
    const router = await supervised({})
    await router.call('router.pause', { reason: 'the disks' })
    const id = await router.emit()
    expect(await router.run(id)).toMatchObject({
      state: 'pending',
      waiting_for: 'the router is paused: the disks',
    })
    expect((await router.call('router.status', {})).paused).toBe('the disks')
    await router.call('router.resume', {})
    expect(await ended(router, id)).toMatchObject({ state: 'completed' })
  })
})

describe('limits of time', () => {
  test('end a run with their name, whoever does or does not ask for it', async () => {
    const old = await supervised({ max_age_ms: 200 }, { bot: { enabled: false } })
    expect(await ended(old, await old.emit())).toMatchObject({
      state: 'cancelled',
      error: 'max_age_ms is over',
    })
    for (const name of ['timeout_ms', 'idle_timeout_ms'] as const) {
      const router = await supervised({ [name]: 300 }, { bot: { endpoint: { kind: 'pull' } } })
      const id = await router.emit()
      const [lease] = (await router.call('run.claim', { bot_id: 'a', wait_ms: 5000 })).leases
      const own = { run_id: id, lease_token: lease!.lease_token }
      await router.call('run.start', own)
      expect(await ended(router, id)).toMatchObject({ state: 'timed_out', error: `${name} is over` })
      await expect(router.call('run.complete', own)).rejects.toMatchObject({ code: -32003 })
    }
  })

  test('a worker that does not start loses the run, and its bot has room again', async () => {
    const router = await supervised(
      { start_timeout_ms: 200 },
      { bot: { endpoint: { kind: 'pull' }, max_active: 1 } },
    )
    const id = await router.emit()
    await router.call('run.claim', { bot_id: 'a', wait_ms: 5000 })
    const [again] = (await router.call('run.claim', { bot_id: 'a', wait_ms: 10_000 })).leases
    expect(again).toMatchObject({ run_id: id })
    expect(await router.run(id)).toMatchObject({ attempt: 0 })
  })
})

describe('flow, from outside', () => {
  test('what a gate made of an event is in the answer, in the log and explained', async () => {
    const router = await supervised({
      rate_limit: { limit: 1, period_ms: 60_000, key: '{{ payload.repo }}' },
    })
    const emit = (repo: string): ReturnType<typeof router.call<'event.emit'>> =>
      router.call('event.emit', { source_id: 'jobs', type: 't', payload: { repo } })
    const [one, two, other] = [await emit('a'), await emit('a'), await emit('b')]
    expect([one, two, other].map(each => each.decisions![0]!.outcome)).toEqual([
      'routed',
      'rate_limited',
      'routed',
    ])
    expect(one.decisions![0]!.run_id).toBe(one.runs[0])
    expect(two).toMatchObject({ matched_triggers: ['t'], runs: [] })
    const { decisions } = await router.call('event.explain', { event_id: two.event_id })
    expect(decisions[0]!.gates.at(-1)).toMatchObject({ gate: 'rate_limit', verdict: 'stop' })
  })

  test('a batch goes to its bot as a list, and an order that stands still is listed and skipped', async () => {
    const server = await botServer()
    const router = await supervised(
      { batch: { max: 2, timeout_ms: 60_000 } },
      { bot: { endpoint: { kind: 'http', url: server.url } } },
    )
    const id = await router.emit({ n: 1 })
    await router.emit({ n: 2 })
    expect(await ended(router, id)).toMatchObject({ events: 2 })
    const body = JSON.parse(server.received[0]!.body) as { events: { payload: unknown }[] }
    expect(body.events.map(event => event.payload)).toEqual([{ n: 1 }, { n: 2 }])

    const ordered = await supervised(
      { order_key: '{{ payload.repo }}', retry: 'none' },
      {
        bot: {
          endpoint: { kind: 'command', argv: ['/bin/sh', '-c', 'grep -q \'"n":1\' && exit 1; exit 0'] },
        },
      },
    )
    const [stuck, behind] = [await ordered.emit({ repo: 'a', n: 1 }), await ordered.emit({ repo: 'a', n: 2 })]
    const free = await ordered.emit({ repo: 'b', n: 2 })
    await Promise.all([ended(ordered, stuck), ended(ordered, free)])
    expect((await ordered.run(behind)).waiting_for).toContain('an earlier run with the same order_key')
    const { queue } = await ordered.call('queue.get', { queue_id: 'a' })
    expect(queue.stuck).toMatchObject([{ order_key: 'a', run_id: stuck, waiting: 1 }])
    await ordered.call('queue.skip', { queue_id: 'a', order_key: 'a' })
    expect(await ended(ordered, behind)).toMatchObject({ state: 'completed' })
  })

  test.each<[string, Policy, TriggerInput['action'], string]>([
    ['neither bot nor capabilities', {}, {}, 'found neither'],
    ['both', {}, { bot_id: 'a', capabilities: ['x'] }, 'found both'],
    ['an owner of a named bot', {}, { bot_id: 'a', owner: 'me' }, 'owner'],
    [
      'a key that is more than a path',
      { concurrency: { limit: 1, key: '{{ $sum(payload.n) }}' } },
      { bot_id: 'a' },
      'plain paths only',
    ],
    [
      'debounce and batch',
      { debounce: { period_ms: 1 }, batch: { max: 2, timeout_ms: 1 } },
      { bot_id: 'a' },
      'must not be given with debounce',
    ],
    [
      'a wait that ends before it begins',
      { debounce: { period_ms: 10, max_wait_ms: 5 } },
      { bot_id: 'a' },
      'must be at least period_ms (10); found 5',
    ],
    [
      'a trigger that is not there',
      { depends_on: ['nobody'] },
      { bot_id: 'a' },
      'must be the id of a stored trigger; found "nobody"',
    ],
    ['itself', { depends_on: ['t'] }, { bot_id: 'a' }, 'must not lead back to the trigger; found t -> t'],
    [
      'an approver that is not there',
      { approval: { bot_id: 'nobody' } },
      { bot_id: 'a' },
      'must be the id of a stored bot; found "nobody"',
    ],
    [
      'an approver that asks itself',
      { approval: { bot_id: 'puller' } },
      { bot_id: 'a' },
      'must be a bot that can be asked',
    ],
    [
      'people asked about what people do',
      { approval: { questions: ['cancel'] } },
      { bot_id: 'a' },
      'must be start only',
    ],
    ['an order of no queue', { order_key: 'x' }, { capabilities: ['x'] }, 'policy.queue is required'],
    [
      'a queue that is not there',
      { queue: 'typo' },
      { bot_id: 'a' },
      'must be the id of a stored queue; found "typo"',
    ],
    ['an age that no run can have', { delay_ms: 10, max_age_ms: 5 }, { bot_id: 'a' }, 'too old'],
    [
      'a burst beyond the limit',
      { throttle: { limit: 1, period_ms: 1, burst: 2 } },
      { bot_id: 'a' },
      'must be at most limit (1); found 2',
    ],
    [
      'what becomes of the dead of no order',
      { on_dead: 'continue' },
      { bot_id: 'a' },
      'must be given with order_key only',
    ],
  ])('%s is refused, with the path and the reason', async (_title, policy, action, words) => {
    const router = await supervised({})
    await router.call('bot.put', { bot: { id: 'puller', endpoint: { kind: 'pull' } } })
    await expect(router.put(policy, action)).rejects.toMatchObject({
      code: -32602,
      message: expect.stringContaining(words),
    })
  })

  test('a circle through other triggers is told', async () => {
    const router = await supervised({})
    const trigger = (id: string, depends_on: string[]): Promise<unknown> =>
      router.call('trigger.put', {
        trigger: { id, filter: { type: ['t'] }, action: { bot_id: 'a' }, policy: { depends_on } },
      })
    await trigger('b', ['t'])
    await trigger('c', ['b'])
    await expect(router.put({ depends_on: ['c'] })).rejects.toMatchObject({
      message: expect.stringContaining('t -> c -> b -> t'),
    })
  })
})

describe('many at once', () => {
  test('dead letters by selection: first the plan, then in earnest; and counts', async () => {
    const router = await supervised(
      { retry: 'none', budget: { runs: 100, period: 'day' } },
      {
        // What a command printed last is in the error of its run, and makes no group of its own.
        bot: { endpoint: { kind: 'command', argv: ['/bin/sh', '-c', 'echo $SIGNALBOX_RUN_ID; exit 1'] } },
      },
    )
    const runs = [await router.emit(), await router.emit(), await router.emit()]
    await Promise.all(runs.map(id => ended(router, id)))
    const plan = await router.call('run.retry_dead', { trigger_id: 't' })
    expect(plan).toEqual({
      dry_run: true,
      runs: 3,
      groups: [{ trigger_id: 't', bot_id: 'a', error: 'exit code 1', runs: 3 }],
      more: false,
    })
    await router.call('bot.put', { bot: { id: 'a', endpoint: yes } })
    expect(await router.call('run.retry_dead', { error: 'code 1', dry_run: false, limit: 2 })).toMatchObject({
      runs: 2,
      more: true,
    })
    await until(
      async () =>
        (await Promise.all(runs.map(router.run))).filter(run => run.state === 'completed').length === 2,
    )
    expect(await router.call('run.discard_dead', { error: 'another', dry_run: false })).toMatchObject({
      runs: 0,
    })
    expect(
      await router.call('run.discard_dead', { queue: 'a', dry_run: false, reason: 'old' }),
    ).toMatchObject({ runs: 1, more: false })
    const stats = await router.call('router.stats', {})
    expect(stats.runs).toBe(3)
    for (const list of [stats.queues, stats.bots, stats.triggers])
      expect(list).toMatchObject([{ waiting: 0, active: 0, dead: 0, done: 2, failed: 1 }])
    expect(stats.triggers[0]).toMatchObject({
      id: 't',
      budgets: [{ per: 'trigger', figure: 'runs', used: 5, limit: 100, period_ms: 86_400_000 }],
    })
    expect(stats.bots[0]!.start!.p95_ms).toBeGreaterThanOrEqual(stats.bots[0]!.start!.average_ms)
  })
})
