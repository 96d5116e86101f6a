// What attempts asked of their bots: kept without secrets, with the body that was sent.
import { describe, expect, test } from 'vitest'
import { requestText, urlWithoutSecrets } from '../../src/delivery/made-request.ts'
import { botServer } from '../support/bot-server.ts'
import { ended, freshRouter, type TestRouter } from '../support/router.ts'

const secret = 'a-secret-of-the-bot-0123456789'
/** Within JSON its quote, backslash and line break are escaped. */
const escaped = 'a "key" of\n two\\lines 0123456789'

async function withBot(
  endpoint: object,
): Promise<TestRouter & { emit: (payload?: unknown) => Promise<string> }> {
  const router = await freshRouter(
    {},
    { BOT_SECRET: secret, BOT_TOKEN: secret, KEY_SECRET: escaped, SEEN: 'value-of-seen' },
  )
  const { call } = router
  await call('bot.put', { bot: { id: 'b', endpoint: endpoint as never } })
  await call('source.put', { source: { id: 's', source_type: 'service' } })
  await call('trigger.put', {
    trigger: {
      id: 't',
      filter: { type: ['x'] },
      action: { bot_id: 'b', inputs: { n: '{{ payload.n }}' } },
      policy: { retry: [0, 0] },
    },
  })
  return {
    ...router,
    emit: async (payload = { n: 1 }) =>
      (await call('event.emit', { source_id: 's', type: 'x', payload })).runs[0]!,
  }
}

describe('the request of an attempt', () => {
  test('of an http bot has URL and headers without secrets, and each body as it was sent', async () => {
    const statuses = [500, 200]
    const server = await botServer(
      (_request, response) => void response.writeHead(statuses.shift()!).end('{}'),
    )
    const router = await withBot({
      kind: 'http',
      url: `${server.url}?api_key=of-the-query&page=2`,
      secret: { env: 'BOT_SECRET' },
      bearer: { env: 'BOT_TOKEN' },
    })
    const run_id = await router.emit()
    await ended(router, run_id)
    for (const attempt of [1, 2]) {
      const answer = await router.call('run.request', { run_id, attempt })
      expect(answer).toMatchObject({
        attempt,
        request: {
          kind: 'http',
          method: 'POST',
          url: `${server.url}?api_key=***&page=2`,
          headers: { 'webhook-id': run_id, 'webhook-signature': '***', authorization: '***' },
        },
        body: server.received[attempt - 1]!.body,
      })
      expect(JSON.stringify(answer)).not.toContain(secret)
    }
    expect((await router.call('run.request', { run_id })).attempt).toBe(2)
    await expect(router.call('run.request', { run_id, attempt: 3 })).rejects.toMatchObject({
      code: -32002,
      message: expect.stringContaining('attempt 3') as string,
    })
  })

  test('of a command has its arguments, and names of the environment alone', async () => {
    const argv = ['/bin/sh', '-c', 'cat', escaped]
    const router = await withBot({ kind: 'command', argv, env: ['BOT_SECRET', 'SEEN'] })
    const run_id = await router.emit()
    const { result } = await ended(router, run_id)
    const { request, body } = await router.call('run.request', { run_id })
    expect(request).toMatchObject({ kind: 'command', argv: [...argv.slice(0, 3), '***'], cwd: null })
    expect(request.env).toEqual(expect.arrayContaining(['BOT_SECRET', 'SEEN', 'SIGNALBOX_RUN_ID']))
    expect(JSON.stringify(request)).not.toContain('value-of-seen')
    expect(JSON.parse(body!)).toEqual(result)
  })

  test('has no body where it would not be the one that was sent, and says why', async () => {
    const server = await botServer()
    const router = await withBot({ kind: 'http', url: server.url, body: { only: '{{ inputs.n }}' } })
    const run_id = await router.emit()
    await ended(router, run_id)
    expect((await router.call('run.request', { run_id })).body_missing).toContain(
      'a body or params of its own',
    )
    const large = await router.emit({ n: 'x'.repeat(300_000) })
    await ended(router, large)
    expect((await router.call('run.request', { run_id: large })).body_missing).toBe(
      'it has more than 256 KiB',
    )
  })

  test('of a run that began nothing is not there', async () => {
    const router = await withBot({ kind: 'pull' })
    const run_id = await router.emit()
    await expect(router.call('run.request', { run_id })).rejects.toMatchObject({
      code: -32002,
      message: expect.stringContaining('no request is kept') as string,
    })
  })

  test('is redacted before it is written as JSON', () => {
    const text = requestText({ kind: 'command', argv: [escaped], cwd: null, env: [] }, '', each =>
      each.replaceAll(escaped, '***'),
    )
    expect(JSON.parse(text!)).toMatchObject({ argv: ['***'] })
  })

  test('is not kept where it is too long', () => {
    const request = { kind: 'command', argv: ['/bin/echo', 'x'.repeat(20_000)], cwd: null, env: [] } as const
    expect(requestText({ ...request, argv: [...request.argv], env: [] }, '', text => text)).toBeNull()
  })

  test('has no secret in its body, however JSON writes it', async () => {
    const server = await botServer()
    const router = await withBot({ kind: 'http', url: server.url })
    const run_id = await router.emit({ n: escaped })
    await ended(router, run_id)
    const { body } = await router.call('run.request', { run_id })
    expect((JSON.parse(server.received[0]!.body) as { inputs: unknown }).inputs).toEqual({ n: escaped })
    expect((JSON.parse(body!) as { inputs: unknown }).inputs).toEqual({ n: '***' })
  })

  test.each([
    ['https://a.test/hook?token=abc', 'https://a.test/hook?token=***'],
    [
      'https://a.test/hook?page=2&Access%54oken=abc%26d&b=1#x',
      'https://a.test/hook?page=2&Access%54oken=***&b=1#x',
    ],
    ['https://a.test/token=1?page=2&%zz=1', 'https://a.test/token=1?page=2&%zz=1'],
  ])('shows the URL %s as %s', (url, shown) => expect(urlWithoutSecrets(url)).toBe(shown))
})
