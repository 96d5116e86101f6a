// Any sender: with a bearer token, or with nothing at all. The delivery id is idempotency-key or webhook-id.
import { deliveryKey, firstHeader, plainBody, requiredHeader, unauthorized, verifyToken, type Delivery, type Provider } from './provider.ts'

/** Throws unless Authorization is Bearer and one of the secrets. */
export function verifyBearer(delivery: Delivery, secrets: Buffer[]): void {
  const [, token] = /^Bearer ([!-~]+)$/i.exec(requiredHeader(delivery, 'authorization')) ?? []
  if (token === undefined || !verifyToken(token, secrets)) throw unauthorized('Authorization is not "Bearer" and the token of this source', 'E_TOKEN')
}

export const none: Provider = {
  needs_secret: false,
  token: false,
  single_headers: ['idempotency-key', 'webhook-id', 'x-event-type'],
  media_types: null,
  signs_body_only: false,
  takes_get: false,
  verify: () => undefined,
  read: delivery => [
    {
      ...plainBody(delivery),
      type: firstHeader(delivery, ['x-event-type']),
      subject: null,
      timestamp: null,
      delivery_key: deliveryKey(firstHeader(delivery, ['idempotency-key', 'webhook-id']) ?? undefined),
    },
  ],
}

export const bearer: Provider = { ...none, needs_secret: true, token: true, single_headers: [...none.single_headers, 'authorization'], verify: verifyBearer }
