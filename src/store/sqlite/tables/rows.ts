// How records and rows turn into one another. A damaged row still makes a record: what cannot be read of it is null, and the
// record lists it, so that one flipped bit costs no more than its row.
import { hash } from 'node:crypto'
import type { Causation, Decision } from '../../../contract/types.ts'
import { damagedColumns, eventChecks, lineChecks } from './checks.ts'
import { damageText, type DamagedColumn, type DamageLog } from './damage.ts'
import { storedOrigin, type Origin } from '../../../forge.ts'
import type { BodyFormat, EventLine, StoredEvent } from '../../store.ts'

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
export function idOf(value: unknown): Buffer {
  const bytes = Buffer.alloc(16)
  if (value instanceof Buffer) value.copy(bytes)
  return bytes
}

/** A row of which some columns are damaged, with a neutral value in each of them. */
export function mended<R extends EventLineRow>(row: R, damaged: readonly DamagedColumn[]): R {
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
