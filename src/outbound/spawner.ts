// The helper process that starts commands. A spawn blocks the loop of whoever does it, 1 ms in a small process and 25 ms
// in one of 500 MB, so the router never spawns. Each command leads a process group of its own, which is ended as a whole;
// when the router is gone, even by kill -9, the channel closes and every group is killed. Should this process itself be
// killed, the kernel kills the commands that it started (setpriv --pdeathsig, where there is such a thing).
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'

export interface SpawnOrder {
  kind: 'spawn'
  id: string
  argv: string[]
  cwd: string | null
  env: Record<string, string>
  input: string
  max_output_bytes: number
  /** only standard output is kept, from its beginning; else the end of all that was printed */
  stdout_only?: true
}
export type SpawnerOrder = SpawnOrder | { kind: 'end'; id: string; grace_ms: number } | { kind: 'pause' | 'resume'; id: string }
export interface SpawnerReport {
  id: string
  /** only that the process has begun; how it ended comes in a report of its own */
  began?: true
  /** null where the process did not even start */
  exit: { code: number | null; signal: string | null } | null
  error: { code: string; message: string } | null
  output: string
  /** with stdout_only: the end of standard error, and whether standard output was longer */
  stderr?: string
  truncated?: boolean
}

/** Children of the child may hold its pipes open; its output is waited for no longer than this after its end. */
const drainMs = 100

const groups = new Map<string, ChildProcess>()
/** Leaders that were told to end: what they leave behind is killed when their grace is over, or with this process. */
const ending = new Set<number>()

const setpriv = ['/usr/bin/setpriv', '/bin/setpriv'].find(path => existsSync(path))
const wrapper = setpriv === undefined ? [] : [setpriv, '--pdeathsig', 'KILL', '--']

function say(report: SpawnerReport): void {
  if (process.connected) process.send!(report)
}

function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal)
  } catch {
    // It has ended.
  }
}

/** The end of everything that was printed, both streams as they came. */
function tail(child: ChildProcess, maxBytes: number): () => Kept {
  let kept = Buffer.alloc(0)
  const add = (chunk: Buffer): void => {
    kept = Buffer.concat([kept, chunk])
    if (kept.length > maxBytes) kept = kept.subarray(-maxBytes)
  }
  child.stdout!.on('data', add)
  child.stderr!.on('data', add)
  return () => ({ output: kept.toString('utf8') })
}

interface Kept {
  output: string
  stderr?: string
  truncated?: boolean
}

const maxStderrBytes = 2048

/** Standard output from its beginning, and the end of standard error. */
function apart(child: ChildProcess, maxBytes: number): () => Kept {
  const chunks: Buffer[] = []
  let [bytes, stderr] = [0, Buffer.alloc(0)]
  child.stdout!.on('data', (chunk: Buffer) => {
    if (bytes < maxBytes) chunks.push(chunk)
    bytes += chunk.length
  })
  child.stderr!.on('data', (chunk: Buffer) => (stderr = Buffer.concat([stderr, chunk]).subarray(-maxStderrBytes)))
  return () => ({ output: Buffer.concat(chunks).subarray(0, maxBytes).toString('utf8'), stderr: stderr.toString('utf8'), truncated: bytes > maxBytes })
}

/** The wrapper would hide that a program is not there. */
function assertExecutable(program: string, env: Record<string, string>): void {
  const places = program.includes('/') ? [program] : (env.PATH ?? '').split(':').map(directory => `${directory}/${program}`)
  for (const place of places) {
    const found = statSync(place, { throwIfNoEntry: false })
    if (found?.isFile() === true && (found.mode & 0o111) !== 0) return
  }
  throw Object.assign(new Error(`${program} is not there or not executable`), { code: 'ENOENT' })
}

function start(order: SpawnOrder): void {
  let child: ChildProcess
  const failed = (error: unknown): void => {
    const { code = 'error', message } = error as NodeJS.ErrnoException
    say({ id: order.id, exit: null, error: { code, message }, output: '' })
  }
  try {
    assertExecutable(order.argv[0]!, order.env)
    const [program = '', ...args] = [...wrapper, ...order.argv]
    child = spawn(program, args, { cwd: order.cwd ?? undefined, env: order.env, detached: true, stdio: ['pipe', 'pipe', 'pipe'], shell: false })
  } catch (error) {
    // Arguments that are too long or hold a NUL throw at once.
    return failed(error)
  }
  if (child.pid === undefined) {
    child.once('error', failed)
    return undefined
  }
  groups.set(order.id, child)
  say({ id: order.id, began: true, exit: null, error: null, output: '' })
  const kept = (order.stdout_only === true ? apart : tail)(child, order.max_output_bytes)
  child.on('error', () => undefined)
  child.on('exit', (code, signal) => {
    const report = (): void => {
      clearTimeout(timer)
      groups.delete(order.id)
      for (const pipe of [child.stdin, child.stdout, child.stderr]) pipe!.destroy()
      say({ id: order.id, exit: { code, signal }, error: null, ...kept() })
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
  }
}

process.on('message', obey)
process.on('exit', endAll)
process.on('disconnect', () => process.exit(0))
// Signals from the terminal are the router's to answer: it ends its commands and then closes the channel.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)
