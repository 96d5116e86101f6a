// Events and why they did or did not start something, in a real browser.
import { describe, expect, test } from 'vitest'
import { hasBrowser, pageRouter, useBrowser, expectAccessible, type PageRouter } from '../support/page.ts'
import { until } from '../support/router.ts'

const evil = '<img src=x onerror=alert(1)> \u202Egnp.exe\u0007 \u001b[31mred'

async function forge(): Promise<PageRouter> {
  const router = await pageRouter()
  const { call } = router
  await call('bot.put', { bot: { id: 'greeter', endpoint: { kind: 'command', argv: ['/bin/true'] } } })
  await call('source.put', { source: { id: 'forge', source_type: 'webhook', config: { provider: 'none' } } })
  await call('trigger.put', {
    trigger: {
      id: 'labelled',
      event_source_id: 'forge',
      filter: { type: ['issues'], payload: { issue: { labels: { name: ['agent'] } } } },
      action: { bot_id: 'greeter', workflow_id: 'greet' },
    },
  })
  return router
}

const emit = (
  router: PageRouter,
  payload: object,
  type = 'issues',
  more: { thread?: string; actor?: string } = {},
) => router.call('event.emit', { source_id: 'forge', type, payload, ...more })

describe.runIf(hasBrowser)('events', () => {
  const open = useBrowser()

  test('appear as they are logged, once each', async () => {
    const router = await forge()
    const { page, problems } = await open(router, 'events')
    expect(await page.textContent('.empty-title')).toBe('No event yet')
    for (let number = 0; number < 20; number++)
      await emit(router, { number }, 'issues', { thread: `acme/site#${number + 1}` })
    await page.getByText('acme/site#20').waitFor()
    const rows = await page.locator('.row').allTextContents()
    expect(rows).toHaveLength(20)
    expect(new Set(rows.map(row => /#(\d+)/.exec(row)![1])).size).toBe(20)
    expect(problems).toEqual([])
  })

  test('that come while the list is paused are counted, and shown on request', async () => {
    const router = await forge()
    await emit(router, {}, 'first')
    const { page } = await open(router, 'events')
    await page.getByText('first').waitFor()
    await page.keyboard.press('Space')
    await emit(router, {}, 'second')
    await page.getByText('▲ 1 new').waitFor()
    expect(await page.locator('.row').count()).toBe(1)
    await page.getByText('▲ 1 new').click()
    await page.getByText('second').waitFor()
  })

  test('are filtered by what the address says', async () => {
    const router = await forge()
    await emit(router, {}, 'push')
    await emit(router, { issue: { labels: [{ name: 'agent' }] } }, 'issues')
    const { page } = await open(router, 'events?type=push')
    await page.locator('.row').waitFor()
    expect(await page.locator('.row').allTextContents()).toEqual([expect.stringContaining('push')])
    await page.getByLabel('Type').fill('')
    await page.keyboard.press('Enter')
    await page.getByLabel('Matched').selectOption('yes')
    await page.getByText('labelled').waitFor()
    expect(new URL(page.url()).search).toBe('?matched=yes')
    await emit(router, {}, 'push')
    await emit(router, { issue: { labels: [{ name: 'agent' }] } }, 'issues')
    await until(async () => (await page.locator('.row').count()) === 2)
  })

  test('go on after the router has started again, without a gap or a double', async () => {
    const router = await forge()
    const { page } = await open(router, 'events')
    await emit(router, {}, 'before')
    await page.getByText('before').waitFor()
    await page.evaluate('document.title = "not loaded again"')
    const { config } = router.router
    await router.router.stop()
    const { startRouter } = await import('../../src/main.ts')
    const { SignalboxClient } = await import('../../src/client/client.ts')
    const again = await startRouter(
      { ...config, admin_address: new URL(router.admin).host },
      {
        env: { HOME: router.directory, SIGNALBOX_ADMIN_TOKEN: 'an-admin-token-of-forty-characters-00001' },
        onFatal: () => undefined,
      },
    )
    const client = await SignalboxClient.connect(again.socket)
    try {
      for (const type of ['after-1', 'after-2'])
        await client.call('event.emit', { source_id: 'forge', type, payload: {} })
      await page.getByText('after-2').waitFor()
      expect(
        (await page.locator('.row').allTextContents()).map(row => /(before|after-\d)/.exec(row)![1]),
      ).toEqual(['after-2', 'after-1', 'before'])
      expect(await page.title()).toBe('not loaded again')
    } finally {
      client.close()
      await again.stop()
    }
  })
})

describe.runIf(hasBrowser)('one event', () => {
  const open = useBrowser()

  test('says why a trigger did not match, and what would make it match', async () => {
    const router = await forge()
    const { event_id } = await emit(router, { issue: { labels: [{ name: 'bug' }, { name: 'ci' }] } })
    const { page, problems } = await open(router, `events/${event_id}`)
    const decision = page.getByRole('article', { name: 'Trigger labelled' })
    await decision.getByText('did not match: 1 of 2 conditions fail').waitFor()
    expect(await decision.textContent()).toContain('payload.issue.labels.name is "agent": found "bug", "ci"')
    expect(await decision.textContent()).toContain('would match if payload.issue.labels.name were "agent"')
    await expectAccessible(page, 'event')
    expect(problems).toEqual([])
  })

  test('keeps the digits of numbers, and shows text of strangers as text', async () => {
    const router = await forge()
    const { event_id } = await router.call('event.emit', {
      source_id: 'forge',
      type: 'issues',
      payload: JSON.parse(`{"id": 0, "title": ${JSON.stringify(evil)}}`, (key, value: unknown) =>
        key === 'id'
          ? (JSON as unknown as { rawJSON: (text: string) => unknown }).rawJSON('813683310949021977')
          : value,
      ),
      thread: evil.slice(0, 20),
    })
    const { page, problems } = await open(router, `events/${event_id}`)
    const tree = page.getByRole('list', { name: 'Payload' })
    await tree.waitFor()
    const text = (await tree.textContent())!
    expect(text).toContain('813683310949021977')
    expect(text).toContain('<img src=x onerror=alert(1)> ⟨U+202E⟩gnp.exe␇ ␛[31mred')
    expect(await page.locator('img').count()).toBe(0)
    expect(problems).toEqual([])
  })

  test('is replayed after a plan, and as a changed copy that is marked', async () => {
    const router = await forge()
    const { event_id } = await emit(router, { issue: { labels: [{ name: 'agent' }] } })
    const { page } = await open(router, `events/${event_id}`)
    await page.getByRole('button', { name: 'Replay' }).click()
    await page.getByLabel('All runs again').check()
    await page.getByRole('button', { name: 'Show what would start' }).click()
    await page.getByRole('button', { name: 'Start 1 run' }).click()
    await until(async () => (await router.call('run.list', { event_id })).runs.length === 2)
    await page.getByRole('button', { name: 'Replay' }).click()
    await page.getByLabel('A changed copy').check()
    await page.getByRole('textbox', { name: 'Payload' }).fill('{"issue": 1')
    await page.getByRole('button', { name: 'Emit the copy' }).click()
    await page.getByText('the payload must be JSON').waitFor()
    await page.getByRole('textbox', { name: 'Payload' }).fill('{"issue": 12345678901234567890}')
    await page.getByRole('button', { name: 'Emit the copy' }).click()
    await page.getByText('12345678901234567890').waitFor()
    expect(await page.textContent('h1')).toContain('emitted')
  })
})
