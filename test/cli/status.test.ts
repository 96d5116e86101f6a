// signalbox status: what needs a person, with the command that helps; and the job that it is for, from the failure to the retry.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import { hasTerminal, onTerminal, signalbox } from '../support/command-line.ts'
import { lineProxy } from '../support/line-proxy.ts'
import { ended, freshRouter, until, type TestRouter } from '../support/router.ts'

const hostile = '\u001b[2J\u009b31m'

interface Night {
  router: TestRouter
  failed: string
  asking: string
}

/** A router at which an agent failed, a run waits for an approval, and one is under way. */
async function night(): Promise<Night> {
  const router = await freshRouter()
  const { call, directory } = router
  const sh = (script: string): object => ({
    kind: 'command',
    argv: ['/bin/sh', '-c', script],
    cwd: directory,
  })
  await call('bot.put', {
    bot: {
      id: 'agent',
      endpoint: sh(
        `echo working; printf 'cannot reach the model ${hostile.replaceAll("'", '')}\\n' >&2; [ -e mended ]`,
      ),
    } as never,
  })
  await call('bot.put', {
    bot: {
      id: 'slow',
      endpoint: sh(
        `echo '{"SIGNALBOX_SOCKET": "'$SIGNALBOX_SOCKET'"}' > env; echo step 3 of 10; while [ ! -e go ]; do sleep 0.02; done`,
      ),
    } as never,
  })
  await call('bot.put', { bot: { id: 'worker', endpoint: { kind: 'pull' } } })
  await call('source.put', { source: { id: 'jobs', source_type: 'service' } })
  await call('source.put', {
    source: { id: 'daily', source_type: 'cron', config: { expression: '0 0 9 * * *' } },
  })
  const trigger = (id: string, bot_id: string, policy: object = {}): object => ({
    trigger: { id, event_source_id: 'jobs', filter: { type: [id] }, action: { bot_id }, policy },
  })
  await call('trigger.put', trigger('fixes', 'agent') as never)
  await call('trigger.put', trigger('builds', 'slow') as never)
  await call('trigger.put', trigger('deploys', 'agent', { approval: {} }) as never)
  const emit = async (type: string): Promise<string> =>
    (await call('event.emit', { source_id: 'jobs', type, payload: {} })).runs[0]!
  const failed = await emit('fixes')
  await ended(router, failed)
  const asking = await emit('deploys')
  await until(async () => (await call('run.get', { run_id: asking })).run.state === 'awaiting_approval')
  const building = await emit('builds')
  await call('run.output', { run_id: building, wait_ms: 10_000 })
  const { SIGNALBOX_SOCKET } = JSON.parse(readFileSync(join(directory, 'env'), 'utf8')) as {
    SIGNALBOX_SOCKET: string
  }
  const own = await SignalboxClient.connect(SIGNALBOX_SOCKET)
  onTestFinished(() => own.close())
  await own.call('run.progress', { percent: 30, message: 'compiling' })
  await router.post('nowhere', '{}')
  return { router, failed, asking }
}

test('an agent failed: what it said, why, and its retry, in three commands that each follow from the one before', async () => {
  const { router, failed, asking } = await night()
  const status = await signalbox(router, ['status'])
  expect(status).toMatchObject({ code: 0, err: '' })
  for (const line of [
    /^signalbox \d+\.\d+\.\d+, up \d+ s: ok$/m,
    /^events {4}0\.6 a minute in the last 5 min: jobs 0\.6$/m,
    /^refused {3}1 delivery in the last 5 min: signalbox events refused$/m,
    /builds → slow, attempt 1, for \d+ s, 30 % compiling\n {6}step 3 of 10$/m,
    new RegExp(`${asking} {2}deploys → agent\\n {6}signalbox runs approve ${asking}$`, 'm'),
    /worker has workers, and none was heard of since the router started/,
    /^ {2}daily at /m,
    new RegExp(`${failed} {2}fixes → agent, .*exit code 1: cannot reach the model`),
  ])
    expect(status.out).toMatch(line)
  expect(status.out).not.toContain('\u001b')
  const [logs, retry] = new RegExp(`signalbox (runs logs ${failed}) {3}then signalbox (runs retry ${failed})`)
    .exec(status.out)!
    .slice(1)
  expect((await signalbox(router, logs!.split(' '))).out).toContain('cannot reach the model')
  await signalbox(router, ['rpc', 'rpc.health'])
  expect(await signalbox(router, retry!.split(' '))).toMatchObject({ code: 0 })
  await until(async () => (await router.call('run.get', { run_id: failed })).run.attempt === 2)
})

describe('status', () => {
  test('for programs is one object', async () => {
    const { router, failed } = await night()
    const { out } = await signalbox(router, ['--json', 'status'])
    const found = JSON.parse(out) as Record<string, unknown>
    expect(found).toMatchObject({
      health: { status: 'ok' },
      events: [{ source_id: 'jobs', count: 3 }],
      next: [{ source_id: 'daily' }],
      runs: { failed: [{ id: failed }], running: [{ trigger_id: 'builds' }] },
    })
    expect(await signalbox(router, ['status', '--watch'])).toMatchObject({
      code: 64,
      err: expect.stringContaining('draws on a terminal') as string,
    })
    await router.call('router.pause', { reason: 'moving' })
    await router.call('trigger.pause', { trigger_id: 'fixes', reason: 'the host is down' })
    const text = (await signalbox(router, ['status'])).out
    expect(text).toContain('dispatching is paused (moving): signalbox resume')
    expect(text).toMatch(/^ {2}fixes since .* \(the host is down\): signalbox triggers resume fixes$/m)
  })

  test.skipIf(!hasTerminal)('is drawn again on a terminal until Ctrl-C', async () => {
    const { router } = await night()
    const ran = await onTerminal(router, ['status', '--watch'], {
      answers: [
        ['next', ''],
        ['signalbox ', '\u0003'],
      ],
    })
    expect(ran.code).toBe(0)
    expect(ran.out.match(/up \d+ s: ok/g)!.length).toBeGreaterThan(1)
    expect(ran.out).not.toContain(hostile)
  })
})

test(
  'a run that is removed between the list and the look is shown as it was listed',
  { timeout: 60_000 },
  async () => {
    const { router, failed } = await night()
    const gone = '01890000-0000-7000-8000-000000000000'
    const way = await lineProxy(router.router.socket, {
      asked: message =>
        message.method === 'run.get' || message.method === 'run.output'
          ? { ...message, params: { ...message.params, run_id: gone } }
          : message,
    })
    const { code, out, err } = await signalbox(way, ['status'])
    expect([code, err]).toEqual([0, ''])
    for (const line of [/ {2}builds → slow, attempt 1, for /, new RegExp(`signalbox runs logs ${failed}`)])
      expect(out).toMatch(line)
  },
)
