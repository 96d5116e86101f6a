// Usage as real bots report it, and budgets that hold what would exceed them.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import type { Budgets, Run } from '../../src/client/client.ts'
import { botServer } from '../support/bot-server.ts'
import { ended, freshDirectory, freshRouter, until, type TestRouter } from '../support/router.ts'

interface Budgeted extends TestRouter {
  emit: () => Promise<string>
  run: (run_id: string) => Promise<Run>
}

async function budgeted(
  endpoint: object,
  {
    policy = {},
    bot = {},
    flags = {},
  }: { policy?: object; bot?: object; flags?: Record<string, unknown> } = {},
): Promise<Budgeted> {
  const router = await freshRouter(flags)
  const { call } = router
  await call('source.put', { source: { id: 'jobs', source_type: 'service' } })
  await call('bot.put', { bot: { id: 'agent', endpoint: endpoint as never, ...bot } })
  await call('trigger.put', {
    trigger: { id: 't', filter: { type: ['t'] }, action: { bot_id: 'agent' }, policy },
  })
  return {
    ...router,
    emit: async () => (await call('event.emit', { source_id: 'jobs', type: 't', payload: {} })).runs[0]!,
    run: async run_id => (await call('run.get', { run_id })).run,
  }
}

const prints = (result: string, code = 0): object => ({
  kind: 'command',
  argv: ['/bin/sh', '-c', `cat > /dev/null; echo '${result}'; exit ${code}`],
})
/** Deeper than answers are parsed. */
const deep = `{"usage":{"input_tokens":1},"more":${'['.repeat(70)}${']'.repeat(70)}}`
const usage = { input_tokens: 1200, output_tokens: 300, cost_usd: 0.25 }

describe('usage', () => {
  test('a command reports with its JSON result', async () => {
    const router = await budgeted(
      prints(JSON.stringify({ ok: true, usage: { ...usage, cache_read_input_tokens: 5 } })),
    )
    expect((await ended(router, await router.emit())).usage).toEqual({ ...usage, unreported: 0 })
  })

  test('a command that fails reports what it used', async () => {
    const router = await budgeted(prints(JSON.stringify({ usage }), 1))
    const run = await ended(router, await router.emit())
    expect(run).toMatchObject({ state: 'failed', usage: { ...usage, unreported: 0 } })
  })

  test.each([
    '{"usage":{"input_tokens":-1}}',
    '{"usage":{"input_tokens":1.5}}',
    '{"usage":7}',
    '{"usage":{"cost_usd":"1"}}',
    '{"usage":{}}',
    'usage',
    deep,
  ])('what is no usage is no report: %s', async result => {
    const router = await budgeted(prints(result))
    const run = await ended(router, await router.emit())
    expect(run.state).toBe('completed')
    expect(run.usage).toBeUndefined()
  })

  test('a command that was cancelled reports what it used', async () => {
    const script = `exec 2> /dev/null; cat > /dev/null; trap 'exit 3' TERM; echo '${JSON.stringify({ usage })}'; : > "$SIGNALBOX_RUN_ID.up"; while :; do sleep 0.05; done`
    const cwd = freshDirectory()
    const router = await budgeted({ kind: 'command', argv: ['/bin/sh', '-c', script], cwd })
    const run_id = await router.emit()
    await until(async () => existsSync(join(cwd, `${run_id}.up`)))
    await router.call('run.cancel', { run_id })
    expect(await ended(router, run_id)).toMatchObject({
      state: 'cancelled',
      usage: { ...usage, unreported: 0 },
    })
  })

  test('an http bot reports with its JSON answer', async () => {
    const { url } = await botServer(
      (_request, response) =>
        void response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ usage })),
    )
    const router = await budgeted({ kind: 'http', url })
    expect((await ended(router, await router.emit())).usage).toEqual({ ...usage, unreported: 0 })
  })

  test('a worker reports totals, and never less than before', async () => {
    const router = await budgeted({ kind: 'pull' })
    const run_id = await router.emit()
    const { leases } = await router.call('run.claim', { bot_id: 'agent', wait_ms: 1000 })
    const own = { run_id, lease_token: leases[0]!.lease_token }
    await router.call('run.start', own)
    await router.call('run.progress', { ...own, usage: { input_tokens: 100 } })
    await router.call('run.progress', { ...own, percent: 50, usage: { input_tokens: 200, output_tokens: 7 } })
    const shrunk = {
      code: -32602,
      message: expect.stringContaining('input_tokens 200, output_tokens 7, cost_usd 0; nothing was changed'),
    }
    await expect(router.call('run.progress', { ...own, usage: { input_tokens: 199 } })).rejects.toMatchObject(
      shrunk,
    )
    await expect(router.call('run.complete', { ...own, usage: { output_tokens: 1 } })).rejects.toMatchObject(
      shrunk,
    )
    await expect(router.call('run.progress', { ...own, usage: { cost_usd: -1 } })).rejects.toMatchObject({
      code: -32602,
      message: expect.stringContaining('usage.cost_usd'),
    })
    const { run } = await router.call('run.complete', { ...own, usage: { cost_usd: 0.000001 } })
    expect(run.state).toBe('completed')
    expect((await router.run(run_id)).usage).toEqual({
      input_tokens: 200,
      output_tokens: 7,
      cost_usd: 0.000001,
      unreported: 0,
    })
    // Usage alone makes no row of the history.
    expect(
      (await router.call('run.history', { run_id })).history.filter(each => each.move === 'progress'),
    ).toHaveLength(1)
  })

  test('stats show usage, and the runs that reported none', async () => {
    const router = await budgeted(prints(JSON.stringify({ usage })), {
      bot: { budget: { cost_usd: 2, period: 'day' } },
    })
    await ended(router, await router.emit())
    await router.call('bot.put', {
      bot: {
        id: 'agent',
        endpoint: { kind: 'command', argv: ['/bin/true'] },
        budget: { cost_usd: 2, period: 'day' },
      },
    })
    await ended(router, await router.emit())
    const stats = await router.call('router.stats', {})
    const expected = { ...usage, unreported: 1 }
    expect(stats).toMatchObject({ usage: expected, triggers: [{ id: 't', usage: expected }] })
    expect(stats.bots).toMatchObject([
      {
        id: 'agent',
        usage: expected,
        budgets: [{ per: 'bot', figure: 'cost_usd', used: 0.25, limit: 2, period_ms: 86_400_000 }],
      },
    ])
  })
})

test('stats count runs without a report where nobody reported', async () => {
  const router = await budgeted(prints('{}', 1))
  await ended(router, await router.emit())
  const silent = { input_tokens: 0, output_tokens: 0, cost_usd: 0, unreported: 1 }
  expect(await router.call('router.stats', {})).toMatchObject({
    usage: silent,
    bots: [{ id: 'agent', usage: silent }],
    triggers: [{ id: 't', usage: silent }],
  })
})

describe('budgets', () => {
  test('a run beyond the cost is held, and released by hand', async () => {
    const router = await budgeted(prints(JSON.stringify({ usage })), {
      policy: { budget: { cost_usd: 0.25, period: 'day' } },
    })
    await ended(router, await router.emit())
    const second = await router.emit()
    await until(async () => (await router.run(second)).state === 'held')
    expect((await router.run(second)).waiting_for).toMatch(
      /^held: the budget of trigger t is spent: 0\.25 USD were used within 24 hours, the limit is 0\.25 USD; there is room at 2/,
    )
    await router.call('run.release', { run_id: second })
    expect(await ended(router, second)).toMatchObject({ state: 'completed' })
  })

  test('the budget of the router holds every bot', async () => {
    const router = await budgeted(prints(JSON.stringify({ usage })), {
      flags: { budget: [{ tokens: 1500, period: 3_600_000 }] },
    })
    await ended(router, await router.emit())
    const second = await router.emit()
    await until(async () => (await router.run(second)).state === 'held')
    expect((await router.run(second)).waiting_for).toContain(
      'the budget of all runs is spent: 1500 tokens were used within 60 minutes',
    )
  })

  test.each<[string, Budgets, string]>([
    [
      'no figure',
      { period: 'day' },
      'trigger.policy.budget must have exactly one of runs, tokens, cost_usd; found none',
    ],
    [
      'two figures',
      [{ runs: 1, tokens: 1, period: 'day' }],
      'trigger.policy.budget.0 must have exactly one of runs, tokens, cost_usd; found runs and tokens',
    ],
    [
      'another holder',
      [{ runs: 1, period: 'day', per: 'router' }],
      'trigger.policy.budget.0.per must be trigger here; found router; budgets of all runs belong into the configuration',
    ],
    ['a short period', { runs: 1, period: 10 }, 'trigger.policy.budget'],
    ['no money', { cost_usd: 0, period: 'day' }, 'trigger.policy.budget'],
  ])('a trigger with %s is refused', async (_name, budget, message) => {
    const router = await budgeted(prints('{}'))
    const trigger = { id: 'u', filter: { type: ['t'] }, action: { bot_id: 'agent' }, policy: { budget } }
    await expect(router.call('trigger.put', { trigger })).rejects.toMatchObject({
      code: -32602,
      message: expect.stringContaining(message),
    })
  })

  test('a bot with a budget of a trigger is refused', async () => {
    const router = await freshRouter()
    const bot = {
      id: 'b',
      endpoint: { kind: 'pull' as const },
      budget: { runs: 1, period: 'day' as const, per: 'trigger' as const },
    }
    await expect(router.call('bot.put', { bot })).rejects.toMatchObject({
      code: -32602,
      message: expect.stringContaining('bot.budget.per must be bot here; found trigger'),
    })
  })

  test('a configuration with a budget of a trigger is refused', () => {
    const budget = [{ runs: 1, period: 'day', per: 'trigger' }]
    expect(() => readConfig({}, { budget })).toThrow(
      'configuration: budget.0.per must be router or bot here; found trigger',
    )
  })

  test('a worker whose budget is spent leaves the rest to another', async () => {
    const { call } = await freshRouter()
    await call('source.put', { source: { id: 'jobs', source_type: 'service' } })
    const bot = { endpoint: { kind: 'pull' as const }, capabilities: ['build'] }
    await call('bot.put', { bot: { id: 'wa', ...bot, budget: { runs: 1, period: 'day' } } })
    await call('bot.put', { bot: { id: 'wb', ...bot } })
    await call('trigger.put', {
      trigger: { id: 't', filter: { type: ['t'] }, action: { capabilities: ['build'] } },
    })
    const emit = async (): Promise<string> =>
      (await call('event.emit', { source_id: 'jobs', type: 't', payload: {} })).runs[0]!
    const claim = async (bot_id: string): Promise<string[]> =>
      (await call('run.claim', { bot_id, max: 5, wait_ms: 0 })).leases.map(lease => lease.run_id)
    const runs = [await emit(), await emit(), await emit()]
    expect(await claim('wa')).toEqual([runs[0]])
    expect(await claim('wa')).toEqual([])
    const { run } = await call('run.get', { run_id: runs[1]! })
    expect(run).toMatchObject({
      state: 'pending',
      waiting_for: expect.stringContaining('wa is one whose budget is spent until 2'),
    })
    expect(await claim('wb')).toEqual(runs.slice(1))
  })

  test('a bot whose budget is spent leaves the rest to another', async () => {
    const { call } = await freshRouter()
    await call('source.put', { source: { id: 'jobs', source_type: 'service' } })
    const endpoint = { kind: 'command' as const, argv: ['/bin/true'] }
    await call('bot.put', {
      bot: { id: 'best', endpoint, capabilities: ['build'], budget: { runs: 1, period: 'day' } },
    })
    await call('bot.put', {
      bot: { id: 'other', endpoint: { kind: 'pull' }, capabilities: ['build', 'test', 'ship'] },
    })
    await call('trigger.put', {
      trigger: { id: 't', filter: { type: ['t'] }, action: { capabilities: ['build'] } },
    })
    const emit = async (): Promise<string> =>
      (await call('event.emit', { source_id: 'jobs', type: 't', payload: {} })).runs[0]!
    const runs = [await emit(), await emit()]
    await until(async () => (await call('run.get', { run_id: runs[0]! })).run.state === 'completed')
    const { leases } = await call('run.claim', { bot_id: 'other', max: 5, wait_ms: 10_000 })
    expect(leases).toHaveLength(1)
    expect((await call('run.get', { run_id: runs[1]! })).run).toMatchObject({
      state: 'assigned',
      bot_id: 'other',
    })
    await call('bot.put', { bot: { id: 'best', endpoint, capabilities: ['build'] } })
    const last = await emit()
    await until(async () => (await call('run.get', { run_id: last })).run.state === 'completed')
  })
})
