// The payload of an event, read out of its body as it was received: its numbers keep their digits.
import { formPayload, strictUtf8 } from '../body-text.ts'
import { Fault } from '../errors.ts'
import type { BodyFormat } from '../store/store.ts'
import { exactJson } from '../exact-json.ts'
import { exceededLimit, type JsonLimits } from '../json-text.ts'

const unlimited: JsonLimits = { json_depth: Infinity, json_tokens: Infinity }

/** The payload of an event that comes in: parsed only when its value is asked for. */
export class Payload {
  readonly #limits: JsonLimits | undefined
  #json: Uint8Array | undefined
  #value: unknown

  private constructor(json: Uint8Array | undefined, limits: JsonLimits | undefined, value: unknown) {
    this.#json = json
    this.#limits = limits
    this.#value = value
  }

  static ofJson(json: Uint8Array, limits: JsonLimits): Payload {
    return new Payload(json, limits, undefined)
  }

  static of(value: unknown): Payload {
    return new Payload(undefined, undefined, value)
  }

  /** The JSON text, unless it has been parsed. */
  get json(): Uint8Array | undefined {
    return this.#json
  }

  /** Throws Fault bad_request for what is no JSON in UTF-8, or exceeds the limits. */
  get value(): unknown {
    if (this.#json !== undefined) {
      const exceeded = exceededLimit(this.#json, this.#limits!)
      if (exceeded !== undefined) throw new Fault('bad_request', exceeded, { reason: 'E_JSON_LIMIT' })
      this.#value = parsed(this.#json)
      this.#json = undefined
    }
    return this.#value
  }
}

function parsed(json: Uint8Array): unknown {
  try {
    return exactJson(strictUtf8(json))
  } catch {
    throw invalidJson()
  }
}

/** For a body that cannot be read as what it says it is. */
export function invalidJson(): Fault {
  return new Fault('bad_request', 'the body is not valid JSON in UTF-8 without a byte order mark', {
    reason: 'E_JSON',
  })
}

/** The payload of a stored event, whose limits were held when it came. */
export function storedPayload({ body_format, body }: { body_format: BodyFormat; body: Uint8Array }): Payload {
  return body_format === 'json' ? Payload.ofJson(body, unlimited) : Payload.of(payloadOf(body_format, body))
}

/** The text of a member along a path of objects; null where there is none, or an empty one. */
export function textAt(payload: unknown, path: string): string | null {
  let value = payload
  for (const step of path.split('.'))
    value =
      typeof value === 'object' && value !== null && Object.hasOwn(value, step)
        ? (value as Record<string, unknown>)[step]
        : undefined
  return typeof value === 'string' && value !== '' ? value : null
}

/** Throws a SyntaxError or TypeError when the body is not of its format. */
export function payloadOf(format: BodyFormat, body: Uint8Array): unknown {
  switch (format) {
    case 'json':
      return exactJson(strictUtf8(body))
    case 'form':
      return exactJson(formPayload(body) ?? '')
    case 'cloudevent':
      return cloudEventData(exactJson(strictUtf8(body)) as Record<string, unknown>)
    case 'text':
      return strictUtf8(body)
    case 'binary':
      return Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('base64')
    case 'none':
      return null
    default:
      // Any other format is damage: nothing must be sent as undefined.
      throw new TypeError(`unknown body format ${JSON.stringify(format satisfies never)}`)
  }
}

function cloudEventData(envelope: Record<string, unknown>): unknown {
  return envelope.data ?? envelope.data_base64 ?? null
}
