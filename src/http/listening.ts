// Listening on addresses of the configuration, and on sockets that systemd hands over: those keep senders waiting while a router
// is restarted, where a closed port would refuse them. sd_listen_fds(3).
import type { AddressInfo, Server } from 'node:net'
import { ExitError, exitCodes } from '../errors.ts'

const firstDescriptor = 3

/**
 * The descriptor of the socket of a name; one that has no name will do where it is the only one. Undefined where nothing was
 * handed to this process.
 */
export function handedSocket(
  env: Record<string, string | undefined>,
  pid: number,
  name: string,
): number | undefined {
  if (env.LISTEN_PID !== String(pid)) return undefined
  const count = Number(env.LISTEN_FDS)
  const names = (env.LISTEN_FDNAMES ?? '').split(':').slice(0, count)
  const at = names.indexOf(name)
  if (at >= 0) return firstDescriptor + at
  return count === 1 && (names[0] === '' || names[0] === 'unknown') ? firstDescriptor : undefined
}

function shown(bound: AddressInfo | string): string {
  return typeof bound === 'string'
    ? bound
    : `http://${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`
}

/** Resolves once a server listens; rejects with the error of the system. */
function listening(server: Server, listen: (done: () => void) => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  listen(resolve)
  return promise
}

/**
 * Listens on host:port. Returns the URL. named: the listener, its setting and its variable, for messages.
 * Throws ExitError 78 for an invalid address, and 73 if it cannot be bound.
 */
export async function listenTcp(
  server: Server,
  address: string,
  named: { name: string; setting: string; variable: string },
): Promise<string> {
  const at = address.lastIndexOf(':')
  const host = address.slice(0, at).replace(/^\[|\]$/g, '')
  const port = Number(address.slice(at + 1))
  if (at < 1 || !Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new ExitError(
      exitCodes.configuration,
      `${named.setting} must be host:port or a socket path; got ${JSON.stringify(address)}`,
    )
  }
  try {
    await listening(server, done => server.listen(port, host, done))
  } catch (error) {
    throw new ExitError(
      exitCodes.cannotCreateSocket,
      `the ${named.name} cannot listen on ${address} (${(error as NodeJS.ErrnoException).code}); set ${named.variable} to another`,
    )
  }
  return shown(server.address()!)
}

/** Listens on a socket that is already bound. Throws ExitError 73 if the descriptor is not a socket. */
export async function listenHanded(server: Server, fd: number): Promise<string> {
  try {
    await listening(server, done => server.listen({ fd }, done))
  } catch (error) {
    throw new ExitError(
      exitCodes.cannotCreateSocket,
      `what was handed over as descriptor ${fd} is no socket to listen on (${(error as NodeJS.ErrnoException).code})`,
    )
  }
  const bound = server.address()
  return bound === null ? `descriptor ${fd}` : shown(bound)
}
