// Damage of what runs used: the row is forgotten or counts as nothing, and is noted. Runs, budgets and the start go on.
import { describe, expect, test } from 'vitest'
import type { BudgetGate } from '../../src/store/flow.ts'
import { DamagedStore, t0 } from '../support/damaged-store.ts'

const hour = 3_600_000
const day = 24 * hour

async function reported(): Promise<{ damaged: DamagedStore; run: string; other: string }> {
  const damaged = new DamagedStore()
  const [run, other] = [
    (await damaged.emit(t0, [{}])).run_ids[0]!,
    (await damaged.emit(t0, [{}])).run_ids[0]!,
  ]
  expect(await damaged.claimed(t0)).toEqual([run, other])
  for (const each of [run, other]) await damaged.report(each, t0 + 1, { input_tokens: 10, output_tokens: 1 })
  return { damaged, run, other }
}

const first = '(SELECT min(run_seq) FROM run_usage)'
const wrong = [
  ['input_tokens', '-118'],
  ['attempt_input_tokens', '-1'],
  ['reports', '0'],
  ['attempt_reported', '3'],
] as const

describe('a damaged row of run_usage', () => {
  test.each(wrong)('does not stop the start: %s = %s', async (column, value) => {
    const { damaged, run, other } = await reported()
    damaged.hurt(`UPDATE run_usage SET ${column} = ${value} WHERE run_seq = ${first}`)
    expect((await damaged.store.run(run))!.usage).toBeUndefined()
    const { damage, recovered } = damaged.restarted(t0 + 2)
    expect(recovered).toBe(2)
    expect(damage).toEqual([expect.stringMatching(`^run_usage.${column} of row 1 is damaged`)])
    expect((await damaged.store.run(other))!.usage).toMatchObject({ input_tokens: 10 })
    expect((await damaged.claimed(t0 + 3)).toSorted()).toEqual([run, other].toSorted())
  })

  test.each(wrong)('does not keep its run from ending: %s = %s', async (column, value) => {
    const { damaged, run } = await reported()
    damaged.hurt(`UPDATE run_usage SET ${column} = ${value} WHERE run_seq = ${first}`)
    await damaged.complete(run, t0 + 2)
    expect(damaged.damage).toEqual([expect.stringMatching(`^run_usage.${column} of row 1 is damaged`)])
  })

  test('does not refuse the next report', async () => {
    const { damaged, run } = await reported()
    damaged.mistype(
      'run_usage',
      `UPDATE run_usage SET input_tokens = CAST('x' AS BLOB) WHERE run_seq = ${first}`,
    )
    await damaged.report(run, t0 + 2, { input_tokens: 12 })
    expect((await damaged.store.run(run))!.usage).toMatchObject({ input_tokens: 12, output_tokens: 0 })
    expect(damaged.damage).toEqual([expect.stringContaining('run_usage.input_tokens')])
  })
})

const budget: BudgetGate = { scope: 'bot:deployer', figure: 'tokens', limit: 100, period_ms: 31 * day }

/** Whether a run with a budget goes to its bot. */
async function goes(damaged: DamagedStore, at: number): Promise<boolean> {
  const run = (await damaged.emit(at, [{ flow: { budgets: [budget] } }])).run_ids[0]!
  return (await damaged.claimed(at)).includes(run)
}

describe('a damaged row of spending', () => {
  test.each([
    ['near 2^63', 'UPDATE spending SET input_tokens = 9223372036854775807'],
    ['of a time to come', 'UPDATE spending SET at = at + 8796093022208, input_tokens = 1000000'],
  ])('does not hold its bot: %s', async (_name, sql) => {
    const { damaged, run, other } = await reported()
    await damaged.report(run, t0 + hour, { input_tokens: 20 })
    damaged.hurt(`${sql} WHERE at < ${t0 + hour} AND scope = 'bot:deployer'`)
    expect(await goes(damaged, t0 + hour + 1000)).toBe(true)
    expect((await damaged.store.budgetUses([budget], t0 + hour + 1000))[0]!.used).toBeLessThan(20)
    expect((await damaged.store.usage(t0)).length).toBeGreaterThan(0)
    await damaged.report(other, t0 + hour + 2000, { input_tokens: 200 })
    expect(await goes(damaged, t0 + hour + 3000)).toBe(false)
  })

  test.each([
    ['input_tokens', 'UPDATE spending SET input_tokens = -118'],
    ['cost_micro_usd', `UPDATE spending SET cost_micro_usd = 9000000000000000000`],
    ['at', 'UPDATE spending SET at = at + 8796093022208'],
  ])('does not stop retention, and is noted: %s', async (column, sql) => {
    const { damaged } = await reported()
    damaged.hurt(`${sql} WHERE scope = 'router'`)
    const limits = { event_ms: day, dead_ms: day, dedupe_ms: day }
    await damaged.swept({ ...limits, now: t0 + 2 * hour })
    expect(damaged.damage).toEqual([expect.stringMatching(`^spending.${column} of row router at`)])
    expect(damaged.db.prepare("SELECT count(*) FROM spending WHERE scope = 'router'").pluck().get()).toBe(0)
  })

  test('does not stop retention where another is put to it', async () => {
    const { damaged } = await reported()
    const minuteEnd = Math.floor(t0 / 60_000) * 60_000 + 59_999
    damaged.hurt(`INSERT INTO spending VALUES ('router', ${minuteEnd}, -118, 0, 0)`)
    await damaged.swept({ event_ms: day, dead_ms: day, dedupe_ms: day, now: t0 + 2 * hour })
    expect(damaged.damage).toEqual([expect.stringContaining('spending: the row router at')])
  })

  test('does not stop a start with a clock that was set back', async () => {
    const { damaged, run } = await reported()
    await damaged.report(run, t0 + hour, { input_tokens: 20 })
    damaged.hurt(`UPDATE spending SET input_tokens = 9223372036854775807 WHERE at < ${t0 + hour}`)
    expect(damaged.restarted(t0 - hour).clock_behind_ms).toBeGreaterThan(0)
  })
})
