// A database with a full life in it, and single bits of it flipped: through SQL where the column takes what comes out, and by
// a schema that is lax for a moment where it does not (another type, NULL, a state that no CHECK lets in).
import Database from 'better-sqlite3'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { SignalboxClient } from '../../src/client/client.ts'

export type Db = Database.Database

/** A value of one row: which bit of it is flipped, or what is put in its place. */
export interface Flip {
  table: string
  column: string
  /** the row that it was, as its key */
  row: Record<string, unknown>
  how: string
  /** runs and events that the row is part of, by seq */
  runs: number[]
  events: number[]
  /** triggers whose runs it decides about */
  triggers: string[]
}

/** A bot of HTTP: answers 200, or 400 to what is to fail. */
export async function bots(): Promise<{ url: string; server: Server }> {
  const server = createServer((request, response) => {
    request.resume()
    request.on('end', () => response.writeHead(request.url === '/fails' ? 400 : 200).end('{}'))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server }
}

/** What is to be done after the start: every undamaged run of these triggers must complete. */
export const owed = [
  'plain',
  'in-order',
  'gathered',
  'quiet',
  'first',
  'second',
  'rare',
  'files',
  'told',
  'alone',
  'one-at-a-time',
]

const on = (id: string, action: object, policy: object = {}, more: object = {}): object => ({
  id,
  event_source_id: 'local',
  filter: { type: [id] },
  action,
  policy,
  ...more,
})

/** Everything that can be defined, in one file set. */
export function definitions(url: string): object {
  const http = (path: string): object => ({ kind: 'http', url: `${url}${path}` })
  return {
    file_set: 'life',
    bots: [
      { id: 'later', enabled: false, max_active: 8, endpoint: http('/later') },
      { id: 'now', endpoint: http('/now') },
      { id: 'resting', endpoint: http('/now') },
      { id: 'failing', endpoint: http('/fails') },
      {
        id: 'worker',
        endpoint: { kind: 'pull' },
        max_active: 8,
        budget: { tokens: 1_000_000, period: 'day' },
      },
    ],
    queues: [{ id: 'slow-lane', max_active: 4, max_pending: 1000 }],
    sources: [
      { id: 'hook', source_type: 'webhook', config: { provider: 'none' } },
      { id: 'local', source_type: 'service' },
      { id: 'seconds', source_type: 'cron', config: { expression: '* * * * * *' } },
      {
        id: 'feed',
        source_type: 'poll',
        config: { command: { argv: ['/bin/echo', '[{"id":1},{"id":2}]'] } },
      },
    ],
    triggers: [
      on('plain', { bot_id: 'later', workflow_id: 'flow', allowed_tools: ['read'] }, { queue: 'slow-lane' }),
      on('in-order', { bot_id: 'later' }, { order_key: '{{ payload.key }}', on_dead: 'continue' }),
      on('gathered', { bot_id: 'later' }, { batch: { max: 5, timeout_ms: 300 } }),
      on('quiet', { bot_id: 'later' }, { debounce: { period_ms: 300 } }),
      on('alone', { bot_id: 'later' }, { singleton: { on_conflict: 'queue' }, max_age_ms: 86_400_000 }),
      on('first', { bot_id: 'later' }, {}, { filter: { type: ['both'] } }),
      on('second', { bot_id: 'later' }, { depends_on: ['first'] }, { filter: { type: ['both'] } }),
      on('rare', { capabilities: ['rare'], allowed_tools: ['read'] }),
      on('files', { bot_id: 'later' }),
      on('asks', { bot_id: 'now' }, { approval: {} }),
      on(
        'hourly',
        { bot_id: 'now' },
        { throttle: { limit: 1, period_ms: 3_600_000 }, budget: { runs: 100, period: 'hour' } },
      ),
      on('fails', { bot_id: 'failing' }, { retry: 'none' }),
      on('done', { bot_id: 'now' }, { rate_limit: { limit: 100, period_ms: 3_600_000 } }),
      on(
        'one-at-a-time',
        { bot_id: 'worker' },
        { concurrency: { limit: 1 }, timeout_ms: 3_600_000, budget: { tokens: 1_000_000, period: 'hour' } },
      ),
      on('pausing', { bot_id: 'worker' }),
      on('told', { bot_id: 'later' }, {}, { event_source_id: 'router', filter: { type: ['run.failed'] } }),
    ],
  }
}

export interface Life {
  /** what a worker held when the router ended */
  lease: { run_id: string; lease_token: string }
}

/** Makes a router live through everything that its tables hold. */
export async function live(
  client: SignalboxClient,
  intake: string,
  url: string,
  read: <T>(ask: (db: Db) => T) => T,
): Promise<Life> {
  await client.call('router.apply', definitions(url))
  const emit = async (type: string, key = 'k', more: object = {}): Promise<string[]> =>
    (
      await client.call('event.emit', {
        source_id: 'local',
        type,
        subject: `about ${key}`,
        payload: { key, text: 'x'.repeat(200) },
        headers: { 'x-key': key },
        actor: 'alice',
        thread: `thread ${key}`,
        ...more,
      })
    ).runs
  for (const type of [
    'plain',
    'in-order',
    'gathered',
    'quiet',
    'alone',
    'both',
    'rare',
    'hourly',
    'one-at-a-time',
    'done',
  ])
    for (let n = 0; n < 3; n++) await emit(type)
  const files = [1, 2].map(n => ({ name: `notes-${n}.txt`, content: 'text '.repeat(n) }))
  for (let n = 0; n < 2; n++) await emit('files', 'f', { context_files: files, idempotency_key: `i-${n}` })
  for (const type of ['asks', 'fails', 'fails', 'pausing']) await emit(type)
  const [held, cancelled] = [(await emit('plain'))[0]!, (await emit('plain'))[0]!]
  await client.call('run.hold', { run_id: held })
  const { version } = await client.call('run.preview', { run_id: held })
  await client.call('run.update', {
    run_id: held,
    version,
    inputs: { n: 1 },
    context_files: [{ name: 'a.txt', content: 'a text' }],
  })
  await client.call('run.cancel', { run_id: cancelled })
  for (let n = 0; n < 2; n++)
    await fetch(`${intake}/webhook/hook`, {
      method: 'POST',
      body: '{"n":1}',
      headers: { 'content-type': 'application/json', 'webhook-id': `h-${n}` },
    })
  await client.call('bot.heartbeat', { bot_id: 'worker', availability: 'busy', reason: 'a test' })
  await client.call('bot.drain', { bot_id: 'resting', reason: 'a test' })
  const { leases } = await client.call('run.claim', { bot_id: 'worker', max: 4 })
  for (const { run_id, lease_token } of leases) {
    await client.call('run.start', { run_id, lease_token })
    await client.call('run.log', { run_id, lease_token, text: 'a line\n'.repeat(200) })
    await client.call('run.progress', {
      run_id,
      lease_token,
      percent: 50,
      message: 'half',
      usage: { input_tokens: 10, output_tokens: 3, cost_usd: 0.001 },
    })
  }
  await client.call('run.claim', { bot_id: 'worker', max: 4 })
  const pausing = (await client.call('run.list', { trigger_id: 'pausing' })).runs[0]!
  const { run_id, lease_token } = leases.find(each => each.run_id !== pausing.id)!
  await client.call('run.pause', { run_id: pausing.id })
  await client.call('run.heartbeat', {
    run_id: pausing.id,
    lease_token: leases.find(each => each.run_id === pausing.id)!.lease_token,
    paused: true,
  })
  const isLived = (db: Db): boolean =>
    (db
      .prepare(
        `SELECT (SELECT count(*) FROM tick) > 1 AND (SELECT count(*) FROM seen_item) > 0 AND (SELECT count(*) FROM outbox WHERE state = 'failed') > 1
           AND (SELECT count(*) FROM outbox WHERE state = 'awaiting_approval') > 0 AND (SELECT count(*) FROM outbox WHERE trigger_id = 'told') > 1
           AND (SELECT count(*) FROM run_archive) > 3 AND (SELECT count(*) FROM lane_opening) > 0`,
      )
      .pluck()
      .get() as number) === 1
  while (!read(isLived)) await new Promise(resolve => setTimeout(resolve, 50))
  await client.call('trigger.put', { trigger: on('gone', { bot_id: 'now' }) as never })
  await client.call('trigger.delete', { trigger_id: 'gone' })
  await client.call('trigger.pause', { trigger_id: 'asks', reason: 'a test' })
  for (const id of ['seconds', 'feed']) await client.call('source.disable', { source_id: id })
  return { lease: { run_id, lease_token } }
}

/** What a router writes only now and then: rows as it writes them. */
export function completed(db: Db): void {
  db.exec(`INSERT INTO tick (source_id, scheduled_at, outcome, at, last_scheduled_at, count, reason) VALUES ('seconds', 1000, 'skipped', 2000, 1500, 2, 'the router was down');
    INSERT OR IGNORE INTO delivery_index SELECT delivery_hash, seq FROM event WHERE delivery_hash IS NOT NULL;
    INSERT OR IGNORE INTO body_index SELECT delivery_hash, seq FROM event WHERE delivery_hash IS NOT NULL;
    INSERT OR IGNORE INTO unrouted SELECT max(seq) FROM event WHERE source_id = 'router';
    INSERT INTO lost_lease VALUES ('w:lost', 'one-at-a-time', 'worker', 5, 1, 100, 1, unixepoch() * 1000);
    UPDATE event SET redelivery_of = (SELECT id FROM event ORDER BY seq LIMIT 1) WHERE source_id IN ('hook', 'seconds');
    UPDATE outbox SET result = '{"n":1}' WHERE state = 'failed';
    UPDATE run_archive SET result = '{"n":1}' WHERE state = 'completed';
    UPDATE run_archive SET need = (SELECT need FROM outbox WHERE need IS NOT NULL), assignment = '{"capabilities":["rare"]}' WHERE seq = (SELECT min(seq) FROM run_archive);
    INSERT INTO removed_event SELECT seq + 1000, randomblob(16), source_id, received_at, 'removed-' || seq, delivery_hash, delivery_hash, body_sha256, decisions, body_sha256
      FROM event WHERE delivery_hash IS NOT NULL AND decisions IS NOT NULL LIMIT 3;
    UPDATE event SET body_hash = delivery_hash WHERE delivery_hash IS NOT NULL;
    UPDATE event SET requested_by = 'token:aaaaaaaa' WHERE requested_by IS NOT NULL AND seq % 2 = 0;
    UPDATE outbox SET requested_by = 'token:aaaaaaaa' WHERE requested_by IS NOT NULL;
    UPDATE run_archive SET requested_by = 'token:aaaaaaaa' WHERE requested_by IS NOT NULL;
    UPDATE attempt_output SET head_end = 7;
    INSERT INTO refused_delivery VALUES (1, 'hook', NULL, 'E_JSON', 400, '192.0.2.1', 5, unixepoch() * 1000, unixepoch() * 1000, 3),
      (2, NULL, '/webhook/nothing', 'E_NOT_FOUND', 404, '192.0.2.1', 5, unixepoch() * 1000, unixepoch() * 1000, 1);
    INSERT INTO token VALUES ('aaaaaaaa', 'wrk', 'a worker', zeroblob(32), 'worker', '["work"]', 0, 'worker', 'local', unixepoch() * 1000, unixepoch() * 1000 + 1, unixepoch() * 1000, '192.0.2.1', unixepoch() * 1000),
      ('bbbbbbbb', 'api', 'a dashboard', randomblob(32), NULL, '["read","metrics"]', 1, NULL, 'local', unixepoch() * 1000, NULL, NULL, NULL, NULL);
    INSERT INTO audit VALUES (1000, unixepoch() * 1000, 'token:aaaaaaaa', 'a worker', 'http', '192.0.2.1', 'run.get', '["x"]', 'refused', 'E_FORBIDDEN', 2);
    INSERT OR REPLACE INTO meta VALUES ('retention_passed_seq', 0);`)
}

export interface Column {
  table: string
  column: string
  type: string
  notNull: boolean
  key: number
}

/** Every column of every table that a migration made. */
export function columns(db: Db): Column[] {
  const tables = db
    .prepare<[], string>(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
    )
    .pluck()
    .all()
  return tables.flatMap(table =>
    db
      .prepare<[], { name: string; type: string; notnull: number; pk: number }>(
        `SELECT name, type, "notnull", pk FROM pragma_table_info('${table}')`,
      )
      .all()
      .map(({ name, type, notnull, pk }) => ({ table, column: name, type, notNull: notnull === 1, key: pk })),
  )
}

/** Bytes that SQLite stores an integer in. */
function width(value: bigint): number {
  return [1, 2, 3, 4, 6, 8].find(
    bytes => value >= -(1n << BigInt(bytes * 8 - 1)) && value < 1n << BigInt(bytes * 8 - 1),
  )!
}

function flipped(
  value: unknown,
  pick: () => number,
): { value: Buffer | bigint | number; how: string; isText: boolean } {
  if (typeof value === 'bigint') {
    const bits = width(value) * 8
    const bit = Math.floor(pick() * bits)
    return {
      value: BigInt.asIntN(bits, value ^ (1n << BigInt(bit))),
      how: `bit ${bit} of ${value}`,
      isText: false,
    }
  }
  if (typeof value === 'number') {
    const bytes = Buffer.alloc(8)
    bytes.writeDoubleBE(value)
    const bit = Math.floor(pick() * 64)
    bytes[bit >> 3]! ^= 1 << (bit & 7)
    return { value: bytes.readDoubleBE(), how: `bit ${bit} of ${value}`, isText: false }
  }
  const bytes = typeof value === 'string' ? Buffer.from(value) : Buffer.from(value as Buffer)
  const bit = Math.floor(pick() * bytes.length * 8)
  bytes[bit >> 3]! ^= 1 << (bit & 7)
  return { value: bytes, how: `bit ${bit} of ${bytes.length} bytes`, isText: typeof value === 'string' }
}

/** Takes the guards out of a schema, does something, and puts them back as they were. */
function unguarded(db: Db, table: string, work: () => void): void {
  db.unsafeMode(true)
  const own = db
    .prepare<[string], string>("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?")
    .pluck()
    .get(table)!
  const write = (sql: string): void => {
    db.pragma('writable_schema = ON')
    db.prepare("UPDATE sqlite_master SET sql = ? WHERE type = 'table' AND name = ?").run(sql, table)
    db.pragma('writable_schema = RESET')
  }
  write(
    own
      .replace(/\) STRICT, WITHOUT ROWID/, ') WITHOUT ROWID')
      .replace(/\) STRICT/, ')')
      .replaceAll(/(?<!IS) NOT NULL/g, ''),
  )
  try {
    work()
  } finally {
    write(own)
  }
}

/** Columns that no row has a value in. */
export function emptyColumns(db: Db): string[] {
  return columns(db)
    .filter(
      ({ table, column }) =>
        db.prepare(`SELECT 1 FROM "${table}" WHERE "${column}" IS NOT NULL LIMIT 1`).get() === undefined,
    )
    .map(({ table, column }) => `${table}.${column}`)
}

/** Flips a bit of one column of a row, or (kind) gives it a value of another type or none; undefined: no row lets it. */
export function flip(
  db: Db,
  column: Column,
  kind: 'bit' | 'type' | 'null',
  pick: () => number,
): Flip | undefined {
  const { table, column: name } = column
  const keys = columns(db)
    .filter(each => each.table === table && each.key > 0)
    .toSorted((a, b) => a.key - b.key)
  const keyNames = keys.length === 0 ? ['rowid'] : keys.map(key => key.column)
  const select = `SELECT ${keyNames.map(key => `"${key}" AS "key ${key}"`).join(', ')}, * FROM "${table}" WHERE "${name}" IS NOT NULL`
  const rows = db.prepare<[], Record<string, unknown>>(select).safeIntegers().all()
  if (rows.length === 0) return undefined
  const row = rows[Math.floor(pick() * rows.length)]!
  const value = row[name]
  const where = keyNames.map(key => `"${key}" = ?`).join(' AND ')
  const found = keyNames.map(key => row[`key ${key}`])
  const set = (expression: string, given: unknown): void =>
    void db.prepare(`UPDATE "${table}" SET "${name}" = ${expression} WHERE ${where}`).run(given, ...found)
  const of = (how: string): Flip => ({
    table,
    column: name,
    row: Object.fromEntries(keyNames.map((key, index) => [key, String(found[index])])),
    how,
    ...partsOf(table, row),
  })
  db.pragma('ignore_check_constraints = ON')
  try {
    if (kind === 'bit') {
      const made = flipped(value, pick)
      set(made.isText ? 'CAST(? AS TEXT)' : '?', made.value)
      const done = of(made.how)
      if (typeof made.value !== 'bigint') return done
      // What it is part of now: a file of a context that names another event is that event's.
      if (name === 'event_seq' || (table === 'event' && name === 'seq'))
        return { ...done, events: [...done.events, Number(made.value)] }
      return name === 'run_seq' || name === 'seq'
        ? { ...done, runs: [...done.runs, Number(made.value)] }
        : done
    }
    if (kind === 'null') unguarded(db, table, () => set('?', null))
    else unguarded(db, table, () => set('CAST(? AS BLOB)', typeof value === 'string' ? value : 'no number'))
    return of(kind)
  } catch (error) {
    if (
      (error as { code?: string }).code?.startsWith('SQLITE_CONSTRAINT') === true ||
      (error as { code?: string }).code === 'SQLITE_MISMATCH'
    )
      return undefined
    throw error
  }
}

/** Runs and events that a row is part of. */
function partsOf(table: string, row: Record<string, unknown>): Pick<Flip, 'runs' | 'events' | 'triggers'> {
  const triggers = table === 'trigger_version' ? [row.trigger_id as string] : []
  const numbers = (...names: string[]): number[] =>
    names.flatMap(name => (typeof row[name] === 'bigint' ? [Number(row[name])] : []))
  if (table === 'event') return { runs: [], events: numbers('seq'), triggers }
  if (table === 'outbox' || table === 'run_archive') return { runs: numbers('seq'), events: [], triggers }
  if (table === 'decision') return { runs: [], events: [], triggers }
  return { runs: numbers('run_seq'), events: numbers('event_seq'), triggers }
}
