// event.emit, register, get, query; explain and replay have files of their own.
import { isDeepStrictEqual } from 'node:util'
import type { Event, EventQueryParams, EventSummary, Source, SourceInput, Trigger, TriggerInput } from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import { eventView } from '../../routing/accept.ts'
import { matches } from '../../routing/explain.ts'
import { elementTexts, valueText } from '../../routing/json-text.ts'
import { payloadOf } from '../../routing/payload.ts'
import { completeSource, completeTrigger } from '../../routing/registry.ts'
import type { DefinitionChange, EventLine, EventSelectionStored, StoredEvent } from '../../store/store.ts'
import type { Handlers } from '../jsonrpc.ts'
import { decodeSeq, defaultLimit, encodeCursor, notFound, writeDefinitions, type Context } from './context.ts'
import { assertSource, shownSource } from './source.ts'
import { assertTrigger, compiledFilter } from './trigger.ts'

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

export function eventMethods(context: Context): Pick<Handlers, 'event.emit' | 'event.register' | 'event.get' | 'event.query'> {
  const { registry, store, acceptor, now } = context

  /** The events of a page that match a filter, and where to go on. */
  async function filtered(selection: EventSelectionStored, filter: unknown, text: Uint8Array | undefined, limit: number, after: number | null): Promise<{ lines: EventLine[]; next: number | null }> {
    const pattern = compiledFilter(filter, text, 'filter')
    const lines: EventLine[] = []
    let last = after
    for (let scanned = 0; scanned < maxScanned; scanned += scanPage) {
      const page = (await store.events({ selection, order: 'desc', limit: scanPage, after: last, whole: true })) as StoredEvent[]
      for (const event of page) {
        last = event.seq
        if (matches(pattern, eventView(event))) lines.push(lineOf(event))
        if (lines.length === limit) return { lines, next: last }
      }
      if (page.length < scanPage) return { lines, next: null }
    }
    return { lines, next: last }
  }

  async function lines({ limit = defaultLimit, cursor, filter, ...selection }: EventQueryParams, filterText: Uint8Array | undefined): Promise<{ lines: EventLine[]; next: number | null }> {
    const after = decodeSeq(cursor)
    if (filter !== undefined) return filtered(selection, filter, filterText, limit, after)
    const found = (await store.events({ selection, order: 'desc', limit: limit + 1, after, whole: false })) as EventLine[]
    const page = found.slice(0, limit)
    return { lines: page, next: found.length > limit ? page.at(-1)!.seq : null }
  }

  async function registered(input: SourceInput, inputs: TriggerInput[]): Promise<{ source: Source; triggers: Trigger[]; changes: { created: string[]; updated: string[]; unchanged: string[] } }> {
    const changes: DefinitionChange[] = []
    const report = { created: [] as string[], updated: [] as string[], unchanged: [] as string[] }
    const at = now()
    const stampless = { version: 0, created_at: 0, updated_at: 0 }
    const consider = (noun: 'source' | 'trigger', definition: SourceInput | TriggerInput, complete: object, present: { version: number } | undefined): void => {
      const same = present !== undefined && isDeepStrictEqual({ ...complete, ...stampless }, { ...present, ...stampless })
      report[present === undefined ? 'created' : same ? 'unchanged' : 'updated'].push(`${noun} ${definition.id}`)
      if (!same) changes.push({ noun, id: definition.id, definition, at })
    }
    consider('source', input, completeSource(input, stampless), registry.sources.get(input.id))
    for (const trigger of inputs) consider('trigger', trigger, completeTrigger(trigger, stampless), registry.triggers.get(trigger.id)?.trigger)
    await writeDefinitions(context, changes)
    return { source: registry.sources.get(input.id)!, triggers: inputs.map(({ id }) => registry.triggers.get(id)!.trigger), changes: report }
  }

  return {
    async 'event.emit'({ source_id, type, payload, subject, idempotency_key, time, headers, causation }, call) {
      const source = registry.sources.get(source_id)
      if (source === undefined) throw notFound('source', source_id, 'source.list')
      if (!source.enabled) throw new Fault('disabled', `the source ${source_id} is disabled; enable it with source.enable`)
      const body = call.text('payload')!
      const { event_id, duplicate, matched_triggers, runs } = await acceptor.acceptOne({
        source_id,
        type,
        subject: subject ?? null,
        timestamp: time ?? null,
        headers: headers ?? {},
        payload,
        body,
        body_format: 'json',
        delivery_key: idempotency_key ?? null,
        signed_body: false,
        log_redelivery_only: false,
        causation: causation ?? null,
      })
      return { event_id, duplicate, matched_triggers, runs }
    },
    async 'event.register'({ source, triggers = [] }, call) {
      assertSource(source)
      const twice = triggers.find((trigger, index) => triggers.findIndex(other => other.id === trigger.id) !== index)
      if (twice !== undefined) throw new Fault('invalid_params', `triggers names ${twice.id} twice`, { data: { path: 'triggers' } })
      // What says nothing of being enabled stays as it is: registering again at every start must not undo a disable.
      const kept = { ...source, enabled: source.enabled ?? registry.sources.get(source.id)?.enabled ?? true }
      const inputs = triggers.map(trigger => ({
        ...trigger,
        event_source_id: trigger.event_source_id === undefined ? source.id : trigger.event_source_id,
        enabled: trigger.enabled ?? registry.triggers.get(trigger.id)?.trigger.enabled ?? true,
      }))
      const texts = elementTexts(call.text('triggers') ?? new Uint8Array(0))
      for (const [index, trigger] of inputs.entries()) await assertTrigger(context, trigger, valueText(texts[index]!, ['filter']), `triggers.${index}`, source.id)
      const answer = await registered(kept, inputs)
      const counted = new Map((await store.sourceStats()).map(row => [row.source_id, row]))
      const shown = shownSource(answer.source, counted)
      return { ...answer, source: shown, ...(shown.webhook_path === undefined ? {} : { webhook_path: shown.webhook_path }) }
    },
    async 'event.get'({ event_id, raw }) {
      const event = await store.event(event_id)
      if (event === null) throw notFound('event', event_id, 'event.query')
      return shownEvent(event, raw === true)
    },
    async 'event.query'(params, call) {
      const { lines: found, next } = await lines(params, call.text('filter'))
      return { events: found.map(shownLine), ...(next === null ? {} : { next_cursor: encodeCursor(next) }) }
    },
  }
}
