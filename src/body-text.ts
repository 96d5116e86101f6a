// A body as text: strictly decoded, and the JSON that a forge puts into a form.
const strictText = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Decodes UTF-8. Throws TypeError if the bytes are not valid UTF-8. Keeps a byte order mark, so that the JSON parser refuses it. */
export function strictUtf8(body: Uint8Array): string {
  return strictText.decode(body)
}

/** The text of the form field payload, where a forge puts its JSON; null without that field. */
export function formPayload(body: Uint8Array): string | null {
  return new URLSearchParams(strictUtf8(body)).get('payload')
}
