// Backups on their way: one at a time, each in a thread of its own.
import { existsSync, statSync } from 'node:fs'
import { dirname, isAbsolute } from 'node:path'
import { Worker } from 'node:worker_threads'
import { Fault } from '../../errors.ts'
import type { BackupAnswer, BackupStart } from './backup-worker.ts'

export interface Backup {
  path: string
  bytes: number
  events: number
  runs: number
}

function assertPath(path: string): void {
  const refuse = (message: string): never => {
    throw new Fault('invalid_params', `path ${message}`, { data: { path: 'path' } })
  }
  if (!isAbsolute(path)) refuse(`is absolute; found ${JSON.stringify(path)}`)
  if (existsSync(path)) throw new Fault('conflict', `${path} is there already; a backup overwrites nothing`)
  if (statSync(dirname(path), { throwIfNoEntry: false })?.isDirectory() !== true) refuse(`is in a directory that is there; ${dirname(path)} is none`)
}

export class Backups {
  readonly #stateDir: string
  #running: Worker | undefined

  constructor(stateDir: string) {
    this.#stateDir = stateDir
  }

  /** Copies the database to a path that is not there yet. Throws Fault invalid_params, conflict, overloaded, storage_full, not_ready. */
  async make(path: string): Promise<Backup> {
    assertPath(path)
    if (this.#running !== undefined) throw new Fault('overloaded', 'a backup is being made already; wait for it to end', { retryAfterS: 5 })
    const worker = new Worker(new URL('./backup-worker.ts', import.meta.url), { workerData: { stateDir: this.#stateDir, path } satisfies BackupStart })
    this.#running = worker
    const { promise, resolve, reject } = Promise.withResolvers<BackupAnswer>()
    worker.on('message', resolve)
    worker.on('error', reject)
    worker.on('exit', () => reject(new Fault('not_ready', 'the backup was ended before it was done; nothing of it is left', { retryAfterS: 5 })))
    try {
      const answer = await promise
      if (answer.ok) return { path, bytes: answer.bytes, events: answer.events, runs: answer.runs }
      const full = answer.code === 'SQLITE_FULL' || answer.code === 'ENOSPC'
      throw new Fault(full ? 'storage_full' : 'not_ready', `the backup could not be made (${answer.code}: ${answer.message}); nothing of it is left`)
    } finally {
      this.#running = undefined
    }
  }

  async stop(): Promise<void> {
    await this.#running?.terminate()
  }
}
