// A source that is deleted, disabled, changed or made again while something of it is on its way: from then on no event of
// what it was before is logged.
import { createHmac } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { describe, expect, test } from 'vitest'
import type { SourceInput } from '../../src/contract/types.ts'
import { feedServer, sendFeed } from '../support/feed-server.ts'
import { freshRouter, until, type TestRouter } from '../support/router.ts'

type Change = (router: TestRouter, source: SourceInput) => Promise<unknown>

const changes: Record<string, Change> = {
  deleted: ({ call }, { id }) => call('source.delete', { source_id: id }),
  disabled: ({ call }, { id }) => call('source.disable', { source_id: id }),
  'changed and disabled': ({ call }, source) =>
    call('source.put', { source: { ...source, enabled: false, description: 'x' } }),
  'deleted and made again, disabled': async ({ call }, source) => {
    await call('source.delete', { source_id: source.id })
    await call('source.put', { source: { ...source, enabled: false } })
  },
}

describe.each(Object.keys(changes))('a source that is %s', name => {
  test('logs nothing of a poll that was on its way', async () => {
    const second = Promise.withResolvers<ServerResponse>()
    const other = Promise.withResolvers<void>()
    const server = await feedServer((path, headers, response) => {
      if (path === '/2') return second.resolve(response)
      if (path === '/other') other.resolve()
      return sendFeed(
        [{ id: 1 }],
        headers,
        response,
        path === '/1' ? { link: `<${server.url}/2>; rel="next"` } : {},
      )
    })
    // One reading at a time: the other source is read once the first has been used.
    const router = await freshRouter({ poll_min_interval_ms: 20, poll_max_active: 1 })
    const poll = (id: string, path: string): SourceInput => ({
      id,
      source_type: 'poll',
      config: { interval_ms: 60_000, url: `${server.url}${path}`, key: '{{ item.id }}' },
    })
    await router.call('source.put', { source: poll('feed', '/1') })
    await second.promise
    await changes[name]!(router, poll('feed', '/1'))
    await router.call('source.put', { source: poll('other', '/other') })
    await other.promise
    await until(async () => (await router.call('event.query', { source_id: 'other' })).events.length > 0)
    expect((await router.call('event.query', { source_id: 'feed' })).events).toEqual([])
  })

  test('takes no delivery whose body was on its way', async () => {
    const router = await freshRouter({}, { SECRET: 'old' })
    const hook: SourceInput = {
      id: 'hook',
      source_type: 'webhook',
      config: { provider: 'forgejo', secrets: [{ env: 'SECRET' }] },
    }
    await router.call('source.put', { source: hook })
    const delivery = await slowDelivery(router, 'old')
    await changes[name]!(router, hook)
    expect(await delivery.finish()).toBe(name === 'deleted' ? 404 : 409)
    expect((await router.call('event.query', { source_id: 'hook' })).events).toEqual([])
  })
})

test('a delivery is verified as its source is once its body is there', async () => {
  const router = await freshRouter({}, { OLD: 'old', NEW: 'new' })
  const hook = (env: string): SourceInput => ({
    id: 'hook',
    source_type: 'webhook',
    config: { provider: 'forgejo', secrets: [{ env }] },
  })
  for (const [secret, status] of [
    ['old', 401],
    ['new', 202],
  ] as const) {
    await router.call('source.put', { source: hook('OLD') })
    const delivery = await slowDelivery(router, secret)
    await router.call('source.put', { source: hook('NEW') })
    expect(await delivery.finish()).toBe(status)
  }
})

test('a poll that was changed reads again, and makes one event of each item', async () => {
  const second = Promise.withResolvers<ServerResponse>()
  const server = await feedServer((path, headers, response) => {
    if (path === '/2') return second.resolve(response)
    return sendFeed(
      [{ id: 1 }],
      headers,
      response,
      path === '/1' ? { link: `<${server.url}/2>; rel="next"` } : {},
    )
  })
  const router = await freshRouter({ poll_min_interval_ms: 20, poll_max_active: 1 })
  const poll = (type: string, path: string): SourceInput => ({
    id: 'feed',
    source_type: 'poll',
    config: { interval_ms: 60_000, url: `${server.url}${path}`, key: '{{ item.id }}', type },
  })
  await router.call('source.put', { source: poll('old', '/1') })
  await second.promise
  await router.call('source.put', { source: poll('new', '/3') })
  const events = await until(async () => {
    const found = await router.call('event.query', { source_id: 'feed' })
    return found.events.length > 0 && found.events
  })
  expect(events.map(({ type }) => type)).toEqual(['new'])
})

interface SlowDelivery {
  /** sends the body; answers the status */
  finish: () => Promise<number>
}

/** A delivery whose headers the intake has seen; its body comes later. */
async function slowDelivery({ router }: TestRouter, secret: string): Promise<SlowDelivery> {
  const body = '{"a":1}'
  const { hostname, port } = new URL(router.intake)
  const socket = connect(Number(port), hostname)
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  const signature = createHmac('sha256', secret).update(body).digest('hex')
  const headers = [
    'Host: x',
    'Content-Type: application/json',
    `X-Forgejo-Signature: ${signature}`,
    'Expect: 100-continue',
    `Content-Length: ${body.length}`,
  ]
  socket.write(`POST /webhook/hook HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`)
  await until(async () => text.includes('100 Continue'))
  return {
    async finish() {
      text = ''
      socket.write(body)
      const status = await until(async () => /HTTP\/1\.1 (\d{3})/.exec(text)?.[1])
      socket.destroy()
      return Number(status)
    },
  }
}
