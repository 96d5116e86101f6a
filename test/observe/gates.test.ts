// signalbox_matches_total and signalbox_gate_actions_total: each gate is made to act, and its number says how often it did.
import { createHmac } from 'node:crypto'
import { expect, test } from 'vitest'
import type { Methods, Policy, WebhookConfig } from '../../src/client/client.ts'
import { Work } from '../../src/store/sqlite/engine/operations.ts'
import { limits, newEvent } from '../conformance/store.ts'
import { freshDatabase } from '../support/local-store.ts'
import { metricsOf, value } from '../support/metrics.ts'
import { freshRouter, until, type TestRouter } from '../support/router.ts'

interface Gated {
  policy?: Policy
  /** what emits its events; default: two events of its type */
  emit?: (router: TestRouter, event: Methods['event.emit']['params']) => Promise<void>
  /** how often the gate acts; default: 1 */
  acts?: number
  /** triggers that the events match; default: 2 */
  matches?: number
}

const minute = { limit: 1, period_ms: 60_000 }

async function twice({ call }: TestRouter, event: Methods['event.emit']['params'], times = 2): Promise<void> {
  for (let n = 0; n < times; n++) await call('event.emit', event)
}

/** Posts a comment of a login to a source of a forge. */
async function comment({ post }: TestRouter, source: string, login: string): Promise<void> {
  const body = JSON.stringify({
    action: 'created',
    sender: { login },
    repository: { full_name: 'acme/site' },
  })
  const signature = createHmac('sha256', 'secret').update(body).digest('hex')
  const { status } = await post(source, body, {
    'x-forgejo-event-type': 'issue_comment',
    'x-forgejo-signature': signature,
  })
  expect(status).toBe(202)
}

const forge: WebhookConfig = { provider: 'forgejo', secrets: [{ env: 'SECRET' }] }

const gates: Record<string, Gated> = {
  rate_limit: { policy: { rate_limit: minute } },
  debounce: { policy: { debounce: { period_ms: 60_000 } } },
  batch: { policy: { batch: { max: 10, timeout_ms: 60_000 } } },
  singleton: { policy: { singleton: { on_conflict: 'skip' } } },
  throttle: { policy: { throttle: minute } },
  concurrency: { policy: { concurrency: { limit: 1 } } },
  order: { policy: { order_key: 'one' } },
  approval: { policy: { approval: {} }, acts: 2 },
  budget: { policy: { budget: { runs: 1, period: 'day' } } },
  queue: { policy: { queue: 'short' } },
  repeat_limit: {
    policy: { repeat_limit: minute },
    // The second run is held, the third event makes none.
    emit: (router, event) => twice(router, { ...event, thread: 'acme/site#1' }, 3),
    acts: 2,
    matches: 3,
  },
  loop_guard: {
    emit: (router, event) => {
      const cause = '01900000-0000-7000-8000-000000000000'
      return twice(router, { ...event, causation: { event_id: cause, run_id: cause, depth: 100 } }, 1)
    },
    matches: 1,
  },
  trigger_paused: {
    emit: async (router, event) => {
      await router.call('trigger.pause', { trigger_id: event.type, reason: 'a test' })
      await twice(router, event)
    },
    acts: 2,
  },
  dependency: {
    policy: { depends_on: ['first'] },
    emit: (router, event) => twice(router, event, 1),
  },
  own_events: {
    emit: async (router, { type }) => {
      await router.call('source.put', { source: { id: 'forge', source_type: 'webhook', config: forge } })
      await router.call('trigger.put', {
        trigger: {
          id: type,
          event_source_id: 'forge',
          filter: { type: ['issue_comment'] },
          action: { bot_id: 'w' },
        },
      })
      await comment(router, 'forge', 'review-bot')
    },
    matches: 1,
  },
  redelivery: {
    emit: async (router, { type }) => {
      await router.call('source.put', {
        source: { id: 'forge', source_type: 'webhook', config: { ...forge, on_redelivery: 'log' } },
      })
      await router.call('trigger.put', {
        trigger: {
          id: type,
          event_source_id: 'forge',
          filter: { type: ['issue_comment'] },
          action: { bot_id: 'w' },
        },
      })
      for (let n = 0; n < 2; n++) await comment(router, 'forge', 'ada')
    },
  },
}

test.each(Object.entries(gates))(
  '%s: each action is counted',
  async (gate, { policy = {}, emit = twice, acts = 1, matches = 2 }) => {
    const router = await freshRouter({ own_accounts: [{ login: 'review-bot' }] }, { SECRET: 'secret' })
    const { call } = router
    await call('source.put', { source: { id: 's', source_type: 'service' } })
    await call('bot.put', { bot: { id: 'w', max_active: 10, endpoint: { kind: 'pull' } } })
    await call('queue.put', { queue: { id: 'short', max_pending: 1 } })
    await call('trigger.put', {
      trigger: { id: 'first', filter: { type: ['dependency'] }, action: { bot_id: 'w' } },
    })
    await call('trigger.put', {
      trigger: { id: gate, filter: { type: [gate] }, action: { bot_id: 'w' }, policy },
    })
    const before = await metricsOf(router)
    expect(value(before, 'signalbox_gate_actions_total', { gate })).toBe(0)
    await emit(router, { source_id: 's', type: gate, payload: {} })
    await call('run.claim', { bot_id: 'w', max: 10 })
    const after = await metricsOf(router)
    const acted = after.get('signalbox_gate_actions_total')!.samples.filter(sample => sample.value > 0)
    expect(acted.map(({ labels, value: count }) => [labels.gate, count])).toEqual([[gate, acts]])
    expect(value(after, 'signalbox_matches_total')).toBe(matches)
  },
)

test('other ways in which a gate acts are counted as well', async () => {
  const router = await freshRouter()
  const { call } = router
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  await call('bot.put', { bot: { id: 'w', max_active: 10, endpoint: { kind: 'pull' } } })
  const put = (id: string, policy: Policy): Promise<unknown> =>
    call('trigger.put', { trigger: { id, filter: { type: [id] }, action: { bot_id: 'w' }, policy } })
  // The run of the first event is cancelled for that of the second one; of two in one lane the second one waits.
  await put('replaced', { singleton: { on_conflict: 'cancel_running' } })
  await put('queued', { singleton: { on_conflict: 'queue' } })
  // A run that depends on one that was not made is ended.
  await put('needed', { rate_limit: { limit: 1, period_ms: 60_000 } })
  await call('trigger.put', {
    trigger: {
      id: 'needs',
      filter: { type: ['needed'] },
      action: { bot_id: 'w' },
      policy: { depends_on: ['needed'] },
    },
  })
  for (const type of ['replaced', 'queued', 'needed'])
    await twice(router, { source_id: 's', type, payload: {} })
  await call('run.claim', { bot_id: 'w', max: 10 })
  const after = await metricsOf(router)
  const count = (gate: string): number | undefined => value(after, 'signalbox_gate_actions_total', { gate })
  expect({
    singleton: count('singleton'),
    rate_limit: count('rate_limit'),
    dependency: count('dependency'),
  }).toEqual({
    singleton: 2,
    rate_limit: 1,
    dependency: 2,
  })
})

test('lifecycle events that match are counted', async () => {
  const router = await freshRouter()
  const { call } = router
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  await call('bot.put', { bot: { id: 'w', endpoint: { kind: 'pull' } } })
  await call('trigger.put', { trigger: { id: 't', filter: { type: ['t'] }, action: { bot_id: 'w' } } })
  await call('trigger.put', {
    trigger: {
      id: 'follower',
      event_source_id: 'router',
      filter: { type: ['run.cancelled'] },
      action: { bot_id: 'w' },
      policy: { rate_limit: minute },
    },
  })
  const runs = [
    await call('event.emit', { source_id: 's', type: 't', payload: {} }),
    await call('event.emit', { source_id: 's', type: 't', payload: {} }),
  ]
  for (const { runs: made } of runs) await call('run.cancel', { run_id: made[0]! })
  await until(
    async () => value(await metricsOf(router), 'signalbox_gate_actions_total', { gate: 'rate_limit' }) === 1,
  )
  expect(value(await metricsOf(router), 'signalbox_matches_total')).toBe(4)
})

test('what is rolled back is not counted', () => {
  const db = freshDatabase()
  const work = new Work(db, 'none')
  const { body, ...event } = newEvent({
    decisions: [{ trigger_id: 'deploy', trigger_version: 1, outcome: 'loop_held' }],
  })
  const accept = (): unknown =>
    work.perform(
      { op: 'accept', events: [{ ...event, body_at: 0, body_length: body.byteLength }], limits },
      new Uint8Array(body).buffer,
    )
  db.transaction(accept)()
  expect(work.told().gates).toEqual({ matches: 1, gates: [['loop_guard', 1]] })
  expect(work.told().gates).toBeUndefined()
  const failing = db.transaction(() => {
    work.perform(
      {
        op: 'accept',
        events: [
          { ...event, id: '01900000-0000-7000-8000-000000000001', body_at: 0, body_length: body.byteLength },
        ],
        limits,
      },
      new Uint8Array(body).buffer,
    )
    throw new Error('rolled back')
  })
  expect(failing).toThrow('rolled back')
  work.rolledBack()
  expect(work.told().gates).toBeUndefined()
})
