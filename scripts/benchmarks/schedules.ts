// Ten thousand schedules: what they cost while they wait, and how late a thousand that are due at once come.
import { setTimeout as pause } from 'node:timers/promises'
import { SignalboxClient, type SourceInput } from '../../src/client/client.ts'
import { benchRouter, type BenchRouter } from './accept.ts'
import { ms, percentile, processCost, startProcess, table } from './measure.ts'

const schedules = 10_000
const together = 1000
const rounds = 5
const roundMs = 10_000
const idleMs = 10_000
const atOnce = 500

/** Writes sources, many in a call. */
async function written({ client }: BenchRouter, sources: SourceInput[]): Promise<void> {
  for (let from = 0; from < sources.length; from += atOnce)
    await client.call('router.apply', { sources: sources.slice(from, from + atOnce) })
}

function cron(index: number, expression: string): SourceInput {
  return {
    id: `s${index}`,
    source_type: 'cron',
    config: { expression, timezone: index % 2 === 0 ? 'Europe/Berlin' : 'America/New_York' },
  }
}

/** Processor time of a router that is left alone, in milliseconds a second, and what it holds. */
async function idle({ pid, start_ms }: BenchRouter): Promise<{ cpu: number; rss: number; start_ms: number }> {
  const before = processCost(pid).cpu_s
  await pause(idleMs)
  const after = processCost(pid)
  return { cpu: ((after.cpu_s - before) * 1e6) / idleMs, rss: after.rss_mib, start_ms }
}

async function drifts({ client }: BenchRouter, ids: readonly string[]): Promise<number[]> {
  const found: number[] = []
  for (const source_id of ids) {
    const { ticks } = await client.call('source.ticks', { source_id, outcome: 'fired', limit: rounds })
    found.push(...ticks.map(tick => tick.drift_ms))
  }
  return found.toSorted((a, b) => a - b)
}

/** The same router once more, after a clean stop. */
async function restarted(router: BenchRouter): Promise<BenchRouter> {
  const ended = new Promise(resolve => router.child.once('exit', resolve))
  router.client.close()
  router.child.kill('SIGTERM')
  await ended
  const { child, ms: start_ms } = await startProcess(['scripts/signalbox', 'serve'], router.env)
  return { ...router, child, pid: child.pid!, start_ms, client: await SignalboxClient.connect(router.socket) }
}

export async function benchSchedules(): Promise<void> {
  let router = await restarted(await benchRouter(0))
  const none = await idle(router)
  const begun = performance.now()
  // Due once a year, never while this runs.
  const waiting = Array.from({ length: schedules }, (_, index) =>
    cron(index, `${index % 60} ${index % 24} 1 1 *`),
  )
  await written(router, waiting)
  const writingMs = performance.now() - begun
  await pause(2000)
  const many = await idle(router)
  router = await restarted(router)
  await pause(2000)
  const again = await idle(router)
  const row = (name: string, { rss, cpu }: { rss: number; cpu: number }, took: number): string[] => [
    name,
    rss.toFixed(0),
    cpu.toFixed(1),
    took.toFixed(0),
  ]
  table(
    'Schedules that wait',
    ['schedules', 'resident MiB', 'CPU ms/s', 'ms'],
    [
      row('0, started', none, none.start_ms),
      row(`${schedules}, just written`, many, writingMs),
      row(`${schedules}, started`, again, again.start_ms),
    ],
  )
  const busy = waiting.slice(0, together).map((_, index) => cron(index, `*/${roundMs / 1000} * * * * *`))
  // When each is told to who listens: with its commit and the way out of the router.
  const told: number[] = []
  await router.client.subscribe({ type: 'tick' }, ({ event }) => told.push(Date.now() - event.timestamp))
  await written(router, busy)
  const cpu = processCost(router.pid).cpu_s
  await pause(roundMs * (rounds + 1))
  const spent = ((processCost(router.pid).cpu_s - cpu) * 1e6) / told.length
  const late = await drifts(
    router,
    busy.map(source => source.id),
  )
  told.sort((a, b) => a - b)
  const lateness = (name: string, sorted: readonly number[]): string[] => [
    name,
    String(sorted.length),
    ms(percentile(sorted, 0.5)),
    ms(percentile(sorted, 0.99)),
    ms(sorted.at(-1) ?? 0),
  ]
  table(
    `${together.toLocaleString('en-US')} of ${schedules.toLocaleString('en-US')} due in the same second, every ${roundMs / 1000} s (${spent.toFixed(0)} us of processor each)`,
    ['late by', 'ticks', 'p50 ms', 'p99 ms', 'most ms'],
    [lateness('drift: until the tick is decided', late), lateness('until its event is told', told)],
  )
  router.client.close()
  process.kill(router.pid, 'SIGKILL')
}
