// An Osprey dispatcher file, taken over: its webhooks under their names and tokens, its worker, what was not carried over.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { defaultDeniedTools } from '../../src/config.ts'
import { noToolLimits, ToolRules } from '../../src/tools.ts'
import { deniedToo, fromOsprey, OspreyError, type Converted } from '../../src/cli/osprey.ts'
import { botServer } from '../support/bot-server.ts'
import { signalbox } from '../support/command-line.ts'
import { ended, freshRouter } from '../support/router.ts'

const env = { EVENT_DISPATCHER_TOKEN: 'let-me-in', DISPATCH_WORKER_TOKEN: 'to-the-worker' }
const tools = new ToolRules({ denied_tools: defaultDeniedTools(), allowed_denied_tools: [] })
const options = {
  tools,
  bot_id: 'worker',
  timezone: 'Europe/Berlin',
  intake_token: { env: 'A' },
  worker_token: { env: 'B' },
}
const dispatcher = { dispatch_target: 'http://127.0.0.1:9190' }
const converted = (trigger: object, more: object = {}): Converted =>
  fromOsprey(
    {
      dispatcher: { ...dispatcher, ...more },
      triggers: [{ name: 't', source: 'webhook', action: { prompt: 'go' }, ...trigger }],
    },
    options,
  )

test('its webhooks keep working: name, token, prompt with the payload, tools, worker and retries', async () => {
  const worker = await botServer((_request, response, count) => {
    response.statusCode = count === 1 ? 503 : 202
    response.setHeader('content-type', 'application/json').end('{"run_id": "r1", "status": "accepted"}')
  })
  const router = await freshRouter({}, env)
  const file = join(router.directory, 'triggers.yml')
  writeFileSync(
    file,
    `dispatcher:
  dispatch_target: ${new URL(worker.url).origin}/
  max_concurrent_runs: 3
  max_queue_depth: 7
triggers:
  - name: triage
    source: webhook
    on_error: {action: retry, max_retries: 2, backoff_sec: 0.01}
    action:
      prompt: Look at {{this}}.
      allowed_tools: [get_pv, bash]
      surface_prompt: be brief
`,
  )
  const shown = await signalbox(router, ['import', 'osprey', file])
  expect(shown).toMatchObject({
    code: 0,
    out: expect.stringMatching(/^# the tools that Osprey denies .* are denied here too/) as string,
  })
  expect(shown.err).toBe(
    `${file}:11:31 triggers.0.action.allowed_tools.1 "bash" is denied by default: it matches "bash" of the denied tools; only the configuration's allowed_denied_tools allows it\n`,
  )
  expect(
    (await signalbox(router, ['apply', '-f', '-', '--set', 'x', '--dry-run'], {}, shown.out)).out,
  ).toContain('4 created')
  expect((await signalbox(router, ['import', 'osprey', file, '--apply'])).out).toMatch(
    /\+ bot osprey-worker\n\+ queue osprey-worker\n\+ source triage\n\+ trigger triage .*\n4 created, .*\ndone\n$/,
  )
  const body = JSON.stringify({ signal: 'demo:vacuum', value: 4.2 })
  expect((await router.post('triage', body, { authorization: 'Bearer wrong' })).status).toBe(401)
  const taken = await router.post('triage', body, { authorization: 'Bearer let-me-in' })
  expect(taken).toMatchObject({ status: 202, body: { matched_triggers: ['triage'] } })
  const run = await ended(router, (taken.body.runs as string[])[0]!)
  expect(run).toMatchObject({ state: 'completed', attempt: 2, result: { run_id: 'r1', status: 'accepted' } })
  expect(worker.received.map(request => request.headers.authorization)).toEqual([
    'Bearer to-the-worker',
    'Bearer to-the-worker',
  ])
  expect(JSON.parse(worker.received[1]!.body)).toEqual({
    prompt:
      'Look at {{this}}.\n\nThe payload of the event, as JSON:\n{\n  "signal": "demo:vacuum",\n  "value": 4.2\n}',
    allowed_tools: ['get_pv'],
    surface_prompt: 'be brief',
  })
  expect(run.allowed_tools).toEqual(['get_pv'])
  const empty = await router.post('triage', '{}', { authorization: 'Bearer let-me-in' })
  await ended(router, (empty.body.runs as string[])[0]!)
  expect(JSON.parse(worker.received[2]!.body)).toMatchObject({ prompt: 'Look at {{this}}.' })
  expect((await router.call('bot.get', { bot_id: 'osprey-worker' })).bot.max_active).toBe(3)
  expect((await router.call('queue.get', { queue_id: 'osprey-worker' })).queue.max_pending).toBe(7)
})

test('without its token it fails closed, and what is wrong in a file is told with its place', async () => {
  const router = await freshRouter()
  const file = join(router.directory, 'triggers.yml')
  const written = (text: string): void =>
    writeFileSync(
      file,
      `dispatcher: {dispatch_target: "http://127.0.0.1:9"}\ntriggers:\n  - name: t\n    source: webhook\n${text}`,
    )
  written('    action: {prompt: x, skill: y}\n  - {name: pv, source: epics_ca, action: {prompt: x}}\n')
  const done = await signalbox(router, ['import', 'osprey', file, '--apply'])
  expect(done).toMatchObject({ code: 0, out: expect.stringContaining('+ source t\n+ trigger t') as string })
  expect(done.err).toBe(
    `${file}:5:32 triggers.0.action.skill is not carried over: workers are not sent it\n${file}:6:24 triggers.1.source is epics_ca, for which there is no source: the trigger is not carried over; a poll or a watch may read the same\n`,
  )
  expect((await router.post('t', '{}', { authorization: 'Bearer ' })).status).toBe(503)
  written('    action: {}\n')
  expect(await signalbox(router, ['import', 'osprey', file])).toMatchObject({
    code: 64,
    err: `signalbox: ${file}:5:13 triggers.0.action.prompt must be a text; found nothing\n`,
  })
  writeFileSync(file, 'a: [')
  expect(await signalbox(router, ['import', 'osprey', file])).toMatchObject({
    code: 64,
    err: expect.stringContaining('is no YAML') as string,
  })
  expect(await signalbox(router, ['import', 'osprey', file, '--token', 'plain'])).toMatchObject({
    code: 64,
    err: expect.stringContaining('env:NAME') as string,
  })
})

test('denied tools are named, those sent as an input left out', () => {
  const action = {
    prompt: 'go',
    allowed_tools: ['get_pv', 'WebFetch'],
    surface_tools: ['Bash(git:*)', 'show_{{x}}'],
  }
  const { definitions, notes } = converted({ action })
  expect(definitions.triggers[0]!.action).toMatchObject({
    allowed_tools: ['get_pv', 'WebFetch'],
    inputs: { surface_tools: [] },
  })
  expect(notes).toEqual([
    {
      path: 'triggers.0.action.allowed_tools.1',
      text: expect.stringMatching(/^"WebFetch" is denied by default: it matches "web"/) as string,
    },
    {
      path: 'triggers.0.action.surface_tools.0',
      text: expect.stringMatching(/^"Bash\(git:\*\)" is denied by default: .*; it is left out$/) as string,
    },
    { path: 'triggers.0.action.surface_tools.1', text: expect.stringContaining('it is left out') as string },
  ])
})

test('what Osprey denies is said to be denied too, or not', () => {
  expect(deniedToo({ tools })).toMatch(
    /^the tools that Osprey denies .* are denied here too, by the default of denied_tools$/,
  )
  expect(deniedToo({ tools: new ToolRules(noToolLimits) })).toMatch(
    /this router does not by default: WebFetch, .*, KillShell$/,
  )
})

test.each([
  [{ interval_sec: 30 }, ['*/30 * * * * *']],
  [{ interval_sec: 300 }, ['*/5 * * * *']],
  [{ interval_sec: 21_600 }, ['0 */6 * * *']],
  [{ interval_sec: 86_400 }, ['0 0 * * *']],
  [{ interval_sec: 90 }, []],
  [{ interval_sec: 0.5 }, []],
  [{ at: ['17:00', '05:00', '05:30'] }, ['0 5,17 * * *', '30 5 * * *']],
  [{ at: ['08:15'], days: ['mon', 'fri'] }, ['15 8 * * mon,fri']],
])('the schedule %j is %j', (source_config, expressions) => {
  const { definitions, notes } = converted({ source: 'cron', source_config })
  expect(definitions.sources.map(source => (source.config as { expression: string }).expression)).toEqual(
    expressions,
  )
  expect(
    definitions.sources.every(source => (source.config as { timezone: string }).timezone === 'Europe/Berlin'),
  ).toBe(true)
  expect(definitions.triggers.map(trigger => trigger.filter)).toEqual(
    expressions.length === 0 ? [] : [{ source_id: ['t', 't-2'].slice(0, expressions.length) }],
  )
  expect(notes.some(note => note.text.includes('not carried over'))).toBe(expressions.length === 0)
})

test.each([
  [{ on_error: { action: 'retry', max_retries: 2, backoff_sec: 1.5 } }, [0, 1500, 1500], []],
  [{ on_error: { action: 'drop', max_retries: 2 } }, 'none', []],
  [{}, 'none', []],
  [{ on_error: { action: 'alert' } }, 'none', ['triggers.0.on_error.action']],
  [
    { on_error: { action: 'retry', max_retries: 90 } },
    Array.from({ length: 25 }, () => 0),
    ['triggers.0.on_error.max_retries'],
  ],
  [{ name: 'My Hook!' }, 'none', ['triggers.0.name']],
  [{ enabled: false }, 'none', ['triggers.0.enabled']],
])('%j', (trigger, retry, noted) => {
  const { definitions, notes } = converted(trigger)
  expect(definitions.triggers[0]!.policy!.retry).toEqual(retry)
  expect(notes.map(note => note.path)).toEqual(noted)
})

test.each([
  ['no target', { dispatch_target: '' }, {}, 'dispatcher.dispatch_target'],
  ['no URL', { dispatch_target: 'nowhere' }, {}, 'dispatcher.dispatch_target'],
  ['no number', { max_concurrent_runs: 'two' }, {}, 'dispatcher.max_concurrent_runs'],
  ['no name', {}, { name: '' }, 'triggers.0.name'],
  ['a name of nothing', {}, { name: '!!' }, 'triggers.0.name'],
  ['no schedule', {}, { source: 'cron' }, 'triggers.0.source_config.interval_sec'],
  ['no time', {}, { source: 'cron', source_config: { at: ['7:00'] } }, 'triggers.0.source_config.at.0'],
  [
    'no day',
    {},
    { source: 'cron', source_config: { at: ['07:00'], days: ['monday'] } },
    'triggers.0.source_config.days',
  ],
  ['no policy', {}, { on_error: { action: 'panic' } }, 'triggers.0.on_error.action'],
  ['no list', {}, { action: { prompt: 'x', allowed_tools: [1] } }, 'triggers.0.action.allowed_tools'],
])('%s is refused, with its path', (_name, more, trigger, path) => {
  const refused = (): Converted => converted(trigger, more)
  expect(refused).toThrow(OspreyError)
  try {
    refused()
  } catch (error) {
    expect((error as OspreyError).path).toBe(path)
  }
})
