// A router's store over days of a virtual clock: a little of everything that is written, and retention every hour. The same
// statements on the same engine as in a router, on the caller's thread.
import { hash } from 'node:crypto'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { RetentionLimits } from '../../src/store/store.ts'
import type { Db } from '../../src/store/sqlite/db.ts'
import { openWriter } from '../../src/store/sqlite/file/open.ts'
import { newEvent, newRun } from '../conformance/store.ts'
import { LocalStore } from './local-store.ts'

export const hourMs = 3_600_000
export const dayMs = 24 * hourMs
export const t0 = 1_790_000_000_000
const limits = { dedupe_ms: dayMs, signed_body_ms: dayMs, max_open_runs: 100_000, loop_repeats: 100 }

export interface Life {
  directory: string
  db: Db
  store: LocalStore
  close: () => void
}

export async function newLife(): Promise<Life> {
  const directory = mkdtempSync(join(tmpdir(), 'sb-'))
  const { db } = openWriter(directory)
  // What is measured here is space: power is not lost.
  db.pragma('synchronous = OFF')
  const store = new LocalStore({
    db,
    lifecycle: 'outcomes',
    guard: 'lease',
    later: (_way, work) => work(),
    committed: () => undefined,
  })
  await store.start(t0)
  const close = (): void => {
    db.close()
    rmSync(directory, { recursive: true, force: true })
  }
  return { directory, db, store, close }
}

/** Definitions that come and go with a day. */
export async function defineDay({ store }: Life, day: number): Promise<void> {
  const at = t0 + day * dayMs
  const source = (id: string) => ({
    noun: 'source' as const,
    id,
    at,
    definition: { id, source_type: 'service' as const },
  })
  const trigger = (id: string, n: number) => ({
    noun: 'trigger' as const,
    id,
    at,
    definition: { id, filter: { n: [n] }, action: { bot_id: 'bot' } },
  })
  const names = [`source-${day}`, `trigger-${day}`, `bot-${day}`] as const
  const bot = (id: string) => ({
    noun: 'bot' as const,
    id,
    at,
    definition: { id, endpoint: { kind: 'pull' as const } },
  })
  const gone = (noun: 'source' | 'trigger' | 'bot', id: string) => ({ noun, id, at, definition: null })
  const before = day - 1
  await store.write(
    [source(names[0]), trigger(names[1], day), bot(names[2]), source('lasting'), bot('bot')],
    [{ noun: 'trigger', id: names[1], name: 'set' }],
  )
  for (let edit = 0; edit < 40; edit++) await store.write([trigger('edited', edit)])
  if (before >= 0)
    await store.write([
      gone('source', `source-${before}`),
      gone('trigger', `trigger-${before}`),
      gone('bot', `bot-${before}`),
    ])
  await store.pauseTrigger(names[1], 'a busy day', at)
  // A message of a bot that was deleted meanwhile.
  await store.setBotStatus(
    { bot_id: `bot-${before}`, availability: 'ready', reason: null, drained: false, drained_reason: null },
    at,
  )
}

/** Events of one hour, with runs that are limited in every way, ticks, and items of a poll. */
export async function acceptHour({ store }: Life, hour: number, events: number): Promise<void> {
  const at = t0 + hour * hourMs
  const source_id = `source-${Math.floor(hour / 24)}`
  const run = (n: number, flow: object = {}) =>
    newRun({
      trigger_id: 'edited',
      trigger_version: Math.floor(hour / 24) * 40 + 40,
      bot_id: 'bot',
      not_before: at,
      flow: { rate_limit: { key: `k-${hour}-${n}`, limit: 3, period_ms: hourMs }, ...flow },
    })
  const flows = (n: number): object[] => [
    { order: { lane: `order:bot:${hour}-${n}`, on_dead: 'continue' } },
    { throttle: { lane: `throttle:${hour}`, rates: [{ key: `t-${hour}`, limit: 2, period_ms: 60_000 }] } },
    {
      singleton: { lane: `singleton:${n}`, on_conflict: 'queue' },
      concurrency: { lane: `concurrency:${hour}`, limit: 5 },
    },
    { batch: { lane: `batch:${hour}`, max: 3, timeout_ms: 1000 } },
  ]
  const made = Array.from({ length: events }, (_, n) => {
    const body = Buffer.alloc(200 + ((n * 397) % 2000), `${hour}-${n} `)
    const runs = n % 2 === 0 ? [run(n, flows(n)[(n / 2) % 4])] : []
    const files =
      n % 5 === 0
        ? {
            context_files: [
              { name: 'a', is_text: true, sha256: Buffer.alloc(32, n), content: Buffer.from('x') },
            ],
          }
        : {}
    return newEvent({
      source_id: n % 3 === 0 ? source_id : 'lasting',
      received_at: at + n,
      timestamp: at + n,
      delivery_key: `d-${hour}-${n}`,
      signed_sha256: n % 2 === 1 ? hash('sha256', body, 'buffer') : null,
      body,
      runs,
      ...files,
    })
  })
  await store.accept(made, limits)
  const changed = made[0]!.runs[0]!.id
  const change = { from: ['pending'] as const, to: 'pending' as const, at, update: { inputs: '{}' } }
  await store.move([{ run_id: changed, move: 'update', ...change }])
  await store.accept(
    [
      newEvent({
        source_id,
        received_at: at + events,
        once: { kind: 'tick', scheduled_at: at, caught_up: false },
      }),
    ],
    limits,
  )
  await store.accept(
    [newEvent({ source_id: 'lasting', received_at: at + events, once: { kind: 'item', key: `i-${hour}` } })],
    limits,
  )
  const refused = {
    source_id,
    path: null,
    reason: 'E_SIGNATURE',
    status: 401,
    address: '192.0.2.1',
    bytes: 2,
    first_at: at,
    last_at: at,
    count: 1,
  }
  await store.noteRefused({ put: [{ seq: hour + 1, ...refused }], removed: [] })
  const token = {
    kind: 'api',
    name: 'x',
    role: 'viewer',
    scopes: ['read'],
    agent: false,
    bot_id: null,
    created_by: 'local',
    created_at: at,
  } as const
  const used = { last_used_at: null, last_used_from: null, revoked_at: null }
  const id = `t${String(hour).padStart(7, '0')}`
  await store.putToken({
    id,
    ...token,
    scopes: ['read'],
    hash: Buffer.alloc(32),
    expires_at: at + hourMs,
    ...used,
  })
  const entry = {
    principal: 'local',
    name: null,
    interface: 'socket',
    address: null,
    method: 'token.create',
    outcome: 'done',
    code: null,
    count: 1,
  } as const
  await store.audit([{ at, ...entry, ids: [id] }])
  await store.skipTicks([
    { source_id: 'lasting', scheduled_at: at, last_scheduled_at: at + 1, count: 1, reason: 'missed', at },
  ])
}

/** What bots do with the runs of an hour: most end, some die. */
export async function workHour({ store }: Life, hour: number): Promise<void> {
  const at = t0 + hour * hourMs
  let worked = 0
  for (let minute = 1; minute < 50; minute++) {
    const now = at + minute * 60_000
    const { runs } = await store.claim({
      bots: [{ bot_id: 'bot', room: 100 }],
      limit: 100,
      now,
      lease_token: `t${now}`,
      lease_until: now + 60_000,
    })
    const attempt = {
      started_at: now,
      ended_at: now + 1,
      outcome: 'success' as const,
      status: null,
      error: null,
      output: 'done',
    }
    const over = { from: ['running'] as const, at: now + 1, lease_token: `t${now}`, attempt }
    await store.move(
      runs.map(({ id }) =>
        // One in eight, the same every day: rows are counted at the end of two days.
        (hour + worked++) % 8 === 0
          ? { ...over, run_id: id, move: 'fail', to: 'failed' as const, error: 'no' }
          : {
              ...over,
              run_id: id,
              move: 'complete',
              to: 'completed' as const,
              archive: true,
              usage: { input_tokens: 1 },
            },
      ),
    )
    const printed = runs.map(({ id }) => ({
      run_id: id,
      attempt: 1,
      stream: 'stdout' as const,
      at: now,
      offset: 0,
      content: Buffer.alloc(500, 'x'),
    }))
    await store.appendOutput(printed, { output_bytes: 65_536, output_total_bytes: 1_073_741_824 })
    if (runs.length === 0 && minute > 5) break
  }
}

/** Retention as the router does it: slices until there is no more, then what is free goes back. */
export async function sweep(
  { store }: Life,
  given: Omit<RetentionLimits, 'slice'>,
  keep_share: number | undefined,
): Promise<void> {
  for (let more = true; more;) ({ more } = await store.retain({ ...given, slice: 200 }))
  if (keep_share === undefined) return
  for (let more = true; more;)
    ({ more } = await store.giveBack({ pages: 256, keep_share, checkpoint: false }))
}

/** Rows of each table. */
export function rowCounts({ db }: Life): Record<string, number> {
  const tables = db
    .prepare<[], string>(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
    )
    .pluck()
    .all()
  return Object.fromEntries(
    tables.map(name => [name, db.prepare<[], number>(`SELECT count(*) FROM "${name}"`).pluck().get()!]),
  )
}

/** Bytes of the database file, and of the same data written to a fresh one. */
export function sizes({ directory, db }: Life): { file: number; data: number } {
  db.pragma('wal_checkpoint(TRUNCATE)')
  const copy = join(directory, `copy-${Math.random()}.db`)
  db.exec(`VACUUM INTO '${copy}'`)
  const data = statSync(copy).size
  rmSync(copy)
  return { file: statSync(db.name).size, data }
}

/** What SQLite says of the structure. */
export function integrity({ db }: Life): unknown {
  return db.pragma('integrity_check', { simple: true })
}
