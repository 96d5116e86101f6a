// Durable accepts: over HTTP and over the socket, beside the floors measured in the same run: bare node:http, one fsync,
// grouped commits of a bare table, and G, the store's own append of an event with one run.
import Database from 'better-sqlite3'
import type { ChildProcess } from 'node:child_process'
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { Pool } from 'undici'
import { SignalboxClient } from '../../src/client/client.ts'
import { uuidv7Maker } from '../../src/ids.ts'
import { SqliteStore } from '../../src/store/sqlite/engine/sqlite-store.ts'
import {
  freshDirectory,
  load,
  median,
  medianOf,
  ms,
  processCost,
  ratio,
  startProcess,
  table,
  type Measured,
} from './measure.ts'

const rounds = 3
const bodyBytes = 4096
const secret = 'bench'
const limits = {
  dedupe_ms: 604_800_000,
  signed_body_ms: 259_200_000,
  max_open_runs: 100_000_000,
  loop_repeats: 100,
}

/** A push of 4 KB, each different. */
function payload(index: number): string {
  const start = `{"n":${index},"ref":"refs/heads/main","repository":{"full_name":"acme/site"},"sender":{"login":"ada"},"commits":[`
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
      queue: 'deployer',
      workflow_id: 'deploy',
      priority: 0,
      not_before: now,
      replay: false,
    }
    const body_sha256 = createHash('sha256').update(body).digest()
    const event = {
      id: makeId(now),
      source_id: 'forge',
      type: 'push',
      subject: 'acme/site',
      actor: 'ada',
      thread: 'acme/site@refs/heads/main',
      emitted: false,
      timestamp: now,
      received_at: now,
      headers: { 'content-type': 'application/json' },
      causation: null,
      delivery_key: randomBytes(16).toString('hex'),
      body,
      body_format: 'json' as const,
      body_sha256,
      signed_sha256: body_sha256,
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
  child: ChildProcess
  env: Record<string, string>
  start_ms: number
  client: SignalboxClient
}

export async function benchRouter(
  triggers: number,
  variables: Record<string, string> = {},
): Promise<BenchRouter> {
  const directory = freshDirectory()
  const socket = join(directory, 'rpc.sock')
  const env = {
    SIGNALBOX_STATE_DIR: directory,
    SIGNALBOX_SOCKET: socket,
    SIGNALBOX_INTAKE_ADDRESS: '127.0.0.1:0',
    SIGNALBOX_LOG_LEVEL: 'warn',
    NODE_COMPILE_CACHE: join(directory, 'compiled'),
    BENCH_SECRET: secret,
    SIGNALBOX_CONFIG: join(directory, 'config.json'),
    ...variables,
  }
  writeFileSync(env.SIGNALBOX_CONFIG, JSON.stringify({ max_open_runs: 100_000_000, disk_reserve_bytes: 0 }))
  const { child, ms: start_ms } = await startProcess(['scripts/signalbox', 'serve'], env)
  const client = await SignalboxClient.connect(socket)
  await client.call('bot.put', {
    bot: { id: 'off', enabled: false, endpoint: { kind: 'command', argv: ['/bin/true'] } },
  })
  const config = {
    provider: 'forgejo' as const,
    secrets: [{ env: 'BENCH_SECRET' }],
    rate_limit: { limit: 1_000_000, period_ms: 1000 },
  }
  const filters = Array.from({ length: triggers }, (_, index) => ({
    id: `t${index}`,
    filter: {
      type: ['push'],
      payload: { repository: { full_name: [index === 0 ? 'acme/site' : `acme/r${index}`] } },
    },
    action: { bot_id: 'off' },
    // All events are of one branch: with the limit only the first ten would make runs.
    policy: { repeat_limit: null },
  }))
  await client.call('event.register', {
    source: { id: 'forge', source_type: 'webhook', config },
    triggers: filters,
  })
  const status = await client.call('router.status', {})
  return { url: status.intake_address, socket, directory, pid: child.pid!, child, env, start_ms, client }
}

/** A delivery ready to be sent: what it costs to make is not the intake's. */
function signedPush(index: number): { body: string; headers: Record<string, string> } {
  const body = payload(index)
  const headers = {
    'content-type': 'application/json',
    'x-forgejo-event-type': 'push',
    'x-forgejo-delivery': randomBytes(16).toString('hex'),
    'x-forgejo-signature': createHmac('sha256', secret).update(body).digest('hex'),
  }
  return { body, headers }
}

interface Sender {
  prepare: (total: number) => void
  send: (index: number) => Promise<void>
  close: () => Promise<void>
}

function httpAccept(url: string, connections: number): Sender {
  const pool = new Pool(url, { connections, pipelining: 1 })
  const prepared: { body: string; headers: Record<string, string> }[] = []
  return {
    prepare(total) {
      prepared.length = 0
      for (let index = 0; index < total; index++) prepared.push(signedPush(index))
    },
    async send(index) {
      const { body, headers } = prepared[index]!
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

async function lineAccept(socketPath: string, connections: number): Promise<Sender> {
  const lines: Line[] = []
  for (let count = 0; count < connections; count++) {
    const socket = connect(socketPath)
    await new Promise<void>(resolve => socket.once('connect', resolve))
    lines.push(new Line(socket))
  }
  const prepared: string[] = []
  return {
    prepare(total) {
      prepared.length = 0
      for (let index = 0; index < total; index++) {
        const key = randomBytes(16).toString('hex')
        prepared.push(
          `{"source_id":"forge","type":"push","subject":"acme/site","idempotency_key":"${key}","payload":${payload(index)}}`,
        )
      }
    },
    send(index) {
      const line = lines.reduce((least, each) => (each.inFlight < least.inFlight ? each : least))
      return line.send(index, prepared[index]!)
    },
    async close() {
      for (const line of lines) line.close()
    },
  }
}

type Row = (what: string, inFlight: number, measured: Measured, cpu?: string) => void

/** Several rounds of one load, each with deliveries of its own made before. */
async function measured(
  sender: Sender,
  total: number,
  inFlight: number,
  pid: number,
): Promise<{ measured: Measured; cpu: string }> {
  let cpu = 0
  const median_round = await medianOf(rounds, async () => {
    sender.prepare(total)
    const before = processCost(pid).cpu_s
    const round = await load(total, inFlight, index => sender.send(index))
    cpu += processCost(pid).cpu_s - before
    return round
  })
  await sender.close()
  return { measured: median_round, cpu: `${((cpu * 1e6) / (total * rounds)).toFixed(0)} us` }
}

async function floors(row: Row): Promise<void> {
  const bare = await startProcess(['scripts/benchmarks/bare-http.ts'])
  const pool = new Pool(`http://127.0.0.1:${bare.line}`, { connections: 64 })
  const bodies = Array.from({ length: 12_000 }, (_, index) => payload(index))
  const answered = await medianOf(rounds, () =>
    load(bodies.length, 64, async index => {
      const answer = await pool.request({ method: 'POST', path: '/', body: bodies[index]! })
      await answer.body.dump()
    }),
  )
  await pool.close()
  const cpu = (processCost(bare.child.pid!).cpu_s * 1e6) / (bodies.length * rounds)
  row('bare node:http answering 202', 64, answered, `${cpu.toFixed(0)} us`)
  bare.child.kill('SIGKILL')
}

async function intakes(router: BenchRouter, row: Row): Promise<void> {
  const size = (inFlight: number): number => (inFlight === 1 ? 2000 : 12_000)
  for (const inFlight of [1, 16, 64, 256]) {
    const { measured: result, cpu } = await measured(
      httpAccept(router.url, inFlight),
      size(inFlight),
      inFlight,
      router.pid,
    )
    row('HTTP, signed, 100 triggers', inFlight, result, cpu)
  }
  const depths = [
    [1, 1],
    [1, 16],
    [1, 64],
    [2, 128],
    [4, 256],
  ] as const
  for (const [connections, inFlight] of depths) {
    const { measured: result, cpu } = await measured(
      await lineAccept(router.socket, connections),
      size(inFlight),
      inFlight,
      router.pid,
    )
    row('JSON-RPC lines, pipelined, 100 triggers', inFlight, result, cpu)
  }
}

export async function benchAccept(): Promise<void> {
  const floorDirectory = freshDirectory()
  const fsync = fsyncMs(floorDirectory)
  const append = await medianOf(rounds, () => storeAppend(freshDirectory(), 12_000, 64))
  const rows: string[][] = []
  const row: Row = (what, inFlight, { per_second, p50_ms, p99_ms }, cpu = '-') => {
    rows.push([
      what,
      String(inFlight),
      String(per_second),
      ms(p50_ms),
      ms(p99_ms),
      ratio(per_second, append.per_second),
      cpu,
    ])
  }
  row('G: store append, event + run', 64, append)
  for (const group of [1, 64]) {
    const rate = median(Array.from({ length: rounds }, () => bareCommits(floorDirectory, group)))
    rows.push([
      `bare commits, ${group} a transaction`,
      '1',
      String(rate),
      '-',
      '-',
      ratio(rate, append.per_second),
      '-',
    ])
  }
  await floors(row)
  const router = await benchRouter(100)
  const idle = processCost(router.pid).rss_mib
  await intakes(router, row)
  const loaded = processCost(router.pid).rss_mib
  table(
    'Durable accepts, 4 KB bodies, fsync before every answer',
    ['what', 'in flight', '/s', 'p50 ms', 'p99 ms', 'to G', 'CPU/event'],
    rows,
  )
  const { events } = await router.client.call('router.status', {})
  const overhead = Math.round(events.bytes / events.logged)
  const ended = new Promise(resolve => router.child.once('exit', resolve))
  router.client.close()
  router.child.kill('SIGTERM')
  await ended
  const again = await startProcess(['scripts/signalbox', 'serve'], {
    ...router.env,
    SIGNALBOX_STATE_DIR: `${router.directory}/again`,
    SIGNALBOX_SOCKET: `${router.directory}/again.sock`,
  })
  table(
    'Beside it',
    ['what', 'value'],
    [
      ['fsync p50 (F)', `${ms(fsync.p50)} ms`],
      ['start of the process to listening, first (nothing compiled yet)', `${router.start_ms.toFixed(0)} ms`],
      ['start of the process to listening, later', `${again.ms.toFixed(0)} ms`],
      ['resident memory idle, first', `${idle.toFixed(0)} MiB`],
      ['resident memory idle, later', `${processCost(again.child.pid!).rss_mib.toFixed(0)} MiB`],
      ['resident memory after the load', `${loaded.toFixed(0)} MiB`],
      [
        'database bytes per event of 4,096 (one pending run, WAL included)',
        `${overhead} (+${overhead - bodyBytes})`,
      ],
    ],
  )
  again.child.kill('SIGKILL')
}
