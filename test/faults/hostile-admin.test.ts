// Hostile requests to the admin listener: none ends the router, is answered with HTTP 500 or -32603, or is let in without its token.
import fc from 'fast-check'
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { cursorText } from '../../src/api/stream-request.ts'
import { callOf, callWith, cookieOf, environmentToken, listening, logIn } from '../support/admin.ts'
import { report, size } from './report.ts'

const inputs = size('SIGNALBOX_ADMIN_INPUTS', 800, 100_000)
const seed = Number(process.env.SIGNALBOX_SEED ?? 1)
const statuses = new Set([200, 204, 400, 401, 403, 404, 405, 408, 413, 414, 415, 422, 429, 431, 503])
const publicPaths = new Set(['/health'])

interface Sent {
  method: string
  path: string
  headers: string[]
  body: string
}

interface FirstAnswer {
  status: number
  text: string
  /** the body was asked for */
  continued: boolean
}

/** The first bytes of an answer: of a stream there is no end. undefined: the connection was closed without one. */
function firstAnswer(admin: string, { method, path, headers, body }: Sent): Promise<FirstAnswer | undefined> {
  const { hostname, port } = new URL(admin)
  const socket = connect({ host: hostname, port: Number(port) })
  const { promise, resolve } = Promise.withResolvers<FirstAnswer | undefined>()
  let text = ''
  let continued = false
  const done = (): void => {
    socket.destroy()
    const status = Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1])
    resolve(Number.isNaN(status) ? undefined : { status, text, continued })
  }
  socket.on('data', chunk => {
    text = (text + chunk.toString('latin1')).replace(/^HTTP\/1\.1 100 Continue\r\n\r\n/, () => {
      continued = true
      return ''
    })
    const [head = '', rest] = text.split('\r\n\r\n')
    const length = /content-length: (\d+)/i.exec(head)?.[1]
    if (rest !== undefined && (length === undefined || rest.length >= Number(length))) done()
  })
  socket.on('error', done)
  socket.on('close', done)
  socket.end(`${method} ${path} HTTP/1.1\r\n${headers.join('\r\n')}\r\nConnection: close\r\n\r\n${body}`)
  return promise
}

/** Characters that can be sent in a line of HTTP, and some that cannot. */
const line = fc.string({
  unit: fc.constantFrom(...'az09-_.%=&?,:;"\\\t ~é\u0000{}[]'.split('')),
  maxLength: 40,
})
const number = fc.constantFrom(0, 1, -1, 2 ** 53, 1e21, 1.5)
const cursors = fc.oneof(
  fc.record({ events: number }, { requiredKeys: [] }).map(each => cursorText(each)),
  fc.record({ output: fc.record({ attempt: number, offset: number }) }).map(each => cursorText(each)),
  fc.anything().map(each => Buffer.from(JSON.stringify(each) ?? '').toString('base64url')),
  line,
)
const query = fc.oneof(
  fc.constant(''),
  line.map(each => `?${each.replaceAll(/[\s\u0000é]/g, '')}`),
  cursors.map(each => `?after=${encodeURIComponent(each)}`),
  fc
    .tuple(
      fc.constantFrom('topics', 'type', 'run_id', 'bot_id', 'source_id', '__proto__', 'constructor'),
      line,
    )
    .map(([name, value]) => `?${name}=${encodeURIComponent(value)}`),
)
const wellKnown = fc.constantFrom(
  '/rpc',
  '/stream',
  '/metrics',
  '/openrpc.json',
  '/health',
  '/session',
  '/',
  '/__proto__',
  '/constructor',
  '/rpc/',
  '//rpc',
  'http://x/rpc',
  '*',
)
const methods = fc.constantFrom(
  'GET',
  'GET',
  'GET',
  'POST',
  'POST',
  'POST',
  'HEAD',
  'PUT',
  'DELETE',
  'OPTIONS',
  'PATCH',
  'TRACE',
)
const bodies = fc.oneof(
  fc.constant(''),
  fc.constant(callOf('router.status')),
  fc.constant(`[${callOf('token.list')},${callOf('audit.list', { cursor: 'x' })}]`),
  fc.anything({ withNullPrototype: false }).map(each => JSON.stringify(each) ?? ''),
  line,
)
const tokens = fc.oneof(fc.constantFrom('none', 'right', 'right', 'right', 'viewer', 'cookie'), line)
/** What a browser sends from a page of the listener. */
const own = 'Origin: http://127.0.0.1\r\nX-Signalbox: 1'
const extra = fc.array(
  fc.oneof(
    fc.constantFrom(
      'Transfer-Encoding: chunked',
      'Transfer-Encoding: gzip',
      'Upgrade: websocket',
      'Expect: 100-continue',
      'Content-Type: text/plain',
      'Content-Encoding: gzip',
      'Cookie: a=b',
      own,
      own,
      'X-Signalbox: 1',
      'Sec-Fetch-Site: same-site',
      'Origin: http://evil.example',
      'X-Forwarded-For: 1.2.3.4',
      'Remote-User: admin',
    ),
    cursors.map(each => `Last-Event-ID: ${each}`),
    line.map(each => `X-Any: ${each}`),
  ),
  { maxLength: 1 },
)
const hosts = fc.constantFrom(
  ...Array.from({ length: 8 }, () => 'Host: 127.0.0.1'),
  'Host: localhost:1',
  'Host: evil.example',
  'Host:',
  '',
  'Host: a\r\nHost: b',
)
const lengths = fc.constantFrom<'right' | 'none' | 'long' | 'rubbish'>(
  'right',
  'right',
  'right',
  'right',
  'right',
  'right',
  'none',
  'long',
  'rubbish',
)

/** Its 422 is what chance finds too seldom for the control below. */
const seldom = {
  ...({ method: 'GET', path: '/stream', token: 'right', host: 'Host: 127.0.0.1', length: 'right' } as const),
  query: '?after=x',
  body: '',
  extra: [],
}

test(
  'no request is answered with 500, and none is let in without a token',
  { timeout: 300_000 },
  async () => {
    const begun = performance.now()
    const { call, admin } = await listening({
      auth_failures_per_minute: 1_000_000,
      admin_rate_limit: 100_000,
      trusted_proxies: ['192.0.2.1'],
      forward_auth: { default_role: 'admin' },
    })
    const { token: viewer } = await call('token.create', { name: 'viewer', role: 'viewer' })
    const login = async (): Promise<string> =>
      cookieOf(await logIn(admin, (await call('login.create', { role: 'admin' })).url))
    let cookie = await login()
    const statusOf = new Map<number | undefined, number>()
    const sent = fc.record({
      method: methods,
      path: wellKnown,
      query,
      body: bodies,
      token: tokens,
      extra,
      host: hosts,
      length: lengths,
    })
    await fc.assert(
      fc.asyncProperty(
        sent,
        async ({ method, path, query: asked, body, token, extra: more, host, length }) => {
          const given = token === 'right' ? environmentToken : token === 'viewer' ? viewer : token
          const bytes = Buffer.byteLength(body)
          const declared = {
            right: `Content-Length: ${bytes}`,
            none: '',
            long: `Content-Length: ${bytes + 100}`,
            rubbish: 'Content-Length: 1x',
          }[length]
          const shown =
            token === 'none'
              ? ''
              : token === 'cookie'
                ? `Cookie: ${cookie}`
                : `Authorization: Bearer ${given}`
          const headers = [host, shown, 'Content-Type: application/json', declared, ...more].filter(
            each => each !== '',
          )
          const answer = await firstAnswer(admin, { method, path: path + asked, headers, body })
          statusOf.set(answer?.status, (statusOf.get(answer?.status) ?? 0) + 1)
          if (answer === undefined) return
          expect(statuses.has(answer.status), answer.text).toBe(true)
          expect(answer.text).not.toContain('-32603')
          const isOwn = more.some(each => each.startsWith('X-Signalbox') || each === own)
          const isKnown = token === 'right' || token === 'viewer' || (token === 'cookie' && isOwn)
          // A login that was ended by DELETE /session is made again.
          if (token === 'cookie' && method === 'DELETE' && answer.status === 204) cookie = await login()
          if (!isKnown && !publicPaths.has(path))
            expect(answer.status, answer.text).toBeGreaterThanOrEqual(400)
          if (!isKnown && path !== '/session') expect(answer.continued, 'a body was asked for').toBe(false)
          if (token === 'viewer') expect(answer.text).not.toContain('"result":{"tokens"')
        },
      ),
      { seed, numRuns: inputs, examples: [[seldom]] },
    )
    expect((await callWith(admin, environmentToken, 'rpc.health')).status).toBe(200)
    expect((await call('rpc.health', {})).status).toBe('ok')
    // Control: what is right is answered, and each kind of refusal came.
    for (const status of [200, 400, 401, 403, 404, 405, 422])
      expect(statusOf.get(status) ?? 0, `${status} of ${JSON.stringify([...statusOf])}`).toBeGreaterThan(0)
    report('P75', 'requests to the admin listener', inputs, 0, begun)
  },
)
