// Two network namespaces with a link between them: two machines, as far as the network goes. Each belongs to a process that waits for its
// standard input, so both end with the test, and the link with them, even if the test is killed. The network of this machine is not touched.
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readlinkSync } from 'node:fs'
import { onTestFinished } from 'vitest'
import { until } from './router.ts'

/** Why there can be no network namespaces here; undefined: there can. */
export function namespaceProblem(): string | undefined {
  for (const program of ['unshare', 'nsenter', 'setpriv', 'ip'])
    if (spawnSync(program, ['-V']).error !== undefined) return `${program} is not installed`
  // In a namespace that ends with the attempt.
  const { status, stderr } = spawnSync(
    'unshare',
    ['--net', 'ip', 'link', 'add', 'probe0', 'type', 'veth', 'peer', 'name', 'probe1'],
    { encoding: 'utf8' },
  )
  return status === 0 ? undefined : `network namespaces are not allowed: ${stderr.trim()}`
}

function namespaceOf(pid: number | 'self'): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`)
  } catch {
    return undefined
  }
}

/** What is started with this ends when the test's process does. */
const bound = ['--pdeathsig', 'KILL']

export class Namespace {
  readonly #holder: ChildProcess
  readonly #name: string

  private constructor(holder: ChildProcess, name: string) {
    this.#holder = holder
    this.#name = name
  }

  static async make(): Promise<Namespace> {
    const holder = spawn('setpriv', [...bound, 'unshare', '--net', 'cat'], {
      stdio: ['pipe', 'ignore', 'inherit'],
    })
    onTestFinished(() => void holder.kill('SIGKILL'))
    await once(holder, 'spawn')
    const own = namespaceOf('self')
    const name = await until(async () => {
      const found = namespaceOf(holder.pid!)
      return found !== own && found
    })
    return new Namespace(holder, name)
  }

  get pid(): number {
    return this.#holder.pid!
  }

  get #enter(): string[] {
    return [...bound, 'nsenter', `--net=/proc/${this.pid}/ns/net`]
  }

  /** Runs iproute2's ip in it. */
  ip(...args: string[]): void {
    execFileSync('setpriv', [...this.#enter, 'ip', ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
  }

  /** Starts a program in it. */
  start(command: readonly string[], env: Record<string, string | undefined>): ChildProcess {
    const started = spawn('setpriv', [...this.#enter, ...command], { stdio: ['ignore', 'pipe', 'pipe'], env })
    onTestFinished(() => void started.kill('SIGKILL'))
    return started
  }

  /** Processes that are in it, its holder apart. */
  processes(): number[] {
    const pids = readdirSync('/proc').filter(name => /^\d+$/.test(name))
    return pids.map(Number).filter(pid => pid !== this.pid && namespaceOf(pid) === this.#name)
  }

  /** Ends it. Its programs must have ended. */
  async end(): Promise<void> {
    const ended = once(this.#holder, 'exit')
    this.#holder.stdin!.end()
    await ended
  }
}

export interface Link {
  /** of the first and the second namespace */
  addresses: readonly [string, string]
  cut(): void
  mend(): void
}

/** Joins two namespaces. Their addresses mean something in them alone. */
export function linked(first: Namespace, second: Namespace): Link {
  const addresses = ['10.77.0.1', '10.77.0.2'] as const
  first.ip('link', 'add', 'first0', 'type', 'veth', 'peer', 'name', 'second0', 'netns', String(second.pid))
  for (const [index, namespace] of [first, second].entries()) {
    const device = ['first0', 'second0'][index]!
    namespace.ip('address', 'add', `${addresses[index]}/30`, 'dev', device)
    namespace.ip('link', 'set', 'lo', 'up')
    namespace.ip('link', 'set', device, 'up')
  }
  return {
    addresses,
    cut: () => second.ip('link', 'set', 'second0', 'down'),
    mend: () => second.ip('link', 'set', 'second0', 'up'),
  }
}
