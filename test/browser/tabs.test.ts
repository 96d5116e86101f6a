// Several tabs share one stream, and the page works below a path prefix.
import { createServer, request as ask } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Page } from 'playwright-core'
import { describe, expect, onTestFinished, test } from 'vitest'
import { hasBrowser, pageRouter, useBrowser, type PageRouter } from '../support/page.ts'
import { until } from '../support/router.ts'

async function withSource(
  flags: Record<string, unknown> = {},
): Promise<PageRouter & { emit: (type: string) => Promise<unknown> }> {
  const router = await pageRouter(flags)
  await router.call('source.put', {
    source: { id: 'hook', source_type: 'webhook', config: { provider: 'none' } },
  })
  return { ...router, emit: type => router.call('event.emit', { source_id: 'hook', type, payload: {} }) }
}

const types = async (page: Page): Promise<string[]> =>
  (await page.locator('.row').allTextContents()).map(text => /(type-\d+)/.exec(text)![1]!)

describe.runIf(hasBrowser)('seven tabs', () => {
  const open = useBrowser()

  test('share one stream; when its tab is closed another goes on without a gap', async () => {
    const router = await withSource()
    const { page, context, problems } = await open(router, 'events')
    const streams: string[] = []
    context.on('request', request => request.url().includes('/stream') && streams.push(request.url()))
    await router.emit('type-1')
    await page.getByText('type-1').waitFor()
    const tabs = await Promise.all(
      Array.from({ length: 6 }, async () => {
        const tab = await context.newPage()
        await tab.goto(`${router.admin}/events`)
        await tab.getByText('type-1').waitFor()
        return tab
      }),
    )
    expect(streams).toEqual([])
    await router.emit('type-2')
    for (const tab of [page, ...tabs]) await until(async () => (await types(tab)).join() === 'type-2,type-1')
    await page.close()
    await router.emit('type-3')
    for (const tab of tabs) await until(async () => (await types(tab)).join() === 'type-3,type-2,type-1')
    expect(streams).toHaveLength(1)
    expect(streams[0]).toContain('after=')
    expect(problems).toEqual([])
  })
})

/** A proxy that takes a path prefix off. */
async function prefixProxy(admin: () => string, prefix: string): Promise<string> {
  const server = createServer((request, response) => {
    if (!request.url!.startsWith(`${prefix}/`)) return void response.writeHead(404).end()
    const { hostname, port } = new URL(admin())
    const asked = ask(
      {
        hostname,
        port,
        method: request.method,
        path: request.url!.slice(prefix.length),
        headers: request.headers,
      },
      answer => {
        response.writeHead(answer.statusCode!, answer.headers)
        answer.pipe(response)
      },
    )
    asked.on('error', () => response.destroy())
    response.on('close', () => asked.destroy())
    request.pipe(asked)
    return undefined
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}${prefix}`
}

describe.runIf(hasBrowser)('below a path prefix', () => {
  const open = useBrowser()

  test('every link, file, call and the stream stay below it', async () => {
    let admin = ''
    const base = await prefixProxy(() => admin, '/tools/signalbox')
    const router = await withSource({ public_url: `${base}/` })
    admin = router.admin
    const outside: string[] = []
    const { page, problems } = await open(router, '', { base })
    page.on('request', request => !request.url().startsWith(base) && outside.push(request.url()))
    await page.getByRole('link', { name: 'Events', exact: true }).click()
    await router.emit('type-1')
    await page.getByText('type-1').waitFor()
    await page.locator('.row a').click()
    await page.reload()
    await page.getByText('No trigger listens to the source hook').waitFor()
    expect(page.url()).toMatch(/\/tools\/signalbox\/events\/[0-9a-f-]{36}$/)
    expect(outside).toEqual([])
    expect(problems).toEqual([])
  })
})
