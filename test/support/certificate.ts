// Certificates for tests of TLS, made by openssl.
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync } from 'node:fs'
import { join } from 'node:path'

export const hasOpenssl = spawnSync('openssl', ['version']).status === 0

export interface Certificate {
  cert: string
  key: string
}

/** A certificate with its key, signed by itself, for localhost and for further addresses. */
export function certificate(directory: string, name: string, addresses: readonly string[] = []): Certificate {
  const [cert, key] = [join(directory, `${name}.crt`), join(directory, `${name}.key`)]
  const names = ['DNS:localhost', 'IP:127.0.0.1', ...addresses.map(each => `IP:${each}`)].join(',')
  const made = [
    '-keyout',
    key,
    '-out',
    cert,
    '-days',
    '1',
    '-subj',
    `/CN=${name}`,
    '-addext',
    `subjectAltName=${names}`,
  ]
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', ...made],
    { stdio: 'ignore' },
  )
  chmodSync(key, 0o600)
  return { cert, key }
}
