// How records and rows turn into one another.
import { hash } from 'node:crypto'
import type { Assignment, Causation, Decision, RunState } from '../../contract/types.ts'
import { storedOrigin, type Origin } from '../../forge.ts'
import type { RunFlow } from '../flow.ts'
import { isNeed, type BodyFormat, type DeadlineName, type EventLine, type HeldBy, type Need, type StoredEvent, type StoredRun } from '../store.ts'

export function idBytes(uuid: string): Buffer {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex')
}

export function idText(bytes: Buffer): string {
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** The first 48 bits of a SHA-256: small enough for a JavaScript number and an index. */
export function hash48(sha256: Buffer): number {
  return sha256.readUIntBE(0, 6)
}

/** What an event is known by when its delivery or its signed body comes again. */
export interface Hashes {
  seq: number
  delivery_hash: number | null
  body_hash: number | null
}

/** One hash of all context files of an event, by their names and hashes, in their order. */
export function filesHash(files: readonly { name: string; sha256: Uint8Array }[]): Buffer {
  return hash('sha256', JSON.stringify(files.map(({ name, sha256 }) => [name, Buffer.from(sha256).toString('hex')])), 'buffer')
}

/** Decisions as a column: [trigger, version, outcome], and the run that took its part, without the names. */
export function decisionsText(decisions: Decision[]): string | null {
  if (decisions.length === 0) return null
  return JSON.stringify(
    decisions.map(({ trigger_id, trigger_version, outcome, run_id }) => [trigger_id, trigger_version, outcome, ...(run_id === undefined ? [] : [run_id])]),
  )
}

export function decisionsOf(text: string | null): Decision[] {
  if (text === null) return []
  const rows = JSON.parse(text) as [string, number, Decision['outcome'], string?][]
  return rows.map(([trigger_id, trigger_version, outcome, run_id]) => ({ trigger_id, trigger_version, outcome, ...(run_id === undefined ? {} : { run_id }) }))
}

/** Of an event that was logged before its origin was: the provider of its source, so that its body tells. */
export const originColumns = `event.actor, event.thread, event.emitted,
  CASE WHEN event.emitted IS NULL THEN (SELECT definition ->> '$.config.provider' FROM source WHERE source.id = event.source_id) END AS provider`

const commonColumns =
  'event.seq, event.id, event.source_id, event.type, event.subject, event.timestamp, event.received_at, event.redelivery_of, event.duplicates, event.decisions, event.body_bytes'
/** With the bodies of events that were logged before their origin was, and of no others. */
export const eventLineColumns = `${commonColumns}, ${originColumns},
  CASE WHEN event.emitted IS NULL THEN event.headers END AS headers, event.body_format, CASE WHEN event.emitted IS NULL THEN event.body END AS body`
export const eventColumns = `${commonColumns}, ${originColumns}, event.causation, event.headers, event.delivery_key, event.body_format, event.body_sha256, event.body, (SELECT count(*) FROM context_file WHERE event_seq = event.seq) AS context_files`

/** What an event's origin is read from. */
export interface OriginRow {
  type: string
  actor: string | null
  thread: string | null
  /** null: it was logged before its origin was */
  emitted: number | null
  provider: string | null
  headers: string | null
  body_format: BodyFormat
  body: Buffer | null
}

export interface EventLineRow extends OriginRow {
  seq: number
  id: Buffer
  source_id: string
  subject: string | null
  timestamp: number
  received_at: number
  redelivery_of: Buffer | null
  duplicates: number
  decisions: string | null
  body_bytes: number
}

export interface EventRow extends EventLineRow {
  causation: string | null
  delivery_key: string | null
  body_sha256: Buffer
  body: Buffer
  context_files: number
}

function headersOf(text: string | null): Record<string, string> {
  return text === null ? {} : (JSON.parse(text) as Record<string, string>)
}

/** Who caused an event, and in which conversation. */
export function originOfRow({ actor, thread, emitted, provider, type, headers, body_format, body }: OriginRow): Origin {
  if (emitted !== null || provider === null || body === null) return { actor, thread }
  return storedOrigin({ provider, type, headers: headersOf(headers), body_format, body })
}

export function eventLine(row: EventLineRow): EventLine {
  return {
    seq: row.seq,
    id: idText(row.id),
    source_id: row.source_id,
    type: row.type,
    subject: row.subject,
    ...originOfRow(row),
    emitted: row.emitted === 1,
    timestamp: row.timestamp,
    received_at: row.received_at,
    redelivery_of: row.redelivery_of === null ? null : idText(row.redelivery_of),
    duplicates: row.duplicates,
    body_bytes: row.body_bytes,
    matched_triggers: decisionsOf(row.decisions).map(decision => decision.trigger_id),
  }
}

export function storedEvent(row: EventRow): StoredEvent {
  const { matched_triggers: _, ...line } = eventLine(row)
  return {
    ...line,
    causation: row.causation === null ? null : (JSON.parse(row.causation) as Causation),
    headers: headersOf(row.headers),
    delivery_key: row.delivery_key,
    body_format: row.body_format,
    body_sha256: row.body_sha256,
    body: row.body,
    context_files: row.context_files,
    decisions: decisionsOf(row.decisions),
  }
}

/** Columns of outbox and run_archive, in the order in which both have them. */
export const runColumnNames = [
  'seq',
  'id',
  'event_seq',
  'trigger_id',
  'trigger_version',
  'bot_id',
  'workflow_id',
  'state',
  'ready',
  'priority',
  'not_before',
  'attempt',
  'attempt_base',
  'steps',
  'replay',
  'cancel_requested',
  'lease_token',
  'lease_until',
  'error',
  'result',
  'created_at',
  'updated_at',
  'finished_at',
  'queue',
  'need',
  'assignment',
  'allowed_tools',
  'flow',
  'parked_on',
  'held_by',
  'timeout_at',
  'deadline_at',
  'deadline_name',
  'pause_requested',
  'approved',
  'denials',
] as const
export const runColumns = runColumnNames.join(', ')

export interface RunRow {
  seq: number
  id: Buffer
  event_seq: number
  trigger_id: string
  trigger_version: number
  bot_id: string
  workflow_id: string | null
  state: RunState
  ready: number
  priority: number
  not_before: number
  attempt: number
  attempt_base: number
  steps: number
  replay: number
  cancel_requested: number
  lease_token: string | null
  lease_until: number | null
  error: string | null
  result: string | null
  created_at: number
  updated_at: number
  finished_at: number | null
  queue: string
  need: string | null
  assignment: string | null
  allowed_tools: string | null
  flow: string | null
  parked_on: string | null
  held_by: HeldBy | null
  timeout_at: number | null
  deadline_at: number | null
  deadline_name: DeadlineName | null
  pause_requested: number
  approved: number
  denials: number
}

function parsedOrNull(text: string | null): unknown {
  return text === null ? null : JSON.parse(text)
}

export function storedRun(row: RunRow, event_id: string, archived: boolean): StoredRun {
  return {
    id: idText(row.id),
    seq: row.seq,
    event_id,
    trigger_id: row.trigger_id,
    trigger_version: row.trigger_version,
    bot_id: row.bot_id,
    queue: row.queue === '' && !isNeed(row.bot_id) ? row.bot_id : row.queue,
    workflow_id: row.workflow_id,
    state: row.state,
    dead: !archived && (row.state === 'failed' || row.state === 'timed_out'),
    replay: row.replay === 1,
    priority: row.priority,
    attempt: row.attempt,
    attempt_base: row.attempt_base,
    steps: row.steps,
    not_before: row.not_before,
    cancel_requested: row.cancel_requested === 1,
    pause_requested: row.pause_requested === 1,
    lease_token: row.lease_token,
    error: row.error,
    result: row.result,
    created_at: row.created_at,
    updated_at: row.updated_at,
    finished_at: row.finished_at,
    need: parsedOrNull(row.need) as Need | null,
    assignment: parsedOrNull(row.assignment) as Assignment | null,
    allowed_tools: parsedOrNull(row.allowed_tools) as string[] | null,
    flow: parsedOrNull(row.flow) as RunFlow | null,
    parked_on: row.parked_on,
    held_by: row.held_by,
    timeout_at: row.timeout_at,
    deadline_at: row.deadline_at,
    deadline_name: row.deadline_name,
    approved: row.approved === 1,
    denials: row.denials,
  }
}
