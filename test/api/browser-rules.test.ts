// What a browser may be made to send by the pages of others, and what proxies may say of it.
import { describe, expect, test } from 'vitest'
import { assertOwnPage } from '../../src/api/browser-rules.ts'
import { Senders } from '../../src/api/sender.ts'
import type { Config } from '../../src/contract/types.ts'
import { ask, bearer, callOf, cookieOf, listening, logIn } from '../support/admin.ts'
import { freshRouter } from '../support/router.ts'

const own = 'http://signalbox.localhost:8021'

function isTaken(method: string, headers: Record<string, string>): boolean {
  try {
    assertOwnPage(method, new Map(Object.entries(headers)), new Set([own]))
    return true
  } catch {
    return false
  }
}

describe('a request with a cookie', () => {
  const right = { origin: own, 'x-signalbox': '1' }

  test.each(['POST', 'DELETE', 'PUT'])('%s: control: with our Origin and our header it is taken', method => {
    expect(isTaken(method, right)).toBe(true)
  })

  // Each differs from the control in one thing.
  test.each([
    ['another port of the host', { ...right, origin: 'http://signalbox.localhost:8022' }],
    ['another name of the host', { ...right, origin: 'http://127.0.0.1:8021' }],
    ['another scheme', { ...right, origin: 'https://signalbox.localhost:8021' }],
    ['a name that begins like ours', { ...right, origin: 'http://signalbox.localhost:80210' }],
    ['a name that ends like ours', { ...right, origin: 'http://evil.signalbox.localhost:8021' }],
    ['a path', { ...right, origin: `${own}/` }],
    ['capitals', { ...right, origin: own.toUpperCase() }],
    ['an opaque origin', { ...right, origin: 'null' }],
    ['an empty one', { ...right, origin: '' }],
    ['several', { ...right, origin: `${own} http://evil.example` }],
    ['no Origin', { 'x-signalbox': '1' }],
    ['no Origin, from the same origin as it seems', { 'x-signalbox': '1', 'sec-fetch-site': 'same-origin' }],
    ['no header of ours', { origin: own }],
    ['another value of our header', { ...right, 'x-signalbox': 'true' }],
  ])('a write with %s is refused', (_name, headers) => {
    expect(isTaken('POST', headers)).toBe(false)
  })

  test.each([
    ['Sec-Fetch-Site same-origin', { 'sec-fetch-site': 'same-origin' }, true],
    ['Sec-Fetch-Site none: a person typed the address', { 'sec-fetch-site': 'none' }, true],
    ['Sec-Fetch-Site same-site: another port', { 'sec-fetch-site': 'same-site' }, false],
    ['Sec-Fetch-Site cross-site', { 'sec-fetch-site': 'cross-site' }, false],
    ['Sec-Fetch-Site of no meaning', { 'sec-fetch-site': 'Same-Origin' }, false],
    ['nothing at all', {}, false],
    ['our header alone: only a page of ours can send it', { 'x-signalbox': '1' }, true],
    ['our Origin alone', { origin: own }, true],
    [
      'another Origin, and what would do otherwise',
      { origin: 'http://evil.example', 'sec-fetch-site': 'same-origin', 'x-signalbox': '1' },
      false,
    ],
    ['our Referer, where the browser sends nothing else', { referer: `${own}/events` }, true],
    [
      'our Referer, where the browser says same-site',
      { referer: `${own}/events`, 'sec-fetch-site': 'same-site' },
      false,
    ],
    ['another Referer', { referer: 'http://evil.example/' }, false],
    ['a Referer that only begins like ours', { referer: `${own}@evil.example/` }, false],
    ['a Referer that is no URL', { referer: 'events' }, false],
  ])('a read with %s: taken is %s', (_name, headers, taken) => {
    expect(isTaken('GET', headers)).toBe(taken)
  })
})

describe('over HTTP', () => {
  test('a request with a token needs none of this, and gets no CORS headers; one with a cookie does', async () => {
    const router = await listening()
    const foreign = { origin: 'http://evil.example', 'sec-fetch-site': 'cross-site' }
    const answer = await ask(router.admin, { body: callOf('bot.list'), headers: { ...bearer, ...foreign } })
    expect(answer.status).toBe(200)
    expect(Object.keys(answer.headers).filter(name => name.startsWith('access-control'))).toEqual([])
    const page = { origin: router.admin, 'x-signalbox': '1' }
    const cookie = cookieOf(await logIn(router.admin, (await router.call('login.create', {})).url))
    const statusWith = async (
      headers: Record<string, string>,
      method = 'POST',
      path = '/rpc',
    ): Promise<number> =>
      (
        await ask(router.admin, {
          method,
          path,
          headers: { cookie, ...headers },
          ...(method === 'POST' ? { body: callOf('bot.list') } : {}),
        })
      ).status
    expect(await statusWith({ ...page, 'content-type': 'application/json' })).toBe(200)
    expect(await statusWith({ ...foreign, 'x-signalbox': '1' })).toBe(403)
    expect(await statusWith({ origin: router.admin })).toBe(403)
    expect(await statusWith({ 'sec-fetch-site': 'same-origin' }, 'GET', '/openrpc.json')).toBe(200)
    expect(await statusWith({ 'sec-fetch-site': 'same-site' }, 'GET', '/openrpc.json')).toBe(403)
    expect(await statusWith(foreign, 'DELETE', '/session')).toBe(403)
    expect((await router.call('login.list', {})).logins[0]!.state).toBe('valid')
  })

  test('a page of another origin logs nobody in', async () => {
    const router = await listening()
    const { url } = await router.call('login.create', {})
    const body = JSON.stringify({ code: url.split('#login=')[1] })
    expect((await logIn(router.admin, url, { origin: 'http://127.0.0.1:1' })).status).toBe(403)
    expect(
      (await ask(router.admin, { path: '/session', body, headers: { origin: router.admin } })).status,
    ).toBe(403)
    expect((await router.call('login.list', {})).logins).toEqual([])
    // Control: the code is still good.
    expect((await logIn(router.admin, url)).status).toBe(204)
  })
})

type Proxies = Partial<Pick<Config, 'trusted_proxies' | 'forward_auth'>>

const senders = (given: Proxies): Senders => new Senders({ trusted_proxies: [], ...given })

describe('the sender of a request', () => {
  const from = (peer: string | undefined, forwarded: string, trusted: string[]): string | undefined =>
    senders({ trusted_proxies: trusted }).of(
      new Map([
        ['host', 'h'],
        ['x-forwarded-for', forwarded],
      ]),
      peer,
    ).address

  test.each([
    ['is the peer where it is not trusted', '192.0.2.1', '198.51.100.7', [], '192.0.2.1'],
    ['is what a trusted proxy says', '10.0.0.2', '198.51.100.7', ['10.0.0.2'], '198.51.100.7'],
    [
      'is the last that no trusted proxy is: the rest is invented',
      '10.0.0.2',
      '203.0.113.9, 198.51.100.7, 10.1.1.1',
      ['10.0.0.0/8'],
      '198.51.100.7',
    ],
    [
      'is the peer of a proxy that says nothing of meaning',
      '10.0.0.2',
      'unknown',
      ['10.0.0.0/8'],
      '10.0.0.2',
    ],
    [
      'is the last one that is an address',
      '10.0.0.2',
      '198.51.100.7, x, 10.3.3.3',
      ['10.0.0.0/8'],
      '10.3.3.3',
    ],
    [
      'may come over IPv6 that carries IPv4',
      '::ffff:10.0.0.2',
      '198.51.100.7',
      ['10.0.0.0/8'],
      '198.51.100.7',
    ],
    ['may be an IPv6 address', 'fd00::2', '2001:db8::7', ['fd00::/8'], '2001:db8::7'],
    ['in brackets, too', 'fd00::2', '[2001:db8::7]:4711', ['fd00::/8'], '2001:db8::7'],
    ['is what a proxy on a Unix socket says', undefined, '198.51.100.7', ['unix'], '198.51.100.7'],
    ['is nobody on a Unix socket that is not trusted', undefined, '198.51.100.7', ['10.0.0.0/8'], undefined],
  ])('%s', (_name, peer, forwarded, trusted, expected) => {
    expect(from(peer, forwarded, trusted)).toBe(expected)
  })

  test.each([
    [['10.0.0.0/33'], undefined, /10.0.0.0\/33 is neither/],
    [['fd00::/129'], undefined, /is neither/],
    [['1.2.3'], undefined, /is neither/],
    [[], {}, /forward_auth needs trusted_proxies/],
  ])('%j %j is refused at the start', async (trusted_proxies, forward_auth, message) => {
    const config = { trusted_proxies, ...(forward_auth === undefined ? {} : { forward_auth }) }
    await expect(freshRouter(config)).rejects.toMatchObject({
      exitCode: 78,
      message: expect.stringMatching(message) as string,
    })
  })
})

describe('a user whom a proxy has authenticated', () => {
  const auth = {
    trusted_proxies: ['127.0.0.1'],
    forward_auth: { roles: { ops: 'operator', dev: 'developer' } },
  } as const
  const page = (admin: string): Record<string, string> => ({
    origin: admin,
    'x-signalbox': '1',
    'content-type': 'application/json',
  })

  async function asked(given: Record<string, unknown>, headers: Record<string, string>, method = 'bot.list') {
    const router = await listening(given)
    const answer = await ask(router.admin, {
      body: callOf(method),
      headers: { ...page(router.admin), ...headers },
    })
    return { ...router, ...answer }
  }

  test('has the roles of the groups, and its writes are recorded with its name and its address', async () => {
    const { call, status } = await asked(
      auth,
      { 'remote-user': 'ada', 'remote-groups': 'x, ops', 'x-forwarded-for': '198.51.100.7' },
      'router.pause',
    )
    expect(status).toBe(200)
    expect((await call('audit.list', {})).entries).toMatchObject([
      { principal: 'user:ada', interface: 'page', address: '198.51.100.7', method: 'router.pause' },
    ])
  })

  test.each([
    ['in no group with a role', { 'remote-user': 'eve', 'remote-groups': 'x' }, 403],
    [
      'with a group that is a property of every object',
      { 'remote-user': 'eve', 'remote-groups': 'constructor,__proto__' },
      403,
    ],
    ['with a name that is no word', { 'remote-user': 'a b', 'remote-groups': 'ops' }, 400],
    ['without a name', { 'remote-groups': 'ops' }, 401],
    [
      'whose page is another one',
      { 'remote-user': 'ada', 'remote-groups': 'ops', origin: 'http://evil.example' },
      403,
    ],
  ])('%s: %s', async (_name, headers, expected) => {
    expect((await asked(auth, headers)).status).toBe(expected)
  })

  test('of another peer is ignored, and counted', async () => {
    const { admin, status } = await asked(
      { ...auth, trusted_proxies: ['192.0.2.1'] },
      { 'remote-user': 'ada', 'remote-groups': 'ops' },
    )
    expect(status).toBe(401)
    const { body } = await ask(admin, { method: 'GET', path: '/metrics', headers: bearer })
    expect(body).toMatch(/^signalbox_forwarded_headers_ignored_total 2$/m)
  })

  test('has the default role where there is one; the names of the headers are those of the configuration', async () => {
    const names = {
      user_header: 'X-authentik-username',
      groups_header: 'X-authentik-groups',
      separator: '|',
      default_role: 'viewer',
      roles: { dev: 'developer' },
    }
    const headers = { 'x-authentik-username': 'ada', 'x-authentik-groups': 'a|b' }
    const given = { ...auth, forward_auth: names }
    expect((await asked(given, headers)).status).toBe(200)
    expect((await asked(given, headers, 'router.pause')).status).toBe(403)
    expect((await asked(given, { ...headers, 'x-authentik-groups': 'a|dev' }, 'router.pause')).status).toBe(
      200,
    )
  })

  test('comes over the scheme and the host that the proxy names', async () => {
    const router = await listening({ ...auth, admin_hosts: ['box.example.org'] })
    const forwarded = {
      'remote-user': 'ada',
      'remote-groups': 'ops',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'box.example.org',
    }
    const statusAt = async (origin: string, given = {}): Promise<number> =>
      (
        await ask(router.admin, {
          body: callOf('bot.list'),
          headers: { ...page(router.admin), ...forwarded, origin, ...given },
        })
      ).status
    expect(await statusAt('https://box.example.org')).toBe(200)
    expect(await statusAt('http://box.example.org')).toBe(403)
    expect(await statusAt('https://other.example.org', { 'x-forwarded-host': 'other.example.org' })).toBe(403)
  })
})
