// The audit log: what is recorded, by whom, and that neither params nor payloads are in it.
import { describe, expect, test } from 'vitest'
import { Audit, idsOf, isRecorded } from '../../src/api/audit.ts'
import { localPrincipal } from '../../src/api/principal.ts'
import { Fault } from '../../src/errors.ts'
import { compileContract } from '../../src/contract/validators.ts'
import type { AuditRow } from '../../src/store/store.ts'
import { ask, callOf, callWith, listening } from '../support/admin.ts'
import { freshRouter } from '../support/router.ts'

test('every method that changes something is recorded, except those with records of their own', () => {
  const recorded = [...compileContract().values()].filter(isRecorded).map(({ name }) => name)
  const changes =
    /\.(put|delete|enable|disable|register|apply|fire|forget|replay|pause|resume|drain|undrain|skip|update|cancel|retry|discard|retry_dead|discard_dead|hold|release|approve|deny|create|revoke|backup|notify_test)$/
  expect(recorded.toSorted()).toEqual(
    [...compileContract().keys()].filter(name => changes.test(name) && name !== 'rpc.cancel').toSorted(),
  )
})

describe('an entry', () => {
  test('says who did what to which objects, over which interface', async () => {
    const { call, admin } = await listening()
    const { token, created } = await call('token.create', { name: 'ops', role: 'developer' })
    await callWith(admin, token, 'bot.put', {
      bot: {
        id: 'b',
        endpoint: { kind: 'http', url: 'http://127.0.0.1:9/secret-path', bearer: { env: 'SECRET_NAME' } },
      },
    })
    await callWith(admin, token, 'bot.put', {
      bot: { id: 'b', endpoint: { kind: 'http', url: 'http://127.0.0.1:9' } },
      version: 7,
    })
    await callWith(admin, token, 'router.backup', { path: '/nonexistent/b.db' })
    const { entries } = await call('audit.list', {})
    expect(entries.map(({ at: _at, seq: _seq, ...entry }) => entry)).toEqual([
      {
        principal: `token:${created.id}`,
        name: 'ops',
        interface: 'http',
        address: '127.0.0.1',
        method: 'router.backup',
        ids: [],
        outcome: 'refused',
        code: 'E_FORBIDDEN',
        count: 1,
      },
      {
        principal: `token:${created.id}`,
        name: 'ops',
        interface: 'http',
        address: '127.0.0.1',
        method: 'bot.put',
        ids: ['b'],
        outcome: 'failed',
        code: 'E_CONFLICT',
        count: 1,
      },
      {
        principal: `token:${created.id}`,
        name: 'ops',
        interface: 'http',
        address: '127.0.0.1',
        method: 'bot.put',
        ids: ['b'],
        outcome: 'done',
        count: 1,
      },
      {
        principal: 'local',
        interface: 'socket',
        method: 'token.create',
        ids: [created.id],
        outcome: 'done',
        count: 1,
      },
    ])
    expect(JSON.stringify(entries)).not.toMatch(/secret-path|SECRET_NAME|nonexistent|sbx_/)
  })

  test('is there for a request without a token, and not for reading, emitting and working', async () => {
    const { call, admin } = await listening()
    await ask(admin, { body: callOf('bot.list') })
    await call('source.put', { source: { id: 's', source_type: 'service' } })
    await call('event.emit', { source_id: 's', type: 'x', payload: {} })
    await call('bot.list', {})
    const { entries } = await call('audit.list', {})
    expect(entries.map(({ principal, method, outcome, code }) => [principal, method, outcome, code])).toEqual(
      [
        ['local', 'source.put', 'done', undefined],
        ['unknown', undefined, 'refused', 'E_TOKEN'],
      ],
    )
  })

  test('is found by principal, method, outcome and time, page after page', async () => {
    const { call } = await freshRouter()
    for (let n = 0; n < 7; n++) await call('source.put', { source: { id: `s${n}`, source_type: 'service' } })
    await expect(call('source.delete', { source_id: 'nothing' })).rejects.toThrow(
      'there is no source nothing',
    )
    await call('source.delete', { source_id: 's0' })
    const about = async (params: object): Promise<string[]> =>
      (await call('audit.list', params)).entries.map(({ method, ids }) => `${method} ${ids.join()}`)
    expect(await about({ method: 'source.delete' })).toEqual(['source.delete s0', 'source.delete nothing'])
    expect(await about({ method: 'source.delete', outcome: 'done', principal: 'local' })).toEqual([
      'source.delete s0',
    ])
    expect(await about({ principal: 'token:x' })).toEqual([])
    expect(await about({ until: 1 })).toEqual([])
    const pages: string[][] = []
    for (let cursor: string | undefined; ;) {
      const { entries, next_cursor } = await call('audit.list', { limit: 4, cursor })
      pages.push(entries.map(({ ids }) => ids.join()))
      if (next_cursor === undefined) break
      cursor = next_cursor
    }
    expect(pages).toEqual([['s0', 'nothing', 's6', 's5'], ['s4', 's3', 's2', 's1'], ['s0']])
  })
})

describe('refusals', () => {
  function recorded(): { audit: Audit; rows: AuditRow[]; clock: { now: number }; bugs: unknown[] } {
    const rows: AuditRow[] = []
    const clock = { now: 3_600_000 * 1000 }
    const bugs: unknown[] = []
    const store = {
      audit: async (given: AuditRow[]) => void rows.push(...given),
      auditEntries: async () => [],
    }
    return {
      audit: new Audit({ store, now: () => clock.now, logBug: bug => bugs.push(bug) }),
      rows,
      clock,
      bugs,
    }
  }
  const fault = new Fault('forbidden', 'no')

  test('beyond 100 in an hour are counted', async () => {
    const { audit, rows, clock } = recorded()
    for (let n = 0; n < 250; n++) await audit.failed(localPrincipal, 'router.pause', [], fault)
    expect(rows.length).toBe(100)
    await audit.flush()
    expect(rows.at(-1)).toMatchObject({ principal: 'several', outcome: 'refused', count: 150 })
    for (let n = 0; n < 5; n++) await audit.failed(localPrincipal, 'router.pause', [], fault)
    clock.now += 3_600_000
    await audit.failed(localPrincipal, 'router.pause', [], fault)
    expect(rows.slice(101).map(({ count, method }) => [count, method])).toEqual([
      [5, null],
      [1, 'router.pause'],
    ])
    // What was done is always recorded.
    for (let n = 0; n < 120; n++) await audit.done(localPrincipal, 'router.pause', [])
    expect(rows.length).toBe(223)
  })

  test('a call that was made is answered although its entry cannot be written', async () => {
    const bugs: unknown[] = []
    const store = { audit: () => Promise.reject(new Error('full')), auditEntries: async () => [] }
    const audit = new Audit({ store, now: () => 0, logBug: bug => bugs.push(bug) })
    await audit.done(localPrincipal, 'router.pause', [])
    expect(bugs).toMatchObject([{ message: 'full' }])
  })
})

test('ids are those of params, of objects in them and of lists; at most 20, at most 100 characters', () => {
  expect(
    idsOf({
      run_id: 'r',
      queue: 'q',
      text_id: 7,
      name: 'n',
      bot: { id: 'b', secret: 's' },
      sources: [{ id: 's1' }, { id: 's2' }, null, 'x'],
    }),
  ).toEqual(['r', 'q', 'b', 's1', 's2'])
  expect(idsOf({ list: Array.from({ length: 50 }, (_, n) => ({ id: `i${n}` })) }).length).toBe(20)
  expect(idsOf({ run_id: 'x'.repeat(500) })[0]!.length).toBe(100)
  expect(idsOf(null, 7, 'text', undefined)).toEqual([])
})
