// Rules for requests that a browser sends with a cookie, or behind a proxy that has authenticated its user: pages of other origins can
// make it send such requests, and cookies are shared by all ports of a host.
import { Fault } from '../errors.ts'

/** A page of another origin cannot send it: its browser would ask first, and is never answered. */
export const ownHeader = 'x-signalbox'

function refused(message: string): Fault {
  return new Fault('forbidden', message, { reason: 'E_ORIGIN' })
}

function originOf(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).origin : undefined
}

/**
 * Throws Fault forbidden for a request that another page may have caused. Whatever is not GET or HEAD needs an Origin of our own and our
 * own header; GET and HEAD need one thing that tells that the page is our own, or that a person typed the address.
 * @param origins own origins, with the port: http://signalbox.localhost:8021
 */
export function assertOwnPage(
  method: string,
  headers: ReadonlyMap<string, string>,
  origins: ReadonlySet<string>,
): void {
  const origin = headers.get('origin')
  const isOwn = origin !== undefined && origins.has(origin)
  if (origin !== undefined && !isOwn)
    throw refused(
      `the Origin ${JSON.stringify(origin.slice(0, 100))} is not that of this listener, ${[...origins].join(' or ')}; behind a proxy set public_url`,
    )
  if (method !== 'GET' && method !== 'HEAD') {
    if (!isOwn) throw refused('a request with a login needs the header Origin, as browsers send it')
    if (headers.get(ownHeader) !== '1')
      throw refused(`a request with a login needs the header ${ownHeader}: 1`)
    return
  }
  if (isOwn || headers.get(ownHeader) === '1') return
  const site = headers.get('sec-fetch-site')
  if (site === 'same-origin' || site === 'none') return
  const referer = headers.get('referer')
  if (site === undefined && referer !== undefined && origins.has(originOf(referer) ?? '')) return
  throw refused(
    `another page may have sent this: Sec-Fetch-Site is ${JSON.stringify(site ?? 'missing').slice(0, 40)}, not same-origin`,
  )
}
