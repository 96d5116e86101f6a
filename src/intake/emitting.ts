// Events that somebody hands over: services and people through RPC, and bots of kind emit. One place says what may come in.
import { contextFiles, type ContextFileBytes, type ContextFileGiven } from '../context-files.ts'
import type { Causation, Source } from '../contract/types.ts'
import { Fault } from '../errors.ts'
import type { Accepted, Acceptor } from '../routing/accept.ts'
import { Payload } from '../routing/payload.ts'
import type { Registry } from '../routing/registry.ts'
import { routerSource } from '../store/store.ts'
import { payloadRefusal } from './payload-schemas.ts'

const yearMs = 366 * 86_400_000

export interface Emitted {
  source_id: string
  type: string
  subject: string | null
  payload: unknown
  /** its JSON as it is to be stored */
  body: Uint8Array
  delivery_key: string | null
  causation: Causation | null
  headers?: Record<string, string>
  timestamp?: number
  context_files?: ContextFileBytes[] | undefined
  deliver_at?: number | undefined
}

export interface EmittingOptions {
  registry: Registry
  acceptor: Acceptor
  max_body_bytes: number
  now: () => number
}

/** Files as they are kept. Throws Fault invalid_params, E_CONTEXT_NAME for a name. */
export function givenContext(given: readonly ContextFileGiven[] | undefined): ContextFileBytes[] | undefined {
  if (given === undefined || given.length === 0) return undefined
  const checked = contextFiles(given)
  if ('files' in checked) return checked.files
  const { index, field, reason } = checked.refusal
  const path = ['context_files', index, field].filter(step => step !== undefined).join('.')
  const code = field === 'name' ? 'E_CONTEXT_NAME' : 'E_CONTEXT'
  throw new Fault('invalid_params', `${path} ${reason}; nothing was stored`, { reason: code, data: { path } })
}

/** A source that events can be handed to. Throws Fault. */
function taking({ sources }: Registry, source_id: string): Source {
  if (source_id === routerSource)
    throw new Fault('invalid_params', `source_id ${routerSource} is that of the router’s own events: nobody emits them`, { data: { path: 'source_id' } })
  const source = sources.get(source_id)
  if (source === undefined) throw new Fault('not_found', `there is no source ${source_id}; source.list shows what there is`)
  if (!source.enabled) throw new Fault('disabled', `the source ${source_id} is disabled; enable it with source.enable`)
  return source
}

/** Logs an event that was handed over. Throws every Fault. */
export async function emitEvent(event: Emitted, { registry, acceptor, max_body_bytes, now }: EmittingOptions): Promise<Accepted> {
  const source = taking(registry, event.source_id)
  if (event.body.byteLength > max_body_bytes)
    throw new Fault('too_large', `the payload has ${event.body.byteLength} bytes; at most ${max_body_bytes} are taken (max_body_bytes)`)
  const refusal = payloadRefusal(source, event.payload)
  if (refusal !== undefined)
    throw new Fault('invalid_params', `${refusal.path} ${refusal.message}: source ${source.id} has a schema for its payloads`, { data: { path: refusal.path } })
  const { deliver_at, context_files } = event
  if (deliver_at !== undefined && deliver_at > now() + yearMs)
    throw new Fault('invalid_params', `deliver_at is ${new Date(deliver_at).toISOString()}; at most a year ahead is taken`, { data: { path: 'deliver_at' } })
  return acceptor.acceptOne({
    source_id: source.id,
    type: event.type,
    subject: event.subject,
    timestamp: event.timestamp ?? null,
    headers: event.headers ?? {},
    payload: Payload.of(event.payload),
    body: event.body,
    body_format: 'json',
    delivery_key: event.delivery_key,
    signed_body: false,
    log_redelivery_only: false,
    causation: event.causation,
    ...(context_files === undefined ? {} : { context_files }),
    ...(deliver_at === undefined ? {} : { deliver_at }),
  })
}
