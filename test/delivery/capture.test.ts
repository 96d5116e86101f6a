// What attempts print, from the command to run.output: all of it, in order, without secrets, whatever becomes of the attempt.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import type { RunOutputResult } from '../../src/contract/types.ts'
import { Capture } from '../../src/delivery/capture.ts'
import { headBytes, type OutputChunk } from '../../src/outbound/pending-output.ts'
import type { OutputPart } from '../../src/store/store.ts'
import { botServer } from '../support/bot-server.ts'
import { child, firstLine } from '../support/processes.ts'
import { ended, freshDirectory, freshRouter, routerIn, type TestRouter } from '../support/router.ts'

async function routerWith(
  script: string,
  options: { policy?: object; flags?: Record<string, unknown>; bot?: object } = {},
): Promise<TestRouter> {
  const router = await freshRouter(options.flags)
  const { call, directory } = router
  const endpoint = { kind: 'command', argv: ['/bin/sh', '-c', script], cwd: directory }
  await call('bot.put', { bot: { id: 'bot', endpoint, ...options.bot } as never })
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  await call('trigger.put', {
    trigger: {
      id: 't',
      event_source_id: 's',
      filter: { type: ['x'] },
      action: { bot_id: 'bot' },
      policy: options.policy ?? {},
    },
  })
  return router
}

async function emitted({ call }: TestRouter): Promise<string> {
  return (await call('event.emit', { source_id: 's', type: 'x', payload: {} })).runs[0]!
}

/** All pages of the last attempt, joined. */
async function printed({ call }: TestRouter, run_id: string, limit = 1_048_576): Promise<RunOutputResult> {
  const first = await call('run.output', { run_id, limit })
  for (let page = first; page.more;) {
    page = await call('run.output', { run_id, attempt: page.attempt, after: page.next, limit })
    first.parts.push(...page.parts)
  }
  return first
}

function texts({ parts }: RunOutputResult): [string, string][] {
  const joined: [string, string][] = []
  for (const { stream, text } of parts) {
    const last = joined.at(-1)
    if (last?.[0] === stream) last[1] += text
    else joined.push([stream, text!])
  }
  return joined
}

const hold = 'while [ ! -e go ]; do sleep 0.02; done'

describe('a command', () => {
  test('has both streams kept, and its last line that is a JSON object as its result', async () => {
    const router = await routerWith(
      'echo one; echo \'{"n": 1}\'; echo \'{"n": 2}\'; echo bye; echo careful >&2',
    )
    const run_id = await emitted(router)
    const run = await ended(router, run_id)
    const output = await printed(router, run_id)
    expect(Object.fromEntries(texts(output))).toEqual({
      stdout: 'one\n{"n": 1}\n{"n": 2}\nbye\n',
      stderr: 'careful\n',
    })
    expect(output).toMatchObject({ attempt: 1, finished: true, more: false, total_bytes: 34 })
    expect(output.skipped_bytes).toBeUndefined()
    expect(run.result).toEqual({ n: 2 })
  })

  test('can be read while it runs, unfinished lines included', async () => {
    const router = await routerWith(`printf 'one\\ntwo? '; ${hold}; echo three`)
    const run_id = await emitted(router)
    const seen = await router.call('run.output', { run_id, wait_ms: 10_000 })
    expect([texts(seen), seen.finished]).toEqual([[['stdout', 'one\ntwo? ']], false])
    writeFileSync(join(router.directory, 'go'), '')
    await ended(router, run_id)
    expect(texts(await printed(router, run_id))).toEqual([['stdout', 'one\ntwo? three\n']])
  })

  test('that prints more than is kept has its beginning and its end, and the bytes between are counted', async () => {
    const router = await routerWith('seq 1 200000', { flags: { output_bytes: 262_144 } })
    const run_id = await emitted(router)
    await ended(router, run_id)
    const output = await printed(router, run_id, 65_536)
    const kept = Buffer.concat(output.parts.map(({ text }) => Buffer.from(text!)))
    expect(output.total_bytes).toBe(1_288_895)
    expect(kept.length + output.skipped_bytes!).toBe(1_288_895)
    expect(kept.length).toBeGreaterThan(131_072)
    expect(kept.subarray(0, 8).toString()).toBe('1\n2\n3\n4\n')
    expect(kept.subarray(-7).toString()).toBe('200000\n')
    const head = output.parts.findIndex(
      ({ offset, text }, index) => output.parts[index + 1]?.offset !== offset + Buffer.byteLength(text!),
    )
    expect(output.parts[head]!.offset + Buffer.byteLength(output.parts[head]!.text!)).toBeGreaterThan(
      headBytes - 10,
    )
  })

  test('that prints bytes has them as base64', async () => {
    const router = await routerWith("printf '\\377\\376\\000\\001'")
    const run_id = await emitted(router)
    await ended(router, run_id)
    expect((await printed(router, run_id)).parts).toMatchObject([{ stream: 'stdout', base64: '//4AAQ==' }])
  })

  test('that is cancelled keeps what it printed', async () => {
    const router = await routerWith(`echo begun; ${hold}`)
    const run_id = await emitted(router)
    await router.call('run.output', { run_id, wait_ms: 10_000 })
    await router.call('run.cancel', { run_id })
    expect(await ended(router, run_id)).toMatchObject({ state: 'cancelled' })
    expect(texts(await printed(router, run_id))).toEqual([['stdout', 'begun\n']])
  })

  test('that takes too long keeps what it printed', async () => {
    const router = await routerWith(`echo begun; ${hold}`, { policy: { timeout_ms: 300 } })
    const run_id = await emitted(router)
    expect(await ended(router, run_id)).toMatchObject({
      state: 'timed_out',
      error: 'the command was ended after 300 ms: begun',
    })
    expect(texts(await printed(router, run_id))).toEqual([['stdout', 'begun\n']])
  })

  test('reports usage also where it fails', async () => {
    const router = await routerWith('echo \'{"usage": {"input_tokens": 7}}\'; echo sorry; exit 3')
    const run_id = await emitted(router)
    expect(await ended(router, run_id)).toMatchObject({
      state: 'failed',
      error: 'exit code 3: sorry',
      usage: { input_tokens: 7 },
    })
  })

  test('that is asked about a start leaves no output with the run', async () => {
    const router = await routerWith('echo own')
    await router.call('bot.put', {
      bot: {
        id: 'asked',
        endpoint: { kind: 'command', argv: ['/bin/sh', '-c', 'echo asked; echo \'{"approve": true}\''] },
      },
    })
    await router.call('trigger.put', {
      trigger: {
        id: 't',
        event_source_id: 's',
        filter: { type: ['x'] },
        action: { bot_id: 'bot' },
        policy: { approval: { bot_id: 'asked' } },
      },
    })
    const run_id = await emitted(router)
    expect(await ended(router, run_id)).toMatchObject({ state: 'completed' })
    expect(texts(await printed(router, run_id))).toEqual([['stdout', 'own\n']])
  })
})

test('the answer of an http bot is kept whole, a short one with its attempt', async () => {
  const long = JSON.stringify({ text: 'é'.repeat(20_000) })
  const bot = await botServer((_request, response) => void response.end(answers.shift()))
  const answers = [long, '{"short":1}']
  const router = await routerWith('', { bot: { endpoint: { kind: 'http', url: bot.url } } })
  for (const [stream, text] of [
    ['answer', long],
    ['tail', '{"short":1}'],
  ] as const) {
    const run_id = await emitted(router)
    await ended(router, run_id)
    const found = texts(await printed(router, run_id))
    expect(found).toEqual([[stream, text]])
  }
})

test('an attempt that a crash of the router interrupts keeps what it printed', async () => {
  const directory = freshDirectory()
  const socket = join(directory, 'rpc.sock')
  const flags = ['--state-dir', directory, '--intake-address', '127.0.0.1:0', '--socket', socket]
  const first = child(['src/signalbox.ts', 'serve', ...flags], { HOME: directory })
  await firstLine(first)
  const client = await SignalboxClient.connect(socket)
  const endpoint = {
    kind: 'command',
    argv: ['/bin/sh', '-c', `echo "attempt $SIGNALBOX_ATTEMPT"; ${hold}`],
    cwd: directory,
  }
  await client.call('bot.put', { bot: { id: 'bot', endpoint } as never })
  await client.call('source.put', { source: { id: 's', source_type: 'service' } })
  await client.call('trigger.put', {
    trigger: { id: 't', filter: { type: ['x'] }, action: { bot_id: 'bot' } },
  })
  const [run_id] = (await client.call('event.emit', { source_id: 's', type: 'x', payload: {} })).runs as [
    string,
  ]
  await client.call('run.output', { run_id, wait_ms: 10_000 })
  first.kill('SIGKILL')
  await client.closed
  const router = await routerIn(directory)
  writeFileSync(join(directory, 'go'), '')
  expect(await ended(router, run_id)).toMatchObject({ state: 'completed', attempt: 2 })
  expect(await router.call('run.output', { run_id, attempt: 1 })).toMatchObject({
    finished: true,
    parts: [{ text: 'attempt 1\n' }],
  })
  expect(texts(await printed(router, run_id))).toEqual([['stdout', 'attempt 2\n']])
})

/** A capture whose parts are here; writes fail where it is told to. */
function captured(
  secrets: string[],
  failing = false,
): { capture: Capture; parts: OutputPart[]; bugs: unknown[] } {
  const [parts, bugs]: [OutputPart[], unknown[]] = [[], []]
  const capture = new Capture('run', 1, {
    store: {
      appendOutput: async given => {
        if (failing) throw new Error('the disk is full')
        parts.push(...given)
      },
    },
    limits: { output_bytes: 1_048_576, output_total_bytes: 1_048_576 },
    secrets: () => secrets.map(secret => Buffer.from(secret)),
    now: () => 1000,
    logBug: error => bugs.push(error),
  })
  return { capture, parts, bugs }
}

function chunk(stream: OutputChunk['stream'], offset: number, text: string, age_ms = 0): OutputChunk {
  return { stream, offset, age_ms, bytes: Buffer.from(text) }
}

describe('a capture', () => {
  test('hides a secret that is split across chunks, on each stream by itself', async () => {
    const { capture, parts } = captured(['canary-0123456789'])
    await capture.take([chunk('stdout', 0, 'a canary-01', 30), chunk('stderr', 0, 'b canary-0123')], false)
    await capture.take([chunk('stderr', 13, '456789\n'), chunk('stdout', 11, '23456789 c\n')], false)
    await capture.end()
    const of = (stream: string): string =>
      Buffer.concat(parts.filter(part => part.stream === stream).map(part => part.content)).toString()
    expect([of('stdout'), of('stderr')]).toEqual(['a *** c\n', 'b ***\n'])
    expect(parts[0]).toMatchObject({ run_id: 'run', attempt: 1, offset: 0 })
  })

  test('counts bytes that are missing, and its offsets go on behind them', async () => {
    const { capture, parts } = captured([])
    await capture.take([chunk('stdout', 0, 'one\ntw')], true)
    await capture.take([chunk('stdout', 106, 'last\n')], false)
    expect(
      parts.map(({ offset, content, split }) => [offset, Buffer.from(content).toString(), split]),
    ).toEqual([
      [0, 'one\n', undefined],
      [4, 'tw', true],
      [106, 'last\n', undefined],
    ])
  })

  test('that cannot be written is reported once, and the attempt goes on', async () => {
    const { capture, bugs } = captured([], true)
    await capture.take([chunk('stdout', 0, 'one\n')], false)
    await capture.take([chunk('stdout', 4, 'two\n')], false)
    await capture.end()
    expect(bugs).toEqual([new Error('the disk is full')])
  })
})
