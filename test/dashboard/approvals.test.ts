import { describe, expect, test } from 'vitest'
import type { RunPreview } from '../../src/contract/types.ts'
import { changesText } from '../../src/dashboard/approvals/changes.ts'
import { ownRunText, recordText } from '../../src/dashboard/approvals/rule.ts'
import { readJson } from '../../src/dashboard/json.ts'
import { run } from './samples.ts'

const event: RunPreview['event'] = {
  id: 'e1',
  source_id: 'forge',
  type: 'push',
  subject: null,
  actor: 'ada',
  thread: null,
  received_at: 1000,
}

const preview = (more: Partial<RunPreview> = {}): RunPreview => ({
  run: run({ state: 'awaiting_approval' }),
  version: 2,
  event,
  inputs: { repo: 'acme/site', commit: 'b1946ac9' },
  allowed_tools: ['git'],
  denied_tools: ['Bash'],
  ...more,
})

describe('what changed since a run was looked at', () => {
  test.each<[Partial<RunPreview>, string | undefined]>([
    [{}, undefined],
    [{ run: run({ state: 'awaiting_approval', updated_at: 9000 }) }, undefined],
    [{ inputs: { repo: 'acme/site', commit: '0000', force: true }, version: 3 }, 'inputs (commit, force)'],
    [{ inputs: [1] }, 'inputs'],
    [{ allowed_tools: null }, 'allowed tools'],
    [{ run: run({ state: 'awaiting_approval', bot_id: 'other' }) }, 'bot: coder → other'],
    [{ run: run({ state: 'awaiting_approval', trigger_version: 2 }) }, 'trigger version: 1 → 2'],
    [{ run: run({ state: 'held' }) }, 'state: awaiting approval → held'],
    [{ version: 3 }, 'version: 2 → 3; nothing that is shown here'],
  ])('%j: %s', (more, text) => {
    expect(changesText(preview(), preview(more))).toBe(text)
  })

  test('is seen in the last digit of a large number', () => {
    const given = (text: string): RunPreview => preview({ inputs: readJson(text) })
    expect(changesText(given('{"id": 813683310949021977}'), given('{"id": 813683310949021978}'))).toBe(
      'inputs (id)',
    )
  })

  test('shows nothing hidden of the names', () => {
    expect(
      changesText(preview(), preview({ inputs: { repo: 'acme/site', commit: 'b1946ac9', 'a\u202Eb': 1 } })),
    ).toBe('inputs (a⟨U+202E⟩b)')
  })
})

describe('who may approve', () => {
  test.each([
    ['token:a', 'token:a', true],
    ['token:a', 'token:b', false],
    [undefined, 'token:a', false],
    ['local', 'local', false],
    ['token:a', undefined, false],
  ])('caused by %s, decided by %s', (requested_by, principal, isOwn) => {
    expect(ownRunText(requested_by === undefined ? {} : { requested_by }, principal) !== undefined).toBe(
      isOwn,
    )
  })

  test('is said with the rule that holds for them', () => {
    expect(recordText({}, 'token:a')).toBe(
      'Recorded as token:a; caused by a delivery. You may not approve what you caused.',
    )
    expect(recordText({ requested_by: 'local' }, 'local')).toContain('unless approval.other_person is set')
  })
})
