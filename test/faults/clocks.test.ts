// Promises P28 and P29 with the clock of a real process: it jumps while runs are in flight and wait to be tried again. No tick
// comes twice, what is due comes all the same, nothing is lost; and a router starts on a log that is ahead of its clock. Needs
// libfaketime; the virtual clock has its turn in test/intake/clock.test.ts and in the simulation, always.
import { globSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { SignalboxClient, type Methods } from '../../src/client/client.ts'
import { botServer } from '../support/bot-server.ts'
import { signalbox } from '../support/command-line.ts'
import { freshDirectory, until } from '../support/router.ts'
import { report } from './report.ts'
import { faultyRouter, type FaultyRouter } from './shim.ts'
import { checked, define, send, someEvents } from './workload.ts'

const [library] = globSync('/usr/lib/*/faketime/libfaketimeMT.so.1')
if (library === undefined)
  console.log('SKIPPED: libfaketime is not installed; jumps of the clock were tried in virtual time only')

const hourS = 3600
const all = {
  '+1 s': '+1',
  '-1 s': '-1',
  '+1 h': `+${hourS}`,
  '-1 h': `-${hourS}`,
  '+1 d': `+${24 * hourS}`,
  '-1 d': `-${24 * hourS}`,
  '+10 y': `+${87_600 * hourS}`,
  'to 1970': `-${Math.floor(Date.now() / 1000) - 100}`,
}
const jumps = Object.entries(all).filter(
  ([name]) => process.env.SIGNALBOX_FULL === '1' || ['+1 h', '-1 h'].includes(name),
)

type Run = Methods['run.get']['result']['run']

async function ended(client: SignalboxClient, run_id: string): Promise<Run> {
  return until(async () => {
    const { run } = await client.call('run.get', { run_id })
    return run.finished_at !== undefined && run
  })
}

function started(directory: string): Promise<FaultyRouter> {
  return faultyRouter(
    directory,
    {},
    {
      LD_PRELOAD: library!,
      FAKETIME_TIMESTAMP_FILE: join(directory, 'clock'),
      FAKETIME_NO_CACHE: '1',
      SIGN: 'a secret of this bot',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    },
  )
}

/** The instants of the source second that have an event. */
async function instants(of: SignalboxClient): Promise<number[]> {
  const { events } = await of.call('event.query', { source_id: 'second', limit: 500 })
  const payloads = await Promise.all(
    events.map(
      async ({ id }) => (await of.call('event.get', { event_id: id })).payload as { scheduled_at: number },
    ),
  )
  return payloads.map(payload => payload.scheduled_at)
}

/** What is wrong after a restart with a clock that is right again. */
async function afterARestart(directory: string, clock: string, lateRun: string): Promise<string[]> {
  const wrong: string[] = []
  // The clock is right again: the log may be ahead of it.
  writeFileSync(clock, '+0\n')
  const next = await started(directory)
  expect(next.ready, next.said()).toBe(true)
  const again = await SignalboxClient.connect(next.socket)
  // What was to be tried again in a second is, and not when the clock is there again.
  const tried = await ended(again, lateRun)
  if (tried.state !== 'completed') wrong.push(`what waited is ${tried.state}: ${tried.error}`)
  const { event_id } = await again.call('event.emit', { source_id: 'other', type: 'last', payload: {} })
  const { events } = await again.call('event.query', { source_id: 'other', limit: 1 })
  if (events[0]!.id !== event_id) wrong.push('what came last is not the newest')
  again.close()
  next.process.kill('SIGTERM')
  if ((await next.ended) !== 0) wrong.push(`it ended badly: ${next.said()}`)
  return wrong
}

describe.skipIf(library === undefined)('a clock that jumps', () => {
  test.each(jumps)('%s', async (name, offset) => {
    const begun = performance.now()
    const directory = freshDirectory()
    const clock = join(directory, 'clock')
    writeFileSync(clock, '+0\n')
    const router = await started(directory)
    await define(router)
    const client = await SignalboxClient.connect(router.socket)
    const { promise: jumped, resolve: release } = Promise.withResolvers<void>()
    let slow = 0
    let retried = 0
    let late = 0
    let signed_at = 0
    const bot = await botServer(({ body, headers }, response) => {
      const { event } = JSON.parse(body) as { event: { type: string } }
      if (event.type === 'slow') {
        slow++
        void jumped.then(() => response.end('{}'))
      } else if (event.type === 'again') {
        signed_at ||= Number(headers['webhook-timestamp'])
        response.writeHead(++late === 1 ? 503 : 200).end('{}')
      } else response.writeHead(++retried === 1 ? 503 : 200).end('{}')
    })
    await client.call('bot.put', {
      bot: { id: 'web', endpoint: { kind: 'http', url: bot.url, secret: { env: 'SIGN' } } },
    })
    await client.call('source.put', { source: { id: 'other', source_type: 'service' } })
    await client.call('trigger.put', {
      trigger: {
        id: 'web',
        event_source_id: 'other',
        filter: { type: ['slow', 'retry', 'again'] },
        action: { bot_id: 'web' },
      },
    })
    await client.call('source.put', {
      source: { id: 'second', source_type: 'cron', config: { expression: '* * * * * *' } },
    })
    const book = someEvents(12, 'before')
    await send(router, book)
    const [slowRun] = (await client.call('event.emit', { source_id: 'other', type: 'slow', payload: {} }))
      .runs
    const [retriedRun] = (await client.call('event.emit', { source_id: 'other', type: 'retry', payload: {} }))
      .runs
    await until(() => Promise.resolve(slow === 1 && retried === 1))
    await until(async () => (await client.call('source.ticks', { source_id: 'second' })).ticks.length > 0)
    writeFileSync(clock, `${offset}\n`)
    const more = someEvents(12, 'after')
    book.push(...more)
    await send(router, more)
    release()
    const wrong: string[] = []
    for (const run_id of [slowRun!, retriedRun!]) {
      const run = await ended(client, run_id)
      if (run.state !== 'completed') wrong.push(`a run is ${run.state}: ${run.error}`)
    }
    if (slow > 2 || retried > 3) wrong.push(`${slow} and ${retried} attempts, where 1 and 2 would do`)
    // The clock ticks on in its new time, and no instant has come twice.
    const before = (await instants(client)).length
    if (offset.startsWith('+')) await until(async () => (await instants(client)).length > before)
    await client.call('source.disable', { source_id: 'second' })
    const fired = await instants(client)
    if (new Set(fired).size !== fired.length) wrong.push('an instant has two events')
    wrong.push(...(await checked(router, book)))
    const [lateRun] = (await client.call('event.emit', { source_id: 'other', type: 'again', payload: {} }))
      .runs
    await until(() => Promise.resolve(late === 1))
    // Receivers compare the time of a signature with their own clock.
    if (Math.abs(signed_at - (Date.now() / 1000 + Number(offset))) > 60)
      wrong.push(`signed at ${signed_at}, with the clock ${offset} s from ${Date.now() / 1000}`)
    client.close()
    router.process.kill('SIGTERM')
    if ((await router.ended) !== 0) wrong.push(`it ended badly: ${router.said()}`)
    wrong.push(...(await afterARestart(directory, clock, lateRun!)))
    const verified = await signalbox({ directory }, ['verify'], {
      SIGNALBOX_STATE_DIR: join(directory, 'state'),
    })
    if (verified.code !== 0) wrong.push(verified.out)
    report(
      'P28 P29',
      `a clock that jumps ${name}, back by a restart; ${fired.length} ticks`,
      1,
      wrong.length,
      begun,
    )
    expect(wrong).toEqual([])
  })
})
