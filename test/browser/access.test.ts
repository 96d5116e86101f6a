// Who gets in, what a login may not do, and what other pages cannot do.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { hasBrowser, pageRouter, useBrowser } from '../support/page.ts'
import { until } from '../support/router.ts'

/** A page of somebody else, at a port of its own. */
async function otherPage(html: () => string): Promise<string> {
  const server = createServer((_request, response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end(html()),
  )
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

describe.runIf(hasBrowser)('a login', () => {
  const open = useBrowser()

  test('comes from a link that works once, and leaves the address at once', async () => {
    const router = await pageRouter()
    const { page, context } = await open(router, '')
    expect(page.url()).not.toContain('login=')
    const { url } = await router.call('login.create', {})
    const link = `${router.admin}/#login=${url.split('#login=')[1]}`
    await page.goto('about:blank')
    await page.goto(link)
    await page.locator('.frame').waitFor()
    await context.clearCookies()
    await page.goto('about:blank')
    await page.goto(link)
    await page.getByText('the link is not valid').waitFor()
    const next = await router.call('login.create', {})
    await page.getByLabel('Or paste the link, or its code').fill(next.url)
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.locator('.frame').waitFor()
  })

  test('that ends elsewhere shows the login page, and what was open opens again', async () => {
    const router = await pageRouter()
    const { page } = await open(router, 'triggers')
    const [login] = (await router.call('login.list', {})).logins
    await router.call('login.revoke', { login_id: login!.id })
    await page.getByRole('link', { name: 'Sources' }).click()
    await page.getByText('Log in to Signalbox').waitFor()
    await page.getByLabel('Or paste the link, or its code').fill((await router.call('login.create', {})).url)
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Sources' }).waitFor()
  })

  test('with the role viewer sees, and may change nothing', async () => {
    const router = await pageRouter()
    await router.call('source.put', {
      source: { id: 'hook', source_type: 'webhook', config: { provider: 'none' } },
    })
    await router.call('event.emit', {
      source_id: 'hook',
      type: 'push',
      payload: { secret: 'hidden-from-viewers' },
    })
    const { page, problems } = await open(router, 'sources', { role: 'viewer' })
    const disable = page.getByRole('button', { name: 'Disable hook' })
    expect(await disable.isDisabled()).toBe(true)
    expect(await disable.getAttribute('title')).toBe('your login does not have the scope operate')
    await page.goto(`${router.admin}/events`)
    await page.locator('.row a').click()
    await page.getByText('does not have the scope payload').waitFor()
    expect(await page.content()).not.toContain('hidden-from-viewers')
    await page.goto(`${router.admin}/settings?tab=tokens`)
    await page.getByText('Tokens need the scope admin').waitFor()
    expect(problems).toEqual([])
  })

  test('is not used by pages of others', async () => {
    const router = await pageRouter()
    const { page, context } = await open(router, '')
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'router.pause', params: {} })
    const script = `
      const send = (headers, mode) => fetch('${router.admin}/rpc', { method: 'POST', mode, credentials: 'include', headers, body: ${JSON.stringify(body)} }).catch(() => undefined)
      Promise.all([send({}, 'no-cors'), send({ 'content-type': 'text/plain' }, 'no-cors'), send({ 'x-signalbox': '1', 'content-type': 'application/json' }, 'cors')]).then(() => { document.title = 'done' })`
    const attacker = await context.newPage()
    await attacker.goto(
      await otherPage(
        () =>
          `<!doctype html><title>evil</title><form id="f" method="post" enctype="text/plain" action="${router.admin}/rpc"></form><script>${script}</script>`,
      ),
    )
    await until(async () => (await attacker.title()) === 'done')
    expect((await router.call('router.status', {})).paused).toBeUndefined()
    // Control: the page itself may.
    await page.goto(`${router.admin}/settings?tab=router`)
    await page.getByRole('button', { name: 'Pause dispatching' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Pause' }).click()
    await until(async () => (await router.call('router.status', {})).paused !== undefined)
  })

  test('is not shown in frames of others, unless they are configured', async () => {
    let admin = ''
    const embedding = await otherPage(() => `<!doctype html><iframe src="${admin}/events"></iframe>`)
    const closed = await pageRouter()
    admin = closed.admin
    const { page } = await open(closed, '')
    await page.goto(embedding)
    const [, frame] = page.frames()
    await until(async () => frame!.url() !== '' && frame!.url() !== 'about:blank')
    expect(await frame!.locator('#page').count()).toBe(0)
    const opened = await pageRouter({ frame_ancestors: [new URL(embedding).origin] })
    admin = opened.admin
    await page.goto(embedding)
    await page.frameLocator('iframe').getByText('Log in to Signalbox').waitFor()
  })
})
