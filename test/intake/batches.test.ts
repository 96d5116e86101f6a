// Batches: one that is taken is answered completely; a larger one is refused as a whole, before anything is stored.
import { once } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { describe, expect, test } from 'vitest'
import type { Methods, TriggerInput } from '../../src/contract/types.ts'
import { Registry } from '../../src/routing/registry.ts'
import { Payload } from '../../src/routing/payload.ts'
import { freshRouter, type TestRouter } from '../support/router.ts'

interface Answer {
  id: number
  result?: Record<string, unknown>
  error?: { code: number; message: string }
}

const list = <T>(length: number, make: (index: number) => T): T[] =>
  Array.from({ length }, (_, index) => make(index))

async function batch<T = Answer[]>(
  { router }: TestRouter,
  calls: readonly { method: keyof Methods; params: object }[],
): Promise<T> {
  const socket = connect(router.socket)
  socket.write(`${JSON.stringify(calls.map((each, id) => ({ jsonrpc: '2.0', id, ...each })))}\n`)
  const [line] = (await once(createInterface(socket), 'line')) as [string]
  socket.destroy()
  return JSON.parse(line) as T
}

const emit = (index: number): { method: 'event.emit'; params: object } => ({
  method: 'event.emit',
  params: { source_id: 'svc', type: 't', payload: index },
})
const stored = async ({ call }: TestRouter): Promise<number> =>
  (await call('event.query', { limit: 500 })).events.length

describe('batches of calls', () => {
  test('of 50 calls all are answered, of 51 none is made', async () => {
    const router = await freshRouter()
    await router.call('source.put', { source: { id: 'svc', source_type: 'service', config: {} } })
    const refused = await batch<Answer>(router, list(51, emit))
    expect(refused).toMatchObject({
      id: null,
      error: { code: -32004, message: expect.stringContaining('at most 50 requests; found 51') as string },
    })
    expect(await stored(router)).toBe(0)
    const answers = await batch(router, list(50, emit))
    expect(answers.map(({ id, result }) => [id, typeof result?.event_id])).toEqual(
      list(50, id => [id, 'string']),
    )
    expect(await stored(router)).toBe(50)
  })

  test('answers beyond 8 MiB are not read; what writes is done', async () => {
    const router = await freshRouter()
    await router.call('source.put', { source: { id: 'svc', source_type: 'service', config: {} } })
    const { event_id } = await router.call('event.emit', {
      source_id: 'svc',
      type: 'big',
      payload: 'x'.repeat(900_000),
    })
    const reads = list(20, () => ({ method: 'event.get' as const, params: { event_id } }))
    const answers = await batch(router, [...reads, emit(1), emit(2)])
    expect(answers.map(({ id }) => id)).toEqual(list(22, id => id))
    const refused = answers.filter(({ error }) => error !== undefined)
    expect(refused.length).toBeGreaterThan(5)
    for (const { error } of refused)
      expect(error).toMatchObject({
        code: -32004,
        message: expect.stringContaining('at most 8388608 bytes') as string,
      })
    expect(answers.slice(-2).every(({ result }) => result?.event_id !== undefined)).toBe(true)
    expect(await stored(router)).toBe(3)
  })

  test('calls that wait do not hold up those behind them', async () => {
    const router = await freshRouter()
    await router.call('bot.put', { bot: { id: 'b', endpoint: { kind: 'pull' } } })
    await router.call('source.put', { source: { id: 'svc', source_type: 'service', config: {} } })
    await router.call('trigger.put', {
      trigger: { id: 't', filter: { type: ['t'] }, action: { bot_id: 'b' } },
    })
    const claim = { method: 'run.claim' as const, params: { bot_id: 'b', wait_ms: 20_000 } }
    const [claimed, emitted] = await batch(router, [claim, emit(1)])
    expect(claimed!.result).toMatchObject({ leases: [{ run_id: (emitted!.result!.runs as string[])[0] }] })
  })
})

describe('batches of CloudEvents', () => {
  const type = { 'content-type': 'application/cloudevents-batch+json' }
  const events = (count: number): string =>
    JSON.stringify(
      list(count, id => ({ specversion: '1.0', id: `e${id}`, source: 's', type: 't', data: { n: id } })),
    )

  async function listening(triggers: number): Promise<TestRouter> {
    const router = await freshRouter()
    await router.call('router.pause', { reason: 'nothing is to run' })
    await router.call('bot.put', { bot: { id: 'b', endpoint: { kind: 'pull' } } })
    await router.call('source.put', {
      source: { id: 'ce', source_type: 'webhook', config: { provider: 'cloudevents' } },
    })
    await router.call('router.apply', {
      triggers: list(triggers, n => ({ id: `t${n}`, filter: { type: ['t'] }, action: { bot_id: 'b' } })),
    })
    return router
  }

  test('1,001 events are refused with 413, and none is stored', async () => {
    const router = await listening(0)
    const answer = await router.post('ce', events(1001), type)
    expect(answer).toMatchObject({
      status: 413,
      body: { detail: expect.stringContaining('at most 1000 CloudEvents; found 1001') as string },
    })
    expect(await stored(router)).toBe(0)
  })

  test('events that start more than 10,000 runs are refused with 413', async () => {
    const router = await listening(21)
    const answer = await router.post('ce', events(500), type)
    const detail = 'must start at most 10000 runs; these 500 would start 10500'
    expect(answer).toMatchObject({ status: 413, body: { detail: expect.stringContaining(detail) as string } })
    expect(await stored(router)).toBe(0)
    const taken = await router.post('ce', events(400), type)
    expect(taken.status).toBe(202)
    expect((taken.body.events as { runs: string[] }[]).map(({ runs }) => runs.length)).toEqual(
      list(400, () => 21),
    )
  })
})

describe('many triggers at once', () => {
  const trigger = (id: string, n: number, enabled = true): TriggerInput => ({
    id,
    enabled,
    filter: { payload: { n: [n] } },
    action: { bot_id: 'b' },
  })
  const event = {
    id: 'e',
    source_id: 's',
    type: 't',
    subject: null,
    actor: null,
    thread: null,
    timestamp: 0,
    headers: {},
  }
  const change = (definition: TriggerInput | null, id = definition!.id) => ({
    noun: 'trigger' as const,
    id,
    definition,
    at: 0,
  })
  const stamps = (count: number): { version: number; created_at: number; updated_at: number }[] =>
    list(count, () => ({ version: 7, created_at: 1, updated_at: 2 }))
  const made = (): Registry =>
    new Registry({ bot_max_active: 1, limits: { json_depth: 64, json_tokens: 1000 }, subject_paths: [] })
  const matched = (registry: Registry, n: number): string[] =>
    registry.match(event, Payload.of({ n })).matched.map(({ id, version }) => `${id} v${version}`)

  test('count together, once they are applied', async () => {
    const registry = made()
    registry.apply([change(trigger('stays', 1)), change(trigger('goes', 1))], stamps(2))
    const changes = [
      change(null, 'goes'),
      change(trigger('off', 1, false)),
      ...list(20, n => change(trigger(`new${n}`, n))),
    ]
    const prepared = await registry.prepare(changes)
    expect(matched(registry, 1)).toEqual(['goes v7', 'stays v7'])
    if ('reason' in prepared) throw new Error(prepared.reason)
    registry.apply(changes, [null, ...stamps(21)], prepared)
    expect(matched(registry, 1)).toEqual(['new1 v7', 'stays v7'])
    expect(registry.triggers.get('off')).toMatchObject({ enabled: false, version: 7 })
    expect([registry.triggers.has('goes'), registry.triggers.get('new3')?.created_at]).toEqual([false, 1])
  })

  test('are made one by one where others changed meanwhile', async () => {
    const registry = made()
    const changes = list(20, n => change(trigger(`new${n}`, n)))
    const prepared = await registry.prepare(changes)
    registry.apply([change(trigger('meanwhile', 1))], stamps(1))
    if ('reason' in prepared) throw new Error(prepared.reason)
    registry.apply(changes, stamps(20), prepared)
    expect(matched(registry, 1)).toEqual(['meanwhile v7', 'new1 v7'])
  })

  test('changes of others wait until many are done', async () => {
    const registry = made()
    const order: string[] = []
    const many = list(20, n => change(trigger(`new${n}`, n)))
    const first = registry.changing(many, async () => {
      await new Promise(resolve => setImmediate(resolve))
      order.push('many')
    })
    await registry.changing([change(trigger('one', 1))], async () => void order.push('one'))
    await first
    expect(order).toEqual(['many', 'one'])
  })
})
