// Binding a Unix socket at a free path: private from its first moment, and never over a living one.
import { chmodSync, lstatSync, statSync, unlinkSync } from 'node:fs'
import { connect, type Server } from 'node:net'
import { dirname, resolve } from 'node:path'
import { ExitError, exitCodes } from '../errors.ts'
import { makeDirectory } from '../paths.ts'

/** libuv binds up to 108 bytes without the closing zero that others expect; beyond, older versions cut off silently. */
export const maxPathBytes = 107

function assertDirectory(path: string): void {
  const directory = dirname(path)
  try {
    makeDirectory(directory)
  } catch (error) {
    throw new ExitError(
      exitCodes.permissions,
      `the directory ${directory} cannot be made (${(error as NodeJS.ErrnoException).code}); set SIGNALBOX_SOCKET to a path in one that can`,
    )
  }
  const { uid, mode } = statSync(directory)
  const others = (mode & 0o022) !== 0
  if (uid !== process.getuid!() || others) {
    throw new ExitError(
      exitCodes.permissions,
      `${directory} ${others ? 'can be written by others' : 'belongs to another user'}, so the socket in it could be replaced; use a directory of mode 0700 that is yours`,
    )
  }
}

function answers(path: string): Promise<boolean> {
  const { promise, resolve: done } = Promise.withResolvers<boolean>()
  const probe = connect(path)
  probe.once('connect', () => done(true))
  probe.once('error', (error: NodeJS.ErrnoException) =>
    done(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
  )
  return promise.finally(() => probe.destroy())
}

/** Removes the socket of a router that is gone. Only the holder of the single-instance lock may call this. */
async function clear(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return
  if (!found.isSocket())
    throw new ExitError(
      exitCodes.cannotCreateSocket,
      `${path} is there and is no socket; move it away or set SIGNALBOX_SOCKET to another path`,
    )
  if (await answers(path))
    throw new ExitError(
      exitCodes.cannotCreateSocket,
      `another program listens on ${path}; stop it or set SIGNALBOX_SOCKET to another path`,
    )
  unlinkSync(path)
}

/**
 * Lets a server listen on a socket of mode 0600 in a directory that only its owner can write.
 * Throws ExitError 78 (path too long), 77 (directory not ours) or 73 (something else is there).
 */
export async function listenUnix(server: Server, given: string): Promise<string> {
  const path = resolve(given)
  const bytes = Buffer.byteLength(path)
  if (bytes > maxPathBytes || given.startsWith('\0')) {
    throw new ExitError(
      exitCodes.configuration,
      `a socket path has at most ${maxPathBytes} bytes, ${path} has ${bytes}; set SIGNALBOX_SOCKET to a shorter one`,
    )
  }
  assertDirectory(path)
  await clear(path)
  const { promise, resolve: done, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  // The mode counts from the moment of binding, and binding happens within this call.
  const before = process.umask(0o177)
  try {
    server.listen({ path }, done)
  } finally {
    process.umask(before)
  }
  try {
    await promise
  } catch (error) {
    throw new ExitError(
      exitCodes.cannotCreateSocket,
      `${path} cannot be bound (${(error as NodeJS.ErrnoException).code})`,
    )
  }
  server.off('error', reject)
  chmodSync(path, 0o600)
  return path
}
