import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { freshDirectory } from '../support/router.ts'

/** A named pipe: a command that reads it prints what a test writes, when the test writes it. */
export function mkfifoSync(): string {
  const path = join(freshDirectory(), 'pipe')
  execFileSync('mkfifo', [path])
  return path
}
