// Configuration in: flags over environment over file over the defaults of schemas/config.schema.json.
import { resolve } from 'node:path'
import { budgetRefusal } from './contract/budgets.ts'
import type { Config } from './contract/types.ts'
import { configSchema } from './contract/document.ts'
import { validateConfig } from './contract/validators.ts'
import { ExitError, exitCodes } from './errors.ts'
import { durationOf, withDurations } from './durations.ts'
import { doubledKey } from './json-text.ts'
import { edits } from './nearest-id.ts'
import { FileError, readPlainFile } from './plain-file.ts'
import { validationError, type ValidationErrorParts } from './validation-error.ts'
import { defaultSocket, defaultStateDir, type Environment } from './paths.ts'

const mostConfigBytes = 1_048_576

function readFile(path: string): Record<string, unknown> {
  const complain = (why: string): ExitError =>
    new ExitError(exitCodes.configuration, `the configuration file ${path} ${why}`)
  let text: string
  try {
    text = readPlainFile(path, { most_bytes: mostConfigBytes, descriptors: true }).bytes.toString('utf8')
  } catch (error) {
    if (!(error instanceof FileError)) throw error
    throw new ExitError(exitCodes.configuration, `the configuration file ${error.message}`)
  }
  try {
    const value: unknown = JSON.parse(text)
    const doubled = doubledKey(Buffer.from(text))
    if (doubled !== undefined)
      throw complain(`has the key ${doubled} twice, of which the first would be lost`)
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>
  } catch (error) {
    if (error instanceof ExitError) throw error
    throw complain(`is not valid JSON: ${(error as Error).message}`)
  }
  throw complain('must hold a JSON object')
}

/** The error of a wrong value. place: where it was written. */
function refused(place: string, parts: ValidationErrorParts): ExitError {
  const { path, message } = validationError(parts)
  return new ExitError(exitCodes.configuration, `${place}: ${path} ${message}`)
}

/** The tools that are denied before the configuration adds any. */
export function defaultDeniedTools(): string[] {
  return (configSchema().properties as unknown as { denied_tools: { default: string[] } }).denied_tools
    .default
}

/** The default and what is added to it. Throws ExitError where an entry could never match a tool. */
function deniedTools(given: readonly string[]): string[] {
  const wrong = given.findIndex(entry => !/^[ -~]*[A-Za-z0-9*][ -~]*$/.test(entry) || /[()]/.test(entry))
  if (wrong >= 0) {
    const expected =
      'must be a word (shell), a name (TaskOutput) or a pattern with * (mcp__git__*), in ASCII and without arguments'
    throw refused('configuration', {
      path: `denied_tools.${wrong}`,
      expected,
      found: JSON.stringify(given[wrong]),
    })
  }
  return [...new Set([...defaultDeniedTools(), ...given])]
}

/** Throws ExitError for an entry that is not an origin. The schema says the same, but as a pattern that a reader must decode. */
function assertFrameAncestors(given: unknown): void {
  if (!Array.isArray(given)) return
  const { pattern } = (
    configSchema().properties as unknown as { frame_ancestors: { items: { pattern: string } } }
  ).frame_ancestors.items
  const isOrigin = (entry: string): boolean =>
    entry === "'self'" || (new RegExp(pattern).test(entry) && URL.canParse(entry))
  const wrong = given.findIndex(entry => typeof entry === 'string' && !isOrigin(entry))
  if (wrong < 0) return
  const expected =
    "must be 'self' or an http or https origin in lower case, such as https://term.example.org or http://127.0.0.1:7681, without a path, a wildcard, spaces, ; or ,"
  throw refused('configuration', {
    path: `frame_ancestors.${wrong}`,
    expected,
    found: JSON.stringify(given[wrong]),
  })
}

/** Throws ExitError for an address that is a URL: it would be taken for the path of a socket. */
function assertAddress(value: unknown, key: string, place: string): void {
  if (typeof value !== 'string' || !/^[a-z][a-z0-9+.-]*:\/\//i.test(value)) return
  const suggestion = URL.canParse(value) ? `did you mean ${JSON.stringify(new URL(value).host)}?` : undefined
  const expected = 'must be host:port or the path of a socket'
  throw refused(place, { path: key, expected, found: JSON.stringify(value), suggestion })
}

/** The variable that sets a key. */
function variableOf(key: string): string {
  return `SIGNALBOX_${key.toUpperCase()}`
}

/** A variable as a value of its key's type; a text of another type stays, and is refused with its key. */
function valueOf(text: string, key: string, type: unknown): unknown {
  if (type === 'integer') {
    if (/^-?\d{1,15}$/.test(text)) return Number(text)
    return (key.endsWith('_ms') ? durationOf(text) : undefined) ?? text
  }
  if (type === 'boolean') return { true: true, 1: true, false: false, 0: false }[text] ?? text
  return text
}

/** Keys of the configuration that a variable sets: texts, numbers, and true or false. Throws ExitError for a misspelt variable. */
function fromEnvironment(env: Environment): Record<string, unknown> {
  const properties = configSchema().properties as Record<string, { type?: unknown }>
  const keys = Object.keys(properties).filter(
    key => !['object', 'array', undefined].includes(properties[key]!.type as string),
  )
  const variables = keys.map(variableOf)
  for (const name of Object.keys(env)) {
    if (!name.startsWith('SIGNALBOX_') || variables.includes(name) || otherVariables.has(name)) continue
    const meant = variables.find(each => edits(each, name) <= mostTypos)
    if (meant !== undefined)
      throw refused('the environment', {
        path: name,
        expected: 'must be a known variable',
        found: JSON.stringify(name),
        suggestion: `did you mean ${meant}?`,
      })
  }
  const set = keys.filter(key => (env[variableOf(key)] ?? '') !== '')
  return Object.fromEntries(set.map(key => [key, valueOf(env[variableOf(key)]!, key, properties[key]!.type)]))
}

/** Variables of the program that are no keys of the configuration. */
const otherVariables = new Set(['SIGNALBOX_CONFIG', 'SIGNALBOX_ADMIN_TOKEN', 'SIGNALBOX_ADMIN_TOKEN_FILE'])
/** Letters by which a misspelt variable differs at most. */
const mostTypos = 2

/**
 * The whole configuration. flags are keys of the schema, as strings or values; config names the file.
 * Throws ExitError 78 with the key, what was expected and what was found.
 */
export function readConfig(env: Environment, flags: Record<string, unknown>): Config {
  if (env.NODE_TLS_REJECT_UNAUTHORIZED === '0') {
    throw new ExitError(
      exitCodes.configuration,
      'NODE_TLS_REJECT_UNAUTHORIZED=0 switches certificate checks off everywhere; unset it',
    )
  }
  const { config: file = env.SIGNALBOX_CONFIG || undefined, ...own } = flags
  const written = typeof file === 'string' ? (withDurations(readFile(file)) as Record<string, unknown>) : {}
  const variables = fromEnvironment(env)
  const flagged = Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined))
  const merged: Record<string, unknown> = { ...written, ...variables, ...flagged }
  /** Where a key was written, for an error. */
  const placeOf = (path: string): string => {
    const key = path.split('.')[0]!
    if (Object.hasOwn(flagged, key)) return 'configuration'
    if (Object.hasOwn(variables, key)) return `configuration (${variableOf(key)})`
    return Object.hasOwn(written, key) ? `the configuration file ${file as string}` : 'configuration'
  }
  const state_dir = typeof merged.state_dir === 'string' ? resolve(merged.state_dir) : defaultStateDir(env)
  const socket = merged.socket ?? defaultSocket(env, state_dir)
  assertFrameAncestors(merged.frame_ancestors)
  for (const key of ['intake_address', 'admin_address', 'socket'])
    assertAddress(merged[key], key, placeOf(key))
  const checked = validateConfig({ ...merged, state_dir, socket })
  if (!checked.ok)
    throw new ExitError(
      exitCodes.configuration,
      `${placeOf(checked.path)}: ${checked.path} ${checked.message}`,
    )
  const refusal = budgetRefusal(checked.value.budget, ['router', 'bot'])
  if (refusal !== undefined)
    throw new ExitError(exitCodes.configuration, `configuration: budget${refusal.path} ${refusal.message}`)
  return { ...checked.value, denied_tools: deniedTools(checked.value.denied_tools) }
}
