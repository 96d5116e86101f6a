// The admin token comes from the environment, or from a file that the environment names. It is not part of the configuration, which
// callers can read.
import type { SecretRef } from '../contract/types.ts'
import { ExitError, exitCodes } from '../errors.ts'
import type { Environment } from '../paths.ts'
import type { SecretAnswer } from '../secrets.ts'
import type { Parts } from './parts.ts'

const shortest = 32
const inEnvironment = 'SIGNALBOX_ADMIN_TOKEN'
const inFile = 'SIGNALBOX_ADMIN_TOKEN_FILE'

function refusal(message: string): ExitError {
  return new ExitError(exitCodes.configuration, message)
}

function given(env: Environment): SecretRef | undefined {
  const file = env[inFile]
  if (env[inEnvironment] === undefined) return file === undefined ? undefined : { file }
  if (file !== undefined) throw refusal(`${inEnvironment} and ${inFile} are both set; set only one of them`)
  return { env: inEnvironment }
}

/** Why a token is invalid; undefined: it is valid. */
function wrong(answer: SecretAnswer): string | undefined {
  if (!answer.ok) return answer.reason
  if (answer.value.length < shortest || !/^[!-~]+$/.test(answer.value.toString('latin1')))
    return `an admin token must have at least ${shortest} visible ASCII characters; create one with: head -c 32 /dev/urandom | base64`
  return undefined
}

/**
 * A reader of the admin token; undefined if none is configured. The reader reads the file again, so that a new token works without a
 * restart; it answers undefined while the token cannot be read. Throws ExitError 78 for an invalid token at the start.
 */
export function adminToken({
  env,
  readSecret,
  log,
}: Pick<Parts, 'env' | 'readSecret' | 'log'>): (() => Buffer | undefined) | undefined {
  const ref = given(env)
  if (ref === undefined) return undefined
  const name = ref.file === undefined ? inEnvironment : inFile
  const why = wrong(readSecret(ref))
  if (why !== undefined) throw refusal(`${name}: ${why}`)
  let told: string | undefined
  return () => {
    const answer = readSecret(ref)
    const found = wrong(answer)
    if (found !== undefined && found !== told) log.warn('admin.no_token', { detail: `${name}: ${found}` })
    told = found
    return answer.ok && found === undefined ? answer.value : undefined
  }
}
