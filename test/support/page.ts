// The page in a real browser: Debian's Chromium, driven by playwright-core. A test that cannot have one says so loudly.
import { AxeBuilder } from '@axe-core/playwright'
import { existsSync } from 'node:fs'
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core'
import { afterAll, beforeAll, expect, onTestFinished } from 'vitest'
import type { LoginRole } from '../../src/contract/types.ts'
import { freshRouter, type TestRouter } from './router.ts'
import { environmentToken } from './admin.ts'

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(existsSync)
export const hasBrowser = executablePath !== undefined
if (!hasBrowser) console.log('SKIPPED: chromium is not installed; no test of the page ran')

const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

export interface PageRouter extends TestRouter {
  admin: string
}

/** A router whose admin listener listens. */
export async function pageRouter(flags: Record<string, unknown> = {}): Promise<PageRouter> {
  const router = await freshRouter(flags, { SIGNALBOX_ADMIN_TOKEN: environmentToken })
  return { ...router, admin: router.router.admin! }
}

export interface OpenPage {
  page: Page
  context: BrowserContext
  /** what the browser reported: errors, blocked content, failed requests */
  problems: string[]
}

interface Opening {
  role?: LoginRole
  width?: number
  scheme?: 'light' | 'dark'
  /** the address that the browser uses; default: that of the listener */
  base?: string
}

/** A browser for the tests of a file. */
export function useBrowser(): (router: PageRouter, path: string, opening?: Opening) => Promise<OpenPage> {
  let browser: Browser
  beforeAll(async () => {
    if (hasBrowser) browser = await chromium.launch({ executablePath: executablePath!, args })
  })
  afterAll(() => browser?.close())
  return async (
    router,
    path,
    { role = 'admin', width = 1280, scheme = 'light', base = router.admin } = {},
  ) => {
    const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme: scheme })
    onTestFinished(() => context.close())
    const problems: string[] = []
    const page = await context.newPage()
    await watch(page, problems)
    const { url } = await router.call('login.create', { role })
    await page.goto(`${base}/#login=${url.split('#login=')[1]}`)
    await page.waitForSelector('.frame')
    if (path !== '') await page.goto(`${base}/${path}`)
    await page.waitForSelector('h1')
    return { page, context, problems }
  }
}

/** Collects what the browser reports of a page. */
export async function watch(page: Page, problems: string[]): Promise<void> {
  page.on('console', message => message.type() === 'error' && problems.push(message.text()))
  page.on('pageerror', error => problems.push(String(error.stack)))
  await page.exposeFunction('signalboxBlocked', (what: string) => problems.push(`blocked: ${what}`))
  await page.addInitScript(
    `addEventListener('securitypolicyviolation', event => signalboxBlocked(event.violatedDirective + ' ' + event.blockedURI))`,
  )
}

/** Fails for what a person with a screen reader, or without colours, would miss. */
export async function expectAccessible(page: Page, where: string): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze()
  expect(
    violations.map(({ id, nodes }) => `${where}: ${id}: ${nodes[0]!.html.slice(0, 200)}`),
    where,
  ).toEqual([])
}
