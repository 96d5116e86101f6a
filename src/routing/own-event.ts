// Events that the router makes itself: ticks, items of polls, and what people fire.
import { defaults } from '../contract/defaults.ts'
import type { CronConfig } from '../contract/types.ts'
import type { Incoming } from './incoming.ts'
import { Payload } from './payload.ts'
import type { JsonLimits } from '../json-text.ts'

export interface OwnEvent extends Pick<Incoming, 'source_id' | 'type' | 'subject' | 'timestamp' | 'once'> {
  /** the payload as JSON text */
  json: string
  delivery_key?: string | null
}

/** Of JSON whose limits have been held. */
const unlimited: JsonLimits = { json_depth: Infinity, json_tokens: Infinity }

export function ownEvent({ json, delivery_key = null, ...event }: OwnEvent): Incoming {
  const body = Buffer.from(json)
  return {
    ...event,
    actor: null,
    thread: null,
    emitted: false,
    headers: {},
    payload: Payload.ofJson(body, unlimited),
    body,
    body_format: 'json',
    delivery_key,
    signed: null,
    log_redelivery_only: false,
    source_guard: true,
    causation: null,
  }
}

/** The event of a tick. */
export function tickEvent(
  source_id: string,
  config: CronConfig,
  tick: { scheduled_at: number; caught_up: boolean },
  once: boolean,
  more: object = {},
): Incoming {
  const { scheduled_at, caught_up } = tick
  const payload = { ...config.payload, ...more, scheduled_at, ...(caught_up ? { caught_up } : {}) }
  return ownEvent({
    source_id,
    type: config.type ?? defaults.CronConfig.type,
    subject: config.subject ?? null,
    timestamp: scheduled_at,
    json: JSON.stringify(payload),
    ...(once ? { once: { kind: 'tick', ...tick } } : {}),
  })
}
