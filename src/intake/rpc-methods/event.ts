// event.get and event.query: the log.
import type { Event, EventQueryParams, EventSummary } from '../../contract/types.ts'
import { LogFilter } from '../../routing/log-filter.ts'
import { payloadOf } from '../../routing/payload.ts'
import type { EventLine, EventSelectionStored, StoredEvent } from '../../store/store.ts'
import type { Handlers } from '../jsonrpc.ts'
import { decodeSeq, defaultLimit, encodeCursor, storedEvent, type Context } from './context.ts'
import { compiledFilter } from './trigger.ts'

/** Events that one filtered query looks at; its cursor goes on from there. */
const maxScanned = 2000
const scanPage = 50

function shownEvent(event: StoredEvent, raw: boolean): Event {
  const { seq: _s, delivery_key, redelivery_of, causation, body_format, body_sha256, body, decisions, ...rest } = event
  return {
    ...rest,
    payload: payloadOf(body_format, body),
    ...(delivery_key === null ? {} : { delivery_id: delivery_key }),
    ...(redelivery_of === null ? {} : { redelivery_of }),
    ...(causation === null ? {} : { causation }),
    body_sha256: Buffer.from(body_sha256).toString('hex'),
    ...(raw ? { body_base64: Buffer.from(body).toString('base64') } : {}),
    matched_triggers: decisions.map(decision => decision.trigger_id),
    decisions,
  }
}

function shownLine({ seq: _, redelivery_of, ...line }: EventLine): EventSummary {
  return redelivery_of === null ? line : { ...line, redelivery_of }
}

function lineOf({ headers: _h, causation: _c, body: _b, body_sha256: _s, body_format: _f, delivery_key: _d, decisions, ...rest }: StoredEvent): EventLine {
  return { ...rest, matched_triggers: decisions.map(decision => decision.trigger_id) }
}

/** The events of a page that match a filter, and where to go on. */
async function filtered(
  { store }: Context,
  selection: EventSelectionStored,
  filter: unknown,
  text: Uint8Array | undefined,
  limit: number,
  after: number | null,
): Promise<{ lines: EventLine[]; next: number | null }> {
  const wanted = new LogFilter([{ source_id: null, pattern: compiledFilter(filter, text, 'filter'), target: true }])
  const lines: EventLine[] = []
  let last = after
  for (let scanned = 0; scanned < maxScanned; scanned += scanPage) {
    const page = (await store.events({ selection, order: 'desc', limit: scanPage, after: last, whole: true })) as StoredEvent[]
    for (const event of page) {
      last = event.seq
      if (wanted.match(event).length > 0) lines.push(lineOf(event))
      if (lines.length === limit) return { lines, next: last }
    }
    if (page.length < scanPage) return { lines, next: null }
  }
  return { lines, next: last }
}

async function lines(
  context: Context,
  { limit = defaultLimit, cursor, filter, ...selection }: EventQueryParams,
  filterText: Uint8Array | undefined,
): Promise<{ lines: EventLine[]; next: number | null }> {
  const after = decodeSeq(cursor)
  if (filter !== undefined) return filtered(context, selection, filter, filterText, limit, after)
  const found = (await context.store.events({ selection, order: 'desc', limit: limit + 1, after, whole: false })) as EventLine[]
  const page = found.slice(0, limit)
  return { lines: page, next: found.length > limit ? page.at(-1)!.seq : null }
}

export function eventMethods(context: Context): Pick<Handlers, 'event.get' | 'event.query'> {
  return {
    async 'event.get'({ event_id, raw }) {
      return shownEvent(await storedEvent(context, event_id), raw === true)
    },
    async 'event.query'(params, call) {
      const { lines: found, next } = await lines(context, params, call.text('filter'))
      return { events: found.map(shownLine), ...(next === null ? {} : { next_cursor: encodeCursor(next) }) }
    },
  }
}
