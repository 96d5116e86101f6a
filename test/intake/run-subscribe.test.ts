// run.subscribe: runs as they change, from a cursor; what is not known any more is said.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { SignalboxClient, type ChangedRun } from '../../src/client/client.ts'
import type { Stream } from '../../src/api/caller.ts'
import { RunChanges } from '../../src/api/run-changes.ts'
import { Subscriptions } from '../../src/api/subscriptions.ts'
import { errorTable, Fault } from '../../src/errors.ts'
import { signalbox } from '../support/command-line.ts'
import { lineProxy } from '../support/line-proxy.ts'
import { ended, freshRouter, until, type TestRouter } from '../support/router.ts'

async function withBot(script: string): Promise<TestRouter & { emit: (type?: string) => Promise<string> }> {
  const router = await freshRouter()
  const { call, directory } = router
  await call('bot.put', {
    bot: { id: 'b', endpoint: { kind: 'command', argv: ['/bin/sh', '-c', script], cwd: directory } },
  })
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  for (const id of ['one', 'two'])
    await call('trigger.put', { trigger: { id, filter: { type: [id] }, action: { bot_id: 'b' } } })
  return {
    ...router,
    emit: async (type = 'one') => (await call('event.emit', { source_id: 's', type, payload: {} })).runs[0]!,
  }
}

async function connected({ router }: TestRouter): Promise<SignalboxClient> {
  const client = await SignalboxClient.connect(router.socket)
  onTestFinished(() => client.close())
  return client
}

const endedStates = ['completed', 'failed']

describe('a subscription to runs', () => {
  test('tells of moves and new output, with the cursor to go on from', async () => {
    const router = await withBot('echo begun; while [ ! -e go ]; do sleep 0.02; done; echo done')
    const told: ChangedRun[] = []
    const { cursor, reset } = await router.client.subscribeRuns({}, news => told.push(news))
    expect(reset).toBe(false)
    const run_id = await router.emit()
    await until(async () =>
      told.some(
        ({ run, output }) => run?.id === run_id && run.state === 'running' && output?.total_bytes === 6,
      ),
    )
    writeFileSync(join(router.directory, 'go'), '')
    await until(async () => told.some(({ run }) => run?.state === 'completed'))
    const last = told.findLast(({ run }) => run?.state === 'completed')!
    expect(last).toMatchObject({ run: { id: run_id, attempt: 1 }, output: { attempt: 1, total_bytes: 11 } })
    // From the beginning again: the run once, as it is now; behind the last cursor: nothing.
    const again: ChangedRun[] = []
    const other = await connected(router)
    expect((await other.subscribeRuns({ after: cursor }, news => again.push(news))).reset).toBe(false)
    await until(async () => again.length > 0)
    const none: ChangedRun[] = []
    await other.subscribeRuns({ after: again[0]!.cursor }, news => none.push(news))
    const next = await router.emit()
    await until(async () => none.some(({ run }) => run?.id === next && endedStates.includes(run.state)))
    expect(none.filter(({ run }) => run?.id === run_id)).toEqual([])
  })

  test('tells of a run that was created and one that began, before they print or end', async () => {
    const router = await withBot('exec sleep 100')
    const told: ChangedRun[] = []
    await router.client.subscribeRuns({}, news => told.push(news))
    const run_id = await router.emit()
    await until(async () => told.some(({ run }) => run?.id === run_id && run.state === 'running'))
    await router.call('router.pause', {})
    const waiting = await router.emit()
    await until(async () => told.some(({ run }) => run?.id === waiting && run.state === 'pending'))
  })

  test('of one run, one trigger or one bot has no others, and ends when it is told to', async () => {
    const router = await withBot('true')
    const first = await router.emit('one')
    await ended(router, first)
    const told: Record<string, ChangedRun[]> = { run: [], trigger: [], bot: [], ended: [] }
    await router.client.subscribeRuns({ run_id: first }, news => told.run!.push(news))
    await router.client.subscribeRuns({ trigger_id: 'two' }, news => told.trigger!.push(news))
    await router.client.subscribeRuns({ bot_id: 'other' }, news => told.bot!.push(news))
    await (await router.client.subscribeRuns({}, news => told.ended!.push(news))).end()
    const second = await router.emit('two')
    await until(async () => told.trigger!.some(({ run }) => run?.id === second && run.state === 'completed'))
    expect([told.run, told.bot, told.ended]).toEqual([[], [], []])
  })

  test('behind a cursor of another life begins anew and says so; nonsense is refused', async () => {
    const router = await withBot('true')
    const { cursor } = await router.client.subscribeRuns({}, () => undefined)
    const foreign = `000000000000.${cursor.split('.')[1]}`
    expect((await router.client.subscribeRuns({ after: foreign }, () => undefined)).reset).toBe(true)
    expect(
      (await router.client.subscribeRuns({ after: cursor.replace(/\d+$/, '999') }, () => undefined)).reset,
    ).toBe(true)
    await expect(router.client.subscribeRuns({ after: 'x' }, () => undefined)).rejects.toMatchObject({
      code: -32602,
      data: { path: 'after' },
    })
  })

  test('a connection has 16 of them', async () => {
    const router = await withBot('true')
    for (let count = 0; count < 16; count++) await router.client.subscribeRuns({}, () => undefined)
    await expect(router.client.subscribeRuns({}, () => undefined)).rejects.toMatchObject({
      message: expect.stringContaining('run.unsubscribe') as string,
    })
  })
})

describe('what has changed', () => {
  test('is each run once, at its last change, in order', () => {
    const changes = new RunChanges()
    changes.add(['a', 'b', 'a', 'c'])
    expect(changes.after(0, 10).map(({ run_id }) => run_id)).toEqual(['b', 'a', 'c'])
    expect(changes.after(3, 10)).toEqual([{ run_id: 'c', seq: 4 }])
    expect(changes.after(0, 1)).toEqual([{ run_id: 'b', seq: 2 }])
  })

  test('is forgotten beyond a number of runs, and a place before that is not known', () => {
    const changes = new RunChanges(2)
    changes.add(['a'])
    const place = changes.place(changes.now)
    changes.add(['b', 'c'])
    expect(changes.find(place)).toBe(1)
    changes.add(['d', 'e'])
    expect([changes.find(place), changes.isKnown(3), changes.isKnown(2)]).toEqual([null, true, false])
    expect(changes.after(3, 10).map(({ run_id }) => run_id)).toEqual(['d', 'e'])
  })

  test('behind any place that is known is what a list of all changes says; the last ones of as many runs as are kept are', () => {
    const most = 5
    const property = fc.property(
      fc.array(fc.integer({ min: 0, max: 12 }).map(String), { maxLength: 80 }),
      ids => {
        const changes = new RunChanges(most)
        ids.forEach(id => changes.add([id]))
        const last = [...new Map(ids.map((run_id, index) => [run_id, index + 1]))]
          .map(([run_id, seq]) => ({ run_id, seq }))
          .toSorted((a, b) => a.seq - b.seq)
        const oldest = last.at(-most - 1)?.seq ?? 0
        for (let place = 0; place <= ids.length; place++) {
          if (place >= oldest) expect(changes.isKnown(place)).toBe(true)
          if (!changes.isKnown(place)) continue
          expect(changes.after(place, 100)).toEqual(last.filter(({ seq }) => seq > place))
          expect(changes.after(place, 2)).toEqual(last.filter(({ seq }) => seq > place).slice(0, 2))
        }
      },
    )
    fc.assert(property)
  })
})

describe('a subscription whose news cannot be read', () => {
  /** Opens one that fails; answers what its connection is told, and the bugs that were logged. */
  async function failing(why: Error): Promise<{ told: unknown[]; bugs: unknown[]; open: number }> {
    const bugs: unknown[] = []
    const { promise, resolve } = Promise.withResolvers<unknown[]>()
    const { signal } = new AbortController()
    const notify: Stream['notify'] = (...told) => resolve(told)
    const subscriptions = new Subscriptions('subscription', bug => bugs.push(bug))
    subscriptions.open({ notify, room: () => Promise.resolve(), hasRoom: () => true, closed: signal }, () =>
      Promise.reject(why),
    )
    const told = await promise
    await new Promise(setImmediate)
    return { told, bugs, open: subscriptions.countOf(signal) }
  }

  test('ends, and says why', async () => {
    expect(await failing(new Fault('not_ready', 'the storage failed'))).toEqual({
      told: [
        'subscription.ended',
        {
          subscription: 'subscription-1',
          error: {
            code: errorTable.not_ready.code,
            message: 'the storage failed',
            data: { code: 'E_NOT_READY' },
          },
        },
      ],
      bugs: [],
      open: 0,
    })
  })

  test('for a bug: it is logged, and not told', async () => {
    const bug = new Error('secret')
    const { told, bugs } = await failing(bug)
    expect(bugs).toEqual([bug])
    expect(told).toMatchObject([
      'subscription.ended',
      { error: { code: -32603, message: 'this is a bug in the router; its log has the details' } },
    ])
  })

  test('runs follow says it', { timeout: 60_000 }, async () => {
    const router = await withBot('true')
    const error = {
      code: errorTable.not_ready.code,
      message: 'the storage failed',
      data: { code: 'E_NOT_READY' },
    }
    let begun = false
    const way = await lineProxy(router.router.socket, {
      told: message => {
        begun ||= message.result !== undefined && 'subscription' in message.result
        if (message.method !== 'run.changed') return message
        return {
          ...message,
          method: 'subscription.ended',
          params: { subscription: message.params!.subscription, error },
        }
      },
    })
    const following = signalbox(way, ['runs', 'follow'])
    await until(async () => begun)
    await router.emit()
    const { code, err } = await following
    expect([code, err]).toEqual([1, 'signalbox: the storage failed (E_NOT_READY)\n'])
  })
})

test('runs follow of one run looks again where changes may be missing', { timeout: 60_000 }, async () => {
  const router = await withBot('while [ ! -e go ]; do sleep 0.02; done')
  const run_id = await router.emit()
  let begun = false
  const way = await lineProxy(router.router.socket, {
    told: message => {
      begun ||= message.result !== undefined && 'run' in message.result
      return message.method === 'run.changed'
        ? { ...message, params: { subscription: message.params!.subscription, cursor: 'x', reset: true } }
        : message
    },
  })
  const following = signalbox(way, ['runs', 'follow', run_id])
  await until(async () => begun)
  writeFileSync(join(router.directory, 'go'), '')
  const { code, out } = await following
  expect(code).toBe(0)
  expect(out).toMatch(/completed\n$/)
})

test('runs follow prints one run until it has ended, with its exit code', { timeout: 60_000 }, async () => {
  const router = await withBot('while [ ! -e go ]; do sleep 0.02; done; [ -e mended ]')
  const run_id = await router.emit()
  const following = signalbox(router, ['runs', 'follow', 'last'])
  await until(async () => (await router.call('run.get', { run_id })).run.state === 'running')
  writeFileSync(join(router.directory, 'go'), '')
  const { code, out, err } = await following
  expect([code, err]).toEqual([1, `signalbox: run ${run_id} is failed; signalbox runs show ${run_id}\n`])
  expect(out.trim().split('\n').at(-1)).toMatch(
    new RegExp(`Z {2}${run_id} {2}one {2}dead \\(failed\\) {2}exit code 1$`),
  )
  writeFileSync(join(router.directory, 'mended'), '')
  await router.emit()
  expect((await signalbox(router, ['runs', 'follow', 'last'])).code).toBe(0)
})
