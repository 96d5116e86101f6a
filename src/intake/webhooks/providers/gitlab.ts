// GitLab: the secret itself in X-Gitlab-Token, or, with a signing token (whsec_...), Standard Webhooks signatures.
// Which of the two is decided by the secret alone, so that a delivery cannot choose the weaker one.
import {
  deliveryKey,
  firstHeader,
  forgeEvent,
  requiredHeader,
  unauthorized,
  type Provider,
} from './provider.ts'
import { isSigningKey, signingKeyFault, standardHeaders, verifyStandard } from './standard.ts'
import { verifyToken } from '../../../http/token.ts'

const subject_paths = ['project.path_with_namespace'] as const
const ids = ['webhook-id', 'idempotency-key', 'x-gitlab-event-uuid'] as const

export const gitlab: Provider = {
  needs_secret: true,
  token: true,
  single_headers: [
    ...standardHeaders,
    'x-gitlab-token',
    'x-gitlab-event',
    'idempotency-key',
    'x-gitlab-event-uuid',
  ],
  media_types: ['application/json'],
  signed_bytes: null,
  takes_get: false,
  secret_fault: signingKeyFault,
  verify(delivery, secrets) {
    const signing = secrets.filter(isSigningKey)
    if (signing.length > 0) return verifyStandard(delivery, signing)
    if (!verifyToken(requiredHeader(delivery, 'x-gitlab-token'), secrets))
      throw unauthorized('X-Gitlab-Token is not the secret of this source', 'E_TOKEN')
  },
  subject_paths,
  read(delivery) {
    const events = forgeEvent('gitlab', delivery, ['x-gitlab-event'], [], subject_paths)
    const delivery_key = deliveryKey(firstHeader(delivery, ids) ?? undefined)
    return events.map(event => ({ ...event, delivery_key }))
  },
}
