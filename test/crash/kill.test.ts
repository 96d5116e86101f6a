// kill -9 in the middle of storms, with bots that have no time, hang up, say nothing or refuse: the nine rules of the checker
// over the books of senders and of a bot, which are processes that import nothing of ours, and over what was done to the router.
import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import {
  bookLines,
  judged,
  quiet,
  told,
  type Books,
  type Delivered,
  type FaultNote,
  type Sent,
  type Told,
} from '../faults/checker.ts'
import { report } from '../faults/report.ts'
import { child, firstLine } from '../support/processes.ts'
import { freshDirectory, until } from '../support/router.ts'

/** SIGNALBOX_KILLS=1000 for as many as there is time for. */
const kills = Number(process.env.SIGNALBOX_KILLS ?? 2)
const secret = 'storm'
const mostActive = 16
const retry = [0, 200, 400, 800, 1600, 3200]
const triggers = { h: 'of-forge', l: 'of-local' }

/** A line of the bot's book, with what its event asks of the bot. */
interface Entry extends Delivered {
  mood?: string
}

interface StormBooks extends Books {
  delivered: readonly Entry[]
}

interface Storm {
  restart: () => Promise<void>
  /** ends the router by a signal; answers its exit code */
  end: (signal: NodeJS.Signals) => Promise<number | null>
  /** how many attempts have come to the bot */
  came: () => number
  /** stops the senders, and answers what there is once the router has done what it can */
  settled: () => Promise<{ books: StormBooks; all: Told }>
}

/** The lines of senders' books: an event is written down before it is sent, and each answer. */
function sentOf(lines: readonly Partial<Sent>[]): Sent[] {
  const found = new Map<string, Sent>()
  for (const line of lines) {
    const id = line.delivery_id!
    found.set(id, { ...found.get(id), ...line, owes: [triggers[id[0] as 'h' | 'l']] } as Sent)
  }
  return [...found.values()]
}

async function storm(senders: number): Promise<Storm> {
  const directory = freshDirectory()
  const socket = join(directory, 'rpc.sock')
  const port = 20_000 + (process.pid % 20_000)
  const env = {
    SIGNALBOX_STATE_DIR: join(directory, 'state'),
    SIGNALBOX_SOCKET: socket,
    SIGNALBOX_INTAKE_ADDRESS: `127.0.0.1:${port}`,
    SIGNALBOX_LOG_LEVEL: 'error',
    STORM_SECRET: secret,
  }
  let router: ChildProcess
  const faults: FaultNote[] = []
  const restart = async (): Promise<void> => {
    router = child(['src/signalbox.ts', 'serve'], env)
    await firstLine(router)
  }
  await restart()
  const paths = { http: join(directory, 'http'), line: join(directory, 'line'), bot: join(directory, 'bot') }
  const bot = child(['test/crash/ledger-bot.mjs', paths.bot])
  const url = `http://127.0.0.1:${await firstLine(bot)}/`
  const client = await SignalboxClient.connect(socket)
  await client.call('bot.put', {
    bot: { id: 'bot', max_active: mostActive, endpoint: { kind: 'http', url } },
  })
  const config = {
    provider: 'forgejo' as const,
    secrets: [{ env: 'STORM_SECRET' }],
    rate_limit: { limit: 1_000_000, period_ms: 1000 },
  }
  const action = { bot_id: 'bot' }
  await client.call('event.register', {
    source: { id: 'forge', source_type: 'webhook', config },
    triggers: [
      {
        id: triggers.h,
        filter: { type: ['push'] },
        action,
        policy: { retry, timeout_ms: 1000, repeat_limit: null },
      },
    ],
  })
  await client.call('event.register', {
    source: { id: 'local', source_type: 'service' },
    triggers: [
      {
        id: triggers.l,
        filter: { type: ['push'] },
        action,
        policy: { retry, timeout_ms: 1000, order_key: '{{ payload.key }}', on_dead: 'continue' },
      },
    ],
  })
  client.close()
  const processes = [
    child([
      'test/crash/ledger-client.mjs',
      paths.http,
      `http://127.0.0.1:${port}/webhook/forge`,
      'h',
      String(senders),
      secret,
    ]),
    child(['test/crash/ledger-client.mjs', paths.line, socket, 'l', String(senders), secret]),
  ]
  const delivered = (): Entry[] => bookLines(paths.bot)
  return {
    restart,
    async end(signal) {
      const dying = router
      const gone = new Promise<number | null>(resolve => dying.once('exit', resolve))
      const at = Date.now()
      dying.kill(signal)
      const code = await gone
      // Who is asked to stop lets attempts end: that is no reason for a second one.
      const in_flight = signal === 'SIGTERM' ? 0 : mostActive
      faults.push({
        what: signal,
        at,
        until: Date.now(),
        code,
        expected: signal === 'SIGTERM' ? 0 : null,
        in_flight,
      })
      return code
    },
    came: () => delivered().length,
    async settled() {
      const gone = processes.map(each => new Promise(resolve => each.once('exit', resolve)))
      for (const each of processes) each.stdin!.write('stop\n')
      await Promise.all(gone)
      const asking = await SignalboxClient.connect(socket)
      await quiet(asking, ['bot'])
      const all = await told(asking, ['forge', 'local'])
      asking.close()
      const sent = sentOf([...bookLines<Partial<Sent>>(paths.http), ...bookLines<Partial<Sent>>(paths.line)])
      return { books: { sent, delivered: delivered(), faults, most_active: mostActive, bots: ['bot'] }, all }
    },
  }
}

/** What is wrong by the nine rules; and here everything is accepted, never refused, and done unless the bot refuses it. */
function wrongs(books: StormBooks, all: Told): string[] {
  const wrong = judged(books, all)
  for (const { delivery_id, event_id, refused } of books.sent) {
    if (event_id === undefined) wrong.push(`${delivery_id} was never accepted`)
    if (refused !== undefined) wrong.push(`${delivery_id} was answered ${refused}`)
  }
  const refusing = new Set(books.delivered.filter(entry => entry.mood === 'refuses').map(entry => entry.run))
  for (const { id, state } of all.runs)
    if (state !== (refusing.has(id) ? 'failed' : 'completed')) wrong.push(`run ${id} ended ${state}`)
  return wrong
}

test(
  `${kills} kills at random moments of a storm on both intakes`,
  { timeout: 180_000 + kills * 4000 },
  async () => {
    const begun = performance.now()
    const world = await storm(4)
    for (let count = 0; count < kills; count++) {
      // A random moment: after so many more deliveries, and a little more.
      const enough = world.came() + Math.floor(Math.random() * 60)
      await until(() => Promise.resolve(world.came() >= enough))
      await new Promise(resolve => setTimeout(resolve, Math.random() * 15))
      await world.end('SIGKILL')
      await world.restart()
    }
    const { books, all } = await world.settled()
    const wrong = wrongs(books, all)
    const more = books.delivered.length - all.runs.length
    report(
      'C1-C9',
      `${kills} kills, ${all.events.length} events, ${more} attempts more than runs`,
      all.runs.length,
      wrong.length,
      begun,
    )
    expect(wrong).toEqual([])
    expect(all.events.length).toBeGreaterThan(kills)
  },
)

test('without kills no event is delivered twice, and each rule finds what it is there for', async () => {
  const world = await storm(8)
  await until(() => Promise.resolve(world.came() >= 1100))
  const { books, all } = await world.settled()
  expect(wrongs(books, all)).toEqual([])
  expect(all.events.length).toBeGreaterThanOrEqual(1000)
  // What the bot was asked to do at first it did: there is something to find.
  for (const outcome of ['success', 'retry', 'permanent'])
    expect(
      all.runs.some(run => run.attempts.some(attempt => attempt.outcome === outcome)),
      outcome,
    ).toBe(true)
  for (const [rule, { books: own = books, all: said = all }] of controls(books, all))
    expect(
      judged(own, said).map(text => text.slice(0, 2)),
      rule,
    ).toContain(rule)
})

/** Books, or what the router says, with one thing in them that is not so; each by the rule that must find it. */
function controls(books: Books, all: Told): [rule: string, { books?: Books; all?: Told }][] {
  const { delivered, sent } = books
  const changed = <T>(items: readonly T[], index: number, change: Partial<T>): T[] =>
    items.map((item, at) => (at === index ? { ...item, ...change } : item))
  const again = all.runs.findIndex(run => run.attempts.length > 1)
  const [one, two] = all.runs[again]!.attempts
  const ordered = delivered.filter(
    entry => all.runs.find(run => run.id === entry.run)?.trigger_id === triggers.l,
  )
  const [first, next] = [
    ordered[0]!,
    ordered.find(entry => entry.key === ordered[0]!.key && entry.event !== ordered[0]!.event)!,
  ]
  const swapped = delivered.map(entry => (entry === first ? next : entry === next ? first : entry))
  const history = all.runs[0]!.history
  const ordinary = delivered.find(entry => entry.done)!
  return [
    ['C1', { all: { ...all, events: all.events.slice(1) } }],
    ['C2', { books: { ...books, sent: sent.slice(1) } }],
    ['C3', { all: { ...all, runs: all.runs.slice(1) } }],
    ['C3', { books: { ...books, delivered: delivered.filter(entry => entry.run !== ordinary.run) } }],
    ['C4', { books: { ...books, delivered: [...delivered, ordinary] } }],
    ['C5', { books: { ...books, delivered: changed(delivered, 0, { id: 'another' }) } }],
    ['C5', { books: { ...books, delivered: changed(delivered, 0, { sha256: 'another' }) } }],
    ['C6', { books: { ...books, delivered: swapped } }],
    [
      'C7',
      {
        all: {
          ...all,
          runs: changed(all.runs, again, { attempts: [one!, { ...two!, started_at: one!.ended_at + 100 }] }),
        },
      },
    ],
    ['C8', { all: { ...all, runs: changed(all.runs, 0, { history: history.slice(1) }) } }],
    ['C9', { books: { ...books, sent: changed(sent, 0, { refused: 500 }) } }],
  ]
}

test('a clean stop in a storm ends with 0, loses nothing, and delivers nothing twice', async () => {
  const world = await storm(4)
  for (let count = 0; count < 3; count++) {
    const enough = world.came() + 100
    await until(() => Promise.resolve(world.came() >= enough))
    expect(await world.end('SIGTERM')).toBe(0)
    await world.restart()
  }
  const { books, all } = await world.settled()
  expect(wrongs(books, all)).toEqual([])
})
