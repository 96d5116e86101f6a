// A router in the state that the examples of openrpc.json tell of.
import { logIn } from './admin.ts'
import { Bindings } from './compare.ts'
import { ended, freshRouter, until, type TestRouter } from './router.ts'

const command = (script: string): { kind: 'command'; argv: string[] } => ({
  kind: 'command',
  argv: ['/bin/sh', '-c', script],
})

/** Logs a browser in. Answers the id of the login. */
async function loggedIn({ call }: TestRouter): Promise<string> {
  const { url } = await call('login.create', {})
  await logIn((await call('router.status', {})).admin_address!, url, { 'user-agent': 'Firefox' })
  return (await call('login.list', {})).logins[0]!.id
}

export async function exampleRouter(): Promise<{ router: TestRouter; ids: Bindings }> {
  const router = await freshRouter()
  const { call } = router
  await call('bot.put', { bot: { id: 'deployer', endpoint: { kind: 'command', argv: ['/bin/true'] } } })
  await call('bot.put', { bot: { id: 'spare-bot', endpoint: { kind: 'command', argv: ['/bin/true'] } } })
  await call('bot.put', {
    bot: {
      id: 'people',
      endpoint: { kind: 'notify', preset: 'ntfy', url: 'http://127.0.0.1:9/', topic: 'signalbox' },
    },
  })
  await call('bot.put', { bot: { id: 'failer', endpoint: command('exit 3') } })
  await call('bot.put', { bot: { id: 'sleeper', endpoint: command('exit 0'), enabled: false } })
  await call('source.put', { source: { id: 'forge', source_type: 'webhook', config: { provider: 'none' } } })
  await router.post('forgejo', '{}')
  await call('source.put', { source: { id: 'spare', source_type: 'manual' } })
  await call('source.put', {
    source: { id: 'review-inbox', source_type: 'dispatch', config: { workflow_id: 'review' } },
  })
  await call('trigger.put', {
    trigger: {
      id: 'review',
      event_source_id: 'review-inbox',
      filter: { type: ['dispatch'] },
      action: { bot_id: 'sleeper' },
    },
  })
  await call('source.put', {
    source: {
      id: 'feed',
      source_type: 'poll',
      enabled: false,
      config: { command: { argv: ['/bin/echo', '[]'] } },
    },
  })
  await call('source.put', {
    source: { id: 'new-year', source_type: 'cron', config: { expression: '0 0 1 1 *' } },
  })
  const on = (id: string, type: string, bot_id: string): Promise<unknown> =>
    call('trigger.put', {
      trigger: { id, event_source_id: 'forge', filter: { type: [type] }, action: { bot_id } },
    })
  await on('always-fails', 'fail', 'failer')
  await on('later', 'later', 'sleeper')
  await call('trigger.put', {
    trigger: {
      id: 'deploy-site',
      event_source_id: 'forge',
      filter: { type: ['push'], payload: { ref: ['refs/heads/main'] } },
      action: {
        bot_id: 'deployer',
        workflow_id: 'deploy',
        inputs: { repo: '{{ payload.repository.full_name }}' },
      },
    },
  })
  const push = await call('event.emit', {
    source_id: 'forge',
    type: 'push',
    payload: { ref: 'refs/heads/main', repository: { full_name: 'acme/site' } },
  })
  const fail = await call('event.emit', { source_id: 'forge', type: 'fail', payload: {} })
  const later = await call('event.emit', { source_id: 'forge', type: 'later', payload: {} })
  await Promise.all([ended(router, push.runs[0]!), ended(router, fail.runs[0]!)])
  await call('source.put', { source: { id: 'jobs', source_type: 'service' } })
  for (const bot_id of ['worker', 'puller']) {
    await call('bot.put', { bot: { id: bot_id, endpoint: { kind: 'pull' } } })
    await call('trigger.put', {
      trigger: {
        id: `to-${bot_id}`,
        event_source_id: 'jobs',
        filter: { type: [bot_id] },
        action: { bot_id },
      },
    })
  }
  const job = (type: string): ReturnType<typeof call<'event.emit'>> =>
    call('event.emit', { source_id: 'jobs', type, payload: {} })
  const [begun, given] = [await job('worker'), await job('worker')]
  await job('puller')
  const held = await job('puller')
  await call('run.hold', { run_id: held.runs[0]! })
  const [first, second] = (await call('run.claim', { bot_id: 'worker', max: 2 })).leases
  await call('run.start', { run_id: first!.run_id, lease_token: first!.lease_token })
  await call('run.log', { run_id: first!.run_id, lease_token: first!.lease_token, text: 'fetched acme/site' })
  await call('queue.put', { queue: { id: 'staging', max_active: 1 } })
  await call('queue.put', { queue: { id: 'spare-queue' } })
  await call('bot.put', { bot: { id: 'pauser', endpoint: { kind: 'pull' } } })
  const trigger = (name: string, action: object, policy: object): Promise<unknown> =>
    call('trigger.put', {
      trigger: { id: name, event_source_id: 'jobs', filter: { type: [name] }, action, policy },
    })
  await trigger('to-pauser', { bot_id: 'pauser' }, {})
  await call('bot.put', { bot: { id: 'careful', endpoint: { kind: 'command', argv: ['/bin/true'] } } })
  await trigger('asks', { bot_id: 'careful' }, { approval: {} })
  await trigger(
    'in-order',
    { bot_id: 'failer' },
    { queue: 'staging', order_key: '{{ payload.repo }}', retry: 'none' },
  )
  const ordered = (): ReturnType<typeof job> =>
    call('event.emit', { source_id: 'jobs', type: 'in-order', payload: { repo: 'acme/site' } })
  const [toPause, asks, stuck] = [await job('to-pauser'), await job('asks'), await ordered()]
  await ended(router, stuck.runs[0]!)
  const behind = await ordered()
  await until(
    async () =>
      (await call('run.get', { run_id: behind.runs[0]! })).run.waiting_for?.includes('an earlier run') ===
      true,
  )
  await until(
    async () => (await call('run.get', { run_id: asks.runs[0]! })).run.state === 'awaiting_approval',
  )
  const [pausing] = (await call('run.claim', { bot_id: 'pauser' })).leases
  const lease = { run_id: pausing!.run_id, lease_token: pausing!.lease_token }
  await call('run.start', lease)
  await call('run.pause', { run_id: lease.run_id })
  await call('run.heartbeat', { ...lease, paused: true })
  const { created } = await call('token.create', {
    name: 'worker on the build host',
    role: 'worker',
    bot_id: 'worker',
    never_expires: true,
  })
  const login_id = await loggedIn(router)
  const id = (end: string): string => `01997f3e-5b00-7000-8000-0000000000${end}`
  const ids = new Bindings({
    EXAMPLE2: created.id,
    EXAMPLE3: login_id,
    [id('e1')]: push.event_id,
    [id('a1')]: push.runs[0]!,
    [id('e2')]: fail.event_id,
    [id('a2')]: fail.runs[0]!,
    [id('e3')]: later.event_id,
    [id('a9')]: later.runs[0]!,
    [id('d2')]: begun.event_id,
    [id('d1')]: begun.runs[0]!,
    'w:0123456789abcdef0123456789abcdef': first!.lease_token,
    [id('c1')]: asks.event_id,
    [id('b1')]: asks.runs[0]!,
    [id('c3')]: toPause.event_id,
    [id('b3')]: toPause.runs[0]!,
    [id('c5')]: stuck.event_id,
    [id('b5')]: stuck.runs[0]!,
    [id('d6')]: held.event_id,
    [id('d5')]: held.runs[0]!,
    [id('d4')]: given.event_id,
    [id('d3')]: given.runs[0]!,
    'w:fedcba9876543210fedcba9876543210': second!.lease_token,
  })
  return { router, ids }
}
