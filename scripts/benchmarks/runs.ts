// Runs: how many workers are given and finish in a second, how soon, what 100,000 that wait cost a claim, and what it
// costs to choose among 1,000 bots.
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { SignalboxClient } from '../../src/client/client.ts'
import type { Bot } from '../../src/client/client.ts'
import { BotAvailability } from '../../src/delivery/bot-availability.ts'
import { uuidv7Maker } from '../../src/ids.ts'
import type { RunFlow } from '../../src/store/flow.ts'
import { SqliteStore } from '../../src/store/sqlite/engine/sqlite-store.ts'
import { freshDirectory, load, median, ms, percentile, ratio, startProcess, table } from './measure.ts'

const rounds = 3
const perRound = 3000
const limits = { dedupe_ms: 1000, signed_body_ms: 1000, max_open_runs: 1_000_000, loop_repeats: 100 }
const makeId = uuidv7Maker()
const body = Buffer.from('{"a":1}')
const body_sha256 = createHash('sha256').update(body).digest()

/** Events with one run each, for a bot of workers. */
async function fill(
  store: SqliteStore,
  count: number,
  run: { bot_id: string; queue: string; flow?: RunFlow },
): Promise<void> {
  const now = Date.now()
  for (let at = 0; at < count; at += 500) {
    const events = Array.from({ length: Math.min(500, count - at) }, () => ({
      id: makeId(now),
      source_id: 'jobs',
      type: 'job',
      subject: null,
      actor: null,
      thread: null,
      emitted: false,
      timestamp: now,
      received_at: now,
      headers: null,
      causation: null,
      delivery_key: null,
      body,
      body_format: 'json' as const,
      body_sha256,
      signed_sha256: null,
      log_redelivery_only: false,
      decisions: [{ trigger_id: 't', trigger_version: 1, outcome: 'routed' as const }],
      runs: [
        {
          id: makeId(now),
          trigger_id: 't',
          trigger_version: 1,
          workflow_id: null,
          priority: 0,
          not_before: now,
          replay: false,
          ...run,
        },
      ],
    }))
    await store.accept(events, limits)
  }
}

async function openStore(): Promise<SqliteStore> {
  const store = new SqliteStore({
    stateDir: freshDirectory(),
    lifecycle: 'outcomes',
    onFatal: message => console.error(message),
  })
  await store.start(Date.now())
  return store
}

let tokens = 0

/** One run claimed and completed; false: there was none. */
async function one(store: SqliteStore, bot_id = 'bot'): Promise<boolean> {
  const now = Date.now()
  const lease_token = `t${tokens++}`
  const { runs } = await store.claim({
    bots: [{ bot_id, room: 1 }],
    limit: 1,
    now,
    lease_token,
    lease_until: now + 60_000,
  })
  const [run] = runs
  if (run === undefined) return false
  await store.move([
    {
      run_id: run.id,
      lease_token,
      move: 'complete',
      from: ['running'],
      to: 'completed',
      archive: true,
      at: now,
    },
  ])
  return true
}

/** claim and complete, over the socket and by the store alone. */
async function workers(): Promise<void> {
  const directory = freshDirectory()
  const socket = join(directory, 's')
  await startProcess([
    'src/signalbox.ts',
    'serve',
    '--state-dir',
    directory,
    '--socket',
    socket,
    '--intake-address',
    join(directory, 'in'),
    '--log-level',
    'silent',
  ])
  const client = await SignalboxClient.connect(socket)
  await client.call('source.put', { source: { id: 'jobs', source_type: 'service' } })
  await client.call('bot.put', { bot: { id: 'puller', endpoint: { kind: 'pull' }, max_active: 1000 } })
  await client.call('trigger.put', {
    trigger: { id: 't', event_source_id: 'jobs', filter: { type: ['job'] }, action: { bot_id: 'puller' } },
  })
  const emit = async (count: number): Promise<void> => {
    await load(count, 50, () => client.call('event.emit', { source_id: 'jobs', type: 'job', payload: {} }))
  }
  const alone = await openStore()
  const rows: string[][] = []
  for (const count of [1, 8, 32]) {
    const floors: number[] = []
    const rates: number[] = []
    for (let round = 0; round < rounds; round++) {
      await fill(alone, perRound, { bot_id: 'bot', queue: 'bot' })
      floors.push((await load(perRound, count, () => one(alone))).per_second)
      await emit(perRound)
      const clients = await Promise.all(Array.from({ length: count }, () => SignalboxClient.connect(socket)))
      const measured = await load(perRound, count, async index => {
        const own = clients[index % count]!
        const { leases } = await own.call('run.claim', { bot_id: 'puller', wait_ms: 5000 })
        for (const { run_id, lease_token } of leases) await own.call('run.complete', { run_id, lease_token })
      })
      rates.push(measured.per_second)
      for (const each of clients) each.close()
    }
    const [rate, floor] = [median(rates), median(floors)]
    rows.push([`${count}`, `${rate}`, `${floor}`, ratio(rate, floor)])
  }
  await alone.stop()
  table(
    `Runs claimed and completed a second, medians of ${rounds} x ${perRound}`,
    ['workers', 'over the socket', 'store alone', 'of it'],
    rows,
  )
  await soon(client, socket)
  client.close()
}

/** From an event that was sent to a worker that has its run. */
async function soon(client: SignalboxClient, socket: string): Promise<void> {
  const total = 500
  const sent: number[] = []
  const times: number[] = []
  const worker = await SignalboxClient.connect(socket)
  const working = (async (): Promise<void> => {
    while (times.length < total) {
      const { leases } = await worker.call('run.claim', { bot_id: 'puller', max: 4, wait_ms: 10_000 })
      const now = performance.now()
      for (const { run_id, lease_token, delivery } of leases) {
        times.push(now - sent[(delivery.event as { payload: { n: number } }).payload.n]!)
        void worker.call('run.complete', { run_id, lease_token })
      }
    }
  })()
  for (let n = 0; n < total; n++) {
    sent.push(performance.now())
    void client.call('event.emit', { source_id: 'jobs', type: 'job', payload: { n } })
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  await working
  times.sort((a, b) => a - b)
  table(
    'From event.emit to a worker that waits, 100 a second (must: p99 25 ms)',
    ['p50 ms', 'p99 ms'],
    [[ms(percentile(times, 0.5)), ms(percentile(times, 0.99))]],
  )
  worker.close()
}

const short = 100
const long = 100_000
const claims = 300

/** A claim with its completion beside few and many that wait. */
async function waiting(): Promise<void> {
  const cases: [string, { bot_id: string; queue: string; flow?: RunFlow }][] = [
    ['that could go', { bot_id: 'bot', queue: 'bot' }],
    ['of another queue, which is full', { bot_id: 'bot', queue: 'shut' }],
    [
      'parked behind one concurrency key',
      { bot_id: 'bot', queue: 'bot', flow: { concurrency: { lane: 'concurrency:t:', limit: 1 } } },
    ],
    [
      'parked behind one order key',
      { bot_id: 'bot', queue: 'bot', flow: { order: { lane: 'order:bot:k', on_dead: 'block' } } },
    ],
  ]
  const rows: string[][] = []
  for (const [title, run] of cases) {
    const measured: number[] = []
    for (const count of [short, long]) {
      const store = await openStore()
      await store.write([
        { noun: 'queue', id: 'shut', definition: { id: 'shut', paused: true }, at: Date.now() },
      ])
      await fill(store, count, run)
      // What is to be parked is, and what holds the others back is under way.
      if (run.flow !== undefined)
        for (let parked = 0; parked < count; parked += 400)
          await store.claim({
            bots: [{ bot_id: 'bot', room: 1000 }],
            limit: 1000,
            now: Date.now(),
            lease_token: 'x',
            lease_until: Date.now() + 60_000,
          })
      await fill(store, claims, { bot_id: 'bot', queue: 'bot' })
      const times: number[] = []
      for (let index = 0; index < claims; index++) {
        const begun = performance.now()
        await one(store)
        times.push(performance.now() - begun)
      }
      measured.push(median(times))
      await store.stop()
    }
    const [few, many] = measured as [number, number]
    rows.push([title, ms(few), ms(many), ratio(many, few)])
  }
  table(
    `A run claimed and completed, ms, beside ${short} and ${long.toLocaleString('en-US')} runs that wait`,
    ['they are', `${short}`, `${long}`, 'times'],
    rows,
  )
}

/** Choosing who takes the next 64 runs of a need. */
function assignment(): void {
  const rows = [10, 100, 1000].map(count => {
    const bots = new Map<string, Bot>()
    for (let index = 0; index < count; index++) {
      const id = `bot-${index}`
      const capabilities = ['build', ...(index % 3 === 0 ? ['arm'] : []), ...(index % 5 === 0 ? ['gpu'] : [])]
      bots.set(id, {
        id,
        endpoint: { kind: 'http', url: 'http://127.0.0.1/' },
        max_active: 4,
        enabled: true,
        capabilities,
        version: 1,
        created_at: 0,
        updated_at: 0,
      })
    }
    const nothing = (): void => undefined
    const availabilities = new BotAvailability({
      store: undefined as never,
      bots,
      queuePaused: () => false,
      callWake: async () => undefined,
      now: Date.now,
      wakePauseMs: 1,
      changed: nothing,
      emitLifecycle: nothing,
      log: nothing,
      logBug: nothing,
    })
    const times: number[] = []
    for (let index = 0; index < 300; index++) {
      const begun = performance.now()
      availabilities.choose({ capabilities: ['build', 'arm'] }, 64, bot => ({
        active: Number(bot.id.slice(4)) % 3,
        room: 2,
      }))
      times.push(performance.now() - begun)
    }
    const best = median(times)
    return [`${count}`, ms(best * 1000), ms((best * 1000) / 64)]
  })
  table('Choosing the bots of 64 runs that name capabilities', ['bots', 'µs', 'µs a run'], rows)
}

export async function benchRuns(): Promise<void> {
  await workers()
  await waiting()
  assignment()
}
