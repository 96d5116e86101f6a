// Who sent a request to the admin listener: of a proxy that is trusted, its headers say so; of all others, the connection.
import { BlockList, isIP, isIPv6 } from 'node:net'
import type { Config, Role } from '../contract/types.ts'
import { Fault } from '../errors.ts'

type ForwardAuth = Required<Omit<NonNullable<Config['forward_auth']>, 'default_role'>> &
  Pick<NonNullable<Config['forward_auth']>, 'default_role'>

/** A user that a proxy has authenticated. */
export interface ForwardedUser {
  name: string
  roles: readonly Role[]
}

export interface Sender {
  /** remote address; undefined: a Unix socket */
  address: string | undefined
  /** Host header, or the host that the browser asked a trusted proxy for */
  host: string
  /** what the browser asked a trusted proxy with; undefined: none says so */
  scheme: 'http' | 'https' | undefined
  /** whether the peer is a trusted proxy */
  trusted: boolean
  /** headers of forward_auth from a peer that is not trusted: they are ignored */
  ignored: number
}

const usual: ForwardAuth = {
  user_header: 'Remote-User',
  groups_header: 'Remote-Groups',
  separator: ',',
  roles: {},
}
const longestName = 100

/** A reader of the senders of requests. Throws Error for an invalid address in the configuration. */
export class Senders {
  readonly #trusted = new BlockList()
  readonly #trustsUnix: boolean
  readonly #auth: ForwardAuth | undefined

  constructor({ trusted_proxies, forward_auth }: Pick<Config, 'trusted_proxies' | 'forward_auth'>) {
    this.#trustsUnix = trusted_proxies.includes('unix')
    for (const entry of trusted_proxies) if (entry !== 'unix') this.#trust(entry)
    if (forward_auth === undefined) return
    if (trusted_proxies.length === 0)
      throw new Error('forward_auth needs trusted_proxies: the addresses of the proxy that authenticates')
    this.#auth = { ...usual, ...forward_auth }
  }

  #trust(entry: string): void {
    const [address = '', length] = entry.split('/')
    const family = isIP(address)
    const longest = family === 4 ? 32 : 128
    const bits = length === undefined ? longest : Number(length)
    if (family === 0 || bits > longest)
      throw new Error(
        `trusted_proxies: ${entry} is neither an address, nor a network such as 10.0.0.0/8, nor unix`,
      )
    this.#trusted.addSubnet(address, bits, family === 4 ? 'ipv4' : 'ipv6')
  }

  #isTrusted(address: string | undefined): boolean {
    if (address === undefined) return this.#trustsUnix
    // A connection to an IPv6 address that takes both has an IPv4 peer as ::ffff:10.0.0.2.
    const plain = address.replace(/^::ffff:(?=\d+\.)/i, '')
    return isIP(plain) !== 0 && this.#trusted.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4')
  }

  /** Reads the headers of a request. peer: the remote address of its connection. */
  of(headers: ReadonlyMap<string, string>, peer: string | undefined): Sender {
    const host = headers.get('host')!
    const { user_header, groups_header } = this.#auth ?? {}
    if (!this.#isTrusted(peer)) {
      const ignored = [user_header, groups_header].filter(
        name => name !== undefined && headers.has(name.toLowerCase()),
      ).length
      return { address: peer, host, scheme: undefined, trusted: false, ignored }
    }
    const scheme = last(headers.get('x-forwarded-proto'))?.toLowerCase()
    return {
      address: this.#client(headers.get('x-forwarded-for'), peer),
      host: last(headers.get('x-forwarded-host')) ?? host,
      scheme: scheme === 'http' || scheme === 'https' ? scheme : undefined,
      trusted: true,
      ignored: 0,
    }
  }

  /** The last address that is not that of a trusted proxy: what is before it, anybody may have written. */
  #client(forwarded: string | undefined, peer: string | undefined): string | undefined {
    let client = peer
    for (const entry of (forwarded ?? '').split(',').toReversed()) {
      const address = entry.trim().replace(/^\[|\](:\d+)?$/g, '')
      if (isIP(address) === 0) return client
      client = address
      if (!this.#isTrusted(address)) return client
    }
    return client
  }

  /** The user that a proxy has authenticated; undefined: it names none. Throws Fault bad_request, and forbidden for one without a role. */
  userIn(
    headers: ReadonlyMap<string, string>,
    { trusted }: Pick<Sender, 'trusted'>,
  ): ForwardedUser | undefined {
    if (this.#auth === undefined || !trusted) return undefined
    const { user_header, groups_header, separator, roles, default_role } = this.#auth
    const name = headers.get(user_header.toLowerCase())?.trim()
    if (name === undefined || name === '') return undefined
    if (name.length > longestName || /[^\x21-\x7e]/.test(name))
      throw new Fault(
        'bad_request',
        `the header ${user_header} must have at most ${longestName} visible ASCII characters`,
        { reason: 'E_FORWARD_AUTH' },
      )
    const groups = (headers.get(groups_header.toLowerCase()) ?? '')
      .split(separator)
      .map(group => group.trim())
    const found = groups.filter(group => Object.hasOwn(roles, group)).map(group => roles[group]!)
    const all = found.length > 0 || default_role === undefined ? found : [default_role]
    if (all.length === 0)
      throw new Fault(
        'forbidden',
        `user ${name} is in no group that has a role; add one to forward_auth.roles, or set forward_auth.default_role`,
        {
          reason: 'E_FORWARD_AUTH',
        },
      )
    return { name, roles: all }
  }
}

/** The last of several values of a header: that of the nearest proxy. */
function last(value: string | undefined): string | undefined {
  return value?.split(',').at(-1)?.trim()
}
