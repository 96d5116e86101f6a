// Durable accepts: over HTTP and over the socket, beside the floors measured in the same run: bare node:http, one fsync,
// grouped commits of a bare table, and G, the store's own append of an event with one run.
import Database from 'better-sqlite3'
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, openSync, statSync, writeSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { Pool } from 'undici'
import { SignalboxClient } from '../../src/client/client.ts'
import { uuidv7Maker } from '../../src/ids.ts'
import { SqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { freshDirectory, load, median, medianOf, ms, processCost, ratio, startProcess, table, type Measured } from './measure.ts'

const rounds = 3
const bodyBytes = 4096
const secret = 'bench'
const limits = { dedupe_ms: 604_800_000, signed_body_ms: 259_200_000, max_open_runs: 100_000_000 }

/** A push of 4 KB, each different. */
function payload(index: number): string {
  const start = `{"n":${index},"ref":"refs/heads/main","repository":{"full_name":"acme/site"},"commits":[`
  const commit = `{"id":"${randomBytes(20).toString('hex')}","message":"${'m'.repeat(300)}","author":{"username":"ada"}}`
  const count = Math.floor((bodyBytes - start.length - 20) / (commit.length + 1))
  const text = `${start}${Array.from({ length: count }, () => commit).join(',')}],"x":""}`
  return text.replace('"x":""', `"x":"${'x'.repeat(bodyBytes - text.length)}"`)
}

function fsyncMs(directory: string): { p50: number } {
  const file = openSync(join(directory, 'fsync'), 'w')
  const block = Buffer.alloc(4096, 1)
  const times = Array.from({ length: 300 }, () => {
    writeSync(file, block)
    const begun = performance.now()
    fsyncSync(file)
    return performance.now() - begun
  })
  closeSync(file)
  return { p50: median(times) }
}

/** Rows a second of a bare table, so many to a transaction. */
function bareCommits(directory: string, group: number): number {
  const db = new Database(join(directory, `bare-${group}-${Math.random()}`))
  db.pragma('journal_mode = WAL')
  db.pragma('synchronous = FULL')
  db.exec('CREATE TABLE event (seq INTEGER PRIMARY KEY, id TEXT, body BLOB)')
  const insert = db.prepare('INSERT INTO event (id, body) VALUES (?, ?)')
  const total = group === 1 ? 1000 : 10_000
  const body = randomBytes(bodyBytes)
  const begun = performance.now()
  for (let at = 0; at < total; at += group) {
    db.transaction(() => {
      for (let count = 0; count < group; count++) insert.run(`${at}-${count}`, body)
    }).immediate()
  }
  const seconds = (performance.now() - begun) / 1000
  db.close()
  return Math.round(total / seconds)
}

/** G: an event and one run through the store, in process. */
async function storeAppend(directory: string, total: number, inFlight: number): Promise<Measured> {
  const store = new SqliteStore({ stateDir: directory, onFatal: message => console.error(message) })
  await store.start(Date.now())
  const makeId = uuidv7Maker()
  const measured = await load(total, inFlight, async index => {
    const now = Date.now()
    const body = Buffer.from(payload(index))
    const run = {
      id: makeId(now),
      trigger_id: 'deploy',
      trigger_version: 1,
      bot_id: 'deployer',
      workflow_id: 'deploy',
      priority: 0,
      not_before: now,
      replay: false,
    }
    const event = {
      id: makeId(now),
      source_id: 'forge',
      type: 'push',
      subject: 'acme/site',
      timestamp: now,
      received_at: now,
      headers: { 'content-type': 'application/json' },
      causation: null,
      delivery_key: randomBytes(16).toString('hex'),
      body,
      body_format: 'json' as const,
      body_sha256: createHash('sha256').update(body).digest(),
      signed_body: true,
      log_redelivery_only: false,
      decisions: [{ trigger_id: 'deploy', trigger_version: 1, outcome: 'routed' as const }],
      runs: [run],
    }
    await store.accept([event], limits)
  })
  await store.stop()
  return measured
}

export interface BenchRouter {
  url: string
  socket: string
  directory: string
  pid: number
  start_ms: number
  client: SignalboxClient
}

export async function benchRouter(triggers: number): Promise<BenchRouter> {
  const directory = freshDirectory()
  const socket = join(directory, 'rpc.sock')
  const env = {
    SIGNALBOX_STATE_DIR: directory,
    SIGNALBOX_SOCKET: socket,
    SIGNALBOX_INTAKE_ADDRESS: '127.0.0.1:0',
    SIGNALBOX_LOG_LEVEL: 'warn',
    BENCH_SECRET: secret,
    SIGNALBOX_CONFIG: join(directory, 'config.json'),
  }
  const { writeFileSync } = await import('node:fs')
  writeFileSync(env.SIGNALBOX_CONFIG, JSON.stringify({ max_open_runs: 100_000_000, disk_reserve_bytes: 0 }))
  const { child, ms: start_ms } = await startProcess(['src/signalbox.ts', 'serve'], env)
  const client = await SignalboxClient.connect(socket)
  await client.call('bot.put', { bot: { id: 'off', enabled: false, endpoint: { kind: 'command', argv: ['/bin/true'] } } })
  const config = { provider: 'forgejo' as const, secrets: [{ env: 'BENCH_SECRET' }], rate_limit: { limit: 1_000_000, period_ms: 1000 } }
  const filters = Array.from({ length: triggers }, (_, index) => ({
    id: `t${index}`,
    filter: { type: ['push'], payload: { repository: { full_name: [index === 0 ? 'acme/site' : `acme/r${index}`] } } },
    action: { bot_id: 'off' },
  }))
  await client.call('event.register', { source: { id: 'forge', source_type: 'webhook', config }, triggers: filters })
  const status = await client.call('router.status', {})
  return { url: status.intake_address, socket, directory, pid: child.pid!, start_ms, client }
}

function httpAccept(url: string, connections: number): { send: (index: number) => Promise<void>; close: () => Promise<void> } {
  const pool = new Pool(url, { connections, pipelining: 1 })
  return {
    async send(index) {
      const body = payload(index)
      const headers = {
        'content-type': 'application/json',
        'x-forgejo-event-type': 'push',
        'x-forgejo-delivery': randomBytes(16).toString('hex'),
        'x-forgejo-signature': createHmac('sha256', secret).update(body).digest('hex'),
      }
      const answer = await pool.request({ method: 'POST', path: '/webhook/forge', headers, body })
      await answer.body.dump()
      // A duplicate would be cheaper: unique ids, and 202 or nothing.
      if (answer.statusCode !== 202) throw new Error(`the intake answered ${answer.statusCode}`)
    },
    close: () => pool.close(),
  }
}

/** One connection with calls in flight; answers are told apart by their ids. */
class Line {
  readonly #socket: Socket
  readonly #waiting = new Map<number, () => void>()
  #rest = ''

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => {
      const lines = (this.#rest + chunk.toString('latin1')).split('\n')
      this.#rest = lines.pop()!
      for (const line of lines) {
        // A duplicate would be cheaper: unique ids, and an event or nothing.
        if (line.includes('"error"') || line.includes('"duplicate":true')) throw new Error(line)
        const id = Number(/"id":(\d+)/.exec(line)![1])
        const resolve = this.#waiting.get(id)!
        this.#waiting.delete(id)
        resolve()
      }
    })
  }

  get inFlight(): number {
    return this.#waiting.size
  }

  send(id: number, params: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.set(id, resolve)
    this.#socket.write(`{"jsonrpc":"2.0","id":${id},"method":"event.emit","params":${params}}\n`)
    return promise
  }

  close(): void {
    this.#socket.destroy()
  }
}

async function lineAccept(socketPath: string, connections: number): Promise<{ send: (index: number) => Promise<void>; close: () => Promise<void> }> {
  const lines: Line[] = []
  for (let count = 0; count < connections; count++) {
    const socket = connect(socketPath)
    await new Promise<void>(resolve => socket.once('connect', resolve))
    lines.push(new Line(socket))
  }
  let next = 0
  return {
    send(index) {
      const line = lines.reduce((least, each) => (each.inFlight < least.inFlight ? each : least))
      const key = randomBytes(16).toString('hex')
      return line.send(next++, `{"source_id":"forge","type":"push","subject":"acme/site","idempotency_key":"${key}","payload":${payload(index)}}`)
    },
    async close() {
      for (const line of lines) line.close()
    },
  }
}

export async function benchAccept(): Promise<void> {
  const floorDirectory = freshDirectory()
  const fsync = fsyncMs(floorDirectory)
  const bare = await startProcess(['scripts/benchmarks/bare-http.ts'])
  const rows: string[][] = []
  const row = (what: string, inFlight: number, measured: Measured, floor: number, floorName: string, cpu = '-'): void => {
    rows.push([
      what,
      String(inFlight),
      String(measured.per_second),
      ms(measured.p50_ms),
      ms(measured.p99_ms),
      ratio(measured.per_second, floor),
      floorName,
      cpu,
    ])
  }
  const append = await medianOf(rounds, () => storeAppend(freshDirectory(), 12_000, 64))
  const G = append.per_second
  row('G: store append, event + run', 64, append, G, 'G')
  for (const group of [1, 64])
    rows.push([
      `bare grouped commits, ${group} a transaction`,
      '1',
      String(median(Array.from({ length: rounds }, () => bareCommits(floorDirectory, group)))),
      '-',
      '-',
      '-',
      '-',
      '-',
    ])
  const pool = new Pool(`http://127.0.0.1:${bare.line}`, { connections: 64 })
  const bareHttp = await medianOf(rounds, () =>
    load(20_000, 64, async index => {
      const answer = await pool.request({ method: 'POST', path: '/', body: payload(index) })
      await answer.body.dump()
    }),
  )
  await pool.close()
  row('bare node:http answering 202', 64, bareHttp, G, 'G')
  const router = await benchRouter(100)
  const idle = processCost(router.pid).rss_mib
  for (const inFlight of [1, 16, 64, 256]) {
    const total = inFlight === 1 ? 2000 : 12_000
    const { send, close } = httpAccept(router.url, inFlight)
    const before = processCost(router.pid)
    const measured = await medianOf(rounds, () => load(total, inFlight, send))
    const cpu = ((processCost(router.pid).cpu_s - before.cpu_s) * 1e6) / (total * rounds)
    await close()
    row('HTTP, signed, 100 triggers', inFlight, measured, G, 'G', `${cpu.toFixed(0)} us`)
  }
  for (const [connections, inFlight] of [
    [1, 1],
    [1, 16],
    [1, 64],
    [2, 128],
    [4, 256],
  ] as const) {
    const total = inFlight === 1 ? 2000 : 12_000
    const { send, close } = await lineAccept(router.socket, connections)
    const before = processCost(router.pid)
    const measured = await medianOf(rounds, () => load(total, inFlight, send))
    const cpu = ((processCost(router.pid).cpu_s - before.cpu_s) * 1e6) / (total * rounds)
    await close()
    row('JSON-RPC lines, pipelined', inFlight, measured, G, 'G', `${cpu.toFixed(0)} us`)
  }
  const loaded = processCost(router.pid).rss_mib
  table('Durable accepts, 4 KB bodies, fsync before every answer', ['what', 'in flight', '/s', 'p50 ms', 'p99 ms', 'ratio', 'to', 'CPU/event'], rows)
  const { events } = await router.client.call('router.status', {})
  await router.client.call('rpc.health', {})
  const bytes =
    statSync(join(router.directory, 'signalbox.db')).size + (statSync(join(router.directory, 'signalbox.db-wal'), { throwIfNoEntry: false })?.size ?? 0)
  table(
    'Beside it',
    ['what', 'value'],
    [
      ['fsync p50 (F)', `${ms(fsync.p50)} ms`],
      ['start of the process to listening', `${router.start_ms.toFixed(0)} ms`],
      ['resident memory idle', `${idle.toFixed(0)} MiB`],
      ['resident memory after the load', `${loaded.toFixed(0)} MiB`],
      [
        'database bytes per event of 4,096 (with one pending run, WAL included)',
        `${Math.round(bytes / events.logged)} (+${Math.round(bytes / events.logged) - bodyBytes})`,
      ],
    ],
  )
  router.client.close()
  process.kill(router.pid, 'SIGKILL')
}
