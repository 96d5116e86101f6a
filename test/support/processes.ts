// Processes that a test starts, and that end with it.
import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { onTestFinished } from 'vitest'

/** What every process of ours is given: where programs are, and where compiled code is kept (each router of a fresh directory would compile its own, for a second). */
export const ownEnvironment: Record<string, string | undefined> = {
  PATH: process.env.PATH,
  NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE,
}

export function child(command: string[], env: Record<string, string> = {}): ChildProcess {
  const started = spawn(process.execPath, command, {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...ownEnvironment, ...env },
  })
  onTestFinished(() => void started.kill('SIGKILL'))
  return started
}

export function firstLine(of: ChildProcess): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  createInterface(of.stdout!).once('line', resolve)
  of.once('exit', code => reject(new Error(`it ended with ${code} before it said a word`)))
  return promise
}
