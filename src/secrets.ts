// Secrets by reference: read when they are needed, never kept in the database, never in a message.
import type { SecretRef } from './contract/types.ts'
import { FileError, readPlainFile } from './plain-file.ts'
import { hiddenText, routerToken } from './redaction.ts'

/** The bytes of a secret, or why it cannot be had (without the value). */
export type SecretAnswer = { ok: true; value: Buffer } | { ok: false; reason: string }
export type ReadSecret = (ref: SecretRef) => SecretAnswer

/** How long a secret is used before it is read again, so that a changed file counts without a restart. */
const freshMs = 2000

const mostSecretBytes = 65_536

/**
 * Whether a secret file is open to others. Mounts of Docker and Kubernetes are: root owns them and only root writes them,
 * which is as private as they get for a router that is not root.
 */
export function isExposed({ mode, uid }: { mode: number; uid: number }, own_uid: number): boolean {
  const isMount = uid === 0 && own_uid !== 0 && (mode & 0o022) === 0
  return (mode & 0o077) !== 0 && !isMount
}

function readFile(path: string): SecretAnswer {
  try {
    const { bytes, stats } = readPlainFile(path, { most_bytes: mostSecretBytes })
    if (isExposed(stats, process.getuid!()))
      return { ok: false, reason: `${path} can be read by others; chmod 600 it` }
    const value = bytes.at(-1) === 0x0a ? bytes.subarray(0, bytes.at(-2) === 0x0d ? -2 : -1) : bytes
    return value.length > 0 ? { ok: true, value } : { ok: false, reason: `${path} is empty` }
  } catch (error) {
    if (!(error instanceof FileError)) throw error
    return { ok: false, reason: error.message }
  }
}

/** Shorter ones are too likely to be something else. */
const shortestHidden = 8
/** Variables that a command may be given, and print. */
const secretName = /token|secret|passw|credential|api_?key|private_?key/i

export interface Secrets {
  read: ReadSecret
  /** A text with *** for the secrets that were read so far and for variables that are named like one: for what bots and commands print. */
  redact: (text: string) => string
  /** The same secrets, for output that comes in chunks. */
  hidden: () => Iterable<Buffer>
}

/** Answers a reader of secrets over an environment; now is in milliseconds. */
export function secretsOf(env: Record<string, string | undefined>, now: () => number): Secrets {
  const reading = secretReader(env, now)
  const values = new Map<string, Buffer>()
  const known = (value: string): void => {
    if (values.has(value)) return
    // Also as it is written within JSON: a key of several lines has other characters there.
    for (const form of [value, JSON.stringify(value).slice(1, -1)]) values.set(form, Buffer.from(form))
  }
  for (const [name, value = ''] of Object.entries(env))
    if (secretName.test(name) && value.length >= shortestHidden) known(value)
  return {
    read(ref) {
      const answer = reading(ref)
      if (answer.ok && answer.value.length >= shortestHidden) known(answer.value.toString('utf8'))
      return answer
    },
    redact(text) {
      for (const value of values.keys()) if (text.includes(value)) text = text.replaceAll(value, hiddenText)
      return text.includes('sbx_') ? text.replaceAll(routerToken, hiddenText) : text
    },
    hidden: () => values.values(),
  }
}

function secretReader(env: Record<string, string | undefined>, now: () => number): ReadSecret {
  const known = new Map<string, { at: number; answer: SecretAnswer }>()
  const environment = new Map<string, { text: string; answer: SecretAnswer }>()
  return ref => {
    if (ref.env !== undefined) {
      const value = env[ref.env]
      if (value === undefined || value === '')
        return {
          ok: false,
          reason: `the environment variable ${ref.env} is ${value === '' ? 'empty' : 'not set'}`,
        }
      // The same bytes each time, so that what is derived from them can be kept.
      const held = environment.get(ref.env)
      if (held?.text === value) return held.answer
      const answer: SecretAnswer = { ok: true, value: Buffer.from(value) }
      environment.set(ref.env, { text: value, answer })
      return answer
    }
    const path = ref.file!
    const kept = known.get(path)
    const time = now()
    if (kept !== undefined && kept.answer.ok && time >= kept.at && time - kept.at < freshMs)
      return kept.answer
    const answer = readFile(path)
    known.set(path, { at: time, answer })
    return answer
  }
}
