// What the ways in hand to the acceptor, and what it answers.
import type { Causation, Decision } from '../contract/types.ts'
import type { ContextFileBytes } from '../context-files.ts'
import type { Forge } from '../forge.ts'
import type { BodyFormat, Once } from '../store/store.ts'
import type { Payload } from './payload.ts'

/** An event that has been verified and read, on its way into the log. */
export interface Incoming {
  source_id: string
  type: string
  subject: string | null
  /** the account that caused it; null: as its forge's payload says, where it is of one */
  actor: string | null
  /** the conversation that it belongs to; null: as its forge's payload says, where it is of one */
  thread: string | null
  /** into a webhook source, without being delivered to it: no signature was checked */
  emitted: boolean
  /** the principal that hands it over; absent: it was delivered, or the router made it */
  requested_by?: string | undefined
  /** when it happened, in milliseconds; null: now */
  timestamp: number | null
  headers: Record<string, string>
  payload: Payload
  /** where in the payload the subject may stand, where it is not known yet */
  subject_paths?: readonly string[]
  /** what wrote its payload */
  forge?: Forge | undefined
  body: Uint8Array
  body_format: BodyFormat
  delivery_key: string | null
  /** what was signed, where that is not the delivery id too; null: nothing */
  signed: Uint8Array | null
  log_redelivery_only: boolean
  /** refuse it where its source was deleted or disabled meanwhile */
  source_guard?: boolean
  causation: Causation | null
  /** the router knows the run of its causation: the loop guard judges it, and those of the forge do not. Default: false */
  by_run?: boolean
  /** given: what it is the only event of */
  once?: Once
  context_files?: ContextFileBytes[]
  /** its runs begin then, not before */
  deliver_at?: number
}

/** An emitted event: from a service, a person, or a bot of kind emit. */
export interface Emitted {
  source_id: string
  type: string
  subject: string | null
  /** the account that caused it, as the caller says */
  actor?: string | undefined
  /** the principal that hands it over; absent: a bot of kind emit */
  requested_by?: string | undefined
  thread?: string | undefined
  payload: unknown
  /** its JSON as it is to be stored */
  body: Uint8Array
  delivery_key: string | null
  causation: Causation | null
  /** a bot of kind emit hands it over: it is of a run whether the router still knows the run or not */
  by_bot?: boolean
  headers?: Record<string, string>
  timestamp?: number
  context_files?: ContextFileBytes[] | undefined
  deliver_at?: number | undefined
}

export interface Accepted {
  event_id: string
  duplicate: boolean
  matched_triggers: string[]
  runs: string[]
  redelivery_of: string | null
  /** of an event that is new: with the run that each made or joined */
  decisions?: Decision[]
}
