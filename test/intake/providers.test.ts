// Webhook providers on real deliveries and the vectors of their specifications.
import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { providers } from '../../src/intake/webhooks/providers/all.ts'
import type { Delivery, Provider } from '../../src/intake/webhooks/providers/provider.ts'
import { Fault } from '../../src/errors.ts'
import { freshRouter } from '../support/router.ts'

const folder = 'test/fixtures/gitea-webhooks'
const index = JSON.parse(readFileSync(`${folder}/index.json`, 'utf8')) as {
  secret: string
  deliveries: { file: string; event: string; signature: string }[]
}
const secret = Buffer.from(index.secret)
const now = 1_614_265_330_000
const limits = { json_depth: 64, json_tokens: 100_000 }

function delivery(
  body: Uint8Array | string,
  headers: Record<string, string>,
  changes: Partial<Delivery> = {},
): Delivery {
  return {
    headers: new Map(Object.entries(headers)),
    body: Buffer.from(body),
    media_type: 'application/json',
    query_payload: null,
    limits,
    now,
    ...changes,
  }
}

/** ok, or the reason of the refusal. */
function verdict(provider: Provider, given: Delivery, secrets: Buffer[]): string {
  try {
    provider.verify(given, secrets)
    return 'ok'
  } catch (error) {
    if (error instanceof Fault) return error.reason
    throw error
  }
}

describe('17 real deliveries', () => {
  test.each(index.deliveries)(
    '$file as it is, and with one bit flipped',
    async ({ file, event, signature }) => {
      const body = readFileSync(`${folder}/${file}`)
      const sent = {
        'content-type': 'application/json',
        'x-gitea-event': event,
        'x-gitea-event-type': event,
        'x-gitea-delivery': file,
        'x-gitea-signature': signature,
      }
      const { call, post, router } = await freshRouter({}, { SECRET: index.secret })
      await call('source.put', {
        source: {
          id: 'forge',
          source_type: 'webhook',
          config: { provider: 'gitea', secrets: [{ env: 'SECRET' }] },
        },
      })
      const answer = await post('forge', body, sent)
      expect(answer.status).toBe(202)
      const stored = await call('event.get', { event_id: answer.body.event_id as string, raw: true })
      expect(stored).toMatchObject({
        type: event,
        delivery_id: file,
        payload: JSON.parse(body.toString('utf8')) as unknown,
      })
      expect(Buffer.from(stored.body_base64!, 'base64').equals(body)).toBe(true)
      const repository = (JSON.parse(body.toString('utf8')) as { repository?: { full_name?: string } })
        .repository?.full_name
      expect(stored.subject).toBe(repository ?? null)
      for (const at of [0, Math.floor(body.length / 2), body.length - 1]) {
        const flipped = Buffer.from(body)
        flipped[at]! ^= 1
        expect((await post('forge', flipped, sent)).status).toBe(401)
      }
      const digit = signature[0] === '0' ? '1' : '0'
      expect(
        (await post('forge', body, { ...sent, 'x-gitea-signature': digit + signature.slice(1) })).status,
      ).toBe(401)
      const form = new URLSearchParams({ payload: body.toString('utf8') }).toString()
      const asForm = await post('forge', form, {
        ...sent,
        'content-type': 'application/x-www-form-urlencoded',
        'x-gitea-delivery': `${file}-form`,
      })
      expect(asForm.status).toBe(202)
      expect(await call('event.get', { event_id: asForm.body.event_id as string })).toMatchObject({
        payload: stored.payload,
        subject: stored.subject,
      })
      if (body.length < 4000) {
        const get = await fetch(
          `${router.intake}/webhook/forge?payload=${encodeURIComponent(body.toString('utf8'))}`,
          {
            headers: { ...sent, 'x-gitea-delivery': `${file}-get` },
          },
        )
        expect(get.status).toBe(202)
      }
    },
  )
})

describe('signatures in strict form', () => {
  const body = 'Hello, World!'
  const vector = '757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17'
  const key = Buffer.from("It's a Secret to Everybody")
  const hex = createHmac('sha256', secret).update(body).digest('hex')

  test('the vector of GitHub', () => {
    expect(
      verdict(providers.github, delivery(body, { 'x-hub-signature-256': `sha256=${vector}` }), [key]),
    ).toBe('ok')
    expect(
      verdict(providers.github, delivery(body, { 'x-hub-signature-256': `sha256=${vector}` }), [secret, key]),
    ).toBe('ok')
    expect(
      verdict(providers.github, delivery(body, { 'x-hub-signature-256': `sha256=${vector}` }), [secret]),
    ).toBe('E_SIGNATURE')
  })

  const wrong = [
    '',
    'sha256=',
    hex.toUpperCase(),
    `${hex}00`,
    hex.slice(0, 63),
    `${hex.slice(0, 63)}g`,
    ` ${hex}`,
    `${hex} `,
    `${hex}, ${hex}`,
    `sha256=${hex}`,
    `sha1=${hex.slice(0, 40)}`,
    '0'.repeat(64),
  ]
  test.each(wrong)('forgejo refuses %j', header => {
    expect(verdict(providers.forgejo, delivery(body, { 'x-forgejo-signature': header }), [secret])).toBe(
      'E_SIGNATURE',
    )
  })
  test('every bit of a signature counts', () => {
    const bytes = Buffer.from(hex, 'hex')
    for (let bit = 0; bit < 256; bit++) {
      const other = Buffer.from(bytes)
      other[bit >> 3]! ^= 1 << (bit & 7)
      expect(
        verdict(providers.forgejo, delivery(body, { 'x-forgejo-signature': other.toString('hex') }), [
          secret,
        ]),
      ).toBe('E_SIGNATURE')
    }
  })
  test('a good signature of another brand does not rescue a bad or missing one', () => {
    const others = {
      'x-gitea-signature': hex,
      'x-gogs-signature': hex,
      'x-hub-signature-256': `sha256=${hex}`,
    }
    expect(verdict(providers.forgejo, delivery(body, others), [secret])).toBe('E_SIGNATURE')
    expect(
      verdict(providers.forgejo, delivery(body, { ...others, 'x-forgejo-signature': '' }), [secret]),
    ).toBe('E_SIGNATURE')
    expect(verdict(providers.forgejo, delivery(body, { 'x-forgejo-signature': hex }), [secret])).toBe('ok')
  })
})

describe('Standard Webhooks', () => {
  const body = '{"test": 2432232314}'
  const key = Buffer.from('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')
  const good = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
  const sent = {
    'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    'webhook-timestamp': '1614265330',
    'webhook-signature': good,
  }
  const check = (headers: Record<string, string>, changes: Partial<Delivery> = {}): string =>
    verdict(providers.standard, delivery(body, { ...sent, ...headers }, changes), [key])

  test('the vector, alone, among others, and beside a second secret', () => {
    expect(check({})).toBe('ok')
    expect(check({ 'webhook-signature': `v1,AAAA v1a,xyz ${good}` })).toBe('ok')
    expect(verdict(providers.standard, delivery(body, sent), [Buffer.from('whsec_c2Vjb25k'), key])).toBe('ok')
    expect(providers.standard.read(delivery(body, sent))).toMatchObject([
      { delivery_key: 'msg_p5jXN8AQM9LWM0D4loKWxJek', timestamp: now },
    ])
  })
  test.each([
    [{ 'webhook-signature': '' }, 'E_SIGNATURE'],
    [{ 'webhook-signature': good.replace('v1,', 'v1a,') }, 'E_SIGNATURE'],
    [{ 'webhook-signature': good.replace('v1,', '') }, 'E_SIGNATURE'],
    [{ 'webhook-signature': good.replace('=', '') }, 'E_SIGNATURE'],
    [{ 'webhook-signature': good.replace('+', '-').replace('/', '_') }, 'E_SIGNATURE'],
    [{ 'webhook-signature': good.replace('E=', 'F=') }, 'E_SIGNATURE'],
    [{ 'webhook-signature': `${'v1,AAAA '.repeat(10)}${good}` }, 'E_SIGNATURE'],
    [{ 'webhook-id': 'msg_other' }, 'E_SIGNATURE'],
    [{ 'webhook-id': 'msg.1614265330' }, 'E_DELIVERY_ID'],
    ...['', 'abc', '1e9', ' 1 ', '16142653300000000000', '-1', '1614265330.0'].map(
      time => [{ 'webhook-timestamp': time }, 'E_TIMESTAMP'] as const,
    ),
    [{ 'webhook-timestamp': '1614265029' }, 'E_TIMESTAMP'],
    [{ 'webhook-timestamp': '1614265631' }, 'E_TIMESTAMP'],
  ] as [Record<string, string>, string][])('%j is %s', (headers, expected) => {
    expect(check(headers)).toBe(expected)
  })
})

describe('tokens', () => {
  test('GitLab: the token, or only the signing token where that is the secret', () => {
    const good = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    const key = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
    expect(
      verdict(providers.gitlab, delivery('{}', { 'x-gitlab-token': 'abc' }), [
        Buffer.from('x'),
        Buffer.from('abc'),
      ]),
    ).toBe('ok')
    expect(
      verdict(providers.gitlab, delivery('{}', { 'x-gitlab-token': 'abcd' }), [Buffer.from('abc')]),
    ).toBe('E_TOKEN')
    expect(verdict(providers.gitlab, delivery('{}', {}), [Buffer.from('abc')])).toBe('E_SIGNATURE')
    expect(verdict(providers.gitlab, delivery('{}', { 'x-gitlab-token': key }), [Buffer.from(key)])).toBe(
      'E_SIGNATURE',
    )
    const signed = {
      'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      'webhook-timestamp': '1614265330',
      'webhook-signature': good,
    }
    expect(verdict(providers.gitlab, delivery('{"test": 2432232314}', signed), [Buffer.from(key)])).toBe('ok')
    const read = providers.gitlab.read(
      delivery('{"project": {"path_with_namespace": "acme/site"}}', {
        'x-gitlab-event': 'Push Hook',
        'x-gitlab-event-uuid': 'u1',
        'idempotency-key': 'k1',
      }),
    )
    expect(read).toMatchObject([
      { type: 'Push Hook', subject_paths: ['project.path_with_namespace'], delivery_key: 'k1' },
    ])
  })
  test('bearer', () => {
    const check = (authorization: string): string =>
      verdict(providers.bearer, delivery('{}', { authorization }), [Buffer.from('abc')])
    expect(check('Bearer abc')).toBe('ok')
    for (const wrong of ['Bearer abd', 'Bearer ', 'Basic abc', 'abc', 'Bearer abc abc'])
      expect(check(wrong)).toBe('E_TOKEN')
  })
})

describe('event types of Forgejo', () => {
  test.each([
    [
      {
        'x-forgejo-event-type': 'pull_request_label',
        'x-forgejo-event': 'pull_request',
        'x-gitea-event-type': 'x',
      },
      'pull_request_label',
    ],
    [{ 'x-forgejo-event': '', 'x-forgejo-event-type': 'package' }, 'package'],
    [{ 'x-gitea-event-type': 'issue_label', 'x-forgejo-event': 'issues' }, 'issue_label'],
    [{ 'x-forgejo-event': 'push', 'x-github-event': 'other' }, 'push'],
    [{ 'x-forgejo-event-type': 'a_type_of_tomorrow' }, 'a_type_of_tomorrow'],
    [{}, null],
  ] as [Record<string, string>, string | null][])('%j is %s', (headers, type) => {
    expect(providers.forgejo.read(delivery('{}', headers))[0]!.type).toBe(type)
  })
  test('payloads of Actions have their repository in the run', async () => {
    const { call, post } = await freshRouter({}, { SECRET: 's' })
    await call('source.put', {
      source: {
        id: 'forge',
        source_type: 'webhook',
        config: { provider: 'forgejo', secrets: [{ env: 'SECRET' }] },
      },
    })
    const body = '{"run": {"repository": {"full_name": "a/b"}}}'
    const signature = createHmac('sha256', 's').update(body).digest('hex')
    const { event_id } = (
      await post('forge', body, { 'content-type': 'application/json', 'x-forgejo-signature': signature })
    ).body
    expect((await call('event.get', { event_id: event_id as string })).subject).toBe('a/b')
  })
})

describe('CloudEvents', () => {
  const envelope = {
    specversion: '1.0',
    id: '1',
    source: '/s',
    type: 'com.example',
    subject: 'sub',
    time: '2026-01-01T00:00:00Z',
    correlation: 'c',
    data: { a: 1 },
  }
  test('structured, batched and binary', async () => {
    const { call, post, router } = await freshRouter()
    await call('source.put', {
      source: { id: 'ce', source_type: 'webhook', config: { provider: 'cloudevents' } },
    })
    const structured = await post('ce', JSON.stringify(envelope), {
      'content-type': 'application/cloudevents+json; charset=utf-8',
    })
    expect(structured.status).toBe(202)
    expect(await call('event.get', { event_id: structured.body.event_id as string })).toMatchObject({
      type: 'com.example',
      subject: 'sub',
      timestamp: Date.UTC(2026, 0, 1),
      payload: { a: 1 },
      headers: { 'ce-correlation': 'c', 'ce-source': '/s' },
    })
    expect(
      (await post('ce', JSON.stringify(envelope), { 'content-type': 'application/cloudevents+json' })).status,
    ).toBe(200)
    const batch = await post(
      'ce',
      JSON.stringify([envelope, { ...envelope, id: '2', data: undefined, data_base64: 'AAA=' }]),
      {
        'content-type': 'application/cloudevents-batch+json',
      },
    )
    expect(batch).toMatchObject({
      status: 202,
      body: { events: [{ duplicate: true }, { duplicate: false }] },
    })
    const second = (batch.body.events as { event_id: string }[])[1]!
    expect(await call('event.get', { event_id: second.event_id })).toMatchObject({ payload: 'AAA=' })
    const binary = await post('ce', 'plain text', {
      'content-type': 'text/plain',
      'ce-specversion': '1.0',
      'ce-id': '3',
      'ce-source': '/s',
      'ce-type': 't',
      'ce-subject': 'caf%C3%A9',
    })
    expect(await call('event.get', { event_id: binary.body.event_id as string })).toMatchObject({
      type: 't',
      subject: 'café',
      payload: 'plain text',
    })
    const hello = await fetch(`${router.intake}/webhook/ce`, {
      method: 'OPTIONS',
      headers: { 'webhook-request-origin': 'events.example', 'webhook-request-rate': '100' },
    })
    expect([
      hello.status,
      hello.headers.get('webhook-allowed-origin'),
      hello.headers.get('webhook-allowed-rate'),
    ]).toEqual([200, 'events.example', '*'])
  })
  test.each([
    [{ ...envelope, id: undefined }, 'id is required'],
    [{ ...envelope, specversion: '0.3' }, 'specversion must be 1.0'],
    [{ ...envelope, time: 'yesterday' }, 'time must be'],
    [{ ...envelope, Upper: 'x' }, 'attribute names'],
    [{ ...envelope, type: 5 }, 'must be a string'],
    [[envelope], 'must be a JSON object'],
  ])('refused: %#', (wrong, message) => {
    expect(() =>
      providers.cloudevents.read(
        delivery(JSON.stringify(wrong), {}, { media_type: 'application/cloudevents+json' }),
      ),
    ).toThrow(message)
  })
})
