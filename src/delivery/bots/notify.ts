// notify bots: a run is one message to people. A message is made of templates or, where there are none, of the type of the event; a
// run of a batch makes one message.
import type { NotifyEndpoint } from '../../contract/types.ts'
import { retryAfterMs } from '../../outbound/retry-after.ts'
import type { ExchangeAnswer, Exchanges } from '../../outbound/exchange.ts'
import type { ReadSecret } from '../../secrets.ts'
import { jsonText } from '../answer-json.ts'
import { failure, type BotKind, type Delivery, type DeliveryResult, type Render } from '../bot.ts'
import { hiddenText } from '../../redaction.ts'
import { withoutSecrets } from '../made-request.ts'
import type { Egress } from '../../outbound/egress.ts'
import { exchangeFailure } from './http.ts'
import { deliverMail } from './notify-mail.ts'
import { saidReason, services, type Service } from './notify-presets.ts'
import { batchMessage, safeLink, usualMessage, type Message, type NotedEvent } from './notify-text.ts'

export interface NotifyBotOptions {
  exchanges: Exchanges
  egress: Egress
  render: Render
  readSecret: ReadSecret
  now: () => number
}

interface Scope {
  event: NotedEvent
  events?: NotedEvent[]
}

const usualPriority = 3

function asText(value: unknown): string {
  if (value === null || value === undefined) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** 1 to 5; undefined: it is not a number. Nothing is the default. */
function priorityOf(value: unknown): number | undefined {
  const text = asText(value).trim()
  if (text === '') return usualPriority
  const number = Number(text)
  return Number.isFinite(number) ? Math.min(5, Math.max(1, Math.round(number))) : undefined
}

/** The message of a run, or why there is none. */
export async function messageOf(
  { title, text, priority, link }: NotifyEndpoint,
  delivery: Pick<Delivery, 'scope'>,
  render: Render,
): Promise<{ message: Message } | { refusal: DeliveryResult }> {
  const scope = delivery.scope() as Scope
  const rendered = await render(
    { title: title ?? null, text: text ?? null, priority: priority ?? null, link: link ?? null },
    'endpoint',
    scope,
  )
  if (!rendered.ok)
    return {
      refusal: failure(rendered.transient ? 'unavailable' : 'refused', rendered.reason, { status: 'E_BODY' }),
    }
  const made = rendered.value as Record<'title' | 'text' | 'priority' | 'link', unknown>
  const usual =
    scope.events !== undefined && scope.events.length > 1
      ? batchMessage(scope.events)
      : usualMessage(scope.event)
  const number = priorityOf(made.priority)
  if (number === undefined) {
    const reason = `endpoint.priority must give a number from 1 to 5; got ${JSON.stringify(made.priority).slice(0, 80)}`
    return { refusal: failure('refused', reason, { status: 'E_BODY' }) }
  }
  const [own, shown] = [asText(made.title), asText(made.text)]
  return {
    message: {
      title: own === '' ? usual.title : own,
      text: shown === '' ? usual.text : shown,
      priority: number,
      link: safeLink(asText(made.link)),
    },
  }
}

/** Status codes that another attempt may change, besides those of a server that failed. */
const worthRetrying = new Set([408, 425, 429])

/** What the answer of a service means for a run. */
function answered(
  preset: string,
  service: Service,
  answer: ExchangeAnswer & { kind: 'answered' },
  now: number,
): DeliveryResult {
  const { status, headers, body } = answer
  const told = { status: `HTTP ${status}`, output: body }
  if (status >= 200 && status < 300) {
    if (service.isAccepted(body)) return { outcome: 'success', ...told, result: jsonText(body) }
    return failure(
      'refused',
      `the server answered ${status}, but not as ${preset} answers an accepted message; check url of the bot`,
      told,
    )
  }
  if (status >= 300 && status < 400)
    return failure(
      'refused',
      `${preset} answered ${status}; redirects are not followed, put the final address into the bot`,
      told,
    )
  const reason = saidReason(body)
  const error = `${preset} answered ${status}${reason === '' ? '' : `: ${reason}`}`
  if (status < 500 && !worthRetrying.has(status)) return failure('refused', error, told)
  const after = service.retryAfterMs?.(body) ?? retryAfterMs([headers['retry-after']].flat()[0], now)
  return failure('unavailable', error, { ...told, ...(after === undefined ? {} : { retry_after_ms: after }) })
}

/** The address of a request as it is kept: the path of an incoming webhook is its secret. */
function shownUrl(preset: string, url: URL): string {
  return preset === 'slack' ? `${url.origin}/${hiddenText}` : `${url.origin}${url.pathname}`
}

export function notifyBot({
  exchanges,
  egress,
  render,
  readSecret,
  now,
}: NotifyBotOptions): BotKind<NotifyEndpoint> {
  async function deliver(endpoint: NotifyEndpoint, delivery: Delivery): Promise<DeliveryResult> {
    const made = await messageOf(endpoint, delivery, render)
    if ('refusal' in made) return made.refusal
    const { preset } = endpoint
    if (preset === 'smtp') return deliverMail(endpoint, made.message, delivery, { egress, readSecret })
    const secrets: (string | undefined)[] = []
    for (const ref of [endpoint.url_secret, endpoint.token]) {
      const secret = ref === undefined ? undefined : readSecret(ref)
      if (secret?.ok === false)
        return failure('unreachable', `a secret of the bot cannot be read: ${secret.reason}`)
      secrets.push(secret?.value.toString('latin1'))
    }
    const [secretUrl, token] = secrets
    const base = endpoint.url ?? secretUrl ?? ''
    if (!/^https?:\/\//i.test(base) || !URL.canParse(base))
      return failure('refused', 'url_secret of the bot must be an http or https URL', { status: 'E_URL' })
    const {
      method,
      url,
      headers: own,
      body: content,
    } = services[preset].request(endpoint, base, token, made.message, delivery.id)
    const headers = {
      'content-type': 'application/json',
      'accept-encoding': 'identity',
      'user-agent': 'signalbox',
      ...own,
    }
    const body = JSON.stringify(content)
    delivery.made(
      { kind: 'http', method, url: shownUrl(preset, url), headers: withoutSecrets(headers) },
      body,
    )
    const { timeout_ms, signal } = delivery
    const answer = await exchanges.send({
      method,
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      headers,
      body,
      timeout_ms,
      signal,
    })
    return answer.kind === 'answered'
      ? answered(preset, services[preset], answer, now())
      : exchangeFailure(answer)
  }
  return { deliver, stop: async () => undefined }
}
