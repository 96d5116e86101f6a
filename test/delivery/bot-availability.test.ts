// Availability of bots: which bot gets a run that names capabilities, sleeping and drained bots, and what they may use.
import { describe, expect, test } from 'vitest'
import type { BotInput, Policy, Run } from '../../src/client/client.ts'
import { afterChoice, ranked, type Standing } from '../../src/delivery/assignment.ts'
import { ToolRules } from '../../src/tools.ts'
import { botServer } from '../support/bot-server.ts'
import { ended, freshRouter, until, type TestRouter } from '../support/router.ts'

const yes = { kind: 'command' as const, argv: ['/bin/true'] }
const slow = { kind: 'command' as const, argv: ['/bin/sleep', '60'] }

interface BotAvailability extends TestRouter {
  bot: (id: string, more: Partial<BotInput>) => Promise<unknown>
  emit: (type: string) => Promise<string>
  run: (run_id: string) => Promise<Run>
}

/** A router with a trigger for each event type: of type x whoever can x. */
async function availabilities(policy: Policy = {}): Promise<BotAvailability> {
  const router = await freshRouter({}, {})
  const { call } = router
  await call('source.put', { source: { id: 'jobs', source_type: 'service' } })
  for (const id of ['x', 'y'])
    await call('trigger.put', {
      trigger: {
        id,
        event_source_id: 'jobs',
        filter: { type: [id] },
        action: { capabilities: [id], allowed_tools: ['git', 'make', 'bash'] },
        policy,
      },
    })
  return {
    ...router,
    bot: (id, more) => call('bot.put', { bot: { id, endpoint: yes, ...more } }),
    emit: async type => (await call('event.emit', { source_id: 'jobs', type, payload: {} })).runs[0]!,
    run: async run_id => (await call('run.get', { run_id })).run,
  }
}

describe('the score', () => {
  const standing = (
    id: string,
    more: Partial<Standing> & { capabilities?: string[]; owner?: string } = {},
  ): Standing => {
    const { capabilities = ['x'], owner, ...rest } = more
    return {
      bot: { id, capabilities, max_active: 4, ...(owner === undefined ? {} : { owner }) },
      availability: 'ready',
      active: 0,
      room: 4,
      ...rest,
    }
  }
  const order = (
    bots: Standing[],
    need: { capabilities: string[]; owner?: string } = { capabilities: ['x'] },
  ): string[] => ranked(need, bots).map(each => each.candidate.bot_id)

  test('is capability match x availability, ties to the least loaded, and an owner filter', () => {
    expect(
      order([
        standing('many', { capabilities: ['x', 'y', 'z'] }),
        standing('one'),
        standing('none', { capabilities: ['y'] }),
      ]),
    ).toEqual(['one', 'many'])
    expect(
      order([
        standing('asleep', { availability: 'sleeping' }),
        standing('busy', { availability: 'busy' }),
        standing('ready'),
        standing('ill', { availability: 'degraded' }),
      ]),
    ).toEqual(['ready', 'asleep', 'busy'])
    expect(
      order([
        standing('b', { active: 2 }),
        standing('c', { active: 1 }),
        standing('a', { active: 2 }),
        standing('full', { room: 0 }),
      ]),
    ).toEqual(['c', 'a', 'b'])
    const owned = [standing('mine', { owner: 'me' }), standing('yours', { owner: 'you' }), standing('ours')]
    expect(order(owned, { capabilities: ['x'], owner: 'me' })).toEqual(['mine', 'ours'])
    expect(order(owned)).toEqual(['mine', 'ours', 'yours'])
    expect(
      ranked({ capabilities: ['x'] }, [
        standing('many', { capabilities: ['x', 'y'], availability: 'sleeping' }),
      ])[0]!.candidate,
    ).toEqual({
      bot_id: 'many',
      score: 0.4,
      capability: 0.5,
      availability: 0.8,
      active: 0,
    })
  })

  test('after each choice the order is what sorting anew would give', () => {
    let found = ranked(
      { capabilities: ['x'] },
      ['a', 'b', 'c', 'd'].map((id, index) =>
        standing(id, { active: index % 2, room: 4 - index, capabilities: index === 3 ? ['x', 'y'] : ['x'] }),
      ),
    )
    while (found.length > 0) {
      found = afterChoice({ capabilities: ['x'] }, found)
      const anew = ranked(
        { capabilities: ['x'] },
        found.map(each => each.standing),
      )
      expect(found).toEqual(anew)
    }
  })
})

describe('a run that names capabilities', () => {
  test('waits visibly, goes as soon as a bot offers them, and keeps candidates, scores and the choice', async () => {
    const { emit, run, bot, call, ...router } = await availabilities()
    const id = await emit('x')
    expect(await run(id)).toMatchObject({
      bot_id: null,
      queue: null,
      state: 'pending',
      waiting_for: 'held: no bot offers [x]',
    })
    await bot('other', { capabilities: ['y'] })
    await bot('many', { capabilities: ['x', 'y'], enabled: false })
    await until(
      async () => (await run(id)).waiting_for === 'no bot that offers [x] takes it now: many is disabled',
    )
    await bot('one', { capabilities: ['x'] })
    const done = await ended({ ...router, call }, id)
    expect(done).toMatchObject({
      state: 'completed',
      bot_id: 'one',
      queue: 'one',
      allowed_tools: ['git', 'make'],
    })
    expect(done.assignment).toMatchObject({
      capabilities: ['x'],
      chosen: 'one',
      considered: 1,
      priority: 0.5,
      candidates: [{ bot_id: 'one', score: 0.5 }],
    })
  })

  test('a bot has no more than it may, however many needs it meets; an open queue and a resumed one are seen', async () => {
    const { emit, bot, call, run } = await availabilities()
    await bot('a', { capabilities: ['x', 'y'], max_active: 1, endpoint: slow })
    await call('router.pause', {})
    const runs = [await emit('x'), await emit('y'), await emit('x')]
    await call('router.resume', {})
    await until(async () => (await call('bot.get', { bot_id: 'a' })).bot.active === 1)
    expect((await Promise.all(runs.map(run))).filter(each => each.state === 'running')).toHaveLength(1)
    await call('bot.drain', { bot_id: 'a' })
    await bot('b', { capabilities: ['x', 'y'] })
    await until(
      async () => (await Promise.all(runs.map(run))).filter(each => each.state === 'completed').length === 2,
    )
    await call('queue.pause', { queue_id: 'b' })
    const last = await emit('x')
    expect((await run(last)).waiting_for).toMatch(/a is drained, b is one whose queue is paused/)
    await call('queue.resume', { queue_id: 'b' })
    await until(async () => (await run(last)).state === 'completed')
  })

  test('a worker gets what it offers, not when it is worse or says that it is degraded; its claim takes nothing from others', async () => {
    const { emit, bot, call, run } = await availabilities()
    await bot('worker', { endpoint: { kind: 'pull' }, capabilities: ['x'] })
    const waiting = call('run.claim', { bot_id: 'worker', wait_ms: 20_000 })
    const id = await emit('x')
    const [lease] = (await waiting).leases
    expect(lease).toMatchObject({ run_id: id, delivery: { allowed_tools: ['git', 'make'] } })
    expect(await run(id)).toMatchObject({
      bot_id: 'worker',
      queue: 'worker',
      assignment: { chosen: 'worker' },
    })
    await call('run.yield', { run_id: id, lease_token: lease!.lease_token })
    expect(await run(id)).toMatchObject({ bot_id: null, queue: null })
    await call('bot.heartbeat', { bot_id: 'worker', availability: 'degraded', reason: 'hot' })
    expect((await call('run.claim', { bot_id: 'worker' })).leases).toEqual([])
    expect((await call('run.claim', { bot_id: 'worker', capabilities: ['z'] })).leases).toEqual([])
    await bot('better', { capabilities: ['x'] })
    await until(async () => (await run(id)).state === 'completed')
  })

  test('a breaker that is half open lets one through', async () => {
    const answers: (() => void)[] = []
    const server = await botServer((_request, response, count) => {
      if (count <= 10) response.writeHead(500).end()
      else answers.push(() => response.end('{}'))
    })
    const router = await freshRouter({ breaker_open_ms: 300, retry_schedule_ms: [0] })
    const { call } = router
    await call('source.put', { source: { id: 'jobs', source_type: 'service' } })
    await call('bot.put', {
      bot: { id: 'a', endpoint: { kind: 'http', url: server.url }, capabilities: ['x'], max_active: 5 },
    })
    await call('trigger.put', {
      trigger: { id: 'x', event_source_id: 'jobs', filter: { type: ['x'] }, action: { capabilities: ['x'] } },
    })
    for (let count = 0; count < 16; count++)
      await call('event.emit', { source_id: 'jobs', type: 'x', payload: {} })
    await server.nth(11)
    await call('router.status', {})
    expect(answers).toHaveLength(1)
    answers[0]!()
    await until(async () => answers.length >= 2)
    for (;;) {
      for (const answer of answers.splice(0)) answer()
      if ((await call('run.list', { state: 'completed' })).runs.length === 6) break
    }
  })
})

describe('a sleeper', () => {
  test('is woken when there is a run for it, and not before; then it is ready', async () => {
    const wake = await botServer()
    const { emit, bot, call, run } = await availabilities()
    await bot('a', { capabilities: ['x'], availability: 'sleeping', wake: { kind: 'http', url: wake.url } })
    await call('bot.heartbeat', { bot_id: 'a', availability: 'sleeping' })
    expect((await call('bot.get', { bot_id: 'a' })).bot).toMatchObject({ availability: 'sleeping' })
    expect(wake.received).toHaveLength(0)
    const id = await emit('x')
    await until(async () => (await run(id)).state === 'completed')
    expect(JSON.parse(wake.received[0]!.body)).toEqual({ wake: { bot_id: 'a' } })
    expect(wake.received).toHaveLength(1)
    expect((await call('bot.get', { bot_id: 'a' })).bot).toMatchObject({ availability: 'ready' })
  })

  test('that cannot be woken is degraded for a while: its runs go to others, and a word of its own ends that', async () => {
    const wake = await botServer((_request, response) => void response.writeHead(500).end())
    const { emit, bot, call, run } = await availabilities()
    await bot('a', { capabilities: ['x'], availability: 'sleeping', wake: { kind: 'http', url: wake.url } })
    const id = await emit('x')
    await until(async () => (await call('bot.get', { bot_id: 'a' })).bot.availability === 'degraded')
    expect((await call('bot.get', { bot_id: 'a' })).bot.availability_reason).toContain(
      'it could not be woken',
    )
    expect(await run(id)).toMatchObject({ state: 'pending', bot_id: null })
    await call('bot.heartbeat', { bot_id: 'a', availability: 'ready' })
    await until(async () => (await run(id)).state === 'completed')
    expect(wake.received).toHaveLength(1)
  })

  test('of kind pull is called too', async () => {
    const wake = await botServer()
    const { bot, call, emit } = await availabilities()
    await bot('a', {
      endpoint: { kind: 'pull' },
      capabilities: ['x'],
      availability: 'sleeping',
      wake: { kind: 'http', url: wake.url },
    })
    const id = await emit('x')
    await wake.nth(1)
    expect((await call('run.claim', { bot_id: 'a', wait_ms: 5000 })).leases).toMatchObject([{ run_id: id }])
  })
})

describe('drained', () => {
  test('a bot gets nothing new, ends what it has, and stays so over a heartbeat at the same time and until it is another', async () => {
    const { bot, call, emit, run } = await availabilities()
    await bot('a', { capabilities: ['x'] })
    await Promise.all([
      call('bot.drain', { bot_id: 'a', reason: 'an update' }),
      call('bot.heartbeat', { bot_id: 'a', availability: 'busy' }),
    ])
    expect((await call('bot.get', { bot_id: 'a' })).bot).toMatchObject({
      drained: true,
      drained_reason: 'an update',
      availability: 'busy',
    })
    const id = await emit('x')
    expect((await run(id)).waiting_for).toContain('a is drained')
    await call('bot.undrain', { bot_id: 'a' })
    await until(async () => (await run(id)).state === 'completed')
    await call('bot.drain', { bot_id: 'a' })
    await call('bot.delete', { bot_id: 'a' })
    await bot('a', { capabilities: ['x'] })
    expect((await call('bot.get', { bot_id: 'a' })).bot).toMatchObject({ drained: false })
  })
})

describe('tools', () => {
  test.each([
    [undefined, undefined, [], undefined],
    [undefined, ['git', 'Bash'], ['bash'], ['git']],
    [['git', 'make'], undefined, [], ['git', 'make']],
    [['git', 'make'], ['git'], [], ['git']],
    [['git', 'Bash', 'shell:ls', 'shell(rm)'], undefined, ['bash', 'shell'], ['git']],
    [['net:get'], ['net'], [], ['net:get']],
    [['git'], [], [], []],
  ])('allowed %j, own %j, denied %j: %j', (allowed, own, denied, permitted) => {
    const rules = new ToolRules({ denied_tools: denied, allowed_denied_tools: [] })
    expect(rules.permit(allowed, { id: 'bot', tools: own }).allowed).toEqual(permitted)
  })

  test('what results is stored with the run and sent to the bot; one that is given back has all of it again', async () => {
    const { bot, call, emit, run } = await availabilities()
    await bot('narrow', { endpoint: { kind: 'pull' }, capabilities: ['x'], tools: ['git'] })
    const id = await emit('x')
    const [lease] = (await call('run.claim', { bot_id: 'narrow', wait_ms: 5000 })).leases
    expect(lease!.delivery).toMatchObject({ allowed_tools: ['git'] })
    expect(await run(id)).toMatchObject({ allowed_tools: ['git'] })
    await call('run.yield', { run_id: id, lease_token: lease!.lease_token })
    expect(await run(id)).toMatchObject({ allowed_tools: ['git', 'make'] })
  })
})
