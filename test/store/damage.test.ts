// Damage of one value, as a router meets it: at a start, and while it runs. test/faults/bit-flips.test.ts goes through all columns.
import Database from 'better-sqlite3'
import { hash } from 'node:crypto'
import { readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { SignalboxClient, type Methods } from '../../src/client/client.ts'
import { readConfig } from '../../src/config.ts'
import { startRouter } from '../../src/main.ts'
import { salvage } from '../../src/main/salvage.ts'
import { botServer, type BotServer } from '../support/bot-server.ts'
import { signalbox, type Ran } from '../support/command-line.ts'
import { freshDirectory, quiet, until } from '../support/router.ts'

interface Running {
  call: <M extends keyof Methods>(method: M, params: Methods[M]['params']) => Promise<Methods[M]['result']>
  stop: () => Promise<void>
}

async function started(directory: string): Promise<Running> {
  const config = readConfig(
    { HOME: directory },
    { state_dir: directory, socket: join(directory, 'rpc.sock'), ...quiet },
  )
  const fatal = (message: string): never => {
    throw new Error(`the storage failed: ${message}`)
  }
  const router = await startRouter(config, { env: { HOME: directory }, onFatal: fatal })
  const client = await SignalboxClient.connect(router.socket)
  const stop = async (): Promise<void> => {
    client.close()
    await router.stop()
  }
  onTestFinished(stop)
  return { call: (method, params) => client.call(method, params), stop }
}

function inDatabase(directory: string, sql: string): void {
  const db = new Database(join(directory, 'signalbox.db'))
  db.pragma('ignore_check_constraints = ON')
  db.exec(sql)
  db.close()
}

/** As above, of a table that lets everything in meanwhile. */
function unguarded(directory: string, table: string, sql: string): void {
  const db = new Database(join(directory, 'signalbox.db'))
  db.unsafeMode(true)
  db.pragma('ignore_check_constraints = ON')
  const own = db
    .prepare<[string], string>("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?")
    .pluck()
    .get(table)!
  const define = (text: string): void => {
    db.pragma('writable_schema = ON')
    db.prepare("UPDATE sqlite_master SET sql = ? WHERE type = 'table' AND name = ?").run(text, table)
    db.pragma('writable_schema = RESET')
  }
  define(own
    .replace(/\) STRICT(, WITHOUT ROWID)?/, (_all, rest: string | undefined) =>
      rest === undefined ? ')' : ') WITHOUT ROWID',
    )
    .replaceAll(/(?<!\bIS) NOT NULL/g, ''))
  db.exec(sql)
  define(own)
  db.close()
}

const trigger = (
  id: string,
  bot_id: string,
  policy: object = {},
): Methods['trigger.put']['params']['trigger'] => ({
  id,
  filter: { type: [id] },
  action: { bot_id },
  policy,
})

/** A router that ended with runs of one bot that waits, and of one that takes runs. */
async function waiting(
  policy: object = {},
): Promise<{ directory: string; server: BotServer; runs: string[]; events: string[] }> {
  const directory = freshDirectory()
  const server = await botServer()
  const { call, stop } = await started(directory)
  await call('bot.put', { bot: { id: 'later', enabled: false, endpoint: { kind: 'http', url: server.url } } })
  await call('bot.put', { bot: { id: 'other', endpoint: { kind: 'http', url: server.url } } })
  await call('queue.put', { queue: { id: 'line', max_active: 5 } })
  await call('source.put', { source: { id: 'local', source_type: 'service' } })
  await call('trigger.put', { trigger: trigger('waits', 'later', policy) })
  await call('trigger.put', { trigger: trigger('goes', 'other') })
  const made = [1, 2, 3].map(n => call('event.emit', { source_id: 'local', type: 'waits', payload: { n } }))
  const answers = await Promise.all(made)
  await stop()
  return {
    directory,
    server,
    runs: answers.flatMap(answer => answer.runs),
    events: answers.map(answer => answer.event_id),
  }
}

/** Lets the waiting bot go, and answers its runs once each has ended. */
async function released(
  { call }: Running,
  url: string,
  runs: readonly string[],
): Promise<Methods['run.get']['result']['run'][]> {
  await call('bot.put', { bot: { id: 'later', enabled: true, endpoint: { kind: 'http', url } } })
  const all = await until(async () => {
    const found = await Promise.all(runs.map(async run_id => (await call('run.get', { run_id })).run))
    return found.every(run => run.finished_at !== undefined) && found
  })
  const fresh = await call('event.emit', { source_id: 'local', type: 'goes', payload: {} })
  await until(async () => (await call('run.get', { run_id: fresh.runs[0]! })).run.state === 'completed')
  return all
}

const verify = (directory: string): Promise<Ran> => signalbox({ directory }, ['verify'])

describe('a damaged run', () => {
  test.each([
    ['flow', `'{"concurrency":{"lane":"x","limit":1}'`],
    ['flow', `'{"concurrencz":{"lane":"x","limit":1}}'`],
    ['allowed_tools', `'["read"'`],
    ['need', `'{}'`],
    ['assignment', `'1'`],
    ['held_by', `'pepson'`],
    ['bot_id', `CAST(X'6CE174657220' AS TEXT)`],
    ['parked_on', `'order:nowhere:1'`],
    ['replay', '7'],
  ])('is dead with its %s as the reason (%s)', { timeout: 60_000 }, async (column, value) => {
    const { directory, server, runs } = await waiting({ concurrency: { limit: 2 } })
    inDatabase(directory, `UPDATE outbox SET ${column} = ${value} WHERE seq = 2`)
    const router = await started(directory)
    const [first, hurt, last] = await released(router, server.url, runs)
    expect([first!.state, last!.state]).toEqual(['completed', 'completed'])
    expect(hurt).toMatchObject({
      state: 'failed',
      dead: true,
      error: expect.stringContaining(`outbox.${column} of row 2 is damaged`) as string,
    })
    expect((await router.call('run.list', {})).runs).toHaveLength(4)
    const health = await router.call('rpc.health', {})
    expect(health.status).toBe('degraded')
    expect(health.checks.find(check => check.name === 'damage')!.detail).toContain(
      `outbox.${column} of row 2`,
    )
  })

  test('whose gates are damaged is not started without them', { timeout: 60_000 }, async () => {
    const { directory, server, runs } = await waiting({ approval: {} })
    inDatabase(directory, `UPDATE outbox SET flow = '{"approvak":{"timeout_ms":null}}' WHERE seq = 2`)
    const { call } = await started(directory)
    await call('bot.put', {
      bot: { id: 'later', enabled: true, endpoint: { kind: 'http', url: server.url } },
    })
    for (let tries = 0; tries < 2; tries++) {
      await until(async () => (await call('run.get', { run_id: runs[1]! })).run.dead)
      if (tries === 0) await call('run.retry', { run_id: runs[1]! })
    }
    expect(server.received).toEqual([])
  })

  test('lets those behind it in its lanes go', { timeout: 60_000 }, async () => {
    const { directory, server, runs } = await waiting({ order_key: 'one', on_dead: 'continue' })
    inDatabase(directory, `UPDATE outbox SET flow = substr(flow, 2) WHERE seq = 1`)
    const states = (await released(await started(directory), server.url, runs)).map(run => run.state)
    expect(states).toEqual(['failed', 'completed', 'completed'])
  })

  test(
    'does not keep a run that depends on it, and is damaged too, from its end',
    { timeout: 60_000 },
    async () => {
      const { directory, server, events } = await waiting()
      const first = await started(directory)
      const after = {
        id: 'after',
        filter: { type: ['waits'] },
        action: { bot_id: 'later' },
        policy: { depends_on: ['waits'] },
      }
      await first.call('trigger.put', { trigger: after })
      const { runs } = await first.call('event.emit', { source_id: 'local', type: 'waits', payload: {} })
      await first.stop()
      // The end of the first cancels the other, whose row cannot be moved as it is.
      unguarded(
        directory,
        'outbox',
        `UPDATE outbox SET queue = NULL WHERE seq IN (SELECT seq FROM outbox ORDER BY seq DESC LIMIT 2)`,
      )
      const router = await started(directory)
      for (const run_id of runs)
        expect((await router.call('run.get', { run_id })).run).toMatchObject({
          state: 'failed',
          dead: true,
          error: expect.stringContaining('outbox.queue') as string,
        })
      expect([events.length, server.received]).toEqual([3, []])
    },
  )

  test('that is with its bot ends dead, and others go on', { timeout: 60_000 }, async () => {
    const directory = freshDirectory()
    const answers: (() => void)[] = []
    const server = await botServer((_request, response) => void answers.push(() => response.end('{}')))
    const router = await started(directory)
    const { call } = router
    await call('bot.put', { bot: { id: 'slow', endpoint: { kind: 'http', url: server.url } } })
    await call('source.put', { source: { id: 'local', source_type: 'service' } })
    await call('trigger.put', { trigger: trigger('a', 'slow', { concurrency: { limit: 5 } }) })
    const [hurt, whole] = await Promise.all(
      [1, 2].map(() => call('event.emit', { source_id: 'local', type: 'a', payload: {} })),
    )
    await server.nth(2)
    const seq = `(SELECT min(seq) FROM outbox WHERE hex(id) = '${hurt!.runs[0]!.replaceAll('-', '').toUpperCase()}')`
    inDatabase(directory, `UPDATE outbox SET flow = 'x' WHERE seq = ${seq}`)
    for (const answer of answers) answer()
    const of = async (run_id: string): Promise<Methods['run.get']['result']['run']> =>
      (await call('run.get', { run_id })).run
    await until(async () => (await of(whole!.runs[0]!)).state === 'completed')
    const dead = await until(async () => ((await of(hurt!.runs[0]!)).dead ? of(hurt!.runs[0]!) : false))
    expect(dead.error).toContain('outbox.flow of row')
    expect((await call('rpc.health', {})).status).toBe('degraded')
  })

  test('is found again through its table where its index is damaged', { timeout: 60_000 }, async () => {
    const { directory, server, runs } = await waiting()
    const db = new Database(join(directory, 'signalbox.db'))
    db.unsafeMode(true)
    const index = db
      .prepare<[], { sql: string; rootpage: number }>(
        "SELECT sql, rootpage FROM sqlite_master WHERE name = 'outbox_due'",
      )
      .get()!
    db.pragma('writable_schema = ON')
    db.exec("UPDATE sqlite_master SET sql = replace(sql, 'pending', 'pendinh') WHERE name = 'outbox_due'")
    db.pragma('writable_schema = RESET')
    db.exec('REINDEX outbox_due')
    db.pragma('writable_schema = ON')
    db.prepare("UPDATE sqlite_master SET sql = ? WHERE name = 'outbox_due'").run(index.sql)
    db.close()
    const router = await started(directory)
    expect((await released(router, server.url, runs)).map(run => run.state)).toEqual([
      'completed',
      'completed',
      'completed',
    ])
    expect((await router.call('rpc.health', {})).status).toBe('degraded')
  })
})

describe('a damaged event', () => {
  test.each([
    [
      'decisions',
      `'[["waits",1,"routef"]]'`,
      { decisions: null, matched_triggers: null, damaged: ['decisions', 'matched_triggers'] },
      'completed',
    ],
    ['headers', `'{"a"'`, { headers: null, damaged: ['headers'] }, 'failed'],
    ['causation', `'{}'`, { causation: null, damaged: ['causation'] }, 'failed'],
    ['body_format', `'jsoo'`, { payload: null, damaged: ['payload'] }, 'failed'],
    ['body', `CAST('{"n":3}' AS BLOB)`, { payload: null, damaged: ['payload'] }, 'failed'],
  ])('has null for its %s, with a mark', { timeout: 60_000 }, async (column, value, shown, state) => {
    const { directory, server, runs, events } = await waiting()
    inDatabase(directory, `UPDATE event SET ${column} = ${value} WHERE seq = 2`)
    const router = await started(directory)
    expect(await router.call('event.get', { event_id: events[1]! })).toMatchObject(shown)
    const lines = (await router.call('event.query', { source_id: 'local' })).events
    expect(lines.map(line => line.id).toSorted()).toEqual(events.toSorted())
    expect((await router.call('event.query', { filter: { payload: { n: [1] } } })).events).toHaveLength(1)
    const found = await released(router, server.url, runs)
    expect(found.map(run => run.state)).toEqual(['completed', state, 'completed'])
    if (state === 'failed') expect(found[1]!.error).toMatch(/damaged/)
    for (const { body } of server.received) expect(JSON.parse(body)).toHaveProperty('event.payload')
    expect((await router.call('rpc.health', {})).status).toBe('degraded')
  })
})

test('a run whose version of the trigger is damaged is dead at once', { timeout: 60_000 }, async () => {
  const { directory, server, runs } = await waiting()
  inDatabase(
    directory,
    `UPDATE trigger_version SET definition = substr(definition, 1, 30) WHERE trigger_id = 'waits'`,
  )
  const router = await started(directory)
  for (const run of await released(router, server.url, runs))
    expect(run).toMatchObject({
      state: 'failed',
      attempt: 1,
      error: expect.stringContaining('trigger_version.definition of row waits, version 1,') as string,
    })
  expect((await router.call('trigger.versions', { trigger_id: 'waits' })).versions).toMatchObject([
    { trigger: null },
  ])
  await expect(router.call('trigger.put', { trigger_id: 'waits', from_version: 1 })).rejects.toMatchObject({
    code: -32002,
  })
})

test.each([
  ['no JSON', 'substr(definition, 1, 30)'],
  ['a filter that is none', `replace(definition, '["waits"]', '[{"anything-bug":1}]')`],
])('an old version of a trigger hides nothing: %s', { timeout: 60_000 }, async (_name, value) => {
  const { directory, runs, events } = await waiting()
  inDatabase(
    directory,
    `UPDATE trigger_version SET definition = ${value} WHERE trigger_id = 'waits' AND version = 1`,
  )
  const { call } = await started(directory)
  await call('trigger.put', { trigger: trigger('waits', 'other', { queue: 'line' }) })
  await call('trigger.put', {
    trigger: { id: 'also', filter: { type: ['waits', 'also'] }, action: { bot_id: 'other' } },
  })
  expect((await call('run.get', { run_id: runs[0]! })).run).toMatchObject({ id: runs[0]!, state: 'pending' })
  const { decisions } = await call('event.explain', { event_id: events[0]! })
  expect(decisions.map(each => each.trigger_id).toSorted()).toEqual(['also', 'goes', 'waits'])
  expect(decisions.find(each => each.trigger_id === 'waits')).toMatchObject({
    trigger_version: 1,
    matched: true,
    run_ids: [runs[0]!],
    reason: expect.stringContaining('damaged') as string,
  })
})

/** What verify finds of a definition, and what recover leaves out of a new database. */
function salvaged(directory: string): { found: string[]; left: string[]; into: string } {
  const path = join(directory, 'signalbox.db')
  const into = join(directory, 'recovered.db')
  const [found, left]: [string[], string[]] = [[], []]
  salvage.verify(path, ({ kind, message }) => kind === 'definition' && found.push(message))
  salvage.recover(path, into, ({ message }) => left.push(message))
  return { found, left, into }
}

describe('definitions', () => {
  test.each([
    ['source', 'definition', 'local', `substr(definition, 2)`],
    ['source', 'definition', 'local', `replace(definition, '"local"', '"locam"')`],
    ['source', 'updated_at', 'local', `CAST('x' AS BLOB)`],
    ['source', 'updated_at', 'local', `NULL`],
    ['source', 'version', 'local', `-127`],
    ['trigger', 'definition', 'waits', `replace(definition, '"filter"', '"fulter"')`],
    ['trigger', 'definition', 'waits', `replace(definition, '["waits"]', '[{"anything-bug":1}]')`],
    ['bot', 'definition', 'later', `replace(definition, '"http"', '"htup"')`],
    ['bot', 'definition', 'later', `json_set(definition, '$.budget', 'much')`],
    ['queue', 'definition', 'line', `replace(definition, 'line', 'linf')`],
    ['queue', 'created_at', 'line', `9e15`],
  ])('a damaged %s ends the start with 65: %s', { timeout: 60_000 }, async (noun, column, id, value) => {
    const { directory } = await waiting()
    unguarded(directory, noun, `UPDATE "${noun}" SET ${column} = ${value} WHERE id = '${id}'`)
    await expect(started(directory)).rejects.toMatchObject({
      exitCode: 65,
      message: expect.stringMatching(
        new RegExp(`^${noun}.${column} of row "${id}" is damaged: .*signalbox recover`),
      ) as string,
    })
    const { found, left, into } = salvaged(directory)
    expect(found).toEqual([expect.stringMatching(`^${noun}.${column} of row ${id} is damaged`)])
    expect(left).toEqual([
      expect.stringMatching(`^${noun} ${id} is left out: ${noun}.${column} of row ${id} is damaged`),
    ])
    const db = new Database(into, { readonly: true })
    expect(db.prepare(`SELECT count(*) FROM "${noun}" WHERE id = '${id}'`).pluck().get()).toBe(0)
    db.close()
    renameSync(into, join(directory, 'signalbox.db'))
    await started(directory)
  })

  test('a queue that is found damaged while running is off', { timeout: 60_000 }, async () => {
    const { directory } = await waiting({ queue: 'line' })
    const { call } = await started(directory)
    inDatabase(directory, `UPDATE queue SET definition = 'x' WHERE id = 'line'`)
    await call('queue.put', { queue: { id: 'another' } })
    await call('bot.put', {
      bot: { id: 'later', enabled: true, endpoint: { kind: 'command', argv: ['/bin/true'] } },
    })
    const health = await call('rpc.health', {})
    expect(health.checks.find(check => check.name === 'damage')).toMatchObject({
      ok: false,
      detail: expect.stringContaining('queue.definition of row line') as string,
    })
    expect((await call('run.list', { state: 'pending' })).runs).toHaveLength(3)
  })
})

describe('a bot with budgets', () => {
  test('is off where it is found damaged while running', { timeout: 60_000 }, async () => {
    const { directory, server } = await waiting()
    const { call } = await started(directory)
    const later = {
      id: 'later',
      endpoint: { kind: 'http' as const, url: server.url },
      budget: { runs: 2, period: 'hour' as const },
    }
    await call('router.pause', {})
    await call('bot.put', { bot: later })
    inDatabase(directory, `UPDATE bot SET definition = substr(definition, 2) WHERE id = 'later'`)
    await call('bot.put', { bot: { id: 'another', endpoint: { kind: 'http', url: server.url } } })
    await call('router.resume', {})
    const held = await until(async () => {
      const { runs } = await call('run.list', { state: 'held' })
      return runs.length === 3 && runs
    })
    expect(held[0]!.error).toMatch(/^bot.definition of row later is damaged: .* the bot is off/)
    const health = await call('rpc.health', {})
    expect(health).toMatchObject({ status: 'degraded' })
    expect(health.checks.find(check => check.name === 'damage')!.detail).toContain(
      'bot.definition of row later',
    )
    expect(server.received).toEqual([])
    await call('bot.put', { bot: later })
    await until(async () => (await call('run.list', { state: 'completed' })).runs.length === 2)
    expect((await call('run.list', { state: 'held' })).runs).toHaveLength(1)
  })
})

const digest = (directory: string): string => hash('sha256', readFileSync(join(directory, 'signalbox.db')))

test.each([
  ['user_version = -1', 'PRAGMA user_version = -1', 65, 'user_version is -1'],
  ['user_version = 2^30', 'PRAGMA user_version = 1073741824', 65, 'user_version is 1073741824'],
  ['user_version = 0', 'PRAGMA user_version = 0', 65, 'user_version is 0'],
  ['user_version = 2', 'PRAGMA user_version = 2', 65, 'schema is not that of version 2'],
  ['user_version = 99', 'PRAGMA user_version = 99', 78, 'schema 99'],
  [
    'a trigger',
    'CREATE TRIGGER spy AFTER INSERT ON event BEGIN DELETE FROM outbox; END',
    65,
    'trigger spy is not of this program',
  ],
  ['a view', 'CREATE VIEW glance AS SELECT * FROM event', 65, 'view glance is not of this program'],
  ['a table', 'CREATE TABLE guest (a)', 65, 'table guest is not of this program'],
  ['an index', 'CREATE INDEX guest ON event (timestamp)', 65, 'index guest is not of this program'],
  ['a lost index', 'DROP INDEX outbox_due', 65, 'index outbox_due is missing'],
])('a database with %s is not started on', { timeout: 60_000 }, async (_name, sql, exitCode, words) => {
  const { directory } = await waiting()
  inDatabase(directory, sql)
  const before = digest(directory)
  await expect(started(directory)).rejects.toMatchObject({
    exitCode,
    message: expect.stringContaining(words) as string,
  })
  expect(digest(directory)).toBe(before)
  expect(await verify(directory)).toMatchObject({
    code: 65,
    out: expect.stringContaining(words.replace('schema 99', 'it has schema 99')) as string,
  })
})

test('doctor says what damage was met and what to do', { timeout: 60_000 }, async () => {
  const { directory } = await waiting()
  inDatabase(directory, `UPDATE outbox SET flow = 'x' WHERE seq = 1`)
  await started(directory)
  const { code, out } = await signalbox({ directory }, ['doctor'])
  expect(code).toBe(1)
  expect(out).toMatch(/BAD {2}damage .*outbox\.flow of row 1[\s\S]*signalbox verify[\s\S]*signalbox recover/)
})
