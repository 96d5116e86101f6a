// signalbox runs approve and deny: what is shown, who is asked, and what the decision is bound to.
import { userInfo } from 'node:os'
import { describe, expect, test } from 'vitest'
import { hasTerminal, onTerminal, signalbox, type Ran } from '../support/command-line.ts'
import { ended, freshRouter, until, type TestRouter } from '../support/router.ts'

const action = {
  bot_id: 'bot',
  workflow_id: 'deploy',
  inputs: { repo: '{{ payload.repo }}', note: 'for {{ actor }}' },
  allowed_tools: ['git', 'Bash'],
}

interface Waiting {
  router: TestRouter
  run_id: string
  run: (...args: string[]) => Promise<Ran>
}

async function waiting(approval: object = {}): Promise<Waiting> {
  const router = await freshRouter()
  const { call } = router
  await call('bot.put', { bot: { id: 'bot', endpoint: { kind: 'command', argv: ['/bin/true'] } } })
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  await call('trigger.put', {
    trigger: {
      id: 'deploys',
      event_source_id: 's',
      filter: { type: ['push'] },
      action,
      policy: { approval },
    },
  })
  const event = {
    source_id: 's',
    type: 'push',
    subject: 'acme/site',
    actor: 'ada',
    thread: 'acme/site#12',
    payload: { repo: 'acme/site\u001b[2J' },
  }
  const run_id = (await call('event.emit', event)).runs[0]!
  await until(async () => (await call('run.get', { run_id })).run.state === 'awaiting_approval')
  return { router, run_id, run: (...args) => signalbox(router, args) }
}

async function reasons({ router, run_id }: Waiting): Promise<(string | undefined)[]> {
  return (await router.call('run.history', { run_id })).history.map(({ reason }) => reason)
}

describe('without a terminal', () => {
  test('everything is shown, and nothing is done without --yes', async () => {
    const at = await waiting({ timeout_ms: 3_600_000 })
    const { code, out, err } = await at.run('runs', 'approve', at.run_id)
    expect(code).toBe(64)
    expect(err).toContain('add --yes')
    const expected = [
      `run +${at.run_id}`,
      'trigger +deploys, version 1',
      'bot +bot, workflow deploy',
      'event +[0-9a-f-]{36} of source s',
      'type +push',
      'subject +acme/site',
      'thread +acme/site#12',
      'actor +ada',
      String.raw`"repo": "acme/site\\u001b\[2J",\s+"note": "for ada"`,
      'tools +git\n',
      'denied +shell, bash, sh',
      'removed +Bash',
      String.raw`expires +20\d\d-.*Z, then it counts as denied`,
    ]
    for (const pattern of expected) expect(out).toMatch(new RegExp(pattern))
    expect((await at.router.call('run.get', { run_id: at.run_id })).run.state).toBe('awaiting_approval')
  })

  test('--yes approves, as the login name unless another is given', async () => {
    const at = await waiting()
    expect(await at.run('runs', 'approve', at.run_id, '--yes')).toMatchObject({
      code: 0,
      out: expect.stringContaining(`approved: run ${at.run_id}`) as string,
    })
    expect(await ended(at.router, at.run_id)).toMatchObject({ state: 'completed' })
    expect(await reasons(at)).toContain(`approved by ${userInfo().username} (claimed)`)
  })

  test('--as and --reason are in the history as claimed', async () => {
    const at = await waiting()
    const denied = await at.run(
      'runs',
      'deny',
      at.run_id,
      '--yes',
      '--as',
      'grace',
      '--reason',
      'not on a Friday',
    )
    expect(denied).toMatchObject({ code: 0, out: expect.stringContaining('is held now') as string })
    expect(await reasons(at)).toContain('denied by grace (claimed): not on a Friday')
    expect((await at.router.call('run.get', { run_id: at.run_id })).run.error).toBe(
      'denied by grace (claimed): not on a Friday',
    )
    expect(await at.run('runs', 'approve', at.run_id, '--yes')).toMatchObject({
      code: 1,
      err: expect.stringContaining('signalbox runs release') as string,
    })
  })

  test('"last", a name that is too long and another version are refused', async () => {
    const at = await waiting()
    for (const verb of ['approve', 'deny'])
      expect(await at.run('runs', verb, 'last', '--yes')).toMatchObject({
        code: 64,
        err: expect.stringContaining('not "last"') as string,
      })
    expect(await at.run('runs', 'approve', at.run_id, '--yes', '--as', 'x'.repeat(129))).toMatchObject({
      code: 64,
    })
    const decision = { run_id: at.run_id, claimed_by: 'ada' }
    await expect(at.router.call('run.approve', { ...decision, trigger_version: 2 })).rejects.toMatchObject({
      code: -32009,
    })
    await expect(at.router.call('run.approve', { ...decision, version: 1 })).rejects.toMatchObject({
      code: -32009,
      data: { found: 2 },
    })
    await expect(at.router.call('run.approve', { ...decision, claimed_by: 'a\nb' })).rejects.toMatchObject({
      code: -32602,
    })
    expect((await at.router.call('run.get', { run_id: at.run_id })).run.state).toBe('awaiting_approval')
  })

  test('--json prints the run alone', async () => {
    const at = await waiting()
    expect(await at.run('--json', 'runs', 'approve', at.run_id)).toMatchObject({ code: 64, out: '' })
    const { out } = await at.run('--json', 'runs', 'approve', at.run_id, '--yes')
    expect(JSON.parse(out)).toMatchObject({ id: at.run_id })
  })
})

describe.skipIf(!hasTerminal)('on a terminal', () => {
  test.each([
    ['y\n', 0, 'approved: run', 'completed'],
    ['\n', 1, 'nothing was approved', 'awaiting_approval'],
    ['\u0004', 1, 'nothing was approved', 'awaiting_approval'],
  ])('the answer %j', async (answer, code, said, state) => {
    const at = await waiting()
    const ran = await onTerminal(at.router, ['runs', 'approve', at.run_id], { answers: [['[y/N]', answer]] })
    expect(ran.out).toContain(said)
    expect(ran.code).toBe(code)
    expect(ran.out.indexOf('deploys, version 1')).toBeLessThan(ran.out.indexOf('Approve? [y/N]'))
    if (state === 'completed') await ended(at.router, at.run_id)
    expect((await at.router.call('run.get', { run_id: at.run_id })).run.state).toBe(state)
  })
})

test('a batch is shown with all of its events', async () => {
  const { call } = await freshRouter()
  await call('bot.put', { bot: { id: 'bot', endpoint: { kind: 'command', argv: ['/bin/true'] } } })
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  const inputs = { all: '{{ events.payload.n }}' }
  const policy = { batch: { max: 3, timeout_ms: 60_000 }, approval: {} }
  await call('trigger.put', {
    trigger: {
      id: 't',
      event_source_id: 's',
      filter: { type: ['x'] },
      action: { bot_id: 'bot', inputs },
      policy,
    },
  })
  const emit = async (n: number): Promise<string> =>
    (await call('event.emit', { source_id: 's', type: 'x', payload: { n } })).runs[0]!
  const run_id = await emit(1)
  await emit(2)
  await emit(3)
  await until(async () => (await call('run.get', { run_id })).run.state === 'awaiting_approval')
  expect(await call('run.preview', { run_id })).toMatchObject({
    run: { events: 3 },
    inputs: { all: [1, 2, 3] },
  })
  await call('run.cancel', { run_id })
  expect(await call('run.preview', { run_id })).toMatchObject({
    run: { state: 'cancelled' },
    inputs: { all: [1, 2, 3] },
  })
})
