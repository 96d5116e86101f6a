// Any sender with a bearer token; otherwise as none.
import { none } from './none.ts'
import { requiredHeader, unauthorized, type Delivery, type Provider } from './provider.ts'
import { bearerToken, verifyToken } from '../../../http/token.ts'

/** Throws unless Authorization is Bearer and one of the secrets. */
export function verifyBearer(delivery: Delivery, secrets: Buffer[]): void {
  const token = bearerToken(requiredHeader(delivery, 'authorization'))
  if (token === undefined || !verifyToken(token, secrets))
    throw unauthorized('Authorization is not "Bearer" and the token of this source', 'E_TOKEN')
}

export const bearer: Provider = {
  ...none,
  needs_secret: true,
  token: true,
  single_headers: [...none.single_headers, 'authorization'],
  verify: verifyBearer,
}
