// Emitted events, from services and people through RPC and from bots of kind emit. One place decides what may come in.
import { contextTotalRefusal } from '../context-files.ts'
import type { Source } from '../contract/types.ts'
import { Fault } from '../errors.ts'
import { botActorPrefix, forgeOf, originFault } from '../forge.ts'
import type { Acceptor } from '../routing/accept.ts'
import type { Accepted, Emitted, Incoming } from '../routing/incoming.ts'
import { noSuch } from '../nearest-id.ts'
import { Payload } from '../routing/payload.ts'
import type { Registry } from '../routing/registry.ts'
import { routerSource, type Store } from '../store/store.ts'
import { assertNotFromRun } from '../definitions/emit-targets.ts'
import { payloadRefusal } from '../definitions/payload-schemas.ts'

const yearMs = 366 * 86_400_000

export interface EmittingOptions {
  registry: Registry
  store: Pick<Store, 'cause'>
  acceptor: Acceptor
  max_body_bytes: number
  now: () => number
}

/** A source that events can be handed to. Throws Fault. */
function taking({ sources }: Registry, source_id: string): Source {
  if (source_id === routerSource)
    throw new Fault(
      'invalid_params',
      `source_id ${routerSource} is that of the router’s own events, which cannot be emitted`,
      { data: { path: 'source_id' } },
    )
  const source = sources.get(source_id)
  if (source === undefined)
    throw new Fault('not_found', noSuch('source', source_id, 'source.list', sources.keys()))
  if (!source.enabled)
    throw new Fault('disabled', `the source ${source_id} is disabled; enable it with source.enable`)
  return source
}

/** Throws Fault invalid_params for an actor or a thread that cannot be one. */
function assertOrigin(event: Emitted): void {
  for (const name of ['actor', 'thread'] as const) {
    const text = event[name]
    const fault = text === undefined ? undefined : originFault(name, text)
    if (fault !== undefined)
      throw new Fault('invalid_params', `${name} ${fault}; nothing was stored`, { data: { path: name } })
  }
}

/**
 * Who causes an event, and what: of a run that the router knows neither is the caller's to say. A run that it does not know
 * (deleted since, or of another router) proves nothing either way: it is kept as it was said, and the guards against loops
 * through a forge judge the event as one that no run caused.
 */
async function causeOf(
  { causation, actor }: Emitted,
  store: Pick<Store, 'cause'>,
): Promise<Pick<Incoming, 'causation' | 'actor' | 'by_run'>> {
  const known = causation === null ? null : await store.cause(causation.run_id)
  if (known === null) return { causation, actor: actor ?? null, by_run: false }
  return { causation: known.causation, actor: `${botActorPrefix}${known.bot_id}`, by_run: true }
}

/** Logs an event that was handed over. Throws every Fault. */
export async function emitEvent(
  event: Emitted,
  { registry, store, acceptor, max_body_bytes, now }: EmittingOptions,
): Promise<Accepted> {
  const source = taking(registry, event.source_id)
  assertOrigin(event)
  if (event.body.byteLength > max_body_bytes)
    throw new Fault(
      'too_large',
      `the payload has ${event.body.byteLength} bytes; at most ${max_body_bytes} are taken (max_body_bytes)`,
    )
  const refusal = await payloadRefusal(source, event.payload)
  if (refusal !== undefined)
    throw new Fault(
      'invalid_params',
      `${refusal.path} ${refusal.message}: source ${source.id} has a schema for its payloads`,
      { data: { path: refusal.path } },
    )
  const { deliver_at, context_files } = event
  // The files of a batch come from several events.
  const tooMany = contextTotalRefusal(context_files ?? [])
  if (tooMany !== undefined)
    throw new Fault('invalid_params', `context_files ${tooMany}; nothing was stored`, {
      reason: 'E_CONTEXT',
      data: { path: 'context_files' },
    })
  if (deliver_at !== undefined && deliver_at > now() + yearMs)
    throw new Fault(
      'invalid_params',
      `deliver_at is ${new Date(deliver_at).toISOString()}; at most a year ahead is taken`,
      { data: { path: 'deliver_at' } },
    )
  const { causation, actor, by_run = false } = await causeOf(event, store)
  if (by_run || event.by_bot === true) assertNotFromRun(source)
  return acceptor.acceptOne({
    source_id: source.id,
    type: event.type,
    subject: event.subject,
    actor,
    thread: event.thread ?? null,
    forge: forgeOf(source.config.provider),
    emitted: source.source_type === 'webhook',
    ...(event.requested_by === undefined ? {} : { requested_by: event.requested_by }),
    timestamp: event.timestamp ?? null,
    headers: event.headers ?? {},
    payload: Payload.of(event.payload),
    body: event.body,
    body_format: 'json',
    delivery_key: event.delivery_key,
    signed: null,
    log_redelivery_only: false,
    source_guard: true,
    causation,
    by_run,
    ...(context_files === undefined ? {} : { context_files }),
    ...(deliver_at === undefined ? {} : { deliver_at }),
  })
}
