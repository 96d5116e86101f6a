// What every store must do with reported usage and with budgets: times are given, so nothing is waited for.
import { beforeEach, describe, expect, test } from 'vitest'
import type { CompleteBudget } from '../../src/contract/budgets.ts'
import type { BudgetGate, RunFlow } from '../../src/store/flow.ts'
import {
  needKey,
  type Choice,
  type ClaimAnswer,
  type MoveOutcome,
  type UsageReport,
} from '../../src/store/store.ts'
import { Driver } from './gates.ts'
import type { StoreUnderTest } from './store.ts'

const t0 = 1_790_000_000_000
const second = 1000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour

/** A store under test that is opened with budgets of the configuration. */
export interface BudgetStoreUnderTest {
  open: (now?: number, budgets?: readonly CompleteBudget[]) => ReturnType<StoreUnderTest['open']>
}

class Spender extends Driver {
  async begun(
    at: number,
    change: { flow?: RunFlow; trigger_id?: string; bot_id?: string } = {},
  ): Promise<string> {
    const run_id = (await this.emit(at, [change])).run_ids[0]!
    expect(await this.claimed(at, [change.bot_id ?? 'deployer'])).toEqual([run_id])
    return run_id
  }

  report(run_id: string, at: number, usage: UsageReport): Promise<MoveOutcome> {
    return this.move(run_id, {
      move: 'extend_running',
      from: ['running'],
      to: 'running',
      at,
      touch: 'silent',
      usage,
    })
  }

  finish(run_id: string, at: number, usage?: UsageReport): Promise<MoveOutcome> {
    const attempt = {
      started_at: at,
      ended_at: at,
      outcome: 'success' as const,
      status: null,
      error: null,
      output: null,
    }
    return this.move(run_id, {
      move: 'complete',
      from: ['running'],
      to: 'completed',
      archive: true,
      at,
      attempt,
      ...(usage === undefined ? {} : { usage }),
    })
  }

  retryLater(run_id: string, at: number): Promise<MoveOutcome> {
    const attempt = {
      started_at: at,
      ended_at: at,
      outcome: 'retry' as const,
      status: null,
      error: null,
      output: null,
    }
    return this.move(run_id, {
      move: 'retry_later',
      from: ['running'],
      to: 'pending',
      at,
      attempt,
      not_before: at,
    })
  }
}

const tokens = (limit: number, period_ms = hour, scope = 'trigger:deploy'): BudgetGate => ({
  scope,
  figure: 'tokens',
  limit,
  period_ms,
})

function usageTests(driver: Spender): void {
  test('the last report of an attempt counts, and attempts add up', async () => {
    const run = await driver.begun(t0)
    await driver.report(run, t0 + 1, { input_tokens: 10, output_tokens: 1, cost_micro_usd: 500 })
    await driver.report(run, t0 + 2, { input_tokens: 30, output_tokens: 1 })
    expect((await driver.store.run(run))!.usage).toEqual({
      input_tokens: 30,
      output_tokens: 1,
      cost_micro_usd: 500,
      unreported: 0,
    })
    await driver.retryLater(run, t0 + 3)
    expect(await driver.claimed(t0 + 4)).toEqual([run])
    await driver.retryLater(run, t0 + 5)
    expect(await driver.claimed(t0 + 6)).toEqual([run])
    await driver.finish(run, t0 + 7, { input_tokens: 5, output_tokens: 2 })
    expect((await driver.store.run(run))!.usage).toEqual({
      input_tokens: 35,
      output_tokens: 3,
      cost_micro_usd: 500,
      unreported: 1,
    })
  })

  test('a smaller report is refused, and nothing is changed', async () => {
    const run = await driver.begun(t0)
    await driver.report(run, t0 + 1, { input_tokens: 10, output_tokens: 10 })
    const reported = { input_tokens: 10, output_tokens: 10, cost_micro_usd: 0 }
    expect(await driver.report(run, t0 + 2, { input_tokens: 20, output_tokens: 9 })).toEqual({
      kind: 'usage_shrank',
      reported,
    })
    expect(await driver.finish(run, t0 + 3, { input_tokens: 9 })).toEqual({ kind: 'usage_shrank', reported })
    expect(await driver.store.run(run)).toMatchObject({
      state: 'running',
      usage: { ...reported, unreported: 0 },
    })
  })

  test('what a worker reports after it lost its lease is spent', async () => {
    const { run_ids } = await driver.emit(t0, [{}])
    const lease_token = 'w:1'
    const bots = [{ bot_id: 'deployer', room: 1 }]
    await driver.store.claim({
      bots,
      limit: 1,
      now: t0,
      lease_token: '',
      lease_until: t0 + second,
      worker_tokens: [lease_token],
    })
    const [id] = run_ids as [string]
    await driver.move(id, {
      move: 'start',
      from: ['assigned'],
      to: 'running',
      count_attempt: true,
      at: t0,
      lease_token,
    })
    const report = (at: number, usage: UsageReport, token = lease_token): Promise<MoveOutcome> =>
      driver.move(id, {
        move: 'extend',
        from: ['running'],
        to: 'running',
        touch: 'silent',
        at,
        lease_token: token,
        usage,
      })
    await report(t0, { input_tokens: 5 })
    const at = t0 + 2 * second
    const attempt = {
      started_at: 0,
      ended_at: at,
      outcome: 'unknown' as const,
      status: null,
      error: null,
      output: null,
    }
    await driver.move(id, {
      move: 'recover',
      from: ['running'],
      to: 'pending',
      at,
      expired_at: at,
      lease_token,
      attempt,
      not_before: at,
    })
    for (const input_tokens of [9, 9, 7])
      expect(await report(at, { input_tokens })).toMatchObject({ kind: 'refused' })
    await report(at, { input_tokens: 1000 }, 'w:unknown')
    expect((await driver.store.run(id))!.usage).toEqual({
      input_tokens: 9,
      output_tokens: 0,
      cost_micro_usd: 0,
      unreported: 0,
    })
    expect((await driver.store.usage(t0)).map(each => [each.scope, each.input_tokens])).toEqual([
      ['bot:deployer', 9],
      ['router', 9],
      ['trigger:deploy', 9],
    ])
    await driver.claimed(at)
    await driver.finish(id, at, { input_tokens: 1 })
    await report(at, { input_tokens: 10 })
    expect((await driver.store.run(id))!.usage).toMatchObject({ input_tokens: 11, unreported: 0 })
  })

  test('a run that reported nothing has no usage', async () => {
    const run = await driver.begun(t0)
    await driver.finish(run, t0 + 1)
    expect((await driver.store.run(run))!.usage).toBeUndefined()
    expect(await driver.store.usage(t0)).toEqual([])
    expect(await driver.store.stats(t0)).toMatchObject({
      runs: 1,
      unreported: 1,
      triggers: [{ id: 'deploy', unreported: 1 }],
    })
  })

  test('dead runs count as unreported, runs that never began do not', async () => {
    const dead = await driver.begun(t0)
    await driver.fail(dead, t0 + 1)
    const reported = await driver.begun(t0 + 1)
    await driver.report(reported, t0 + 2, { input_tokens: 0 })
    await driver.fail(reported, t0 + 2)
    const never = (await driver.emit(t0 + 2, [{}])).run_ids[0]!
    await driver.move(never, {
      move: 'cancel',
      from: ['pending'],
      to: 'cancelled',
      archive: true,
      at: t0 + 3,
    })
    const running = await driver.begun(t0 + 4)
    expect(await driver.store.stats(t0)).toMatchObject({
      runs: 1,
      unreported: 1,
      bots: [{ id: 'deployer', dead: 2, active: 1, unreported: 1 }],
    })
    expect(await driver.store.stats(t0 + 2)).toMatchObject({ unreported: 0 })
    await driver.finish(running, t0 + 5)
    expect(await driver.store.stats(t0)).toMatchObject({ unreported: 2 })
  })

  test('what was used is counted for trigger, bot and router', async () => {
    const [a, b] = [await driver.begun(t0), await driver.begun(t0 + 1, { trigger_id: 'other' })]
    await driver.finish(a, t0 + 2, { input_tokens: 1 })
    await driver.finish(b, t0 + 2 * second, { input_tokens: 2, cost_micro_usd: 7 })
    const used = async (since: number): Promise<unknown[]> =>
      (await driver.store.usage(since)).map(each => [each.scope, each.input_tokens, each.cost_micro_usd])
    expect(await used(t0)).toEqual([
      ['bot:deployer', 3, 7],
      ['router', 3, 7],
      ['trigger:deploy', 1, 0],
      ['trigger:other', 2, 7],
    ])
    expect(await used(t0 + 3 * second)).toEqual([])
  })
}

function budgetTests(
  driver: Spender,
  reopen: (now: number, budgets?: readonly CompleteBudget[]) => Promise<void>,
): void {
  const flow: RunFlow = { budgets: [tokens(100)] }
  const spent = async (at: number, amount = 100): Promise<void> => {
    const run = await driver.begun(at, { flow })
    await driver.finish(run, at, { input_tokens: amount })
  }

  test('a run beyond the tokens is held until there is room', async () => {
    await spent(t0, 60)
    await spent(t0 + 30 * minute, 60)
    const late = (await driver.emit(t0 + 31 * minute, [{ flow }])).run_ids[0]!
    expect(await driver.claimed(t0 + 31 * minute)).toEqual([])
    const held = (await driver.store.run(late))!
    expect(held).toMatchObject({ state: 'held', held_by: 'budget' })
    expect(held.error).toBe(
      `the budget of trigger deploy is spent: 120 tokens were used within 60 minutes, the limit is 100 tokens; there is room at ${new Date(t0 + hour + 999).toISOString()}`,
    )
    await reopen(t0 + 32 * minute)
    expect(await driver.claimed(t0 + hour + 998)).toEqual([])
    expect(await driver.claimed(t0 + hour + 999)).toEqual([late])
  })

  test('running runs may go beyond it, no further one begins', async () => {
    const [a, b] = [await driver.begun(t0, { flow }), await driver.begun(t0, { flow })]
    await driver.report(a, t0 + 1, { output_tokens: 90 })
    await driver.report(b, t0 + 2, { output_tokens: 90 })
    await driver.emit(t0 + 3, [{ flow }])
    expect(await driver.claimed(t0 + 3)).toEqual([])
    await driver.finish(a, t0 + 4, { output_tokens: 95 })
    expect(await driver.store.budgetUses([tokens(100)], t0 + 5)).toMatchObject([{ used: 185 }])
  })

  test('a manual release passes the budget', async () => {
    await spent(t0)
    const [first, other] = [
      (await driver.emit(t0 + 1, [{ flow }])).run_ids[0]!,
      (await driver.emit(t0 + 1, [{ flow }])).run_ids[0]!,
    ]
    expect(await driver.claimed(t0 + 1)).toEqual([])
    await driver.move(other, { move: 'release', from: ['held'], to: 'pending', at: t0 + 2, error: null })
    expect(await driver.claimed(t0 + 2)).toEqual([other])
    expect(await driver.store.run(first)).toMatchObject({ state: 'held' })
  })

  test('a manual release is for one attempt, and counts', async () => {
    const once: RunFlow = {
      budgets: [{ scope: 'trigger:deploy', figure: 'runs', limit: 1, period_ms: hour }],
    }
    await driver.begun(t0, { flow: once })
    const run = (await driver.emit(t0 + 1, [{ flow: once }])).run_ids[0]!
    await driver.claimed(t0 + 1)
    await driver.move(run, { move: 'release', from: ['held'], to: 'pending', at: t0 + minute, error: null })
    expect(await driver.claimed(t0 + minute)).toEqual([run])
    await driver.retryLater(run, t0 + minute)
    expect(await driver.claimed(t0 + minute)).toEqual([])
    expect(await driver.store.run(run)).toMatchObject({ state: 'held', held_by: 'budget' })
    expect(await driver.store.budgetUses(once.budgets!, t0 + minute)).toMatchObject([{ used: 2 }])
    expect(await driver.claimed(t0 + hour)).toEqual([])
    expect(await driver.claimed(t0 + minute + hour)).toEqual([run])
  })

  test('what was used counts after its run is gone', async () => {
    await spent(t0)
    const limits = { event_ms: 1, dead_ms: 1, dedupe_ms: 1, slice: 100 }
    await driver.store.retain({ ...limits, now: t0 + 10 * minute })
    expect(await driver.store.counts()).toMatchObject({ pending: 0 })
    await driver.emit(t0 + 10 * minute, [{ flow }])
    expect(await driver.claimed(t0 + 10 * minute)).toEqual([])
  })

  test('what was used before the clock stepped back counts from now', async () => {
    await spent(t0 + 5 * day)
    const late = (await driver.emit(t0, [{ flow }])).run_ids[0]!
    expect(await driver.claimed(t0)).toEqual([])
    expect((await driver.store.run(late))!.error).toContain(
      `there is room at ${new Date(t0 + hour).toISOString()}`,
    )
    await driver.store.retain({
      event_ms: 90 * day,
      dead_ms: 90 * day,
      dedupe_ms: 90 * day,
      slice: 100,
      now: t0,
    })
    expect(await driver.claimed(t0 + hour)).toEqual([])
    expect(await driver.claimed(t0 + hour + second)).toEqual([late])
  })

  test('eighty percent are warned of once', async () => {
    const run = await driver.begun(t0, { flow })
    for (const [index, amount] of [79, 80, 90, 120].entries())
      await driver.report(run, t0 + index, { input_tokens: amount })
    const told = (await driver.store.events({
      selection: { source_id: 'router', type: 'trigger.budget_warning' },
      order: 'asc',
      limit: 10,
      after: null,
      whole: true,
    })) as {
      body: Uint8Array
    }[]
    const warning = { trigger: 'deploy', figure: 'tokens', tokens: 80, budget: 100, period_ms: hour }
    expect(told.map(each => JSON.parse(Buffer.from(each.body).toString()) as unknown)).toEqual([warning])
  })

  test('runs from before there were several budgets count', async () => {
    const before: RunFlow = {
      budget: { trigger_id: 'deploy', rate: { key: 'budget:deploy', limit: 1, period_ms: hour } },
    }
    await driver.begun(t0, { flow: before })
    const after: RunFlow = {
      budgets: [{ scope: 'trigger:deploy', figure: 'runs', limit: 1, period_ms: hour }],
    }
    const { run_ids } = await driver.emit(t0 + 1, [{ flow: after }])
    expect(await driver.claimed(t0 + 1)).toEqual([])
    expect(await driver.claimed(t0 + hour)).toEqual(run_ids)
  })
}

function definedBudgetTests(
  driver: Spender,
  reopen: (now: number, budgets?: readonly CompleteBudget[]) => Promise<void>,
): void {
  const every: CompleteBudget = { per: 'bot', figure: 'runs', limit: 2, period_ms: hour }
  const all: CompleteBudget = { per: 'router', figure: 'cost_usd', limit: 1_000_000, period_ms: day }

  test('the budget of each bot counts runs of all triggers', async () => {
    await reopen(t0, [every])
    const made = ['a', 'b', 'c'].map(trigger_id => ({ trigger_id }))
    const { run_ids } = await driver.emit(t0, made)
    await driver.emit(t0, [{ bot_id: 'other' }])
    expect(await driver.claimed(t0)).toEqual(run_ids.slice(0, 2))
    expect(await driver.claimed(t0, ['other'])).toHaveLength(1)
    expect(await driver.store.run(run_ids[2]!)).toMatchObject({
      state: 'held',
      error: expect.stringContaining('the budget of bot deployer is spent: 2 runs began'),
    })
    expect(await driver.claimed(t0 + hour)).toEqual([run_ids[2]])
  })

  test('the budget of the router holds runs of every bot', async () => {
    await reopen(t0, [all])
    const run = await driver.begun(t0)
    await driver.report(run, t0, { cost_micro_usd: 1_000_000 })
    const { run_ids } = await driver.emit(t0 + 1, [{ bot_id: 'other' }])
    expect(await driver.claimed(t0 + 1, ['other'])).toEqual([])
    expect(await driver.store.run(run_ids[0]!)).toMatchObject({
      error: expect.stringContaining(
        'of all runs is spent: 1 USD were used within 24 hours, the limit is 1 USD',
      ),
    })
    await reopen(t0 + 2, [{ ...all, limit: 2_000_000 }])
    expect(await driver.claimed(t0 + 2, ['other'])).toEqual(run_ids)
  })

  test('a larger budget of a bot counts at once', async () => {
    await writeBot(driver, { runs: 1, period: 'hour' }, t0)
    const { run_ids } = await driver.emit(t0, [{ trigger_id: 'a' }, { trigger_id: 'b' }, { trigger_id: 'c' }])
    expect(await driver.claimed(t0)).toEqual([run_ids[0]])
    await writeBot(driver, { runs: 3, period: 'hour' }, t0 + 1)
    expect(await driver.claimed(t0 + 1)).toEqual(run_ids.slice(1))
  })

  test('a run that ends while it is its turn keeps no other', async () => {
    await writeBot(driver, { runs: 1, period: 'hour' }, t0)
    const { run_ids } = await driver.emit(t0, [{ trigger_id: 'a' }, { trigger_id: 'b' }, { trigger_id: 'c' }])
    await driver.claimed(t0)
    await driver.claim(t0 + hour, ['deployer'], 0)
    await driver.move(run_ids[1]!, {
      move: 'cancel',
      from: ['pending', 'held'],
      to: 'cancelled',
      archive: true,
      at: t0 + hour,
    })
    expect(await driver.claimed(t0 + hour + minute)).toEqual([run_ids[2]])
  })
}

type Reopen = (now: number, budgets?: readonly CompleteBudget[]) => Promise<void>

function writeBot(
  driver: Spender,
  budget: object | undefined,
  at: number,
  id = 'deployer',
): Promise<unknown> {
  return driver.store.write([
    {
      noun: 'bot',
      id,
      definition: { id, endpoint: { kind: 'pull' }, ...(budget === undefined ? {} : { budget }) } as never,
      at,
    },
  ])
}

function changedBudgetTests(driver: Spender, reopen: Reopen): void {
  const five = ['a', 'b', 'c', 'd', 'e'].map(trigger_id => ({ trigger_id }))

  test('a bot without its budget gets every held run', async () => {
    await writeBot(driver, { runs: 1, period: 'month' }, t0)
    const { run_ids } = await driver.emit(t0, five)
    expect(await driver.claimed(t0)).toEqual([run_ids[0]])
    expect(await driver.claimed(t0 + 1)).toEqual([])
    await writeBot(driver, undefined, t0 + 2)
    expect(await driver.claimed(t0 + 2)).toEqual(run_ids.slice(1))
  })

  test('a removed budget of the router keeps no run', async () => {
    await reopen(t0, [{ per: 'router', figure: 'runs', limit: 1, period_ms: 30 * day }])
    const { run_ids } = await driver.emit(t0, five)
    expect(await driver.claimed(t0)).toEqual([run_ids[0]])
    await driver.complete(run_ids[0]!, t0 + 1)
    await reopen(t0 + 2)
    expect(await driver.claimed(t0 + 2)).toEqual(run_ids.slice(1))
  })

  test('however many runs a removed budget held, all go', async () => {
    await writeBot(driver, { runs: 1, period: 'month' }, t0)
    const { run_ids } = await driver.emit(
      t0,
      Array.from({ length: 701 }, (_, index) => ({ trigger_id: `t${index}` })),
    )
    for (const at of [0, 1, 2, 3]) await driver.claim(t0 + at, ['deployer'], 1000)
    await writeBot(driver, undefined, t0 + 4)
    const gone: string[] = []
    for (let at = t0 + 4, next: number | null = at; next !== null && next <= at; at++) {
      const answer = await driver.claim(at, ['deployer'], 1000)
      gone.push(...answer.runs.map(run => run.id))
      next = answer.next_due_at
    }
    expect(gone.toSorted()).toEqual(run_ids.slice(1).toSorted())
  })

  test('a budget of runs that is lowered counts what began', async () => {
    await writeBot(driver, { runs: 6, period: 'hour' }, t0)
    for (let at = 0; at < 6; at++) await driver.begun(t0 + at)
    await writeBot(driver, { runs: 5, period: 'hour' }, t0 + 10)
    const { run_ids } = await driver.emit(t0 + 10, five)
    expect(await driver.claimed(t0 + 10)).toEqual([])
    await writeBot(driver, [{ runs: 8, period: 'day' }], t0 + 11)
    expect(await driver.claimed(t0 + 11)).toEqual(run_ids.slice(0, 2))
    const gate: BudgetGate = { scope: 'bot:deployer', figure: 'runs', limit: 1, period_ms: hour }
    expect(await driver.store.budgetUses([gate], t0 + 12)).toMatchObject([{ used: 8 }])
    expect(await driver.claimed(t0 + day)).toEqual([run_ids[2]])
  })

  test('the same budget of a bot and of every bot counts once', async () => {
    await reopen(t0, [{ per: 'bot', figure: 'runs', limit: 4, period_ms: hour }])
    await writeBot(driver, { runs: 4, period: 'hour' }, t0)
    const { run_ids } = await driver.emit(t0, five)
    expect(await driver.claimed(t0)).toEqual(run_ids.slice(0, 4))
    expect(await driver.claimed(t0 + hour)).toEqual([run_ids[4]])
  })

  test('the budget of an old version keeps no run of a new one', async () => {
    const runs = (limit: number, period_ms: number): RunFlow => ({
      budgets: [{ scope: 'trigger:deploy', figure: 'runs', limit, period_ms }],
    })
    await driver.begun(t0, { flow: runs(1, 30 * day) })
    const old = (await driver.emit(t0 + 1, [{ flow: runs(1, 30 * day) }])).run_ids
    expect(await driver.claimed(t0 + 1)).toEqual([])
    const fresh = (await driver.emit(t0 + 2, [{ flow: runs(1, hour) }])).run_ids
    expect(await driver.claimed(t0 + 2)).toEqual([])
    expect(await driver.claimed(t0 + hour)).toEqual(fresh)
    expect(await driver.claimed(t0 + 20 * day)).toEqual([])
    expect(await driver.claimed(t0 + hour + 30 * day)).toEqual(old)
  })
}

function capabilityBudgetTests(driver: Spender): void {
  const need = { capabilities: ['build'] }
  const key = needKey(need)
  const choices = (...bots: string[]): Choice[] =>
    bots.map(bot_id => ({ bot_id, assignment: { ...need, chosen: bot_id, candidates: [], considered: 1 } }))
  const claim = (now: number, ...bots: string[]): Promise<ClaimAnswer> =>
    driver.store.claim({
      bots: [{ bot_id: key, room: bots.length, choices: choices(...bots) }],
      limit: 10,
      now,
      lease_token: `n${now}`,
      lease_until: now + hour,
    })
  const emitted = async (queue: string): Promise<string[]> =>
    (
      await driver.emit(
        t0,
        ['a', 'b', 'c'].map(trigger_id => ({ trigger_id, bot_id: key, queue, need })),
      )
    ).run_ids

  test.each(['', 'line'])('a bot with a spent budget leaves runs to others, queue "%s"', async queue => {
    await writeBot(driver, { runs: 1, period: 'hour' }, t0, 'wa')
    await writeBot(driver, undefined, t0, 'wb')
    const run_ids = await emitted(queue)
    expect((await claim(t0, 'wa', 'wa')).runs).toMatchObject([{ id: run_ids[0], bot_id: 'wa' }])
    const spent = await claim(t0 + 1, 'wa', 'wa')
    expect(spent).toMatchObject({
      runs: [],
      drained: [],
      blocked: [],
      spent: [{ bot_id: 'wa', until: t0 + hour }],
      next_due_at: t0 + hour,
    })
    expect(await driver.store.run(run_ids[1]!)).toMatchObject({ state: 'pending', bot_id: key })
    expect((await claim(t0 + 2, 'wa', 'wb')).runs).toMatchObject([{ id: run_ids[1], bot_id: 'wb' }])
    const opened = await claim(t0 + hour, 'wa')
    expect(opened).toMatchObject({ runs: [{ id: run_ids[2] }], became_due: [key] })
  })
}

export function budgetsConformance(underTest: () => BudgetStoreUnderTest): void {
  const driver = new Spender()
  const reopen = async (now?: number, budgets?: readonly CompleteBudget[]): Promise<void> => {
    driver.store = (await underTest().open(now, budgets)).store
  }
  beforeEach(() => reopen())
  describe('usage', () => usageTests(driver))
  describe('budgets of triggers', () => budgetTests(driver, reopen))
  describe('budgets of bots and of the router', () => definedBudgetTests(driver, reopen))
  describe('budgets of bots that runs are chosen for', () => capabilityBudgetTests(driver))
  describe('budgets that change', () => changedBudgetTests(driver, reopen))
}
