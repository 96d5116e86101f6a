// Any sender, unchecked. The delivery id is idempotency-key or webhook-id.
import { deliveryKey, firstHeader, plainBody, type Provider } from './provider.ts'

export const none: Provider = {
  needs_secret: false,
  token: false,
  single_headers: ['idempotency-key', 'webhook-id', 'x-event-type'],
  media_types: null,
  signed_bytes: null,
  subject_paths: [],
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
