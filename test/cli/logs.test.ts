// signalbox runs logs: what an attempt printed, for a pipe byte for byte, for a terminal made safe, for programs as parts.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { signalbox } from '../support/command-line.ts'
import { ended, freshRouter, type TestRouter } from '../support/router.ts'

async function withRun(
  script: string,
  flags: Record<string, unknown> = {},
): Promise<TestRouter & { run_id: string; logs: (...args: string[]) => ReturnType<typeof signalbox> }> {
  const router = await freshRouter(flags)
  const { call, directory } = router
  await call('bot.put', {
    bot: { id: 'bot', endpoint: { kind: 'command', argv: ['/bin/sh', '-c', script], cwd: directory } },
  })
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  await call('trigger.put', { trigger: { id: 't', filter: { type: ['x'] }, action: { bot_id: 'bot' } } })
  const run_id = (await call('event.emit', { source_id: 's', type: 'x', payload: {} })).runs[0]!
  return { ...router, run_id, logs: (...args) => signalbox(router, args) }
}

test('the output goes to standard output as it was printed, what the router says of it to standard error', async () => {
  const router = await withRun("printf '\\033[31mred\\033[0m\\n'; printf '\\377\\n'; seq 3; exit 4")
  await ended(router, router.run_id)
  const all = await router.logs('runs', 'logs', 'last')
  expect(all).toEqual({
    code: 0,
    out: '\u001b[31mred\u001b[0m\n\ufffd\n1\n2\n3\n',
    err: 'attempt 1 is over; the run is dead (failed)\n',
  })
  expect((await router.logs('runs', 'logs', 'last', '--tail', '2')).out).toBe('2\n3\n')
  const stamped = (await router.logs('runs', 'logs', router.run_id, '-t')).out.split('\n')
  expect(stamped.at(-2)).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ stdout  3$/)
  const parts = (await router.logs('--json', 'runs', 'logs', 'last')).out.trim().split('\n')
  expect(JSON.parse(parts.at(-1)!)).toMatchObject({ stream: 'stdout' })
  expect(await router.logs('runs', 'logs', 'last', '--attempt', '2')).toMatchObject({
    code: 1,
    err: expect.stringContaining('has no attempt 2; its last one is 1') as string,
  })
})

test('-f prints what comes until the attempt is over', async () => {
  const router = await withRun('echo begun; while [ ! -e go ]; do sleep 0.02; done; echo done')
  await router.call('run.output', { run_id: router.run_id, wait_ms: 10_000 })
  expect(await router.logs('runs', 'logs', 'last')).toMatchObject({
    out: 'begun\n',
    err: expect.stringContaining('-f') as string,
  })
  const following = router.logs('runs', 'logs', 'last', '-f')
  writeFileSync(join(router.directory, 'go'), '')
  expect(await following).toMatchObject({
    code: 0,
    out: 'begun\ndone\n',
    err: 'attempt 1 is over; the run is completed\n',
  })
})

test('bytes that were not kept are counted where they are missing', async () => {
  const router = await withRun('seq 100000', { output_bytes: 131_072 })
  await ended(router, router.run_id)
  const { out, err } = await router.logs('runs', 'logs', 'last')
  expect(
    Buffer.byteLength(out) + Number(/\[([\d,]+) bytes not kept here\]/.exec(err)![1]!.replaceAll(',', '')),
  ).toBe(588_895)
})
