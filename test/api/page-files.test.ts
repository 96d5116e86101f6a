// The files of the page: who gets them, with which headers, and below which prefix.
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { describe, expect, onTestFinished, test } from 'vitest'
import { isPagePath, PageFiles } from '../../src/api/page-files.ts'
import { readConfig } from '../../src/config.ts'
import { sendFault } from '../../src/http/answers.ts'
import { ask, bearer, callOf, listening, type Answer } from '../support/admin.ts'

const script = 'console.log(1)\n'

/** A small built page behind a server of its own. */
async function served(ancestors: string[] = []): Promise<{
  get: (path: string, headers?: Record<string, string>, method?: string) => Promise<Answer>
  directory: string
}> {
  const directory = `${mkdtempSync(join(tmpdir(), 'sb-'))}/`
  mkdirSync(`${directory}assets`)
  writeFileSync(
    `${directory}index.html`,
    '<!doctype html><base href="./" /><script src="./assets/a.js"></script>',
  )
  writeFileSync(`${directory}favicon.svg`, '<svg xmlns="http://www.w3.org/2000/svg"/>')
  writeFileSync(`${directory}assets/a.js`, script)
  writeFileSync(`${directory}assets/a.js.br`, brotliCompressSync(script))
  writeFileSync(`${directory}assets/a.js.gz`, gzipSync(script))
  writeFileSync(`${directory}assets/a.woff2`, 'font')
  const page = new PageFiles(ancestors, directory)
  const server = createServer((request, response) => {
    const headers = new Map(Object.entries(request.headers as Record<string, string>))
    page
      .answer({ method: request.method!, path: request.url!, headers }, response)
      .catch((error: unknown) => sendFault(response, error))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.close()
    rmSync(directory, { recursive: true })
  })
  const { port } = server.address() as { port: number }
  return {
    directory,
    get: (path, headers = {}, method = 'GET') => ask(`http://127.0.0.1:${port}`, { method, path, headers }),
  }
}

describe('the index', () => {
  test.each([
    ['/', './'],
    ['/events', './'],
    ['/events/01a2', '../'],
    ['/triggers/review%20x/edit', '../../'],
  ])('of %s has the root %s', async (path, base) => {
    const { get } = await served()
    expect((await get(path)).body).toContain(`<base href="${base}"`)
  })

  test('is asked for again each time, and answered 304 while it is the same', async () => {
    const { get, directory } = await served()
    const { headers } = await get('/')
    expect(headers['cache-control']).toBe('no-cache')
    expect((await get('/', { 'if-none-match': headers.etag! })).status).toBe(304)
    writeFileSync(`${directory}index.html`, '<!doctype html><base href="./" />new')
    utimesSync(`${directory}index.html`, 1, 1)
    expect(await get('/', { 'if-none-match': headers.etag! })).toMatchObject({
      status: 200,
      body: expect.stringContaining('new'),
    })
  })

  test('matches If-None-Match as a list, weakly, and as *', async () => {
    const { get } = await served()
    const { etag } = (await get('/')).headers
    const status = async (path: string, tags: string): Promise<number> =>
      (await get(path, { 'if-none-match': tags })).status
    expect(await status('/', `"other", W/${etag}`)).toBe(304)
    expect(await status('/', '*')).toBe(304)
    expect(await status('/', '"other"')).toBe(200)
    // The base of this one is another, so it is another document.
    expect(await status('/events/1', etag!)).toBe(200)
  })

  test('is answered to HEAD without its body', async () => {
    const { get } = await served()
    const { body, headers } = await get('/events/1')
    const head = await get('/events/1', {}, 'HEAD')
    expect(head).toMatchObject({ status: 200, body: undefined })
    expect(head.headers).toMatchObject({
      etag: headers.etag,
      'content-length': String((body as string).length),
    })
  })

  test('allows scripts and styles of its own alone, and no frames', async () => {
    const { headers } = await (await served()).get('/')
    expect(headers['content-security-policy']).toBe(
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; worker-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'",
    )
    expect(headers).toMatchObject({ 'x-frame-options': 'DENY', 'cross-origin-opener-policy': 'same-origin' })
  })

  test('may be framed by the pages that are configured', async () => {
    const { headers } = await (await served(["'self'", 'https://term.example.org'])).get('/')
    expect(headers['content-security-policy']).toMatch(/frame-ancestors 'self' https:\/\/term\.example\.org$/)
    expect(headers['x-frame-options']).toBeUndefined()
  })
})

describe('a file', () => {
  test('may be kept for ever, and is compressed where the browser takes it', async () => {
    const { get } = await served()
    const plain = await get('/assets/a.js')
    expect(plain).toMatchObject({ status: 200, body: script })
    expect(plain.headers).toMatchObject({
      'content-type': 'text/javascript; charset=utf-8',
      'cache-control': 'public, max-age=31536000, immutable',
    })
    const { headers } = await get('/assets/a.js', { 'accept-encoding': 'gzip, br' }, 'HEAD')
    expect(headers).toMatchObject({
      'content-encoding': 'br',
      vary: 'accept-encoding',
      'content-length': String(brotliCompressSync(script).length),
    })
  })

  test.each([
    ['gzip, deflate, br, zstd', 'br'],
    ['BR', 'br'],
    ['br;q=0, gzip', 'gzip'],
    ['br ; q=0.000, gzip;q=0.5', 'gzip'],
    ['br;q=0', undefined],
    ['identity', undefined],
    ['brotli, x-gzip', undefined],
  ])('of Accept-Encoding %s: %s', async (accepted, encoding) => {
    const { headers } = await (await served()).get('/assets/a.js', { 'accept-encoding': accepted })
    expect(headers['content-encoding']).toBe(encoding)
  })

  test('has an ETag for each encoding', async () => {
    const { get } = await served()
    const br = await get('/assets/a.js', { 'accept-encoding': 'br' }, 'HEAD')
    const known = { 'if-none-match': br.headers.etag! }
    expect((await get('/assets/a.js', { ...known, 'accept-encoding': 'br' })).status).toBe(304)
    expect((await get('/assets/a.js', known)).status).toBe(200)
  })

  test('has its own type; both icons are one', async () => {
    const { get } = await served()
    const type = async (path: string): Promise<string | undefined> =>
      (await get(path)).headers['content-type']
    expect(await type('/assets/a.woff2')).toBe('font/woff2')
    expect(await Promise.all(['/favicon.ico', '/favicon.svg'].map(type))).toEqual([
      'image/svg+xml',
      'image/svg+xml',
    ])
  })

  test.each([
    '/assets/b.js',
    '/assets/../../etc/passwd',
    '/assets/../index.html',
    '/assets/%2e%2e%2findex.html',
    '/assets/..%2f..%2fetc/passwd',
    '/assets/constructor',
    '/assets/favicon.svg',
    '/assets/',
    '/assets/a.js.br',
  ])('%s: 404', async path => {
    expect((await (await served()).get(path)).status).toBe(404)
  })

  test('of a page that is not built: 404 that says what builds it', async () => {
    const { get, directory } = await served()
    rmSync(`${directory}index.html`)
    const answer = await get('/')
    expect(answer.headers['content-security-policy']).toBeUndefined()
    expect(answer).toMatchObject({
      status: 404,
      body: { detail: expect.stringContaining('scripts/start builds it') },
    })
  })

  test('is read alone', async () => {
    const { get } = await served()
    expect(await get('/events', {}, 'POST')).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD' } })
  })
})

test('only screens, assets and icons are the page', () => {
  expect(
    ['/', '/runs', '/runs/1', '/queues', '/storage', '/assets/x', '/favicon.ico'].filter(isPagePath),
  ).toHaveLength(7)
  expect(
    ['/rpc', '/stream', '/metrics', '/session', '/constructor', '/index.html', '/runsx', ''].filter(
      isPagePath,
    ),
  ).toEqual([])
})

describe('the listener', () => {
  test('sends the page to everybody, and nothing else', async () => {
    const { admin } = await listening()
    // Whether the page is built here or not, these headers are sent.
    const { status, headers } = await ask(admin, { method: 'GET', path: '/events' })
    expect([200, 404]).toContain(status)
    expect(headers['content-security-policy']).toContain("frame-ancestors 'none'")
    expect(headers).toMatchObject({
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      'cross-origin-resource-policy': 'same-origin',
    })
    const missing = await ask(admin, { method: 'GET', path: '/assets/none.js' })
    expect(missing).toMatchObject({ status: 404, headers: { 'cache-control': 'no-store' } })
    expect(missing.headers['content-security-policy']).toBe("default-src 'none'; frame-ancestors 'none'")
    expect((await ask(admin, { method: 'POST', path: '/events' })).status).toBe(401)
    expect((await ask(admin, { method: 'POST', path: '/events', headers: bearer })).status).toBe(405)
    expect((await ask(admin, { method: 'GET', path: '/unknown' })).status).toBe(401)
    expect(
      (await ask(admin, { method: 'GET', path: '/events', headers: { host: 'evil.example:80' } })).status,
    ).toBe(403)
    const metrics = await ask(admin, { method: 'GET', path: '/metrics', headers: bearer })
    expect(metrics.body).toMatch(/\{[^}]*route="page"[^}]*\}/)
    expect(metrics.body).not.toContain('route="/events"')
  })

  test('takes the path of public_url off, wherever it is asked', async () => {
    const { admin } = await listening({ public_url: 'https://example.org/signalbox/' })
    expect(
      (await ask(admin, { path: '/signalbox/rpc', body: callOf('rpc.health'), headers: bearer })).status,
    ).toBe(200)
    const page = await ask(admin, { method: 'GET', path: '/signalbox/events/1' })
    expect(page).toEqual({
      ...(await ask(admin, { method: 'GET', path: '/events/1' })),
      headers: expect.objectContaining({ 'cache-control': page.headers['cache-control'] }),
    })
    expect(page.status).not.toBe(401)
    expect((await ask(admin, { method: 'GET', path: '/signalboxx/events' })).status).toBe(401)
  })
})

test.each([
  'https://a.example *',
  'https://a.example/path',
  'https://a.example/',
  'https://a.example:99999',
  '*',
  'https://*.example.org',
  "'none'; script-src *",
  'https://a.example,https://b.example',
  'ftp://a.example',
  '',
])('frame_ancestors "%s" is refused', origin => {
  const refusal = {
    exitCode: 78,
    message: expect.stringMatching(/frame_ancestors\.1 must be 'self' or an http or https origin.*; found /),
  }
  expect(() => readConfig({}, { frame_ancestors: ["'self'", origin] })).toThrow(
    expect.objectContaining(refusal),
  )
})

test('at most 16 frame_ancestors are accepted', () => {
  const origins = Array.from({ length: 17 }, (_, index) => `https://a${index}.example`)
  expect(() => readConfig({}, { frame_ancestors: origins })).toThrow(
    /frame_ancestors must have at most 16 items/,
  )
})

test('frame_ancestors are origins', () => {
  const origins = ["'self'", 'https://term.example.org', 'http://127.0.0.1:7681', 'http://[::1]:80']
  expect(readConfig({}, { frame_ancestors: origins }).frame_ancestors).toEqual(origins)
})
