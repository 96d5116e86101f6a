// GitHub: sha256=<hex HMAC> over the raw body, also when that is a form.
import { forgeEvent, requiredHeader, verifyHex, type Delivery, type Provider } from './provider.ts'

const subject_paths = ['repository.full_name'] as const
const signed_bytes = ({ body }: Delivery): Uint8Array => body
const signature = 'x-hub-signature-256'

export const github: Provider = {
  needs_secret: true,
  token: false,
  single_headers: [signature, 'x-github-event', 'x-github-delivery'],
  media_types: ['application/json', 'application/x-www-form-urlencoded'],
  signed_bytes,
  takes_get: false,
  verify: (delivery, secrets) =>
    verifyHex(requiredHeader(delivery, signature), signature, 'sha256=', signed_bytes(delivery), secrets),
  subject_paths,
  read: delivery => forgeEvent('github', delivery, ['x-github-event'], ['x-github-delivery'], subject_paths),
}
