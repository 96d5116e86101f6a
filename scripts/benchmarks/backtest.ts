// Backtests: stored events a second over a log of 4 KB bodies, and what accepts feel of one that runs beside them.
import Database from 'better-sqlite3'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { Backtests } from '../../src/backtest/backtests.ts'
import { SignalboxClient } from '../../src/client/client.ts'
import { uuidv7Maker } from '../../src/ids.ts'
import { SqliteStore } from '../../src/store/sqlite/engine/sqlite-store.ts'
import { Forge } from './forge-events.ts'
import { freshDirectory, load, median, ms, ratio, startProcess, table, type Measured } from './measure.ts'

const stored = 100_000
const bodyBytes = 4096
const rounds = 3
const limits = { dedupe_ms: 1000, signed_body_ms: 1000, max_open_runs: 1_000_000, loop_repeats: 100 }
const wholeLog = { since: 0, until: Date.now() + 86_400_000, limit: Infinity }

/** A payload of a forge, cut or filled to 4 KB. */
function body(forge: Forge): { type: string; body: Buffer } {
  const { type, payload } = forge.event()
  const { repository, ref, action } = payload
  const kept = JSON.stringify({ ref, action, repository }, null, 2)
  return {
    type,
    body: Buffer.from(
      `${kept.slice(0, -2)},\n  "padding": "${'p'.repeat(Math.max(0, bodyBytes - kept.length - 20))}"\n}`,
    ),
  }
}

async function fill(directory: string): Promise<void> {
  const store = new SqliteStore({ stateDir: directory, onFatal: message => console.error(message) })
  await store.start(Date.now())
  const forge = new Forge(7)
  const makeId = uuidv7Maker()
  const batch = 250
  for (let at = 0; at < stored; at += batch) {
    const now = Date.now()
    const events = Array.from({ length: batch }, () => {
      const { type, body: bytes } = body(forge)
      return {
        id: makeId(now),
        source_id: 'forge',
        type,
        subject: null,
        actor: null,
        thread: null,
        emitted: false,
        timestamp: now,
        received_at: now,
        headers: { 'x-forgejo-event': type },
        causation: null,
        delivery_key: null,
        body: bytes,
        body_format: 'json' as const,
        body_sha256: randomBytes(32),
        signed_sha256: null,
        log_redelivery_only: false,
        decisions: [],
        runs: [],
      }
    })
    await store.accept(events, limits)
  }
  await store.stop()
}

/** The floor: every body read by a loop over SQLite, nothing done with it. */
function readingAlone(directory: string): number {
  const db = new Database(join(directory, 'signalbox.db'), { readonly: true })
  const select = db.prepare('SELECT headers, body FROM event ORDER BY seq DESC').raw()
  const begun = performance.now()
  let bytes = 0
  for (const [, read] of select.iterate() as Iterable<[string, Buffer]>) bytes += read.length
  db.close()
  return (stored * 1000) / (performance.now() - begun) + bytes * 0
}

const filters: [string, Record<string, unknown>][] = [
  ['type and repository', { type: ['push'], payload: { repository: { full_name: ['org-1/web-1'] } } }],
  ['payload alone', { payload: { ref: ['refs/heads/main'] } }],
  ['type alone', { type: ['push'] }],
]

async function rates(directory: string): Promise<void> {
  const backtests = new Backtests(directory)
  const floor = median(Array.from({ length: rounds }, () => readingAlone(directory)))
  const rows: string[][] = [['reading bodies alone', Math.round(floor).toString(), '1', '-']]
  for (const [name, filter] of filters) {
    const side = { source_id: 'forge', filter, enabled: true }
    const measured: number[] = []
    let matched = 0
    for (let round = 0; round < rounds; round++) {
      const begun = performance.now()
      matched = (
        await backtests.run(
          [
            {
              draft: side,
              live: { source_id: 'forge', filter: { type: ['release'] }, enabled: true },
              samples: 5,
            },
          ],
          wholeLog,
        )
      )[0]!.matched
      measured.push((stored * 1000) / (performance.now() - begun))
    }
    rows.push([
      `${name}, beside a live version`,
      Math.round(median(measured)).toString(),
      ratio(median(measured), floor),
      String(matched),
    ])
    const alone: number[] = []
    for (let round = 0; round < rounds; round++) {
      const begun = performance.now()
      matched = (await backtests.run([{ draft: side, live: null, samples: 5 }], wholeLog))[0]!.matched
      alone.push((stored * 1000) / (performance.now() - begun))
    }
    rows.push([name, Math.round(median(alone)).toString(), ratio(median(alone), floor), String(matched)])
  }
  table(
    `Backtest of ${stored} events of ${bodyBytes} bytes, thread and all`,
    ['filter', 'events/s', 'to reading', 'matched'],
    rows,
  )
}

async function accepts(directory: string): Promise<void> {
  const socket = join(directory, 'rpc.sock')
  await startProcess([
    'src/signalbox.ts',
    'serve',
    '--state-dir',
    directory,
    '--socket',
    socket,
    '--intake-address',
    '127.0.0.1:0',
    '--log-level',
    'silent',
  ])
  const client = await SignalboxClient.connect(socket)
  const asking = await SignalboxClient.connect(socket)
  await client.call('source.put', { source: { id: 'forge', source_type: 'service' } })
  const forge = new Forge(8)
  const payloads = Array.from({ length: 200 }, () => JSON.parse(body(forge).body.toString()) as unknown)
  const emitMany = (): Promise<Measured> =>
    load(2000, 4, index =>
      client.call('event.emit', {
        source_id: 'forge',
        type: 'push',
        payload: payloads[index % payloads.length],
      }),
    )
  await emitMany()
  const without: Measured[] = []
  const during: Measured[] = []
  for (let round = 0; round < rounds * 2 - 1; round++) {
    without.push(await emitMany())
    const stop = new AbortController()
    let answered = false
    const running = (async (): Promise<void> => {
      while (!stop.signal.aborted)
        await asking.call(
          'trigger.backtest',
          { filter: { payload: { ref: ['nowhere'] } } },
          { signal: stop.signal },
        )
      answered = true
    })()
    during.push(await emitMany())
    stop.abort()
    await running
    if (!answered) throw new Error('the backtest did not end')
  }
  client.close()
  asking.close()
  const row = (name: string, all: Measured[]): string[] => [
    name,
    String(median(all.map(each => each.per_second))),
    ms(median(all.map(each => each.p50_ms))),
    ms(median(all.map(each => each.p99_ms))),
  ]
  table(
    'Accepts over JSON-RPC, 4 in flight, without and beside a backtest',
    ['', '/s', 'p50 ms', 'p99 ms'],
    [row('without', without), row('beside', during)],
  )
  console.log(
    `p99 beside to without: ${(median(during.map(each => each.p99_ms)) / median(without.map(each => each.p99_ms))).toFixed(2)} x`,
  )
}

export async function benchBacktest(): Promise<void> {
  const directory = freshDirectory()
  await fill(directory)
  await rates(directory)
  await accepts(directory)
}
