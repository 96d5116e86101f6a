// event.get and event.query: the log.
import { defaults } from '../../contract/defaults.ts'
import type { ContextFile, Event, EventQueryParams, EventSummary, Trigger } from '../../contract/types.ts'
import { sentAlong, type ContextFileBytes } from '../../context-files.ts'
import { Fault } from '../../errors.ts'
import { Sheet, verdictOn } from '../../routing/explain.ts'
import { LogFilter, readableView } from '../../routing/log-filter.ts'
import { compilePattern } from '../../routing/pattern.ts'
import { payloadOf } from '../../routing/payload.ts'
import type { EventLine, EventSelectionStored, StoredEvent } from '../../store/store.ts'
import { rest } from '../../turns.ts'
import type { Handlers } from '../jsonrpc.ts'
import type { Context } from './context.ts'
import { storedEvent, storedTrigger } from './lookups.ts'
import { decodeSeq, encodeCursor, pageOf } from './pages.ts'
import { compiledFilter } from './trigger-checks.ts'

/** Events that one filtered query looks at; its cursor goes on from there. */
const maxScanned = 2000
const scanPage = 50
/** Bodies that are read at once. */
const scanBytes = 1_048_576
/** Bodies that are read for the lines of one answer, where the events are so old: it takes 80 ms of the reading thread. */
const lineBytes = 16 * 1_048_576

function shownFile(file: ContextFileBytes, raw: boolean): ContextFile {
  const { name, content, sha256 } = file
  return {
    name,
    bytes: content.byteLength,
    sha256: Buffer.from(sha256).toString('hex'),
    ...(raw ? sentAlong(file) : {}),
  }
}

export function shownEvent(event: StoredEvent, raw: boolean, files: ContextFileBytes[] = []): Event {
  const {
    seq: _s,
    context_files: _n,
    delivery_key,
    redelivery_of,
    causation,
    body_format,
    body_sha256,
    body,
    decisions,
    damaged = [],
    emitted,
    requested_by,
    ...rest
  } = event
  return {
    ...rest,
    ...(requested_by === null ? {} : { requested_by }),
    ...(emitted ? { emitted } : {}),
    payload: payloadOf(body_format, body),
    ...(delivery_key === null ? {} : { delivery_id: delivery_key }),
    ...(redelivery_of === null ? {} : { redelivery_of }),
    ...(causation === null ? {} : { causation }),
    body_sha256: Buffer.from(body_sha256).toString('hex'),
    ...(files.length === 0 ? {} : { context_files: files.map(file => shownFile(file, raw)) }),
    ...(raw ? { body_base64: Buffer.from(body).toString('base64') } : {}),
    matched_triggers: decisions.map(decision => decision.trigger_id),
    decisions,
    ...marked(damaged, ['headers', 'payload', 'delivery_id', 'redelivery_of', 'causation', 'decisions']),
  }
}

/** Damaged fields that can be null are; all are listed. The triggers that matched come from the decisions. */
function marked(damaged: readonly string[], nullable: readonly string[]): { damaged?: string[] } {
  if (damaged.length === 0) return {}
  const all = damaged.includes('decisions') ? [...damaged, 'matched_triggers'] : [...damaged]
  const nulls = all.filter(field => nullable.includes(field) || field === 'matched_triggers')
  return { ...Object.fromEntries(nulls.map(field => [field, null])), damaged: all }
}

type ShownLine = EventLine & { failing?: string[] }

export function shownLine({
  seq: _,
  redelivery_of,
  emitted,
  requested_by,
  damaged = [],
  ...line
}: ShownLine): EventSummary {
  const known = damaged.filter(field => field in line || ['redelivery_of', 'decisions'].includes(field))
  const { damaged: listed = [], ...marks } = marked(known, ['redelivery_of'])
  const shown = listed.filter(field => field !== 'decisions')
  return {
    ...line,
    ...(requested_by === null ? {} : { requested_by }),
    ...(emitted ? { emitted } : {}),
    ...(redelivery_of === null ? {} : { redelivery_of }),
    ...marks,
    ...(shown.length === 0 ? {} : { damaged: shown }),
  }
}

export function lineOf({
  headers: _h,
  causation: _c,
  body: _b,
  body_sha256: _s,
  body_format: _f,
  delivery_key: _d,
  context_files: _n,
  decisions,
  ...rest
}: StoredEvent): EventLine {
  return { ...rest, matched_triggers: decisions.map(decision => decision.trigger_id) }
}

/** Answers what an event adds to its line when it is wanted, undefined when it is not. */
type Wanted = (event: StoredEvent) => { failing?: string[] } | undefined

export function matching(filter: unknown, text: Uint8Array | undefined): Wanted {
  const wanted = new LogFilter([
    { source_id: null, pattern: compiledFilter(filter, text, 'filter'), target: true },
  ])
  return event => (wanted.match(event).length > 0 ? {} : undefined)
}

/** Events that miss a trigger's filter by one field, or by the array elements alone. */
function missing(trigger: Trigger): Wanted {
  const pattern = compilePattern(trigger.filter)
  return event => {
    const { distance, failing } = verdictOn(pattern, new Sheet(readableView(event), [pattern]))
    return distance > 0 && distance <= 1 ? { failing } : undefined
  }
}

/**
 * Where a list by actor or thread begins: events that were logged before these are in no index. Nothing where all are found,
 * and where the list is of later ones only.
 */
export async function beginning(
  { store, now }: Pick<Context, 'store' | 'now'>,
  { actor, thread, since = 0 }: Pick<EventSelectionStored, 'actor' | 'thread' | 'since'>,
): Promise<{ begins_at?: number }> {
  if (actor === undefined && thread === undefined) return {}
  const begins_at = await store.originsSince()
  return begins_at === null || begins_at <= since ? {} : { begins_at: Math.min(begins_at, now() + 1) }
}

/** The events of a page that all want, and where to go on. */
async function scanned(
  { store }: Context,
  selection: EventSelectionStored,
  all: Wanted[],
  limit: number,
  after: number | null,
): Promise<{ lines: ShownLine[]; next: number | null }> {
  const lines: ShownLine[] = []
  let last = after
  for (let count = 0; count < maxScanned;) {
    const page = (await store.events({
      selection,
      order: 'desc',
      limit: scanPage,
      after: last,
      whole: true,
      max_bytes: scanBytes,
    })) as StoredEvent[]
    if (page.length === 0) return { lines, next: null }
    count += page.length
    for (const event of page) {
      const pause = rest()
      if (pause !== undefined) await pause
      last = event.seq
      const found = all.map(wants => wants(event))
      if (found.every(each => each !== undefined))
        lines.push(Object.assign(lineOf(event), ...found) as ShownLine)
      if (lines.length === limit) return { lines, next: last }
    }
  }
  return { lines, next: last }
}

async function lines(
  context: Context,
  { limit, cursor, filter, near, ...given }: EventQueryParams,
  filterText: Uint8Array | undefined,
): Promise<{ lines: ShownLine[]; next: number | null }> {
  const after = decodeSeq(cursor)
  const trigger = near === undefined ? undefined : storedTrigger(context, near)
  const source_id = given.source_id ?? trigger?.event_source_id ?? undefined
  const selection: EventSelectionStored = { ...given, ...(source_id === undefined ? {} : { source_id }) }
  const all = [
    ...(filter === undefined ? [] : [matching(filter, filterText)]),
    ...(trigger === undefined ? [] : [missing(trigger)]),
  ]
  if (all.length > 0) return scanned(context, selection, all, limit ?? defaults.Limit, after)
  const { page, next } = await pageOf(
    { limit, after },
    async (last, count) =>
      (await context.store.events({
        selection,
        order: 'desc',
        limit: count,
        after: last,
        whole: false,
        max_bytes: lineBytes,
      })) as EventLine[],
    line => line.seq,
    // As many bytes as these bodies have may have been read.
    found => found.reduce((sum, line) => sum + line.body_bytes, 0) >= lineBytes,
  )
  return { lines: page, next }
}

export function eventMethods(context: Context): Pick<Handlers, 'event.get' | 'event.query'> {
  return {
    async 'event.get'({ event_id, raw }, call) {
      const event = await storedEvent(context, event_id)
      // Not shown: showing it would cost several times its size.
      if (call.signal().aborted) throw new Fault('not_ready', 'the connection is closed')
      const files = event.context_files === 0 ? [] : await context.store.contextFiles(event_id)
      // The store answers many at once.
      const pause = rest()
      if (pause !== undefined) await pause
      return shownEvent(event, raw === true, files)
    },
    async 'event.query'(params, call) {
      const { lines: found, next } = await lines(context, params, call.text('filter'))
      return {
        events: found.map(shownLine),
        ...(next === null ? {} : { next_cursor: encodeCursor(next) }),
        ...(await beginning(context, params)),
      }
    },
  }
}
