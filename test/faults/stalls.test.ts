// What a caller, a sender or a polled server sends holds the event loop for at most 50 ms, however long it takes as a whole
// (P67). The processor time between two turns is measured in the router, beside the engine's own reading here and now.
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { SignalboxClient, type Methods } from '../../src/client/client.ts'
import type { PollConfig, TriggerInput } from '../../src/contract/types.ts'
import { feedServer } from '../support/feed-server.ts'
import { post, raw } from '../support/raw-http.ts'
import { freshDirectory, until } from '../support/router.ts'
import { isTooDear } from './costs.ts'
import { report } from './report.ts'
import { faultyRouter, type FaultyRouter } from './shim.ts'

interface Target {
  router: FaultyRouter
  call: <M extends keyof Methods>(method: M, params: Methods[M]['params']) => Promise<Methods[M]['result']>
}

const mostTries = 4
const limit = { timeout: 180_000 }
const list = <T>(length: number, make: (index: number) => T): T[] =>
  Array.from({ length }, (_, index) => make(index))

async function target(control?: string): Promise<Target> {
  const directory = freshDirectory()
  const config = join(directory, 'config.json')
  writeFileSync(
    config,
    JSON.stringify({ poll_min_interval_ms: 1, rate_limit: 1_000_000, max_open_runs: 1_000_000 }),
  )
  const env = { SIGNALBOX_LOG_LEVEL: 'error', SIGNALBOX_CONFIG: config }
  const router = await faultyRouter(
    directory,
    control === undefined ? { meter: true } : { meter: true, control },
    env,
  )
  expect(router.ready, router.said()).toBe(true)
  const client = await SignalboxClient.connect(router.socket)
  onTestFinished(() => client.close())
  const call: Target['call'] = (method, params) => client.call(method, params)
  await call('router.pause', { reason: 'stalls' })
  await call('bot.put', { bot: { id: 'b', endpoint: { kind: 'pull' } } })
  await call('source.put', { source: { id: 'svc', source_type: 'service', config: {} } })
  await call('source.put', {
    source: { id: 'ce', source_type: 'webhook', config: { provider: 'cloudevents' } },
  })
  return { router, call }
}

/** The most processor time without a turn in ms; measured again before it is believed. */
async function longest(
  { router }: Target,
  act: () => Promise<unknown>,
  tries = mostTries,
): Promise<{ ms: number; tooDear: boolean }> {
  let shortest = Infinity
  let tooDear = true
  for (let turn = 0; turn < tries && tooDear; turn++) {
    await router.spent(true)
    // What collecting garbage took is not the input's.
    await router.spent()
    await act()
    shortest = Math.min(shortest, (await router.spent()).turn_ms)
    tooDear = isTooDear(shortest)
  }
  return { ms: shortest, tooDear }
}

async function expectTurns(to: Target, inputs: Record<string, () => Promise<unknown>>): Promise<void> {
  const begun = performance.now()
  const wrong: string[] = []
  for (const [name, act] of Object.entries(inputs)) {
    const { ms, tooDear } = await longest(to, act)
    if (tooDear) wrong.push(`${name}: ${ms.toFixed(0)} ms without a turn of the event loop`)
  }
  report('P67', Object.keys(inputs).join(', '), Object.keys(inputs).length, wrong.length, begun)
  expect(wrong).toEqual([])
  expect(to.router.said()).not.toContain('"bug"')
}

const triggers = (
  count: number,
  filter: (index: number) => TriggerInput['filter'],
  name = 't',
): TriggerInput[] =>
  list(count, index => ({ id: `${name}${index}`, filter: filter(index), action: { bot_id: 'b' } }))

/** The answers to a batch of calls. */
async function batch(
  { router }: Target,
  calls: readonly { method: keyof Methods; params: object }[],
): Promise<unknown[]> {
  const socket = connect(router.socket)
  const chunks: Buffer[] = []
  socket.on('data', chunk => chunks.push(chunk))
  socket.end(`${JSON.stringify(calls.map((each, id) => ({ jsonrpc: '2.0', id, ...each })))}\n`)
  await once(socket, 'close')
  return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown[]
}

const many = (count: number, each: string, [open, close] = ['[', ']']): string =>
  `${open}${list(count, () => each).join(',')}${close}`
const megabytes = 1_000_000

/** Answers of polled servers, of 4 MB, and how they are read. */
const polled: Record<string, [string, PollConfig?]> = {
  'numbers that keep their spelling': [many(megabytes, '1.0')],
  'brackets without end': [`${'['.repeat(2 * megabytes)}${']'.repeat(2 * megabytes)}`],
  'depth, side by side': [many(33_000, `${'['.repeat(60)}1${']'.repeat(60)}`)],
  'one item of keys': [`[{${list(200_000, n => `"k${n}":1.0`).join(',')}}]`],
  'many items': [
    `[${list(40_000, n => `{"id":${n},"title":"the title of an item that has one","n":1.0}`).join(',')}]`,
    { key: '{{ item.id }}' },
  ],
  'a list in an object': [`{"list":${many(900_000, '1.0')}}`, { items: '{{ answer.list }}' }],
  'an expression': [
    `{"list":[${list(30_000, n => `{"id":${n},"x":"${'x'.repeat(90)}"}`).join(',')}]}`,
    { items: '{{ $filter(answer.list, function($v){ $v.id < 3 }) }}' },
  ],
  'lines of numbers': ['1.0\n'.repeat(megabytes), { format: 'json_lines' }],
  'short lines': ['a\n'.repeat(2 * megabytes), { format: 'lines' }],
}

describe('what is polled', () => {
  let sources = 0
  async function polls(to: Target, url: string, config: PollConfig = {}): Promise<void> {
    const id = `poll${sources++}`
    await to.call('source.put', {
      source: {
        id,
        source_type: 'poll',
        config: { url, interval_ms: 3_600_000, skip_first: true, ...config },
      },
    })
    await until(async () => {
      const { source } = await to.call('source.get', { source_id: id })
      return source.health?.read_at !== undefined || source.health?.error !== undefined
    })
    await to.call('source.delete', { source_id: id })
  }

  test('answers of 4 MB cost at most 50 ms at a time', limit, async () => {
    const to = await target()
    const server = await feedServer((_path, _headers, response) => void response.end('[]'))
    // The first exchange of a router loads its client, for 60 ms, whatever is read.
    await polls(to, server.url)
    const inputs = Object.entries(polled).map(([name, [text, config]]) => {
      const act = async (): Promise<void> => {
        server.answer = (_path, _headers, response) => void response.end(text)
        await polls(to, server.url, config)
      }
      return [name, act] as const
    })
    const link = '<'.repeat(15_000)
    const linked = async (): Promise<void> => {
      server.answer = (_path, _headers, response) => void response.setHeader('link', link).end('[]')
      await polls(to, server.url)
    }
    await expectTurns(to, { ...Object.fromEntries(inputs), 'a Link header of brackets': linked })
  })
})

const payload = {
  list: list(9000, id => ({
    id,
    author: 1,
    state: 'open',
    title: `title number ${id} of the list`,
    tag: 'x'.repeat(20),
  })),
}
const misses = (index: number): TriggerInput['filter'] => ({
  type: ['push'],
  payload: { list: { id: [{ numeric: ['>', 100_000 + index] }], state: ['closed'] }, titel: [1] },
})

/** A router with 1,000 triggers that miss an event of 0.9 MB. */
async function explained(control?: string): Promise<Target & { event_id: string }> {
  const to = await target(control)
  const { event_id } = await to.call('event.emit', { source_id: 'svc', type: 'push', payload })
  await to.call('router.apply', { triggers: triggers(1000, misses) })
  return { ...to, event_id }
}

describe('calls that take long', () => {
  test('event.explain over 1,000 triggers, alone and in batches', limit, async () => {
    const { event_id, ...to } = await explained()
    const fifty = (method: keyof Methods, params: object) => (): Promise<unknown> =>
      batch(
        to,
        list(50, () => ({ method, params })),
      )
    await expectTurns(to, {
      'event.explain': () => to.call('event.explain', { event_id }),
      '50 times event.explain': fifty('event.explain', { event_id, trigger_id: 't1' }),
      '50 times trigger.test': fifty('trigger.test', { event_id, trigger_id: 't1' }),
      '50 times event.get': fifty('event.get', { event_id }),
      '50 times router.export': fifty('router.export', {}),
      '50 times rpc.discover': fifty('rpc.discover', {}),
      '50 previews': fifty('source.preview', {
        expression: '0 0 29 2 1',
        timezone: 'America/New_York',
        count: 100,
      }),
      '50 previews of what never comes': fifty('source.preview', { expression: '0 0 31 2 *' }),
      'trigger.test of 250 ways': () =>
        to.call('trigger.test', {
          filter: {
            $or: list(250, index => ({ payload: { list: { id: [-index - 1], author: [index + 2] } } })),
          },
          event_id,
        }),
      'event.query with a filter': () =>
        to.call('event.query', { filter: { payload: { list: { id: [-1] } } }, limit: 500 }),
    })
  })

  test('control: work that does not let the loop turn is noticed', limit, async () => {
    const { event_id, ...to } = await explained('no-turns.mjs')
    expect(await longest(to, () => to.call('event.explain', { event_id }), 3)).toMatchObject({
      tooDear: true,
    })
  })

  test('router.apply and event.register of many definitions', limit, async () => {
    const to = await target()
    let round = 0
    const filter = (index: number): TriggerInput['filter'] => ({
      type: ['push'],
      payload: { n: [round, index], m: [{ prefix: `x${index}` }] },
    })
    const apply =
      (more: Partial<Methods['router.apply']['params']> = {}) =>
      (): Promise<unknown> => {
        round++
        return to.call('router.apply', { triggers: triggers(2000, filter), ...more })
      }
    const others = (): Promise<unknown> => {
      round++
      return to.call('router.apply', {
        bots: list(1000, n => ({
          id: `b${n}`,
          endpoint: { kind: 'pull' as const },
          max_active: 1 + (round % 9),
        })),
        sources: list(1000, n => ({
          id: `s${n}`,
          source_type: 'cron' as const,
          config: { expression: `${round % 60} 0 29 2 *`, timezone: 'Europe/Berlin' },
        })),
      })
    }
    await expectTurns(to, {
      '2,000 triggers': apply(),
      'a dry run': apply({ dry_run: true }),
      '1,000 bots and 1,000 schedules': others,
      'event.register': () => {
        round++
        return to.call('event.register', {
          source: { id: 'svc', source_type: 'service', config: {} },
          triggers: triggers(1000, filter, 'r'),
        })
      },
    })
  })
})

describe('events that come together', () => {
  test('CloudEvents in batches, with 10 triggers for each', limit, async () => {
    const to = await target()
    await to.call('router.apply', { triggers: triggers(10, () => ({ payload: { n: [{ exists: true }] } })) })
    let id = 0
    const deliver = async (): Promise<void> => {
      const events = list(1000, () => ({
        specversion: '1.0',
        id: `e${id++}`,
        source: 's',
        type: 't',
        data: { n: id },
      }))
      const body = JSON.stringify(events)
      const answer = await raw(
        to.router.intake,
        post('/webhook/ce', body, ['Content-Type: application/cloudevents-batch+json']),
      )
      expect(answer.status, answer.body).toBe(202)
    }
    await expectTurns(to, { '1,000 CloudEvents': deliver })
  })
})
