// Promise P64: a damaged value in one row costs that row only. A bit is flipped in every column of every table, with a full
// life around it: the router starts and does everything else, or does not start and names the row; nothing is answered
// -32603, nothing hangs, and rpc.health says degraded where damage was met.
import Database from 'better-sqlite3'
import { mkdirSync, writeFileSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SignalboxClient, type Methods } from '../../src/client/client.ts'
import { readConfig } from '../../src/config.ts'
import { ExitError } from '../../src/errors.ts'
import { startRouter, type Router } from '../../src/main.ts'
import { Work } from '../../src/store/sqlite/engine/operations.ts'
import { freshDirectory, quiet } from '../support/router.ts'
import {
  bots,
  columns,
  completed,
  emptyColumns,
  flip,
  live,
  owed,
  type Column,
  type Flip,
  type Life,
} from './bits.ts'
import { chance } from './power-loss.ts'
import { report, size } from './report.ts'
import { faultyRouter } from './shim.ts'

const seed = Number(process.env.SIGNALBOX_SEED ?? 1)
const random = chance(seed)
const bitsEach = size('SIGNALBOX_BITS', 1, 64)
/** One column of so many is tried, from another one on with each seed. */
const everyColumn = size('SIGNALBOX_COLUMNS', 3, 1)
/** Flips that one router is started on, and how many of them in one table. */
const together = 25
const ofOneTable = 6
/** Of definitions: the first that is refused ends the start. */
const definitionsTogether = bitsEach > 1 ? 1 : 3
const answerMs = 10_000
/** Within which everything that is owed ends, on a busy machine too. */
const endMs = 3 * answerMs
const routerBudget = { tokens: 1_000_000, period: 'month', per: 'router' } as const
const dayMs = 86_400_000
const mostSlices = 200
/** Columns of ended runs that every end of a run empties. */
const neverFilled = [
  'lease_token',
  'lease_until',
  'parked_on',
  'held_by',
  'timeout_at',
  'deadline_at',
  'deadline_name',
].map(column => `run_archive.${column}`)
const definitionTables = new Set(['source', 'trigger', 'bot', 'queue'])

let server: Awaited<ReturnType<typeof bots>>
let origin = Buffer.alloc(0)
let life: Life
/** the row of the run that a worker holds, and others wait for */
let leased = 0

async function started(directory: string): Promise<Router> {
  const config = readConfig(
    { HOME: directory },
    {
      state_dir: join(directory, 'state'),
      socket: join(directory, 'rpc.sock'),
      budget: [routerBudget],
      ...quiet,
    },
  )
  return startRouter(config, { env: { HOME: directory }, onFatal: message => fatal.push(message) })
}

const fatal: string[] = []

beforeAll(async () => {
  server = await bots()
}, 60_000)
afterAll(() => void server.server.close())

/** The life, lived once. */
async function prepared(): Promise<void> {
  if (origin.length > 0) return
  const directory = freshDirectory()
  const router = await started(directory)
  const client = await SignalboxClient.connect(router.socket)
  const path = join(directory, 'state', 'signalbox.db')
  life = await live(client, router.intake, server.url, ask => {
    const db = new Database(path, { readonly: true })
    try {
      return ask(db)
    } finally {
      db.close()
    }
  })
  client.close()
  await router.stop()
  const db = new Database(path)
  completed(db)
  leased = db
    .prepare<[Buffer], number>('SELECT seq FROM outbox WHERE id = ?')
    .pluck()
    .get(Buffer.from(life.lease.run_id.replaceAll('-', ''), 'hex'))!
  db.close()
  origin = readFileSync(path)
}

/** A copy of the life with some flips in it. */
function copied(flips: (db: Database.Database) => Flip[]): { directory: string; flips: Flip[] } {
  const directory = freshDirectory()
  const path = join(directory, 'state', 'signalbox.db')
  mkdirSync(dirname(path), { mode: 0o700 })
  writeFileSync(path, origin, { mode: 0o600 })
  const db = new Database(path)
  const made = flips(db)
  db.pragma('journal_mode = DELETE')
  db.close()
  return { directory, flips: made }
}

type Ask = <M extends keyof Methods>(
  method: M,
  params: Methods[M]['params'],
) => Promise<Methods[M]['result'] | undefined>

/** Calls that must not end in a bug, and not hang. */
function asker(client: SignalboxClient, wrong: string[]): Ask {
  return async (method, params) => {
    const { promise: late, resolve } = Promise.withResolvers<'late'>()
    const timer = setTimeout(() => resolve('late'), answerMs)
    try {
      const answer = await Promise.race([client.call(method, params), late])
      if (answer === 'late') wrong.push(`${method} hangs`)
      return answer === 'late' ? undefined : answer
    } catch (error) {
      const { code, message } = error as { code?: number; message: string }
      if (code === undefined || code === -32603)
        wrong.push(`${method} ${JSON.stringify(params).slice(0, 100)}: ${code} ${message}`)
      return undefined
    } finally {
      clearTimeout(timer)
    }
  }
}

/** Looks at everything that there is. */
async function looked(ask: Ask): Promise<{ marked: boolean }> {
  let marked = false
  for (const source_id of [undefined, 'router', 'local']) {
    const page = await ask('event.query', { limit: 500, ...(source_id === undefined ? {} : { source_id }) })
    for (const event of page?.events ?? []) if (event.damaged !== undefined) marked = true
  }
  const events = (await ask('event.query', { limit: 500, source_id: 'local' }))?.events ?? []
  await Promise.all(
    events.map(async ({ id }) => {
      const event = await ask('event.get', { event_id: id, raw: true })
      if (event?.damaged !== undefined) marked = true
    }),
  )
  await ask('event.query', { filter: { payload: { key: ['k'] } }, limit: 500 })
  await ask('event.replay', { query: {}, dry_run: true })
  const runs = (await ask('run.list', { limit: 500 }))?.runs ?? []
  for (const run of runs)
    if (run.damaged !== undefined || run.error?.includes('is damaged') === true) marked = true
  await Promise.all(
    runs.map(run =>
      Promise.all([
        ask('run.get', { run_id: run.id }),
        ask('run.history', { run_id: run.id }),
        ask('run.output', { run_id: run.id }),
      ]),
    ),
  )
  for (const { id } of events.slice(0, 3)) await ask('event.explain', { event_id: id })
  for (const trigger_id of ['plain', 'asks', 'told']) await ask('trigger.versions', { trigger_id })
  await Promise.all([
    ask('queue.list', {}),
    ask('router.status', {}),
    ask('router.stats', {}),
    ask('router.export', {}),
    ask('router.export', { file_set: 'life' }),
  ])
  await Promise.all([
    ask('source.ticks', { source_id: 'seconds' }),
    ask('source.list', {}),
    ask('event.refused', {}),
    ask('token.list', {}),
    ask('audit.list', {}),
    ask('bot.list', {}),
    ask('run.retry_dead', {}),
  ])
  return { marked }
}

/** Runs that are owed, with their events, as the copy has them. */
function owedRuns(path: string, flips: readonly Flip[]): string[] {
  const db = new Database(path, { readonly: true })
  const ids = db
    .prepare<[], { seq: number; id: Buffer; event_seq: number; trigger_id: string }>(
      "SELECT seq, id, event_seq, trigger_id FROM outbox WHERE state IN ('pending', 'running', 'assigned') AND held_by IS NULL",
    )
    .all()
    .filter(({ trigger_id }) => owed.includes(trigger_id))
  const batched = db.prepare<[number], number>('SELECT run_seq FROM run_event WHERE event_seq = ?').pluck()
  const [runs, events] = [new Set(flips.flatMap(each => each.runs)), flips.flatMap(each => each.events)]
  for (const event of events) for (const run of batched.all(event)) runs.add(run)
  const dependent = db
    .prepare<[number], number>('SELECT run_seq FROM run_dependency WHERE on_seq = ?')
    .pluck()
  for (const { seq, event_seq } of ids) if (events.includes(event_seq)) runs.add(seq)
  for (const run of runs) for (const each of dependent.all(run)) runs.add(each)
  // Those behind a run that is with a worker wait for it, or until its lease ends.
  if (runs.has(leased))
    for (const { seq, trigger_id } of ids) if (trigger_id === 'one-at-a-time') runs.add(seq)
  const own = flips.flatMap(({ table, triggers }) => (definitionTables.has(table) ? owed : triggers))
  const triggers = own.includes('first') ? [...own, 'second'] : own
  db.close()
  return ids
    .filter(
      ({ seq, event_seq, trigger_id }) =>
        !runs.has(seq) && !events.includes(event_seq) && !triggers.includes(trigger_id),
    )
    .map(({ id }) => {
      const hex = id.toString('hex')
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
    })
}

/** Lets everything that waited go, and what comes now. */
async function released(
  ask: Ask,
  router: Router,
  flips: readonly Flip[],
  wrong: string[],
): Promise<string[]> {
  const hurt = new Set(
    flips.flatMap(({ table, row, triggers }) => (definitionTables.has(table) ? [row.id] : triggers)),
  )
  await ask('bot.put', {
    bot: {
      id: 'later',
      enabled: true,
      max_active: 8,
      endpoint: { kind: 'http', url: `${server.url}/later` },
    },
  })
  await ask('bot.put', {
    bot: { id: 'rarest', capabilities: ['rare'], endpoint: { kind: 'http', url: `${server.url}/rare` } },
  })
  const fresh: string[] = []
  for (const type of ['done', 'quiet', 'gathered', 'in-order', 'alone', 'plain']) {
    const answer = await ask('event.emit', { source_id: 'local', type, payload: { key: 'k' } })
    if (answer === undefined && !hurt.has('local')) wrong.push(`an event of type ${type} is not taken`)
    const isWhole = ![type, 'now', 'later', 'local', 'slow-lane'].some(id => hurt.has(id))
    if ((type === 'done' || type === 'plain') && isWhole) fresh.push(...(answer?.runs ?? []))
  }
  const posted = await fetch(`${router.intake}/webhook/hook`, {
    method: 'POST',
    body: '{}',
    headers: { 'content-type': 'application/json', 'webhook-id': 'h-1000' },
  })
  if (posted.status >= (hurt.has('hook') ? 500 : 300)) wrong.push(`the intake answers ${posted.status}`)
  return fresh
}

/** A worker that goes on with what it holds, and then takes what there is. */
async function worked(ask: Ask): Promise<void> {
  await ask('run.progress', { run_id: life.lease.run_id, lease_token: 'w:lost', usage: { input_tokens: 6 } })
  await ask('run.complete', { ...life.lease, result: {} })
  for (;;) {
    const leases = (await ask('run.claim', { bot_id: 'worker', max: 4 }))?.leases ?? []
    for (const { run_id, lease_token } of leases) await ask('run.complete', { run_id, lease_token })
    if (leases.length === 0) return
  }
}

/** Retention of the database that a router left: for want of room, and once everything is old. */
function retained(path: string): string[] {
  const db = new Database(path)
  const work = new Work(db, 'none')
  const now = Date.now()
  const old = { event_ms: dayMs, dead_ms: dayMs, dedupe_ms: dayMs, signed_body_ms: dayMs, slice: 64 }
  const limits = [
    { ...old, now, max_bytes: 1 },
    { ...old, now: now + 40 * dayMs },
  ]
  const sweep = db.transaction((operation: { op: 'retain'; limits: (typeof limits)[number] }) =>
    work.perform(operation, new ArrayBuffer(0)),
  )
  try {
    for (const each of limits)
      for (
        let slices = 0;
        (sweep.immediate({ op: 'retain', limits: each }) as { more: boolean }).more;
        slices++
      )
        if (slices > mostSlices) return ['retention does not come to an end']
    return []
  } catch (error) {
    return [`retention fails: ${(error as Error).stack}`]
  } finally {
    db.close()
  }
}

/** What is wrong with a router on a damaged copy, in words. */
async function judged({ directory, flips }: { directory: string; flips: Flip[] }): Promise<string[]> {
  const wrong: string[] = []
  const path = join(directory, 'state', 'signalbox.db')
  const due = owedRuns(path, flips)
  let router: Router
  try {
    router = await started(directory)
  } catch (error) {
    const isNamed =
      error instanceof ExitError &&
      error.exitCode === 65 &&
      flips.some(({ table }) => error.message.includes(`${table}.`))
    const isDefinition = flips.some(({ table }) => definitionTables.has(table))
    return isNamed && isDefinition
      ? []
      : [`no start: ${error instanceof ExitError ? error.exitCode : ''} ${(error as Error).stack}`]
  }
  const client = await SignalboxClient.connect(router.socket)
  const ask = asker(client, wrong)
  const isDefinition = flips.every(({ table }) => definitionTables.has(table))
  const before = isDefinition ? { marked: false } : await looked(ask)
  const fresh = await released(ask, router, flips, wrong)
  const until = performance.now() + endMs
  const open = new Set([...due, ...fresh])
  while (open.size > 0 && performance.now() < until && wrong.length === 0) {
    await worked(ask)
    const { runs } = (await ask('run.list', { limit: 500 })) ?? { runs: [] }
    for (const { id, state } of runs) if (state === 'completed') open.delete(id)
  }
  for (const run_id of open) {
    const run = (await ask('run.get', { run_id }))?.run
    wrong.push(`run ${run_id} of ${run?.trigger_id} is ${run?.state}: ${run?.error ?? run?.waiting_for}`)
  }
  const { marked } = await looked(ask)
  const health = await ask('rpc.health', {})
  if ((marked || before.marked) && health?.status !== 'degraded')
    wrong.push('damage was met, and health is ok')
  client.close()
  await router.stop()
  wrong.push(...fatal.splice(0), ...retained(path))
  return wrong
}

/** Flips for every column, some together; those of definitions apart, since they may end the start. */
function cases(all: readonly Column[]): { column: Column; kind: 'bit' | 'type' | 'null' }[][] {
  const wanted = all.flatMap(column => [
    ...Array.from({ length: bitsEach }, () => ({ column, kind: 'bit' as const })),
    ...(column.type === 'BLOB' || column.type === 'ANY' || column.key > 0
      ? []
      : [{ column, kind: 'type' as const }]),
    ...(column.notNull && column.key === 0 ? [{ column, kind: 'null' as const }] : []),
  ])
  const isDefinition = ({ column }: (typeof wanted)[number]): boolean => definitionTables.has(column.table)
  const grouped = (each: typeof wanted, most: number, ofTable: number): (typeof wanted)[] => {
    const groups: (typeof wanted)[] = []
    for (const one of each) {
      const group = groups.find(
        other =>
          other.length < most &&
          other.filter(({ column }) => column.table === one.column.table).length < ofTable,
      )
      if (group === undefined) groups.push([one])
      else group.push(one)
    }
    return groups
  }
  const rest = wanted.filter(each => !isDefinition(each))
  return [
    ...grouped(wanted.filter(isDefinition), definitionsTogether, 1),
    ...grouped(rest, together, ofOneTable),
  ]
}

describe('a flipped bit', () => {
  test(
    'in any column of any table costs its row only',
    { timeout: 1_200_000 * Math.max(1, bitsEach / 3) },
    async () => {
      await prepared()
      const begun = performance.now()
      const db = new Database(join(copied(() => []).directory, 'state', 'signalbox.db'))
      const all = columns(db).filter((_, index) => (index + seed) % everyColumn === 0)
      expect(emptyColumns(db)).toEqual(neverFilled)
      db.close()
      const wrong: string[] = []
      const tried = new Set<string>()
      let flips = 0
      const tryGroup = async (group: ReturnType<typeof cases>[number]): Promise<void> => {
        const copy = copied(copiedDb =>
          group.flatMap(({ column, kind }) => {
            const made = flip(copiedDb, column, kind, random)
            if (made !== undefined) tried.add(`${made.table}.${made.column}`)
            return made ?? []
          }),
        )
        if (copy.flips.length === 0) return
        flips += copy.flips.length
        const found = await judged(copy)
        if (found.length > 0)
          wrong.push(
            `${copy.flips.map(each => `${each.table}.${each.column} ${JSON.stringify(each.row)} ${each.how}`).join(' + ')}\n  ${found.join('\n  ')}`,
          )
      }
      for (const group of cases(all)) await tryGroup(group)
      // A row that was damaged before in its group takes no other change.
      for (const column of all)
        if (!tried.has(`${column.table}.${column.column}`)) await tryGroup([{ column, kind: 'bit' }])
      // A bit of a key may make it one that is there already, which no table takes.
      const never = all.flatMap(({ table, column, key }) =>
        tried.has(`${table}.${column}`) || key > 0 ? [] : `${table}.${column}`,
      )
      report('P64', `flipped values in ${tried.size} of ${all.length} columns`, flips, wrong.length, begun)
      expect(wrong).toEqual([])
      const names = new Set(all.map(({ table, column }) => `${table}.${column}`))
      expect(never).toEqual(neverFilled.filter(name => names.has(name)))
    },
  )

  test('control: without the checks of rows it costs the others', { timeout: 120_000 }, async () => {
    await prepared()
    const changed = (sql: string): string => {
      const { directory } = copied(db => {
        db.exec(sql)
        return []
      })
      return directory
    }
    const ofRun = await faultyRouter(
      changed("UPDATE outbox SET flow = substr(flow, 2) WHERE trigger_id = 'quiet'"),
      { control: 'trusting-reads.mjs' },
    )
    expect(ofRun.ready).toBe(false)
    expect(await ofRun.ended).not.toBe(65)
    const ofEvent = await faultyRouter(
      changed(
        'UPDATE event SET decisions = substr(decisions, 2) WHERE seq = (SELECT min(seq) FROM event WHERE decisions IS NOT NULL)',
      ),
      { control: 'trusting-reads.mjs' },
    )
    expect(ofEvent.ready, ofEvent.said()).toBe(true)
    const client = await SignalboxClient.connect(ofEvent.socket)
    const wrong: string[] = []
    await looked(asker(client, wrong))
    expect(wrong.join(' ')).toContain('-32603')
    client.close()
    ofEvent.process.kill('SIGTERM')
    await ofEvent.ended
  })
})
