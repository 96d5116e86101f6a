// Forgejo and Gitea. The signature is a bare hex HMAC of the JSON text, also where that travels in a form or a query;
// the event type is the finer X-*-Event-Type before X-*-Event. Both send each other's headers and GitHub's.
import {
  forgeEvent,
  forgePayload,
  requiredHeader,
  verifyHex,
  type Delivery,
  type Provider,
} from './provider.ts'

/** Payloads of Actions have no repository of their own, only their run's. */
const subject_paths = ['repository.full_name', 'run.repository.full_name'] as const

/** The rules of a forge, by the brand of the headers that it signs with. */
export function forge(name: 'forgejo' | 'gitea'): Provider {
  const signature = `x-${name}-signature`
  const brands = name === 'forgejo' ? ['forgejo', 'gitea'] : ['gitea', 'forgejo']
  const types = [...brands.map(brand => `x-${brand}-event-type`), ...brands.map(brand => `x-${brand}-event`)]
  const ids = brands.map(brand => `x-${brand}-delivery`)
  const signed_bytes = (delivery: Delivery): Uint8Array => forgePayload(delivery).json
  return {
    needs_secret: true,
    token: false,
    single_headers: [signature, ...types, ...ids],
    media_types: ['application/json', 'application/x-www-form-urlencoded'],
    signed_bytes,
    takes_get: true,
    verify: (delivery, secrets) =>
      verifyHex(requiredHeader(delivery, signature), signature, '', signed_bytes(delivery), secrets),
    subject_paths,
    read: delivery => forgeEvent(name, delivery, types, ids, subject_paths),
  }
}

export const forgejo: Provider = forge('forgejo')
