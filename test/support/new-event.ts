// An event for scripts that run outside of the test runner.
import { createHash, randomBytes } from 'node:crypto'
import { uuidv7Maker } from '../../src/ids.ts'
import type { NewEvent } from '../../src/store/store.ts'

const makeId = uuidv7Maker()
export const limits = { dedupe_ms: 604_800_000, signed_body_ms: 259_200_000, max_open_runs: 1_000_000 }

export function newEvent(): NewEvent {
  const body = randomBytes(4096)
  const now = Date.now()
  return {
    id: makeId(now),
    source_id: 'forge',
    type: 'push',
    subject: null,
    actor: null,
    thread: null,
    emitted: false,
    timestamp: now,
    received_at: now,
    headers: null,
    causation: null,
    delivery_key: randomBytes(8).toString('hex'),
    body,
    body_format: 'binary',
    body_sha256: createHash('sha256').update(body).digest(),
    signed_sha256: null,
    log_redelivery_only: false,
    decisions: [],
    runs: [],
  }
}
