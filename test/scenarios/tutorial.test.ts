// The tutorial of serve --demo: what it registers, and what its lines show.
import { expect, onTestFinished, test, vi } from 'vitest'
import { registerDemo } from '../../src/main/demo.ts'
import { ended, freshRouter } from '../support/router.ts'

test('the tutorial shows a denied tool', async () => {
  const printed = vi.spyOn(console, 'log').mockImplementation(() => undefined)
  onTestFinished(() => printed.mockRestore())
  const router = await freshRouter()
  await registerDemo(router.router, { program: 'scripts/signalbox', env: {} })
  expect(printed.mock.calls.flat().join('\n')).toContain('explain last demo-5-tools')
  const emitted = await router.call('event.emit', {
    source_id: 'demo-forge',
    type: 'push',
    payload: { ref: 'refs/heads/main', commits: [] },
  })
  const { run_id } = emitted.decisions!.find(({ trigger_id }) => trigger_id === 'demo-5-tools')!
  expect(await ended(router, run_id!)).toMatchObject({
    allowed_tools: ['Read', 'mcp__forgejo__list_issues'],
    cut_tools: [{ tool: 'Bash(git:*)', reason: 'it matches "bash" of the denied tools' }],
    result: { allowed_tools: ['Read', 'mcp__forgejo__list_issues'] },
  })
})
