// Runs and events for the tests of the page's logic.
import type { EventSummary, Run } from '../../src/contract/types.ts'

export const event = (more: Partial<EventSummary> = {}): EventSummary => ({
  id: 'e1',
  source_id: 'forge',
  type: 'push',
  subject: null,
  actor: 'Ada',
  thread: 'acme/site#1',
  timestamp: 1000,
  received_at: 1000,
  duplicates: 0,
  body_bytes: 2,
  matched_triggers: ['review'],
  ...more,
})

export const run = (more: Partial<Run> = {}): Run => ({
  id: 'r1',
  event_id: 'e1',
  trigger_id: 'review',
  trigger_version: 1,
  bot_id: 'coder',
  queue: 'coder',
  workflow_id: null,
  state: 'completed',
  dead: false,
  replay: false,
  priority: 0,
  attempt: 1,
  not_before: 0,
  created_at: 1000,
  updated_at: 2000,
  ...more,
})
