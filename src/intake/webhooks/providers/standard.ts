// Standard Webhooks 1.0.0: v1 signatures, base64 HMAC-SHA256 over id.timestamp.body, good for 5 minutes.
import { createHmac, timingSafeEqual } from 'node:crypto'
import { Fault } from '../../../errors.ts'
import { textAt } from '../../../routing/payload.ts'
import { plainBody, requiredHeader, unauthorized, type Delivery, type Provider } from './provider.ts'

const toleranceS = 300
const mostSignatures = 10
// A dot would let an id take over a part of the timestamp in what is signed.
const idForm = /^[A-Za-z0-9_-]{1,128}$/

const leastKeyBytes = 16

/** Whether a secret is a signing key of Standard Webhooks, whsec_ and base64. */
export function isSigningKey(secret: Buffer): boolean {
  return secret.toString('latin1', 0, 6) === 'whsec_'
}

/** whsec_ and base64, or the secret's own bytes. */
function keyOf(secret: Buffer): Buffer {
  return isSigningKey(secret) ? Buffer.from(secret.toString('latin1', 6), 'base64') : secret
}

/** Decoding is lenient: rubbish behind whsec_ would be an empty key, which anybody has. */
export function signingKeyFault(secret: Buffer): string | undefined {
  if (!isSigningKey(secret)) return undefined
  const key = keyOf(secret)
  const canonical =
    key.toString('base64').replaceAll('=', '') === secret.toString('latin1', 6).replaceAll('=', '')
  return canonical && key.length >= leastKeyBytes
    ? undefined
    : `a secret that begins with whsec_ must go on with the base64 of at least ${leastKeyBytes} bytes`
}

/** Throws unless webhook-id, webhook-timestamp and webhook-signature fit the body and one of the secrets. */
export function verifyStandard(delivery: Delivery, secrets: Buffer[]): void {
  const id = requiredHeader(delivery, 'webhook-id')
  const timestamp = requiredHeader(delivery, 'webhook-timestamp')
  const header = requiredHeader(delivery, 'webhook-signature')
  if (!idForm.test(id))
    throw new Fault('bad_request', 'webhook-id must be 1 to 128 letters, digits, _ or -', {
      reason: 'E_DELIVERY_ID',
    })
  if (!/^[0-9]{1,12}$/.test(timestamp))
    throw unauthorized('webhook-timestamp must be seconds since the Unix epoch in digits', 'E_TIMESTAMP')
  const ageS = Math.floor(delivery.now / 1000) - Number(timestamp)
  if (Math.abs(ageS) > toleranceS) {
    throw unauthorized(
      `webhook-timestamp is ${Math.abs(ageS)} s ${ageS > 0 ? 'old' : 'ahead'}, ${toleranceS} s are allowed; check the clocks`,
      'E_TIMESTAMP',
    )
  }
  const given = header
    .split(' ', mostSignatures)
    .filter(entry => /^v1,[A-Za-z0-9+/]{43}=$/.test(entry))
    .map(entry => entry.slice(3))
    .map(text => ({ text, bytes: Buffer.from(text, 'base64') }))
    // The last digit has two spare bits: only one of its spellings is canonical.
    .filter(({ text, bytes }) => bytes.toString('base64') === text)
  const fits = secrets.flatMap(secret => {
    const expected = createHmac('sha256', keyOf(secret))
      .update(`${id}.${timestamp}.`)
      .update(delivery.body)
      .digest()
    return given.map(({ bytes }) => timingSafeEqual(expected, bytes))
  })
  if (!fits.includes(true))
    throw unauthorized(
      'no v1 signature in webhook-signature fits id, timestamp, body and the secret of this source',
    )
}

export const standardHeaders = ['webhook-id', 'webhook-timestamp', 'webhook-signature'] as const

export const standard: Provider = {
  needs_secret: true,
  token: false,
  single_headers: standardHeaders,
  media_types: ['application/json'],
  signed_bytes: null,
  subject_paths: [],
  takes_get: false,
  secret_fault: signingKeyFault,
  verify: verifyStandard,
  read(delivery) {
    const body = plainBody(delivery)
    const timestamp = Number(delivery.headers.get('webhook-timestamp')) * 1000
    return [
      {
        ...body,
        type: textAt(body.payload.value, 'type'),
        subject: null,
        timestamp,
        delivery_key: delivery.headers.get('webhook-id') ?? null,
      },
    ]
  },
}
