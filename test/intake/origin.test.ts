// Actor and thread of events, from each way in to filters, templates, lists and the answers about them.
import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Event, Filter } from '../../src/client/client.ts'
import { ended, freshRouter, until, type TestRouter } from '../support/router.ts'

const comment = readFileSync('test/fixtures/gitea-webhooks/issue-comment-event.json')
const secret = 'secret'

interface Stage extends TestRouter {
  deliver: (type: string, body: string | Uint8Array) => Promise<Event>
  event: (id: unknown) => Promise<Event>
}

/** A router with a forge source and a bot that echoes its inputs. */
async function stage(): Promise<Stage> {
  const router = await freshRouter({}, { SECRET: secret })
  const { call, post } = router
  await call('source.put', {
    source: {
      id: 'forge',
      source_type: 'webhook',
      config: { provider: 'gitea', secrets: [{ env: 'SECRET' }] },
    },
  })
  await call('source.put', { source: { id: 'jobs', source_type: 'service' } })
  await call('bot.put', { bot: { id: 'echo', endpoint: { kind: 'command', argv: ['/bin/cat'] } } })
  const event: Stage['event'] = id => call('event.get', { event_id: id as string })
  return {
    ...router,
    event,
    async deliver(type, body) {
      const signature = createHmac('sha256', secret).update(body).digest('hex')
      const { status, body: answer } = await post('forge', body, {
        'x-gitea-event-type': type,
        'x-gitea-signature': signature,
      })
      expect(status).toBe(202)
      return event(answer.event_id)
    },
  }
}

describe('a delivery of a forge', () => {
  test('has its actor and thread, and is not emitted', async () => {
    const { deliver, call } = await stage()
    const event = await deliver('issue_comment', comment)
    expect(event).toMatchObject({ actor: 'example', thread: 'example/example#1' })
    expect(event).not.toHaveProperty('emitted')
    expect((await call('event.query', {})).events).toMatchObject([
      { actor: 'example', thread: 'example/example#1' },
    ])
  })

  test('is matched by filters on both, actors in any case', async () => {
    const { deliver, call } = await stage()
    const filters: Record<string, Filter> = {
      exact: { actor: ['EXAMPLE'], thread: ['example/example#1'] },
      prefix: { actor: [{ prefix: 'Exam' }] },
      others: { actor: [{ 'anything-but': ['Bob', 'EVE'] }] },
      wild: { actor: [{ wildcard: 'EX*le' }], thread: [{ prefix: 'example/' }] },
      not: { actor: [{ 'anything-but': ['Example'] }] },
      other: { thread: ['Example/example#1'] },
      nobody: { actor: [null] },
    }
    for (const [id, filter] of Object.entries(filters))
      await call('trigger.put', { trigger: { id, filter, action: { bot_id: 'echo' } } })
    const { id, matched_triggers } = await deliver(
      'issue_comment',
      comment.toString().replaceAll('"example"', '"Example"').replaceAll('Example/', 'example/'),
    )
    expect(matched_triggers).toEqual(['exact', 'others', 'prefix', 'wild'])
    const { decisions } = await call('event.explain', { event_id: id })
    expect(decisions.filter(each => each.matched).map(each => each.trigger_id)).toEqual(matched_triggers)
    for (const [trigger_id, filter] of Object.entries(filters)) {
      const tried = await call('trigger.test', { filter, event_id: id })
      expect([trigger_id, tried.matched]).toEqual([trigger_id, matched_triggers!.includes(trigger_id)])
    }
  })

  test('gives both to inputs, keys and the bot', async () => {
    const router = await stage()
    const inputs = { who: '{{ actor }}', where: 'in {{ thread }}', upper: '{{ $uppercase(actor) }}' }
    await router.call('trigger.put', {
      trigger: {
        id: 't',
        filter: { type: ['issue_comment'] },
        action: { bot_id: 'echo', inputs },
        policy: { order_key: '{{ thread }}' },
      },
    })
    const { id } = await router.deliver('issue_comment', comment)
    const [run] = (await router.call('run.list', { event_id: id })).runs
    const { result } = await ended(router, run!.id)
    expect(result).toMatchObject({
      inputs: { who: 'example', where: 'in example/example#1', upper: 'EXAMPLE' },
      event: { actor: 'example', thread: 'example/example#1' },
    })
  })

  test('is found by actor and by thread, in lists and as it comes', async () => {
    const { deliver, call, client } = await stage()
    const seen: string[] = []
    await client.subscribe({ actor: 'EXAMPLE' }, ({ event }) => void seen.push(event.id))
    const first = await deliver('issue_comment', comment)
    await call('event.emit', {
      source_id: 'jobs',
      type: 'x',
      payload: 1,
      actor: 'bob',
      thread: 'example/example#1',
    })
    const second = await deliver('push', readFileSync('test/fixtures/gitea-webhooks/push-event.json'))
    const ids = async (query: object): Promise<string[]> =>
      (await call('event.query', query)).events.map(event => event.id)
    expect(await ids({ actor: 'eXample' })).toEqual([second.id, first.id])
    expect(await ids({ thread: 'example/example#1', source_id: 'forge' })).toEqual([first.id])
    expect(await ids({ thread: 'example/example@refs/heads/master' })).toEqual([second.id])
    expect(await call('event.query', { thread: 'nowhere#1' })).toEqual({ events: [] })
    expect((await call('event.replay', { query: { actor: 'Example' }, dry_run: true })).events).toBe(2)
    await until(async () => seen.length === 2)
    expect(seen).toEqual([first.id, second.id])
  })
})

describe('an event that is emitted', () => {
  test('into a forge source is marked, and has what its payload says', async () => {
    const { call, event } = await stage()
    const payload = JSON.parse(comment.toString()) as object
    const plain = await event(
      (await call('event.emit', { source_id: 'forge', type: 'issue_comment', payload })).event_id,
    )
    expect(plain).toMatchObject({ actor: 'example', thread: 'example/example#1', emitted: true })
    const said = await event(
      (
        await call('event.emit', {
          source_id: 'forge',
          type: 'issue_comment',
          payload,
          actor: 'Eve',
          thread: 'x/y#9',
        })
      ).event_id,
    )
    expect(said).toMatchObject({ actor: 'Eve', thread: 'x/y#9', emitted: true })
    const { events } = await call('event.query', {})
    expect(events.map(line => line.emitted)).toEqual([true, true])
  })

  test('elsewhere is not, and has what is said', async () => {
    const { call, event } = await stage()
    const said = await event(
      (await call('event.emit', { source_id: 'jobs', type: 'x', payload: {}, actor: 'Ada', thread: 'a b' }))
        .event_id,
    )
    expect(said).toMatchObject({ actor: 'Ada', thread: 'a b' })
    expect(said).not.toHaveProperty('emitted')
    expect(
      await event((await call('event.emit', { source_id: 'jobs', type: 'x', payload: {} })).event_id),
    ).toMatchObject({ actor: null, thread: null })
  })

  test.each<[object, string]>([
    [{ actor: 'bot:echo' }, 'actor must not begin with "bot:"'],
    [{ actor: 'BoT:echo' }, 'actor must not begin with "bot:"'],
    [{ actor: '' }, 'actor '],
    [{ actor: 'x'.repeat(257) }, 'actor '],
    [{ actor: 'a\u0000' }, 'actor '],
    [{ actor: 'a\u200bb' }, 'actor '],
    [{ actor: 5 }, 'actor '],
    [{ thread: 'a\nb' }, 'thread '],
    [{ thread: 'x'.repeat(1025) }, 'thread '],
    [{ thread: '' }, 'thread '],
  ])('is refused with %j', async (given, message) => {
    const { call } = await stage()
    await expect(
      call('event.emit', { source_id: 'jobs', type: 'x', payload: {}, ...given }),
    ).rejects.toMatchObject({
      code: -32602,
      message: expect.stringContaining(message) as string,
    })
    expect((await call('event.query', {})).events).toEqual([])
  })

  test('within a run has its bot and its cause, whatever is said', async () => {
    const router = await stage()
    const { call, event } = router
    await call('trigger.put', {
      trigger: { id: 't', event_source_id: 'jobs', filter: { type: ['go'] }, action: { bot_id: 'echo' } },
    })
    const first = await call('event.emit', { source_id: 'jobs', type: 'go', payload: {} })
    const lie = { event_id: '01997f3e-5b00-7000-8000-0000000000e1', run_id: first.runs[0]!, depth: 900 }
    const second = await call('event.emit', {
      source_id: 'jobs',
      type: 'go',
      payload: {},
      causation: lie,
      actor: 'ada',
    })
    const known = { event_id: first.event_id, run_id: first.runs[0]!, depth: 1 }
    expect(await event(second.event_id)).toMatchObject({ actor: 'bot:echo', causation: known })
    const third = await call('event.emit', {
      source_id: 'jobs',
      type: 'go',
      payload: {},
      causation: { ...known, run_id: second.runs[0]! },
    })
    expect(await event(third.event_id)).toMatchObject({
      actor: 'bot:echo',
      causation: { event_id: second.event_id, depth: 2 },
    })
    const unknown = { ...lie, run_id: '01997f3e-5b00-7000-8000-0000000000a1' }
    const fourth = await call('event.emit', {
      source_id: 'jobs',
      type: 'x',
      payload: {},
      causation: unknown,
      actor: 'ada',
    })
    expect(await event(fourth.event_id)).toMatchObject({ actor: 'ada', causation: unknown })
    expect(await call('event.query', { actor: 'bot:ECHO' })).toMatchObject({
      events: [{ id: third.event_id }, { id: second.event_id }],
    })
    await Promise.all([...first.runs, ...second.runs].map(id => ended(router, id)))
  })

  test('by an emit bot, and by a dispatch within a run, has its bot', async () => {
    const router = await stage()
    const { call } = router
    await call('source.put', {
      source: { id: 'inbox', source_type: 'dispatch', config: { workflow_id: 'w' } },
    })
    await call('source.put', {
      source: { id: 'plain', source_type: 'webhook', config: { provider: 'none' } },
    })
    await call('bot.put', {
      bot: { id: 'relay', endpoint: { kind: 'emit', source_id: 'plain', type: 'relayed' } },
    })
    await call('trigger.put', {
      trigger: { id: 't', event_source_id: 'jobs', filter: { type: ['go'] }, action: { bot_id: 'relay' } },
    })
    await call('trigger.put', {
      trigger: {
        id: 'w',
        event_source_id: 'inbox',
        filter: { type: ['dispatch'] },
        action: { bot_id: 'echo' },
      },
    })
    const { runs, event_id } = await call('event.emit', {
      source_id: 'jobs',
      type: 'go',
      payload: { sender: { login: 'ada' } },
    })
    await ended(router, runs[0]!)
    const [line] = (await call('event.query', { type: 'relayed' })).events
    expect(await router.event(line!.id)).toMatchObject({
      actor: 'bot:relay',
      emitted: true,
      causation: { event_id, run_id: runs[0], depth: 1 },
    })
    const handed = await call('event.dispatch', {
      workflow_id: 'w',
      causation: { event_id, run_id: runs[0]!, depth: 7 },
    })
    expect(await router.event(handed.event_id)).toMatchObject({ actor: 'bot:relay', causation: { depth: 1 } })
  })

  test('is replayed with its actor; lifecycle events have none', async () => {
    const router = await stage()
    const { call } = router
    await call('trigger.put', {
      trigger: {
        id: 't',
        filter: { actor: ['ada'] },
        action: { bot_id: 'echo', inputs: { who: '{{ actor }}' } },
      },
    })
    const { runs, event_id } = await call('event.emit', {
      source_id: 'jobs',
      type: 'go',
      payload: {},
      actor: 'Ada',
      thread: 'a#1',
    })
    await ended(router, runs[0]!)
    const [told] = (await call('event.query', { source_id: 'router' })).events
    expect(told).toMatchObject({ type: 'run.completed', actor: null, thread: null })
    const again = await call('event.replay', { event_id, mode: 'all' })
    expect((await ended(router, again.runs[0]!)).result).toMatchObject({
      inputs: { who: 'Ada' },
      event: { thread: 'a#1' },
    })
  })
})

describe('a CloudEvent', () => {
  const envelope = {
    specversion: '1.0',
    id: '1',
    source: '/s',
    type: 't',
    actor: 'Ada',
    thread: 'acme/site#3',
    data: {},
  }
  async function cloud(): Promise<Stage> {
    const router = await stage()
    await router.call('source.put', {
      source: { id: 'ce', source_type: 'webhook', config: { provider: 'cloudevents' } },
    })
    return router
  }

  test('says both by extensions: structured, in a batch, binary', async () => {
    const { post, event } = await cloud()
    const structured = await post('ce', JSON.stringify(envelope), {
      'content-type': 'application/cloudevents+json',
    })
    const batch = await post('ce', JSON.stringify([{ ...envelope, id: '2' }]), {
      'content-type': 'application/cloudevents-batch+json',
    })
    const headers = {
      'ce-specversion': '1.0',
      'ce-id': '3',
      'ce-source': '/s',
      'ce-type': 't',
      'ce-actor': 'Ada',
      'ce-thread': 'acme%2Fsite%233',
    }
    const binary = await post('ce', '{}', headers)
    const ids = [
      structured.body.event_id,
      (batch.body.events as { event_id: string }[])[0]!.event_id,
      binary.body.event_id,
    ]
    for (const id of ids) expect(await event(id)).toMatchObject({ actor: 'Ada', thread: 'acme/site#3' })
  })

  test.each([
    { actor: 'bot:x' },
    { actor: '' },
    { actor: 5 },
    { actor: 'x'.repeat(257) },
    { thread: 'a\nb' },
    { thread: true },
  ])('is refused with %j', async given => {
    const { post, call } = await cloud()
    const answer = await post('ce', JSON.stringify({ ...envelope, ...given }), {
      'content-type': 'application/cloudevents+json',
    })
    expect(answer).toMatchObject({
      status: 400,
      body: { detail: expect.stringContaining(Object.keys(given)[0]!) as string },
    })
    expect((await call('event.query', {})).events).toEqual([])
  })

  test('is refused with an encoded line break in a header', async () => {
    const { post } = await cloud()
    const headers = {
      'ce-specversion': '1.0',
      'ce-id': '3',
      'ce-source': '/s',
      'ce-type': 't',
      'ce-actor': 'a%0Ab',
    }
    expect((await post('ce', '{}', headers)).status).toBe(400)
  })
})
