// The command line as people and programs use it: a real process against a real router.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { signalbox, type Ran } from '../support/command-line.ts'
import { ended, freshDirectory, freshRouter, until, type TestRouter } from '../support/router.ts'

async function configured(): Promise<TestRouter> {
  const router = await freshRouter()
  await router.call('bot.put', { bot: { id: 'b', endpoint: { kind: 'command', argv: ['/bin/true'] } } })
  writeFileSync(
    join(router.directory, 'forge.json'),
    JSON.stringify({
      source: { id: 'forge', source_type: 'service' },
      triggers: [
        {
          id: 'main',
          filter: { payload: { ref: ['main', { prefix: 'release/' }] } },
          action: { bot_id: 'b', inputs: { ref: '{{ payload.ref }}' } },
        },
      ],
    }),
  )
  return router
}

test('from registering to explaining', async () => {
  const router = await configured()
  const run = (...args: string[]): Promise<Ran> => signalbox(router, args)
  expect(await run('register', join(router.directory, 'forge.json'))).toMatchObject({
    code: 0,
    out: 'created    source forge\ncreated    trigger main\n',
  })
  expect((await run('register', join(router.directory, 'forge.json'))).out).toBe(
    'unchanged  source forge\nunchanged  trigger main\n',
  )
  const hit = await run('emit', 'forge', 'push', '--payload', '{"ref": "main"}', '--key', 'k1')
  expect(hit.out).toMatch(/^event [0-9a-f-]{36}\n {2}✓ main {2}run [0-9a-f-]{36}\n$/)
  expect((await run('emit', 'forge', 'push', '--payload', '{"ref": "main"}', '--key', 'k1')).out).toContain(
    'known already',
  )
  await ended(router, /run ([0-9a-f-]{36})/.exec(hit.out)![1]!)
  expect((await run('runs')).out).toMatch(
    /^RUN +STATE +TRIGGER +BOT +ATTEMPT +CREATED +NOTE\n[0-9a-f-]{36} {2}completed {2}main +b +1 +\d{4}-/,
  )
  expect((await run('runs', 'history', 'last')).out).toContain('complete')
  const miss = await run('emit', 'forge', 'push', '--payload', '{"ref": "next", "n": 9007199254740993}')
  expect(miss.out).toContain('no trigger matched')
  expect((await run('events', 'show', 'last', '--raw')).out).toBe('{"ref":"next","n":9007199254740993}')
  const why = await run('explain', 'last')
  expect(why.out).toBe(
    '✗ main v1  did not match: 1 of 1 fields fails: payload.ref\n    ✗ payload.ref any of   found "next"\n        ✗ "main"\n        ✗ prefix "release/"\n',
  )
  expect(
    (await run('--json', 'explain', 'last')).out
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as unknown),
  ).toMatchObject([{ trigger_id: 'main', matched: false }])
  expect(await run('test', '--trigger', 'main', '--event', 'last')).toMatchObject({
    code: 1,
    out: expect.stringContaining('✗ did not match') as string,
  })
  const draft = await run(
    'test',
    '--draft',
    '{"filter": {"type": ["push"]}, "action": {"bot_id": "b", "inputs": {"x": "{{ type }}"}}}',
    '--event',
    'last',
  )
  expect(draft).toMatchObject({ code: 0, out: expect.stringContaining('"x": "push"') as string })
  expect((await run('events', '--unmatched')).out.trim().split('\n')).toHaveLength(2)
  expect((await run('events', '--filter', '{"payload": {"ref": ["main"]}}')).out).toContain('main')
  expect((await run('replay', '--since', '1h', '--all', '--dry-run')).out).toContain(
    '2 events looked at, 1 run would be made',
  )
  expect((await run('replay', '--since', '1h', '--all')).out).toContain('2 events looked at, 1 run was made')
  expect((await run('replay', 'last')).out).toContain(
    '0 runs were made (none is missing; --all creates them again)',
  )
  await run('triggers', 'disable', 'main')
  await run('emit', 'forge', 'push', '--payload', '{"ref": "main"}')
  expect((await run('explain', 'last')).out).toContain('■ main v2  would match, but the trigger is disabled')
})

test('events are emitted and listed by actor and thread', async () => {
  const router = await configured()
  const run = (...args: string[]): Promise<Ran> => signalbox(router, args)
  await run('register', join(router.directory, 'forge.json'))
  expect((await run('emit', 'forge', 'push')).code).toBe(0)
  expect((await run('events')).out).not.toContain('ACTOR')
  expect((await run('emit', 'forge', 'comment', '--actor', 'Ada', '--thread', 'acme/site#12')).code).toBe(0)
  const row =
    /^EVENT +RECEIVED +SOURCE +TYPE +SUBJECT +ACTOR +THREAD +BYTES +TRIGGERS\n\S+ +\S+ \S+ +forge +comment +- +Ada +acme\/site#12 +4 +-\n$/
  expect((await run('events', '--actor', 'ADA')).out).toMatch(row)
  expect((await run('events', '--thread', 'acme/site#12')).out).toMatch(row)
  expect((await run('events', '--thread', 'acme/site#1')).out).toBe('no such events\n')
  expect((await run('events', 'show', 'last')).out).toMatch(/actor +Ada\n(.*\n)*thread +acme\/site#12\n/)
  expect(JSON.parse((await run('events', 'save', 'last', '-')).out)).toMatchObject({
    actor: 'Ada',
    thread: 'acme/site#12',
  })
  expect(await run('emit', 'forge', 'x', '--actor', 'bot:b')).toMatchObject({
    code: 64,
    err: expect.stringContaining('actor must not begin with "bot:"') as string,
  })
})

test('lists, definitions and the doctor', async () => {
  const router = await configured()
  const run = (...args: string[]): Promise<Ran> => signalbox(router, args)
  expect((await run('sources')).out).toContain('there are no sources')
  await run('register', join(router.directory, 'forge.json'))
  expect((await run('sources')).out).toMatch(/forge +service +enabled +0 +- +-/)
  expect((await run('triggers')).out).toMatch(/main +forge +enabled +b/)
  expect((await run('bots')).out).toMatch(/b +command +ready +ok +0\/2 .* \/bin\/true/)
  expect((await run('triggers', 'disable', 'main')).out).toMatch(/enabled +false/)
  writeFileSync(
    join(router.directory, 'bot.json'),
    '{"id": "c", "endpoint": {"kind": "http", "url": "http://127.0.0.1:1/"}}',
  )
  expect((await run('bots', 'put', join(router.directory, 'bot.json'))).code).toBe(0)
  expect((await run('bots', 'delete', 'c')).code).toBe(0)
  const ini = join(router.directory, 'app.ini')
  writeFileSync(ini, '[server]\nALLOWED_HOST_LIST = *\n[webhook]\nDELIVER_TIMEOUT = 5\n')
  expect(await run('doctor', '--forgejo-ini', ini)).toMatchObject({
    code: 1,
    out: expect.stringContaining('external only') as string,
  })
  writeFileSync(ini, '[webhook]\nALLOWED_HOST_LIST = external, loopback\n[other]\n')
  const well = await run('doctor', '--forgejo-ini', ini)
  expect(well).toMatchObject({ code: 0, out: expect.stringContaining('synchronous=FULL') as string })
  // With the reserve and the free pages of the router that runs.
  expect(well.out).toMatch(
    /MiB free on the disk, \d+ MiB free in the database of \d+ MiB, \d+ MiB kept in reserve/,
  )
  expect((await run('bots', 'disable', 'b')).out).toMatch(/enabled +false/)
  expect((await run('bots', 'enable', 'b')).out).toMatch(/enabled +true/)
  await router.call('source.put', {
    source: {
      id: 'hook',
      source_type: 'webhook',
      config: { provider: 'forgejo', secrets: [{ file: '/no/secret' }] },
    },
  })
  expect(await run('doctor')).toMatchObject({
    code: 1,
    out: expect.stringContaining('/no/secret cannot be read (ENOENT)') as string,
  })
  await expect(
    router.call('source.put', { source: { id: 'hook', source_type: 'manual' } }),
  ).rejects.toMatchObject({ code: -32009 })
  expect((await run('rpc', 'rpc.health')).out).toContain('"status": "ok"')
})

test('queues, approvals, drains, dead letters, pauses, counts and events as they come', async () => {
  const router = await configured()
  const run = (...args: string[]): Promise<Ran> => signalbox(router, args)
  const followed = signalbox(router, [
    '--json',
    'events',
    'follow',
    '--source',
    'router',
    '--type',
    'run.awaiting_approval',
  ])
  const file = (name: string, value: object): string => {
    const path = join(router.directory, name)
    writeFileSync(path, JSON.stringify(value))
    return path
  }
  expect(
    (await run('queues', 'put', file('queue.json', { id: 'staging', max_active: 1, max_pending: 5 }))).out,
  ).toMatch(/max_active +1/)
  await run('register', join(router.directory, 'forge.json'))
  await run(
    'triggers',
    'put',
    file('asks.json', {
      id: 'asks',
      filter: { type: ['ask'] },
      action: { bot_id: 'b' },
      policy: { queue: 'staging', approval: {} },
    }),
  )
  await router.call('bot.put', { bot: { id: 'no', endpoint: { kind: 'command', argv: ['/bin/false'] } } })
  await run(
    'triggers',
    'put',
    file('dies.json', {
      id: 'dies',
      filter: { type: ['die'] },
      action: { bot_id: 'no' },
      policy: { retry: 'none' },
    }),
  )
  expect((await run('emit', 'forge', 'ask')).out).toContain('✓ asks  run')
  await until(async () => (await run('runs')).out.includes('awaiting_approval'))
  expect((await run('queues', 'pause', 'staging', '-r', 'moved')).out).toMatch(/paused_reason +moved/)
  expect((await run('queues')).out).toMatch(/staging +paused +1 +0 +1 at once, 5 waiting +moved/)
  const [asks] = (await router.call('run.list', { state: 'awaiting_approval' })).runs
  expect((await run('runs', 'approve', asks!.id, '--yes')).out).toContain('queue staging is paused: moved')
  expect((await run('queues', 'show', 'staging')).out).toMatch(/waiting +1/)
  await run('queues', 'resume', 'staging')
  await until(async () => (await run('runs')).out.includes('completed'))
  expect((await run('bots', 'drain', 'b', '-r', 'an update')).out).toMatch(/drained_reason +an update/)
  expect((await run('bots')).out).toMatch(/b +command +drained/)
  expect((await run('bots', 'undrain', 'b')).out).toMatch(/drained +false/)
  expect((await run('bots', 'heartbeat', 'b', 'busy')).out).toMatch(/availability +busy/)
  const dead = (await router.call('event.emit', { source_id: 'forge', type: 'die', payload: {} })).runs[0]!
  await ended(router, dead)
  const plan = await run('runs', 'discard', '--trigger', 'dies')
  expect(plan.out).toMatch(/1 +dies +no +exit code 1\nnothing was done: --yes would discard it/)
  expect((await run('runs', 'discard', '--trigger', 'dies', '--yes')).out).toContain('1 discarded')
  expect(await run('runs', 'retry')).toMatchObject({ code: 64 })
  expect((await run('pause', '-r', 'the disk')).out).toContain('dispatching is paused')
  expect((await run('emit', 'forge', 'die')).code).toBe(0)
  expect((await run('runs')).out).toContain('the router is paused: the disk')
  expect((await run('resume')).out).toContain('goes on')
  expect((await run('stats')).out).toMatch(/TRIGGER +WAITING[^]+asks +0 +- +0 +1 +0 +0/)
  await router.router.stop()
  const told = await followed
  expect(told.code).toBe(74)
  expect(JSON.parse(told.out)).toMatchObject({
    cursor: expect.any(String) as string,
    event: { type: 'run.awaiting_approval', subject: 'asks' },
  })
})

test('what goes wrong is said, with what to do, and an exit code', async () => {
  const router = await configured()
  const run = (...args: string[]): Promise<Ran> => signalbox(router, args)
  expect(await signalbox({ directory: '/nowhere' }, ['runs'])).toMatchObject({
    code: 74,
    err: expect.stringContaining('start a router with scripts/start') as string,
  })
  expect(await signalbox({ directory: '/nowhere' }, ['doctor'])).toMatchObject({
    code: 1,
    out: expect.stringContaining('no socket at') as string,
  })
  expect(await run('nonsense')).toMatchObject({ code: 64 })
  expect(await run('emit', 'forge')).toMatchObject({ code: 64 })
  expect(await run('emit', 'forge', 'x', '--payload', '{')).toMatchObject({
    code: 64,
    err: expect.stringContaining('not valid JSON') as string,
  })
  expect(await run('emit', 'forge', 'x', '--payload', '@/no/file')).toMatchObject({
    code: 64,
    err: expect.stringContaining('ENOENT') as string,
  })
  expect(await run('emit', 'nowhere', 'x')).toMatchObject({
    code: 1,
    err: 'signalbox: there is no source nowhere; signalbox sources list shows what there is (E_NOT_FOUND)\n',
  })
  expect(await run('events', '--since', '5')).toMatchObject({ code: 64 })
  expect(await run('test', '--trigger', 'x')).toMatchObject({ code: 64 })
  expect(await run('runs', 'cancel', 'x')).toMatchObject({
    code: 64,
    err: 'signalbox: the id of a run was expected, its last 8 or more characters, or last; found "x"\n',
  })
  const told = await run('--json', 'sources', 'show', 'nowhere')
  expect(told.code).toBe(1)
  expect(JSON.parse(told.err)).toMatchObject({ error: { code: -32002, data: { code: 'E_NOT_FOUND' } } })
  for (const state of ['/proc/nope', '/dev/null/x', join(router.directory, 'forge.json', 'x')]) {
    expect(await run('serve', '--state-dir', state)).toMatchObject({
      code: 77,
      err: expect.stringContaining('cannot be made') as string,
    })
  }
  expect(await run('--version')).toMatchObject({ code: 0, out: '0.1.0\n' })
  expect(await run('--help')).toMatchObject({ code: 0, out: expect.stringContaining('doctor') as string })
  expect(await run('serve', '--log-level', 'loud')).toMatchObject({
    code: 78,
    err: expect.stringContaining('log_level must be one of') as string,
  })
  expect(await run('serve')).toMatchObject({
    code: 75,
    err: expect.stringContaining('another router holds') as string,
  })
})

test('control characters of events do not reach the terminal', async () => {
  const router = await configured()
  await router.call('source.put', { source: { id: 's', source_type: 'service' } })
  await router.call('event.emit', {
    source_id: 's',
    type: 'x',
    subject: 'a\u001b[31mred\u202e',
    payload: { text: '\u009b31m\u001b]0;title\u0007\u007f' },
  })
  for (const args of [['events'], ['events', 'show', 'last'], ['explain', 'last']]) {
    const { out } = await signalbox(router, args)
    expect(out).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/)
  }
})

test('trying: backtest, dry run, versions, near misses, hints', async () => {
  const router = await configured()
  const run = (...args: string[]): Promise<Ran> => signalbox(router, args)
  await run('register', join(router.directory, 'forge.json'))
  for (const ref of ['main', 'release/1', 'next', 'next'])
    await router.call('event.emit', {
      source_id: 'forge',
      type: 'push',
      payload: { ref, repository: { name: 'x' } },
    })
  const draft = join(router.directory, 'draft.json')
  writeFileSync(
    draft,
    JSON.stringify({
      id: 'main',
      event_source_id: 'forge',
      filter: { payload: { ref: ['next'] } },
      action: { bot_id: 'b', inputs: { is: '{{ payload.ref }}' } },
    }),
  )
  const report = await run('backtest', '--draft', `@${draft}`, '--since', '1h')
  expect(report).toMatchObject({ code: 0, err: '' })
  expect(report.out).toMatch(/^2 of 4 events matched \(50.0 %/)
  expect(report.out).toContain('against the live version 1: +2 −2')
  expect(report.out).toMatch(/TYPE +MATCHED +OF\npush +2 +4\n/)
  expect(report.out).toMatch(/DAY +MATCHED +OF\n\d{4}-\d\d-\d\d +2 +4\n/)
  expect(report.out).toContain('inputs {"is":"next"}')
  expect(report.out).toMatch(/lost\n {2}[0-9a-f-]{36} .* push .*✗ payload.ref\n/)
  expect(JSON.parse((await run('--json', 'backtest', 'main', '--samples', '0')).out)).toMatchObject({
    scanned: 4,
    matched: 2,
    samples: { matched: [], unmatched: [] },
  })
  expect((await run('backtest', '--filter', '{"type": ["none"]}')).out).toMatch(/^0 of 4 events matched/)
  expect(await run('backtest')).toMatchObject({ code: 64 })
  expect(await run('backtest', 'nobody')).toMatchObject({
    code: 1,
    err: expect.stringContaining('no trigger nobody') as string,
  })
  const dry = await run('triggers', 'put', draft, '--dry-run')
  expect(dry.out).toContain(
    'nothing was written; main would be version 2; the last 7 days:\n2 of 4 events matched',
  )
  expect((await run('triggers', 'show', 'main')).out).toMatch(/version +1\n/)
  await run('triggers', 'put', draft)
  expect((await run('triggers', 'versions', 'main')).out).toMatch(
    /VERSION +WRITTEN +STATE +FILTER\n2 \(present\) .*enabled .*next.*\n1 .*prefix/,
  )
  expect((await run('explain', 'last', 'main')).out).toContain(
    '■ main v2  would match, but the trigger was not there',
  )
  expect((await run('explain', 'last', 'main', '--at-version', '1')).out).toContain(
    '✗ main v1  did not match',
  )
  expect(await run('explain', 'last', '--at-version', '1')).toMatchObject({ code: 64 })
  expect((await run('events', '--near', 'main')).out).toMatch(/FAILS\n(.*payload.ref\n){2}$/)
  expect(await run('test', '--filter', '{"type": ["push"], "type": ["x"]}', '--event', 'last')).toMatchObject(
    {
      code: 64,
      err: expect.stringContaining('the key type twice') as string,
    },
  )
  expect(await run('test', '--filter', '{"type": [{"prefx": "x"}]}', '--event', 'last')).toMatchObject({
    code: 64,
    err: expect.stringContaining('did you mean prefix?') as string,
  })
  expect((await run('triggers', 'rollback', 'main', '1', '--dry-run')).out).toContain('+2 −2')
  expect((await run('triggers', 'rollback', 'main', '1')).out).toMatch(/version +3\n/)
  expect(
    (await run('test', '--filter', '{"payload": {"repo": {"name": ["x"]}}}', '--event', 'last')).out,
  ).toContain('✗ payload.repo.name "x"   nothing there; did you mean payload.repository.name?')
})

describe('a misspelled command', () => {
  test.each(['runs', 'events', 'triggers', 'bots', 'queues', 'sources'])(
    'of %s is named with the nearest, and is no argument of its list',
    async group => {
      const router = { directory: freshDirectory() }
      expect(await signalbox(router, [group, 'shwo', 'x'])).toMatchObject({
        code: 64,
        out: '',
        err: expect.stringContaining(
          `signalbox ${group} has no command "shwo" (did you mean show?)`,
        ) as string,
      })
    },
  )

  test('of the program, and an option, are suggested too', async () => {
    const router = { directory: freshDirectory() }
    expect((await signalbox(router, ['rnus'])).err).toContain('Did you mean runs?')
    expect((await signalbox(router, ['runs', '--ded'])).err).toContain('Did you mean --dead?')
    expect(await signalbox(router, ['runs', 'list', 'x'])).toMatchObject({
      code: 64,
      err: expect.stringContaining('signalbox runs list takes no arguments') as string,
    })
  })
})

test('bots shows what each can do, when it was last seen, and what it used', async () => {
  const router = await freshRouter()
  const { call } = router
  const argv = ['/bin/echo', '{"usage": {"input_tokens": 1200, "cost_usd": 0.25}}']
  await call('bot.put', {
    bot: { id: 'agent', endpoint: { kind: 'command', argv }, capabilities: ['code', 'review'] },
  })
  await call('bot.put', { bot: { id: 'idle', endpoint: { kind: 'pull' } } })
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  await call('trigger.put', { trigger: { id: 't', filter: { type: ['x'] }, action: { bot_id: 'agent' } } })
  await ended(router, (await call('event.emit', { source_id: 's', type: 'x', payload: {} })).runs[0]!)
  const [head, agent, idle] = (await signalbox(router, ['bots'])).out.split('\n')
  expect(head).toMatch(/LAST SEEN +USED +CAPABILITIES/)
  expect(agent).toMatch(/^agent .* \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ +1,200 in, 0 out, 0\.25 USD +code, review/)
  expect(idle).toMatch(/^idle .* - +- +- +its workers/)
})

test('dispatch --wait prints the result alone to a pipe, and how it ended beside it', async () => {
  const router = await freshRouter()
  const { call } = router
  const script = 'echo working; echo \'{"done": 3}\'; exit $(cat code 2>/dev/null || echo 0)'
  await call('bot.put', {
    bot: { id: 'b', endpoint: { kind: 'command', argv: ['/bin/sh', '-c', script], cwd: router.directory } },
  })
  await call('source.put', {
    source: { id: 'inbox', source_type: 'dispatch', config: { workflow_id: 'build' } },
  })
  await call('trigger.put', {
    trigger: { id: 't', event_source_id: 'inbox', filter: { source_id: ['inbox'] }, action: { bot_id: 'b' } },
  })
  const ran = await signalbox(router, ['dispatch', 'build', '--wait'])
  expect([ran.code, JSON.parse(ran.out)]).toEqual([0, { done: 3 }])
  expect(ran.err).toMatch(/run [0-9a-f-]{36} of t {2}completed/)
  writeFileSync(join(router.directory, 'code'), '4')
  expect(await signalbox(router, ['dispatch', 'build', '--wait'])).toMatchObject({
    code: 1,
    out: '',
    err: expect.stringContaining('exit code 4: {"done": 3}') as string,
  })
})
