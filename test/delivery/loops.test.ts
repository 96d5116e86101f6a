// Loops through the forge: a bot comments, the forge sends the comment as a webhook, and that starts the bot again. The
// bots here really post back; what is cut is cut by the router.
import { createHmac } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { Event, Policy } from '../../src/client/client.ts'
import { botServer, type BotServer } from '../support/bot-server.ts'
import { freshRouter, until, type TestRouter } from '../support/router.ts'

const secret = 'secret'
const host = 'forge.example.org'

interface Forge extends TestRouter {
  bot: BotServer
  /** delivers a comment; answers its event */
  comment: (login: string, more?: { issue?: number; host?: string }) => Promise<Event>
  push: (branch: string) => Promise<Event>
}

interface Stage {
  policy?: Policy
  flags?: Record<string, unknown>
  forge_account?: object
  /** how often the bot answers with a comment of its own at the most */
  echoes?: number
  login?: string
}

/** A router with a forge, whose bot comments on whatever starts it. */
async function stage({
  policy = {},
  flags = {},
  forge_account,
  echoes = 0,
  login = 'review-bot',
}: Stage = {}): Promise<Forge> {
  const router = await freshRouter({ max_active: 64, ...flags }, { SECRET: secret })
  const { call, post } = router
  const deliver = async (type: string, payload: object): Promise<Event> => {
    const body = JSON.stringify(payload)
    const signature = createHmac('sha256', secret).update(body).digest('hex')
    const answer = await post('forge', body, {
      'x-forgejo-event-type': type,
      'x-forgejo-signature': signature,
    })
    expect(answer.status).toBe(202)
    return call('event.get', { event_id: answer.body.event_id as string })
  }
  const repository = (on: string): object => ({ full_name: 'acme/site', html_url: `https://${on}/acme/site` })
  let count = 0
  const comment: Forge['comment'] = (by, { issue = 12, host: on = host } = {}) =>
    deliver('issue_comment', {
      action: 'created',
      issue: { number: issue },
      comment: { id: ++count, body: 'hello' },
      repository: repository(on),
      sender: { login: by },
    })
  const push: Forge['push'] = branch =>
    deliver('push', {
      ref: `refs/heads/${branch}`,
      after: branch,
      repository: repository(host),
      sender: { login: 'ada' },
    })
  const bot = await botServer((_request, response, calls) => {
    // The forge tells of the comment before it answers the call that made it.
    const echo = calls <= echoes ? comment(login) : Promise.resolve()
    void echo.then(() => response.end('{}'))
  })
  await call('source.put', {
    source: {
      id: 'forge',
      source_type: 'webhook',
      config: { provider: 'forgejo', secrets: [{ env: 'SECRET' }] },
    },
  })
  await call('bot.put', {
    bot: {
      id: 'reviewer',
      max_active: 64,
      endpoint: { kind: 'http', url: bot.url },
      ...(forge_account === undefined ? {} : { forge_account }),
    } as never,
  })
  await call('trigger.put', {
    trigger: {
      id: 'review',
      event_source_id: 'forge',
      filter: { type: ['issue_comment', 'push'] },
      action: { bot_id: 'reviewer' },
      policy,
    },
  })
  return { ...router, bot, comment, push }
}

const outcomesOf = (events: readonly Event[]): string[] =>
  events.flatMap(event => (event.decisions ?? []).map(each => each.outcome))

/** Decisions about all comments, oldest first, once nothing is under way. */
async function settled({ call }: Forge, events: number): Promise<Event[]> {
  await until(async () => {
    const [{ runs }, log] = [
      await call('run.list', { limit: 200 }),
      await call('event.query', { source_id: 'forge', limit: 200 }),
    ]
    return log.events.length >= events && runs.every(run => ['completed', 'held'].includes(run.state))
  })
  const { events: lines } = await call('event.query', { source_id: 'forge', limit: 200 })
  return Promise.all(lines.toReversed().map(({ id }) => call('event.get', { event_id: id })))
}

describe('an account that the router does not know', () => {
  test('is stopped by the repeat limit, with one run to see', async () => {
    const forge = await stage({ echoes: 30 })
    await forge.comment('ada')
    const events = await settled(forge, 11)
    expect(events).toHaveLength(11)
    expect(outcomesOf(events)).toEqual(Array.from({ length: 11 }, () => 'routed'))
    const { runs } = await forge.call('run.list', { state: 'held' })
    expect(runs).toMatchObject([
      {
        held_by: 'repeat_limit',
        waiting_for: expect.stringContaining(
          'there were 10 runs of trigger review about acme/site#12 of source forge within 600 s',
        ),
      },
    ])
    // Whatever else comes of the thread within the period makes no run, and another thread is another matter.
    const [same, other] = [await forge.comment('ada'), await forge.comment('ada', { issue: 13 })]
    expect(outcomesOf([same, other])).toEqual(['repeat_limit', 'routed'])
    const { decisions } = await forge.call('event.explain', { event_id: same.id, trigger_id: 'review' })
    expect(decisions[0]!.gates).toContainEqual({
      gate: 'repeat_limit',
      verdict: 'stop',
      detail: expect.stringContaining('as many runs about this thread'),
    })
    // The run of the other thread comments, too.
    expect(outcomesOf(await settled(forge, 14)).slice(11)).toEqual(['repeat_limit', 'routed', 'repeat_limit'])
  })

  test('is reported once by a lifecycle event', async () => {
    const forge = await stage({ policy: { repeat_limit: { limit: 1, period_ms: 600_000 } } })
    for (let count = 0; count < 4; count++) await forge.comment('ada')
    const { events } = await forge.call('event.query', { source_id: 'router', type: 'trigger.repeating' })
    expect(events).toHaveLength(1)
    const event = await forge.call('event.get', { event_id: events[0]!.id })
    expect(event.payload).toMatchObject({
      trigger: 'review',
      source_id: 'forge',
      thread: 'acme/site#12',
      limit: 1,
      period_ms: 600_000,
    })
  })

  test('goes on when the held run is released', async () => {
    const forge = await stage({ policy: { repeat_limit: { limit: 1, period_ms: 600_000 } } })
    await forge.comment('ada')
    await forge.comment('ada')
    const [held] = (await forge.call('run.list', { state: 'held' })).runs
    await forge.call('run.release', { run_id: held!.id })
    await until(async () => (await forge.call('run.get', { run_id: held!.id })).run.state === 'completed')
  })

  test('does not count runs that a person ended before they began', async () => {
    const forge = await stage({ policy: { repeat_limit: { limit: 1, period_ms: 600_000 } } })
    await forge.call('router.pause', {})
    await forge.comment('ada')
    const [run] = (await forge.call('run.list', {})).runs
    await forge.call('run.cancel', { run_id: run!.id })
    expect(outcomesOf([await forge.comment('ada')])).toEqual(['routed'])
    expect((await forge.call('run.list', { state: 'pending' })).runs).toHaveLength(1)
  })

  test('control: without the limit every comment starts the next', async () => {
    const forge = await stage({ echoes: 30, policy: { repeat_limit: null } })
    await forge.comment('ada')
    const events = await settled(forge, 31)
    expect(outcomesOf(events)).toEqual(Array.from({ length: 31 }, () => 'routed'))
  })

  test('replay is exempt from the limit', async () => {
    const forge = await stage({ policy: { repeat_limit: { limit: 1, period_ms: 600_000 } } })
    const ids = [
      (await forge.comment('ada')).id,
      (await forge.comment('ada')).id,
      (await forge.comment('ada')).id,
    ]
    const { runs } = await forge.call('event.replay', { event_id: ids[2]! })
    await until(async () => (await forge.call('run.get', { run_id: runs[0]! })).run.state === 'completed')
  })
})

describe('an account that the router knows', () => {
  test.each<[string, Stage]>([
    ['by the configuration', { flags: { own_accounts: [{ login: 'Review-Bot' }] } }],
    ['by its host', { flags: { own_accounts: [{ login: 'review-bot', host: 'Forge.example.org' }] } }],
    ['by the bot', { forge_account: { login: 'review-bot', host } }],
  ])('starts nothing: %s', async (_name, known) => {
    const forge = await stage({ echoes: 30, ...known })
    await forge.comment('ada')
    const events = await settled(forge, 2)
    expect(outcomesOf(events)).toEqual(['routed', 'own_event'])
    const { decisions } = await forge.call('event.explain', { event_id: events[1]!.id, trigger_id: 'review' })
    expect(decisions[0]!.gates).toContainEqual({
      gate: 'own_events',
      verdict: 'stop',
      detail: expect.stringContaining('an account of the router itself caused this event'),
    })
  })

  test('starts something on another forge, and by leave of the trigger', async () => {
    const flags = { own_accounts: [{ login: 'review-bot', host }] }
    const forge = await stage({ flags })
    expect(outcomesOf([await forge.comment('review-bot', { host: 'other.example.org' })])).toEqual(['routed'])
    const willing = await stage({ flags, policy: { own_events: true } })
    expect(outcomesOf([await willing.comment('review-bot')])).toEqual(['routed'])
  })

  test('is forgotten with its bot', async () => {
    const forge = await stage({ forge_account: { login: 'review-bot' } })
    expect(outcomesOf([await forge.comment('review-bot')])).toEqual(['own_event'])
    await forge.call('bot.put', { bot: { id: 'reviewer', endpoint: { kind: 'http', url: forge.bot.url } } })
    expect(outcomesOf([await forge.comment('review-bot')])).toEqual(['routed'])
  })
})

describe('an event with a cause that the router does not know', () => {
  const unknown = {
    event_id: '01997f3e-5b00-7000-8000-0000000000e1',
    run_id: '01997f3e-5b00-7000-8000-0000000000a1',
    depth: 1,
  }
  const emit = async ({ call }: Forge, actor: string): Promise<string> => {
    const payload = {
      issue: { number: 12 },
      repository: { full_name: 'acme/site' },
      sender: { login: actor },
    }
    const { decisions } = await call('event.emit', {
      source_id: 'forge',
      type: 'issue_comment',
      payload,
      causation: unknown,
    })
    return decisions![0]!.outcome
  }

  test('is judged by the repeat limit', async () => {
    const forge = await stage({ policy: { repeat_limit: { limit: 2, period_ms: 600_000 } } })
    const outcomes: string[] = []
    for (let count = 0; count < 5; count++) outcomes.push(await emit(forge, 'ada'))
    expect(outcomes).toEqual(['routed', 'routed', 'routed', 'repeat_limit', 'repeat_limit'])
    expect((await forge.call('run.list', { state: 'held' })).runs).toMatchObject([
      { held_by: 'repeat_limit' },
    ])
  })

  test('starts nothing where an own account caused it', async () => {
    const forge = await stage({ flags: { own_accounts: [{ login: 'review-bot' }] } })
    expect([await emit(forge, 'ada'), await emit(forge, 'Review-Bot')]).toEqual(['routed', 'own_event'])
  })
})

test('64 pushes to different branches at once all pass', async () => {
  const forge = await stage()
  const events = await Promise.all(Array.from({ length: 64 }, (_, index) => forge.push(`branch-${index}`)))
  expect(outcomesOf(events)).toEqual(Array.from({ length: 64 }, () => 'routed'))
  expect((await forge.call('run.list', { state: 'held' })).runs).toEqual([])
})
