// Hostile input, T1 to T53: nothing that is sent ends the router, is answered with HTTP 500 or -32603, is stored without its
// signature, or costs more than 50 ms of the event loop or 32 times its size in memory (P59, P63). The exact answers of the
// threat table are held in test/intake/threats.test.ts and rpc-socket.test.ts; here is what nobody thought of.
import fc from 'fast-check'
import { createHmac } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, onTestFinished, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import { signalbox } from '../support/command-line.ts'
import { post, raw } from '../support/raw-http.ts'
import { freshDirectory } from '../support/router.ts'
import {
  call,
  deliveries,
  delivery,
  edited,
  schedule,
  sessions,
  transcriptLines,
  trial,
  type Delivery,
} from './hostile-inputs.ts'
import { isTooDear, reference } from './costs.ts'
import { report, size } from './report.ts'
import { faultyRouter, type FaultyRouter } from './shim.ts'

const inputs = size('SIGNALBOX_INPUTS', 1000, 400_000)
const seed = Number(process.env.SIGNALBOX_SEED ?? 1)
const share = (part: number): number => Math.ceil(inputs * part)
const secret = 'hostile'
const sign = (body: Buffer): string => createHmac('sha256', secret).update(body).digest('hex')

const { components } = JSON.parse(readFileSync('openrpc.json', 'utf8')) as {
  components: { errors: Record<string, { code: number }> }
}
const codes = new Set([-32700, -32600, -32601, ...Object.values(components.errors).map(({ code }) => code)])
codes.delete(-32603)
const statuses = new Set([
  200, 202, 400, 401, 404, 405, 408, 410, 413, 414, 415, 417, 421, 422, 429, 431, 503, 507,
])

/** A router with a source of each kind, that dispatches nothing: what is made up here must not be run. */
async function target(): Promise<{ router: FaultyRouter; directory: string }> {
  const directory = freshDirectory()
  const env = {
    FORGE: secret,
    SIGNALBOX_LOG_LEVEL: 'error',
    SIGNALBOX_AUTH_FAILURES_PER_MINUTE: '1000000',
    SIGNALBOX_RATE_LIMIT: '1000000',
  }
  const router = await faultyRouter(directory, { meter: true }, env)
  expect(router.ready, router.said()).toBe(true)
  const client = await SignalboxClient.connect(router.socket)
  await client.call('router.pause', { reason: 'hostile input' })
  const secrets = [{ env: 'FORGE' }]
  for (const [id, config] of Object.entries({
    forge: { provider: 'forgejo', secrets },
    hub: { provider: 'github', secrets },
    std: { provider: 'standard', secrets },
    lab: { provider: 'gitlab', secrets },
    tok: { provider: 'bearer', secrets },
    events: { provider: 'cloudevents', secrets },
    open: { provider: 'none' },
  } as const))
    await client.call('source.put', { source: { id, source_type: 'webhook', config } })
  await client.call('bot.put', { bot: { id: 'b', endpoint: { kind: 'pull' } } })
  for (const [index, filter] of [
    { type: ['push'] },
    { payload: { ref: [{ wildcard: 'refs/*/*' }] } },
    { payload: { n: [{ numeric: ['>', 1] }] } },
    { payload: { a: { b: [{ 'anything-but': [1] }] } } },
  ].entries())
    await client.call('trigger.put', {
      trigger: { id: `t${index}`, filter, action: { bot_id: 'b', inputs: { ref: '{{ payload.ref }}' } } },
    })
  client.close()
  return { router, directory }
}

/** One connection that lines are sent over; a new one where the router closed it. */
class Lines {
  readonly #path: string
  readonly #waiting = new Map<number, (line: string | undefined) => void>()
  #socket: Socket | undefined
  #next = 1

  constructor(path: string) {
    this.#path = path
    onTestFinished(() => void this.#socket?.destroy())
  }

  #open(): Socket {
    const socket = connect(this.#path)
    createInterface(socket).on('line', line => {
      const { id } = JSON.parse(line) as { id?: unknown }
      if (typeof id === 'number') this.#waiting.get(id)?.(line)
      // What could not be read has no id; there is one call at a time.
      else if (id === null) for (const answer of this.#waiting.values()) answer(line)
    })
    socket.on('error', () => undefined)
    socket.on('close', () => {
      if (this.#socket === socket) this.#socket = undefined
      for (const answer of this.#waiting.values()) answer(undefined)
    })
    return (this.#socket = socket)
  }

  /** The answer to a call, as a line; undefined: the connection was closed instead. */
  async call({ method, params }: { method: string; params: string }): Promise<string | undefined> {
    const id = this.#next++
    const { promise, resolve } = Promise.withResolvers<string | undefined>()
    this.#waiting.set(id, resolve)
    ;(this.#socket ?? this.#open()).write(
      `{"jsonrpc":"2.0","id":${id},"method":${JSON.stringify(method)},"params":${params}}\n`,
    )
    const line = await promise
    this.#waiting.delete(id)
    return line
  }
}

/** P8: everything is answered within 4 s. */
const patienceMs = 5000

async function inTime(answer: Promise<string | undefined>): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string>()
  const timer = setTimeout(() => resolve(`no answer within ${patienceMs} ms`), patienceMs)
  const first = await Promise.race([answer, promise])
  clearTimeout(timer)
  return first
}

/** What is wrong with an answer to a call; a call that is too large has its connection closed. */
function faultOfLine(line: string | undefined): string | undefined {
  if (line === undefined) return undefined
  const answer = JSON.parse(line) as {
    jsonrpc?: string
    result?: unknown
    error?: { code: number; message: string }
  }
  if (answer.jsonrpc !== '2.0') return `no JSON-RPC 2.0: ${line.slice(0, 200)}`
  if (answer.error === undefined)
    return answer.result === undefined ? `neither result nor error: ${line.slice(0, 200)}` : undefined
  if (!codes.has(answer.error.code)) return `code ${answer.error.code}: ${answer.error.message}`
  return answer.error.message === '' ? 'an error without a message' : undefined
}

function faultOfHttp(
  { path, body, headers }: Delivery,
  answer: { status: number; body: string; closed: boolean },
): string | undefined {
  if (answer.status === 0) return answer.closed ? undefined : 'no answer'
  if (!statuses.has(answer.status)) return `HTTP ${answer.status}: ${answer.body.slice(0, 200)}`
  if (answer.status >= 300 && answer.body !== '' && !answer.body.includes('"code":"E_'))
    return `HTTP ${answer.status} says ${answer.body.slice(0, 200)}`
  const own = headers.filter(header => header.toLowerCase().startsWith('x-forgejo-signature:'))
  const isSigned = own.length === 1 && own[0] === `X-Forgejo-Signature: ${sign(body)}`
  return path === '/webhook/forge' && answer.status < 300 && !isSigned
    ? `P59: taken without its signature (${answer.status})`
    : undefined
}

/**
 * What an input may cost in memory, whatever its size: as much as the largest body may, 32 times 1 MiB. The measure counts what
 * the engine has not collected yet, up to a young generation of 16 MiB or more: an input of 183 KB was measured at 6.7 to 13.2 MB
 * on one machine, and at 18.4 on another.
 */
const freeBytes = 32 * 1024 * 1024

/** Runs a property over a router; each input is measured, and one that cost too much is tried again before it is believed. */
async function hold<T>(
  router: FaultyRouter,
  arbitrary: fc.Arbitrary<T>,
  runs: number,
  send: (input: T) => Promise<string | undefined>,
): Promise<number> {
  let slowest = 0
  const property = fc.asyncProperty(arbitrary, async input => {
    const fault = await inTime(send(input))
    if (fault !== undefined) throw new Error(fault)
    let cost = (await router.spent()).cpu_ms
    let tooDear = isTooDear(cost)
    for (let again = 0; again < 10 && tooDear; again++) {
      await send(input)
      const spent = await router.spent()
      cost = Math.min(spent.cpu_ms, spent.longest_ms)
      tooDear = isTooDear(cost)
    }
    slowest = Math.max(slowest, cost)
    if (tooDear) throw new Error(`P63: ${cost.toFixed(0)} ms of the event loop`)
    if (router.process.exitCode !== null)
      throw new Error(`the router ended with ${router.process.exitCode}: ${router.said()}`)
  })
  await router.spent()
  await fc.assert(property, { numRuns: runs, seed, endOnFailure: false, interruptAfterTimeLimit: 3_000_000 })
  return slowest
}

async function unharmed(router: FaultyRouter, directory: string): Promise<void> {
  const client = await SignalboxClient.connect(router.socket)
  expect(await client.call('rpc.health', {})).toMatchObject({ status: 'ok' })
  client.close()
  expect(router.said()).not.toContain('"bug"')
  router.process.kill('SIGTERM')
  expect(await router.ended, router.said()).toBe(0)
  const verified = await signalbox({ directory }, ['verify'], {
    SIGNALBOX_STATE_DIR: join(directory, 'state'),
  })
  expect(verified, verified.out).toMatchObject({ code: 0 })
}

const limit = { timeout: 120_000 + inputs * 20 }

describe('made-up input', () => {
  test('calls that are nearly right, patterns, mappings, schedules', limit, async () => {
    const begun = performance.now()
    const { router, directory } = await target()
    const lines = new Lines(router.socket)
    const ask = async (input: { method: string; params: string }): Promise<string | undefined> =>
      faultOfLine(await lines.call(input))
    let slowest = await hold(router, call, share(0.35), ask)
    slowest = Math.max(slowest, await hold(router, trial, share(0.15), ask))
    slowest = Math.max(slowest, await hold(router, schedule, share(0.1), ask))
    report(
      'P63 T53',
      `calls, patterns, mappings, schedules; the dearest took ${slowest.toFixed(0)} ms`,
      share(0.6),
      0,
      begun,
    )
    await unharmed(router, directory)
  })

  test('deliveries with faults in path, method, headers, signature, body', limit, async () => {
    const begun = performance.now()
    const { router, directory } = await target()
    const accepted = new Set<string>()
    const send = async (input: Delivery): Promise<string | undefined> => {
      const answer = await raw(
        router.intake,
        Buffer.from(
          post(input.path, input.body, input.headers).toString('latin1').replace(/^POST/, input.method),
          'latin1',
        ),
      )
      if (answer.status === 202 || answer.status === 200)
        for (const [, id] of answer.body.matchAll(/"event_id":"([^"]+)"/g)) accepted.add(id!)
      return faultOfHttp(input, answer)
    }
    const slowest = await hold(
      router,
      delivery(
        deliveries().map(({ body }) => body),
        sign,
      ),
      share(0.2),
      send,
    )
    const client = await SignalboxClient.connect(router.socket)
    const { sources } = await client.call('source.list', {})
    client.close()
    // Nothing is stored but what was answered 2xx.
    expect(
      sources.reduce(
        (sum, source) => sum + (source.source_type === 'webhook' ? (source.event_count ?? 0) : 0),
        0,
      ),
    ).toBe(accepted.size)
    report(
      'P59 T1-23',
      `deliveries, ${accepted.size} of them taken; the dearest took ${slowest.toFixed(0)} ms`,
      share(0.2),
      0,
      begun,
    )
    await unharmed(router, directory)
  })

  test('recorded sessions with faulty bytes, on both sockets', limit, async () => {
    const begun = performance.now()
    const { router, directory } = await target()
    const requests = deliveries().map(({ type, body }) =>
      post('/webhook/forge', body, [
        `X-Forgejo-Event: ${type}`,
        `X-Forgejo-Delivery: d-${type}`,
        `X-Forgejo-Signature: ${sign(Buffer.from(body))}`,
      ]),
    )
    const rpc = transcriptLines()
    const overHttp = rpc.map(line => post('/rpc', line))
    const { port } = new URL(router.intake)
    const to = (where: { host: string; port: number } | { path: string }, bytes: Buffer): Promise<string> => {
      const { promise, resolve } = Promise.withResolvers<string>()
      const socket = connect(where as { path: string })
      let text = ''
      // What waits for more is left.
      const patience = setTimeout(() => socket.destroy(), 40)
      socket.on('data', chunk => {
        text += chunk.toString('latin1')
        patience.refresh()
      })
      socket.on('error', () => undefined)
      socket.on('close', () => {
        clearTimeout(patience)
        resolve(text)
      })
      socket.end(bytes)
      return promise
    }
    const intake = { host: '127.0.0.1', port: Number(port) }
    const control = { path: router.socket }
    const groups = 16
    const session = fc.oneof(
      fc.tuple(fc.constant(intake), sessions(requests)),
      fc.tuple(fc.constant(control), sessions(rpc)),
      fc.tuple(fc.constant(control), sessions(overHttp)),
    )
    const wrong = async ([where, bytes]: readonly [typeof intake | typeof control, Buffer]): Promise<
      string | undefined
    > => {
      const answer = await to(where, bytes)
      const bad = /^HTTP\/1\.1 500|"code": ?-32603|"code":"E_INTERNAL"/m.exec(answer)
      return bad === null ? undefined : `${bad[0]}: ${answer.slice(0, 300)}`
    }
    await hold(
      router,
      fc.array(session, { minLength: groups, maxLength: groups }),
      share(0.2 / groups),
      async group => {
        const faults = await Promise.all(group.map(wrong))
        return faults.find(fault => fault !== undefined)
      },
    )
    report('T53', 'recorded sessions with faulty bytes', share(0.2), 0, begun)
    await unharmed(router, directory)
  })
})

const mebibyte = 1024 * 1024
const filled = (begin: string, each: string, end: string, bytes: number): string =>
  `${begin}${each.repeat(Math.floor((bytes - begin.length - end.length) / each.length))}${end}`

/** Tries until an input is cheap enough once: beside other tests one of the dear ones often is not. */
const mostTurns = 25

/** Large inputs, each of a kind that some JSON reader, matcher or template fell over. */
const large: Record<string, string> = {
  'one long text': filled('{"ref":"', 'x', '"}', mebibyte - 100),
  'a text of escapes': filled('{"ref":"', '\\u0041', '"}', mebibyte - 100),
  'a text of surrogates': filled('{"ref":"', '\\ud83d\\ude00', '"}', mebibyte - 100),
  'empty objects': filled('[{}', ',{}', ']', 590_000),
  numbers: filled('[1', ',1', ']', 390_000),
  'long numbers': filled('[1', `,${'9'.repeat(400)}`, ']', mebibyte - 100),
  'one number of a million digits': filled('[', '7', ']', mebibyte - 100),
  'too many values': filled('[1', ',1', ']', mebibyte - 100),
  keys: reference,
  'the same key': `{"a":1${',"a":1'.repeat(90_000)}}`,
  'too deep': '['.repeat(500_000),
  'as deep as it may be, side by side': `[${Array.from({ length: 1500 }, () => `${'['.repeat(60)}1${']'.repeat(60)}`).join(',')}]`,
  'what wildcards fear': filled('{"ref":"refs/', 'a/', '"}', mebibyte - 100),
  'lists in lists where a trigger looks': `{"a":{"b":[${Array.from({ length: 90_000 }, (_, n) => n).join(',')}]}}`,
  'no JSON': 'x'.repeat(mebibyte - 100),
  'white space': `${' '.repeat(mebibyte - 200)}{}`,
}

describe('large input', () => {
  test(`${Object.keys(large).length} bodies and calls cost at most 50 ms of the event loop or three of the engine’s own readings, and 32 times their size`, async () => {
    const begun = performance.now()
    const { router, directory } = await target()
    const lines = new Lines(router.socket)
    const wrong: string[] = []
    let dearest = ''
    let most = 0
    // What costs more than 50 ms here is 60,000 different keys alone: the engine reads them in 20 to 36, all in all it is up to 66.
    const measured = async (
      name: string,
      text: string,
      send: () => Promise<string | undefined>,
    ): Promise<void> => {
      let cpu = Infinity
      let bytes = Infinity
      let tooDear = true
      for (let turn = 0; turn < mostTurns; turn++) {
        await router.spent(true)
        const fault = await send()
        if (fault !== undefined) wrong.push(`${name}: ${fault}`)
        const spent = await router.spent()
        const cost = Math.min(spent.cpu_ms, spent.longest_ms)
        cpu = Math.min(cpu, cost)
        bytes = Math.min(bytes, spent.bytes)
        tooDear &&= isTooDear(cost, text)
        if (turn > 0 && !tooDear && bytes <= freeBytes) break
      }
      if (tooDear) wrong.push(`${name}: ${cpu.toFixed(0)} ms of the event loop`)
      if (bytes > Math.max(freeBytes, 32 * text.length))
        wrong.push(`${name}: ${(bytes / text.length).toFixed(1)} times its size`)
      if (cpu > most) [most, dearest] = [cpu, name]
    }
    for (const [name, text] of Object.entries(large)) {
      const input = { path: '/webhook/open', method: 'POST', headers: [], body: Buffer.from(text) }
      await measured(`delivered: ${name}`, text, async () =>
        faultOfHttp(input, await raw(router.intake, post(input.path, input.body))),
      )
      await measured(`emitted: ${name}`, text, async () =>
        faultOfLine(
          await lines.call({
            method: 'event.emit',
            params: `{"source_id":"open","type":"x","payload":${text}}`,
          }),
        ),
      )
      const trigger = JSON.stringify({
        id: 't',
        filter: { payload: { ref: [{ wildcard: '*a*a*b' }] } },
        action: { bot_id: 'b', inputs: { all: '{{ payload }}' } },
      })
      await measured(`tried: ${name}`, text, async () =>
        faultOfLine(
          await lines.call({
            method: 'trigger.test',
            params: `{"trigger":${trigger},"event":{"type":"x","payload":${text}}}`,
          }),
        ),
      )
    }
    report(
      'P63',
      `large inputs; the dearest took ${most.toFixed(0)} ms (${dearest})`,
      3 * Object.keys(large).length,
      wrong.length,
      begun,
    )
    expect(wrong).toEqual([])
    await unharmed(router, directory)
  })

  test('control: what does hold the loop up is noticed', async () => {
    const directory = freshDirectory()
    const router = await faultyRouter(directory, { meter: true, control: 'slow-json.mjs' })
    expect(router.ready, router.said()).toBe(true)
    const lines = new Lines(router.socket)
    const held = hold(router, fc.constant({ method: 'rpc.health', params: '{}' }), 3, async input =>
      faultOfLine(await lines.call(input)),
    )
    await expect(held).rejects.toMatchObject({ cause: { message: expect.stringContaining('P63') as string } })
  })
})

const configurations: Record<string, string> = {
  'no JSON': '{',
  'another type': '[]',
  null: 'null',
  'an unknown key': '{"intake": "127.0.0.1:1"}',
  'a doubled key': '{"log_level":"info","log_level":"debug"}',
  'a wrong type': '{"max_active":"16"}',
  'out of bounds': '{"max_body_bytes":1}',
  'a fraction': '{"max_active":1.5}',
  __proto__: '{"__proto__":{"log_level":"silent"},"max_active":0}',
  'a block that is none': '{"egress_allow":["10.0.0.0/99"]}',
  'too large': `{"egress_allow":[${'"10.0.0.1",'.repeat(200)}"10.0.0.1"]}`,
  'bytes that are no text': '\ufffe\u0000{}',
}

describe('configurations', () => {
  test.each(Object.entries(configurations))('%s: exit code 78, and which', async (_name, text) => {
    const directory = freshDirectory()
    const path = join(directory, 'config.json')
    writeFileSync(path, text)
    const router = await faultyRouter(directory, {}, { SIGNALBOX_CONFIG: path })
    expect(router.ready).toBe(false)
    expect(await router.ended, router.said()).toBe(78)
    expect(router.said()).toMatch(/^signalbox: [^\n]{20,}\n$/)
  })

  test('edited at random: 78, or it starts', async () => {
    const good = {
      log_level: 'error',
      max_active: 4,
      egress_allow: ['10.0.0.0/8'],
      retry_schedule_ms: [0, 1000],
      json_depth: 64,
      denied_tools: ['shell'],
    }
    const edits = fc.sample(
      fc.array(fc.tuple(fc.nat(10_000), fc.nat(10_000), fc.nat(10_000)), { minLength: 1, maxLength: 3 }),
      {
        numRuns: size('SIGNALBOX_CONFIGS', 4, 300),
        seed,
      },
    )
    for (const own of edits) {
      const directory = freshDirectory()
      const path = join(directory, 'config.json')
      const text = edited(good, own)
      writeFileSync(path, text)
      const router = await faultyRouter(directory, {}, { SIGNALBOX_CONFIG: path })
      if (router.ready) router.process.kill('SIGTERM')
      expect([0, 78], `${text}: ${router.said()}`).toContain(await router.ended)
    }
  })
})
