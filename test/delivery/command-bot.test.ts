// command bots: what a child gets, how it ends, and that nothing of it stays.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { defaultDeniedTools } from '../../src/config.ts'
import { ended, freshRouter, until, type TestRouter } from '../support/router.ts'

async function withCommand(
  argv: string[],
  options: {
    policy?: Record<string, unknown>
    bot?: Record<string, unknown>
    env?: Record<string, string>
  } = {},
): Promise<{ router: TestRouter; emit: (payload?: unknown) => Promise<string> }> {
  const router = await freshRouter({}, options.env ?? {})
  await router.call('bot.put', {
    bot: { id: 'bot', endpoint: { kind: 'command', argv, cwd: router.directory, ...options.bot } },
  })
  await router.call('source.put', { source: { id: 's', source_type: 'service' } })
  await router.call('trigger.put', {
    trigger: {
      id: 't',
      filter: { source_id: ['s'] },
      action: { bot_id: 'bot', workflow_id: 'w' },
      policy: options.policy ?? {},
    },
  })
  return {
    router,
    emit: async (payload = {}) =>
      (await router.call('event.emit', { source_id: 's', type: 'x', payload })).runs[0]!,
  }
}

const sh = (script: string): string[] => ['/bin/sh', '-c', script]
const output = async (router: TestRouter, run_id: string): Promise<string> =>
  (await router.call('run.history', { run_id })).attempts.at(-1)!.output!

/** Whether a process is alive (a zombie is not). */
function alive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

test('the body comes on standard input, and the environment is made from nothing', async () => {
  const { router, emit } = await withCommand(sh('cat > got.json; env | sort'), {
    bot: { env: ['WANTED', 'NOT_SET'] },
    env: { WANTED: 'yes', SECRET: 'no', LD_PRELOAD: '', NODE_OPTIONS: '', LANG: 'C.UTF-8' },
  })
  const run_id = await emit({
    evil: '$(touch pwned) `touch pwned` ; touch pwned',
    LD_PRELOAD: '/tmp/x.so',
    text: 'ä\u0000\n',
  })
  expect(await ended(router, run_id)).toMatchObject({ state: 'completed' })
  const body = JSON.parse(readFileSync(join(router.directory, 'got.json'), 'utf8')) as Record<string, unknown>
  expect(body).toMatchObject({
    run: { id: run_id, attempt: 1 },
    event: { payload: { text: 'ä\u0000\n' } },
    inputs: {},
    allowed_tools: null,
    denied_tools: defaultDeniedTools(),
    allowed_denied_tools: [],
  })
  const names = (await output(router, run_id))
    .trim()
    .split('\n')
    .map(line => line.split('=')[0])
  expect(names.filter(name => !['PWD', 'OLDPWD', 'SHLVL', '_'].includes(name!))).toEqual([
    'HOME',
    'LANG',
    'PATH',
    'SIGNALBOX_ATTEMPT',
    'SIGNALBOX_DEPTH',
    'SIGNALBOX_EVENT_ID',
    'SIGNALBOX_RUN_ID',
    'SIGNALBOX_SOCKET',
    'SIGNALBOX_TRIGGER_ID',
    'SIGNALBOX_WORKFLOW_ID',
    'WANTED',
  ])
  expect(existsSync(join(router.directory, 'pwned'))).toBe(false)
})

describe('how it ends', () => {
  test.each([
    ['exit 0', sh('echo "{\\"ok\\": 1}"'), 'completed', 'success', 'exit 0'],
    ['exit 3', sh('echo why >&2; exit 3'), 'failed', 'permanent', 'exit 3'],
    ['a signal', sh('kill -SEGV $$'), 'failed', 'permanent', 'signal SIGSEGV'],
    ['no such program', ['/no/such/program'], 'failed', 'retry', 'ENOENT'],
    ['a name that is nowhere', ['no-such-program-anywhere'], 'failed', 'retry', 'ENOENT'],
    ['not executable', [`${process.cwd()}/package.json`], 'failed', 'retry', 'ENOENT'],
    [
      'too long for the system',
      ['/bin/echo', ...Array.from({ length: 60 }, () => 'x'.repeat(4096))],
      'completed',
      'success',
      'exit 0',
    ],
    ['input that nobody reads', ['/bin/true'], 'completed', 'success', 'exit 0'],
    [
      '100 MB of output',
      sh('head -c 100000000 /dev/zero | tr "\\0" x; echo end'),
      'completed',
      'success',
      'exit 0',
    ],
  ])('%s', async (_name, argv, state, outcome, status) => {
    const { router, emit } = await withCommand(argv, { policy: outcome === 'retry' ? { retry: 'none' } : {} })
    const run_id = await emit({ large: 'x'.repeat(500_000) })
    expect(await ended(router, run_id)).toMatchObject({ state })
    const { attempts } = await router.call('run.history', { run_id })
    expect(attempts).toMatchObject([{ outcome, status }])
    expect((attempts[0]!.output ?? '').length).toBeLessThanOrEqual(2048)
  })

  test.each([
    ['/no/such/directory', 'does not exist'],
    ['/etc/hostname', 'is not a directory'],
  ])('in the working directory %s it fails at once, with that sentence', async (cwd, what) => {
    const { router, emit } = await withCommand(['/bin/true'], { bot: { cwd } })
    const run_id = await emit({})
    const run = await ended(router, run_id)
    expect(run).toMatchObject({
      state: 'failed',
      error: `the working directory ${cwd} of the command ${what}`,
    })
    const { attempts } = await router.call('run.history', { run_id })
    expect(attempts).toMatchObject([{ outcome: 'permanent', status: 'E_CWD' }])
  })

  test.each([
    [
      'the last line',
      'echo one; echo "cannot reach the host" >&2; echo; exit 3',
      'exit code 3: cannot reach the host',
    ],
    [
      'as a terminal shows it',
      'printf "10 %%\\r20 %%\\rstopped at 20 %%\\r\\n"; exit 4',
      'exit code 4: stopped at 20 %',
    ],
    ['without a secret', 'echo "wrong token $TOKEN"; kill -KILL $$', 'ended by SIGKILL: wrong token ***'],
    ['nothing that was not printed', 'exit 5', 'exit code 5'],
    [
      'at most 1,000 characters of it',
      'head -c 3000 /dev/zero | tr "\\0" x; exit 6',
      `exit code 6: ${'x'.repeat(984)}...`,
    ],
  ])('a failed run shows %s', async (_name, script, error) => {
    const { router, emit } = await withCommand(sh(script), {
      bot: { env: ['TOKEN'] },
      env: { TOKEN: 'a-long-secret-value' },
    })
    expect((await ended(router, await emit())).error).toBe(error)
  })

  test('a command that began and failed is not run again, unless it or its trigger asks for it', async () => {
    const count = 'n=$(cat n 2>/dev/null || echo 0); n=$((n+1)); echo $n > n; [ $n -ge 3 ] ||'
    const asks = await withCommand(sh(`${count} exit 75`), { policy: { retry: [0, 0, 0, 0] } })
    expect(await ended(asks.router, await asks.emit())).toMatchObject({ state: 'completed', attempt: 3 })
    const told = await withCommand(sh(`${count} exit 1`), { policy: { retry: [0, 0, 0, 0] } })
    expect(await ended(told.router, await told.emit())).toMatchObject({ state: 'completed', attempt: 3 })
    const neither = await withCommand(sh(`${count} exit 1`))
    expect(await ended(neither.router, await neither.emit())).toMatchObject({
      state: 'failed',
      attempt: 1,
      dead: true,
    })
  })

  test('a child of the child that holds the pipes does not hold the run', async () => {
    const { router, emit } = await withCommand(sh('sleep 60 & echo $!'))
    const run_id = await emit()
    expect(await ended(router, run_id)).toMatchObject({ state: 'completed' })
    const pid = Number((await output(router, run_id)).trim())
    expect(alive(pid)).toBe(true)
    process.kill(pid, 'SIGKILL')
  })
})

describe('nothing of it stays', () => {
  const stubborn =
    'trap "" TERM; sh -c "trap \\"\\" TERM; echo \\$\\$ >> pids; while :; do sleep 0.05; done" & echo $$ >> pids; while :; do sleep 0.05; done'
  const pids = async (router: TestRouter, count: number): Promise<number[]> =>
    until(async () => {
      const file = join(router.directory, 'pids')
      const found = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').map(Number) : []
      return found.length >= count && found
    })

  test('after its time: the whole group, though it ignores SIGTERM', async () => {
    const { router, emit } = await withCommand(sh(stubborn), { policy: { timeout_ms: 2000 } })
    const run_id = await emit()
    const group = await pids(router, 2)
    expect(await ended(router, run_id)).toMatchObject({ state: 'timed_out', dead: true })
    await until(async () => !group.some(alive))
  })

  test('after a cancel', async () => {
    const { router, emit } = await withCommand(sh(stubborn))
    const run_id = await emit()
    const group = await pids(router, 2)
    await router.call('run.cancel', { run_id })
    expect(await ended(router, run_id)).toMatchObject({ state: 'cancelled' })
    await until(async () => !group.some(alive))
  })

  test('after a clean stop of the router, and the run is owed still', async () => {
    const { router, emit } = await withCommand(sh(stubborn))
    const run_id = await emit()
    const group = await pids(router, 2)
    writeFileSync(join(router.directory, 'stopping'), '')
    await router.router.stop()
    await until(async () => !group.some(alive))
    const again = await freshRouter({ state_dir: router.directory })
    const { attempts } = await again.call('run.history', { run_id })
    expect(attempts[0]).toMatchObject({ number: 1, outcome: 'unknown' })
    await again.call('run.cancel', { run_id })
    await ended(again, run_id)
  })

  test('twenty children of one command', async () => {
    const { router, emit } = await withCommand(
      sh(
        'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 60 & echo $! >> pids; done; wait',
      ),
    )
    const run_id = await emit()
    const group = await pids(router, 20)
    await router.call('run.cancel', { run_id })
    await ended(router, run_id)
    await until(async () => !group.some(alive))
  })
})

test('two at a time, unless said otherwise', async () => {
  const { router, emit } = await withCommand(sh('echo x >> started; while [ ! -e go ]; do sleep 0.02; done'))
  const runs = await Promise.all(Array.from({ length: 4 }, () => emit()))
  const started = (): number =>
    existsSync(join(router.directory, 'started'))
      ? readFileSync(join(router.directory, 'started'), 'utf8').length / 2
      : 0
  await until(async () => started() === 2)
  expect((await router.call('bot.get', { bot_id: 'bot' })).bot.active).toBe(2)
  expect(started()).toBe(2)
  writeFileSync(join(router.directory, 'go'), '')
  await Promise.all(runs.map(run => ended(router, run)))
  expect(started()).toBe(4)
})
