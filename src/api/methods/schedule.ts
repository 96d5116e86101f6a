// source.preview, source.ticks, source.fire and source.forget: schedules, events by hand, and items of polls.
import { defaults } from '../../contract/defaults.ts'
import type { CronConfig, ManualConfig, Source, SourceFireParams, Tick } from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import type { Incoming } from '../../routing/incoming.ts'
import type { TickRow } from '../../store/store.ts'
import type { Handlers } from '../jsonrpc.ts'
import { ownEvent, tickEvent } from '../../routing/own-event.ts'
import { inWords, previewed } from '../../definitions/schedule-preview.ts'
import { assertSchedule, nextTick, ScheduleError } from '../../definitions/schedule.ts'
import type { Context } from './context.ts'
import { notFound } from './lookups.ts'
import { decodeSeq, encodeCursor } from './pages.ts'

/** Throws Fault invalid_params for an expression or a zone that cannot be used, and for one that never comes. */
export function assertComes(expression: string, timezone: string, after: number, at: string): void {
  const refuse = (message: string): never => {
    const path = message.startsWith('timezone') ? `${at}timezone` : `${at}expression`
    throw new Fault('invalid_params', `${at}${message}`, { data: { path } })
  }
  try {
    assertSchedule(expression, timezone)
  } catch (error) {
    if (error instanceof ScheduleError) refuse(error.message)
    throw error
  }
  if (nextTick(expression, timezone, after) === null)
    refuse(`expression names no instant after ${new Date(after).toISOString()}`)
}

function shownTick({ scheduled_at, outcome, at, event_id, count, last_scheduled_at, reason }: TickRow): Tick {
  const skipped = reason === null ? {} : { count: count!, last_scheduled_at: last_scheduled_at!, reason }
  return {
    scheduled_at,
    outcome,
    at,
    drift_ms: Math.max(0, at - scheduled_at),
    ...(event_id === null ? {} : { event_id }),
    ...skipped,
  }
}

/** The event that a person makes. */
function fired(
  { id, source_type, config }: Source,
  { payload = {}, subject, idempotency_key }: SourceFireParams,
  now: number,
): Incoming {
  const key = { delivery_key: idempotency_key ?? null }
  if (source_type === 'cron') {
    const event = tickEvent(
      id,
      config as unknown as CronConfig,
      { scheduled_at: now, caught_up: false },
      false,
      payload,
    )
    return { ...event, ...key, subject: subject ?? event.subject }
  }
  const template = config as ManualConfig
  return ownEvent({
    source_id: id,
    type: template.type ?? defaults.ManualConfig.type,
    subject: subject ?? template.subject ?? null,
    timestamp: now,
    json: JSON.stringify({ ...template.payload, ...payload }),
    ...key,
  })
}

/** Throws a Fault for a source that cannot be fired by hand now. */
function assertFires({ id, source_type, enabled }: Source): void {
  if (source_type !== 'manual' && source_type !== 'cron') {
    const instead = source_type === 'webhook' ? 'post to its webhook_path' : 'use event.emit'
    throw new Fault(
      'invalid_params',
      `source ${id} is of type ${source_type}; only manual and cron are fired by hand, ${instead}`,
      { data: { path: 'source_id' } },
    )
  }
  if (!enabled) throw new Fault('disabled', `the source ${id} is disabled; enable it with source.enable`)
}

export function scheduleMethods(
  context: Context,
): Pick<Handlers, 'source.preview' | 'source.ticks' | 'source.fire' | 'source.forget'> {
  const { registry, store, now, fire } = context

  function found(source_id: string): Source {
    const source = registry.sources.get(source_id)
    if (source === undefined) throw notFound('source', source_id, 'source.list', registry.sources.keys())
    return source
  }

  return {
    async 'source.preview'({
      expression,
      timezone = defaults.CronConfig.timezone,
      count = defaults.PreviewCount,
      after = now(),
    }) {
      assertComes(expression, timezone, after, '')
      const in_words = await inWords(expression)
      return {
        expression,
        timezone,
        ...(in_words === undefined ? {} : { in_words }),
        ticks: await previewed(expression, timezone, after, count),
      }
    },
    async 'source.ticks'({ source_id, outcome, since, until, limit = defaults.Limit, cursor }) {
      const { source_type } = found(source_id)
      if (source_type !== 'cron')
        throw new Fault(
          'invalid_params',
          `source ${source_id} is of type ${source_type}, and only cron has ticks`,
          { data: { path: 'source_id' } },
        )
      const selection = {
        ...(outcome === undefined ? {} : { outcome }),
        ...(since === undefined ? {} : { since }),
        ...(until === undefined ? {} : { until }),
      }
      const rows = await store.ticks({ source_id, ...selection, before: decodeSeq(cursor), limit: limit + 1 })
      const page = rows.slice(0, limit)
      return {
        ticks: page.map(shownTick),
        ...(rows.length > limit ? { next_cursor: encodeCursor(page.at(-1)!.scheduled_at) } : {}),
      }
    },
    async 'source.fire'(params, { principal }) {
      const source = found(params.source_id)
      assertFires(source)
      const { event_id, duplicate, matched_triggers, runs } = await fire({
        ...fired(source, params, now()),
        requested_by: principal.id,
      })
      return { event_id, duplicate, matched_triggers, runs }
    },
    async 'source.forget'({ source_id, key }) {
      const { source_type } = found(source_id)
      if (source_type !== 'poll')
        throw new Fault(
          'invalid_params',
          `source ${source_id} is of type ${source_type}, and only poll knows items`,
          { data: { path: 'source_id' } },
        )
      return { forgotten: await context.poller.forget(source_id, key) }
    },
  }
}
