// The files of the page: who gets them, with which headers, and below which prefix.
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { brotliCompressSync, brotliDecompressSync } from 'node:zlib'
import { describe, expect, onTestFinished, test } from 'vitest'
import { isPagePath, PageFiles } from '../../src/api/page-files.ts'
import { readConfig } from '../../src/config.ts'
import { sendFault } from '../../src/http/answers.ts'
import { ask, bearer, callOf, listening, type Answer } from '../support/admin.ts'

const script = 'console.log(1)\n'

/** A small built page behind a server of its own. */
async function served(
  ancestors: string[] = [],
): Promise<{ get: (path: string, headers?: Record<string, string>, method?: string) => Promise<Answer>; directory: string }> {
  const directory = `${mkdtempSync(join(tmpdir(), 'sb-'))}/`
  mkdirSync(`${directory}assets`)
  writeFileSync(`${directory}index.html`, '<!doctype html><base href="./" /><script src="./assets/a.js"></script>')
  writeFileSync(`${directory}favicon.svg`, '<svg xmlns="http://www.w3.org/2000/svg"/>')
  writeFileSync(`${directory}assets/a.js`, script)
  writeFileSync(`${directory}assets/a.js.br`, brotliCompressSync(script))
  const page = new PageFiles(ancestors, directory)
  const server = createServer((request, response) => {
    const headers = new Map(Object.entries(request.headers as Record<string, string>))
    page.answer({ method: request.method!, path: request.url!, headers }, response).catch((error: unknown) => sendFault(response, error))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.close()
    rmSync(directory, { recursive: true })
  })
  const { port } = server.address() as { port: number }
  return { directory, get: (path, headers = {}, method = 'GET') => ask(`http://127.0.0.1:${port}`, { method, path, headers }) }
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
    expect(await get('/', { 'if-none-match': headers.etag! })).toMatchObject({ status: 200, body: expect.stringContaining('new') })
  })

  test('allows scripts and styles of its own alone, and no frames', async () => {
    const { headers } = await (await served()).get('/')
    expect(headers['content-security-policy']).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self';.* frame-ancestors 'none'$/)
    expect(headers['x-frame-options']).toBe('DENY')
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
    expect(plain.headers).toMatchObject({ 'content-type': 'text/javascript; charset=utf-8', 'cache-control': 'public, max-age=31536000, immutable' })
    const { headers } = await get('/assets/a.js', { 'accept-encoding': 'gzip, br' }, 'HEAD')
    expect(headers).toMatchObject({ 'content-encoding': 'br', vary: 'accept-encoding', 'content-length': String(brotliCompressSync(script).length) })
    expect(brotliDecompressSync(brotliCompressSync(script)).toString()).toBe(script)
    expect((await get('/assets/a.js', { 'accept-encoding': 'br;q=0' })).headers['content-encoding']).toBeUndefined()
  })

  test.each(['/assets/b.js', '/assets/../../../etc/passwd', '/assets/%2e%2e/index.html', '/assets/', '/assets/a.js.br'])('%s: 404', async path => {
    expect((await (await served()).get(path)).status).toBe(404)
  })

  test('of a page that is not built: 404 that says what builds it', async () => {
    const { get, directory } = await served()
    rmSync(`${directory}index.html`)
    expect(await get('/')).toMatchObject({ status: 404, body: { detail: expect.stringContaining('scripts/start builds it') } })
  })

  test('is read alone', async () => {
    const { get } = await served()
    expect(await get('/events', {}, 'POST')).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD' } })
  })
})

test('only screens, assets and icons are the page', () => {
  expect(['/', '/runs', '/runs/1', '/assets/x', '/favicon.ico'].filter(isPagePath)).toHaveLength(5)
  expect(['/rpc', '/stream', '/metrics', '/session', '/constructor', '/index.html', '/runsx', ''].filter(isPagePath)).toEqual([])
})

describe('the listener', () => {
  test('sends the page to everybody, and nothing else', async () => {
    const { admin } = await listening()
    expect((await ask(admin, { method: 'GET', path: '/events' })).headers['content-security-policy']).toBeDefined()
    expect((await ask(admin, { method: 'POST', path: '/events' })).status).toBe(401)
    expect((await ask(admin, { method: 'POST', path: '/events', headers: bearer })).status).toBe(405)
    expect((await ask(admin, { method: 'GET', path: '/unknown' })).status).toBe(401)
    expect((await ask(admin, { method: 'GET', path: '/events', headers: { host: 'evil.example:80' } })).status).toBe(403)
  })

  test('takes the path of public_url off, wherever it is asked', async () => {
    const { admin } = await listening({ public_url: 'https://example.org/signalbox/' })
    expect((await ask(admin, { path: '/signalbox/rpc', body: callOf('rpc.health'), headers: bearer })).status).toBe(200)
    expect((await ask(admin, { method: 'GET', path: '/signalboxx/events' })).status).toBe(401)
  })
})

test.each(['https://a.example *', 'https://a.example/path', '*', 'https://*.example.org', "'none'; script-src *", 'ftp://a.example'])(
  'frame_ancestors %s is refused',
  origin => {
    expect(() => readConfig({}, { frame_ancestors: [origin] })).toThrow(/frame_ancestors/)
  },
)

test('frame_ancestors are origins', () => {
  const origins = ["'self'", 'https://term.example.org', 'http://127.0.0.1:7681', 'http://[::1]:80']
  expect(readConfig({}, { frame_ancestors: origins }).frame_ancestors).toEqual(origins)
})
