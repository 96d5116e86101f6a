// Where things are unless something says otherwise; the router and its command line must agree on it.
import { mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'

export type Environment = Record<string, string | undefined>

/**
 * Makes a directory of mode 0700 with its parents, one by one: making them all in one call never ends below /proc.
 * Throws what the system says (EACCES, ENOTDIR, ENOENT).
 */
export function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return
    if (code !== 'ENOENT' || dirname(path) === path) throw error
    makeDirectory(dirname(path))
    mkdirSync(path, { mode: 0o700 })
  }
}

/** $SIGNALBOX_STATE_DIR, else $XDG_STATE_HOME/signalbox, else ~/.local/state/signalbox. */
export function defaultStateDir(env: Environment): string {
  if (env.SIGNALBOX_STATE_DIR) return resolve(env.SIGNALBOX_STATE_DIR)
  return env.XDG_STATE_HOME
    ? join(env.XDG_STATE_HOME, 'signalbox')
    : join(env.HOME || homedir(), '.local', 'state', 'signalbox')
}

/** $SIGNALBOX_SOCKET, else below $PATH_SOCKET, else below $XDG_RUNTIME_DIR, else in the state directory. */
export function defaultSocket(env: Environment, stateDir: string): string {
  if (env.SIGNALBOX_SOCKET) return resolve(env.SIGNALBOX_SOCKET)
  if (env.PATH_SOCKET) return join(env.PATH_SOCKET, 'signalbox', 'rpc.sock')
  return env.XDG_RUNTIME_DIR ? join(env.XDG_RUNTIME_DIR, 'signalbox', 'rpc.sock') : join(stateDir, 'rpc.sock')
}

/** Where the sockets of running commands are. */
export function commandSocketRoot(stateDir: string): string {
  return join(stateDir, 'sockets')
}

/** Where the context files of commands that run stand. */
export function contextRoot(stateDir: string): string {
  return join(stateDir, 'contexts')
}
