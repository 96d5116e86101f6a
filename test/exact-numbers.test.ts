// Numbers keep their digits at every place where values come out of a real router.
import fc from 'fast-check'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import {
  ExactNumber,
  SignalboxClient,
  type LoggedEvent,
  type Methods,
  type Policy,
} from '../src/client/client.ts'
import { botServer, type BotServer } from './support/bot-server.ts'
import { signalbox } from './support/command-line.ts'
import { exactly, oddJson, oddNumbers, resultText, written } from './support/exact-numbers.ts'
import { feedServer, type FeedServer } from './support/feed-server.ts'
import { ended, freshDirectory, freshRouter, until, type TestRouter } from './support/router.ts'
import { rpcService, type RpcService } from './support/rpc-service.ts'

const two = ['813683310949021977', '813683310949021978'] as const
const everyInput = '{"all":"{{ payload }}","v":"{{ payload.v }}","text":"v={{ payload.v }}","fixed":10.00}'

interface World {
  router: TestRouter
  bot: BotServer
  service: RpcService
  feed: FeedServer
  logged: LoggedEvent[]
  rpc: (method: keyof Methods, params: string) => Promise<Record<string, unknown>>
}

/** The member at a path, as it is written. */
function at(value: unknown, ...path: (string | number)[]): string {
  return JSON.stringify(
    path.reduce<unknown>((inner, step) => (inner as Record<string | number, unknown>)[step], value),
  )
}

async function world(fresh: typeof freshRouter = freshRouter): Promise<World> {
  const router = await fresh({ poll_min_interval_ms: 20 })
  const [bot, feed] = [await botServer(), await feedServer(() => undefined)]
  const service = await rpcService(
    'newline',
    ({ id }) => `{"jsonrpc":"2.0","id":"${String(id)}","result":{"n":[10.00,${two[0]}]}}`,
  )
  const rpc: World['rpc'] = async (method, params) =>
    exactly(await resultText(router.router.socket, method, params)) as Record<string, unknown>
  const endpoints: [string, object][] = [
    ['chain', { kind: 'emit', source_id: 'second' }],
    ['cmd', { kind: 'command', argv: ['cat'] }],
    ['plain', { kind: 'http', url: bot.url }],
    ['pull', { kind: 'pull' }],
    [
      'rpc',
      {
        kind: 'unix_rpc',
        socket_path: service.socket_path,
        framing: 'newline',
        method: 'm',
        params: { p: '{{ event.payload }}', v: '{{ inputs.v }}' },
      },
    ],
    [
      'shaped',
      {
        kind: 'http',
        url: bot.url,
        body: { shaped: '{{ event.payload }}', v: '{{ inputs.v }}', text: '{{ inputs.text }}' },
      },
    ],
  ]
  for (const id of ['svc', 'second'])
    await router.call('source.put', { source: { id, source_type: 'service' } })
  await router.call('source.put', {
    source: { id: 'ce', source_type: 'webhook', config: { provider: 'cloudevents' } },
  })
  for (const [id, endpoint] of endpoints) {
    await router.call('bot.put', { bot: { id, endpoint } as never })
    const filter = '{"type":["x"]}'
    await rpc(
      'trigger.put',
      `{"trigger":{"id":"${id}","event_source_id":"svc","filter":${filter},"action":{"bot_id":"${id}","inputs":${everyInput}}}}`,
    )
  }
  const reading = await SignalboxClient.connect(router.router.socket, { read: exactly })
  onTestFinished(() => reading.close())
  const logged: LoggedEvent[] = []
  await reading.subscribe({ whole: true }, told => void logged.push(told))
  return { router, bot, service, feed, logged, rpc }
}

type Places = Record<string, string>

/** What comes out of every place for one payload that goes in. */
async function places(
  { router, bot, service, feed, logged, rpc }: World,
  payload: string,
  round: number,
): Promise<Places> {
  const [called, sent] = [service.texts.length, bot.received.length]
  const emitted = await rpc('event.emit', `{"source_id":"svc","type":"x","payload":${payload}}`)
  const { event_id, runs } = emitted as unknown as Methods['event.emit']['result']
  const [chain, cmd, , pull, call] = runs as [string, string, string, string, string, string]
  await bot.nth(sent + 2)
  const bodies = bot.received.slice(sent).map(({ body }) => exactly(body) as Record<string, unknown>)
  const [plain, shaped] = [bodies.find(body => 'run' in body), bodies.find(body => 'shaped' in body)]
  for (const run of [chain, cmd, call]) await ended(router, run)
  const { leases } = await rpc('run.claim', '{"bot_id":"pull","wait_ms":5000}')
  const [{ lease_token, delivery }] = leases as [{ lease_token: string; delivery: unknown }]
  await rpc('run.complete', `{"run_id":"${pull}","lease_token":"${lease_token}","result":${payload}}`)
  const told = await until(async () => logged.find(({ event }) => event.id === event_id))
  const second = await rpc('event.query', '{"source_id":"second","limit":1}')
  const chained = await rpc('event.get', `{"event_id":"${(second.events as { id: string }[])[0]!.id}"}`)
  const echoed = await rpc('run.get', `{"run_id":"${cmd}"}`)
  const tested = await rpc(
    'trigger.test',
    `{"event_id":"${event_id}","trigger":{"filter":{"type":["x"]},"action":{"inputs":${everyInput}}}}`,
  )
  const drafted = await rpc(
    'trigger.test',
    `{"event":{"type":"x","payload":${payload}},"trigger":{"filter":{"type":["x"]},"action":{"inputs":${everyInput}}}}`,
  )
  await rpc(
    'trigger.put',
    `{"trigger":{"id":"kept-${round}","filter":{"type":["y"]},"action":{"bot_id":"pull","inputs":{"p":${payload}}}}}`,
  )
  const exported = await rpc('router.export', '{}')
  const versions = await rpc('trigger.versions', `{"trigger_id":"kept-${round}"}`)
  feed.answer = (_path, _headers, response) => void response.end(`[${payload}]`)
  await router.call('source.put', {
    source: {
      id: `feed-${round}`,
      source_type: 'poll',
      config: { url: feed.url, interval_ms: 20, subject: 'v={{ item.v }}' },
    },
  })
  const item = await until(async () => logged.find(({ event }) => event.source_id === `feed-${round}`))
  await router.call('source.delete', { source_id: `feed-${round}` })
  const envelope = `{"specversion":"1.0","id":"${round}","source":"s","type":"x","data":${payload}}`
  const taken = await router.post('ce', envelope, { 'content-type': 'application/cloudevents+json' })
  const event = await rpc('event.get', `{"event_id":"${taken.body.event_id as string}"}`)
  return {
    'event.get': at(await rpc('event.get', `{"event_id":"${event_id}"}`), 'payload'),
    'event.subscribe': at(told, 'event', 'payload'),
    'http event': at(plain, 'event', 'payload'),
    'http inputs': at(plain, 'inputs', 'all'),
    'http constant': at(plain, 'inputs', 'fixed'),
    'http body': at(shaped, 'shaped'),
    'http body value': at(shaped, 'v'),
    'http body text': at(shaped, 'text'),
    'unix_rpc params': at(exactly(service.texts[called]!), 'params', 'p'),
    'unix_rpc value': at(exactly(service.texts[called]!), 'params', 'v'),
    'unix_rpc result': at(await rpc('run.get', `{"run_id":"${call}"}`), 'run', 'result', 'n'),
    'command input and result': at(echoed, 'run', 'result', 'event', 'payload'),
    emit: at(chained, 'payload', 'all'),
    'worker delivery': at(delivery, 'event', 'payload'),
    'worker inputs': at(delivery, 'inputs', 'all'),
    'worker result': at(await rpc('run.get', `{"run_id":"${pull}"}`), 'run', 'result'),
    'trigger.test of a stored event': at(tested, 'inputs', 'all'),
    'trigger.test of a draft': at(drafted, 'inputs', 'all'),
    'trigger.get': at(
      await rpc('trigger.get', `{"trigger_id":"kept-${round}"}`),
      'trigger',
      'action',
      'inputs',
      'p',
    ),
    'trigger.versions': at(versions, 'versions', 0, 'trigger', 'action', 'inputs', 'p'),
    'router.export': JSON.stringify(
      (exported.triggers as { id: string; action: { inputs: { p: unknown } } }[]).find(
        ({ id }) => id === `kept-${round}`,
      )!.action.inputs.p,
    ),
    'poll item': at(item, 'event', 'payload'),
    'poll subject': at(item, 'event', 'subject'),
    'CloudEvents data': at(event, 'payload'),
  }
}

/** What should. */
function expected(payload: string): Places {
  const [all, value] = [written(payload), at(exactly(payload), 'v')]
  const texts: Places = {
    'http body text': `"v=${value}"`,
    'poll subject': `"v=${value}"`,
    'http constant': '10.00',
    'unix_rpc result': `[10.00,${two[0]}]`,
  }
  const name = (place: string): string => texts[place] ?? (place.endsWith(' value') ? value : all)
  return new Proxy({}, { get: (_target, place) => name(String(place)) })
}

const payloads = fc
  .tuple(fc.constantFrom('', '"v":1,', '"v":{"v":2.0}, '), oddNumbers, oddJson)
  .map(([before, number, rest]) => `{${before}"v":${number},"x":${rest}}`)
  .filter(text => !text.includes('{{') && !text.includes('}}') && !/[\u007f-\uffff\\]/.test(text))

test('every number of every payload, at every place', { timeout: 60_000 }, async () => {
  const all = await world()
  let round = 0
  await fc.assert(
    fc.asyncProperty(payloads, async payload => {
      const wanted = expected(payload)
      const found = await places(all, payload, ++round)
      expect(found).toEqual(Object.fromEntries(Object.keys(found).map(place => [place, wanted[place]])))
    }),
    { numRuns: 12 },
  )
})

test('control: with JSON.parse in its place digits are lost', { timeout: 60_000 }, async () => {
  const parse = (text: string): unknown => JSON.parse(text)
  vi.resetModules()
  vi.doMock('../src/exact-json.ts', async original => ({
    ...(await original<object>()),
    exactJson: parse,
    bothJson: (text: string) => ({ plain: parse(text), exact: parse(text) }),
  }))
  onTestFinished(() => {
    vi.doUnmock('../src/exact-json.ts')
  })
  const { freshRouter: fresh } = await import('./support/router.ts')
  const payload = `{"v":${two[0]},"x":10.00}`
  const found = await places(await world(fresh), payload, 1)
  const kept = Object.keys(found).filter(place => found[place] === expected(payload)[place])
  // What stays is text that nobody reads on its way.
  expect(kept).toEqual(['http event'])
})

describe('keys', () => {
  /** Emits events of two ids and one that is spelled twice, and answers what became of each. */
  async function outcomes(policy: Policy): Promise<string[]> {
    const router = await freshRouter()
    await router.call('source.put', { source: { id: 'svc', source_type: 'service' } })
    await router.call('bot.put', { bot: { id: 'b', endpoint: { kind: 'pull' } } })
    await router.call('trigger.put', {
      trigger: { id: 't', event_source_id: 'svc', filter: { type: ['x'] }, action: { bot_id: 'b' }, policy },
    })
    for (const id of [...two, '10', '10.00', '1e1'])
      await resultText(
        router.router.socket,
        'event.emit',
        `{"source_id":"svc","type":"x","payload":{"id":${id}}}`,
      )
    const { events } = await router.call('event.query', { source_id: 'svc' })
    const all = await Promise.all(
      events.toReversed().map(({ id }) => router.call('event.get', { event_id: id })),
    )
    return all.map(({ decisions }) => decisions![0]!.outcome)
  }
  const key = '{{ payload.id }}'

  test.each([
    ['singleton', { singleton: { key, on_conflict: 'skip' } }, 'singleton_skipped'],
    ['debounce', { debounce: { key, period_ms: 60_000 } }, 'debounced'],
    ['batch', { batch: { key, max: 10, timeout_ms: 60_000 } }, 'batched'],
    ['rate_limit', { rate_limit: { key, limit: 1, period_ms: 60_000 } }, 'rate_limited'],
  ] as [string, Policy, string][])(
    '%s: two ids are two keys, 10 and 10.00 are one',
    async (_name, policy, outcome) => {
      const [first, second, ...others] = await outcomes(policy)
      expect([first, second, ...others.toSorted()]).toEqual([
        'routed',
        'routed',
        ...['routed', outcome, outcome].toSorted(),
      ])
    },
  )

  test.each([
    ['order_key', { order_key: key }],
    ['concurrency', { concurrency: { key, limit: 1 } }],
    ['throttle', { throttle: { key, limit: 1, period_ms: 3_600_000 } }],
  ] as [string, Policy][])('%s: the second id does not wait for the first', async (_name, policy) => {
    const router = await freshRouter()
    await router.call('source.put', { source: { id: 'svc', source_type: 'service' } })
    await router.call('bot.put', { bot: { id: 'b', endpoint: { kind: 'pull' }, max_active: 10 } })
    await router.call('trigger.put', {
      trigger: { id: 't', event_source_id: 'svc', filter: { type: ['x'] }, action: { bot_id: 'b' }, policy },
    })
    const ids = [...two, '10', '10.00'].map(id => new ExactNumber(id))
    for (const id of ids) await router.call('event.emit', { source_id: 'svc', type: 'x', payload: { id } })
    const { leases } = await router.call('run.claim', { bot_id: 'b', max: 10, wait_ms: 5000 })
    const given = leases.map(({ delivery }) =>
      JSON.stringify((delivery as unknown as { event: { payload: { id: unknown } } }).event.payload.id),
    )
    expect(given.toSorted()).toEqual(['10', ...two])
  })

  test('of polls: items of two ids are two, and stay two', async () => {
    const feed = await feedServer(
      (_path, _headers, response) =>
        void response.end(`[{"id":${two[0]}},{"id":${two[1]}},{"id":10},{"id":10.0}]`),
    )
    const { router, logged } = {
      router: await freshRouter({ poll_min_interval_ms: 20 }),
      logged: [] as string[],
    }
    const config = { url: feed.url, interval_ms: 20, key: '{{ item.id }}' }
    await router.call('source.put', { source: { id: 'feed', source_type: 'poll', config } })
    await until(async () => feed.requests.length > 3)
    const { events } = await router.call('event.query', { source_id: 'feed' })
    for (const { id } of events)
      logged.push(JSON.stringify((await router.call('event.get', { event_id: id })).payload))
    expect(logged.toSorted()).toEqual(['{"id":10}', `{"id":${two[0]}}`, `{"id":${two[1]}}`].toSorted())
  })
})

describe('filters', () => {
  const filter = `{"payload":{"id":[${two[1]},10.0]}}`
  const trigger = `{"id":"t","event_source_id":"svc","filter":${filter},"action":{"bot_id":"b"}}`

  async function routing(): Promise<{ router: TestRouter; rpc: World['rpc']; ids: string[] }> {
    const router = await freshRouter()
    const rpc: World['rpc'] = async (method, params) =>
      exactly(await resultText(router.router.socket, method, params)) as Record<string, unknown>
    await router.call('source.put', { source: { id: 'svc', source_type: 'service' } })
    await router.call('bot.put', { bot: { id: 'b', endpoint: { kind: 'pull' } } })
    await rpc('trigger.put', `{"trigger":${trigger}}`)
    const ids: string[] = []
    for (const id of [...two, '10', '10.00', '1e400'])
      ids.push(
        (await rpc('event.emit', `{"source_id":"svc","type":"x","payload":{"id":${id}}}`)).event_id as string,
      )
    return { router, rpc, ids }
  }

  test('match, query, explain and show the exact value', async () => {
    const { router, rpc, ids } = await routing()
    const matched = await Promise.all(
      ids.map(async event_id => (await router.call('event.get', { event_id })).matched_triggers!.length),
    )
    expect(matched).toEqual([0, 1, 1, 1, 0])
    const { events } = await rpc('event.query', `{"filter":${filter}}`)
    expect((events as { id: string }[]).map(({ id }) => id)).toEqual([ids[3], ids[2], ids[1]])
    const explained = await rpc('event.explain', `{"event_id":"${ids[0]}","trigger_id":"t"}`)
    expect(at(explained, 'decisions', 0, 'conditions', 0, 'found')).toBe(`[${two[0]}]`)
    expect(at(explained, 'decisions', 0, 'conditions', 0, 'expected')).toBe(two[1])
    expect(at(await rpc('trigger.get', '{"trigger_id":"t"}'), 'trigger', 'filter')).toBe(filter)
  })

  test('are the same in the thread of a backtest', async () => {
    const { rpc } = await routing()
    const { matched, scanned } = await rpc(
      'trigger.backtest',
      `{"trigger":${trigger.replace('10.0', '1e400')}}`,
    )
    expect([scanned, matched]).toEqual([5, 2])
  })

  test('are the same after a restart, and in files', async () => {
    const directory = freshDirectory()
    const first = await freshRouter({ state_dir: directory, socket: join(directory, 'a.sock') })
    await resultText(
      first.router.socket,
      'router.apply',
      `{"bots":[{"id":"b","endpoint":{"kind":"pull"}}],"triggers":[${trigger.replace('"svc"', 'null')}]}`,
    )
    await first.router.stop()
    const second = await freshRouter({ state_dir: directory, socket: join(directory, 'b.sock') })
    const exported = exactly(await resultText(second.router.socket, 'router.export', '{}'))
    expect(at(exported, 'triggers', 0, 'filter')).toBe(filter)
    const changed = await resultText(
      second.router.socket,
      'router.apply',
      `{"triggers":[${trigger.replace('"svc"', 'null').replace('10.0', '10.00')}],"dry_run":true}`,
    )
    expect(
      JSON.stringify((exactly(changed) as { changes: { fields: unknown }[] }).changes[0]!.fields),
    ).toContain('10.00')
    await resultText(second.router.socket, 'source.put', '{"source":{"id":"svc","source_type":"service"}}')
    const emitted = await resultText(
      second.router.socket,
      'event.emit',
      `{"source_id":"svc","type":"x","payload":{"id":${two[1]}}}`,
    )
    expect(at(exactly(emitted), 'matched_triggers')).toBe('["t"]')
  })
})

test('events that people fire keep digits', async () => {
  const { router } = await freshRouter()
  const rpc: World['rpc'] = async (method, params) =>
    exactly(await resultText(router.socket, method, params)) as Record<string, unknown>
  await rpc(
    'source.put',
    '{"source":{"id":"m","source_type":"manual","config":{"payload":{"a":10.00,"b":1}}}}',
  )
  await rpc(
    'source.put',
    '{"source":{"id":"c","source_type":"cron","config":{"expression":"0 0 1 1 *","payload":{"a":-0}}}}',
  )
  const payloadOf = async (event_id: unknown): Promise<string> =>
    at(await rpc('event.get', `{"event_id":"${event_id as string}"}`), 'payload')
  const fired = await rpc('source.fire', `{"source_id":"m","payload":{"b":${two[0]}}}`)
  expect(await payloadOf(fired.event_id)).toBe(`{"a":10.00,"b":${two[0]}}`)
  expect(
    await payloadOf((await rpc('source.fire', '{"source_id":"c","payload":{"n":1e400}}')).event_id),
  ).toMatch(/^\{"a":-0,.*"n":1e400/)
})

test('a path keeps digits, JSONata computes with doubles', async () => {
  const { router } = await freshRouter()
  const scope = `{"id":${two[0]},"price":10.00,"list":[{"id":${two[1]},"price":2.50}]}`
  const cases: Record<string, string> = {
    '{{ payload.id }}': two[0],
    '{{ payload.price }}': '10.00',
    'x {{ payload.price }} {{ payload.id }}': `"x 10.00 ${two[0]}"`,
    '{{ payload.price + 1 }}': '11',
    '{{ payload.id & "!" }}': `"${two[0]}!"`,
    '{{ $type(payload.id) }}': '"string"',
    '{{ payload.list.id }}': `"${two[1]}"`,
    '{{ payload.list.price }}': '2.5',
  }
  const inputs = JSON.stringify(Object.fromEntries(Object.keys(cases).map(template => [template, template])))
  const trigger = `{"filter":{"payload":{"price":[{"exists":true}]}},"action":{"inputs":${inputs}}}`
  const tested = exactly(
    await resultText(router.socket, 'trigger.test', `{"event":{"payload":${scope}},"trigger":${trigger}}`),
  )
  expect(
    Object.fromEntries(Object.keys(cases).map(template => [template, at(tested, 'inputs', template)])),
  ).toEqual(cases)
})

describe('the command line', () => {
  const payload = `{"id":${two[0]},"price":10.00,"huge":1e400,"zero":-0}`
  const definitions = `sources: [{id: svc, source_type: service}]
bots: [{id: b, endpoint: {kind: pull}}]
triggers:
  - id: t
    event_source_id: svc
    filter: {type: [x]}
    action: {bot_id: b, inputs: {all: "{{ payload }}", n: [${two[0]}, 10.00, 0x1FFFFFFFFFFFFFFF, +5], ${two[1]}: 1}}
`

  test('events, definitions and files keep every digit', { timeout: 60_000 }, async () => {
    const router = await freshRouter()
    const run = async (...args: string[]): Promise<string> => {
      const { code, out, err } = await signalbox(router, args)
      expect([code, err]).toEqual([0, ''])
      return out
    }
    writeFileSync(join(router.directory, 'all.yaml'), definitions)
    await run('apply', '-f', join(router.directory, 'all.yaml'), '--yes')
    const constants = `[${two[0]},10.00,2305843009213693951,5]`
    const exported = await run('export')
    expect(exported).toContain(`- ${two[0]}\n          - 10.00\n          - 2305843009213693951\n`)
    expect(exported).toContain(`"${two[1]}": 1`)
    writeFileSync(join(router.directory, 'all.yaml'), exported)
    expect(await run('apply', '-f', join(router.directory, 'all.yaml'), '--dry-run')).toContain(
      '0 created, 0 changed, 0 deleted',
    )
    await run('emit', 'svc', 'x', '--payload', payload)
    expect(at(exactly(await run('events', 'show', 'last', '--json')), 'payload')).toBe(payload)
    expect(at(exactly(await run('events', 'save', 'last', '-')), 'payload')).toBe(payload)
    const tested = exactly(await run('test', '-t', 't', '-e', 'last', '--json'))
    expect([at(tested, 'inputs', 'all'), at(tested, 'inputs', 'n')]).toEqual([payload, constants])
    const called = exactly(await run('rpc', 'run.claim', '{"bot_id":"b"}', '--json'))
    expect(at(called, 'leases', 0, 'delivery', 'inputs', 'n')).toBe(constants)
  })

  test('cases compare exact values', async () => {
    const directory = join((await freshRouter()).directory, 'cases')
    mkdirSync(join(directory, 'samples'), { recursive: true })
    writeFileSync(join(directory, 'all.yaml'), definitions)
    writeFileSync(join(directory, 'samples/x.json'), `{"source_id":"svc","type":"x","payload":${payload}}`)
    const expecting = (id: string): string => `cases:
  - event: samples/x.json
    expect: {t: {inputs: {all: {id: ${id}, price: 10, huge: 1e400, zero: 0}, n: [${two[0]}, 1e1, 2305843009213693951, 5.0], "${two[1]}": 1}}}
`
    writeFileSync(join(directory, 'x.test.yaml'), expecting(two[0]))
    expect(await signalbox({ directory }, ['test', '-f', directory])).toMatchObject({
      code: 0,
      out: expect.stringContaining('1 passed') as string,
    })
    writeFileSync(join(directory, 'x.test.yaml'), expecting(two[1]))
    expect(await signalbox({ directory }, ['test', '-f', directory])).toMatchObject({
      code: 1,
      out: expect.stringContaining(`inputs.all.id: expected ${two[1]}, found ${two[0]}`) as string,
    })
  })
})
