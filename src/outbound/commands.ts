// Child processes: started by a helper process, without a shell, with an environment that is made from nothing.
import { fork, type ChildProcess } from 'node:child_process'
import type { OutputChunk } from './pending-output.ts'
import type { SpawnerOrder, SpawnerOutput, SpawnerReport, SpawnOrder } from './spawner.ts'

const fixedPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
/** What a child inherits without being asked. */
const inherited = ['HOME', 'LANG', 'TZ', 'USER', 'LOGNAME']

/** The environment of a child: a fixed path, what every child inherits, and what it is named to see. */
export function childEnvironment(
  env: Record<string, string | undefined>,
  names: readonly string[],
): Record<string, string> {
  const result: Record<string, string> = { PATH: fixedPath }
  for (const name of [...inherited, ...names]) {
    const value = env[name]
    if (value !== undefined) result[name] = value
  }
  return result
}

function lost(id: string, began: boolean): SpawnerReport {
  const error = began
    ? {
        code: 'E_LOST',
        message: 'the helper process ended while the command ran; what became of it is not known',
      }
    : { code: 'E_SPAWNER', message: 'the helper process that starts commands is not there' }
  return { kind: 'report', id, exit: null, error, stdout: '', truncated: false, stderr: '', tail: '' }
}

/** Takes what a command printed, and settles when it is stored; more: whether more of it waits already. */
export type TakeOutput = (chunks: OutputChunk[], more: boolean) => Promise<void>

interface Running {
  resolve: (report: SpawnerReport) => void
  began: boolean
  take: TakeOutput | undefined
}

/** The helper process as the router sees it; started with the first command, and again when it is gone. */
export class Commands {
  #child: ChildProcess | undefined
  readonly #waiting = new Map<string, Running>()

  #ready(): ChildProcess | undefined {
    if (this.#child?.connected === true) return this.#child
    const child = fork(new URL('./spawner.ts', import.meta.url), [], {
      execArgv: [],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      serialization: 'advanced',
      env: {},
    })
    const gone = (): void => {
      if (this.#child === child) this.#child = undefined
      for (const [id, { resolve, began }] of this.#waiting) resolve(lost(id, began))
    }
    child.on('error', gone)
    child.on('exit', gone)
    if (child.pid === undefined) return undefined
    child.on('message', (message: SpawnerReport | SpawnerOutput) => {
      const own = this.#waiting.get(message.id)
      if (own === undefined) return
      if (message.kind === 'output')
        void own
          .take?.(message.chunks, message.more)
          .then(() => this.#send(child, { kind: 'stored', id: message.id }))
      else if (message.began === true) own.began = true
      else own.resolve(message)
    })
    // The router's life does not hang on its helper.
    child.unref()
    child.channel?.unref()
    this.#child = child
    return child
  }

  #send(child: ChildProcess, order: SpawnerOrder): void {
    child.send(order, error => {
      const own = this.#waiting.get(order.id)
      if (error !== null) own?.resolve(lost(order.id, own.began))
    })
  }

  /** Runs a command; the report tells how it ended. end is given a function that ends it early; take what it prints, before the report. */
  async run(
    order: SpawnOrder,
    killGraceMs: number,
    end: (ending: () => void) => void,
    take?: TakeOutput,
  ): Promise<SpawnerReport> {
    const child = this.#ready()
    if (child === undefined) return lost(order.id, false)
    const { promise, resolve } = Promise.withResolvers<SpawnerReport>()
    this.#waiting.set(order.id, { resolve, began: false, take })
    this.#send(child, order)
    end(() => this.#send(child, { kind: 'end', id: order.id, grace_ms: killGraceMs }))
    return promise.finally(() => this.#waiting.delete(order.id))
  }

  /** Pauses a command's processes or continues them; false where there is none. */
  pause(id: string, paused: boolean): boolean {
    if (this.#child?.connected !== true || this.#waiting.get(id)?.began !== true) return false
    this.#send(this.#child, { kind: paused ? 'pause' : 'resume', id })
    return true
  }

  async stop(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || !child.connected) return
    const gone = new Promise<void>(resolve => child.once('exit', () => resolve()))
    child.ref()
    child.disconnect()
    await gone
  }
}
