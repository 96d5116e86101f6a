// A body as text: strictly decoded, and the JSON that a forge puts into a form.
const strictText = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** UTF-8 bytes as text; throws on bytes that are none, and keeps a byte order mark, which JSON refuses. */
export function strictUtf8(body: Uint8Array): string {
  return strictText.decode(body)
}

/** The text of the form field payload, where a forge puts its JSON; null without that field. */
export function formPayload(body: Uint8Array): string | null {
  return new URLSearchParams(strictUtf8(body)).get('payload')
}
