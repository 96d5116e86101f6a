// The payload of an event, read out of its body as it was received.
import type { BodyFormat } from '../store/store.ts'

const strictText = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** UTF-8 bytes as text; throws on bytes that are none, and keeps a byte order mark, which JSON refuses. */
export function strictUtf8(body: Uint8Array): string {
  return strictText.decode(body)
}

/** Throws a SyntaxError or TypeError when the body is not of its format. */
export function payloadOf(format: BodyFormat, body: Uint8Array): unknown {
  switch (format) {
    case 'json':
      return JSON.parse(strictUtf8(body)) as unknown
    case 'form':
      return JSON.parse(formPayload(body) ?? '') as unknown
    case 'cloudevent':
      return cloudEventData(JSON.parse(strictUtf8(body)) as Record<string, unknown>)
    case 'text':
      return strictUtf8(body)
    case 'binary':
      return Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('base64')
    case 'none':
      return null
  }
}

/** The text of the form field payload, where a forge puts its JSON. */
export function formPayload(body: Uint8Array): string | null {
  return new URLSearchParams(strictUtf8(body)).get('payload')
}

function cloudEventData(envelope: Record<string, unknown>): unknown {
  return envelope.data ?? envelope.data_base64 ?? null
}
