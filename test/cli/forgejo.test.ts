// The webhook of a repository: made with its traps known, tried, looked at, taken away; and what is said when nothing comes.
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { signalbox, type Ran } from '../support/command-line.ts'
import { forgejoServer, type ForgejoServer } from '../support/forgejo-server.ts'
import { freshRouter, type TestRouter } from '../support/router.ts'

async function both(): Promise<{
  router: TestRouter
  forge: ForgejoServer
  run: (action: string, ...args: string[]) => Promise<Ran>
}> {
  const router = await freshRouter()
  const forge = await forgejoServer()
  const run = (action: string, ...args: string[]): Promise<Ran> =>
    signalbox(router, ['forgejo', action, forge.url, 'acme/site', '--source', 'forge', ...args], {
      FORGEJO_TOKEN: forge.token,
    })
  return { router, forge, run }
}

test('connect makes the source, its secret and an active hook, and the test delivery comes; again it replaces the hook', async () => {
  const { router, forge, run } = await both()
  for (let id = 1; id <= 60; id++)
    forge.hooks.set(id, {
      id,
      type: 'slack',
      active: true,
      events: ['push'],
      branch_filter: '',
      config: { url: 'http://chat', content_type: 'json' },
      secret: '',
    })
  const first = await run('connect')
  const file = join(router.directory, 'secrets', 'forge.secret')
  expect(first).toMatchObject({ code: 0, err: '' })
  expect(first.out).toMatch(
    new RegExp(
      `^source forge is made; its secret is in ${file}\nhook 61 of acme/site delivers push, create, delete, issues, .*release to ${router.router.intake}/webhook/forge\n✓ the test delivery came: event [0-9a-f-]{36}; no trigger matched it\n$`,
    ),
  )
  expect(statSync(file).mode & 0o777).toBe(0o600)
  const secret = readFileSync(file, 'utf8').trim()
  expect(forge.hooks.get(61)).toMatchObject({
    type: 'forgejo',
    active: true,
    secret,
    config: { content_type: 'json' },
  })
  expect(secret).toMatch(/^[0-9a-f]{64}$/)
  expect(`${first.out}${first.err}`).not.toContain(secret)
  const [event] = (await router.call('event.query', { source_id: 'forge' })).events
  expect(event).toMatchObject({ type: 'push', subject: 'example/example' })
  const looked = await run('check')
  expect(looked).toMatchObject({
    code: 0,
    out: expect.stringMatching(
      /^hook 61 of acme\/site is active and delivers push, .*\n✓ the test delivery came/,
    ) as string,
  })
  expect((await run('connect', '--events', 'push, release', '--branch-filter', 'main')).out).toContain(
    'hook 62 of acme/site delivers push, release to',
  )
  const again = await run('connect')
  expect(again.out).toMatch(/hook 63 of acme\/site delivers push, release to .*, in place of 62\n/)
  expect(forge.hooks.get(63)).toMatchObject({ events: ['push', 'release'], branch_filter: 'main', secret })
  expect(forge.hooks.size).toBe(61)
  expect(forge.requests.filter(request => request.startsWith('PATCH'))).toEqual([])
  expect(await run('disconnect')).toMatchObject({
    code: 0,
    out: 'hook 63 of acme/site is gone; source forge stays\n',
  })
  expect(forge.hooks.size).toBe(60)
  expect(await run('disconnect')).toMatchObject({
    code: 1,
    err: expect.stringContaining('no hook of acme/site delivers to') as string,
  })
  expect(await run('check')).toMatchObject({
    code: 1,
    err: expect.stringContaining('signalbox forgejo connect makes one') as string,
  })
})

test('another hook of the same source by another way is named, and makes no second source before it may be made', async () => {
  const { router, forge, run } = await both()
  expect((await run('connect')).code).toBe(0)
  const other = new URL(router.router.intake)
  other.hostname = 'localhost'
  const again = await run('connect', '--webhook-url', `${other.origin}/webhook/forge`)
  expect(again.out).toContain(
    `hook 1 delivers to ${router.router.intake}/webhook/forge: if that is this router too, each event comes twice`,
  )
  expect(forge.hooks.size).toBe(2)
  expect(await run('connect', '--events', '')).toMatchObject({
    code: 64,
    err: expect.stringContaining('--events must be a list') as string,
  })
  const tokenless = await signalbox(router, ['forgejo', 'connect', forge.url, 'acme/site', '--source', 'new'])
  expect(tokenless).toMatchObject({ code: 1, out: '' })
  await expect(router.call('source.get', { source_id: 'new' })).rejects.toMatchObject({ code: -32002 })
})

test('when no delivery comes it is said what to look at', async () => {
  const { forge, run } = await both()
  forge.allowsLoopback = false
  const refused = await run('connect', '--wait', '1')
  expect(refused).toMatchObject({
    code: 1,
    err: expect.stringContaining('no test delivery came within 1 s') as string,
  })
  expect(refused.err).toContain('ALLOWED_HOST_LIST = external, loopback')
  expect(refused.err).toContain(`${forge.url}/acme/site/settings/hooks/1 shows what was sent`)
  expect(refused.err).not.toContain('is empty')
  expect(forge.deliveries).toEqual([expect.stringContaining('webhook can only call allowed HTTP servers')])
  forge.allowsLoopback = true
  forge.empty = true
  expect((await run('check', '--wait', '1')).err).toContain('the repository is empty')
  forge.empty = false
  // A secret that somebody changed on the forge's side is refused by the router, and mended by connecting again.
  forge.hooks.get(1)!.secret = 'another'
  expect(await run('check', '--wait', '1')).toMatchObject({
    code: 1,
    err: expect.stringContaining('a secret that differs is made good by connecting again') as string,
  })
  expect(forge.deliveries.at(-1)).toBe('401')
  expect(await run('connect')).toMatchObject({ code: 0, err: '' })
  forge.hooks.get(2)!.active = false
  expect(await run('check')).toMatchObject({ code: 1, err: 'signalbox: hook 2 is not active\n' })
})

test('what the forge and the router refuse is told with what to do, and the token is not', async () => {
  const { router, forge, run } = await both()
  const other = (env: Record<string, string>, ...args: string[]): Promise<Ran> =>
    signalbox(router, ['forgejo', 'connect', ...args], env)
  expect(await other({}, forge.url, 'acme/site', '--source', 'forge')).toMatchObject({
    code: 1,
    err: expect.stringContaining('answered 401: a token is needed: set FORGEJO_TOKEN') as string,
  })
  const wrong = await other({ FORGEJO_TOKEN: 'canary-token' }, forge.url, 'acme/site', '--source', 'forge')
  expect(wrong).toMatchObject({
    code: 1,
    err: expect.stringContaining('the token is not valid (it says: token is required)') as string,
  })
  expect(JSON.stringify(wrong)).not.toContain('canary-token')
  const token = join(router.directory, 'token')
  writeFileSync(token, `${forge.token}\n`, { mode: 0o600 })
  expect(await other({}, forge.url, 'acme/none', '--source', 'forge', '--token-file', token)).toMatchObject({
    code: 1,
    err: expect.stringContaining('there is no such repository') as string,
  })
  expect(
    await other({}, forge.url, 'acme/site', '--source', 'forge', '--token-file', `${token}-none`),
  ).toMatchObject({
    code: 64,
    err: expect.stringContaining('ENOENT') as string,
  })
  expect(await other({}, 'http://127.0.0.1:1', 'acme/site', '--source', 'forge')).toMatchObject({
    code: 1,
    err: expect.stringContaining('does not answer (ECONNREFUSED)') as string,
  })
  expect(await other({}, 'forge', 'acme/site', '--source', 'forge')).toMatchObject({ code: 64 })
  expect(await other({}, forge.url, 'site', '--source', 'forge')).toMatchObject({
    code: 64,
    err: expect.stringContaining('owner/name') as string,
  })
  await router.call('source.put', { source: { id: 'hand', source_type: 'manual' } })
  expect(
    await other({ FORGEJO_TOKEN: forge.token }, forge.url, 'acme/site', '--source', 'hand'),
  ).toMatchObject({
    code: 64,
    err: expect.stringContaining('source hand is manual') as string,
  })
  const elsewhere = await run('connect', '--webhook-url', 'http://127.0.0.1:1/webhook/forge', '--wait', '1')
  expect(elsewhere).toMatchObject({
    code: 1,
    err: expect.stringContaining('--webhook-url names another way here') as string,
  })
})

test.each([
  ['an organisation', ['--org', 'acme'], 'acme', 'organisationHooks', 'write:organization'],
  ['the whole forge', ['--system'], 'the whole forge', 'systemHooks', 'write:admin'],
] as const)(
  'the hook of %s is made, looked at and taken away; its test is the next event',
  async (_name, owner, named, hooks, scope) => {
    const router = await freshRouter()
    const forge = await forgejoServer()
    const run = (action: string, ...args: string[]): Promise<Ran> =>
      signalbox(router, ['forgejo', action, forge.url, ...owner, '--source', 'forge', ...args], {
        FORGEJO_TOKEN: forge.token,
      })
    const made = await run('connect')
    expect(made).toMatchObject({ code: 0, err: '' })
    expect(made.out).toMatch(
      new RegExp(
        `^source forge is made; .*\nhook 1 of ${named} delivers push, .* to .*/webhook/forge\nno event has come yet\\. The forge makes no test delivery`,
      ),
    )
    expect(made.out).toContain(
      hooks === 'systemHooks' ? `${forge.url}/admin/hooks/1` : `${forge.url}/org/acme/settings/hooks/1`,
    )
    expect(forge[hooks].get(1)).toMatchObject({ type: 'forgejo', active: true })
    expect(forge.hooks.size).toBe(0)
    expect((await run('connect')).out).toContain(`hook 2 of ${named} delivers`)
    expect([...forge[hooks].keys()]).toEqual([2])
    expect((await run('check')).out).toContain(`hook 2 of ${named} is active and delivers push`)
    forge.scopes.delete(scope)
    expect(await run('check')).toMatchObject({
      code: 1,
      err: expect.stringContaining(`it needs the scope ${scope}`) as string,
    })
    forge.scopes.add(scope)
    expect(await run('disconnect')).toMatchObject({
      code: 0,
      out: `hook 2 of ${named} is gone; source forge stays\n`,
    })
    expect(forge[hooks].size).toBe(0)
  },
)

test('one owner is named: a repository, an organisation that there is, or the whole forge', async () => {
  const router = await freshRouter()
  const forge = await forgejoServer()
  const run = (...args: string[]): Promise<Ran> =>
    signalbox(router, ['forgejo', 'connect', forge.url, ...args, '--source', 'forge'], {
      FORGEJO_TOKEN: forge.token,
    })
  for (const owners of [[], ['acme/site', '--org', 'acme'], ['--org', 'acme', '--system']])
    expect(await run(...owners)).toMatchObject({
      code: 64,
      err: expect.stringContaining(
        'name one of: a repository as owner/repo, --org OWNER, or --system',
      ) as string,
    })
  expect(await run('--org', 'nobody')).toMatchObject({
    code: 1,
    err: expect.stringContaining('the organisation does not exist') as string,
  })
  expect(await run('--org', 'a/b')).toMatchObject({ code: 64 })
})
