// CloudEvents 1.0 over HTTP: structured, batched and binary. Duplicates are known by source and id together.
import { Fault } from '../../../errors.ts'
import { isRaw } from '../../../exact-json.ts'
import { originFault, type Origin } from '../../../forge.ts'
import { elementTexts } from '../../../json-text.ts'
import { verifyBearer } from './bearer.ts'
import { Payload } from '../../../routing/payload.ts'
import { plainBody, type Delivery, type Provider, type ReadEvent } from './provider.ts'

const structured = 'application/cloudevents+json'
const batched = 'application/cloudevents-batch+json'
/** Events of one batch. */
const maxBatchEvents = 1000
const required = ['specversion', 'id', 'source', 'type'] as const
const textAttributes = [
  ...required,
  'subject',
  'actor',
  'thread',
  'time',
  'datacontenttype',
  'dataschema',
] as const

function invalid(message: string): Fault {
  return new Fault('bad_request', message, { reason: 'E_CLOUDEVENT' })
}

/** The extension actor or thread. */
function originExtension(
  name: keyof Origin,
  attributes: ReadonlyMap<string, string>,
): Partial<Record<keyof Origin, string>> {
  const text = attributes.get(name)
  if (text === undefined) return {}
  const fault = originFault(name, text)
  if (fault !== undefined) throw invalid(`the CloudEvents attribute ${name} ${fault}`)
  return { [name]: text }
}

/** The event of a set of attributes; extensions come along as ce- headers. */
function fromAttributes(
  attributes: ReadonlyMap<string, string>,
): Omit<ReadEvent, 'payload' | 'body' | 'body_format'> {
  for (const name of required) {
    if ((attributes.get(name) ?? '') === '')
      throw invalid(`the CloudEvents attribute ${name} is required; found nothing`)
  }
  if (attributes.get('specversion') !== '1.0')
    throw invalid(
      `specversion must be 1.0; found ${JSON.stringify(attributes.get('specversion')!.slice(0, 20))}`,
    )
  const time = attributes.get('time')
  const timestamp = time === undefined ? null : Date.parse(time)
  if (timestamp !== null && (!Number.isInteger(timestamp) || timestamp < 0))
    throw invalid('time must be an RFC 3339 timestamp after 1970')
  return {
    type: attributes.get('type')!,
    subject: attributes.get('subject') ?? null,
    ...originExtension('actor', attributes),
    ...originExtension('thread', attributes),
    timestamp,
    delivery_key: JSON.stringify([attributes.get('source'), attributes.get('id')]),
    attributes: Object.fromEntries([...attributes].map(([name, value]) => [`ce-${name}`, value])),
  }
}

function fromEnvelope(envelope: unknown, body: Uint8Array): ReadEvent {
  if (typeof envelope !== 'object' || envelope === null || Array.isArray(envelope))
    throw invalid('a CloudEvent must be a JSON object')
  const attributes = new Map<string, string>()
  for (const [name, value] of Object.entries(envelope)) {
    if (name === 'data' || name === 'data_base64' || value === null) continue
    if (!/^[a-z0-9]{1,64}$/.test(name))
      throw invalid(
        `attribute names must be lower-case letters and digits; found ${JSON.stringify(name.slice(0, 40))}`,
      )
    const isText = typeof value === 'string'
    if (
      !isText &&
      ((textAttributes as readonly string[]).includes(name) || (typeof value === 'object' && !isRaw(value)))
    )
      throw invalid(`the CloudEvents attribute ${name} must be a string`)
    attributes.set(name, isText ? value : JSON.stringify(value))
  }
  const { data, data_base64 } = envelope as { data?: unknown; data_base64?: unknown }
  return {
    ...fromAttributes(attributes),
    payload: Payload.of(data ?? data_base64 ?? null),
    body,
    body_format: 'cloudevent',
  }
}

function fromHeaders(delivery: Delivery): ReadEvent {
  const attributes = new Map<string, string>()
  for (const [name, value] of delivery.headers) {
    if (!name.startsWith('ce-')) continue
    try {
      attributes.set(name.slice(3), decodeURIComponent(value))
    } catch {
      throw invalid(`the header ${name} must be percent-encoded as CloudEvents requires`)
    }
  }
  return { ...fromAttributes(attributes), ...plainBody(delivery) }
}

function readBatch({ body, limits }: Delivery): ReadEvent[] {
  const list = Payload.ofJson(body, limits).value
  if (!Array.isArray(list)) throw invalid('a batch of CloudEvents must be a JSON array')
  if (list.length > maxBatchEvents)
    throw new Fault(
      'too_large',
      `a batch must hold at most ${maxBatchEvents} CloudEvents; found ${list.length}. Nothing was stored: send it as several`,
    )
  const texts = elementTexts(body)
  return list.map((envelope, index) => fromEnvelope(envelope, texts[index]!))
}

export const cloudevents: Provider = {
  needs_secret: false,
  token: true,
  single_headers: [
    'authorization',
    'ce-id',
    'ce-source',
    'ce-type',
    'ce-specversion',
    'ce-subject',
    'ce-time',
    'ce-actor',
    'ce-thread',
  ],
  media_types: null,
  signed_bytes: null,
  subject_paths: [],
  takes_get: false,
  verify(delivery, secrets) {
    if (secrets.length > 0) verifyBearer(delivery, secrets)
  },
  read(delivery) {
    if (delivery.media_type === batched) return readBatch(delivery)
    if (delivery.media_type === structured)
      return [fromEnvelope(Payload.ofJson(delivery.body, delivery.limits).value, delivery.body)]
    return [fromHeaders(delivery)]
  },
}
