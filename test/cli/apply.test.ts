// Definitions as files: what apply plans, writes, refuses and prunes, and that an export changes nothing.
import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { signalbox, type Ran } from '../support/command-line.ts'
import { exampleRouter } from '../support/example-router.ts'
import { ownEnvironment } from '../support/processes.ts'
import { freshRouter, type TestRouter } from '../support/router.ts'

const bots = `bots:
  - id: deployer
    endpoint: {kind: command, argv: [/bin/true]}
    max_active: 4
queues:
  - id: staging
    max_active: 1
`
const routes = `sources:
  - id: forge
    source_type: webhook
    config:
      provider: none
triggers:
  - id: deploy-site
    event_source_id: forge
    filter:
      type: [push]
      payload: {ref: [refs/heads/main]}
    action: {bot_id: deployer, inputs: {ref: "{{ payload.ref }}"}}
    policy: {queue: staging}
`

interface Files {
  router: TestRouter
  directory: string
  write: (name: string, text: string) => string
  run: (...args: string[]) => Promise<Ran>
}

async function files(): Promise<Files> {
  const router = await freshRouter()
  const directory = join(router.directory, 'conf')
  mkdirSync(directory)
  const write = (name: string, text: string): string => {
    const path = join(directory, name)
    writeFileSync(path, text)
    return path
  }
  write('bots.yaml', bots)
  write('routes.yml', routes)
  return { router, directory, write, run: (...args) => signalbox(router, args) }
}

describe('apply', () => {
  test('takes durations, which the router stores and exports in milliseconds', async () => {
    const { router, directory, write, run } = await files()
    write('routes.yml', routes.replace('policy: {', 'policy: {delay_ms: 3s, retry: [1s, 2m], '))
    expect((await run('apply', '-f', directory)).code).toBe(0)
    const { trigger } = await router.call('trigger.get', { trigger_id: 'deploy-site' })
    expect(trigger.policy).toMatchObject({ delay_ms: 3000, retry: [1000, 120_000] })
    expect((await run('apply', '-f', directory)).out).toBe('0 created, 0 changed, 0 deleted, 4 unchanged\n')
    expect((await run('export')).out).toContain('delay_ms: 3000')
    write('routes.yml', routes.replace('policy: {', 'policy: {delay_ms: soon, '))
    expect((await run('apply', '-f', directory)).err).toContain('delay_ms must be an integer; found "soon"')
  })

  test('creates, changes field by field, says what the log would have seen, and then changes nothing', async () => {
    const { router, directory, write, run } = await files()
    const planned = await run('apply', '-f', directory, '--dry-run')
    expect(planned).toMatchObject({ code: 0, err: '' })
    expect(planned.out).toBe(
      '+ bot deployer\n+ queue staging\n+ source forge\n+ trigger deploy-site  +0 −0 of 0 events in 7 days\n4 created, 0 changed, 0 deleted, 0 unchanged\n',
    )
    expect((await router.call('bot.list', {})).bots).toEqual([])
    expect((await run('apply', '-f', directory)).out).toMatch(/4 created, .*\ndone\n$/)
    expect((await run('apply', '-f', directory)).out).toBe('0 created, 0 changed, 0 deleted, 4 unchanged\n')
    for (const ref of ['main', 'main', 'next', 'next', 'next'])
      await router.post('forge', JSON.stringify({ ref: `refs/heads/${ref}` }), { 'x-event-type': 'push' })
    write(
      'routes.yml',
      routes
        .replace('refs/heads/main', 'refs/heads/next')
        .replace('provider: none', 'provider: none\n      max_body_bytes: 2000'),
    )
    const changed = await run('apply', '-f', directory)
    expect(changed.out).toBe(
      [
        '~ source forge',
        '    config.max_body_bytes: (nothing) → 2000',
        '~ trigger deploy-site  +3 −2 of 5 events in 7 days',
        '    filter.payload.ref: ["refs/heads/main"] → ["refs/heads/next"]',
        '0 created, 2 changed, 0 deleted, 2 unchanged',
        'done',
        '',
      ].join('\n'),
    )
    expect((await router.call('trigger.get', { trigger_id: 'deploy-site' })).trigger).toMatchObject({
      version: 2,
      filter: { payload: { ref: ['refs/heads/next'] } },
    })
  })

  test('prunes what the same files held and no more, after saying so; what people disabled stays disabled', async () => {
    const { router, directory, write, run } = await files()
    await run('apply', '-f', directory)
    await router.call('bot.put', { bot: { id: 'by-hand', endpoint: { kind: 'pull' } } })
    await router.call('trigger.disable', { trigger_id: 'deploy-site' })
    await router.call('queue.pause', { queue_id: 'staging', reason: 'a move' })
    expect((await run('apply', '-f', directory, '--prune')).out).toBe(
      '0 created, 0 changed, 0 deleted, 4 unchanged\n',
    )
    expect((await router.call('trigger.get', { trigger_id: 'deploy-site' })).trigger.enabled).toBe(false)
    write('routes.yml', routes.slice(0, routes.indexOf('triggers:')))
    const asked = await run('apply', '-f', directory, '--prune')
    expect(asked).toMatchObject({ code: 1, err: expect.stringContaining('--yes') as string })
    expect(asked.out).toContain('- trigger deploy-site')
    expect((await router.call('trigger.list', {})).triggers).toHaveLength(1)
    expect((await run('apply', '-f', directory, '--prune', '--yes')).out).toContain(
      '0 created, 0 changed, 1 deleted, 3 unchanged\ndone',
    )
    expect((await router.call('trigger.list', {})).triggers).toEqual([])
    expect((await router.call('bot.list', {})).bots.map(bot => bot.id)).toEqual(['by-hand', 'deployer'])
    // Another set of files takes over what it names, and its prune does not touch the first set's.
    const other = join(router.directory, 'other.json')
    writeFileSync(
      other,
      JSON.stringify({
        bots: [{ id: 'deployer', endpoint: { kind: 'command', argv: ['/bin/true'] }, max_active: 5 }],
      }),
    )
    expect((await run('apply', '-f', other, '--prune')).out).toMatch(
      /^~ bot deployer\n {4}taken over from .*conf\n {4}max_active: 4 → 5\n0 created, 1 changed, 0 deleted, 0 unchanged\ndone\n$/,
    )
    // What it holds as it is stays with the files that it came from: an export that is applied takes nothing over.
    const all = await run('export')
    writeFileSync(join(router.directory, 'all.yaml'), all.out)
    expect((await run('apply', '-f', join(router.directory, 'all.yaml'))).out).not.toContain('taken over')
    write('bots.yaml', 'queues: [{id: staging, max_active: 1}]\n')
    expect((await run('apply', '-f', directory, '--prune', '--yes')).out).toBe(
      '0 created, 0 changed, 0 deleted, 2 unchanged\n',
    )
    expect((await router.call('queue.get', { queue_id: 'staging' })).queue.paused).toBe(true)
  })

  test('what is wrong is told with file, line and column, and nothing is written', async () => {
    const { router, directory, write, run } = await files()
    const wrong = async (text: string): Promise<string> => {
      const path = write('routes.yml', text)
      const { code, err } = await run('apply', '-f', directory)
      expect(code).toBe(64)
      expect(err.startsWith(`signalbox: ${path}:`)).toBe(true)
      return err.slice(`signalbox: ${path}:`.length)
    }
    expect(await wrong(routes.replace('bot_id: deployer', 'bot_id: nobody'))).toMatch(
      /^12:22 triggers\.0\.action\.bot_id must be the id of a stored bot; found "nobody"/,
    )
    expect(await wrong(routes.replace('[push]', '[{prefx: pu}]'))).toMatch(
      /^10:13 triggers\.0\.filter\.type is refused/,
    )
    expect(await wrong(routes.replace('provider: none', 'provider: forgjo'))).toMatch(
      /^5:17 sources\.0\.config\.provider must be one of/,
    )
    expect(await wrong(routes.replace('source_type: webhook', 'source_type: webhok'))).toMatch(
      /^3:18 sources\.0\.source_type must be one of webhook, cron/,
    )
    expect(await wrong(routes.replace('id: deploy-site', 'id: deploy-site\n    id: twice'))).toMatch(
      /^8:5 is no YAML: Map keys must be unique/,
    )
    expect(await wrong(`${routes}  - nonsense\n`)).toMatch(
      /^14:5 each of triggers must be an object; found "nonsense"/,
    )
    expect(await wrong(`${routes}bot: []\n`)).toMatch(
      /^14:1 bot must be a known key \(bots, queues, sources, triggers\); found "bot"/,
    )
    expect(await wrong(`${routes}---\nsources:\n  - {id: forge, source_type: manual}\n`)).toMatch(
      /^16:10 sources\.1\.id must be unique; found "forge" in sources\.0 too/,
    )
    expect(await wrong(routes.replace('"{{ payload.ref }}"', '"{{ payload.ref"'))).toMatch(
      /^12:46 triggers\.0\.action\.inputs\.ref: "\{\{" without/,
    )
    expect(await wrong('{')).toMatch(/^\d+:\d+ is no YAML/)
    expect(await run('apply', '-f', '/no/where')).toMatchObject({
      code: 64,
      err: expect.stringContaining('ENOENT') as string,
    })
    for (const list of [await router.call('bot.list', {}), await router.call('source.list', {})])
      expect(Object.values(list)[0]).toEqual([])
  })

  test('a change of what was planned is a conflict; what others hang on is not pruned', async () => {
    const { router, directory, write, run } = await files()
    await run('apply', '-f', directory)
    const plan = await router.call('router.apply', {
      queues: [{ id: 'staging', max_active: 2 }],
      dry_run: true,
    })
    const expected = plan.changes.map(({ noun, id, version }) => ({ noun, id, version }))
    await router.call('queue.put', { queue: { id: 'staging', max_active: 3 } })
    await expect(
      router.call('router.apply', { queues: [{ id: 'staging', max_active: 2 }], expected }),
    ).rejects.toMatchObject({ code: -32009 })
    expect((await router.call('queue.get', { queue_id: 'staging' })).queue.max_active).toBe(3)
    await router.call('trigger.put', {
      trigger: {
        id: 'by-hand',
        event_source_id: 'forge',
        filter: { type: ['x'] },
        action: { bot_id: 'deployer' },
      },
    })
    write('bots.yaml', 'queues: []\n')
    write('routes.yml', 'sources: []\n')
    expect(await run('apply', '-f', directory, '--prune', '--yes')).toMatchObject({
      code: 1,
      err: expect.stringContaining(
        'source forge cannot be pruned: trigger by-hand, which is not of this file set, names it',
      ) as string,
    })
    expect((await router.call('trigger.list', {})).triggers).toHaveLength(2)
  })

  test('many triggers are tried on the log in one pass, and written together', async () => {
    const { router, directory, write, run } = await files()
    await run('apply', '-f', directory)
    for (let n = 0; n < 20; n++) await router.post('forge', JSON.stringify({ n: n % 4 }))
    const triggers = Array.from({ length: 60 }, (_, index) => ({
      id: `t${index}`,
      filter: { payload: { n: [index] } },
      action: { bot_id: 'deployer' },
    }))
    const path = write('many.yaml', stringify({ triggers }))
    const { out } = await run('--json', 'apply', '-f', path)
    const changes = out
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as { tried?: object })
    expect(changes.map(change => change.tried)).toEqual(
      triggers.map((_, index) => ({ scanned: 20, added: index < 4 ? 5 : 0, removed: 0, more: false })),
    )
    expect((await router.call('trigger.list', { limit: 500 })).triggers).toHaveLength(61)
  })
})

test('apply after export changes nothing, here and on another router', async () => {
  const { router } = await exampleRouter()
  const text = (await signalbox(router, ['export'])).out
  const again = await signalbox(router, ['apply', '-f', '-'], {}, text)
  expect(again).toMatchObject({ code: 0, err: '' })
  expect(again.out).toMatch(/^0 created, 0 changed, 0 deleted, \d\d unchanged\n$/)
  const other = await freshRouter()
  expect((await signalbox(other, ['apply', '-f', '-', '--set', 'site'], {}, text)).out).toMatch(
    /^(\+ .*\n)+\d\d created, 0 changed, 0 deleted, 0 unchanged\ndone\n$/,
  )
  expect((await signalbox(other, ['export'])).out).toBe(text)
  expect((await signalbox(other, ['export', '--set', 'site'])).out).toBe(text)
  expect((await signalbox(other, ['export', '--set', 'none'])).out).toBe('')
})

test('standard input may come slowly, several files are one set, and an empty directory can be pruned', async () => {
  const { router, directory, write, run } = await files()
  // A pipe that does not block, from who takes his time.
  const slow = [
    '/bin/sh',
    '-c',
    '(sleep 0.7; cat "$0") | "$1" src/signalbox.ts apply -f - --dry-run',
    join(directory, 'bots.yaml'),
    process.execPath,
  ]
  const { promise, resolve } = Promise.withResolvers<string>()
  const env = {
    ...ownEnvironment,
    HOME: router.directory,
    SIGNALBOX_STATE_DIR: router.directory,
    SIGNALBOX_SOCKET: join(router.directory, 'rpc.sock'),
  }
  execFile(slow[0]!, slow.slice(1), { env }, (_error, out, err) => resolve(out + err))
  expect(await promise).toContain('2 created')
  const both = ['-f', join(directory, 'bots.yaml'), '-f', join(directory, 'routes.yml')]
  expect((await run('apply', ...both)).out).toContain('4 created')
  expect(await run('apply', '-f', '-', '--prune')).toMatchObject({
    code: 64,
    err: expect.stringContaining('say --set') as string,
  })
  write('routes.yml', '')
  expect((await run('apply', ...both, '--prune', '--yes')).out).toContain('2 deleted')
  const empty = join(router.directory, 'empty')
  mkdirSync(empty)
  expect(await run('apply', '-f', empty)).toMatchObject({
    code: 64,
    err: expect.stringContaining('there is no .yaml') as string,
  })
  expect(await run('apply', '-f', empty, '--prune')).toMatchObject({
    code: 0,
    out: '0 created, 0 changed, 0 deleted, 0 unchanged\n',
  })
})
