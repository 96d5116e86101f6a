// The command line as a person or a program runs it: a process of its own, against a test's router.
import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { ownEnvironment } from './processes.ts'
import type { TestRouter } from './router.ts'

export interface Ran {
  code: number
  out: string
  err: string
}

/** Whether a command line can be run on a terminal here. */
export const hasTerminal = existsSync('/usr/bin/script')

interface OnTerminal {
  env?: Record<string, string>
  /** what is typed once a text has appeared, in this order */
  answers?: readonly (readonly [text: string, typed: string])[]
}

/** The same on a terminal of 40 rows and 200 columns. */
export function onTerminal(
  router: Pick<TestRouter, 'directory'>,
  args: readonly string[],
  { env = {}, answers = [] }: OnTerminal = {},
): Promise<Ran> {
  const command = ['stty rows 40 cols 200; exec', process.execPath, 'src/signalbox.ts', ...args].join(' ')
  const all = { ...environmentOf(router), ...env }
  const child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    env: all,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  let out = ''
  let seen = 0
  const left = [...answers]
  child.stdout.on('data', chunk => {
    out += String(chunk)
    const [text, typed] = left[0] ?? []
    if (text === undefined || !out.slice(seen).includes(text)) return
    seen = out.length
    left.shift()
    child.stdin.write(typed!)
  })
  return new Promise(resolve => child.once('close', code => resolve({ code: code ?? -1, out, err: '' })))
}

function environmentOf({ directory }: Pick<TestRouter, 'directory'>): Record<string, string | undefined> {
  return {
    ...ownEnvironment,
    HOME: directory,
    SIGNALBOX_STATE_DIR: directory,
    SIGNALBOX_SOCKET: join(directory, 'rpc.sock'),
  }
}

export function signalbox(
  router: Pick<TestRouter, 'directory'>,
  args: readonly string[],
  env: Record<string, string> = {},
  input = '',
): Promise<Ran> {
  const { promise, resolve } = Promise.withResolvers<Ran>()
  const options = { env: { ...environmentOf(router), ...env } }
  const started = execFile(process.execPath, ['src/signalbox.ts', ...args], options, (error, out, err) =>
    resolve({ code: error === null ? 0 : Number(error.code), out, err }),
  )
  started.stdin!.end(input)
  return promise
}
