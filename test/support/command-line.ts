// The command line as a person or a program runs it: a process of its own, against a test's router.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { ownEnvironment } from './processes.ts'
import type { TestRouter } from './router.ts'

export interface Ran {
  code: number
  out: string
  err: string
}

export function signalbox(router: Pick<TestRouter, 'directory'>, args: readonly string[], env: Record<string, string> = {}, input = ''): Promise<Ran> {
  const { promise, resolve } = Promise.withResolvers<Ran>()
  const options = {
    env: {
      ...ownEnvironment,
      HOME: router.directory,
      SIGNALBOX_STATE_DIR: router.directory,
      SIGNALBOX_SOCKET: join(router.directory, 'rpc.sock'),
      ...env,
    },
  }
  const started = execFile(process.execPath, ['src/signalbox.ts', ...args], options, (error, out, err) =>
    resolve({ code: error === null ? 0 : Number(error.code), out, err }),
  )
  started.stdin!.end(input)
  return promise
}
