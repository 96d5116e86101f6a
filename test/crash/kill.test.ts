// kill -9 in the middle of storms: no accepted event is lost, no run is forgotten, every attempt is made under its run's
// id, and without kills there is not one duplicate. The books are kept by processes that import nothing of ours.
import type { ChildProcess } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SignalboxClient, type Methods } from '../../src/client/client.ts'
import { child, firstLine } from '../support/processes.ts'
import { freshDirectory, until } from '../support/router.ts'

/** SIGNALBOX_KILLS=1000 for as many as there is time for. */
const kills = Number(process.env.SIGNALBOX_KILLS ?? 8)
const secret = 'storm'

interface Sent {
  id: string
  sha256?: string
  accepted?: string
  refused?: number
}
interface Got {
  webhook_id: string
  run: string
  attempt: number
  event: string
  id: string
  sha256: string
}

function lines<T>(path: string): T[] {
  if (!existsSync(path)) return []
  const text = readFileSync(path, 'utf8')
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as T)
}

interface Storm {
  directory: string
  socket: string
  restart: () => Promise<void>
  /** ends the router by a signal; answers its exit code */
  kill: (signal?: NodeJS.Signals) => Promise<number | null>
  client: () => Promise<SignalboxClient>
  sent: () => Sent[]
  got: () => Got[]
  stopSenders: () => Promise<void>
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
  let router: ChildProcess | undefined
  const restart = async (): Promise<void> => {
    router = child(['src/signalbox.ts', 'serve'], env)
    await firstLine(router)
  }
  const kill = async (signal: NodeJS.Signals = 'SIGKILL'): Promise<number | null> => {
    const dying = router!
    const gone = new Promise<number | null>(resolve => dying.once('exit', resolve))
    dying.kill(signal)
    return gone
  }
  const connect = (): Promise<SignalboxClient> => SignalboxClient.connect(socket)
  await restart()
  const books = { http: join(directory, 'http'), line: join(directory, 'line'), bot: join(directory, 'bot') }
  const bot = child(['test/crash/ledger-bot.mjs', books.bot])
  const url = `http://127.0.0.1:${await firstLine(bot)}/`
  const client = await connect()
  await client.call('bot.put', { bot: { id: 'bot', max_active: 16, endpoint: { kind: 'http', url } } })
  const config = { provider: 'forgejo' as const, secrets: [{ env: 'STORM_SECRET' }], rate_limit: { limit: 1_000_000, period_ms: 1000 } }
  await client.call('event.register', {
    source: { id: 'forge', source_type: 'webhook', config },
    triggers: [{ id: 'of-forge', filter: { type: ['push'] }, action: { bot_id: 'bot' } }],
  })
  await client.call('event.register', {
    source: { id: 'local', source_type: 'service' },
    triggers: [{ id: 'of-local', filter: { type: ['push'] }, action: { bot_id: 'bot' } }],
  })
  client.close()
  const processes = [
    child(['test/crash/ledger-client.mjs', books.http, `http://127.0.0.1:${port}/webhook/forge`, 'h', String(senders), secret]),
    child(['test/crash/ledger-client.mjs', books.line, socket, 'l', String(senders), secret]),
  ]
  return {
    directory,
    socket,
    restart,
    kill,
    client: connect,
    sent: () => [...lines<Sent>(books.http), ...lines<Sent>(books.line)],
    got: () => lines<Got>(books.bot),
    async stopSenders() {
      const gone = processes.map(each => new Promise(resolve => each.once('exit', resolve)))
      for (const each of processes) each.stdin!.write('stop\n')
      await Promise.all(gone)
    },
  }
}

type Run = Methods['run.list']['result']['runs'][0]

async function allRuns(client: SignalboxClient): Promise<Run[]> {
  const found: Run[] = []
  for (let cursor: string | undefined; ;) {
    const page: Methods['run.list']['result'] = await client.call('run.list', { limit: 500, cursor })
    found.push(...page.runs)
    if (page.next_cursor === undefined) return found
    cursor = page.next_cursor
  }
}

/** The books against each other and against what the router says. Answers what was wrong, in words. */
async function check(books: Storm, client: SignalboxClient): Promise<{ wrong: string[]; accepted: number; extra: number }> {
  const wrong: string[] = []
  const sent = books.sent()
  const got = books.got()
  const bodies = new Map(sent.filter(entry => entry.sha256 !== undefined).map(entry => [entry.id, entry.sha256!]))
  const accepted = new Map(sent.filter(entry => entry.accepted !== undefined).map(entry => [entry.id, entry.accepted!]))
  for (const entry of sent) if (entry.refused !== undefined) wrong.push(`${entry.id} was answered ${entry.refused}`)
  for (const id of bodies.keys()) if (!accepted.has(id)) wrong.push(`${id} was never accepted`)
  const byEvent = new Map<string, Got[]>()
  for (const entry of got) byEvent.set(entry.event, [...(byEvent.get(entry.event) ?? []), entry])
  for (const [id, event] of accepted) {
    const deliveries = byEvent.get(event)
    if (deliveries === undefined) wrong.push(`${id} (${event}) was accepted and never delivered`)
    else if (deliveries.some(each => each.id !== id || each.sha256 !== bodies.get(id))) wrong.push(`${id} was delivered with another body`)
    if (new Set(deliveries?.map(each => each.webhook_id)).size > 1) wrong.push(`${id} was delivered under several ids`)
  }
  for (const entry of got) {
    if (entry.webhook_id !== entry.run) wrong.push(`attempt of ${entry.run} came under ${entry.webhook_id}`)
    if (!bodies.has(entry.id)) wrong.push(`${entry.id} was delivered and never sent`)
  }
  const attempts = new Map<string, number[]>()
  for (const entry of got) attempts.set(entry.run, [...(attempts.get(entry.run) ?? []), entry.attempt])
  for (const [run, numbers] of attempts) if (new Set(numbers).size !== numbers.length) wrong.push(`run ${run} made an attempt twice: ${numbers.join(' ')}`)
  const runs = await allRuns(client)
  if (new Set(runs.map(run => run.event_id)).size !== accepted.size)
    wrong.push(`${accepted.size} events were accepted, ${new Set(runs.map(run => run.event_id)).size} have runs`)
  for (const run of runs) if (run.state !== 'completed') wrong.push(`run ${run.id} ended ${run.state}`)
  return { wrong, accepted: accepted.size, extra: got.length - attempts.size }
}

function quiet(client: SignalboxClient): Promise<unknown> {
  return until(async () => {
    const { runs } = await client.call('router.status', {})
    return runs.pending + runs.running === 0
  })
}

test(`${kills} kills at random moments of a storm on both intakes`, { timeout: 120_000 + kills * 4000 }, async () => {
  const books = await storm(4)
  for (let count = 0; count < kills; count++) {
    // A random moment: after so many more deliveries, and a little more.
    const until_count = books.got().length + Math.floor(Math.random() * 60)
    await until(async () => books.got().length >= until_count)
    await new Promise(resolve => setTimeout(resolve, Math.random() * 15))
    await books.kill()
    await books.restart()
  }
  await books.stopSenders()
  const client = await books.client()
  await quiet(client)
  const { wrong, accepted, extra } = await check(books, client)
  client.close()
  console.log(`${kills} kills, ${accepted} events accepted, ${extra} attempts more than one`)
  expect(wrong).toEqual([])
  expect(accepted).toBeGreaterThan(kills)
  // At most what was in flight at a kill is delivered again.
  expect(extra).toBeLessThanOrEqual(kills * 16)
})

test('without kills there is not one duplicate', async () => {
  const books = await storm(8)
  await until(async () => books.got().length >= 2000)
  await books.stopSenders()
  const client = await books.client()
  await quiet(client)
  const { wrong, accepted, extra } = await check(books, client)
  client.close()
  expect(wrong).toEqual([])
  expect(accepted).toBeGreaterThanOrEqual(2000)
  expect(extra).toBe(0)
})

test('a clean stop in a storm ends with 0, loses nothing, and delivers nothing twice', async () => {
  const books = await storm(4)
  for (let count = 0; count < 5; count++) {
    const enough = books.got().length + 100
    await until(async () => books.got().length >= enough)
    expect(await books.kill('SIGTERM')).toBe(0)
    await books.restart()
  }
  await books.stopSenders()
  const client = await books.client()
  await quiet(client)
  const { wrong, extra } = await check(books, client)
  client.close()
  expect(wrong).toEqual([])
  expect(extra).toBe(0)
})

test('control: books that lack a delivery, or hold one twice, are found wrong', async () => {
  const books = await storm(2)
  await until(async () => books.got().length >= 50)
  await books.stopSenders()
  const client = await books.client()
  await quiet(client)
  const got = books.got()
  const lacking = await check({ ...books, got: () => got.slice(1) }, client)
  const doubled = await check({ ...books, got: () => [...got, got[0]!] }, client)
  client.close()
  expect(lacking.wrong).toEqual([expect.stringContaining('was accepted and never delivered') as string])
  expect(doubled).toMatchObject({ extra: 1, wrong: [expect.stringContaining('made an attempt twice') as string] })
})
