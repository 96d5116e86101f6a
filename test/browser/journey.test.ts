// By keyboard alone: an event, why it did not match, the trigger edited and tried, saved, the event replayed, its run approved, its output.
import type { Page } from 'playwright-core'
import { describe, expect, test } from 'vitest'
import { hasBrowser, pageRouter, useBrowser } from '../support/page.ts'

/** Presses Tab until what has the focus has a name like this. */
async function tabTo(page: Page, name: RegExp): Promise<void> {
  for (let presses = 0; presses < 200; presses++) {
    await page.keyboard.press('Tab')
    const found: string = await page.evaluate(`(() => {
      const element = document.activeElement
      if (!element.matches('a, button, input, select, textarea, summary')) return ''
      return element.getAttribute('aria-label') ?? element.labels?.[0]?.textContent ?? element.textContent
    })()`)
    if (name.test(found)) return
  }
  throw new Error(`Tab does not lead to ${String(name)}`)
}

/** From why a trigger did not match to its next version. */
async function changeTheFilter(page: Page): Promise<void> {
  const { keyboard } = page
  await tabTo(page, /try it in the editor/)
  await keyboard.press('Enter')
  await page.getByText('matches 0 of 1 event').waitFor()
  await tabTo(page, /Values of condition 2/)
  await keyboard.press('Control+a')
  await keyboard.type('bug')
  await keyboard.press('Tab')
  await page.getByText('matches 1 of 1 event').waitFor()
  expect(await page.textContent('main')).toContain('+1 −0')
  await keyboard.press('Control+s')
  await page.getByText('saved as version 2').waitFor()
}

/** From the list of events to a run of an old event. */
async function replayTheEvent(page: Page): Promise<void> {
  const { keyboard } = page
  await keyboard.press('Control+k')
  await keyboard.type('open events')
  await keyboard.press('Enter')
  await page.locator('.row').waitFor()
  await keyboard.press('j')
  await page.locator('.row a:focus').waitFor()
  await keyboard.press('Enter')
  await page.getByRole('button', { name: 'Replay' }).waitFor()
  await keyboard.press('r')
  await tabTo(page, /Show what would start/)
  await keyboard.press('Enter')
  await page.getByText('1 run would start').waitFor()
  await tabTo(page, /Start 1 run/)
  await keyboard.press('Enter')
  await page.getByText('replayed').waitFor()
}

/** From the list of approvals to an approval with a reason. */
async function approveTheRun(page: Page): Promise<void> {
  const { keyboard } = page
  await keyboard.press('g')
  await keyboard.press('a')
  await page.getByText('1 run waits for approval').waitFor()
  await keyboard.press('j')
  await page.locator('.row a:focus').waitFor()
  await keyboard.press('Enter')
  await page.getByText('Approve labelled?').waitFor()
  await keyboard.press('a')
  await keyboard.type('looks right')
  await keyboard.press('Enter')
  await page.getByText('Nothing waits for approval').waitFor()
}

describe.runIf(hasBrowser)('by keyboard', () => {
  const open = useBrowser()

  test('from an event to the output of its run', async () => {
    const router = await pageRouter()
    const { call } = router
    await call('bot.put', {
      bot: {
        id: 'echo',
        endpoint: { kind: 'command', argv: ['/bin/sh', '-c', 'cat > /dev/null; echo it ran'] },
      },
    })
    await call('source.put', {
      source: { id: 'forge', source_type: 'webhook', config: { provider: 'none' } },
    })
    await call('trigger.put', {
      trigger: {
        id: 'labelled',
        event_source_id: 'forge',
        filter: { type: ['issues'], payload: { label: ['agent'] } },
        action: { bot_id: 'echo' },
        policy: { approval: {} },
      },
    })
    await call('event.emit', { source_id: 'forge', type: 'issues', payload: { label: 'bug' } })
    const { page, problems } = await open(router, '')
    const { keyboard } = page

    await keyboard.press('g')
    await keyboard.press('e')
    await page.locator('.row').waitFor()
    await keyboard.press('j')
    await page.locator('.row a:focus').waitFor()
    await keyboard.press('Enter')
    await page.getByText('would match if payload.label were "agent"').waitFor()

    await changeTheFilter(page)
    await replayTheEvent(page)
    await approveTheRun(page)

    await keyboard.press('g')
    await keyboard.press('r')
    await page.locator('.row', { hasText: 'completed' }).waitFor()
    await keyboard.press('j')
    await page.locator('.row a:focus').waitFor()
    await keyboard.press('Enter')
    await page.getByText('it ran').waitFor()
    expect(problems).toEqual([])
    const [run] = (await call('run.list', {})).runs
    expect(
      (await call('run.history', { run_id: run!.id })).history.find(({ move }) => move.includes('approve'))
        ?.reason,
    ).toContain('looks right')
  })
})
