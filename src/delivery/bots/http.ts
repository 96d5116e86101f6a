// http bots: one POST a run, signed after Standard Webhooks when the bot has a secret; 2xx is success.
import { createHmac } from 'node:crypto'
import type { HttpEndpoint } from '../../contract/types.ts'
import type { ReadSecret } from '../../secrets.ts'
import { jsonText } from '../answer-json.ts'
import { failure, type BotKind, type Delivery, type DeliveryResult, type Render } from '../bot.ts'
import { urlWithoutSecrets, withoutSecrets } from '../made-request.ts'
import { retryAfterMs } from '../../outbound/retry-after.ts'
import type { Exchanges, ExchangeAnswer } from '../../outbound/exchange.ts'

export interface HttpBotOptions {
  exchanges: Exchanges
  render: Render
  readSecret: ReadSecret
  now: () => number
}

/** Status codes that another try may change; every other 4xx, and every 3xx, will be the same again. */
const worthRetrying = new Set([404, 408, 409, 425, 429])

function signature(secret: Buffer, id: string, timestamp: number, body: string): string {
  const text = secret.toString('latin1')
  const key = text.startsWith('whsec_') ? Buffer.from(text.slice(6), 'base64') : secret
  return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`
}

function isJson(headers: Record<string, string | string[] | undefined>): boolean {
  return /^application\/([a-z.+-]+\+)?json/i.test(String(headers['content-type'] ?? ''))
}

/** What an HTTP answer means for a run. */
export function httpResult(answer: ExchangeAnswer & { kind: 'answered' }, now: number): DeliveryResult {
  const { status, headers, body } = answer
  const told = { status: `HTTP ${status}`, output: body }
  if (status >= 200 && status < 300)
    return { outcome: 'success', ...told, result: isJson(headers) ? jsonText(body) : null }
  if (status === 410)
    return failure('refused', 'the bot answered 410 Gone and was disabled', { ...told, disable_bot: true })
  if (status >= 300 && status < 400)
    return failure(
      'refused',
      `the bot answered ${status}; redirects are not followed, put the final address into the bot`,
      told,
    )
  if (status >= 500 || worthRetrying.has(status)) {
    const retry_after_ms = retryAfterMs([headers['retry-after']].flat()[0], now)
    return failure('unavailable', `the bot answered ${status}`, {
      ...told,
      ...(retry_after_ms === undefined ? {} : { retry_after_ms }),
    })
  }
  return failure('refused', `the bot answered ${status}`, told)
}

/** What a failed exchange means for a run. */
export function exchangeFailure(answer: ExchangeAnswer & { kind: 'failed' }): DeliveryResult {
  switch (answer.reason) {
    case 'aborted':
      return { outcome: 'aborted' }
    case 'timeout':
      return failure('timeout', answer.error)
    case 'unreachable':
      return failure('unreachable', answer.error)
    case 'broken':
      return failure('unavailable', answer.error)
    case 'blocked':
      return failure('refused', answer.error, { status: 'E_EGRESS_BLOCKED' })
    case 'bad_request':
      return failure('refused', answer.error)
  }
}

export function httpBot({ exchanges, render, readSecret, now }: HttpBotOptions): BotKind<HttpEndpoint> {
  async function deliver(endpoint: HttpEndpoint, delivery: Delivery): Promise<DeliveryResult> {
    const { callback } = delivery
    let { body } = delivery
    if (endpoint.body !== undefined) {
      const rendered = await render(
        endpoint.body,
        'endpoint.body',
        callback === null ? delivery.scope() : { ...(delivery.scope() as object), callback },
      )
      if (!rendered.ok)
        return failure(rendered.transient ? 'unavailable' : 'refused', rendered.reason, { status: 'E_BODY' })
      body = JSON.stringify(rendered.value)
    }
    // The token is no part of the request that is kept.
    const kept = body
    if (callback !== null && endpoint.body === undefined)
      body = `${body.slice(0, -1)},"callback":${JSON.stringify(callback)}}`
    const url = new URL(endpoint.url)
    const timestamp = Math.floor(now() / 1000)
    const headers: Record<string, string> = {
      'content-type': 'application/json',
      'accept-encoding': 'identity',
      'user-agent': 'signalbox',
      'webhook-id': delivery.id,
      'webhook-timestamp': String(timestamp),
      // The run is the trace, the attempt its span (W3C Trace Context).
      traceparent: `00-${delivery.run_id.replaceAll('-', '')}-${delivery.attempt.toString(16).padStart(16, '0')}-01`,
    }
    for (const [ref, set] of [
      [
        endpoint.secret,
        (secret: Buffer) => (headers['webhook-signature'] = signature(secret, delivery.id, timestamp, body)),
      ],
      [endpoint.bearer, (secret: Buffer) => (headers.authorization = `Bearer ${secret.toString('latin1')}`)],
    ] as const) {
      if (ref === undefined) continue
      const secret = readSecret(ref)
      if (!secret.ok) return failure('unreachable', `a secret of the bot cannot be read: ${secret.reason}`)
      set(secret.value)
    }
    delivery.made(
      {
        kind: 'http',
        method: 'POST',
        url: urlWithoutSecrets(endpoint.url),
        headers: withoutSecrets(headers),
      },
      kept,
    )
    const answer = await exchanges.send({
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      headers,
      body,
      timeout_ms: delivery.timeout_ms,
      signal: delivery.signal,
    })
    if (answer.kind !== 'answered') return exchangeFailure(answer)
    if (callback !== null && answer.status === 202)
      return { outcome: 'handed_over', status: 'HTTP 202', output: answer.body }
    return httpResult(answer, now())
  }
  return { deliver, stop: () => exchanges.stop() }
}
