// How long events of each way take to be accepted, and readings of sources that fail.
import { rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Fault } from '../../src/errors.ts'
import { measuredLog, Measures } from '../../src/observe/measures.ts'
import { metricsText } from '../../src/observe/metric-families.ts'
import { metricsOf, value } from '../support/metrics.ts'
import { parsedMetrics } from '../support/metrics-parser.ts'
import { freshRouter, until, type TestRouter } from '../support/router.ts'

const intake = 'signalbox_intake_duration_seconds'

/** How many were observed of each way. */
async function observed(router: TestRouter): Promise<Record<string, number>> {
  const { samples } = (await metricsOf(router)).get(intake)!
  return Object.fromEntries(
    samples
      .filter(({ name }) => name === `${intake}_count`)
      .map(({ labels, value: count }) => [labels.way, count]),
  )
}

const none = { webhook: 0, rpc: 0, bot: 0, clock: 0, poll: 0, watch: 0 }

describe('the duration of the intake', () => {
  test('is observed for calls and webhooks that are accepted', async () => {
    const router = await freshRouter()
    const { call, post } = router
    expect(await observed(router)).toEqual(none)
    await call('source.put', { source: { id: 's', source_type: 'service' } })
    await call('source.put', { source: { id: 'hand', source_type: 'manual' } })
    await call('source.put', { source: { id: 'hook', source_type: 'webhook', config: { provider: 'none' } } })
    await call('source.put', {
      source: { id: 'events', source_type: 'webhook', config: { provider: 'cloudevents' } },
    })
    await call('event.emit', { source_id: 's', type: 't', payload: {} })
    await call('source.fire', { source_id: 'hand' })
    await expect(call('event.emit', { source_id: 'nothing', type: 't', payload: {} })).rejects.toMatchObject({
      code: -32002,
    })
    const accepted = [
      await post('hook', '{}', { 'webhook-id': 'one' }),
      await post('hook', '{}', { 'webhook-id': 'one' }),
    ]
    const event = (id: string): object => ({ specversion: '1.0', id, source: '/s', type: 't', data: {} })
    const batch = await post('events', JSON.stringify([event('1'), event('2')]), {
      'content-type': 'application/cloudevents-batch+json',
    })
    const refused = [await post('hook', 'no json'), await post('nothing', '{}')]
    expect([...accepted, batch, ...refused].map(({ status }) => status)).toEqual([202, 200, 202, 400, 404])
    expect(await observed(router)).toEqual({ ...none, rpc: 2, webhook: 3 })
  })

  test('is observed for bots, schedules, polls and watches', async () => {
    const router = await freshRouter({ poll_min_interval_ms: 20 })
    const { call } = router
    await call('source.put', { source: { id: 'first', source_type: 'service' } })
    await call('source.put', { source: { id: 'next', source_type: 'service' } })
    await call('bot.put', { bot: { id: 'emits', endpoint: { kind: 'emit', source_id: 'next' } } })
    await call('trigger.put', {
      trigger: { id: 't', event_source_id: 'first', filter: { type: ['t'] }, action: { bot_id: 'emits' } },
    })
    await call('event.emit', { source_id: 'first', type: 't', payload: {} })
    await until(async () => (await observed(router)).bot === 1)
    const command = (text: string): object => ({ command: { argv: ['/bin/echo', text] }, interval_ms: 20 })
    await call('source.put', {
      source: { id: 'feed', source_type: 'poll', config: command('[{"id": 1}, {"id": 2}]') },
    })
    await until(async () => (await observed(router)).poll === 1)
    expect(await observed(router)).toEqual({ ...none, rpc: 1, bot: 1, poll: 1 })
    // The first reading of a watch starts nothing.
    const load = join(router.directory, 'load')
    writeFileSync(load, '1')
    await call('source.put', {
      source: {
        id: 'load',
        source_type: 'watch',
        config: { command: { argv: ['/bin/cat', load] }, interval_ms: 20, above: 90 },
      },
    })
    await until(async () => (await call('source.get', { source_id: 'load' })).source.health?.value === 1)
    writeFileSync(load, '99')
    await until(async () => (await observed(router)).watch === 1)
    await call('source.put', {
      source: { id: 'clock', source_type: 'cron', config: { expression: '* * * * * *' } },
    })
    await until(async () => (await observed(router)).clock! > 0)
    expect(await observed(router)).toMatchObject({ rpc: 1, webhook: 0, bot: 1, poll: 1, watch: 1 })
  })

  test('of a webhook begins with the head of its request', async () => {
    const router = await freshRouter()
    await router.call('source.put', {
      source: { id: 'hook', source_type: 'webhook', config: { provider: 'none' } },
    })
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    const headers = { 'content-type': 'application/json', 'content-length': 2 }
    const asking = request(`${router.router.intake}/webhook/hook`, { method: 'POST', headers }, response => {
      response.resume()
      response.on('end', () => resolve(response.statusCode!))
    })
    asking.on('error', reject)
    asking.flushHeaders()
    const begun = performance.now()
    await until(async () => performance.now() - begun > 150)
    asking.end('{}')
    expect(await promise).toBe(202)
    const metrics = await metricsOf(router)
    const below = value(metrics, intake, { way: 'webhook', le: '0.1' }, '_bucket')
    expect([below, value(metrics, intake, { way: 'webhook' }, '_count')]).toEqual([0, 1])
  })

  test('is not observed for what is refused', async () => {
    const measures = new Measures()
    const count = (): number =>
      value(parsedMetrics(metricsText([measures.intake])), intake, { way: 'clock' }, '_count') ?? 0
    const fault = new Fault('overloaded', 'a test')
    await expect(measures.timed('clock', () => Promise.reject(fault))).rejects.toThrow('a test')
    expect(await measures.timed('clock', async () => [fault, fault])).toEqual([fault, fault])
    expect(count()).toBe(0)
    expect(await measures.timed('clock', async () => [fault, 'accepted'])).toEqual([fault, 'accepted'])
    expect(count()).toBe(1)
  })
})

describe('failures of sources', () => {
  test('are counted for each reading that fails', async () => {
    const router = await freshRouter({ poll_min_interval_ms: 20 })
    const { call, directory } = router
    const file = join(directory, 'items')
    const of = async (name: string, source = 'feed'): Promise<number | undefined> =>
      value(await metricsOf(router), `signalbox_source_${name}`, { source })
    writeFileSync(file, '[]')
    await call('source.put', { source: { id: 's', source_type: 'service' } })
    await call('source.put', {
      source: {
        id: 'feed',
        source_type: 'poll',
        config: { command: { argv: ['/bin/cat', file] }, interval_ms: 20 },
      },
    })
    const healthy = async (): Promise<boolean> =>
      (await call('source.get', { source_id: 'feed' })).source.health?.read_at !== undefined
    await until(healthy)
    expect([await of('failures_total'), await of('failing'), await of('failures_total', 's')]).toEqual([
      0,
      0,
      undefined,
    ])
    rmSync(file)
    await until(async () => (await of('failures_total'))! >= 2)
    expect(await of('failing')).toBe(1)
    writeFileSync(file, '[]')
    await until(async () => (await of('failing')) === 0)
    const { samples } = (await metricsOf(router)).get('signalbox_source_failures_total')!
    expect(samples.map(({ labels }) => labels)).toEqual([{ source: 'feed' }])
  })

  test('are not readings of which a part was used', () => {
    const measures = new Measures()
    const nothing = (): void => undefined
    const log = measuredLog({ event: nothing, warn: nothing, bug: nothing, flush: nothing }, measures)
    log.event('source.read', {
      source_id: 'feed',
      events: 1,
      ms: 1,
      error: 'an item has no key',
      failures: 0,
    })
    log.event('source.read', { source_id: 'feed', events: 1, ms: 1 })
    expect([...measures.sourceFailures.samples()]).toEqual([])
    log.event('source.read', { source_id: 'feed', events: 0, ms: 1, error: 'nothing answers', failures: 3 })
    expect([...measures.sourceFailures.samples()]).toEqual([{ label: '{source="feed"}', value: 1 }])
  })

  test('have at most 2,000 sources as labels', () => {
    const measures = new Measures()
    measures.begin({ sources: [], bots: [], polled: Array.from({ length: 3000 }, (_, n) => `feed-${n}`) })
    expect([...measures.sourceFailures.samples()].length).toBe(2001)
  })
})
