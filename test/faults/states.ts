// What a database holds after a loss of power, seen with SQLite alone: whether it is whole, has every event that was answered,
// and no event without its runs nor runs without their event.
import Database from 'better-sqlite3'
import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Writes the files of a state into a directory that is otherwise empty. */
export function laid(directory: string, files: ReadonlyMap<string, Buffer | null>): void {
  for (const name of readdirSync(directory)) rmSync(join(directory, name))
  for (const [name, content] of files)
    if (content !== null && !name.endsWith('-shm'))
      writeFileSync(join(directory, name), content, { mode: 0o600 })
}

/** Whether a file is a database whose pages are whole. */
export function isWhole(path: string): boolean {
  try {
    const db = new Database(path, { readonly: true, fileMustExist: true })
    const check = db.pragma('quick_check(1)', { simple: true })
    db.close()
    return check === 'ok'
  } catch {
    return false
  }
}

/** What is wrong with the database of a directory, in words; answered holds the ids of events that must be there. */
export function faultsOf(directory: string, answered: Iterable<string>): string[] {
  const wrong: string[] = []
  let db: Database.Database | undefined
  try {
    db = new Database(join(directory, 'signalbox.db'))
    const check = db.pragma('quick_check(1)', { simple: true }) as string
    if (check !== 'ok') return [`corrupt: ${check}`]
    if (db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'event'").get() === undefined) {
      for (const id of answered) wrong.push(`lost: event ${id}`)
      return wrong
    }
    const event = db.prepare('SELECT 1 FROM event WHERE id = ?')
    for (const id of answered)
      if (event.get(Buffer.from(id.replaceAll('-', ''), 'hex')) === undefined) wrong.push(`lost: event ${id}`)
    const runs = `(SELECT event_seq, trigger_id FROM outbox UNION ALL SELECT event_seq, trigger_id FROM run_archive)`
    const orphans = db
      .prepare(`SELECT count(*) FROM ${runs} WHERE event_seq NOT IN (SELECT seq FROM event)`)
      .pluck()
      .get() as number
    if (orphans > 0) wrong.push(`${orphans} runs without their event`)
    const bare = db
      .prepare(
        `SELECT count(*) FROM decision WHERE NOT EXISTS (SELECT 1 FROM ${runs} AS run WHERE run.event_seq = decision.event_seq AND run.trigger_id = decision.trigger_id)`,
      )
      .pluck()
      .get() as number
    if (bare > 0) wrong.push(`${bare} decisions to run without a run`)
    return wrong
  } catch (error) {
    return [`corrupt: ${(error as Error).message}`]
  } finally {
    db?.close()
  }
}
