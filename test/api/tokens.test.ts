// Tokens: their form, when they are accepted, what each role allows, and that a token ends at once.
import { Readable } from 'node:stream'
import { request } from 'node:http'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { localPrincipal, roleScopes, type Principal } from '../../src/api/principal.ts'
import { Tokens } from '../../src/api/tokens.ts'
import { methodNames, type Methods, type Role, type Scope } from '../../src/contract/types.ts'
import { contractDocument } from '../../src/contract/document.ts'
import { ask, bearerOf, callOf, callWith, listening, type Called } from '../support/admin.ts'
import { freshRouter, routerIn, until, type TestRouter } from '../support/router.ts'

const dayMs = 86_400_000

function inMemory(start = 1_790_000_000_000): { tokens: Tokens; clock: { now: number }; uses: unknown[] } {
  const clock = { now: start }
  const uses: unknown[] = []
  const store = {
    putToken: async () => undefined,
    revokeToken: async () => undefined,
    noteTokenUses: async (noted: unknown[]) => void uses.push(...noted),
  }
  return { tokens: new Tokens([], { store, now: () => clock.now, logBug: () => undefined }), clock, uses }
}

const wish = { name: 'x', role: 'viewer', mcp: false, person: false, expires_in_ms: dayMs } as const

describe('a token', () => {
  test('names its kind and its id; its hash is not in what is shown', async () => {
    const { tokens } = inMemory()
    const { token, created } = await tokens.create(wish, 'local')
    expect(token).toMatch(/^sbx_api_[0-9A-Za-z]{46}$/)
    expect(token.slice(8, 16)).toBe(created.id)
    expect(JSON.stringify(tokens.list())).not.toMatch(/hash|sbx_/)
    expect(tokens.principalOf(token, undefined)).toMatchObject({
      id: `token:${created.id}`,
      name: 'x',
      agent: false,
    })
  })

  test('is not accepted with any character changed, left out or added', async () => {
    const { tokens } = inMemory()
    const { token } = await tokens.create(wish, 'local')
    const changed = fc.tuple(
      fc.nat(token.length - 1),
      fc.constantFrom(...'0123456789ABCXYZabcxyz_ é'.split('')),
      fc.constantFrom('replace', 'insert', 'remove'),
    )
    fc.assert(
      fc.property(changed, ([at, character, how]) => {
        const other =
          token.slice(0, at) +
          (how === 'remove' ? '' : character) +
          token.slice(how === 'insert' ? at : at + 1)
        return other === token || tokens.principalOf(other, undefined) === undefined
      }),
      { numRuns: 2000 },
    )
    expect(tokens.principalOf(token, undefined)).toBeDefined()
  })

  test('with the right checksum and id, and another secret, is not accepted', async () => {
    const { tokens } = inMemory()
    const { token } = await tokens.create(wish, 'local')
    const others = await Promise.all(Array.from({ length: 3 }, () => inMemory().tokens.create(wish, 'local')))
    for (const other of others) expect(tokens.principalOf(other.token, undefined)).toBeUndefined()
    expect(tokens.principalOf(token, undefined)).toBeDefined()
  })

  test('ends when it expires; a clock that is set back does not make it longer than it was, nor does one that jumps end it for ever', async () => {
    const { tokens, clock } = inMemory()
    const { token, created } = await tokens.create(wish, 'local')
    const isAccepted = (): boolean => tokens.principalOf(token, undefined) !== undefined
    clock.now = created.expires_at! - 1
    expect(isAccepted()).toBe(true)
    clock.now = created.expires_at!
    expect(isAccepted()).toBe(false)
    expect(tokens.list()[0]!.state).toBe('expired')
    clock.now = created.created_at - dayMs
    expect(isAccepted()).toBe(true)
    await tokens.revoke(created.id)
    expect(isAccepted()).toBe(false)
    expect(tokens.any).toBe(false)
  })

  test('has its use written once a minute', async () => {
    const { tokens, clock, uses } = inMemory()
    const { token, created } = await tokens.create(wish, 'local')
    for (const after of [0, 30_000, 59_999, 60_000]) {
      clock.now = created.created_at + after
      tokens.principalOf(token, '192.0.2.1')
    }
    expect(uses).toEqual(
      [0, 60_000].map(after => ({ token_id: created.id, at: created.created_at + after, from: '192.0.2.1' })),
    )
  })

  test.each([
    ['neither role nor scopes', {}, /^role or scopes is required/],
    ['both', { role: 'viewer', scopes: ['read'] }, /^role or scopes is required, and not both/],
    ['a worker without a bot', { role: 'worker' }, /^bot_id is required/],
    ['the scope work without a bot', { scopes: ['work', 'read'] }, /^bot_id is required/],
    ['a bot for another role', { role: 'viewer', bot_id: 'w' }, /^bot_id is taken with role worker/],
    ['an agent that creates tokens', { scopes: ['admin'], mcp: true }, /must not hold the scope admin/],
    ['an admin for tools', { role: 'admin', mcp: true }, /must not hold the scope admin/],
    ['tools of a worker', { role: 'worker', bot_id: 'w', mcp: true }, /^mcp must be false/],
    ['a bot that does not exist', { role: 'worker', bot_id: 'nothing' }, /there is no bot nothing/],
    [
      'a length of life twice',
      { role: 'viewer', expires_in_ms: 60_000, never_expires: true },
      /exclude each other/,
    ],
    ['a name with a line end', { role: 'viewer', name: 'a\nb' }, /^name must match pattern/],
  ])('%s is refused', async (_name, given, message) => {
    const { call } = await freshRouter()
    await call('bot.put', { bot: { id: 'w', endpoint: { kind: 'pull' } } })
    await expect(
      call('token.create', { name: 'x', ...given } as Methods['token.create']['params']),
    ).rejects.toThrow(message)
    expect((await call('token.list', {})).tokens).toEqual([])
  })

  test('is of a kind, and an agent uses it or not', async () => {
    const { tokens } = inMemory()
    const made = async (given: object): Promise<unknown> => {
      const { kind, agent } = (await tokens.create({ ...wish, role: undefined, ...given }, 'local')).created
      return [kind, agent]
    }
    expect(await made({ role: 'admin' })).toEqual(['adm', false])
    expect(await made({ role: 'agent' })).toEqual(['api', true])
    expect(await made({ role: 'agent', person: true })).toEqual(['api', false])
    expect(await made({ role: 'operator', mcp: true })).toEqual(['mcp', true])
    expect(await made({ role: 'operator', mcp: true, person: true })).toEqual(['mcp', false])
    expect(await made({ role: 'worker', bot_id: 'w' })).toEqual(['wrk', false])
    expect(await made({ scopes: ['read', 'admin'] })).toEqual(['adm', false])
  })
})

describe('the listener', () => {
  test('starts with the first token, and stays; tokens are known after a restart', async () => {
    const router = await freshRouter()
    const { call } = router
    expect(await call('router.status', {})).not.toHaveProperty('admin_address')
    const { token, created, warnings } = await call('token.create', { name: 'first', role: 'viewer' })
    expect(warnings).toBeUndefined()
    const { admin_address: admin } = await call('router.status', {})
    expect((await callWith(admin!, token, 'router.status')).status).toBe(200)
    const revoked = await call('token.create', { name: 'second', role: 'viewer' })
    await call('token.revoke', { token_id: revoked.created.id })
    expect((await callWith(admin!, revoked.token, 'router.status')).status).toBe(401)
    await until(
      async () =>
        (await call('token.list', {})).tokens.find(each => each.id === created.id)?.last_used_at !==
        undefined,
    )
    router.client.close()
    await router.router.stop()
    const again = await routerIn(router.directory)
    expect(
      (await again.call('token.list', {})).tokens.map(({ name, state, last_used_from }) => [
        name,
        state,
        last_used_from,
      ]),
    ).toEqual([
      ['second', 'revoked', undefined],
      ['first', 'valid', '127.0.0.1'],
    ])
    expect((await callWith(again.router.admin!, token, 'router.status')).status).toBe(200)
    expect((await callWith(again.router.admin!, revoked.token, 'router.status')).status).toBe(401)
    // With no token left it stays, and answers 401.
    await again.call('token.revoke', { token_id: created.id })
    expect((await callWith(again.router.admin!, token, 'router.status')).status).toBe(401)
  })

  test('that cannot start says so in the answer; the token works once it can', async () => {
    const other = await listening()
    const { call } = await freshRouter({ admin_address: new URL(other.admin).host })
    const { warnings } = await call('token.create', { name: 'x', role: 'viewer' })
    expect(warnings).toEqual([expect.stringContaining('the admin listener does not start')])
    const far = await freshRouter({ admin_address: '0.0.0.0:0' })
    expect((await far.call('token.create', { name: 'x', role: 'viewer' })).warnings![0]).toMatch(
      /is reachable from other machines/,
    )
    expect(await far.call('router.status', {})).not.toHaveProperty('admin_address')
  })
})

describe('a token that is revoked', () => {
  async function worker(): Promise<TestRouter & { admin: string; token: string; token_id: string }> {
    const router = await listening()
    await router.call('bot.put', { bot: { id: 'w', endpoint: { kind: 'pull' } } })
    const { token, created } = await router.call('token.create', { name: 'w', role: 'worker', bot_id: 'w' })
    return { ...router, token, token_id: created.id }
  }

  test('ends a call that waits, and gives it no run', async () => {
    const { call, admin, token, token_id } = await worker()
    await call('source.put', { source: { id: 's', source_type: 'service' } })
    await call('trigger.put', { trigger: { id: 't', filter: { type: ['job'] }, action: { bot_id: 'w' } } })
    const waiting = ask(admin, {
      body: callOf('run.claim', { bot_id: 'w', wait_ms: 20_000 }),
      headers: bearerOf(token),
    })
    waiting.catch(() => undefined)
    await until(async () => (await call('bot.get', { bot_id: 'w' })).bot.last_heard_at !== undefined)
    await call('token.revoke', { token_id })
    await expect(waiting).rejects.toThrow(/socket hang up|ECONNRESET/)
    const { runs } = await call('event.emit', { source_id: 's', type: 'job', payload: {} })
    expect((await call('run.get', { run_id: runs[0]! })).run.state).toBe('pending')
  })

  test('ends a request whose body is on its way, and what follows on its connection', async () => {
    const { call, admin, token, token_id } = await worker()
    const { port } = new URL(admin)
    const asking = request({
      host: '127.0.0.1',
      port,
      method: 'POST',
      path: '/rpc',
      headers: { ...bearerOf(token), 'content-length': 1000 },
    })
    const failed = new Promise<Error>(resolve => asking.once('error', resolve))
    onTestFinished(() => void asking.destroy())
    const sent = new Promise(resolve => asking.once('socket', resolve))
    Readable.from([' '.repeat(10)]).on('data', chunk => asking.write(chunk))
    await sent
    // It was accepted once the router has noted its use.
    await until(async () => (await call('token.list', {})).tokens[0]!.last_used_at !== undefined)
    await call('token.revoke', { token_id })
    expect((await failed).message).toMatch(/socket hang up|ECONNRESET|EPIPE/)
    expect((await callWith(admin, token, 'rpc.health')).status).toBe(401)
  })
})

/** What each role allows, as the issue of this listener lists it; read apart from the code and the contract's roles. */
const expected: Record<Role, Scope[]> = {
  viewer: ['read', 'metrics'],
  operator: ['read', 'payload', 'test', 'emit', 'operate', 'approve', 'metrics'],
  developer: ['read', 'payload', 'test', 'emit', 'operate', 'approve', 'metrics', 'write'],
  admin: ['read', 'payload', 'test', 'emit', 'write', 'operate', 'approve', 'work', 'admin', 'metrics'],
  worker: ['work'],
  agent: ['read', 'test', 'emit'],
}
const roles = Object.keys(expected) as Role[]

describe('roles', () => {
  test('allow what is documented', () => {
    expect(roleScopes).toEqual(expected)
    const table = readFileSync('docs/admin.md', 'utf8')
    for (const role of roles)
      expect(table).toContain(
        `| \`${role}\` | ${roleScopes[role].length === 10 ? 'all' : roleScopes[role].join(', ')} |`,
      )
  })

  const passing = new Set([
    'run.release',
    'run.retry',
    'run.retry_dead',
    'event.replay',
    'queue.skip',
    'router.resume',
    'trigger.resume',
  ])

  test('every method has a scope, and those that pass a gate are for people', () => {
    const scopes = new Set<string>([...expected.admin, 'any'])
    for (const method of contractDocument().methods) {
      expect(scopes.has(method['x-scope']), method.name).toBe(true)
      expect([method.name, method['x-person-scope']]).toEqual([
        method.name,
        passing.has(method.name) ? 'operate' : undefined,
      ])
    }
  })

  test.each(roles)('%s: every method over HTTP is allowed or forbidden by its scope', async role => {
    const { call, admin } = await listening()
    await call('bot.put', { bot: { id: 'w', endpoint: { kind: 'pull' } } })
    const { token } = await call('token.create', {
      name: role,
      role,
      ...(role === 'worker' ? { bot_id: 'w' } : {}),
    })
    const found: string[] = []
    for (const { name: found_name, 'x-scope': scope } of contractDocument().methods) {
      const name = found_name as keyof Methods
      // Unknown params: what is allowed is refused for them, and has no effect.
      const { status, error } = await callWith(admin, token, name, { nothing: 1 })
      const needed = passing.has(name) && role !== 'agent' ? ['approve', 'operate'] : [scope]
      const allowed = scope === 'any' || needed.some(each => expected[role].includes(each as Scope))
      const answer = error?.code
      if (answer !== (allowed ? -32602 : -32015) && name !== 'rpc.discover' && name !== 'rpc.health')
        found.push(`${name}: ${answer}`)
      if (!allowed) expect([name, error!.data.scope, status]).toEqual([name, scope, 403])
    }
    expect(found).toEqual([])
    expect(methodNames.length).toBeGreaterThan(80)
  })

  test('in a batch each call has its own answer', async () => {
    const { call, admin } = await listening()
    const { token } = await call('token.create', { name: 'x', role: 'viewer' })
    const { status, body } = await ask(admin, {
      body: `[${callOf('router.pause')},${callOf('bot.list')}]`,
      headers: bearerOf(token),
    })
    expect(status).toBe(200)
    expect(body).toMatchObject([{ error: { code: -32015 } }, { result: { bots: [] } }])
    expect((await call('router.status', {})).paused).toBeUndefined()
  })

  test('an agent passes no gate with operate; a person does', async () => {
    const { call, admin } = await listening()
    const scopes: Scope[] = ['read', 'operate']
    const [person, agent] = await Promise.all([
      call('token.create', { name: 'person', scopes }),
      call('token.create', { name: 'agent', scopes, mcp: true }),
    ])
    await call('router.pause', {})
    expect((await callWith(admin, agent.token, 'router.resume')).error?.message).toMatch(
      /needs the scope approve, because it passes a gate/,
    )
    expect((await call('router.status', {})).paused).toBeDefined()
    expect((await callWith(admin, person.token, 'router.resume')).result).toEqual({ paused: false })
  })
})

describe('a worker', () => {
  test('works on runs of its bot alone', async () => {
    const { call, admin } = await listening()
    await call('source.put', { source: { id: 's', source_type: 'service' } })
    for (const id of ['one', 'two']) {
      await call('bot.put', { bot: { id, endpoint: { kind: 'pull' } } })
      await call('trigger.put', { trigger: { id, filter: { type: [id] }, action: { bot_id: id } } })
      await call('event.emit', { source_id: 's', type: id, payload: { secret: 'of the event' } })
    }
    const { token } = await call('token.create', { name: 'w', role: 'worker', bot_id: 'one' })
    const work = <M extends keyof Methods>(method: M, params: object): Promise<Called<M>> =>
      callWith(admin, token, method, params)
    expect((await work('run.claim', { bot_id: 'two' })).error?.code).toBe(-32015)
    expect((await work('bot.heartbeat', { bot_id: 'two', availability: 'ready' })).error?.code).toBe(-32015)
    const [lease] = (await work('run.claim', { bot_id: 'one' })).result!.leases
    expect(lease!.delivery.event.payload).toEqual({ secret: 'of the event' })
    const [foreign] = (await call('run.claim', { bot_id: 'two' })).leases
    // With the lease of another bot's run, which it must not have.
    const stolen = { run_id: foreign!.run_id, lease_token: foreign!.lease_token }
    for (const [method, more] of [
      ['run.start', {}],
      ['run.heartbeat', {}],
      ['run.progress', { percent: 1 }],
      ['run.log', { text: 'x' }],
      ['run.complete', {}],
      ['run.fail', { error: 'x' }],
      ['run.yield', {}],
    ] as const)
      expect([method, (await work(method, { ...stolen, ...more })).error?.code]).toEqual([method, -32015])
    expect(
      (
        await work('run.complete', {
          run_id: '01997f3e-5b00-7000-8000-0000000000ff',
          lease_token: lease!.lease_token,
        })
      ).error?.code,
    ).toBe(-32015)
    expect((await call('run.get', { run_id: stolen.run_id })).run.state).toBe('assigned')
    const own = { run_id: lease!.run_id, lease_token: lease!.lease_token }
    expect((await work('run.complete', { ...own, result: { done: true } })).result!.run.state).toBe(
      'completed',
    )
  })
})

test('the user of the control socket may do everything', () => {
  const { scopes, agent, bot_id }: Principal = localPrincipal
  expect([[...scopes], agent, bot_id]).toEqual([expected.admin, false, undefined])
})
