// A copy of the database while it is being written, in a thread of its own: in small steps, out of one snapshot, so that
// the writer goes on and what comes meanwhile does not restart the copy. The copy is looked at before it has its name.
import Database from 'better-sqlite3'
import { closeSync, openSync, rmSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import type { Db } from '../db.ts'
import { besideDatabase, giveName, openReader, synced } from './open.ts'

export interface BackupStart {
  stateDir: string
  path: string
  /** whether the output of runs is copied, too */
  with_output: boolean
}

/** begun: the unfinished copy is a file now, of this backup. */
export type BackupMessage = 'begun' | BackupAnswer

export type BackupAnswer =
  | { ok: true; bytes: number; events: number; runs: number }
  | { ok: false; code: string; message: string }

/** Pages of a step: 2 MiB, some 5 ms. */
const stepPages = 512

/** Removes the output of runs from a copy, and gives its pages back to the disk. Totals stay: run.output says that it was removed. */
function withoutOutput(path: string): void {
  const copy = new Database(path)
  try {
    copy.pragma('journal_mode = MEMORY')
    copy.pragma('synchronous = OFF')
    copy.exec(`BEGIN;
      UPDATE attempt_output SET removed_bytes = removed_bytes + kept_bytes, kept_bytes = 0, parts = 0 WHERE parts > 0;
      DELETE FROM output_part;
      DELETE FROM meta WHERE key = 'output_bytes';
      COMMIT`)
    // A database that was not made by a router gives nothing back page by page.
    const isIncremental = copy.pragma('auto_vacuum', { simple: true }) === 2
    if (isIncremental) copy.pragma('incremental_vacuum')
    else copy.exec('VACUUM')
    copy.pragma('journal_mode = WAL')
  } finally {
    copy.close()
  }
}

async function copied({ stateDir, path, with_output }: BackupStart): Promise<BackupAnswer> {
  const unfinished = `${path}.unfinished`
  // Made here or not at all: what is there already is another's, and is neither overwritten nor removed.
  closeSync(openSync(unfinished, 'wx', 0o600))
  parentPort!.postMessage('begun' satisfies BackupMessage)
  let db: Db | undefined
  try {
    db = openReader(stateDir)
    // A backup out of an open snapshot is of one moment.
    db.exec('BEGIN')
    db.prepare('SELECT count(*) FROM meta').get()
    await db.backup(unfinished, { progress: () => stepPages })
    db.exec('COMMIT')
    if (!with_output) withoutOutput(unfinished)
    const copy = new Database(unfinished, { readonly: true })
    const check = copy.pragma('quick_check(1)', { simple: true }) as string
    const count = (table: string): number =>
      copy.prepare(`SELECT count(*) FROM ${table}`).pluck().get() as number
    const found = { events: count('event'), runs: count('outbox') + count('run_archive') }
    copy.close()
    if (check !== 'ok') return { ok: false, code: 'SQLITE_CORRUPT', message: check }
    synced(unfinished)
    giveName(unfinished, path)
    synced(dirname(path))
    return { ok: true, bytes: statSync(path).size, ...found }
  } finally {
    db?.close()
    for (const end of ['', ...besideDatabase]) rmSync(`${unfinished}${end}`, { force: true })
  }
}

try {
  parentPort!.postMessage(await copied(workerData as BackupStart))
} catch (error) {
  const { code = 'bug', message } = error as { code?: string; message: string }
  parentPort!.postMessage({ ok: false, code, message } satisfies BackupMessage)
}
