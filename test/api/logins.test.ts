// Logins of browsers: the link, the cookie, when each ends, and what a login may do.
import { describe, expect, onTestFinished, test } from 'vitest'
import { Logins } from '../../src/api/logins.ts'
import { localPrincipal, roleScopes, userPrincipal, type Principal } from '../../src/api/principal.ts'
import { contractDocument } from '../../src/contract/document.ts'
import type { Methods, Role, Scope } from '../../src/contract/types.ts'
import { ask, bearerOf, callOf, callWith, cookieOf, listening, logIn, type Answer } from '../support/admin.ts'
import { freshRouter, routerIn, until, type TestRouter } from '../support/router.ts'

const hourMs = 3_600_000

interface InMemory {
  logins: Logins
  clock: { now: number; elapsed: number; token: boolean }
}

function inMemory(): InMemory {
  const clock = { now: 1_790_000_000_000, elapsed: 0, token: true }
  const store = {
    putToken: async () => undefined,
    revokeToken: async () => undefined,
    noteTokenUses: async () => undefined,
  }
  const tokens = { isValid: (id: string) => id === 'local' || clock.token }
  const options = {
    store,
    tokens,
    now: () => clock.now,
    elapsed: () => clock.elapsed,
    logBug: () => undefined,
  }
  return { logins: new Logins([], options), clock }
}

const tokenOf = (role: Role): Principal => ({
  ...userPrincipal('', undefined, [role]),
  id: 'token:aaaaaaaa',
  interface: 'http',
})

describe('a link', () => {
  test('works once', async () => {
    const { logins } = inMemory()
    const { code } = logins.createCode(localPrincipal)
    const made = await logins.redeem(code, '127.0.0.1', 'Firefox')
    expect(logins.principalOf(made!.secret, '127.0.0.1')).toMatchObject({
      id: 'local',
      interface: 'page',
      agent: false,
    })
    expect(await logins.redeem(code, '127.0.0.1', 'Firefox')).toBeUndefined()
    expect(logins.list()).toMatchObject([
      { browser: 'Firefox', address: '127.0.0.1', role: 'developer', created_by: 'local', state: 'valid' },
    ])
  })

  test.each([
    ['59 s later, although the clock was set a year on', 59_999, 365 * 24 * hourMs, true],
    ['59 s later, although the clock was set a year back', 59_999, -365 * 24 * hourMs, true],
    ['a minute later', 60_000, 60_000, false],
    ['a minute later, although the clock was set back', 60_000, -hourMs, false],
  ])('%s: accepted is %s', async (_name, elapsed, jump, accepted) => {
    const { logins, clock } = inMemory()
    const { code } = logins.createCode(localPrincipal)
    clock.elapsed += elapsed
    clock.now += jump
    expect((await logins.redeem(code, undefined, undefined)) !== undefined).toBe(accepted)
  })

  test('ends when its creator’s token has ended, and the oldest of 17 ends', async () => {
    const { logins, clock } = inMemory()
    const { code } = logins.createCode(tokenOf('viewer'))
    clock.token = false
    expect(await logins.redeem(code, undefined, undefined)).toBeUndefined()
    const codes = Array.from({ length: 17 }, () => logins.createCode(localPrincipal).code)
    expect(await logins.redeem(codes[0]!, undefined, undefined)).toBeUndefined()
    expect(await logins.redeem(codes[1]!, undefined, undefined)).toBeDefined()
  })

  test('allows at most what its creator may do', () => {
    const { logins } = inMemory()
    expect(logins.createCode(localPrincipal).scopes).toEqual(roleScopes.developer)
    expect(logins.createCode(localPrincipal, 'admin').scopes).toEqual(roleScopes.admin)
    expect(logins.createCode(tokenOf('operator')).scopes).toEqual(roleScopes.operator)
    expect(logins.createCode(tokenOf('operator'), 'viewer').scopes).toEqual(roleScopes.viewer)
    expect(() => logins.createCode(tokenOf('operator'), 'developer')).toThrow(
      /may do more than token:aaaaaaaa, which has not write/,
    )
    expect(() => logins.createCode({ ...tokenOf('agent'), agent: true })).toThrow(/is an agent/)
    expect(() => logins.createCode({ ...tokenOf('worker'), bot_id: 'w' })).toThrow(/is a worker/)
    expect(() => logins.createCode(userPrincipal('ada', undefined, ['admin']))).toThrow(
      /in a browser already/,
    )
  })
})

describe('a login ends', () => {
  async function loggedIn(
    principal: Principal = localPrincipal,
  ): Promise<InMemory & { secret: string; isAccepted: () => boolean }> {
    const { logins, clock } = inMemory()
    const { secret } = (await logins.redeem(logins.createCode(principal).code, undefined, undefined))!
    return { logins, clock, secret, isAccepted: () => logins.principalOf(secret, undefined) !== undefined }
  }

  test('8 hours after its last use, not after its first', async () => {
    const { clock, isAccepted } = await loggedIn()
    clock.now += 8 * hourMs - 1
    expect(isAccepted()).toBe(true)
    clock.now += 8 * hourMs - 1
    expect(isAccepted()).toBe(true)
    clock.now += 8 * hourMs
    expect(isAccepted()).toBe(false)
  })

  test('after 7 days, however much it is used', async () => {
    const { logins, clock, isAccepted } = await loggedIn()
    for (let hour = 1; hour < 7 * 24; hour++) {
      clock.now += hourMs
      expect(isAccepted()).toBe(true)
    }
    clock.now += hourMs
    expect(isAccepted()).toBe(false)
    expect([logins.list()[0]!.state, logins.any]).toEqual(['expired', false])
  })

  test('with the token of its creator, and when it is revoked', async () => {
    const ofToken = await loggedIn(tokenOf('operator'))
    ofToken.clock.token = false
    expect(ofToken.isAccepted()).toBe(false)
    const own = await loggedIn()
    await own.logins.revoke(own.logins.list()[0]!.id)
    expect(own.isAccepted()).toBe(false)
  })

  test('not for others: any changed character is refused', async () => {
    const { logins, secret } = await loggedIn()
    for (let at = 0; at < secret.length; at++) {
      const other = secret.slice(0, at) + (secret[at] === 'x' ? 'y' : 'x') + secret.slice(at + 1)
      expect(logins.principalOf(other, undefined), other).toBeUndefined()
    }
  })
})

interface Browser {
  admin: string
  origin: string
  cookie: string
  post: (path: string, body: string, given?: Record<string, string>) => Promise<Answer>
  get: (path: string, given?: Record<string, string>) => Promise<Answer>
  call: <M extends keyof Methods>(
    method: M,
    params?: object,
  ) => Promise<{ status: number; result?: Methods[M]['result']; error?: { code: number; message: string } }>
}

/** Sends requests as the page in a browser does. */
function browser(admin: string, cookie = ''): Browser {
  const origin = new URL(admin).origin
  const own = {
    origin,
    'x-signalbox': '1',
    'content-type': 'application/json',
    ...(cookie === '' ? {} : { cookie }),
  }
  const post: Browser['post'] = (path, body, given = {}) =>
    ask(admin, { path, body, headers: { ...own, ...given } })
  return {
    admin,
    origin,
    cookie,
    post,
    get: (path, given = {}) =>
      ask(admin, {
        method: 'GET',
        path,
        headers: { 'sec-fetch-site': 'same-origin', ...(cookie === '' ? {} : { cookie }), ...given },
      }),
    async call(method, params = {}) {
      const { status, body } = await post('/rpc', callOf(method, params))
      return { status, ...(body as object) }
    },
  }
}

async function loginAt(
  { call }: Pick<TestRouter, 'call'>,
  role?: Methods['login.create']['params']['role'],
): Promise<Browser> {
  const { url } = await call('login.create', { role })
  const { admin_address } = await call('router.status', {})
  const answer = await logIn(admin_address!, url)
  expect([answer.status, answer.body]).toEqual([204, undefined])
  return browser(admin_address!, cookieOf(answer))
}

describe('over HTTP', () => {
  test('the listener starts with the first link; a login is known after a restart', async () => {
    const router = await freshRouter()
    expect(await router.call('router.status', {})).not.toHaveProperty('admin_address')
    const page = await loginAt(router)
    expect(page.cookie).toMatch(/^signalbox-\d+=sbx_ses_[0-9A-Za-z]{46}$/)
    expect((await page.call('event.query')).result).toEqual({ events: [] })
    const { body } = await page.get('/session')
    expect(body).toMatchObject({
      principal: 'local',
      login_id: page.cookie.slice(-46, -38),
      scopes: roleScopes.developer,
    })
    router.client.close()
    await router.router.stop()
    const again = await routerIn(router.directory)
    const moved = page.cookie.replace(/^signalbox-\d+/, `signalbox-${new URL(again.router.admin!).port}`)
    expect((await browser(again.router.admin!, moved).call('event.query')).status).toBe(200)
  })

  test('where there is no URL, or nothing listens, there is no link', async () => {
    const router = await freshRouter()
    await expect(
      (await freshRouter({ admin_address: `${router.directory}/admin.sock` })).call('login.create', {}),
    ).rejects.toThrow(/has no URL .* set public_url/)
    await expect(
      (await freshRouter({ admin_address: '0.0.0.0:0' })).call('login.create', {}),
    ).rejects.toThrow(/reachable from other machines/)
  })

  test('the link names a host that shares its cookie with nobody; with public_url there are two', async () => {
    const router = await freshRouter({ public_url: 'https://signalbox.example.org/box/' })
    const { url, public_url } = await router.call('login.create', {})
    const [local, code] = url.split('#login=')
    expect(local).toBe(
      `http://signalbox.localhost:${new URL((await router.call('router.status', {})).admin_address!).port}/`,
    )
    expect(public_url).toBe(`https://signalbox.example.org/box/#login=${code}`)
  })

  test('the cookie cannot be read by scripts or sent by other sites; over HTTPS it is bound to its host', async () => {
    const router = await listening({ public_url: 'https://signalbox.example.org' })
    const cookieAt = async (given: Record<string, string>): Promise<string> => {
      const { headers } = await logIn(router.admin, (await router.call('login.create', {})).url, given)
      return headers['set-cookie']![0]!.replace(/=sbx_\w+/, '=…')
    }
    const port = new URL(router.admin).port
    expect(await cookieAt({})).toBe(`signalbox-${port}=…; HttpOnly; SameSite=Strict; Path=/; Max-Age=604800`)
    const secure = `__Host-signalbox-${port}=…; HttpOnly; SameSite=Strict; Path=/; Max-Age=604800; Secure`
    expect(await cookieAt({ host: 'signalbox.example.org', origin: 'https://signalbox.example.org' })).toBe(
      secure,
    )
  })

  test('a login that logs out, and one that logs in again, ends', async () => {
    const router = await freshRouter()
    const first = await loginAt(router)
    const answer = await logIn(first.admin, (await router.call('login.create', {})).url, {
      cookie: first.cookie,
    })
    expect((await first.call('bot.list')).status).toBe(401)
    const second = browser(first.admin, cookieOf(answer))
    const ended = await ask(first.admin, {
      method: 'DELETE',
      path: '/session',
      headers: { cookie: second.cookie, origin: second.origin, 'x-signalbox': '1' },
    })
    expect([ended.status, ended.headers['set-cookie']![0]]).toEqual([
      204,
      expect.stringContaining('Max-Age=0') as string,
    ])
    expect((await second.call('bot.list')).status).toBe(401)
    expect((await second.get('/session')).status).toBe(401)
    expect((await router.call('login.list', {})).logins.map(({ state }) => state)).toEqual([
      'revoked',
      'revoked',
    ])
  })

  test('a login is no token, and a token no login', async () => {
    const router = await freshRouter()
    const page = await loginAt(router)
    const [name, secret] = page.cookie.split('=') as [string, string]
    expect((await callWith(page.admin, secret, 'bot.list')).status).toBe(401)
    const { token } = await router.call('token.create', { name: 'x', role: 'admin' })
    expect((await browser(page.admin, `${name}=${token}`).call('bot.list')).status).toBe(401)
    expect((await callWith(page.admin, token, 'login.list')).result!.logins).toHaveLength(1)
  })

  test('attempts are throttled, and a right link works all the same', async () => {
    const router = await freshRouter({ auth_failures_per_minute: 3 })
    const { url } = await router.call('login.create', {})
    const page = browser((await router.call('router.status', {})).admin_address!)
    const statuses: number[] = []
    for (const body of [
      '{"code":"AAAAAAAAAAAAAAAAAAAAAA"}',
      '{"code":1}',
      'not JSON',
      '{}',
      'x'.repeat(2000),
    ])
      statuses.push((await page.post('/session', body)).status)
    expect(statuses).toEqual([401, 401, 401, 429, 413])
    expect((await logIn(page.admin, url)).status).toBe(204)
    const { entries } = await router.call('audit.list', {})
    expect(entries.map(({ method, outcome }) => `${method} ${outcome}`)).toEqual([
      'POST /session done',
      ...Array.from({ length: 3 }, () => 'undefined refused'),
      'login.create done',
    ])
    expect(JSON.stringify(entries)).not.toContain(url.split('#login=')[1])
  })
})

describe('a login that is revoked', () => {
  test.each([
    [
      'itself',
      async ({ call }: TestRouter) =>
        call('login.revoke', { login_id: (await call('login.list', {})).logins[0]!.id }),
    ],
    [
      'through the token of its creator',
      async ({ call }: TestRouter) =>
        call('token.revoke', { token_id: (await call('token.list', {})).tokens[0]!.id }),
    ],
  ])('%s: its stream and its call that waits end', async (_name, revoke) => {
    const router = await listening()
    const { token } = await router.call('token.create', { name: 'x', role: 'admin' })
    const { url } = (await callWith(router.admin, token, 'login.create')).result!
    const page = browser(router.admin, cookieOf(await logIn(router.admin, url)))
    await router.call('bot.put', { bot: { id: 'w', endpoint: { kind: 'pull' } } })
    const stream = await fetch(`${router.admin}/stream`, {
      headers: { cookie: page.cookie, 'sec-fetch-site': 'same-origin', 'x-signalbox': '1' },
    })
    const reader = stream.body!.getReader()
    onTestFinished(() => reader.cancel().catch(() => undefined))
    await reader.read()
    const waiting = page.post('/rpc', callOf('run.claim', { bot_id: 'w', wait_ms: 20_000 }))
    waiting.catch(() => undefined)
    await until(async () => (await router.call('bot.get', { bot_id: 'w' })).bot.last_heard_at !== undefined)
    await revoke(router)
    await expect(waiting).rejects.toThrow(/socket hang up|ECONNRESET/)
    await expect(until(async () => (await reader.read()).done || undefined)).rejects.toThrow(/terminated/)
    expect((await page.call('bot.list')).status).toBe(401)
  })
})

const people = ['viewer', 'operator', 'developer', 'admin'] as const
const passing = new Set([
  'run.release',
  'run.retry',
  'run.retry_dead',
  'event.replay',
  'queue.skip',
  'router.resume',
  'trigger.resume',
])

test.each(people)('%s: every method with a login is allowed or forbidden by its scope', async role => {
  const router = await freshRouter()
  const page = await loginAt(router, role)
  const found: string[] = []
  for (const { name: found_name, 'x-scope': scope } of contractDocument().methods) {
    const name = found_name as keyof Methods
    const { error } = await page.call(name, { nothing: 1 })
    const allowed =
      scope === 'any' ||
      [scope, ...(passing.has(name) ? ['operate'] : [])].some(each =>
        roleScopes[role].includes(each as Scope),
      )
    const expected = allowed ? -32602 : -32015
    if (error?.code !== expected) found.push(`${name}: ${error?.code}`)
  }
  expect(found).toEqual([])
})

describe('who approves', () => {
  async function held(given: Record<string, unknown>): Promise<TestRouter> {
    const router = await freshRouter(given)
    const { call } = router
    await call('source.put', { source: { id: 's', source_type: 'service' } })
    await call('bot.put', { bot: { id: 'w', endpoint: { kind: 'command', argv: ['/bin/true'] } } })
    await call('trigger.put', {
      trigger: { id: 't', filter: { type: ['job'] }, action: { bot_id: 'w' }, policy: { approval: {} } },
    })
    return router
  }

  const awaiting = ({ call }: TestRouter): Promise<string> =>
    until(async () => (await call('run.list', { state: 'awaiting_approval', limit: 1 })).runs[0]?.id)

  test.each([
    ['in the usual configuration', {}, true],
    ['with approval.other_person', { approval: { other_person: true } }, false],
  ])('a login of the control socket acts as its user, %s', async (_name, given, allowed) => {
    const router = await held(given)
    const page = await loginAt(router)
    await router.call('event.emit', { source_id: 's', type: 'job', payload: {} })
    const { error } = await page.call('run.approve', { run_id: await awaiting(router) })
    expect(error?.message).toEqual(
      allowed ? undefined : expect.stringMatching(/must be approved by another person: local caused it/),
    )
  })

  test('a login of a token does not approve what the token caused, nor what another login of it caused', async () => {
    const router = await held({})
    const { token } = await router.call('token.create', { name: 'ada', role: 'operator' })
    const { admin_address: admin } = await router.call('router.status', {})
    const enter = async (): Promise<Browser> => {
      const { url } = (await callWith(admin!, token, 'login.create')).result!
      return browser(admin!, cookieOf(await logIn(admin!, url)))
    }
    const [first, second] = [await enter(), await enter()]
    await first.call('event.emit', { source_id: 's', type: 'job', payload: {} })
    const run_id = await awaiting(router)
    for (const page of [first, second])
      expect((await page.call('run.approve', { run_id })).error?.message).toMatch(/token:\w{8} caused it/)
    const { body } = await ask(admin!, { body: callOf('run.approve', { run_id }), headers: bearerOf(token) })
    expect(body).toHaveProperty('error')
    expect((await router.call('run.approve', { run_id })).run.state).toBe('pending')
  })
})
