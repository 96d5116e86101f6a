// Every screen, with texts of strangers in everything: nothing of them is executed, a screen reader finds its way, nothing is blocked.
import type { Page } from 'playwright-core'
import { describe, expect, test } from 'vitest'
import { expectAccessible, hasBrowser, pageRouter, useBrowser } from '../support/page.ts'
import { until } from '../support/router.ts'
import { addresses, populated } from './populated.ts'

const isFull = process.env.SIGNALBOX_FULL === '1'

/** Elements that no screen makes: they came from a text. */
const foreign = 'main img, main iframe, main script, main svg[onload], main b:not(.tile b)'

/** Opens a screen as a link does, and waits until everything is read. */
async function show(page: Page, path: string): Promise<void> {
  await page.evaluate(
    `history.pushState(null, '', new URL(${JSON.stringify(path)}, document.baseURI)); dispatchEvent(new PopStateEvent('popstate'))`,
  )
  const isRead = `document.querySelector('main h1') !== null && !document.querySelector('main').textContent.includes('reading …')`
  await until(() => page.evaluate<boolean>(isRead))
}

describe.runIf(hasBrowser)('screens', () => {
  const open = useBrowser()

  test('are accessible, and show strangers’ texts as text', async () => {
    const router = await populated()
    for (const scheme of isFull ? (['light', 'dark'] as const) : (['light'] as const)) {
      const { page, problems } = await open(router, '', { scheme })
      const dialogs: string[] = []
      page.on('dialog', dialog => {
        dialogs.push(dialog.message())
        void dialog.dismiss()
      })
      for (const path of addresses(router)) {
        await show(page, path)
        expect(await page.locator(foreign).count(), path).toBe(0)
        await expectAccessible(page, `${scheme} ${path}`)
      }
      expect(dialogs).toEqual([])
      expect(problems).toEqual([])
    }
  })

  test('fit a phone', async () => {
    const router = await populated()
    const { page, problems } = await open(router, '', { width: 390 })
    for (const path of addresses(router)) {
      await show(page, path)
      expect(await page.evaluate('document.documentElement.scrollWidth'), path).toBeLessThanOrEqual(390)
    }
    expect(problems).toEqual([])
  })

  test('teach while there is nothing', async () => {
    const router = await pageRouter()
    const { page, problems } = await open(router, '', { scheme: 'dark' })
    for (const path of [
      'overview',
      'events',
      'refused',
      'runs',
      'approvals',
      'dead-letters',
      'triggers',
      'sources',
      'schedules',
      'bots',
    ]) {
      await show(page, path)
      await page.locator('.empty-title').waitFor()
      if (isFull || path === 'overview' || path === 'triggers') await expectAccessible(page, `empty ${path}`)
    }
    expect(problems).toEqual([])
  })

  test('control: blocked content, markup from texts and missing labels are noticed', async () => {
    const router = await pageRouter()
    const { page, problems } = await open(router, 'settings')
    await page.evaluate(
      `document.querySelector('main').insertAdjacentHTML('beforeend', '<img src="http://127.0.0.1:9/x.png"><b style="color: red">bold</b><input>')`,
    )
    expect(await page.locator(foreign).count()).toBe(2)
    await until(async () => problems.filter(each => each.startsWith('blocked:')).length >= 2)
    await expect(expectAccessible(page, 'control')).rejects.toThrow(/control/)
  })

  test.runIf(isFull)('show 100,000 rows', async () => {
    const router = await populated()
    const batch = Array.from({ length: 50 }, (_, index) => index)
    for (let done = 0; done < 100_000; done += batch.length)
      await Promise.all(
        batch.map(index =>
          router.call('event.emit', { source_id: 'forge', type: 'many', payload: { index: done + index } }),
        ),
      )
    for (const scheme of ['light', 'dark'] as const) {
      const { page, problems } = await open(router, 'events', { scheme })
      await page.locator('.row').first().waitFor()
      expect(await page.locator('.row').count()).toBeLessThan(100)
      for (let times = 0; times < 20; times++) {
        const before = await page.locator('.list').getAttribute('aria-rowcount')
        await page.locator('.list-rows').evaluate(element => (element.scrollTop = element.scrollHeight))
        await until(async () => (await page.locator('.list').getAttribute('aria-rowcount')) !== before)
      }
      expect(await page.locator('.row').count()).toBeLessThan(100)
      for (const path of addresses(router)) {
        await show(page, path)
        await expectAccessible(page, `100,000 ${scheme} ${path}`)
      }
      expect(problems).toEqual([])
    }
  })
})
