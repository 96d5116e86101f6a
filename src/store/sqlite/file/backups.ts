// Backups on their way: one at a time, each in a thread of its own.
import { lstatSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, isAbsolute } from 'node:path'
import { Worker } from 'node:worker_threads'
import { Fault } from '../../../errors.ts'
import { assertDirectory, FileError } from '../../../plain-file.ts'
import type { BackupAnswer, BackupMessage, BackupStart } from './backup-worker.ts'
import { besideDatabase } from './open.ts'

export interface Backup {
  path: string
  bytes: number
  events: number
  runs: number
}

/** Names in a state directory that are the router's, or will be: the database with what SQLite keeps beside it, the mark, the lock, directories. */
const ownName =
  /^(signalbox\.(db|high)|router\.lock|rpc\.sock|contexts|sockets|compile-cache)(-(wal|shm|journal))?$/i

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined
}

/** Whether two paths lead to one directory, through links and mounts. */
function isSame(one: string, other: string): boolean {
  const [a, b] = [statSync(one), statSync(other)]
  return a.dev === b.dev && a.ino === b.ino
}

function assertPath(path: string, stateDir: string): void {
  const refuse = (message: string): never => {
    throw new Fault('invalid_params', `path ${message}`, { data: { path: 'path' } })
  }
  if (!isAbsolute(path)) refuse(`must be absolute; got ${JSON.stringify(path)}`)
  try {
    assertDirectory(dirname(path))
  } catch (error) {
    if (!(error instanceof FileError)) throw error
    refuse(`must be in an existing directory: ${error.message}`)
  }
  const files = [path, `${path}.unfinished`].flatMap(name => [
    name,
    ...besideDatabase.map(end => `${name}${end}`),
  ])
  const found = files.find(isThere)
  if (found !== undefined)
    throw new Fault(
      'conflict',
      `${found} exists; a backup overwrites nothing: choose another name, or move the file away`,
    )
  const isOwn = ownName.test(basename(path)) && isSame(dirname(path), stateDir)
  if (isOwn)
    refuse(`must not be a name of the router's own files; got ${basename(path)} in the state directory`)
}

export class Backups {
  readonly #stateDir: string
  #running: Worker | undefined

  constructor(stateDir: string) {
    this.#stateDir = stateDir
  }

  /** Copies the database to a path that is not there yet, with or without the output of runs. Throws Fault invalid_params, conflict, overloaded, storage_full, not_ready. */
  async make(path: string, with_output: boolean): Promise<Backup> {
    assertPath(path, this.#stateDir)
    if (this.#running !== undefined)
      throw new Fault('overloaded', 'a backup is being made already; wait for it to end', { retryAfterS: 5 })
    const worker = new Worker(new URL('./backup-worker.ts', import.meta.url), {
      workerData: { stateDir: this.#stateDir, path, with_output } satisfies BackupStart,
    })
    this.#running = worker
    const { promise, resolve, reject } = Promise.withResolvers<BackupAnswer>()
    let begun = false
    worker.on('message', (message: BackupMessage) => {
      if (message === 'begun') begun = true
      else resolve(message)
    })
    worker.on('error', reject)
    worker.on('exit', () => {
      // Ended from outside, it could not remove its own.
      if (begun)
        for (const end of ['', ...besideDatabase]) rmSync(`${path}.unfinished${end}`, { force: true })
      reject(
        new Fault('not_ready', 'the backup was ended before it was done; nothing of it is left', {
          retryAfterS: 5,
        }),
      )
    })
    try {
      const answer = await promise
      if (answer.ok) return { path, bytes: answer.bytes, events: answer.events, runs: answer.runs }
      if (answer.code === 'EEXIST')
        throw new Fault(
          'conflict',
          `a file appeared meanwhile (${answer.message}); nothing was overwritten, nothing of the backup is left`,
        )
      const full = answer.code === 'SQLITE_FULL' || answer.code === 'ENOSPC'
      throw new Fault(
        full ? 'storage_full' : 'not_ready',
        `the backup could not be made (${answer.code}: ${answer.message}); nothing of it is left`,
      )
    } finally {
      this.#running = undefined
    }
  }

  async stop(): Promise<void> {
    await this.#running?.terminate()
  }
}
