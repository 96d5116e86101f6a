// The helper process that starts commands. A spawn blocks the event loop of its process, 1 ms in a small process and 25 ms
// in one of 500 MB, so the router never spawns. Each command leads a process group of its own, which is ended as a whole;
// when the router is gone, even by kill -9, the channel closes and every group is killed. Should this process itself be
// killed, the kernel kills the commands that it started (setpriv --pdeathsig, where there is such a thing).
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { End, PendingOutput, type OutputChunk } from './pending-output.ts'

export interface SpawnOrder {
  kind: 'spawn'
  id: string
  argv: string[]
  cwd: string | null
  env: Record<string, string>
  input: string
  /** of standard output, in the report */
  max_stdout_bytes: number
  /** everything that it prints is handed over while it runs, of which so many bytes may wait; absent: nothing is */
  pending_bytes?: number
}
export type SpawnerOrder =
  | SpawnOrder
  | { kind: 'end'; id: string; grace_ms: number }
  | { kind: 'pause' | 'resume'; id: string }
  /** the router has stored what was handed over last */
  | { kind: 'stored'; id: string }

/** What a command printed, handed over while it runs. */
export interface SpawnerOutput {
  kind: 'output'
  id: string
  chunks: OutputChunk[]
  /** whether more of it waits already */
  more: boolean
}

export interface SpawnerReport {
  kind: 'report'
  id: string
  /** only that the process has begun; how it ended comes in a report of its own */
  began?: true
  /** null where the process did not even start */
  exit: { code: number | null; signal: string | null } | null
  error: { code: string; message: string } | null
  /** the end of standard output */
  stdout: string
  /** whether there was more of standard output */
  truncated: boolean
  /** the end of standard error */
  stderr: string
  /** the end of all that was printed, both streams as they came */
  tail: string
}

/** A report of a command that printed nothing. */
function reportOf(id: string, said: Partial<SpawnerReport>): SpawnerReport {
  return {
    kind: 'report',
    id,
    exit: null,
    error: null,
    stdout: '',
    truncated: false,
    stderr: '',
    tail: '',
    ...said,
  }
}

/** Children of the child may hold its pipes open; its output is waited for no longer than this after its end. */
const drainMs = 100

const groups = new Map<string, ChildProcess>()
/** Leaders that were told to end: what they leave behind is killed when their grace is over, or with this process. */
const ending = new Set<number>()

const setpriv = ['/usr/bin/setpriv', '/bin/setpriv'].find(path => existsSync(path))
const wrapper = setpriv === undefined ? [] : [setpriv, '--pdeathsig', 'KILL', '--']

function say(message: SpawnerReport | SpawnerOutput): void {
  if (process.connected) process.send!(message)
}

function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal)
  } catch {
    // It has ended.
  }
}

const maxStderrBytes = 2048
/** More than is kept with the attempt, so that a secret at its beginning is whole. */
const maxTailBytes = 65_536
/** How long output waits for more of it. */
const batchMs = 100
const batchBytes = 262_144

/** Hands over what a command prints: one batch at a time, and the next when that one is stored. */
class Handover {
  readonly #id: string
  readonly #pending: PendingOutput
  #timer: NodeJS.Timeout | undefined
  #isUnderWay = false

  constructor(id: string, pendingBytes: number) {
    this.#id = id
    this.#pending = new PendingOutput(pendingBytes, () => performance.now())
  }

  add(stream: OutputChunk['stream'], chunk: Buffer): void {
    this.#pending.add(stream, chunk)
    if (!this.#isUnderWay) this.#timer ??= setTimeout(() => this.#send(), batchMs)
  }

  #send(): void {
    this.#timer = undefined
    if (this.#pending.isEmpty) return
    this.#isUnderWay = true
    const chunks = this.#pending.take(batchBytes)
    say({ kind: 'output', id: this.#id, chunks, more: !this.#pending.isEmpty })
  }

  stored(): void {
    const isBehind = this.#isUnderWay && !this.#pending.isEmpty
    this.#isUnderWay = false
    if (isBehind) this.#send()
  }

  /** The command is over: what is left goes at once. */
  end(): void {
    clearTimeout(this.#timer)
    while (!this.#pending.isEmpty) this.#send()
  }
}

const handovers = new Map<string, Handover>()

/** Reads what a command prints; answers what the report has of it. */
function reading(
  child: ChildProcess,
  { id, max_stdout_bytes, pending_bytes }: SpawnOrder,
): () => Pick<SpawnerReport, 'stdout' | 'truncated' | 'stderr' | 'tail'> {
  const ends = { stdout: new End(max_stdout_bytes), stderr: new End(maxStderrBytes) }
  const tail = new End(maxTailBytes)
  const handover = pending_bytes === undefined ? undefined : new Handover(id, pending_bytes)
  if (handover !== undefined) handovers.set(id, handover)
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream]!.on('data', (chunk: Buffer) => {
      ends[stream].add(chunk)
      tail.add(chunk)
      handover?.add(stream, chunk)
    })
  }
  return () => {
    handover?.end()
    handovers.delete(id)
    const [stdout, stderr, end] = [ends.stdout, ends.stderr, tail].map(of => of.bytes().toString('utf8')) as [
      string,
      string,
      string,
    ]
    return { stdout, truncated: ends.stdout.total > max_stdout_bytes, stderr, tail: end }
  }
}

/** The wrapper would hide that a program is not there. */
function assertExecutable(program: string, env: Record<string, string>): void {
  const places = program.includes('/')
    ? [program]
    : (env.PATH ?? '').split(':').map(directory => `${directory}/${program}`)
  for (const place of places) {
    const found = statSync(place, { throwIfNoEntry: false })
    if (found?.isFile() === true && (found.mode & 0o111) !== 0) return
  }
  throw Object.assign(new Error(`${program} is not there or not executable`), { code: 'ENOENT' })
}

/** spawn would name the program for a directory that is missing. */
function assertCwd(cwd: string | null): void {
  if (cwd === null) return
  const found = statSync(cwd, { throwIfNoEntry: false })
  if (found?.isDirectory() === true) return
  const what = found === undefined ? 'does not exist' : 'is not a directory'
  throw Object.assign(new Error(`the working directory ${cwd} of the command ${what}`), { code: 'E_CWD' })
}

function start(order: SpawnOrder): void {
  let child: ChildProcess
  const failed = (error: unknown): void => {
    const { code = 'error', message } = error as NodeJS.ErrnoException
    say(reportOf(order.id, { error: { code, message } }))
  }
  try {
    assertCwd(order.cwd)
    assertExecutable(order.argv[0]!, order.env)
    const [program = '', ...args] = [...wrapper, ...order.argv]
    child = spawn(program, args, {
      cwd: order.cwd ?? undefined,
      env: order.env,
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
      shell: false,
    })
  } catch (error) {
    // Arguments that are too long or hold a NUL throw at once.
    return failed(error)
  }
  if (child.pid === undefined) {
    child.once('error', failed)
    return undefined
  }
  groups.set(order.id, child)
  say(reportOf(order.id, { began: true }))
  const printed = reading(child, order)
  child.on('error', () => undefined)
  child.on('exit', (code, signal) => {
    const report = (): void => {
      clearTimeout(timer)
      groups.delete(order.id)
      for (const pipe of [child.stdin, child.stdout, child.stderr]) pipe!.destroy()
      say(reportOf(order.id, { exit: { code, signal }, ...printed() }))
    }
    const timer = setTimeout(report, drainMs)
    child.once('close', report)
  })
  // A command need not read its input.
  child.stdin!.on('error', () => undefined)
  child.stdin!.end(order.input)
  return undefined
}

function end(id: string, graceMs: number): void {
  const child = groups.get(id)
  if (child === undefined) return
  const { pid } = child
  ending.add(pid!)
  signalGroup(pid, 'SIGTERM')
  // What is stopped cannot end before it goes on.
  signalGroup(pid, 'SIGCONT')
  setTimeout(() => {
    ending.delete(pid!)
    signalGroup(pid, 'SIGKILL')
  }, graceMs)
}

function endAll(): void {
  for (const { pid } of groups.values()) signalGroup(pid, 'SIGKILL')
  for (const pid of ending) signalGroup(pid, 'SIGKILL')
}

function obey(order: SpawnerOrder): void {
  switch (order.kind) {
    case 'spawn':
      return start(order)
    case 'end':
      return end(order.id, order.grace_ms)
    case 'pause':
      return signalGroup(groups.get(order.id)?.pid, 'SIGSTOP')
    case 'resume':
      return signalGroup(groups.get(order.id)?.pid, 'SIGCONT')
    case 'stored':
      return handovers.get(order.id)?.stored()
  }
}

process.on('message', obey)
process.on('exit', endAll)
process.on('disconnect', () => process.exit(0))
// Signals from the terminal are the router's to answer: it ends its commands and then closes the channel.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)
