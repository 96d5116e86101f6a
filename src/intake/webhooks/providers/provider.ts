// What a webhook provider is: whose rules a delivery follows. One file per provider implements it, each pure.
import { createHmac, createSecretKey, timingSafeEqual, type KeyObject } from 'node:crypto'
import { formPayload } from '../../../body-text.ts'
import { Fault } from '../../../errors.ts'
import type { Forge } from '../../../forge.ts'
import type { JsonLimits } from '../../../json-text.ts'
import { Payload, payloadOf } from '../../../routing/payload.ts'
import type { BodyFormat } from '../../../store/store.ts'

export interface Delivery {
  /** lower-case names; each name once: doubled ones that matter are refused before */
  headers: ReadonlyMap<string, string>
  body: Uint8Array
  /** media type without parameters, lower-case; empty when there is none */
  media_type: string
  /** the payload query parameter of a GET delivery */
  query_payload: string | null
  /** of what is parsed */
  limits: JsonLimits
  now: number
}

/** One event as a delivery brings it. */
export interface ReadEvent {
  type: string | null
  subject: string | null
  /** given: who caused it, and in which conversation; else the forge's payload says it, where it is of one */
  actor?: string
  thread?: string
  forge?: Forge
  timestamp: number | null
  delivery_key: string | null
  payload: Payload
  /** where in the payload its subject may stand; subject is null then */
  subject_paths?: readonly string[]
  body: Uint8Array
  body_format: BodyFormat
  /** header-like attributes that come inside the body */
  attributes?: Record<string, string>
}

export interface Provider {
  needs_secret: boolean
  /** the secret is a token that is sent as it is: guesses are limited hard */
  token: boolean
  /** headers whose doubling is refused, besides those that every delivery has */
  single_headers: readonly string[]
  /** media types of its deliveries; null: any */
  media_types: readonly string[] | null
  /**
   * The bytes that its signature covers, where it does not cover the delivery id: a captured delivery can be sent again
   * under another id, so these bytes are what a redelivery is known by (RELIABILITY T8). null: it covers the id too, or
   * there is no signature.
   */
  signed_bytes: ((delivery: Delivery) => Uint8Array) | null
  /** where subjects may be in its payloads, by dotted path */
  subject_paths: readonly string[]
  /** GET deliveries carry the payload in the query */
  takes_get: boolean
  /** Why a secret cannot be used as a key, or undefined when it can. */
  secret_fault?(secret: Buffer): string | undefined
  /** Throws Fault unauthorized or bad_request. Called with no secrets only when none is needed. */
  verify(delivery: Delivery, secrets: Buffer[]): void
  /** Throws a SyntaxError for a body that is not what it says. */
  read(delivery: Delivery): ReadEvent[]
}

export function unauthorized(message: string, reason = 'E_SIGNATURE'): Fault {
  return new Fault('unauthorized', message, { reason })
}

/** A header that must be there. */
export function requiredHeader(delivery: Delivery, name: string): string {
  const value = delivery.headers.get(name)
  if (value === undefined)
    throw unauthorized(
      `the header ${name} was expected and is missing; is the provider of this source right, and is a secret set on the sender's side?`,
    )
  return value
}

const keys = new WeakMap<Buffer, KeyObject>()

/** A secret as a key; made once for each, which is a third of what an HMAC over 4 KB costs otherwise. */
export function hmacKey(secret: Buffer): KeyObject {
  const known = keys.get(secret)
  if (known !== undefined) return known
  const key = createSecretKey(secret)
  keys.set(secret, key)
  return key
}

/**
 * A hex HMAC-SHA256 in strict form (64 lower-case digits behind the prefix), compared in constant time. Decoders are
 * lenient, so the text is checked before; an empty one, which Forgejo sends when it has no secret, fails like any other.
 */
export function verifyHex(
  header: string,
  name: string,
  prefix: string,
  signed: Uint8Array,
  secrets: Buffer[],
): void {
  const digits = header.startsWith(prefix) ? header.slice(prefix.length) : ''
  const given = /^[0-9a-f]{64}$/.test(digits) ? Buffer.from(digits, 'hex') : undefined
  if (given === undefined)
    throw unauthorized(
      `the header ${name} is not ${prefix}<64 lower-case hex digits>${header === prefix ? ": it is empty; set the secret on the sender's side" : ''}`,
    )
  const fits = secrets.map(secret =>
    timingSafeEqual(createHmac('sha256', hmacKey(secret)).update(signed).digest(), given),
  )
  if (!fits.includes(true))
    throw unauthorized(`the signature in ${name} does not fit the body and the secret of this source`)
}

const deliveryId = /^[!-~]{1,256}$/

/** A delivery id as a dedupe key; null when there is none. */
export function deliveryKey(value: string | undefined): string | null {
  if (value === undefined || value === '') return null
  if (!deliveryId.test(value))
    throw new Fault('bad_request', 'the delivery id must be 1 to 256 visible ASCII characters', {
      reason: 'E_DELIVERY_ID',
    })
  return value
}

export function firstHeader(delivery: Delivery, names: readonly string[]): string | null {
  for (const name of names) {
    const value = delivery.headers.get(name)
    if (value !== undefined && value !== '') return value
  }
  return null
}

/** What a forge signs: the JSON text, be it the body, a form field or a query parameter. */
export function forgePayload(delivery: Delivery): {
  json: Uint8Array
  body: Uint8Array
  body_format: BodyFormat
} {
  if (delivery.query_payload !== null) {
    const json = Buffer.from(delivery.query_payload)
    return { json, body: json, body_format: 'json' }
  }
  if (delivery.media_type !== 'application/x-www-form-urlencoded')
    return { json: delivery.body, body: delivery.body, body_format: 'json' }
  const text = formPayload(delivery.body)
  if (text === null)
    throw new Fault('bad_request', 'the form has no field named payload', { reason: 'E_JSON' })
  return { json: Buffer.from(text), body: delivery.body, body_format: 'form' }
}

/** The event of a forge: type from headers, subject the repository, actor and thread from the payload. */
export function forgeEvent(
  forge: Forge,
  delivery: Delivery,
  typeHeaders: readonly string[],
  idHeaders: readonly string[],
  subject_paths: readonly string[],
): ReadEvent[] {
  const { json, body, body_format } = forgePayload(delivery)
  return [
    {
      type: firstHeader(delivery, typeHeaders),
      subject: null,
      subject_paths,
      forge,
      timestamp: null,
      delivery_key: deliveryKey(firstHeader(delivery, idHeaders) ?? undefined),
      payload: Payload.ofJson(json, delivery.limits),
      body,
      body_format,
    },
  ]
}

/** A body that is JSON, text or something else, by its media type. */
export function plainBody(delivery: Delivery): Pick<ReadEvent, 'payload' | 'body' | 'body_format'> {
  const { body, media_type } = delivery
  const body_format: BodyFormat =
    body.byteLength === 0
      ? 'none'
      : media_type === 'application/json' || media_type.endsWith('+json') || media_type === ''
        ? 'json'
        : media_type.startsWith('text/')
          ? 'text'
          : 'binary'
  return {
    payload:
      body_format === 'json'
        ? Payload.ofJson(body, delivery.limits)
        : Payload.of(payloadOf(body_format, body)),
    body,
    body_format,
  }
}
