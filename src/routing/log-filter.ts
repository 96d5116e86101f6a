// Filters held against the log: stored events, whose bodies are read without being parsed where that is possible.
import { routerSource, type StoredEvent } from '../store/store.ts'
import { Matcher } from './matcher.ts'
import type { Attributes, MatchEvent, MatchTrigger } from './match-event.ts'
import { payloadOf } from './payload.ts'

export type Logged = Pick<
  StoredEvent,
  | 'id'
  | 'source_id'
  | 'type'
  | 'subject'
  | 'actor'
  | 'thread'
  | 'timestamp'
  | 'headers'
  | 'body_format'
  | 'body'
>

export function attributesOf({
  id,
  source_id,
  type,
  subject,
  actor,
  thread,
  timestamp,
  headers,
}: Omit<Logged, 'body' | 'body_format'>): Attributes {
  return { id, source_id, type, subject, actor, thread, timestamp, headers }
}

/** A stored event as filters see it. Throws SyntaxError or TypeError for a payload that cannot be read. */
export function eventView(stored: Logged): MatchEvent {
  return { ...attributesOf(stored), payload: payloadOf(stored.body_format, stored.body) }
}

/** The same for what only looks: a payload that cannot be read is null. */
export function readableView(stored: Logged): MatchEvent {
  try {
    return eventView(stored)
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError)
      return { ...attributesOf(stored), payload: null }
    throw error
  }
}

/** Whether a trigger's source hears a source's events: what the router itself tells is for those who name it. */
export function listensTo(own: string | null, source_id: string): boolean {
  return own === null ? source_id !== routerSource : own === source_id
}

export class LogFilter<T> {
  readonly #matcher: Matcher<T>

  constructor(triggers: readonly MatchTrigger<T>[]) {
    this.#matcher = new Matcher(triggers.map((trigger, index) => [String(index), trigger]))
  }

  /** The targets of the triggers that match a stored event, in no order. */
  match(stored: Logged): T[] {
    const read =
      stored.body_format === 'json' ? this.#matcher.matchJson(attributesOf(stored), stored.body) : undefined
    return read ?? this.#matcher.match(readableView(stored))
  }
}
