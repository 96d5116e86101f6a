// Which part of a list is read: events, runs, ticks of a schedule.
import type { RunState } from '../contract/types.ts'
import type { TickRow } from './records.ts'

export interface EventSelectionStored {
  source_id?: string
  type?: string
  subject?: string
  /** both find what was logged with its actor and thread only: originsSince */
  actor?: string
  thread?: string
  requested_by?: string
  trigger_id?: string
  matched?: boolean
  since?: number
  until?: number
}

export interface EventPage {
  selection: EventSelectionStored
  /** newest first, or oldest first */
  order: 'desc' | 'asc'
  limit: number
  /** seq of the last event of the page before */
  after: number | null
  /** also read bodies and headers */
  whole: boolean
  /**
   * A page of whole events ends before the one whose body would make it larger, but holds one event; then a page that is not
   * full is not the last. A page of lines ends with the one for which so many bytes of bodies were read. Default: no limit.
   */
  max_bytes?: number
}

export interface RunPage {
  state?: RunState
  trigger_id?: string
  bot_id?: string
  queue?: string
  event_id?: string
  dead?: boolean
  /** created at this time or later, and before that one */
  since?: number
  until?: number
  /** ended failed or timed out, whether dead or discarded */
  failed?: boolean
  /** of events that were logged with this actor or thread: originsSince */
  actor?: string
  thread?: string
  requested_by?: string
  limit: number
  after: number | null
  /** The page ends with the run whose result and error make it as large. Default: no limit. */
  max_bytes?: number
}

export interface TickPage {
  source_id: string
  outcome?: TickRow['outcome']
  since?: number
  until?: number
  /** scheduled_at of the last of the page before */
  before: number | null
  limit: number
}
