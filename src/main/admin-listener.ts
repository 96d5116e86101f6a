// When the admin listener listens: from the first token on, without a restart. Before, its address is not even bound.
import { AdminServer, type AdminServerOptions, type TlsPair } from '../api/admin-server.ts'
import { isLocal } from '../api/admin-rules.ts'
import { Senders } from '../api/sender.ts'
import { listenUnix } from '../api/unix-socket.ts'
import type { Config } from '../contract/types.ts'
import { ExitError, exitCodes } from '../errors.ts'
import { listenTcp } from '../http/listening.ts'
import { readTls, type TlsFiles } from './tls-files.ts'

/** Throws ExitError 78 for an address that other machines could reach without TLS. */
function assertAddress({ admin_address, behind_proxy, tls }: Config): void {
  if (isLocal(admin_address) || behind_proxy || tls !== undefined) return
  throw new ExitError(
    exitCodes.configuration,
    `admin_address ${admin_address} is reachable from other machines, but the admin listener has no TLS; use a loopback address, set tls, or put a proxy with TLS in front of it and set behind_proxy`,
  )
}

const everywhere: ReadonlySet<string> = new Set(['0.0.0.0', '[::]'])

/** The URL of an address for browsers on this machine; undefined: it is a socket, or nothing listens. */
function localUrl(address: string | undefined): string | undefined {
  if (address?.includes('://') !== true) return undefined
  const { protocol, hostname, port } = new URL(address)
  const isHere = isLocal(`${hostname}:${port}`) || everywhere.has(hostname)
  // Other servers on the ports of 127.0.0.1 would be sent the cookie; this name has none.
  const name = !isHere ? hostname : protocol === 'http:' ? 'signalbox.localhost' : 'localhost'
  return `${protocol}//${name}${port === '' ? '' : `:${port}`}`
}

/**
 * Links with which a browser logs in; undefined: there is no URL. The code is in the fragment: browsers do not send it, so no log has it.
 * @param address of the listener
 */
export function loginLinks(
  code: string,
  address: string | undefined,
  public_url: string | undefined,
): { url: string; public_url?: string } | undefined {
  const known = public_url?.replace(/\/+$/, '')
  const url = localUrl(address) ?? known
  if (url === undefined) return undefined
  const fragment = `/#login=${code}`
  return { url: url + fragment, ...(known === undefined ? {} : { public_url: known + fragment }) }
}

/** Throws ExitError 78 for files that cannot be used. */
function startTls(files: TlsFiles): TlsPair {
  const read = readTls(files)
  if (!read.ok) throw new ExitError(exitCodes.configuration, `tls: ${read.reason}`)
  return read
}

export class AdminListener {
  readonly #options: AdminServerOptions
  #started: Promise<AdminServer> | undefined
  /** URL or path of the socket; undefined: it does not listen */
  address: string | undefined

  constructor(options: AdminServerOptions) {
    this.#options = options
  }

  /** Throws ExitError 78 for proxies that cannot be used, also where nothing listens yet. */
  assertConfig(): void {
    try {
      void new Senders(this.#options.config)
    } catch (error) {
      throw new ExitError(exitCodes.configuration, (error as Error).message)
    }
  }

  /** Listens, if it does not listen yet. Throws ExitError; then it may be tried again. */
  async start(): Promise<void> {
    this.#started ??= this.#listen()
    try {
      await this.#started
    } catch (error) {
      this.#started = undefined
      throw error
    }
  }

  async #listen(): Promise<AdminServer> {
    const { config } = this.#options
    assertAddress(config)
    const admin = new AdminServer(this.#options, config.tls === undefined ? undefined : startTls(config.tls))
    const { admin_address: address } = config
    const bound = address.includes('/')
      ? await listenUnix(admin.server, address)
      : await listenTcp(admin.server, address, {
          name: 'admin listener',
          setting: 'admin_address',
          variable: 'SIGNALBOX_ADMIN_ADDRESS',
        })
    this.address = config.tls === undefined ? bound : bound.replace(/^http:/, 'https:')
    return admin
  }

  /** Reads the certificate again. Answers why the one from before is still used; undefined: there is a new one, or TLS is not used. */
  async renew(): Promise<string | undefined> {
    const { tls } = this.#options.config
    const admin = await this.started()
    if (tls === undefined || admin === undefined) return undefined
    const read = readTls(tls)
    if (!read.ok) return read.reason
    admin.renew(read)
    return undefined
  }

  /** The server that listens; undefined: none does. */
  async started(): Promise<AdminServer | undefined> {
    return this.#started?.catch(() => undefined)
  }
}
