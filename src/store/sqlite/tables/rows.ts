// How records and rows turn into one another. A damaged row still makes a record: what cannot be read of it is null, and the
// record lists it, so that one flipped bit costs no more than its row.
import { hash } from 'node:crypto'
import type { Assignment, Causation, Decision, RunState } from '../../../contract/types.ts'
import { archiveChecks, damagedColumns, eventChecks, lineChecks, liveChecks } from './checks.ts'
import { damageText, type DamagedColumn, type DamageLog } from './damage.ts'
import { storedOrigin, type Origin } from '../../../forge.ts'
import type { RunFlow } from '../../flow.ts'
import {
  isNeed,
  type BodyFormat,
  type DeadlineName,
  type EventLine,
  type HeldBy,
  type Need,
  type StoredEvent,
  type StoredRun,
} from '../../store.ts'

export function idBytes(uuid: string): Buffer {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex')
}

/** An id as text; of anything but 16 bytes what a damaged row has for one. */
export function idText(bytes: Buffer): string {
  const hex = (bytes instanceof Buffer && bytes.length === 16 ? bytes : idOf(bytes)).toString('hex')
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
  // One that is damaged is no file that is sent again.
  const hex = (sha256: unknown): string | null =>
    sha256 instanceof Uint8Array ? Buffer.from(sha256).toString('hex') : null
  return hash(
    'sha256',
    JSON.stringify(files.map(({ name, sha256 }) => [textOf(name), hex(sha256)])),
    'buffer',
  )
}

/** Decisions as a column: [trigger, version, outcome], and the run that took its part, without the names. */
export function decisionsText(decisions: Decision[]): string | null {
  if (decisions.length === 0) return null
  return JSON.stringify(
    decisions.map(({ trigger_id, trigger_version, outcome, run_id }) => [
      trigger_id,
      trigger_version,
      outcome,
      ...(run_id === undefined ? [] : [run_id]),
    ]),
  )
}

/** Throws SyntaxError or TypeError for what is no such column; readableDecisions() does not. */
function decisionsOf(text: string | null): Decision[] {
  if (text === null) return []
  const rows = JSON.parse(text) as [string, number, Decision['outcome'], string?][]
  return rows.map(([trigger_id, trigger_version, outcome, run_id]) => ({
    trigger_id,
    trigger_version,
    outcome,
    ...(run_id === undefined ? {} : { run_id }),
  }))
}

/** The decisions of an event; null where they are damaged. */
export function readableDecisions(text: string | null): Decision[] | null {
  try {
    return decisionsOf(text)
  } catch {
    return null
  }
}

/** A column of JSON, null where it is damaged: for columns that other code checks and reports. */
export function parsed(text: string | null): unknown {
  try {
    return text === null ? null : JSON.parse(text)
  } catch {
    return null
  }
}

/** Of an event that was logged before its origin was: the provider of its source, so that its body tells. */
export const originColumns = `event.actor, event.thread, event.emitted,
  CASE WHEN event.emitted IS NULL THEN (SELECT definition ->> '$.config.provider' FROM source WHERE source.id = event.source_id AND json_valid(definition)) END AS provider`

const commonColumns =
  'event.seq, event.id, event.source_id, event.type, event.subject, event.timestamp, event.received_at, event.redelivery_of, event.duplicates, event.decisions, event.body_bytes, event.requested_by'
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
  requested_by: string | null
}

export interface EventRow extends EventLineRow {
  causation: string | null
  delivery_key: string | null
  body_sha256: Buffer
  body: Buffer
  context_files: number
}

function headersOf(text: string | null): Record<string, string> {
  return (parsed(text) as Record<string, string> | null) ?? {}
}

/** Who caused an event, and in which conversation. */
export function originOfRow({
  actor,
  thread,
  emitted,
  provider,
  type,
  headers,
  body_format,
  body,
}: OriginRow): Origin {
  if (emitted !== null || provider === null || body === null) return { actor, thread }
  try {
    return storedOrigin({ provider, type, headers: headersOf(headers), body_format, body })
  } catch (error) {
    // A damaged body does not say who it was.
    if (error instanceof SyntaxError || error instanceof TypeError) return { actor, thread }
    throw error
  }
}

/** What is read of a text that may be bytes: it is shown, and listed as damaged. */
export function textOf(value: unknown): string {
  return value instanceof Buffer ? value.toString('utf8') : typeof value === 'string' ? value : ''
}

/** A number that may be anything: what it would count is unknown then. */
export function numberOf(value: unknown): number {
  return Number.isSafeInteger(value) ? (value as number) : 0
}

/** 16 bytes, whatever is there: an id is what a row is found by. */
function idOf(value: unknown): Buffer {
  const bytes = Buffer.alloc(16)
  if (value instanceof Buffer) value.copy(bytes)
  return bytes
}

/** A row of which some columns are damaged, with a neutral value in each of them. */
function mended<R extends EventLineRow>(row: R, damaged: readonly DamagedColumn[]): R {
  const next = { ...row } as unknown as Record<string, unknown>
  for (const { column } of damaged) {
    if (column === 'id') next.id = idOf(row.id)
    else if (column === 'source_id' || column === 'type') next[column] = textOf(next[column])
    else if (['timestamp', 'received_at', 'duplicates', 'body_bytes'].includes(column))
      next[column] = numberOf(next[column])
    else if (column === 'body' || column === 'body_sha256')
      next[column] = next[column] instanceof Buffer ? next[column] : Buffer.alloc(0)
    else if (column === 'body_format') next.body_format = 'none'
    else next[column] = null
  }
  return next as unknown as R
}

/** What callers know the columns of an event by. */
const fieldNames: Record<string, string> = {
  delivery_key: 'delivery_id',
  body_format: 'payload',
  body: 'payload',
  body_sha256: 'payload',
}

function fieldsOf(damaged: readonly DamagedColumn[]): { damaged?: string[] } {
  return damaged.length === 0
    ? {}
    : { damaged: [...new Set(damaged.map(({ column }) => fieldNames[column] ?? column))] }
}

function lineOf(row: EventLineRow): Omit<EventLine, 'matched_triggers'> {
  return {
    seq: row.seq,
    id: idText(row.id),
    source_id: row.source_id,
    type: row.type,
    subject: row.subject,
    ...originOfRow(row),
    emitted: row.emitted === 1,
    requested_by: row.requested_by,
    timestamp: row.timestamp,
    received_at: row.received_at,
    redelivery_of: row.redelivery_of === null ? null : idText(row.redelivery_of),
    duplicates: row.duplicates,
    body_bytes: row.body_bytes,
  }
}

/** A row of the log as a line of it; what is damaged is noted. */
export function eventLine(row: EventLineRow, log: DamageLog): EventLine {
  const damaged = damagedColumns(lineChecks, row)
  log.addRow('event', row.seq, damaged)
  const whole = damaged.length === 0 ? row : mended(row, damaged)
  return {
    ...lineOf(whole),
    matched_triggers: decisionsOf(whole.decisions).map(decision => decision.trigger_id),
    ...fieldsOf(damaged),
  }
}

/** A row of the log as an event; what is damaged is noted. Whether the body has its hash is for the caller to see. */
export function storedEvent(row: EventRow, log: DamageLog): StoredEvent {
  const damaged = damagedColumns(eventChecks, row)
  log.addRow('event', row.seq, damaged)
  const whole = damaged.length === 0 ? row : mended(row, damaged)
  return {
    ...lineOf(whole),
    causation: whole.causation === null ? null : (JSON.parse(whole.causation) as Causation),
    headers: whole.headers === null ? {} : (JSON.parse(whole.headers) as Record<string, string>),
    delivery_key: whole.delivery_key,
    body_format: whole.body_format,
    body_sha256: whole.body_sha256,
    body: whole.body,
    context_files: whole.context_files,
    decisions: decisionsOf(whole.decisions),
    ...fieldsOf(damaged),
  }
}

/** An event whose body does not have the hash that it was stored with has no payload that anybody could rely on. */
export function withPayloadChecked(event: StoredEvent, log: DamageLog): StoredEvent {
  if (
    event.damaged?.includes('payload') !== true &&
    hash('sha256', event.body, 'buffer').equals(event.body_sha256)
  )
    return event
  log.add(
    damageText('event', event.seq, {
      column: 'body',
      why: 'it does not have the hash that it was stored with',
    }),
  )
  return { ...event, body_format: 'none', damaged: [...new Set([...(event.damaged ?? []), 'payload'])] }
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
  'requested_by',
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
  requested_by: string | null
}

/** The columns of a run whose value cannot be what was written. */
export function runDamage(row: RunRow, archived = false): readonly DamagedColumn[] {
  const damaged = damagedColumns(archived ? archiveChecks : liveChecks, row)
  return archived || damaged.length > 0 ? damaged : contradictions(row)
}

/** Columns that do not go together: the CHECKs of the table, which would refuse every change of such a row. */
function contradictions(row: RunRow): readonly DamagedColumn[] {
  const isHeld = row.state === 'assigned' || row.state === 'running' || row.state === 'paused'
  const isDead = row.state === 'failed' || row.state === 'timed_out'
  if (isHeld !== (row.lease_token !== null))
    return [{ column: 'lease_token', why: `a run that is ${row.state} has ${isHeld ? 'one' : 'none'}` }]
  if (isDead !== (row.finished_at !== null))
    return [{ column: 'finished_at', why: `a run that is ${row.state} has ${isDead ? 'one' : 'none'}` }]
  if (row.attempt < row.attempt_base)
    return [
      { column: 'attempt_base', why: `it must be at most attempt, ${row.attempt}; got ${row.attempt_base}` },
    ]
  if ((row.deadline_at === null) !== (row.deadline_name === null))
    return [{ column: 'deadline_name', why: 'it goes with deadline_at, or both are NULL' }]
  return []
}

const counts = new Set([
  'steps',
  'attempt',
  'attempt_base',
  'denials',
  'priority',
  'not_before',
  'created_at',
  'updated_at',
  'event_seq',
])
const flags = new Set(['ready', 'replay', 'cancel_requested', 'pause_requested', 'approved'])

/** A damaged row of a run with neutral values that every CHECK takes; damaged JSON stays, so that the run stays damaged. */
export function mendedRun(row: RunRow, damaged: readonly DamagedColumn[]): RunRow {
  const next: Record<string, unknown> = { ...row }
  for (const { column } of damaged) {
    if (column === 'id') next.id = idOf(row.id)
    else if (column === 'priority') next.priority = 0
    else if (counts.has(column)) next[column] = numberOf(next[column])
    else if (flags.has(column)) next[column] = 0
    else if (column === 'trigger_version') next[column] = 1
    else if (column === 'state') next[column] = 'failed'
    else if (
      ['trigger_id', 'bot_id', 'queue', 'need', 'assignment', 'allowed_tools', 'flow'].includes(column)
    )
      next[column] = textOf(next[column])
    else next[column] = null
  }
  // A flipped sign makes attempt less than any base.
  if (!((next.attempt as number) >= (next.attempt_base as number)))
    Object.assign(next, { attempt_base: 0, attempt: Math.max(0, next.attempt as number) })
  return next as unknown as RunRow
}

/** A run as it is stored; of a damaged one what can be read, and which columns cannot. */
export function storedRun(row: RunRow, event_id: string, archived: boolean): StoredRun {
  const damaged = runDamage(row, archived)
  if (damaged.length === 0) return readRun(row, event_id, archived)
  const mended = mendedRun(row, damaged)
  for (const column of ['need', 'assignment', 'allowed_tools', 'flow'] as const)
    if (damaged.some(each => each.column === column)) mended[column] = null
  return { ...readRun(mended, event_id, archived), damaged: damaged.map(({ column }) => column) }
}

function parsedOrNull(text: string | null): unknown {
  return text === null ? null : JSON.parse(text)
}

/** A run whose row has been checked. */
export function readRun(row: RunRow, event_id: string, archived: boolean): StoredRun {
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
    requested_by: row.requested_by,
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
