// Three ways in which signalbox is used, from their files to what the bots were given: hand-over between workflows (otter),
// an Osprey dispatcher taken over, and the Hero services. Their cases are held against the same files, offline.
import { createHmac } from 'node:crypto'
import { cpSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { botServer } from '../support/bot-server.ts'
import { signalbox, type Ran } from '../support/command-line.ts'
import { ended, freshRouter, until, type TestRouter } from '../support/router.ts'
import { rpcService } from '../support/rpc-service.ts'

interface Stage {
  router: TestRouter
  directory: string
  run: (...args: string[]) => Promise<Ran>
}

/** A router, and the files of a scenario with their ${NAMES} filled in. */
async function stage(
  name: string,
  values: Record<string, string>,
  env: Record<string, string> = {},
): Promise<Stage> {
  const router = await freshRouter(
    { poll_min_interval_ms: 20 },
    { SIGNALBOX_BIN: resolve('scripts/signalbox'), ...env },
  )
  const directory = join(router.directory, 'scenarios', name)
  cpSync(`test/scenarios/${name}`, directory, { recursive: true })
  symlinkSync(resolve('test/fixtures'), join(router.directory, 'fixtures'))
  const all: Record<string, string> = { WORK: router.directory, ...values }
  for (const file of readdirSync(directory)) {
    const path = join(directory, file)
    writeFileSync(
      path,
      readFileSync(path, 'utf8').replaceAll(/\$\{([A-Z]+)\}/g, (_, key: string) => all[key]!),
    )
  }
  return { router, directory, run: (...args) => signalbox(router, args) }
}

test('otter: what is planned is handed over with its files, and a person can hand over too', async () => {
  const { router, directory, run } = await stage('otter', {})
  const issues = join(router.directory, 'issues.json')
  writeFileSync(issues, '[]')
  expect(await run('test', '-f', directory)).toMatchObject({
    code: 0,
    out: expect.stringMatching(/^(✓ .*\n){3}3 passed, 0 failed\n$/) as string,
  })
  expect((await run('apply', '-f', directory)).out).toContain('6 created')
  writeFileSync(issues, '[{"number": 7, "labels": ["bug", "agent"]}, {"number": 8, "labels": ["bug"]}]')
  const [handed] = await until(async () => {
    const { events } = await router.call('event.query', { source_id: 'implement-inbox' })
    return events.length > 0 && events
  })
  const { runs } = await router.call('run.list', { event_id: handed!.id })
  const implemented = await ended(router, runs[0]!.id)
  expect(implemented).toMatchObject({
    state: 'completed',
    trigger_id: 'implement',
    result: ['mend the door', '1. read plan'],
  })
  const event = await router.call('event.get', { event_id: handed!.id })
  expect(event.causation).toMatchObject({ depth: 1 })
  expect(event.context_files!.map(file => file.name)).toEqual(['plan.md', 'issue.txt'])
  writeFileSync(join(router.directory, 'issue.txt'), 'by hand\n')
  writeFileSync(join(router.directory, 'plan.md'), 'no plan\n')
  const files = ['issue.txt', 'plan.md'].flatMap(name => ['--context-file', join(router.directory, name)])
  const waited = await run(
    'dispatch',
    'implement',
    '--payload',
    '{"event": {"payload": {"number": 9}}}',
    ...files,
    '--wait',
  )
  expect(waited).toMatchObject({
    code: 0,
    out: `[\n  "by hand",\n  "no plan"\n]\n`,
    err: expect.stringContaining('completed') as string,
  })
  expect(await run('dispatch', 'inplement')).toMatchObject({
    code: 1,
    err: expect.stringContaining(
      'no bot takes work for inplement: no source of type dispatch has workflow_id "inplement"; work can be handed to implement',
    ) as string,
  })
})

test('osprey: its file is taken over, its webhook delivered to its worker, its schedule kept', async () => {
  const worker = await botServer(
    (_request, response) =>
      void response
        .writeHead(202, { 'content-type': 'application/json' })
        .end('{"run_id": "r", "status": "accepted"}'),
  )
  const env = { EVENT_DISPATCHER_TOKEN: 'intake-token', DISPATCH_WORKER_TOKEN: 'worker-token' }
  const { router, directory, run } = await stage('osprey', { WORKER: new URL(worker.url).origin }, env)
  const imported = await run(
    'import',
    'osprey',
    join(directory, 'triggers.yml'),
    '--timezone',
    'Europe/Berlin',
    '--apply',
  )
  expect(imported).toMatchObject({ code: 0, err: '', out: expect.stringContaining('6 created') as string })
  const { body } = await router.post('beam-loss', '{"ring": 1}', { authorization: 'Bearer intake-token' })
  await ended(router, (body.runs as string[])[0]!)
  expect(worker.received[0]!.headers.authorization).toBe('Bearer worker-token')
  expect(JSON.parse(worker.received[0]!.body)).toEqual({
    prompt: 'Find out why the beam was lost.\n\nThe payload of the event, as JSON:\n{\n  "ring": 1\n}',
    allowed_tools: ['get_pv', 'archiver_query'],
  })
  const { source } = await router.call('source.get', { source_id: 'morning-report' })
  expect(new Date(source.next_at!).toLocaleTimeString('en-GB', { timeZone: 'Europe/Berlin' })).toBe(
    '07:30:00',
  )
  const fired = await run('sources', 'fire', 'morning-report')
  await ended(router, /run ([0-9a-f-]{36})/.exec(fired.out)![1]!)
  expect((JSON.parse(worker.received[1]!.body) as { prompt: string }).prompt).toMatch(
    /^Write the report of the night\.\n\n[^]*"trigger": "morning-report"/,
  )
})

test('hero: a push makes a job, a changed object a play, an approval goes on with the play that waits', async () => {
  const good = ({ id }: { id: unknown }): string =>
    JSON.stringify({ jsonrpc: '2.0', id, result: { sid: 'p1' } })
  const { router, directory, run } = await stage('hero', {}, { FORGE_SECRET: 'a secret of the forge' })
  const proc = await rpcService('http', good, join(router.directory, 'proc.sock'))
  const logic = await rpcService('http', good, join(router.directory, 'logic.sock'))
  expect(await run('test', '-f', directory)).toMatchObject({
    code: 0,
    out: expect.stringContaining('3 passed, 0 failed') as string,
  })
  expect((await run('apply', '-f', directory)).out).toContain('9 created')
  const push = readFileSync('test/fixtures/gitea-webhooks/push-event.json')
  const signature = createHmac('sha256', 'a secret of the forge').update(push).digest('hex')
  const headers = {
    'x-forgejo-event-type': 'push',
    'x-forgejo-delivery': 'd1',
    'x-forgejo-signature': signature,
  }
  const answer = await router.post('forge', push, headers)
  expect(answer.body.matched_triggers).toEqual(['build'])
  const job = await ended(router, (answer.body.runs as string[])[0]!)
  expect(proc.calls).toMatchObject([
    {
      method: 'job.create',
      params: {
        context_name: 'core',
        action: 'site.build',
        inputs: { commit: '67b56589a45103f891bdee7c0546e5d40bc02001', repo: 'example/example' },
        tags: ['signalbox', job.id],
      },
    },
  ])
  const change = { object_type: 'contract', object_id: 'c7', change: 'updated' }
  const changed = await router.call('event.emit', { source_id: 'osis', type: 'osis_change', payload: change })
  await ended(router, changed.runs[0]!)
  expect(logic.calls[0]).toMatchObject({
    method: 'play_start',
    params: { workflow_sid: 'review_contract', input_data: { contract: 'c7' } },
  })
  await expect(
    router.call('event.emit', {
      source_id: 'osis',
      type: 'osis_change',
      payload: { ...change, object_type: 'invoice' },
    }),
  ).rejects.toMatchObject({
    code: -32602,
    data: { path: 'payload.object_type' },
  })
  const approval = { play_sid: 'p1', resume_id: 'r1', approved: true }
  const resumed = await router.call('event.emit', {
    source_id: 'approvals',
    type: 'approval',
    payload: approval,
  })
  await ended(router, resumed.runs[0]!)
  expect(logic.calls[1]).toMatchObject({
    method: 'play_resume',
    params: { play_sid: 'p1', resume_id: 'r1', payload_json: JSON.stringify(approval) },
  })
})
