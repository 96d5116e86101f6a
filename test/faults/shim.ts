// The preload shim (shim.c), built once a test run with the system's compiler, and routers that run under it.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { onTestFinished } from 'vitest'
import { ownEnvironment } from '../support/processes.ts'

const source = 'test/faults/shim.c'
let built: string | undefined | null

/** Path of the shim, built where its source has changed; undefined where there is no compiler, which is said loudly. */
export function shim(): string | undefined {
  if (built === undefined) {
    const cache = join(process.cwd(), 'node_modules', '.cache')
    const path = join(
      cache,
      `shim-${createHash('sha256').update(readFileSync(source)).digest('hex').slice(0, 16)}.so`,
    )
    mkdirSync(cache, { recursive: true })
    built = existsSync(path) || compiled(path) ? path : null
  }
  return built ?? undefined
}

/** Compiles to a name of its own first: several test files may build it at the same time. */
function compiled(path: string): boolean {
  const own = `${path}.${process.pid}`
  const { status, stderr } = spawnSync('cc', [
    '-O2',
    '-Wall',
    '-Werror',
    '-shared',
    '-fPIC',
    '-o',
    own,
    source,
    '-ldl',
    '-lpthread',
  ])
  if (status === 0) renameSync(own, path)
  else
    console.log(
      `SKIPPED: the fault shim cannot be built (${stderr === null ? 'no cc' : String(stderr)}); power loss, kill points and I/O errors were not tried`,
    )
  return status === 0
}

export interface Faults {
  trace?: string
  count?: string
  kill_at?: number
  fail_at?: number
  errno?: number
  persist?: boolean
  ops?: string
  /** a module that breaks the router on purpose: the control of an instrument */
  control?: string
  /** the router tells what inputs cost: meter.mjs */
  meter?: boolean
}

/** What the router's main thread spent. */
export interface Spent {
  cpu_ms: number
  /** longest time without a turn of the event loop */
  longest_ms: number
  /** most processor time between two turns of the event loop */
  turn_ms: number
  /** most memory in use, over what was in use before */
  bytes: number
}

export interface FaultyRouter {
  process: ChildProcess
  socket: string
  /** URL of the intake */
  intake: string
  /** false: it ended before it was ready */
  ready: boolean
  /** its exit code, or null where a signal ended it */
  ended: Promise<number | null>
  /** what it said on standard error */
  said: () => string
  /** what it spent since the last time, of a router with a meter; collect: garbage is collected before what comes next */
  spent: (collect?: boolean) => Promise<Spent>
}

/** Starts a router of a directory under the shim; answers once it is ready, or has ended. */
export async function faultyRouter(
  directory: string,
  faults: Faults = {},
  env: Record<string, string> = {},
  args: readonly string[] = [],
): Promise<FaultyRouter> {
  const state = join(directory, 'state')
  if (!existsSync(state)) mkdirSync(state, { mode: 0o700 })
  const socket = join(directory, 'rpc.sock')
  const given: Record<string, string | number | undefined> = {
    LD_PRELOAD: shim(),
    FAULT_PREFIX: join(state, 'signalbox'),
    FAULT_TRACE: faults.trace,
    FAULT_COUNT: faults.count,
    FAULT_KILL_AT: faults.kill_at,
    FAULT_FAIL_AT: faults.fail_at,
    FAULT_ERRNO: faults.errno,
    FAULT_PERSIST: faults.persist === true ? 1 : undefined,
    FAULT_OPS: faults.ops,
    ...ownEnvironment,
    SIGNALBOX_STATE_DIR: state,
    SIGNALBOX_SOCKET: socket,
    SIGNALBOX_INTAKE_ADDRESS: '127.0.0.1:0',
    SIGNALBOX_ADMIN_ADDRESS: '127.0.0.1:0',
    SIGNALBOX_LOG_LEVEL: 'warn',
    ...env,
  }
  const variables = Object.fromEntries(
    Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])),
  )
  const modules = [
    faults.control === undefined ? [] : [`controls/${faults.control}`],
    faults.meter === true ? ['meter.mjs'] : [],
  ].flat()
  const flags = modules.flatMap(name => ['--import', join(process.cwd(), 'test/faults', name)])
  if (faults.meter === true) flags.push('--expose-gc')
  const router = spawn(process.execPath, [...flags, 'src/signalbox.ts', 'serve', ...args], {
    env: variables,
    stdio: ['ignore', 'pipe', 'pipe', ...(faults.meter === true ? (['ipc'] as const) : [])],
  }) as ChildProcess & { stdout: Readable; stderr: Readable }
  onTestFinished(() => void router.kill('SIGKILL'))
  let said = ''
  router.stderr.on('data', chunk => (said += String(chunk)))
  const ended = new Promise<number | null>(resolve => router.once('exit', code => resolve(code)))
  let intake = ''
  const { promise: started, resolve } = Promise.withResolvers<boolean>()
  createInterface(router.stdout).on('line', line => {
    const found = /intake\s+(http\S+)/.exec(line)
    if (found === null) return
    intake = found[1]!
    resolve(true)
  })
  void ended.then(() => resolve(false))
  const ready = await started
  const spent = async (collect = false): Promise<Spent> => {
    const answer = once(router, 'message')
    router.send(collect ? 'collect' : 'read')
    return ((await answer) as [Spent])[0]
  }
  return { process: router, socket, intake, ready, ended, said: () => said, spent }
}
