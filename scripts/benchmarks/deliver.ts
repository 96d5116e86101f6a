// From event to bot: latency at a steady rate, and how many a second when there is no end of them.
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { benchRouter } from './accept.ts'
import { load, median, ms, percentile, processCost, startProcess, table } from './measure.ts'

const text = 'x'.repeat(4000)

interface Bot {
  url: string
  latencies: number[]
  /** resolves once so many have come */
  reached: (count: number) => Promise<void>
}

async function bot(): Promise<Bot> {
  const { child, line } = await startProcess(['scripts/benchmarks/bench-bot.ts'])
  const latencies: number[] = []
  const waiting: { count: number; resolve: () => void }[] = []
  createInterface(child.stdout!).on('line', each => {
    latencies.push(Number(each))
    for (const wait of waiting) if (latencies.length >= wait.count) wait.resolve()
  })
  return {
    url: `http://127.0.0.1:${line}/`,
    latencies,
    reached: count =>
      latencies.length >= count
        ? Promise.resolve()
        : new Promise(resolve => waiting.push({ count, resolve })),
  }
}

export async function benchDeliver(): Promise<void> {
  const router = await benchRouter(100)
  const { client } = router
  const target = await bot()
  await client.call('bot.put', {
    bot: { id: 'bot', max_active: 64, endpoint: { kind: 'http', url: target.url } },
  })
  await client.call('source.put', { source: { id: 'clock', source_type: 'service' } })
  await client.call('trigger.put', {
    trigger: { id: 'tick', filter: { source_id: ['clock'] }, action: { bot_id: 'bot' } },
  })
  const emit = (): Promise<unknown> =>
    client.call('event.emit', {
      source_id: 'clock',
      type: 'tick',
      payload: { sent_at: performance.timeOrigin + performance.now(), text },
    })
  const rows: string[][] = []
  // The first deliveries load and compile what the rest only use.
  await load(100, 4, emit)
  await target.reached(100)
  for (const rate of [100, 1000]) {
    target.latencies.length = 0
    const total = rate * 5
    const begun = performance.now()
    const sent: Promise<unknown>[] = []
    while (sent.length < total) {
      const due = Math.min(total, Math.floor(((performance.now() - begun) * rate) / 1000))
      while (sent.length < due) sent.push(emit())
      await pause(1)
    }
    await Promise.all(sent)
    await target.reached(total)
    const sorted = target.latencies.toSorted((a, b) => a - b)
    rows.push([
      `event to HTTP bot at ${rate}/s`,
      '-',
      ms(percentile(sorted, 0.5)),
      ms(percentile(sorted, 0.99)),
      '-',
    ])
  }
  const saturated: number[] = []
  const cpus: number[] = []
  for (let round = 0; round < 3; round++) {
    target.latencies.length = 0
    const total = 8000
    const before = processCost(router.pid).cpu_s
    const begun = performance.now()
    await load(total, 64, emit)
    await target.reached(total)
    saturated.push(Math.round(total / ((performance.now() - begun) / 1000)))
    cpus.push(((processCost(router.pid).cpu_s - before) * 1e6) / total)
  }
  rows.push([
    'event to HTTP bot, saturated',
    String(median(saturated)),
    '-',
    '-',
    `${median(cpus).toFixed(0)} us`,
  ])
  await client.call('bot.put', {
    bot: { id: 'command', max_active: 16, endpoint: { kind: 'command', argv: ['/bin/true'] } },
  })
  await client.call('trigger.put', {
    trigger: { id: 'tick', filter: { source_id: ['clock'] }, action: { bot_id: 'command' } },
  })
  const begun = performance.now()
  const total = 600
  await load(total, 16, emit)
  for (;;) {
    const { runs } = await client.call('run.list', { bot_id: 'command', state: 'pending', limit: 1 })
    const { bot: state } = await client.call('bot.get', { bot_id: 'command' })
    if (runs.length === 0 && state.active === 0) break
    await pause(5)
  }
  rows.push([
    'event to command (/bin/true)',
    String(Math.round(total / ((performance.now() - begun) / 1000))),
    '-',
    '-',
    '-',
  ])
  table('From event to bot, 4 KB bodies', ['what', '/s', 'p50 ms', 'p99 ms', 'CPU/event'], rows)
  client.close()
  process.kill(router.pid, 'SIGKILL')
}
