// Tokens in requests.
import { hash, timingSafeEqual } from 'node:crypto'

/** Compares a token in constant time, whatever its length. */
export function verifyToken(given: string, secrets: Buffer[]): boolean {
  const digest = hash('sha256', given, 'buffer')
  return secrets.map(secret => timingSafeEqual(hash('sha256', secret, 'buffer'), digest)).includes(true)
}

/** The token of a Bearer Authorization header; undefined if the header is missing or of another type. */
export function bearerToken(header: string | undefined): string | undefined {
  return /^Bearer ([!-~]+)$/i.exec(header ?? '')?.[1]
}
