// Metrics of the process and of its state, with real routers where they matter.
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { constants, PerformanceObserver, type PerformanceEntry } from 'node:perf_hooks'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, onTestFinished, test, vi } from 'vitest'
import { metricsText } from '../../src/observe/metric-families.ts'
import { ProcessMetrics } from '../../src/observe/process-metrics.ts'
import { metricsOf, value } from '../support/metrics.ts'
import { parsedMetrics } from '../support/metrics-parser.ts'
import { freshRouter, until } from '../support/router.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

test('build_info has the versions of the router, Node and SQLite', async () => {
  const router = await freshRouter()
  const { version, node_version, sqlite_version } = await router.call('router.status', {})
  const [info] = (await metricsOf(router)).get('signalbox_build_info')!.samples
  expect(info).toMatchObject({ value: 1, labels: { version, node: node_version, sqlite: sqlite_version } })
  expect(sqlite_version).toMatch(/^3\.\d+/)
})

test('garbage collections are counted by kind', async () => {
  const router = await freshRouter()
  const major = async (suffix: string): Promise<number> =>
    value(await metricsOf(router), 'nodejs_gc_duration_seconds', { kind: 'major' }, suffix)!
  const before = await major('_count')
  collect()
  await until(async () => (await major('_count')) > before)
  expect(await major('_sum')).toBeGreaterThan(0)
})

test('collections are measured from the start to the end, once each', async () => {
  let seen = 0
  const observer = new PerformanceObserver(list => {
    seen += list
      .getEntries()
      .filter(
        entry =>
          (entry as PerformanceEntry & { detail: { kind: number } }).detail.kind ===
          constants.NODE_PERFORMANCE_GC_MAJOR,
      ).length
  })
  observer.observe({ entryTypes: ['gc'] })
  onTestFinished(() => observer.disconnect())
  const collected = async (): Promise<void> => {
    const before = seen
    collect()
    await until(async () => seen > before)
  }
  const metrics = new ProcessMetrics()
  const count = (): number =>
    value(
      parsedMetrics(metricsText(metrics.families)),
      'nodejs_gc_duration_seconds',
      { kind: 'major' },
      '_count',
    )!
  await collected()
  expect(count()).toBe(0)
  const before = seen
  metrics.start()
  metrics.start()
  await collected()
  expect(count()).toBe(seen - before)
  metrics.stop()
  const last = count()
  await collected()
  expect(count()).toBe(last)
})

test('the state is shutting_down while runs may end', async () => {
  const measured = vi.spyOn(ProcessMetrics.prototype, 'stop')
  onTestFinished(() => measured.mockRestore())
  const router = await freshRouter({ shutdown_grace_ms: 60_000 })
  const { call, directory } = router
  // Opening a FIFO for reading waits for a writer.
  const end = join(directory, 'end')
  execFileSync('mkfifo', [end])
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  await call('bot.put', { bot: { id: 'slow', endpoint: { kind: 'command', argv: ['/bin/cat', end] } } })
  await call('trigger.put', { trigger: { id: 't', filter: { type: ['t'] }, action: { bot_id: 'slow' } } })
  const { runs } = await call('event.emit', { source_id: 's', type: 't', payload: {} })
  await until(async () => (await call('run.get', { run_id: runs[0]! })).run.state === 'running')
  const state = async (name: string): Promise<number | undefined> =>
    value(await metricsOf(router), 'signalbox_up_state', { state: name })
  expect([await state('ready'), await state('shutting_down')]).toEqual([1, 0])
  const stopped = router.router.stop()
  expect([await state('ready'), await state('shutting_down')]).toEqual([0, 1])
  writeFileSync(end, '')
  await stopped
  // Nothing is measured for a router that has ended.
  expect(measured).toHaveBeenCalledOnce()
})

test('the queue of the store has what is not committed yet', async () => {
  const router = await freshRouter()
  const { call } = router
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  const length = async (): Promise<number> => value(await metricsOf(router), 'signalbox_store_queue_length')!
  const ends = new AbortController()
  const emitting = Array.from({ length: 32 }, async () => {
    while (!ends.signal.aborted) await call('event.emit', { source_id: 's', type: 't', payload: {} })
  })
  await until(async () => (await length()) > 1)
  ends.abort()
  await Promise.all(emitting)
  await until(async () => (await length()) === 0)
})
