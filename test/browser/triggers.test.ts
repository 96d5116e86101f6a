// The editor of a trigger: form, code, dry run, versions, and what happens when two people edit the same one.
import { describe, expect, test } from 'vitest'
import type { TriggerInput } from '../../src/contract/types.ts'
import { inputOf } from '../../src/dashboard/trigger/draft.ts'
import { expectAccessible, hasBrowser, pageRouter, useBrowser, type PageRouter } from '../support/page.ts'

const isFull = process.env.SIGNALBOX_FULL === '1'

/** Without the answers of 400 and 409 that a browser reports, which a test wants. */
const unwanted = (problems: readonly string[]): string[] => problems.filter(problem => !/40\d/.test(problem))

async function withTrigger(): Promise<PageRouter & { event_id: string }> {
  const router = await pageRouter()
  const { call } = router
  await call('bot.put', {
    bot: {
      id: 'echo',
      tools: ['Read'],
      endpoint: { kind: 'command', argv: ['/bin/sh', '-c', 'cat > /dev/null; echo it ran'] },
    },
  })
  await call('source.put', { source: { id: 'forge', source_type: 'webhook', config: { provider: 'none' } } })
  const trigger: TriggerInput = {
    id: 't',
    event_source_id: 'forge',
    filter: { type: ['push'], payload: { n: [1], $or: [{ a: [1] }, { b: [2] }] } },
    action: { bot_id: 'echo', inputs: { n: '{{ payload.n }}' } },
    policy: { approval: {}, queue: 'echo' },
  }
  await call('trigger.put', { trigger })
  const { event_id } = await call('event.emit', {
    source_id: 'forge',
    type: 'push',
    payload: { n: 2, a: 1, big: 0 },
  })
  return { ...router, event_id }
}

describe.runIf(hasBrowser)('the editor', () => {
  const open = useBrowser()
  test('saves, meets a newer version, and puts its changes on top', async () => {
    const router = await withTrigger()
    const { page, problems } = await open(router, `triggers/t?event=${router.event_id}`)
    await page.getByText('matches 0 of 1 event').waitFor()
    expect(await page.textContent('main')).toContain('payload.$or')
    expect(await page.textContent('main')).toContain('Also in the policy, and edited in the code: queue')
    const values = page.getByLabel('Values of condition 2')
    await values.fill('2')
    await page.keyboard.press('Control+s')
    await page.getByText('saved as version 2').waitFor()
    await page.getByText('trigger, version 2').waitFor()
    const stored = (await router.call('trigger.get', { trigger_id: 't' })).trigger
    expect(JSON.stringify(stored.filter)).toBe(
      '{"type":["push"],"payload":{"n":[2],"$or":[{"a":[1]},{"b":[2]}]}}',
    )
    expect(stored.policy).toEqual({ approval: {}, queue: 'echo' })
    // second save through the key
    await page.getByLabel('Description').fill('mine')
    await page.keyboard.press('Control+s')
    await page.getByText('saved as version 3').waitFor()
    await page.getByRole('button', { name: 'version 3', exact: true }).waitFor()
    // someone else
    await page.getByLabel('Workflow').fill('w')
    await page.keyboard.press('Tab')
    await router.call('trigger.put', { trigger: { ...inputOf(stored), description: 'theirs' } })
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('version 4 is newer').waitFor()
    await page.getByText('by local').first().waitFor()
    await page.getByRole('button', { name: 'Compare' }).click()
    expect(await page.getByRole('region', { name: /From version 4/ }).textContent()).toContain(
      '+     "workflow_id": "w"',
    )
    await expectAccessible(page, 'newer')
    await page.getByRole('button', { name: 'Put my changes on top' }).click()
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('saved as version 5').waitFor()
    const now = (await router.call('trigger.get', { trigger_id: 't' })).trigger
    expect([now.description, now.action.workflow_id]).toEqual(['theirs', 'w'])
    expect(unwanted(problems)).toEqual([])
  })

  test.runIf(isFull)('errors at fields, approval stays, disable with a draft, leaving', async () => {
    const router = await withTrigger()
    const { page, problems } = await open(router, 'triggers/t')
    await page.getByText('matches 0 of 1 event').waitFor()
    await page.getByLabel('Bot', { exact: true }).fill('nobody')
    await page.keyboard.press('Tab')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.locator('.field-hint', { hasText: 'must be the id of a stored bot' }).waitFor()
    expect(await page.getByLabel(/^Bot/).first().getAttribute('aria-invalid')).toBe('true')
    await page.getByLabel(/^Bot/).first().fill('echo')
    // dry run problem at a condition
    await page.getByLabel('Operator of condition 2').selectOption('begins with')
    await page.getByLabel('Operator of condition 2').selectOption('is')
    await page.getByLabel('Values of condition 2').fill('')
    await page.keyboard.press('Control+Enter')
    await page.locator('.condition-problem', { hasText: 'at least one' }).waitFor()
    await page.getByLabel('Values of condition 2').fill('2')
    await page.keyboard.press('Control+Enter')
    await page.getByText('matches 1 of 1 event').waitFor()
    // approval
    await page.getByLabel(/Denied after/).fill('5000')
    await page.keyboard.press('Tab')
    await page.getByLabel(/Denied after/).fill('')
    await page.keyboard.press('Tab')
    expect(await page.getByLabel('A person must approve each run').isChecked()).toBe(true)
    await page.getByLabel(/Rate limit: runs/).fill('3')
    await page.keyboard.press('Tab')
    // disable with a draft
    await page.getByRole('button', { name: 'Disable t' }).click()
    await page.getByRole('button', { name: 'Enable t' }).waitFor()
    expect(await page.getByText('is newer').count()).toBe(0)
    expect(await page.getByLabel('Enabled').isChecked()).toBe(false)
    await page.getByText('not saved').waitFor()
    // leaving
    await page.getByRole('link', { name: 'Sources' }).click()
    await page.getByText('Leave without saving?').waitFor()
    await page.getByRole('button', { name: 'Cancel' }).click()
    await page.getByText('not saved').waitFor()
    await page.getByRole('button', { name: 'Review' }).click()
    await page.getByText('No warnings.').waitFor()
    await expectAccessible(page, 'review')
    await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click()
    await page.getByText('saved as version 3').waitFor()
    const { trigger } = await router.call('trigger.get', { trigger_id: 't' })
    expect(trigger.enabled).toBe(false)
    expect(trigger.policy).toEqual({
      approval: {},
      queue: 'echo',
      rate_limit: { limit: 3, period_ms: 3_600_000 },
    })
    // reload keeps the draft
    await page.getByLabel('Description').fill('draft')
    await page.keyboard.press('Tab')
    await page.getByText('not saved').waitFor()
    page.on('dialog', dialog => void dialog.accept())
    await page.reload()
    await page.getByText('These changes of an earlier visit').waitFor()
    expect(await page.getByLabel('Description').inputValue()).toBe('draft')
    // back
    await page.getByRole('link', { name: 'Sources' }).click()
    await page.getByRole('button', { name: 'Discard them and leave' }).click()
    await page.getByRole('heading', { name: 'Sources' }).waitFor()
    await page.goBack()
    await page.getByText('trigger, version 3').waitFor()
    expect(await page.getByLabel('Description').inputValue()).toBe('')
    await page.getByLabel('Description').fill('x')
    await page.keyboard.press('Tab')
    await page.getByText('not saved').waitFor()
    await page.goForward()
    await page.getByText('Leave without saving?').waitFor()
    expect(page.url()).toContain('/triggers/t')
    await page.getByRole('button', { name: 'Discard them and leave' }).click()
    await page.getByRole('heading', { name: 'Sources' }).waitFor()
    expect(unwanted(problems)).toEqual([])
  })

  test('code, versions, rollback, delete and bring back, new', async () => {
    const router = await withTrigger()
    const { page, problems } = await open(router, 'triggers/t?tab=code')
    const content = page.getByLabel('Trigger as JSON')
    await content.click()
    await page.keyboard.press('Control+a')
    await page.keyboard.insertText(
      '{"id":"t","event_source_id":"forge","filter":{"type":["push"],"payload":{"n":[813683310949021977]}},"action":{"bot_id":"echo","allowed_tools":["Bash","Read"]}}',
    )
    await page.keyboard.press('Control+Enter')
    await page.getByText('matches 0 of 1 event').waitFor()
    await page.keyboard.press('Control+s')
    await page.getByText('saved as version 2').waitFor()
    await page
      .getByText(/Bash.* is removed/)
      .first()
      .waitFor()
    await page.getByRole('tab', { name: 'Form' }).click()
    expect(await page.getByLabel('Values of condition 2').inputValue()).toBe('813683310949021977')
    await page.getByText('Not in its list: Bash').waitFor()
    await page.getByRole('button', { name: 'version 1', exact: true }).click()
    await page.getByRole('region', { name: 'From version 2 to version 1' }).waitFor()
    await page.getByText('by local').first().waitFor()
    await expectAccessible(page, 'versions')
    await page.getByRole('button', { name: 'Go back to version 1' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Go back' }).click()
    await page.getByText('went back to version 1').waitFor()
    await page.getByText('trigger, version 3').waitFor()
    expect(await page.getByLabel('Values of condition 2').inputValue()).toBe('1')
    await page.getByRole('button', { name: 'Pause t' }).click()
    await page.getByLabel('Reason (optional)').fill('because')
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: 'Resume t' }).waitFor()
    await page.getByRole('button', { name: 'Delete' }).click()
    await page.getByText('Its pause ends').waitFor()
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
    await page.getByText('No trigger yet').waitFor()
    await expectAccessible(page, 'empty')
    await page.goto(`${router.admin}/triggers/t`)
    await page.getByRole('button', { name: 'Go back to version 3' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Bring it back' }).click()
    await page.getByText('trigger, version').waitFor()
    // new
    await page.goto(`${router.admin}/triggers/new?event=${router.event_id}&path=["payload","n"]&value=2`)
    await page.getByText('matches 1 of 1 event').waitFor()
    await page.getByLabel('Id', { exact: false }).first().fill('t')
    await page.getByLabel(/^Bot/).first().fill('echo')
    await page.getByRole('button', { name: 'Create' }).click()
    await page.getByText('There is a trigger t already').waitFor()
    await page.getByLabel('Id', { exact: false }).first().fill('u')
    await page.keyboard.press('Tab')
    await page.getByRole('button', { name: 'Create' }).click()
    await page.getByText('trigger, version 1').waitFor()
    expect((await router.call('trigger.get', { trigger_id: 'u' })).trigger.filter).toEqual({
      type: ['push'],
      payload: { n: [2] },
    })
    await page.goto(`${router.admin}/triggers?text=nothing`)
    await page.getByText('No trigger is like that').waitFor()
    await page.goto(`${router.admin}/triggers/new?event=${router.event_id}&path=oops&value=`)
    await page.getByText('matches 1 of 1 event').waitFor()
    expect(unwanted(problems)).toEqual([])
  })

  test.runIf(isFull)('odd documents do not break the form', async () => {
    const router = await withTrigger()
    const { page, problems } = await open(router, 'triggers/t?tab=code')
    for (const odd of [
      '{"id":5,"filter":"x","action":null,"policy":3}',
      '{"filter":{"a":1},"action":{"allowed_tools":"x","capabilities":{}},"policy":{"retry":{},"approval":5}}',
      '{}',
      '[1',
      '{"filter":[[]],"action":[],"policy":[],"description":{"a":1},"enabled":"no"}',
    ]) {
      await page.getByRole('tab', { name: 'Code' }).click()
      await page.getByLabel('Trigger as JSON').click()
      await page.keyboard.press('Control+a')
      await page.keyboard.insertText(odd)
      await page.getByRole('tab', { name: 'Form' }).click()
      await page.getByRole('tabpanel').waitFor()
      await expectAccessible(page, odd)
    }
    expect(unwanted(problems)).toEqual([])
  })
})
