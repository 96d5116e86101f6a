// What an attempt asked of its bot, as it is kept: without secrets, and without the body. The body follows from the event, the
// definitions and the run; its hash says whether it can be made again as it was.
import { hash } from 'node:crypto'
import { hiddenText } from '../redaction.ts'

export type MadeRequest =
  | { kind: 'http'; method: 'POST' | 'PUT'; url: string; headers: Record<string, string> }
  | { kind: 'command'; argv: string[]; cwd: string | null; env: string[] }
  | { kind: 'smtp'; url: string }
  | { kind: 'unix_rpc'; socket_path: string; method: string }

/** Bodies that are larger are not shown, and not hashed. */
const mostBodyShown = 262_144
/** Arguments and headers are definitions of people: more of them than this is not kept. */
const mostBytes = 16_384

/** Headers whose values are secrets, or made with one. */
const secretHeaders = new Set(['authorization', 'webhook-signature', 'x-gotify-key'])

export function withoutSecrets(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, secretHeaders.has(name) ? hiddenText : value]),
  )
}

/** Names of parameters in the query of a URL whose values are usually secrets. */
const secretParameter = /token|secret|passw|credential|key|sig|auth|code/i

/** A URL with *** for the values of parameters that are named like a secret; the rest is unchanged. */
export function urlWithoutSecrets(url: string): string {
  return url.replaceAll(/([?&])([^=&#]+)=[^&#]*/g, (pair, start: string, name: string) => {
    // A name may be percent-encoded; URLSearchParams decodes it and accepts invalid escapes.
    const decoded = [...new URLSearchParams(name).keys()].join('')
    return secretParameter.test(decoded) ? `${start}${name}=${hiddenText}` : pair
  })
}

/**
 * A request as the attempt has it, or null where it is too long; hide: for what else may have got into it. Each text is redacted
 * before it is written as JSON: a secret with a quote or a line break looks different there, and would not be found.
 */
export function requestText(
  request: MadeRequest,
  body: string,
  redact: (text: string) => string,
): string | null {
  const body_bytes = Buffer.byteLength(body)
  const kept = {
    ...request,
    body_bytes,
    ...(body_bytes > mostBodyShown ? {} : { body_sha256: hash('sha256', body) }),
  }
  const text = JSON.stringify(kept, (_key, value: unknown) =>
    typeof value === 'string' ? redact(value) : value,
  )
  return Buffer.byteLength(text) > mostBytes ? null : text
}
