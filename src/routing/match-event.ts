// Events and triggers as the matcher takes them.
import type { CompiledPattern } from './pattern.ts'

/** An event as filters see it, but for its payload. */
export interface Attributes {
  id: string
  source_id: string
  type: string
  subject: string | null
  actor: string | null
  thread: string | null
  timestamp: number
  headers: Record<string, string>
}

/** What is matched: the event as filters see it. */
export interface MatchEvent extends Attributes {
  payload: unknown
}

export interface MatchTrigger<T> {
  /** null: listens to every source */
  source_id: string | null
  pattern: CompiledPattern
  /** answered when it matches */
  target: T
}

export const attributeNames = [
  'id',
  'source_id',
  'type',
  'subject',
  'actor',
  'thread',
  'timestamp',
  'headers',
] as const
