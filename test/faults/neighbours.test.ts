// Bad neighbours: bots that hang, drip, reset, answer without end, redirect and lie cost their own slots and nobody else's (P17);
// slow, silent and half-open senders are closed while others are served (P44); one that floods does not starve nine that
// whisper (P45); descriptors that run out, a small heap and a stopped process lose nothing that was answered (P46).
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { SignalboxClient, type Methods } from '../../src/client/client.ts'
import { botServer } from '../support/bot-server.ts'
import { freshDirectory, until } from '../support/router.ts'
import { report } from './report.ts'
import { faultyRouter, type FaultyRouter } from './shim.ts'
import { checked, define, send, someEvents, type Sent } from './workload.ts'

type Run = Methods['run.get']['result']['run']

/** A server that does as it likes with each connection; answers its port. */
async function rude(
  onConnect: (socket: Socket) => void,
): Promise<{ url: string; connections: () => number }> {
  let connections = 0
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    connections++
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    socket.once('data', () => onConnect(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    connections: () => connections,
  }
}

/** Writes a text again and again for as long as it is taken. */
function endlessly(socket: Socket, text: string): void {
  const more = (): void => {
    while (!socket.destroyed && socket.write(text));
    if (!socket.destroyed) socket.once('drain', more)
  }
  more()
}

const head = 'HTTP/1.1 200 OK\r\n'
function badBots(
  elsewhere: string,
): Record<string, { does: (socket: Socket) => void; ends: readonly Run['state'][] }> {
  return {
    hangs: { does: () => undefined, ends: ['timed_out'] },
    'hangs-in-its-body': {
      does: socket => socket.write(`${head}content-length: 10\r\n\r\nx`),
      ends: ['timed_out'],
    },
    drips: {
      does: socket => {
        socket.write(`${head}content-length: 100000\r\n\r\n`)
        const drip = setInterval(() => socket.write('x'), 20)
        socket.on('close', () => clearInterval(drip))
      },
      ends: ['timed_out'],
    },
    resets: { does: socket => socket.resetAndDestroy(), ends: ['failed'] },
    'resets-in-its-head': {
      does: socket => socket.write('HTTP/1.1 2', () => socket.resetAndDestroy()),
      ends: ['failed'],
    },
    'answers-without-end': {
      does: socket => {
        socket.write(`${head}transfer-encoding: chunked\r\n\r\n`)
        endlessly(socket, `4000\r\n${'x'.repeat(0x4000)}\r\n`)
      },
      ends: ['completed'],
    },
    'heads-without-end': {
      does: socket => void socket.write(head, () => endlessly(socket, `x-${'y'.repeat(1000)}: z\r\n`)),
      ends: ['failed'],
    },
    redirects: {
      does: socket =>
        socket.end(`HTTP/1.1 307 Temporary Redirect\r\nlocation: ${elsewhere}\r\ncontent-length: 0\r\n\r\n`),
      ends: ['failed'],
    },
    'lies-about-its-length': {
      does: socket => socket.end(`${head}content-length: 5\r\n\r\nmuch more than five`),
      ends: ['completed', 'failed'],
    },
    'talks-nonsense': { does: socket => socket.end('SSH-2.0-OpenSSH_9.2\r\n'), ends: ['failed'] },
  }
}

const each = 6

const patienceMs = 1500

/**
 * Bad bots and a good one under load; answers each run as it ended, by its bot. hangsForLong: those of the bot that hangs are not
 * given up, and are answered as they are once all others have ended, however long the machine takes for them.
 */
async function beside(
  maxActive: number,
  hangsForLong: boolean,
): Promise<{ ended: Map<string, Run[]>; elsewhere: number; bytes: number }> {
  const elsewhere = await rude(socket => socket.end(`${head}content-length: 2\r\n\r\nok`))
  const bad = badBots(elsewhere.url)
  const good = await botServer()
  const directory = freshDirectory()
  const router = await faultyRouter(directory, { meter: true })
  const client = await SignalboxClient.connect(router.socket)
  const bots: [string, string][] = [['good', good.url]]
  for (const [name, { does }] of Object.entries(bad)) bots.push([name, (await rude(does)).url])
  await client.call('router.apply', {
    bots: bots.map(([id, url]) => ({
      id,
      max_active: maxActive,
      endpoint: { kind: 'http', url, timeout_ms: id === 'hangs' && hangsForLong ? 100_000 : patienceMs },
    })),
    sources: [{ id: 'local', source_type: 'service' }],
    triggers: bots.map(([id]) => ({
      id,
      event_source_id: 'local',
      filter: { type: [id] },
      action: { bot_id: id },
      policy: { retry: 'none' },
    })),
  })
  await router.spent(true)
  const runs: string[] = []
  for (let count = 0; count < each; count++)
    for (const [type] of bots.toReversed())
      runs.push(...(await client.call('event.emit', { source_id: 'local', type, payload: { count } })).runs)
  const ended = new Map<string, Run[]>()
  for (const run_id of runs) {
    const run = await until(async () => {
      const { run: own } = await client.call('run.get', { run_id })
      return (own.finished_at !== undefined || (hangsForLong && own.trigger_id === 'hangs')) && own
    })
    ended.set(run.trigger_id, [...(ended.get(run.trigger_id) ?? []), run])
  }
  const { bytes } = await router.spent()
  client.close()
  router.process.kill('SIGKILL')
  await router.ended
  return { ended, elsewhere: elsewhere.connections(), bytes }
}

const finished = (runs: readonly Run[]): number[] => runs.map(run => run.finished_at!)

describe('bots', () => {
  test('ten bad ones cost their own slots: the good one is done while one hangs', async () => {
    const begun = performance.now()
    const { ended, elsewhere, bytes } = await beside(1, true)
    const wrong: string[] = []
    for (const [name, { ends }] of Object.entries(badBots('')))
      for (const run of ended.get(name)!)
        if (name !== 'hangs' && !ends.includes(run.state))
          wrong.push(`${name}: a run is ${run.state}: ${run.error}`)
    for (const run of ended.get('good')!)
      if (run.state !== 'completed') wrong.push(`good: a run is ${run.state}`)
    for (const run of ended.get('hangs')!)
      if (run.finished_at !== undefined) wrong.push(`hangs: a run is ${run.state}`)
    if (elsewhere > 0) wrong.push(`a redirect was followed ${elsewhere} times`)
    if (bytes > 96 * 1024 * 1024)
      wrong.push(`${(bytes / 1024 / 1024).toFixed(0)} MiB for answers without end`)
    report(
      'P17',
      `runs of ten kinds of bad bots beside a good one; ${(bytes / 1024 / 1024).toFixed(0)} MiB`,
      11 * each,
      wrong.length,
      begun,
    )
    expect(wrong).toEqual([])
  })

  test('control: where the bad may take every slot of the router, the good one waits until they are given up', async () => {
    const { ended } = await beside(100, false)
    expect(ended.get('hangs')!.map(run => run.state)).toEqual(Array.from({ length: each }, () => 'timed_out'))
    expect(Math.max(...finished(ended.get('good')!))).toBeGreaterThanOrEqual(
      Math.min(...finished(ended.get('hangs')!)),
    )
  })
})

async function withHook(
  router: FaultyRouter,
  ids: readonly string[],
  config: object = {},
): Promise<SignalboxClient> {
  const client = await SignalboxClient.connect(router.socket)
  onTestFinished(() => client.close())
  for (const id of ids)
    await client.call('source.put', {
      source: { id, source_type: 'webhook', config: { provider: 'none', ...config } },
    })
  return client
}

function deliver(
  { intake }: FaultyRouter,
  source: string,
  body: string,
  signal = AbortSignal.timeout(10_000),
): Promise<number> {
  return fetch(`${intake}/webhook/${source}`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json' },
    signal,
  }).then(async answer => {
    await answer.arrayBuffer()
    return answer.status
  })
}

describe('senders', () => {
  test('two hundred slow, silent and half-open ones are closed; one that behaves is served meanwhile', async () => {
    const begun = performance.now()
    const router = await faultyRouter(freshDirectory())
    await withHook(router, ['hook'], { rate_limit: { limit: 1_000_000, period_ms: 1000 } })
    const { port } = new URL(router.intake)
    const request = (length: number): string =>
      `POST /webhook/hook HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`
    const kinds: ((socket: Socket) => void)[] = [
      () => undefined,
      socket => socket.write('POST /webhook/hook HT'),
      socket => {
        socket.write('POST /webhook/hook HTTP/1.1\r\n')
        const drip = setInterval(() => socket.write('x: y\r\n'), 500)
        socket.on('close', () => clearInterval(drip))
      },
      socket => socket.write(`${request(1000)}{"a":`),
      socket => {
        socket.write(request(100_000))
        const drip = setInterval(() => socket.write(' '), 500)
        socket.on('close', () => clearInterval(drip))
      },
    ]
    let answered = ''
    const bad = Array.from({ length: 200 }, (_, index) => {
      const socket = connect({ host: '127.0.0.1', port: Number(port) })
      socket.on('error', () => undefined)
      socket.on('data', chunk => (answered += String(chunk)))
      socket.once('connect', () => kinds[index % kinds.length]!(socket))
      return once(socket, 'close')
    })
    const statuses = new Set<number>()
    for (let count = 0; count < 100; count++) statuses.add(await deliver(router, 'hook', `{"n":${count}}`))
    expect([...statuses]).toEqual([202])
    // All of them are closed from the other side, whatever they do.
    await Promise.all(bad)
    expect(answered).toContain('HTTP/1.1 408')
    expect(answered).toContain('HTTP/1.1 503')
    report('P44', 'slow, silent and half-open senders', bad.length, 0, begun)
  })

  test('one that floods is slowed down; nine that whisper are answered and run before its last', async () => {
    const begun = performance.now()
    const bot = await botServer((_request, response) => void setTimeout(() => response.end('{}'), 2))
    const router = await faultyRouter(freshDirectory())
    const whispers = Array.from({ length: 9 }, (_, n) => `quiet-${n}`)
    const client = await withHook(router, ['loud', ...whispers])
    for (const id of ['loud-bot', 'quiet-bot'])
      await client.call('bot.put', { bot: { id, endpoint: { kind: 'http', url: bot.url } } })
    for (const id of ['loud', ...whispers])
      await client.call('trigger.put', {
        trigger: {
          id,
          event_source_id: id,
          filter: { payload: { n: [{ exists: true }] } },
          action: { bot_id: id === 'loud' ? 'loud-bot' : 'quiet-bot' },
        },
      })
    const done = new AbortController()
    const loud = { taken: 0, refused: 0, other: new Set<number>() }
    const flood = Array.from({ length: 32 }, async () => {
      while (!done.signal.aborted) {
        const status = await deliver(router, 'loud', '{"n":1}')
        if (status === 202) loud.taken++
        else if (status === 429) loud.refused++
        else loud.other.add(status)
      }
    })
    const quiet = new Set<number>()
    const times: number[] = []
    for (let count = 0; count < 20; count++) {
      await Promise.all(
        whispers.map(async id => {
          const sent = performance.now()
          quiet.add(await deliver(router, id, `{"n":${count}}`))
          times.push(performance.now() - sent)
        }),
      )
    }
    done.abort()
    await Promise.all(flood)
    expect([...quiet]).toEqual([202])
    expect([...loud.other]).toEqual([])
    expect(loud.refused).toBeGreaterThan(0)
    const runsOf = async (bot_id: string): Promise<Run[]> =>
      (await client.call('run.list', { bot_id, limit: 500 })).runs
    const ended = await until(async () => {
      const runs = await runsOf('quiet-bot')
      return runs.length === 180 && runs.every(run => run.state === 'completed') && runs
    })
    const [last] = await until(async () => {
      const runs = await runsOf('loud-bot')
      return runs[0]?.state === 'completed' && runs
    })
    expect(Math.max(...finished(ended))).toBeLessThan(last!.finished_at!)
    const p99 = times.toSorted((a, b) => a - b)[Math.floor(times.length * 0.99)]!
    report(
      'P45',
      `events of nine whisperers beside ${loud.taken + loud.refused} of one that floods, ${loud.refused} of them 429; whisperers p99 ${p99.toFixed(0)} ms`,
      times.length,
      0,
      begun,
    )
  })
})

/** Sends until all of it has an answer, as good senders do, to a router that is started again where it ended. */
async function delivered(
  directory: string,
  first: FaultyRouter,
  book: readonly Sent[],
): Promise<FaultyRouter> {
  let router = first
  for (let life = 0; life < 10 && book.some(sent => sent.event_id === undefined); life++) {
    if (router.process.exitCode !== null || router.process.signalCode !== null) {
      router = await faultyRouter(directory)
      expect(router.ready, router.said()).toBe(true)
    }
    await send(router, book)
  }
  return router
}

describe('what the machine runs out of', () => {
  test.each([
    [
      'descriptors',
      {},
      async (router: FaultyRouter): Promise<() => void> => {
        spawnSync('prlimit', [`--nofile=64`, '--pid', String(router.process.pid)])
        const { port } = new URL(router.intake)
        const held = Array.from({ length: 120 }, () =>
          connect({ host: '127.0.0.1', port: Number(port) }).on('error', () => undefined),
        )
        await Promise.all(held.slice(0, 10).map(socket => once(socket, 'connect')))
        return () => {
          for (const socket of held) socket.destroy()
        }
      },
    ],
    [
      'memory',
      { NODE_OPTIONS: '--max-old-space-size=64' },
      async (router: FaultyRouter, book: Sent[]): Promise<() => void> => {
        const rows = Array.from({ length: 30_000 }, (_, n) => ({ n }))
        const bulk = Array.from({ length: 40 }, (_, n): Sent => ({
          delivery_id: `h-bulk-${n}`,
          body: JSON.stringify({ n, name: 'bulk', rows }),
        }))
        book.push(...bulk)
        const sending = send(router, bulk, 40)
        return () => void sending
      },
    ],
    [
      'time: it is stopped for a while',
      {},
      (router: FaultyRouter): Promise<() => void> => {
        router.process.kill('SIGSTOP')
        // Longer than senders and workers wait for an answer is what counts; the others are not let on before that is over.
        const goesOn = setTimeout(() => router.process.kill('SIGCONT'), 6000)
        return Promise.resolve(() => clearTimeout(goesOn))
      },
    ],
  ] as const)('%s: nothing that was answered is lost', async (name, env, exhaust) => {
    const begun = performance.now()
    const directory = freshDirectory()
    const router = await faultyRouter(directory, {}, env)
    await define(router)
    const book = someEvents(30, 'before')
    await send(router, book)
    const exhausted = Date.now()
    const relieve = await exhaust(router, book)
    const during = someEvents(60, 'during')
    book.push(...during)
    await send(router, during, 8)
    relieve()
    const last = await delivered(directory, router, book)
    const wrong = await checked(
      last,
      book.filter(sent => sent.event_id !== undefined || sent.refused !== undefined),
      { faults: [{ what: name, at: exhausted, until: Date.now() }] },
    ).catch((error: unknown) => [String(error)])
    for (const sent of book)
      if (sent.event_id === undefined) wrong.push(`${sent.delivery_id} was never accepted`)
    const ended = router.process.exitCode ?? router.process.signalCode
    report(
      'P46',
      `events while there is no ${name.split(':')[0]}; it ${ended === null ? 'went on' : `ended with ${ended} and was started again`}`,
      book.length,
      wrong.length,
      begun,
    )
    expect(wrong).toEqual([])
    if (ended !== null) expect([70, 74, 'SIGABRT']).toContain(ended)
    last.process.kill('SIGKILL')
    await last.ended
  })
})
