// What every store must do when a person changes a run before it begins: times are given, so nothing is waited for.
import { beforeEach, expect, test } from 'vitest'
import type { RunFlow } from '../../src/store/flow.ts'
import type { MoveOutcome, RunChange, RunMove, StoredRun } from '../../src/store/store.ts'
import { Driver } from './gates.ts'
import type { StoreUnderTest } from './store.ts'

const t0 = 1_790_000_000_000
const second = 1000

class Updater extends Driver {
  async one(flow?: RunFlow, change: object = {}): Promise<string> {
    return (await this.emit(t0, [{ ...(flow === undefined ? {} : { flow }), ...change }])).run_ids[0]!
  }

  async run(run_id: string): Promise<StoredRun> {
    return (await this.store.run(run_id))!
  }

  async update(
    run_id: string,
    update: RunChange,
    steps_seen?: number,
    change: Partial<RunMove> = {},
  ): Promise<MoveOutcome> {
    const { state, steps } = await this.run(run_id)
    const to = state === 'awaiting_approval' ? 'pending' : state
    return this.move(run_id, {
      move: 'update',
      from: [state],
      to,
      at: t0 + second,
      steps_seen: steps_seen ?? steps,
      update,
      ...change,
    })
  }
}

function changeTests(driver: Updater, reopen: () => Promise<void>): void {
  test('priority and due time decide what begins first', async () => {
    const [first, next, last] = [await driver.one(), await driver.one(), await driver.one()]
    await driver.update(last, { priority: 100 })
    await driver.update(first, {}, undefined, { not_before: t0 + 60 * second })
    expect(await driver.claimed(t0 + second, undefined, 1)).toEqual([last])
    expect((await driver.claim(t0 + second)).next_due_at).toBe(t0 + 60 * second)
    expect(await driver.claimed(t0 + 60 * second)).toEqual([first])
    expect(await driver.run(next)).toMatchObject({ state: 'running' })
  })

  test('inputs and files are kept, each by itself, over a restart', async () => {
    const run = await driver.one()
    expect(await driver.store.override(run)).toBeNull()
    await driver.update(run, { inputs: '{"n":813683310949021977}' })
    await driver.update(run, { context_files: '[]' })
    await driver.update(run, { inputs: '{"n":1.00}' })
    await reopen()
    expect(await driver.store.override(run)).toEqual({ inputs: '{"n":1.00}', context_files: '[]' })
    expect(await driver.run(run)).toMatchObject({ flow: { overridden: true }, steps: 4 })
    const { history } = (await driver.store.history(run))!
    expect(history.map(({ move, from, to }) => [move, from, to])).toEqual([
      ['create', null, 'pending'],
      ...[1, 2, 3].map(() => ['update', 'pending', 'pending']),
    ])
  })

  test('a debounced run that becomes another event’s loses the changes', async () => {
    const flow: RunFlow = {
      debounce: { lane: 'd', period_ms: 10 * second, max_wait_ms: 60 * second, delay_ms: 0 },
    }
    const run = await driver.one(flow, { not_before: t0 + 10 * second })
    await driver.update(run, { inputs: '{}' })
    await driver.emit(t0 + second, [{ flow, not_before: t0 + 11 * second }])
    expect(await driver.store.override(run)).toBeNull()
    expect((await driver.run(run)).flow!.overridden).toBeUndefined()
  })
}

function guardTests(driver: Updater): void {
  test('a stale version changes nothing', async () => {
    const run = await driver.one()
    const { steps } = await driver.run(run)
    expect((await driver.update(run, { priority: 1 }, steps)).kind).toBe('moved')
    expect(await driver.update(run, { priority: 2, inputs: '{}' }, steps)).toMatchObject({
      kind: 'refused',
      run: { steps: steps + 1, priority: 1 },
    })
    expect(await driver.store.override(run)).toBeNull()
  })

  test('a batch that a new version of its trigger closes is another version', async () => {
    const flow: RunFlow = { batch: { lane: 'b', max: 9, timeout_ms: 60 * second } }
    const run = await driver.one(flow, { not_before: t0 + 60 * second })
    const { steps } = await driver.run(run)
    await driver.emit(t0, [{ flow, not_before: t0 + 60 * second, trigger_version: 2 }])
    expect((await driver.update(run, { priority: 1 }, steps)).kind).toBe('refused')
    expect(await driver.run(run)).toMatchObject({ steps: steps + 1, not_before: t0 })
  })

  test('a run that has begun is not changed, also when it waits again', async () => {
    const run = await driver.one()
    await driver.claimed(t0)
    expect((await driver.update(run, { priority: 1 })).kind).toBe('refused')
    await driver.move(run, {
      move: 'retry_later',
      from: ['running'],
      to: 'pending',
      at: t0,
      not_before: t0 + second,
    })
    expect((await driver.update(run, { priority: 1 })).kind).toBe('refused')
    expect(await driver.run(run)).toMatchObject({ priority: 0 })
  })
}

function approvalTests(driver: Updater): void {
  const flow: RunFlow = {
    approval: { lane: 'approver:guard', timeout_ms: 5 * second },
    max_age_ms: 60 * second,
  }
  const approve = (run: string): Promise<MoveOutcome> =>
    driver.move(run, { move: 'approve', from: ['awaiting_approval'], to: 'pending', at: t0, approve: true })

  test('an approval that was asked for is asked for again', async () => {
    const run = await driver.one(flow)
    expect((await driver.claim(t0)).asked).toHaveLength(1)
    await driver.update(run, { inputs: '{}' })
    expect(await driver.run(run)).toMatchObject({
      state: 'pending',
      deadline_at: t0 + 60 * second,
      deadline_name: 'max_age_ms',
    })
    expect((await driver.claim(t0 + 2 * second)).asked.map(each => each.id)).toEqual([run])
    expect(await driver.run(run)).toMatchObject({ deadline_at: t0 + 7 * second, deadline_name: 'approval' })
  })

  test('an approval that was given is void', async () => {
    const [changed, other] = [await driver.one(flow), await driver.one(flow)]
    await driver.claim(t0)
    for (const run of [changed, other]) await approve(run)
    await driver.update(changed, { priority: 1 })
    const claim = await driver.claim(t0 + second)
    // Control: the other run keeps its approval.
    expect(claim.runs.map(run => run.id)).toEqual([other])
    expect(claim.asked.map(run => run.id)).toEqual([changed])
  })

  test('a held run stays held', async () => {
    const run = await driver.one()
    await driver.move(run, { move: 'hold', from: ['pending'], to: 'held', at: t0, error: 'wait' })
    await driver.update(run, { priority: 7 })
    expect(await driver.run(run)).toMatchObject({
      state: 'held',
      held_by: 'person',
      error: 'wait',
      priority: 7,
    })
    expect(await driver.claimed(t0 + second)).toEqual([])
  })
}

export function updatesConformance(underTest: () => StoreUnderTest): void {
  const driver = new Updater()
  beforeEach(async () => {
    driver.store = (await underTest().open()).store
  })
  const reopen = async (): Promise<void> => {
    driver.store = (await underTest().open(t0 + 2 * second)).store
  }
  changeTests(driver, reopen)
  guardTests(driver)
  approvalTests(driver)
}
