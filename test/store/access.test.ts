// Tokens and the audit log in the database: what a start makes of damage, that they are recovered, and that they go.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { salvage } from '../../src/main/salvage.ts'
import { databasePath } from '../../src/store/sqlite/file/open.ts'
import { SqliteStore } from '../../src/store/sqlite/engine/sqlite-store.ts'
import type { AuditRow, TokenRow } from '../../src/store/store.ts'
import { DamagedStore, t0 } from '../support/damaged-store.ts'
import { freshDirectory } from '../support/router.ts'

function token(id: string, given: Partial<TokenRow> = {}): TokenRow {
  const never = { expires_at: null, last_used_at: null, last_used_from: null, revoked_at: null }
  return {
    id,
    kind: 'api',
    name: id,
    hash: Buffer.alloc(32, id),
    role: 'viewer',
    scopes: ['read'],
    agent: false,
    bot_id: null,
    created_by: 'local',
    created_at: t0,
    ...never,
    ...given,
  }
}

function entry(at: number, given: Partial<AuditRow> = {}): AuditRow {
  return {
    at,
    principal: 'local',
    name: null,
    interface: 'socket',
    address: null,
    method: 'bot.put',
    ids: ['b'],
    outcome: 'done',
    code: null,
    count: 1,
    ...given,
  }
}

test('tokens are stored whole, revoked once, and their use is noted', async () => {
  const { store, restarted } = ((damaged: DamagedStore) => ({
    store: damaged.store,
    restarted: () => damaged.restarted(t0).tokens,
  }))(new DamagedStore())
  const worker = token('bbbbbbbb', {
    kind: 'wrk',
    role: 'worker',
    scopes: ['work'],
    bot_id: 'w',
    agent: true,
    expires_at: t0 + 5,
  })
  await store.putToken(token('aaaaaaaa'))
  await store.putToken(worker)
  await store.noteTokenUses([{ token_id: 'bbbbbbbb', at: t0 + 1, from: '192.0.2.1' }])
  await store.revokeToken('bbbbbbbb', t0 + 2)
  await store.revokeToken('bbbbbbbb', t0 + 3)
  expect(restarted()).toEqual([
    token('aaaaaaaa'),
    { ...worker, last_used_at: t0 + 1, last_used_from: '192.0.2.1', revoked_at: t0 + 2 },
  ])
})

test.each([
  ['id', "UPDATE token SET id = 'aaaaaaa' || char(65533)"],
  ['kind', "UPDATE token SET kind = 'adx'"],
  ['role', "UPDATE token SET role = 'admim'"],
  ['scopes', `UPDATE token SET scopes = '["reed"]'`],
  ['scopes', `UPDATE token SET scopes = '[]'`],
  ['agent', 'UPDATE token SET agent = 2'],
])('a token with a damaged %s is reported and allows nothing', async (column, sql) => {
  const damaged = new DamagedStore()
  await damaged.store.putToken(token('aaaaaaaa'))
  damaged.hurt(sql)
  const { tokens, damage } = damaged.restarted(t0)
  expect(tokens).toEqual([])
  expect(damage).toEqual([expect.stringContaining(`token.${column}`)])
  expect(damaged.restarted(t0)).toMatchObject({ tokens: [], damage: [] })
})

test('a damaged entry is reported and left out; a page is as long as without it', async () => {
  const damaged = new DamagedStore()
  await damaged.store.audit([1, 2, 3, 4].map(n => entry(t0 + n)))
  damaged.hurt("UPDATE audit SET outcome = 'dome' WHERE seq = 3")
  expect((await damaged.store.auditEntries({ limit: 3, after: null })).map(({ seq }) => seq)).toEqual([
    4, 2, 1,
  ])
  damaged.hurt('UPDATE audit SET seq = 9007199254740990 WHERE seq = 4')
  expect(damaged.restarted(t0).damage).toEqual(['audit: 1 rows with a damaged seq were removed'])
  await damaged.store.audit([entry(t0 + 5)])
  expect((await damaged.store.auditEntries({ limit: 1, after: null })).map(({ at }) => at)).toEqual([t0 + 5])
})

test('both are recovered; retention removes what is old, and no token that is valid', async () => {
  const directory = freshDirectory()
  const store = new SqliteStore({ stateDir: directory, onFatal: () => undefined })
  await store.start(t0)
  await store.putToken(token('aaaaaaaa'))
  await store.putToken(token('bbbbbbbb', { revoked_at: t0 }))
  await store.putToken(token('cccccccc', { expires_at: t0 }))
  await store.putToken(token('dddddddd', { expires_at: t0 + 60_000, revoked_at: t0 + 5000 }))
  await store.audit([
    entry(t0),
    entry(t0 + 9000, {
      principal: 'token:aaaaaaaa',
      name: 'a',
      address: '192.0.2.1',
      method: null,
      outcome: 'refused',
      code: 'E_TOKEN',
      count: 3,
    }),
  ])
  await store.stop()
  const into = join(directory, 'recovered')
  mkdirSync(into)
  salvage.recover(databasePath(directory), databasePath(into), () => undefined)
  const again = new SqliteStore({ stateDir: into, onFatal: () => undefined })
  expect((await again.start(t0)).tokens.map(({ id }) => id)).toEqual([
    'aaaaaaaa',
    'bbbbbbbb',
    'cccccccc',
    'dddddddd',
  ])
  const limits = { event_ms: 5000, dead_ms: 5000, dedupe_ms: 5000, slice: 10 }
  await again.retain({ now: t0 + 8000, ...limits })
  expect((await again.auditEntries({ limit: 5, after: null })).length).toBe(2)
  await again.retain({ now: t0 + 8000, audit_ms: 5000, ...limits })
  expect(await again.auditEntries({ limit: 5, after: null })).toEqual([
    {
      seq: 2,
      at: t0 + 9000,
      principal: 'token:aaaaaaaa',
      name: 'a',
      interface: 'socket',
      address: '192.0.2.1',
      ids: ['b'],
      outcome: 'refused',
      code: 'E_TOKEN',
      count: 3,
    },
  ])
  await again.stop()
  const last = new SqliteStore({ stateDir: into, onFatal: () => undefined })
  expect((await last.start(t0)).tokens.map(({ id }) => id)).toEqual(['aaaaaaaa', 'dddddddd'])
  await last.stop()
})
