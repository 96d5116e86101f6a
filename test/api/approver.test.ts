// A principal that caused a run does not approve it, whichever way it caused it.
import { describe, expect, test } from 'vitest'
import type { Methods } from '../../src/client/client.ts'
import { callWith, listening, type Called } from '../support/admin.ts'
import { freshRouter, until, type TestRouter } from '../support/router.ts'

/** A trigger whose runs await approval, and one whose bot emits for it. */
async function deploys(router: TestRouter, more: object = {}): Promise<void> {
  const { call } = router
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  await call('bot.put', { bot: { id: 'deployer', endpoint: { kind: 'command', argv: ['/bin/true'] } } })
  await call('bot.put', {
    bot: { id: 'passes-on', endpoint: { kind: 'emit', source_id: 's', type: 'deploy' } },
  })
  await call('trigger.put', {
    trigger: {
      id: 'deploy',
      filter: { type: ['deploy'] },
      action: { bot_id: 'deployer' },
      policy: { approval: {}, ...more },
    },
  })
  await call('trigger.put', {
    trigger: { id: 'pass-on', filter: { type: ['ask'] }, action: { bot_id: 'passes-on' } },
  })
}

/** The newest run that awaits approval. */
function awaiting({ call }: TestRouter): Promise<string> {
  return until(async () => (await call('run.list', { state: 'awaiting_approval', limit: 1 })).runs[0]?.id)
}

interface Cast extends TestRouter {
  admin: string
  /** calls with the token that causes runs, and with another one */
  own: <M extends keyof Methods>(method: M, params: object) => Promise<Called<M>>
  other: <M extends keyof Methods>(method: M, params: object) => Promise<Called<M>>
  own_id: string
}

async function cast(more: object = {}): Promise<Cast> {
  const router = await listening()
  await deploys(router, more)
  const [own, other] = await Promise.all(
    ['own', 'other'].map(name => router.call('token.create', { name, role: 'operator' })),
  )
  return {
    ...router,
    own: (method, params) => callWith(router.admin, own!.token, method, params),
    other: (method, params) => callWith(router.admin, other!.token, method, params),
    own_id: `token:${own!.created.id}`,
  }
}

const emitted = (type: string): object => ({ source_id: 's', type, payload: {} })

describe('over HTTP', () => {
  test.each([
    ['its event', async ({ own }: Cast): Promise<unknown> => own('event.emit', emitted('deploy'))],
    [
      'an event whose run emitted its event',
      async ({ own }: Cast): Promise<unknown> => own('event.emit', emitted('ask')),
    ],
    [
      'its replay',
      async ({ call, own }: Cast): Promise<unknown> => {
        await call('trigger.disable', { trigger_id: 'deploy' })
        const { event_id } = await call('event.emit', { source_id: 's', type: 'deploy', payload: {} })
        await call('trigger.enable', { trigger_id: 'deploy' })
        return own('event.replay', { event_id })
      },
    ],
  ])('who caused %s does not approve it; another principal does', async (_name, cause) => {
    const all = await cast()
    await cause(all)
    const run_id = await awaiting(all)
    const refused = await all.own('run.approve', { run_id })
    expect([refused.status, refused.error?.data.code]).toEqual([403, 'E_OWN_RUN'])
    expect(refused.error?.message).toBe(
      `run ${run_id} must be approved by another person: ${all.own_id} caused it`,
    )
    expect((await all.call('run.get', { run_id })).run.state).toBe('awaiting_approval')
    expect((await all.other('run.approve', { run_id })).status).toBe(200)
  })

  test('who changed it does not approve it; another principal does, and so does who changed another run', async () => {
    const all = await cast()
    await all.call('event.emit', { source_id: 's', type: 'deploy', payload: {} })
    const before = await awaiting(all)
    const { version } = await all.call('run.preview', { run_id: before })
    const changed = await all.own('run.update', { run_id: before, version, inputs: { target: 'production' } })
    expect(changed.result?.run.state).toBe('pending')
    const run_id = await awaiting(all)
    expect((await all.own('run.approve', { run_id })).error?.message).toMatch(`${all.own_id} caused it`)
    expect((await all.other('run.approve', { run_id })).status).toBe(200)
    await all.call('event.emit', { source_id: 's', type: 'deploy', payload: {} })
    expect((await all.own('run.approve', { run_id: await awaiting(all) })).status).toBe(200)
  })

  test('it may deny it', async () => {
    const all = await cast()
    await all.own('event.emit', emitted('deploy'))
    const run_id = await awaiting(all)
    expect((await all.own('run.deny', { run_id })).result?.run.state).not.toBe('awaiting_approval')
  })

  test('a token for the bot of the run does not approve it', async () => {
    const all = await cast()
    const { token } = await all.call('token.create', {
      name: 'w',
      scopes: ['work', 'approve'],
      bot_id: 'deployer',
    })
    await all.call('event.emit', { source_id: 's', type: 'deploy', payload: {} })
    const run_id = await awaiting(all)
    expect((await callWith(all.admin, token, 'run.approve', { run_id })).error?.message).toMatch(
      /works for bot deployer, which runs it or caused it/,
    )
    const { token: free } = await all.call('token.create', {
      name: 'w',
      scopes: ['work', 'approve'],
      bot_id: 'passes-on',
    })
    expect((await callWith(all.admin, free, 'run.approve', { run_id })).status).toBe(200)
  })

  test('nobody approves in the name of the account that caused it', async () => {
    const all = await cast()
    await all.call('event.emit', { source_id: 's', type: 'deploy', payload: {}, actor: 'Ada' })
    const run_id = await awaiting(all)
    expect((await all.other('run.approve', { run_id, claimed_by: 'ada' })).error?.message).toMatch(
      /ada caused it/,
    )
    expect((await all.other('run.approve', { run_id, claimed_by: 'grace' })).status).toBe(200)
  })

  test('a denied run is not released by the principal that caused it; one that a person held is', async () => {
    const all = await cast({ approval: { on_denied: 'hold' } })
    await all.own('event.emit', emitted('deploy'))
    const run_id = await awaiting(all)
    await all.own('run.hold', { run_id })
    expect((await all.own('run.release', { run_id })).status).toBe(200)
    await awaiting(all)
    await all.call('run.deny', { run_id })
    expect((await all.call('run.get', { run_id })).run.held_by).toBe('approval')
    expect((await all.own('run.release', { run_id })).error?.data.code).toBe('E_OWN_RUN')
    expect((await all.other('run.release', { run_id })).status).toBe(200)
  })
})

describe('on the control socket', () => {
  test('its user approves what it caused, unless approval.other_person says otherwise', async () => {
    for (const other_person of [false, true]) {
      const router = await freshRouter({ approval: { other_person } })
      await deploys(router)
      await router.call('event.emit', { source_id: 's', type: 'deploy', payload: {} })
      const run_id = await awaiting(router)
      const approving = router.call('run.approve', { run_id })
      if (other_person)
        await expect(approving).rejects.toMatchObject({ code: -32015, data: { code: 'E_OWN_RUN' } })
      else expect((await approving).run.state).not.toBe('awaiting_approval')
    }
  })

  test('what was delivered is nobody’s: it approves that', async () => {
    const router = await freshRouter({ approval: { other_person: true } })
    await deploys(router)
    await router.call('source.put', {
      source: { id: 'hook', source_type: 'webhook', config: { provider: 'none' } },
    })
    await router.call('trigger.put', {
      trigger: {
        id: 'hooked',
        event_source_id: 'hook',
        filter: { type: ['webhook'] },
        action: { bot_id: 'deployer' },
        policy: { approval: {} },
      },
    })
    await router.post('hook', '{}')
    const run_id = await awaiting(router)
    expect((await router.call('run.get', { run_id })).run).not.toHaveProperty('requested_by')
    await router.call('run.approve', { run_id })
  })
})

describe('requested_by', () => {
  test('is of events and runs, and finds them', async () => {
    const all = await cast()
    await all.own('event.emit', emitted('deploy'))
    await all.call('event.emit', { source_id: 's', type: 'deploy', payload: {} })
    await awaiting(all)
    for (const requested_by of [all.own_id, 'local']) {
      const { events } = await all.call('event.query', { requested_by })
      const { runs } = await all.call('run.list', { requested_by })
      expect([events.map(each => each.requested_by), runs.map(each => each.requested_by)]).toEqual([
        [requested_by],
        [requested_by],
      ])
      expect((await all.call('event.get', { event_id: events[0]!.id })).requested_by).toBe(requested_by)
    }
    expect((await all.call('run.list', { requested_by: 'token:nothing0' })).runs).toEqual([])
  })

  test('cannot be said by the caller', async () => {
    const { call } = await freshRouter()
    await call('source.put', { source: { id: 's', source_type: 'service' } })
    await expect(
      call('event.emit', { source_id: 's', type: 'x', payload: {}, requested_by: 'token:x' } as never),
    ).rejects.toThrow('requested_by must be a known key')
  })
})
