// The page in a real browser: how soon something is shown, how long it blocks while 1,000 events a second come in, what an open page costs
// the router. The floor of the blocking is an empty page of the same browser that is given the same stream.
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { chromium, type BrowserContext, type Page } from 'playwright-core'
import { benchRouter, type BenchRouter } from './accept.ts'
import { median, ms, processCost, table } from './measure.ts'

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(existsSync)
const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
]
const perSecond = 1000
const seconds = 10
const idleMs = 10_000
const loads = 7

/** Emits so many events a second. Answers the processor time that the router took, in milliseconds a second. */
async function flood({ client, pid }: BenchRouter): Promise<number> {
  const before = processCost(pid).cpu_s
  const begun = performance.now()
  const slices = seconds * 20
  for (let slice = 0; slice < slices; slice++) {
    const calls = Array.from({ length: perSecond / 20 }, (_, index) =>
      client.call('event.emit', {
        source_id: 'forge',
        type: 'flood',
        payload: { slice, index },
        thread: `acme/site#${index + 1}`,
      }),
    )
    await Promise.all(calls)
    await pause(Math.max(0, begun + ((slice + 1) * 1000) / 20 - performance.now()))
  }
  return ((processCost(pid).cpu_s - before) * 1e6) / (performance.now() - begun)
}

async function idle({ pid }: BenchRouter): Promise<number> {
  const before = processCost(pid).cpu_s
  await pause(idleMs)
  return ((processCost(pid).cpu_s - before) * 1e6) / idleMs
}

const watchTasks = `window.tasks = []; new PerformanceObserver(list => list.getEntries().forEach(entry => tasks.push(entry.duration))).observe({ type: 'longtask', buffered: true })`

/** The longest time in which the page could not answer, while events come in. */
async function longestTask(
  page: Page,
  router: BenchRouter,
): Promise<{ longest: number; over: number; router: number }> {
  // What reports no task here would report none below.
  await page.evaluate('for (const until = performance.now() + 80; performance.now() < until; );')
  await pause(200)
  if ((await page.evaluate<number>('window.tasks.length')) === 0)
    throw new Error('the browser reports no long tasks')
  await page.evaluate('window.tasks = []')
  const cost = await flood(router)
  await pause(1000)
  const tasks = await page.evaluate<number[]>('window.tasks')
  return { longest: Math.max(0, ...tasks), over: tasks.length, router: cost }
}

/** First paint, and the time until the list has rows. */
async function loadTimes(context: BrowserContext, address: string): Promise<{ paint: number; rows: number }> {
  const page = await context.newPage()
  await page.goto(address)
  await page.locator('.row').first().waitFor()
  const times = await page.evaluate<{ paint: number; rows: number }>(
    `({ paint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0, rows: performance.now() })`,
  )
  await page.close()
  return times
}

export async function benchPage(): Promise<void> {
  if (executablePath === undefined)
    return console.log('\nSKIPPED: chromium is not installed; the page was not measured')
  console.log(
    `\nSizes, compressed\n${execFileSync(process.execPath, ['scripts/build-page.ts', '--sizes'], { encoding: 'utf8' }).trimEnd()}`,
  )
  const router = await benchRouter(0, { SIGNALBOX_ADMIN_ADDRESS: '127.0.0.1:0' })
  const alone = { idle: await idle(router), flood: await flood(router) }
  const { url } = await router.client.call('login.create', { role: 'admin' })
  const { admin_address } = await router.client.call('router.status', {})
  const browser = await chromium.launch({ executablePath, args })
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } })
  const page = await context.newPage()
  await page.addInitScript(watchTasks)
  await page.goto(`${admin_address}/#login=${url.split('#login=')[1]}`)
  await page.locator('.frame').waitFor()

  // The floor: the same stream, read by a page that shows nothing.
  await page.goto(`${admin_address}/favicon.svg`)
  await page.evaluate(
    `window.tasks = []; window.stream = new EventSource('/stream?topics=events,runs'); stream.addEventListener('event', event => JSON.parse(event.data))`,
  )
  const floor = await longestTask(page, router)

  await page.goto(`${admin_address}/events`)
  await page.locator('.row').first().waitFor()
  const open = { idle: await idle(router), ...(await longestTask(page, router)) }
  const shown = await page.locator('.row').count()
  await page.goto(`${admin_address}/overview`)
  await page.locator('.tile').first().waitFor()
  await pause(2000)
  const overview = await longestTask(page, router)
  const times: { paint: number; rows: number }[] = []
  for (let load = 0; load < loads; load++) times.push(await loadTimes(context, `${admin_address}/events`))
  await browser.close()

  table(
    `${perSecond} events a second for ${seconds} s (the stream samples at 200); goal: no task over 50 ms`,
    ['page', 'longest task, ms', 'tasks over 50 ms', 'router, ms/s'],
    [
      ['none', '-', '-', ms(alone.flood)],
      ['empty, reads the stream', ms(floor.longest), String(floor.over), ms(floor.router)],
      [`events (${shown} rows in the page)`, ms(open.longest), String(open.over), ms(open.router)],
      ['overview', ms(overview.longest), String(overview.over), ms(overview.router)],
    ],
  )
  table(
    'An open page while nothing happens: processor time of the router, ms/s',
    ['page', 'ms/s'],
    [
      ['none', ms(alone.idle)],
      ['events', ms(open.idle)],
    ],
  )
  table(
    `Opening /events with 40,000 events in the log, median of ${loads}`,
    ['until', 'ms'],
    [
      ['first contentful paint', ms(median(times.map(({ paint }) => paint)))],
      ['rows are shown', ms(median(times.map(({ rows }) => rows)))],
    ],
  )
  router.client.close()
  router.child.kill('SIGTERM')
}
