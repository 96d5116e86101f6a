// Metrics: their text, what is counted, and that Prometheus and its rules take them.
import { execFile, execFileSync, spawn, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Counter, Histogram, metricsText, Reading } from '../../src/observe/metric-families.ts'
import { listening } from '../support/admin.ts'
import { freePort } from '../support/free-port.ts'
import { ended, freshDirectory, freshRouter, until } from '../support/router.ts'
import { metricsOf, scraped, value } from '../support/metrics.ts'
import { metricsFaults, parsedMetrics } from '../support/metrics-parser.ts'

const has = (program: string): boolean => spawnSync(program, ['--version']).error === undefined
const hasPrometheus = has('promtool') && has('prometheus')

describe('the text', () => {
  test('escapes, and has each series once, each family together, histograms whole', () => {
    const text = fc.string({ unit: 'binary', maxLength: 12 })
    const observed = fc.array(fc.tuple(text, fc.double({ noNaN: true, noDefaultInfinity: true })), {
      maxLength: 30,
    })
    fc.assert(
      fc.property(observed, text, (all, help) => {
        const counter = new Counter('a_total', help, ['x'])
        const histogram = new Histogram('b_seconds', help, [-1, 0.5, 10], ['x'])
        for (const [label, amount] of all) {
          counter.add([label])
          histogram.observe(amount, [label])
        }
        const printed = metricsText([
          counter,
          histogram,
          new Reading('c', help, () => [[{ x: help }, Number.NaN]]),
        ])
        expect(metricsFaults(printed)).toEqual([])
        const counts = parsedMetrics(printed).get('a_total')!.samples
        expect(new Map(counts.map(({ labels, value: count }) => [labels.x, count]))).toEqual(
          new Map(
            [...new Set(all.map(([label]) => label))].map(label => [
              label,
              all.filter(([other]) => other === label).length,
            ]),
          ),
        )
      }),
      { numRuns: 300 },
    )
  })

  test.each([
    ['a series twice', '# HELP a h\n# TYPE a gauge\na 1\na 2\n'],
    [
      'a family torn apart',
      '# HELP a h\n# TYPE a gauge\na{x="1"} 1\n# HELP b h\n# TYPE b gauge\nb 1\na{x="2"} 2\n',
    ],
    ['a histogram without +Inf', '# HELP a h\n# TYPE a histogram\na_bucket{le="1"} 1\na_sum 1\na_count 1\n'],
    [
      'buckets that fall',
      '# HELP a h\n# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\na_sum 1\na_count 1\n',
    ],
    [
      'a count that is another',
      '# HELP a h\n# TYPE a histogram\na_bucket{le="+Inf"} 1\na_sum 1\na_count 2\n',
    ],
    ['no newline at the end', '# HELP a h\n# TYPE a gauge\na 1'],
    ['no type', 'a 1\n'],
    ['a histogram without a sum', '# HELP a h\n# TYPE a histogram\na_bucket{le="+Inf"} 1\na_count 1\n'],
    ['a label twice', '# HELP a h\n# TYPE a gauge\na{x="1",x="2"} 1\n'],
    ['help of another family', '# HELP b h\n# TYPE a gauge\na 1\n'],
    ['an unknown type', '# HELP a h\n# TYPE a number\na 1\n'],
    ['a number that is none', '# HELP a h\n# TYPE a gauge\na 0x10\n'],
    ['a negative counter', '# HELP a h\n# TYPE a counter\na -1\n'],
  ])('control: %s is found', (_name, text) => {
    expect(metricsFaults(text)).not.toEqual([])
  })

  test('has at most 2,000 sets of labels of a family', () => {
    const counter = new Counter('a_total', 'h', ['x'])
    for (let n = 0; n < 5000; n++) counter.add([String(n)])
    const { samples } = parsedMetrics(metricsText([counter])).get('a_total')!
    expect(samples.length).toBe(2001)
    expect(samples.find(({ labels }) => labels.x === 'other')!.value).toBe(3000)
  })
})

/** Events, runs of every outcome, duplicates and refusals. */
async function someHistory(router: Awaited<ReturnType<typeof freshRouter>>): Promise<void> {
  const { call } = router
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  await call('source.put', { source: { id: 'hook', source_type: 'webhook', config: { provider: 'none' } } })
  await call('bot.put', { bot: { id: 'good', endpoint: { kind: 'command', argv: ['/bin/true'] } } })
  await call('bot.put', { bot: { id: 'bad', endpoint: { kind: 'command', argv: ['/bin/false'] } } })
  await call('bot.put', { bot: { id: 'w', endpoint: { kind: 'pull' } } })
  for (const id of ['good', 'bad', 'w'])
    await call('trigger.put', { trigger: { id, filter: { type: [id] }, action: { bot_id: id } } })
  const emit = async (type: string): Promise<string> =>
    (await call('event.emit', { source_id: 's', type, payload: { n: 1 } })).runs[0]!
  await Promise.all([
    ended(router, await emit('good')),
    ended(router, await emit('good')),
    ended(router, await emit('bad')),
  ])
  // Runs that the store itself creates and ends: of a lifecycle event, and one that depends on a run that failed.
  for (const id of ['follower', 'dependent', 'idle'])
    await call('bot.put', { bot: { id, endpoint: { kind: 'command', argv: ['/bin/true'] } } })
  await call('trigger.put', {
    trigger: {
      id: 'follower',
      event_source_id: 'router',
      filter: { type: ['run.failed'], payload: { run: { trigger_id: ['chain'] } } },
      action: { bot_id: 'follower' },
    },
  })
  await call('trigger.put', {
    trigger: { id: 'chain', filter: { type: ['chain'] }, action: { bot_id: 'bad' } },
  })
  await call('trigger.put', {
    trigger: {
      id: 'dependent',
      filter: { type: ['chain'] },
      action: { bot_id: 'dependent' },
      policy: { depends_on: ['chain'] },
    },
  })
  await call('event.emit', { source_id: 's', type: 'chain', payload: {} })
  await until(async () => (await call('run.list', { bot_id: 'follower' })).runs[0]?.state === 'completed')
  const waiting = [await emit('w'), await emit('w')]
  const [lease] = (await call('run.claim', { bot_id: 'w' })).leases
  const held = { run_id: lease!.run_id, lease_token: lease!.lease_token }
  await call('run.start', held)
  await call('run.complete', held)
  await call('run.cancel', { run_id: waiting.find(id => id !== lease!.run_id)! })
  await emit('w')
  for (let n = 0; n < 2; n++) await router.post('hook', '{}', { 'webhook-id': 'same' })
  await router.post('hook', 'no json')
  await router.post('nothing-at-all', '{}')
}

describe('what is counted', () => {
  test('is what happened, and nothing before', { timeout: 60_000 }, async () => {
    const router = await freshRouter()
    const before = await metricsOf(await freshRouter())
    expect(
      [...before.values()].flatMap(({ name, samples }) =>
        samples.filter(
          ({ labels, value: is }) =>
            name.endsWith('_total') && name.startsWith('signalbox_') && is !== 0 && labels.bot !== undefined,
        ),
      ),
    ).toEqual([])
    await someHistory(router)
    const metrics = await metricsOf(router)
    const of = (name: string, labels: Record<string, string> = {}, suffix = ''): number | undefined =>
      value(metrics, `signalbox_${name}`, labels, suffix)
    expect({
      events: of('events_total', { source: 's' }),
      bytes: of('event_bytes_total', { source: 's' }),
      delivered: of('events_total', { source: 'hook' }),
      duplicates: of('intake_duplicates_total', { source: 'hook' }),
      refused: of('intake_refused_total', { source: 'hook', reason: 'E_JSON' }),
      unknown: of('intake_refused_total', { source: '', reason: 'E_NOT_FOUND' }),
      created: of('runs_created_total', { bot: 'good' }),
      completed: of('runs_ended_total', { bot: 'good', state: 'completed' }),
      dead: of('runs_ended_total', { bot: 'bad', state: 'failed' }),
      worked: of('runs_ended_total', { bot: 'w', state: 'completed' }),
      cancelled: of('runs_ended_total', { bot: 'w', state: 'cancelled' }),
      attempts: of('run_attempts_total', { bot: 'good', outcome: 'success' }),
      started: of('run_start_latency_seconds', { bot: 'good' }, '_count'),
      lasted: of('run_duration_seconds', { bot: 'bad' }, '_count'),
      waiting: of('runs_waiting', { queue: 'w' }),
      letters: of('dead_letters', { bot: 'bad' }),
      followed: of('runs_created_total', { bot: 'follower' }),
      dependent: of('runs_ended_total', { bot: 'dependent', state: 'cancelled' }),
      untouched: of('runs_ended_total', { bot: 'idle', state: 'failed' }),
      ready: of('up_state', { state: 'ready' }),
    }).toEqual({
      events: 7,
      bytes: 6 * 7 + 2,
      delivered: 1,
      duplicates: 1,
      refused: 1,
      unknown: 1,
      created: 2,
      completed: 2,
      dead: 2,
      worked: 1,
      cancelled: 1,
      attempts: 2,
      started: 2,
      lasted: 2,
      waiting: 1,
      letters: 2,
      followed: 1,
      dependent: 1,
      untouched: 0,
      ready: 1,
    })
    const { text, type } = await scraped(router.router.socket)
    expect(metricsFaults(text)).toEqual([])
    expect(type).toBe('text/plain; version=0.0.4; charset=utf-8')
    // What senders choose is no label.
    expect(text).not.toMatch(/nothing-at-all|127\.0\.0\.1/)
  })
})

const page = readFileSync('docs/monitoring/README.md', 'utf8')
const dashboard = JSON.parse(readFileSync('docs/monitoring/dashboard.json', 'utf8')) as {
  panels: { title: string; targets?: { expr: string }[] }[]
}
const alerts = readFileSync('docs/monitoring/alerts.yml', 'utf8')

test('the page has every metric, and rules and dashboard name no other', async () => {
  const { text } = await scraped((await freshRouter()).router.socket)
  const rows = [...text.matchAll(/^# HELP (\S+) (.*)\n# TYPE \S+ (\S+)$/gm)].map(([, name, help, type]) => ({
    name,
    help,
    type,
  }))
  for (const { name, help, type } of rows)
    expect(page).toMatch(
      new RegExp(
        `^\\| \`${name}\` \\| ${type} \\| [a-z, ]*\\| ${help!.replaceAll(/[.*+?()[\]\\/]/g, '\\$&')} \\|$`,
        'm',
      ),
    )
  expect([...page.matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name)).toEqual(rows.map(({ name }) => name))
  const known = new Set(
    rows.flatMap(({ name, type }) =>
      type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name!],
    ),
  )
  const named = [
    alerts,
    ...dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
  ].flatMap(each => each.match(/\b(signalbox|process|nodejs)_\w+/g) ?? [])
  expect(named.length).toBeGreaterThan(40)
  expect(named.filter(name => !known.has(name))).toEqual([])
})

test('the page and expressions name labels that metrics have', async () => {
  const { admin, router } = await listening()
  await fetch(`${admin}/health`)
  const metrics = await until(async () => {
    const found = await metricsOf({ router })
    return found.get('signalbox_http_requests_total')!.samples.length > 0 && found
  })
  const labels = new Map(
    [...page.matchAll(/^\| `(\w+)` \| \w+ \| ([a-z, ]*) \|/gm)].map(([, name, list]) => [
      name!,
      list!.split(', ').filter(each => each !== ''),
    ]),
  )
  const sampled = [...metrics.values()].filter(({ samples }) => samples.length > 0)
  expect(sampled.length).toBeGreaterThan(20)
  for (const { name, samples } of sampled) {
    const { le: _, ...own } = samples[0]!.labels
    expect([name, Object.keys(own)]).toEqual([name, labels.get(name)])
  }
  const exprs = [...alerts.matchAll(/^ *expr: (?:[>|]\n)?((?:.|\n {10})*)/gm)].map(([, expr]) => expr!)
  expect(exprs.length).toBeGreaterThan(15)
  for (const expr of [
    ...exprs,
    ...dashboard.panels.flatMap(({ targets = [] }) => targets.map(each => each.expr)),
  ]) {
    const names = expr
      .match(/\b(signalbox|process|nodejs|up)\w*/g)!
      .map(name => name.replace(/_(bucket|sum|count)$/, ''))
    const known = new Set(['job', 'le', ...names.flatMap(name => labels.get(name) ?? [])])
    const used = [...expr.matchAll(/\bby \(([\w, ]*)\)|(\w+)(?:=|!=|=~|!~)"/g)].flatMap(
      ([, list, label]) => list?.split(', ') ?? [label!],
    )
    expect([expr, used.filter(each => !known.has(each))]).toEqual([expr, []])
  }
})

test.skipIf(!has('curl'))('its commands work as they are written', async () => {
  const directory = freshDirectory()
  const { router } = await freshRouter()
  symlinkSync(resolve('scripts/signalbox'), join(directory, 'signalbox'))
  const [, commands] = /^```sh\n([^]*?)^```$/m.exec(page)!
  const env = { PATH: `${directory}:${process.env.PATH}`, SIGNALBOX_SOCKET: router.socket }
  const { stdout } = await promisify(execFile)('/bin/sh', ['-ec', commands!], { cwd: directory, env })
  expect(stdout).toContain('signalbox_up_state{state="ready"} 1')
  expect(readFileSync(join(directory, 'metrics.token'), 'utf8')).toMatch(/^sbx_api_/)
})

describe.skipIf(!hasPrometheus)('Prometheus', () => {
  test('promtool finds nothing wrong with the metrics', async () => {
    const { text } = await scraped((await freshRouter()).router.socket)
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
      input: text,
      encoding: 'utf8',
    })
    expect([status, stdout + stderr]).toEqual([0, ''])
    // Control.
    expect(spawnSync('promtool', ['check', 'metrics'], { input: '# TYPE a counter\na 1\n' }).status).not.toBe(
      0,
    )
  })

  test('takes the rules, which do what they say, and every expression of the dashboard', () => {
    execFileSync('promtool', ['check', 'rules', 'docs/monitoring/alerts.yml'])
    execFileSync('promtool', ['test', 'rules', 'docs/monitoring/alerts.test.yml'], { stdio: 'pipe' })
    const variables = (expr: string): string => expr.replaceAll(/\$(source|bot|queue)\b/g, '.*')
    const rules = dashboard.panels.flatMap(({ targets = [] }) =>
      targets.map(({ expr }, n) => ({ record: `x:y${n}`, expr: variables(expr) })),
    )
    const file = join(freshDirectory(), 'rules.yml')
    writeFileSync(
      file,
      JSON.stringify({ groups: rules.map((rule, n) => ({ name: `g${n}`, rules: [rule] })) }),
    )
    execFileSync('promtool', ['check', 'rules', file], { stdio: 'pipe' })
  })

  test('scrapes the router with its token', { timeout: 60_000 }, async () => {
    const { call, admin } = await listening()
    const directory = freshDirectory()
    const { token } = await call('token.create', {
      name: 'prometheus',
      scopes: ['metrics'],
      never_expires: true,
    })
    writeFileSync(join(directory, 'metrics.token'), token)
    writeFileSync(join(directory, 'alerts.yml'), alerts)
    const config = readFileSync('docs/monitoring/prometheus.yml', 'utf8')
      .replace('127.0.0.1:8021', new URL(admin).host)
      .replace('15s', '1s')
    writeFileSync(join(directory, 'prometheus.yml'), config)
    mkdirSync(join(directory, 'data'))
    const port = await freePort()
    const flags = [
      `--config.file=${join(directory, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(directory, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ]
    const prometheus = spawn('prometheus', [...flags, '--log.level=error'], {
      stdio: 'ignore',
      cwd: resolve(directory),
    })
    onTestFinished(() => void prometheus.kill('SIGKILL'))
    const query = async (expr: string): Promise<string | undefined> => {
      const answer = await fetch(
        `http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(expr)}`,
      ).catch(() => undefined)
      if (answer?.ok !== true) return undefined
      const { data } = (await answer.json()) as { data: { result: { value: [number, string] }[] } }
      return data.result[0]?.value[1]
    }
    await until(async () => (await query('up{job="signalbox"}')) === '1')
    expect(await query('signalbox_up_state{state="ready"}')).toBe('1')
  })
})
