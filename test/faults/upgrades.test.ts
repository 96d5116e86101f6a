// Promise P40: what an earlier schema wrote opens, is migrated and goes on, with all its events, runs and definitions; killed or
// failed at any point of its migration it is old or new, and starts. A newer schema is refused. The databases in
// test/fixtures/databases were written by the program as it was: 24 events on both intakes, runs that ended, died and wait.
import Database from 'better-sqlite3'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { SignalboxClient } from '../../src/client/client.ts'
import { signalbox } from '../support/command-line.ts'
import { freshDirectory, until } from '../support/router.ts'
import { report, size } from './report.ts'
import { faultyRouter, shim, type Faults } from './shim.ts'

const fixtures = 'test/fixtures/databases'
const versions = readdirSync(fixtures).flatMap(name => /^schema-(\d+)\.db\.gz$/.exec(name)?.[1] ?? [])
/** The schemas that are tried: all with SIGNALBOX_FULL, otherwise the first, each third one and the last ones. */
const tried = versions.filter(
  version =>
    size('SIGNALBOX_SCHEMAS', 0, 1) === 1 ||
    Number(version) % 3 === 1 ||
    Number(version) >= versions.length - 1,
)
const migrations = readdirSync('src/store/sqlite/migrations').length
/** Points of the migrations that are killed or failed, of some hundred each. */
const points = size('SIGNALBOX_POINTS', 2, 60)
const lastPoint = 200

function stateOf(version: string): { directory: string; path: string } {
  const directory = freshDirectory()
  mkdirSync(join(directory, 'state'), { mode: 0o700 })
  const path = join(directory, 'state', 'signalbox.db')
  writeFileSync(path, gunzipSync(readFileSync(join(fixtures, `schema-${version}.db.gz`))), { mode: 0o600 })
  return { directory, path }
}

/** The events that whoever made the fixtures sent, by their bodies. */
function bodies(version: string): string[] {
  return Array.from({ length: 24 }, (_, n) =>
    JSON.stringify({ n, name: `schema-${version}`, text: 'äx'.repeat((n * 97) % 700) }),
  )
}

/** Starts on a state directory and answers what is wrong with what is there, and with how it goes on. */
async function goesOn(directory: string, version: string): Promise<string[]> {
  const router = await faultyRouter(directory)
  if (!router.ready) return [`it does not start: ${router.said()}`]
  const wrong: string[] = []
  const client = await SignalboxClient.connect(router.socket)
  const { events } = await client.call('event.query', { limit: 100 })
  const found: string[] = []
  for (const { id, matched_triggers } of events) {
    const { body_base64 } = await client.call('event.get', { event_id: id, raw: true })
    const body = Buffer.from(body_base64!, 'base64').toString('utf8')
    found.push(body)
    const { n } = JSON.parse(body) as { n: number }
    const { runs } = await client.call('run.list', { event_id: id })
    const states = Object.fromEntries(runs.map(run => [run.trigger_id, run.state]))
    const expected = {
      'to-off': 'pending',
      ...(n < 3 ? { 'to-quick': 'completed' } : {}),
      ...(n === 5 ? { 'to-failing': 'failed' } : {}),
      ...(n > 20 && version !== '1' ? { 'in-order': 'pending' } : {}),
    }
    if (!isDeepStrictEqual(states, expected)) wrong.push(`event ${n} has ${JSON.stringify(states)}`)
    if (matched_triggers?.length !== runs.length)
      wrong.push(`event ${n} matched ${matched_triggers?.join(' ')}`)
  }
  if (JSON.stringify(found.toSorted()) !== JSON.stringify(bodies(version).toSorted()))
    wrong.push(`${found.length} events are there, of 24`)
  const again = await client.call('event.emit', {
    source_id: 'local',
    type: 'x',
    payload: JSON.parse(bodies(version)[1]!) as object,
    idempotency_key: 'l-1',
  })
  if (!again.duplicate) wrong.push('a delivery that came before is not known any more')
  // What waited goes, in its order.
  await client.call('bot.put', {
    bot: { id: 'off', enabled: true, max_active: 8, endpoint: { kind: 'command', argv: ['/bin/true'] } },
  })
  const ended = await until(async () => {
    const { runs } = await client.call('run.list', { trigger_id: 'to-off', limit: 100 })
    return runs.length === 24 && runs.every(run => run.state === 'completed') && runs
  })
  if ((await client.call('run.history', { run_id: ended[0]!.id })).history.length < 3)
    wrong.push('a run has no history')
  client.close()
  router.process.kill('SIGTERM')
  if ((await router.ended) !== 0) wrong.push(`it ended badly: ${router.said()}`)
  const verified = await signalbox({ directory }, ['verify'], {
    SIGNALBOX_STATE_DIR: join(directory, 'state'),
  })
  if (verified.code !== 0) wrong.push(`verify: ${verified.out}${verified.err}`)
  return wrong
}

describe('databases of earlier schemas', () => {
  test('there is one of each', () => {
    expect(versions.map(Number).toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: migrations }, (_, index) => index + 1),
    )
  })

  test.each(tried)('schema %s: opens, is migrated, and goes on', async version => {
    const { directory, path } = stateOf(version)
    expect(await goesOn(directory, version)).toEqual([])
    const db = new Database(path, { readonly: true })
    expect(db.pragma('user_version', { simple: true })).toBe(migrations)
    db.close()
  })

  test('older events get actor and thread from their bodies', async () => {
    const { directory, path } = stateOf('6')
    const given = ['issue-comment-event.json', 'push-event.json', 'release-event.json'].map(file =>
      readFileSync(`test/fixtures/gitea-webhooks/${file}`),
    )
    const db = new Database(path)
    db.prepare('UPDATE source SET definition = ? WHERE id = ?').run(
      JSON.stringify({
        id: 'hook',
        source_type: 'webhook',
        config: { provider: 'gitea', secrets: [{ env: 'SECRET' }] },
      }),
      'hook',
    )
    const ids = db
      .prepare<[], Buffer>("SELECT id FROM event WHERE source_id = 'hook' ORDER BY seq LIMIT 3")
      .pluck()
      .all()
    const change = db.prepare('UPDATE event SET type = ?, body = ?, body_bytes = ? WHERE id = ?')
    for (const [index, type] of ['issue_comment', 'push', 'release'].entries())
      change.run(type, given[index], given[index]!.length, ids[index])
    db.close()
    const router = await faultyRouter(directory)
    const client = await SignalboxClient.connect(router.socket)
    const shown = {
      issue_comment: 'example example/example#1',
      push: 'example example/example@refs/heads/master',
      release: 'example null',
    }
    const { events } = await client.call('event.query', { source_id: 'hook', limit: 50 })
    for (const [type, expected] of Object.entries(shown)) {
      const line = events.find(event => event.type === type)!
      const whole = await client.call('event.get', { event_id: line.id })
      expect([
        `${line.actor} ${line.thread}`,
        `${whole.actor} ${whole.thread}`,
        line.emitted,
        whole.emitted,
      ]).toEqual([expected, expected, undefined, undefined])
    }
    const comment = events.find(event => event.type === 'issue_comment')!.id
    const filter = { actor: ['Example'], thread: ['example/example#1'] }
    expect((await client.call('event.query', { filter })).events.map(event => event.id)).toEqual([comment])
    expect(await client.call('trigger.test', { filter, event_id: comment })).toMatchObject({ matched: true })
    expect(await client.call('trigger.backtest', { filter })).toMatchObject({ scanned: 24, matched: 1 })
    expect(await client.call('trigger.backtest', { filter: { actor: ['example'] } })).toMatchObject({
      matched: 3,
    })
    await client.call('trigger.put', { trigger: { id: 'by-actor', filter, action: { bot_id: 'off' } } })
    expect(
      (await client.call('event.explain', { event_id: comment, trigger_id: 'by-actor' })).decisions,
    ).toMatchObject([{ matched: true }])
    expect(
      (await client.call('event.replay', { query: { filter }, trigger_id: 'by-actor', dry_run: true }))
        .planned,
    ).toHaveLength(1)
    client.close()
    router.process.kill('SIGTERM')
    await router.ended
  })

  test('lists by actor or thread begin at the migration, and say so', async () => {
    const { directory } = stateOf('6')
    const router = await faultyRouter(directory)
    const client = await SignalboxClient.connect(router.socket)
    const list = (query: object): ReturnType<typeof client.call<'event.query'>> =>
      client.call('event.query', query)
    const newest = (await list({ limit: 1 })).events[0]!.received_at
    const none = await list({ actor: 'ada' })
    expect(none.events).toEqual([])
    expect(none.begins_at).toBeGreaterThan(newest)
    const { event_id } = await client.call('event.emit', {
      source_id: 'local',
      type: 'y',
      payload: { n: 99 },
      actor: 'Ada',
      thread: 'a/b#1',
    })
    const { received_at } = await client.call('event.get', { event_id })
    for (const query of [{ actor: 'ada' }, { thread: 'a/b#1' }])
      expect(await list(query)).toMatchObject({
        events: [{ id: event_id, actor: 'Ada', thread: 'a/b#1' }],
        begins_at: received_at,
      })
    expect(await client.call('event.replay', { query: { actor: 'ada' }, dry_run: true })).toMatchObject({
      events: 1,
      begins_at: received_at,
    })
    for (const query of [
      { actor: 'ada', since: received_at },
      { subject: 'x' },
      { filter: { actor: ['ada'] } },
    ])
      expect(await list(query)).not.toHaveProperty('begins_at')
    const { code, out } = await signalbox({ directory }, ['events', '--actor', 'ada'], {
      SIGNALBOX_SOCKET: router.socket,
    })
    expect([code, out]).toEqual([
      0,
      expect.stringMatching(
        /ACTOR +THREAD[\s\S]* Ada +a\/b#1 [\s\S]*events received before .* were logged without actor and thread/,
      ),
    ])
    expect(out).toContain(`find them with: --filter '{"actor":["ada"]}'`)
    client.close()
    router.process.kill('SIGTERM')
    await router.ended
  })

  test('what is damaged in an earlier one is told, and what is whole recovered into a new one', async () => {
    const { directory, path } = stateOf('1')
    const bytes = readFileSync(path)
    // The schema's pages are not in the places of today's.
    writeFileSync(path, bytes.fill(0, 0, 4096))
    const made = await signalbox({ directory }, ['recover', join(directory, 'made.db')], {
      SIGNALBOX_STATE_DIR: join(directory, 'state'),
    })
    expect(made).toMatchObject({ code: 0, out: expect.stringContaining('24 events, 28 runs') as string })
  })

  test('a newer one is refused with 78, and left as it is', async () => {
    const { directory, path } = stateOf(String(migrations))
    const db = new Database(path)
    db.pragma(`user_version = ${migrations + 1}`)
    db.close()
    const before = readFileSync(path)
    const router = await faultyRouter(directory)
    expect(await router.ended).toBe(78)
    expect(router.said()).toContain(`has schema ${migrations + 1}`)
    expect(readFileSync(path).equals(before)).toBe(true)
  })
})

describe.skipIf(shim() === undefined)('a migration', () => {
  async function at(faults: Faults): Promise<{ directory: string; met: boolean }> {
    const { directory } = stateOf('1')
    const router = await faultyRouter(directory, faults)
    const met = !router.ready
    if (!met) router.process.kill('SIGKILL')
    await router.ended
    return { directory, met }
  }

  test(
    `killed, or failing with EIO, at ${points} points: it is old or new, and starts`,
    { timeout: 60_000 + points * 10_000 },
    async () => {
      const begun = performance.now()
      const wrong: string[] = []
      let met = 0
      for (let index = 0; index < points; index++) {
        const point = Math.ceil(1 + (lastPoint - 1) * (index / points))
        const faults = index % 2 === 0 ? { kill_at: point } : { fail_at: point, errno: 5 }
        const tried = await at(faults)
        if (tried.met) met++
        wrong.push(...(await goesOn(tried.directory, '1')).map(text => `${JSON.stringify(faults)}: ${text}`))
      }
      report(
        'P40',
        `faults in the migrations from schema 1 to ${migrations}, ${met} of them met`,
        points,
        wrong.length,
        begun,
      )
      expect(wrong).toEqual([])
      expect(met).toBeGreaterThan(points / 4)
    },
  )
})
