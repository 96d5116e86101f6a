// The certificate of the admin listener and its key, as files. They are replaced one after the other, so a pair that does not belong
// together is not used: the one from before stays.
import { createSecureContext } from 'node:tls'
import { FileError, readPlainFile } from '../plain-file.ts'
import { isExposed } from '../secrets.ts'

const mostBytes = 1_048_576

export interface TlsFiles {
  cert: string
  key: string
}

export type TlsAnswer = { ok: true; cert: Buffer; key: Buffer } | { ok: false; reason: string }

/** Reads a certificate with its chain, and its key, both as PEM. */
export function readTls({ cert, key }: TlsFiles): TlsAnswer {
  try {
    const [chain, secret] = [cert, key].map(path => readPlainFile(path, { most_bytes: mostBytes }))
    if (isExposed(secret!.stats, process.getuid!()))
      return { ok: false, reason: `${key} can be read by others; chmod 600 it` }
    const pair = { cert: chain!.bytes, key: secret!.bytes }
    createSecureContext(pair)
    return { ok: true, ...pair }
  } catch (error) {
    if (error instanceof FileError) return { ok: false, reason: error.message }
    // The engine names neither file, and its message may quote one.
    return {
      ok: false,
      reason: `${cert} and ${key} are no certificate in PEM with the key that belongs to it (${(error as NodeJS.ErrnoException).code ?? 'invalid'})`,
    }
  }
}
