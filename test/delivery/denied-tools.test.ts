// Denied tools from the trigger to the bot: what is delivered, what is removed, and where that shows.
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { defaultDeniedTools, readConfig } from '../../src/config.ts'
import { SignalboxClient, type BotInput, type Methods, type TriggerInput } from '../../src/client/client.ts'
import { startRouter } from '../../src/main.ts'
import { botServer } from '../support/bot-server.ts'
import { signalbox } from '../support/command-line.ts'
import { ended, freshRouter, quiet, until, type TestRouter } from '../support/router.ts'
import { rpcService } from '../support/rpc-service.ts'

const web = { tool: 'WebFetch', reason: 'it matches "web" of the denied tools' }
const warned = 'trigger t: tool "WebFetch" is removed from its runs: it matches "web" of the denied tools'
const echo = { kind: 'command' as const, argv: ['/bin/cat'] }
const trigger = (action: TriggerInput['action'], id = 't'): TriggerInput => ({
  id,
  event_source_id: 'jobs',
  filter: { type: [id] },
  action,
})

interface Stage extends TestRouter {
  emit: (type?: string) => Promise<string>
  /** the delivery of a run whose bot echoes it */
  delivered: (type?: string) => Promise<Record<string, unknown>>
}

async function stage(flags: Record<string, unknown> = {}): Promise<Stage> {
  const router = await freshRouter(flags)
  await router.call('source.put', { source: { id: 'jobs', source_type: 'service' } })
  await router.call('bot.put', { bot: { id: 'bot', endpoint: echo } })
  const emit = async (type = 't'): Promise<string> =>
    (await router.call('event.emit', { source_id: 'jobs', type, payload: {} })).runs[0]!
  return {
    ...router,
    emit,
    delivered: async type => (await ended(router, await emit(type))).result as Record<string, unknown>,
  }
}

describe('a delivery has the denied tools', () => {
  const toolsOf = ({
    allowed_tools,
    denied_tools,
    allowed_denied_tools,
  }: Record<string, unknown>): unknown => [allowed_tools, denied_tools, allowed_denied_tools]
  const denied_tools = [...defaultDeniedTools(), 'deploy']
  const expected = [null, denied_tools, ['Bash']]
  const flags = {
    denied_tools: ['deploy'],
    allowed_denied_tools: [
      { bot_id: 'bot', tool: 'Bash' },
      { bot_id: 'other', tool: 'WebFetch' },
    ],
  }

  async function of(endpoint: BotInput['endpoint']): Promise<Stage & { run_id: string }> {
    const staged = await stage(flags)
    await staged.call('bot.put', { bot: { id: 'bot', endpoint } })
    await staged.call('trigger.put', { trigger: trigger({ bot_id: 'bot' }) })
    return { ...staged, run_id: await staged.emit() }
  }

  test('on the standard input of a command', async () => {
    const router = await of(echo)
    expect(toolsOf((await ended(router, router.run_id)).result as Record<string, unknown>)).toEqual(expected)
  })

  test('in the body of a request, and for its template', async () => {
    const server = await botServer()
    await of({ kind: 'http', url: server.url })
    await server.nth(1)
    expect(toolsOf(JSON.parse(server.received[0]!.body) as Record<string, unknown>)).toEqual(expected)
    await of({
      kind: 'http',
      url: server.url,
      body: { denied: '{{ denied_tools }}', but: '{{ allowed_denied_tools }}', only: '{{ allowed_tools }}' },
    })
    await server.nth(2)
    expect(JSON.parse(server.received[1]!.body)).toEqual({ denied: denied_tools, but: ['Bash'], only: null })
  })

  test('in the params of a call', async () => {
    const { socket_path, calls } = await rpcService('newline', ({ id }) =>
      JSON.stringify({ jsonrpc: '2.0', id, result: {} }),
    )
    const router = await of({ kind: 'unix_rpc', socket_path, framing: 'newline', method: 'work' })
    await ended(router, router.run_id)
    expect(toolsOf((calls[0] as { params: Record<string, unknown> }).params)).toEqual(expected)
  })

  test('in the lease of a worker', async () => {
    const router = await of({ kind: 'pull' })
    const [lease] = (await router.call('run.claim', { bot_id: 'bot', wait_ms: 5000 })).leases
    expect(toolsOf(lease!.delivery)).toEqual(expected)
  })

  test('in the question to an approver', async () => {
    const guard = await botServer(
      (_request, response) =>
        void response.setHeader('content-type', 'application/json').end('{"approve": true}'),
    )
    const { call, emit } = await stage(flags)
    await call('bot.put', { bot: { id: 'guard', endpoint: { kind: 'http', url: guard.url } } })
    await call('trigger.put', {
      trigger: { ...trigger({ bot_id: 'bot' }), policy: { approval: { bot_id: 'guard' } } },
    })
    await emit()
    await guard.nth(1)
    expect(toolsOf(JSON.parse(guard.received[0]!.body) as Record<string, unknown>)).toEqual(expected)
  })
})

describe('what is removed', () => {
  test('is in run.get and explain, and not in the delivery', async () => {
    const { call, emit, delivered, ...router } = await stage()
    await call('trigger.put', { trigger: trigger({ bot_id: 'bot', allowed_tools: ['Read', 'WebFetch'] }) })
    expect(await delivered()).toMatchObject({ allowed_tools: ['Read'] })
    const id = await emit()
    const { run } = await call('run.get', { run_id: id })
    expect(run).toMatchObject({ allowed_tools: ['Read'], cut_tools: [web] })
    const { decisions } = await call('event.explain', { event_id: run.event_id })
    expect(decisions).toMatchObject([{ trigger_id: 't', cut_tools: [web] }])
    expect((await signalbox(router, ['explain', 'last'])).out).toContain(
      '− tool "WebFetch" is removed: it matches "web" of the denied tools\n',
    )
  })

  test('cannot be kept by a trigger or a bot', async () => {
    const { call, delivered } = await stage()
    const own = ['Read', 'Bash', 'B\u0430sh', 'WebFetch']
    await call('bot.put', { bot: { id: 'bot', endpoint: echo, tools: own } })
    await call('trigger.put', { trigger: trigger({ bot_id: 'bot', allowed_tools: own }) })
    expect(await delivered()).toMatchObject({ allowed_tools: ['Read'] })
    await call('trigger.put', { trigger: trigger({ bot_id: 'bot' }) })
    expect(await delivered()).toMatchObject({ allowed_tools: ['Read'] })
  })

  test('is nothing where the trigger and the bot list nothing', async () => {
    const { call, emit, delivered } = await stage()
    await call('trigger.put', { trigger: trigger({ bot_id: 'bot' }) })
    expect(await delivered()).toMatchObject({ allowed_tools: null })
    const { run } = await call('run.get', { run_id: await emit() })
    expect([run.allowed_tools, run.cut_tools]).toEqual([undefined, undefined])
  })

  test('depends on the bot that is chosen', async () => {
    const { call, emit, ...router } = await stage({
      allowed_denied_tools: [{ bot_id: 'trusted', tool: 'Bash' }],
    })
    const action = { capabilities: ['x'], allowed_tools: ['Read', 'Bash', 'WebFetch'] }
    await call('trigger.put', { trigger: trigger(action) })
    const first = await emit()
    expect((await call('run.get', { run_id: first })).run).toMatchObject({
      bot_id: null,
      allowed_tools: ['Read', 'Bash'],
      cut_tools: [web],
    })
    await call('bot.put', { bot: { id: 'plain', endpoint: echo, capabilities: ['x'] } })
    const plain = await ended({ ...router, call }, first)
    expect(plain).toMatchObject({
      bot_id: 'plain',
      allowed_tools: ['Read'],
      result: { allowed_tools: ['Read'], allowed_denied_tools: [] },
    })
    expect(plain.cut_tools).toMatchObject([{ tool: 'Bash' }, { tool: 'WebFetch' }])
    await call('bot.drain', { bot_id: 'plain' })
    await call('bot.put', { bot: { id: 'trusted', endpoint: echo, capabilities: ['x'] } })
    const trusted = await ended({ ...router, call }, await emit())
    expect(trusted).toMatchObject({
      bot_id: 'trusted',
      allowed_tools: ['Read', 'Bash'],
      result: { allowed_tools: ['Read', 'Bash'], allowed_denied_tools: ['Bash'] },
    })
  })

  test('from a bot without a list in its trigger is its own list', async () => {
    const { call, emit, ...router } = await stage()
    await call('trigger.put', { trigger: trigger({ capabilities: ['x'] }) })
    await call('bot.put', {
      bot: { id: 'narrow', endpoint: echo, capabilities: ['x'], tools: ['Read', 'WebFetch'] },
    })
    const run = await ended({ ...router, call }, await emit())
    expect(run).toMatchObject({
      allowed_tools: ['Read'],
      cut_tools: [web],
      result: { allowed_tools: ['Read'] },
    })
  })
})

test('a run that waits loses what is denied by then, and regains nothing', async () => {
  const { call, emit, router, client, directory } = await stage({ allowed_denied_tools: [{ tool: 'Bash' }] })
  await call('bot.put', { bot: { id: 'bot', endpoint: echo, enabled: false } })
  await call('trigger.put', {
    trigger: trigger({ bot_id: 'bot', allowed_tools: ['Read', 'Bash', 'WebFetch'] }),
  })
  const run_id = await emit()
  expect((await call('run.get', { run_id })).run).toMatchObject({
    allowed_tools: ['Read', 'Bash'],
    cut_tools: [web],
  })
  client.close()
  await router.stop()
  const flags = {
    state_dir: directory,
    socket: join(directory, 'rpc.sock'),
    ...quiet,
    allowed_denied_tools: [{ tool: 'WebFetch' }],
  }
  const second = await startRouter(readConfig({ HOME: directory }, flags), {
    env: { HOME: directory },
    onFatal: message => expect.fail(message),
  })
  const again = await SignalboxClient.connect(second.socket)
  onTestFinished(async () => {
    again.close()
    await second.stop()
  })
  await again.call('bot.put', { bot: { id: 'bot', endpoint: echo } })
  const run = await until(async () => {
    const found = (await again.call('run.get', { run_id })).run
    return found.state === 'completed' && found
  })
  expect(run).toMatchObject({ allowed_tools: ['Read'], result: { allowed_tools: ['Read'] } })
  expect(run.cut_tools).toEqual([
    { tool: 'Bash', reason: 'it matches "bash" of the denied tools' },
    {
      tool: 'WebFetch',
      reason: 'it was denied when the run was created or claimed; the limits have changed since',
    },
  ])
})

describe('a warning says what is removed', () => {
  const bad = trigger({ bot_id: 'bot', allowed_tools: ['Read', 'WebFetch'] })
  const good = trigger({ bot_id: 'bot', allowed_tools: ['Read'] }, 'good')
  const jobs = { id: 'jobs', source_type: 'service' as const }
  const ways: [string, (call: TestRouter['call']) => Promise<{ warnings?: string[] }>][] = [
    ['trigger.put', call => call('trigger.put', { trigger: bad })],
    ['trigger.put, dry run', call => call('trigger.put', { trigger: bad, dry_run: true })],
    ['event.register', call => call('event.register', { source: jobs, triggers: [good, bad] })],
    ['router.apply', call => call('router.apply', { triggers: [good, bad] })],
    ['router.apply, dry run', call => call('router.apply', { triggers: [good, bad], dry_run: true })],
  ]

  test.each(ways)('%s', async (_name, written) => {
    const { call } = await stage()
    expect((await written(call)).warnings).toEqual([warned])
  })

  test('rolled back to, too; nothing where nothing is removed', async () => {
    const { call } = await stage()
    await call('trigger.put', { trigger: bad })
    expect(await call('trigger.put', { trigger: { ...good, id: 't' } })).not.toHaveProperty('warnings')
    expect((await call('trigger.put', { trigger_id: 't', from_version: 1 })).warnings).toEqual([warned])
  })

  test('of bots, and of bots that come with their triggers', async () => {
    const { call } = await stage()
    const bot = { id: 'bot', endpoint: echo, tools: ['Edit', 'B\u0430sh'] }
    const looksLike = String.raw`bot bot: tool "B\u0430sh" is removed from its runs: its name contains a character other than ASCII, which could imitate another name`
    expect((await call('bot.put', { bot })).warnings).toEqual([looksLike])
    const { warnings } = await call('router.apply', {
      bots: [{ ...bot, id: 'new' }],
      triggers: [trigger({ bot_id: 'new', allowed_tools: ['Read'] })],
    })
    expect(warnings).toEqual([
      looksLike.replace('bot bot', 'bot new'),
      'trigger t: tool "Read" is removed from its runs: bot new does not list it in its tools',
    ] satisfies Methods['router.apply']['result']['warnings'])
  })

  test('in router.status, while the definitions are as they are', async () => {
    const { call, ...router } = await stage()
    await call('trigger.put', { trigger: bad })
    await call('trigger.put', { trigger: { ...bad, id: 'off', enabled: false } })
    expect((await call('router.status', {})).warnings).toEqual([warned])
    expect((await signalbox(router, ['doctor'])).out).toContain(warned)
    const many = Array.from({ length: 25 }, (_, index) => `Bash(${index})`)
    await call('bot.put', { bot: { id: 'many', endpoint: echo, tools: many } })
    const { warnings } = await call('router.status', {})
    expect(warnings).toHaveLength(21)
    expect(warnings.at(-1)).toBe('6 more warnings; run.get shows removed tools as cut_tools')
  })

  test('on standard error of the command line', async () => {
    const { call: _, ...router } = await stage()
    const put = await signalbox(router, ['triggers', 'put', '-'], {}, JSON.stringify(bad))
    expect(put).toMatchObject({ code: 0, err: `warning: ${warned}\n` })
    const applied = await signalbox(
      router,
      ['apply', '-f', '-', '--set', 'x', '--dry-run'],
      {},
      JSON.stringify({ triggers: [bad] }),
    )
    expect(applied).toMatchObject({ code: 0, err: `warning: ${warned}\n` })
    const registered = await signalbox(
      router,
      ['register', '-'],
      {},
      JSON.stringify({ source: jobs, triggers: [bad] }),
    )
    expect(registered).toMatchObject({ code: 0, err: `warning: ${warned}\n` })
    const bot = await signalbox(
      router,
      ['bots', 'put', '-'],
      {},
      JSON.stringify({ id: 'b', endpoint: echo, tools: ['WebFetch'] }),
    )
    expect(bot.err).toBe(`warning: ${warned.replace('trigger t', 'bot b')}\n`)
  })
})
