// The package as a person gets it: packed, and installed into an empty directory.
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Installed {
  /** where it was installed */
  directory: string
  /** the command */
  program: string
  /** paths in the package */
  files: string[]
  remove: () => void
}

interface Finished {
  code: number
  out: string
  err: string
}

/** Runs a program to its end. */
export function finished(
  command: readonly string[],
  cwd: string,
  env: Record<string, string | undefined>,
): Promise<Finished> {
  const { promise, resolve } = Promise.withResolvers<Finished>()
  execFile(command[0]!, command.slice(1), { cwd, env, maxBuffer: 64 * 1024 * 1024 }, (error, out, err) =>
    resolve({ code: error === null ? 0 : Number(error.code), out, err }),
  )
  return promise
}

/**
 * npm of this machine as scripts/setup runs it, so that it finds the same configuration (run by another Node it would look for the
 * global one elsewhere). Nothing that it installs runs a script, so its Node may be an old one.
 */
function npm(args: readonly string[], cwd: string): Promise<Finished> {
  return finished(['npm', ...args], cwd, process.env)
}

/** Answers why not, where the registry that npm is configured for cannot be reached. Throws Error for every other failure. */
export async function installed(): Promise<Installed | string> {
  const root = mkdtempSync(join(tmpdir(), 'sb-package-'))
  const remove = (): void => rmSync(root, { recursive: true, force: true })
  const directory = join(root, 'here')
  mkdirSync(directory)
  const packed = await npm(['pack', '--json', '--silent', '--pack-destination', root], process.cwd())
  if (packed.code !== 0) throw new Error(`npm pack failed: ${packed.err}`)
  // What prepack prints goes before it.
  const [{ filename, files }] = JSON.parse(packed.out.slice(packed.out.indexOf('[\n'))) as [
    { filename: string; files: { path: string }[] },
  ]
  writeFileSync(
    join(directory, 'package.json'),
    JSON.stringify({ name: 'here', private: true, type: 'module' }),
  )
  const done = await npm(
    [
      'install',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--prefer-offline',
      '--fetch-retries=1',
      '--fetch-retry-mintimeout=200',
      '--fetch-retry-maxtimeout=1000',
      '--fetch-timeout=20000',
      join(root, filename),
    ],
    directory,
  )
  if (done.code !== 0) {
    remove()
    if (
      /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ENETUNREACH|ETIMEDOUT|ENOTCACHED|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_GET_ISSUER_CERT_LOCALLY)\b/.test(
        done.err,
      )
    )
      return `npm cannot reach its registry: ${done.err.slice(0, 300)}`
    throw new Error(`npm install failed: ${done.err}`)
  }
  return {
    directory,
    program: join(directory, 'node_modules/.bin/signalbox'),
    files: files.map(({ path }) => path),
    remove,
  }
}
