// Configuration in: flags over environment over file over the defaults of schemas/config.schema.json.
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Config } from './contract/types.ts'
import { validateConfig } from './contract/validators.ts'
import { ExitError, exitCodes } from './errors.ts'

export type Environment = Record<string, string | undefined>

const fromEnvironment: Record<string, keyof Config> = {
  SIGNALBOX_STATE_DIR: 'state_dir',
  SIGNALBOX_SOCKET: 'socket',
  SIGNALBOX_INTAKE_ADDRESS: 'intake_address',
  SIGNALBOX_LOG_LEVEL: 'log_level',
}

/** Where things are kept unless something says otherwise. */
export function defaultStateDir(env: Environment): string {
  if (env.SIGNALBOX_STATE_DIR) return resolve(env.SIGNALBOX_STATE_DIR)
  return env.XDG_STATE_HOME ? join(env.XDG_STATE_HOME, 'signalbox') : join(env.HOME || homedir(), '.local', 'state', 'signalbox')
}

/** The control socket that router and command line agree on. */
export function defaultSocket(env: Environment, stateDir: string): string {
  if (env.SIGNALBOX_SOCKET) return resolve(env.SIGNALBOX_SOCKET)
  if (env.PATH_SOCKET) return join(env.PATH_SOCKET, 'signalbox', 'rpc.sock')
  return env.XDG_RUNTIME_DIR ? join(env.XDG_RUNTIME_DIR, 'signalbox', 'rpc.sock') : join(stateDir, 'rpc.sock')
}

function readFile(path: string): Record<string, unknown> {
  const complain = (why: string): ExitError => new ExitError(exitCodes.configuration, `the configuration file ${path} ${why}`)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw complain(`cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch (error) {
    throw complain(`is not valid JSON: ${(error as Error).message}`)
  }
  throw complain('must hold a JSON object')
}

/**
 * The whole configuration. flags are keys of the schema, as strings or values; config names the file.
 * Throws ExitError 78 with the key, what was expected and what was found.
 */
export function readConfig(env: Environment, flags: Record<string, unknown>): Config {
  if (env.NODE_TLS_REJECT_UNAUTHORIZED === '0') {
    throw new ExitError(exitCodes.configuration, 'NODE_TLS_REJECT_UNAUTHORIZED=0 switches certificate checks off everywhere; unset it')
  }
  const { config: file = env.SIGNALBOX_CONFIG, ...own } = flags
  const merged: Record<string, unknown> = typeof file === 'string' ? readFile(file) : {}
  for (const [name, key] of Object.entries(fromEnvironment)) if (env[name]) merged[key] = env[name]
  for (const [key, value] of Object.entries(own)) if (value !== undefined) merged[key] = value
  const state_dir = resolve(String(merged.state_dir ?? defaultStateDir(env)))
  const socket = merged.socket ?? defaultSocket(env, state_dir)
  const checked = validateConfig({ ...merged, state_dir, socket })
  if (!checked.ok) throw new ExitError(exitCodes.configuration, `configuration: ${checked.path} ${checked.message}`)
  return checked.value
}
