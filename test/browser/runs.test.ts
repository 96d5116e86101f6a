// A run as it goes on: its output, what is done about it, approval on a phone, dead letters.
import { mkfifoSync } from './fifo.ts'
import { appendFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { hasBrowser, pageRouter, useBrowser, type PageRouter } from '../support/page.ts'
import { until } from '../support/router.ts'

async function withBot(
  script: string,
  policy: object = {},
): Promise<{ router: PageRouter; start: (payload?: object) => Promise<string> }> {
  const router = await pageRouter()
  const { call } = router
  await call('bot.put', {
    bot: { id: 'bot', endpoint: { kind: 'command', argv: ['/bin/sh', '-c', script] }, max_active: 20 },
  })
  await call('source.put', { source: { id: 'hook', source_type: 'webhook', config: { provider: 'none' } } })
  await call('trigger.put', {
    trigger: {
      id: 'work',
      event_source_id: 'hook',
      filter: { type: ['go'] },
      action: { bot_id: 'bot', inputs: { n: '{{ payload.n }}' } },
      policy,
    },
  })
  return {
    router,
    start: async (payload = {}) =>
      (await call('event.emit', { source_id: 'hook', type: 'go', payload })).runs[0]!,
  }
}

describe.runIf(hasBrowser)('output', () => {
  const open = useBrowser()

  test('is shown as it is printed, each line once, and followed', async () => {
    const fifo = mkfifoSync()
    const { router, start } = await withBot(
      `cat > /dev/null; while read line; do echo "$line"; done < ${fifo}`,
    )
    const run_id = await start()
    const { page, problems } = await open(router, `runs/${run_id}`)
    const lines = Array.from({ length: 300 }, (_, index) => `line ${index} of many`)
    appendFileSync(fifo, `${lines.slice(0, 150).join('\n')}\n`)
    // The command ends when no writer is left: the last lines come with it.
    await page.getByText('line 149 of many').waitFor()
    await until(async () => (await router.call('run.get', { run_id })).run.state === 'completed')
    const text = (await page.locator('.term').textContent())!
    for (const line of lines.slice(0, 150)) expect(text.split(line)).toHaveLength(2)
    const { top, end } = await page
      .locator('.term')
      .evaluate(({ scrollTop, scrollHeight, clientHeight }) => ({
        top: scrollTop + clientHeight,
        end: scrollHeight,
      }))
    expect(end - top).toBeLessThan(10)
    await page.getByText('finished').waitFor()
    expect(problems).toEqual([])
  })

  test('tells stderr by a word, and has no escape sequences', async () => {
    const { router, start } = await withBot(
      `cat > /dev/null; printf '\\033[31mred\\033[0m <b>bold</b>\\n'; echo wrong >&2`,
    )
    const run_id = await start()
    await until(async () => (await router.call('run.get', { run_id })).run.state === 'completed')
    const { page } = await open(router, `runs/${run_id}`)
    await page.getByText('wrong').waitFor()
    expect(await page.locator('.out-stderr .out-stream').textContent()).toBe('stderr')
    expect(await page.locator('.out-stdout .out-text').textContent()).toBe('red <b>bold</b>\n')
  })
})

describe.runIf(hasBrowser)('a run', () => {
  const open = useBrowser()

  test('changes in the list as it goes on, and is cancelled with a reason', async () => {
    const { router, start } = await withBot('cat > /dev/null; exec sleep 1000')
    const { page } = await open(router, 'runs')
    const run_id = await start()
    await page.locator('.row', { hasText: 'running' }).waitFor()
    await page.locator('.row a').click()
    await page.getByRole('button', { name: 'Cancel', exact: true }).click()
    await page.getByLabel('Reason (optional)').fill('not needed')
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel', exact: true }).last().click()
    await page.locator('h1', { hasText: 'cancelled' }).waitFor()
    expect(
      (await router.call('run.history', { run_id })).history.some(({ reason }) =>
        reason?.includes('not needed'),
      ),
    ).toBe(true)
  })

  test('is approved on a phone, bound to what was shown', async () => {
    const { router, start } = await withBot('cat > /dev/null', { approval: {} })
    const first = await start({ n: 1 })
    const { page } = await open(router, `approvals/${first}`, { width: 390 })
    await page.getByRole('list', { name: 'Inputs' }).waitFor()
    // It changes after it was shown: what was looked at is not what would be approved.
    const { version } = await router.call('run.preview', { run_id: first })
    await router.call('run.update', { run_id: first, version, inputs: { n: 2 } })
    await page.evaluate('document.querySelector(".decision-buttons .button-primary").click()')
    await until(async () => (await page.getByRole('list', { name: 'Inputs' }).textContent())!.includes('2'))
    expect((await router.call('run.get', { run_id: first })).run.state).toBe('awaiting_approval')
    await page.getByRole('button', { name: 'Approve' }).click()
    await page.getByText('Nothing waits for approval').waitFor()
    await until(async () => (await router.call('run.get', { run_id: first })).run.state === 'completed')
  })
})

describe.runIf(hasBrowser)('dead letters', () => {
  const open = useBrowser()

  test('are retried by group, after a plan', async () => {
    const { router, start } = await withBot('cat > /dev/null; echo no key >&2; exit 3', { retry: 'none' })
    const runs = await Promise.all(Array.from({ length: 5 }, () => start()))
    await until(async () => (await router.call('run.list', { dead: true })).runs.length === runs.length)
    const { page } = await open(router, 'dead-letters')
    await router.call('bot.put', { bot: { id: 'bot', endpoint: { kind: 'command', argv: ['/bin/true'] } } })
    await page.getByRole('button', { name: /Retry all/ }).click()
    await page.getByText('Retry 5 runs?').waitFor()
    await page.getByRole('dialog').getByRole('button', { name: 'Retry', exact: true }).click()
    await page.getByText('retried: 5 runs').waitFor()
    await page.getByText('No dead letters').waitFor()
  })
})
