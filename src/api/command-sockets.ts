// A socket for each command that runs: the same two framings as the control socket, limited to the command's own run.
//
// They are in a private directory of the router. Each has a name of its own that is never used again: a process that a
// command left behind must not reach the run of another one under the path that it knows.
import { randomBytes } from 'node:crypto'
import { lstatSync, mkdtempSync, readlinkSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { ExitError, exitCodes } from '../errors.ts'
import { makeDirectory } from '../paths.ts'
import type { Store } from '../store/store.ts'
import { CommandAccess, type OwnRun } from './command-access.ts'
import { longestMessage, RpcServer, type RpcServerOptions, type SocketLimits } from './rpc-server.ts'
import { maxPathBytes } from './unix-socket.ts'

/** Bytes in the name of a socket: 8 characters as base64url, with the slash before them 9. */
const nameBytes = 6
const longestDirectory = maxPathBytes - 9
const temporaryPrefix = 'signalbox-'

export interface CommandSocket {
  path: string
  /** Closes it with all of its connections. */
  close(): Promise<void>
}

export interface CommandSocketsOptions extends Omit<RpcServerOptions, 'socket' | 'access' | 'limits'> {
  /** where the sockets are, or where a link to them is */
  root: string
  store: Pick<Store, 'run' | 'event'>
}

/** Removes what a router that is gone left behind. Only the holder of the single-instance lock may call this. */
function clear(root: string): void {
  const found = lstatSync(root, { throwIfNoEntry: false })
  if (found?.isSymbolicLink() === true) {
    const target = readlinkSync(root)
    const known = basename(target).startsWith(temporaryPrefix)
      ? lstatSync(target, { throwIfNoEntry: false })
      : undefined
    // The link is our own, but what it leads to must still be the directory that was made for it.
    if (known?.isDirectory() === true && known.uid === process.getuid!())
      rmSync(target, { recursive: true, force: true })
  }
  rmSync(root, { recursive: true, force: true })
}

/** A directory whose path leaves room for names of sockets: the root, or where that is too long, one that the root links to. */
function prepare(root: string): string {
  clear(root)
  if (Buffer.byteLength(root) <= longestDirectory) {
    makeDirectory(root)
    return root
  }
  const path = join(tmpdir(), `${temporaryPrefix}XXXXXX`)
  if (Buffer.byteLength(path) > longestDirectory) {
    throw new ExitError(
      exitCodes.configuration,
      `the sockets of commands need a directory with a path of at most ${longestDirectory} bytes; ${root} and ${dirname(path)} are too long. Set SIGNALBOX_STATE_DIR or TMPDIR to a shorter path`,
    )
  }
  const made = mkdtempSync(path.slice(0, -'XXXXXX'.length))
  symlinkSync(made, root)
  return made
}

export class CommandSockets {
  readonly #options: CommandSocketsOptions
  readonly #limits: SocketLimits
  #directory: string | undefined

  constructor(options: CommandSocketsOptions) {
    this.#options = options
    const { max_inflight_body_bytes: most } = options.config
    // A command has few connections, and little memory beside that of all others together, but any single message fits.
    this.#limits = {
      connections: 16,
      in_flight: 16,
      held_bytes: Math.min(most, Math.max(longestMessage(options.config), most / 8)),
    }
  }

  /** Throws ExitError where no directory has a path that is short enough. */
  start(): void {
    this.#directory ??= prepare(this.#options.root)
  }

  /** After the last attempt. */
  stop(): void {
    if (this.#directory === undefined) return
    this.#directory = undefined
    clear(this.#options.root)
  }

  /** Opens the socket of an attempt. Throws ExitError where it cannot be bound. */
  async open(own: OwnRun): Promise<CommandSocket> {
    if (this.#directory === undefined) throw new Error('the sockets of commands are not started')
    const access = new CommandAccess(own, this.#options.store)
    const server = new RpcServer({
      ...this.#options,
      socket: join(this.#directory, randomBytes(nameBytes).toString('base64url')),
      access,
      limits: this.#limits,
    })
    const path = await server.start()
    return {
      path,
      close: () => {
        access.end()
        return server.stop(true)
      },
    }
  }
}
