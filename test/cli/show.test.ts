// signalbox runs show: one run with everything that belongs to it, and the commands that make sense next.
import { expect, test } from 'vitest'
import { signalbox } from '../support/command-line.ts'
import { ended, freshRouter, until, type TestRouter } from '../support/router.ts'

async function withTrigger(script: string, policy: object = {}): Promise<TestRouter> {
  const router = await freshRouter()
  const { call, directory } = router
  await call('bot.put', {
    bot: { id: 'agent', endpoint: { kind: 'command', argv: ['/bin/sh', '-c', script], cwd: directory } },
  })
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  const action = {
    bot_id: 'agent',
    workflow_id: 'fix',
    inputs: { issue: '{{ payload.n }}' },
    allowed_tools: ['git', 'Bash'],
  }
  await call('trigger.put', {
    trigger: { id: 'fixes', event_source_id: 's', filter: { type: ['issue'] }, action, policy },
  })
  return router
}

async function emitted({ call }: TestRouter): Promise<{ run_id: string; event_id: string }> {
  const event = {
    source_id: 's',
    type: 'issue',
    subject: 'a crash',
    actor: 'ada',
    thread: 'acme/site#12',
    payload: { n: 12 },
  }
  const { event_id, runs } = await call('event.emit', event)
  return { event_id, run_id: runs[0]! }
}

test('a failed run: its event, what it was given, its attempts, its last output, and its retry', async () => {
  const router = await withTrigger(
    'echo \'{"usage": {"input_tokens": 1200, "cost_usd": 0.5}}\'; printf "one\\033[2J\\n"; echo "no model" >&2; exit 3',
  )
  const { run_id, event_id } = await emitted(router)
  await ended(router, run_id)
  const { code, out } = await signalbox(router, ['runs', 'show', 'last'])
  expect(code).toBe(0)
  for (const line of [
    `run         ${run_id}`,
    'trigger     fixes, version 1, workflow fix',
    'bot         agent, priority 0',
    `event       ${event_id}`,
    /^ {12}issue of source s, received at /m,
    '            subject a crash, thread acme/site#12, actor ada',
    /^state {7}dead \(failed\), since /m,
    'error       exit code 3: no model',
    /^gates {7}passed: source, trigger, .*filter/m,
    'used        1,200 tokens in, 0 out, 0.5 USD',
    '              "issue": 12',
    'tools       allowed: git',
    /^ {12}denied: shell, bash,/m,
    /^ {12}removed: Bash \(/m,
    /^request {5}\/bin\/sh -c "echo .* in .*, [\d,]+ bytes on standard input\n {12}variables: HOME, PATH, SIGNALBOX_ATTEMPT/m,
    /^attempt 1 {3}permanent, exit 3: at .*, for [\d.]+ s\n {12}exit code 3: no model$/m,
    /^output .*\n[^]* {12}no model$/m,
    `next        signalbox runs logs ${run_id}\n            signalbox runs retry ${run_id}\n            signalbox runs discard ${run_id}\n            signalbox explain ${event_id} fixes`,
  ])
    expect(out).toMatch(line)
  expect(out).not.toContain('\u001b')
  const one = JSON.parse((await signalbox(router, ['--json', 'runs', 'show', run_id])).out) as Record<
    string,
    unknown
  >
  expect(one).toMatchObject({
    id: run_id,
    event: { id: event_id },
    inputs: { issue: 12 },
    attempts: [{ number: 1 }],
    usage: { input_tokens: 1200 },
  })
  const { body } = one.last_request as { body: string }
  expect(JSON.parse(body)).toMatchObject({ run: { id: run_id }, inputs: { issue: 12 } })
})

test.each([
  [{ approval: {} }, 'awaiting_approval', ['approve', 'deny', 'update'], 'waiting     waiting for approval'],
  [{ rate_limit: { limit: 1, period_ms: 60_000 } }, 'completed', ['logs'], 'result'],
])('what makes sense next of %j is %s: %j', async (policy, state, verbs, shown) => {
  const router = await withTrigger('echo \'{"ok": true}\'', policy)
  const { run_id, event_id } = await emitted(router)
  await until(async () => (await router.call('run.get', { run_id })).run.state === state)
  const { out } = await signalbox(router, ['runs', 'show', run_id])
  expect(out).toContain(shown)
  const next = out
    .slice(out.indexOf('next  '))
    .trim()
    .split('\n')
    .map(line => line.trim().replace(/^next +/, ''))
  expect(next).toEqual([
    ...verbs.map(verb => `signalbox runs ${verb} ${run_id}`),
    `signalbox explain ${event_id} fixes`,
  ])
})
