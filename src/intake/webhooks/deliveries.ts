// A delivery between the request and the acceptor, and its answers.
import type { ServerResponse } from 'node:http'
import type { Source, WebhookConfig } from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import type { Accepted, Incoming } from '../../routing/incoming.ts'
import { invalidJson } from '../../routing/payload.ts'
import type { Registry } from '../../routing/registry.ts'
import type { ReadSecret, SecretAnswer } from '../../secrets.ts'
import { providers } from './providers/all.ts'
import type { Provider, ReadEvent } from './providers/provider.ts'

export interface Target {
  source: Source
  webhook: WebhookConfig
  provider: Provider
}

/** Headers that are worth keeping; accept leaves out those that may hold a secret. */
export function storedHeaders(headers: ReadonlyMap<string, string>): Record<string, string> {
  const kept: Record<string, string> = {}
  for (const [name, value] of headers) {
    const wanted =
      name.startsWith('x-') ||
      name.startsWith('ce-') ||
      name.startsWith('webhook-') ||
      ['content-type', 'user-agent', 'traceparent', 'tracestate', 'idempotency-key'].includes(name)
    if (wanted) kept[name] = value
  }
  return kept
}

export function assertEnabled({ source }: Target): void {
  if (!source.enabled)
    throw new Fault('disabled', `the source ${source.id} is disabled; enable it with source.enable`)
}

/** Sources that cannot take deliveries: disabled, or with a secret that cannot be read. */
export function sourceWarnings({ sources }: Registry, readSecret: ReadSecret): string[] {
  return [...sources.values()].flatMap(source => {
    if (!source.enabled) return [`source ${source.id} is disabled: its events are refused`]
    if (source.source_type !== 'webhook') return []
    const { provider, secrets = [] } = source.config as unknown as WebhookConfig
    return secrets.flatMap(ref => {
      const answer = usable(providers[provider], readSecret(ref))
      return answer.ok
        ? []
        : [`source ${source.id} cannot use its secret, so its deliveries are refused: ${answer.reason}`]
    })
  })
}

/** A secret that is there but cannot be a key is as good as none. */
export function usable(provider: Provider, answer: SecretAnswer): SecretAnswer {
  const reason = answer.ok ? provider.secret_fault?.(answer.value) : undefined
  return reason === undefined ? answer : { ok: false, reason }
}

export function mediaType(headers: ReadonlyMap<string, string>): string {
  return (headers.get('content-type') ?? '').split(';', 1)[0]!.trim().toLowerCase()
}

/** Anything that parsing threw is the sender's body. */
export function asJsonFault(error: unknown): unknown {
  return error instanceof SyntaxError || error instanceof TypeError ? invalidJson() : error
}

export function incomingEvent(
  { source, webhook }: Target,
  event: ReadEvent,
  headers: Record<string, string>,
): Omit<Incoming, 'signed'> {
  const { attributes, type, actor = null, thread = null, ...rest } = event
  return {
    ...rest,
    actor,
    thread,
    emitted: false,
    source_id: source.id,
    type: type ?? webhook.event_type ?? 'webhook',
    headers: attributes === undefined ? headers : { ...headers, ...attributes },
    log_redelivery_only: webhook.on_redelivery === 'log',
    source_guard: true,
    causation: null,
  }
}

export function answered({
  event_id,
  duplicate,
  matched_triggers,
  runs,
  redelivery_of,
}: Accepted): Record<string, unknown> {
  return { event_id, duplicate, matched_triggers, runs, ...(redelivery_of === null ? {} : { redelivery_of }) }
}

/** The CloudEvents webhook handshake: the sender asks, the receiver allows. */
export function handshake(headers: ReadonlyMap<string, string>, response: ServerResponse): void {
  const origin = headers.get('webhook-request-origin')
  if (origin === undefined)
    throw new Fault('bad_request', 'the CloudEvents handshake needs a WebHook-Request-Origin header')
  const rate = headers.get('webhook-request-rate')
  response.writeHead(200, {
    allow: 'POST',
    'webhook-allowed-origin': origin,
    ...(rate === undefined ? {} : { 'webhook-allowed-rate': '*' }),
  })
  response.end()
}
