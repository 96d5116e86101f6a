// signalbox verify: whether a database is what was written. SQLite has no checksums of pages (of 200 flipped bits its
// integrity_check noticed 11), so each body and each context file is held against the SHA-256 that it was stored with.
import { hash } from 'node:crypto'
import { existsSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { ExitError } from '../../../errors.ts'
import { damageText } from '../tables/damage.ts'
import { lossOf, readMark, type Mark } from '../file/high-water.ts'
import type { Db } from '../db.ts'
import { databasePath, takeLock } from '../file/open.ts'
import { impossibleVersion, newestSchema, schemaFaults, schemaOf } from '../file/schema.ts'
import { isWholeOverride } from '../tables/run-overrides.ts'
import {
  assertFile,
  damagedValue,
  hasTable,
  keyText,
  numberedRows,
  openDamaged,
  otherRows,
  readable,
  refusedDefinition,
  rowId,
  type Numbered,
  type Refusal,
  type Row,
} from './tolerant-reader.ts'

/** What is not as it should be; id is that of the event or run, where there is one. */
export interface Finding {
  kind: 'structure' | 'event' | 'run' | 'context_file' | 'definition' | 'loss'
  id?: string | undefined
  message: string
}

export interface Verified {
  path: string
  bytes: number
  events: number
  runs: number
  findings: number
}

/** Structural damage that is reported one by one. */
const structureFaults = 20

/** Why an event cannot be trusted; undefined: it can. */
export function eventFault(row: Row): string | undefined {
  if (!(row.body instanceof Buffer && row.body_sha256 instanceof Buffer) || rowId(row) === undefined)
    return `event ${row.seq as number} is not what an event can be`
  if (!hash('sha256', row.body, 'buffer').equals(row.body_sha256))
    return `the body of event ${row.seq as number} does not have the hash that it was stored with`
  const damaged = damagedValue('event', row)
  return damaged === undefined ? undefined : damageText('event', row.seq as number, damaged)
}

function* structure(db: Db): Generator<Finding> {
  const found = readable(
    () => db.pragma(`integrity_check(${structureFaults})`) as { integrity_check: string }[],
  )
  if (found === undefined) yield { kind: 'structure', message: 'it cannot be read at all' }
  const version = readable(() => db.pragma('user_version', { simple: true })) as number | undefined
  const schema = readable(() => schemaOf(db))
  const impossible = version === undefined ? undefined : impossibleVersion(version, schema)
  if (impossible !== undefined) yield { kind: 'structure', message: impossible }
  if (version !== undefined && impossible === undefined && version > newestSchema()) {
    yield {
      kind: 'structure',
      message: `it has schema ${version}, this program knows up to ${newestSchema()}: use the newer program that wrote it`,
    }
  } else if (schema?.length === 0) yield { kind: 'structure', message: 'there is nothing in it' }
  else if (schema !== undefined) {
    const of = impossible === undefined ? (version ?? 0) : newestSchema()
    for (const fault of schemaFaults(schema, of))
      yield { kind: 'structure', message: `the schema is not that of version ${of}: ${fault}` }
  }
  for (const { integrity_check: message } of found ?? [])
    if (message !== 'ok') yield { kind: 'structure', message }
}

function* rowsOf(
  db: Db,
  table: Numbered,
  kind: 'event' | 'run',
  fault: (row: Row) => string | undefined,
  seen: () => void,
): Generator<Finding> {
  for (const read of numberedRows(db, table)) {
    if ('row' in read) {
      seen()
      const message = fault(read.row)
      if (message !== undefined) yield { kind, id: rowId(read.row), message }
    } else
      yield {
        kind,
        message: `${kind}s ${read.from} to ${read.to}, as far as there were any, cannot be read from ${table} (${read.why})`,
      }
  }
}

/** Rows that hang on others that are not there; on a damaged table the question cannot be asked. */
const orphans: readonly [kind: Finding['kind'], what: string, sql: string][] = [
  [
    'run',
    'runs without their event',
    'SELECT seq FROM outbox WHERE event_seq NOT IN (SELECT seq FROM event)',
  ],
  [
    'run',
    'ended runs without their event',
    'SELECT seq FROM run_archive WHERE event_seq NOT IN (SELECT seq FROM event)',
  ],
  [
    'run',
    'runs that are open and ended at once',
    'SELECT seq FROM outbox WHERE id IN (SELECT id FROM run_archive)',
  ],
  [
    'run',
    'attempts with output whose run does not exist',
    'SELECT 1 FROM attempt_output WHERE gone = 0 AND run_seq NOT IN (SELECT seq FROM outbox) AND run_seq NOT IN (SELECT seq FROM run_archive)',
  ],
  [
    'run',
    'parts of output whose attempt does not exist',
    'SELECT 1 FROM output_part WHERE (run_seq, attempt) NOT IN (SELECT run_seq, attempt FROM attempt_output)',
  ],
  [
    'context_file',
    'context files without their event',
    'SELECT rowid FROM context_file WHERE event_seq NOT IN (SELECT seq FROM event)',
  ],
  [
    'run',
    'updates of runs that are not there',
    'SELECT 1 FROM run_override WHERE run_seq NOT IN (SELECT seq FROM outbox) AND run_seq NOT IN (SELECT seq FROM run_archive)',
  ],
  [
    'event',
    'decisions without their event',
    'SELECT 1 FROM decision WHERE event_seq NOT IN (SELECT seq FROM event)',
  ],
  [
    'run',
    'moves of runs that are not there',
    'SELECT 1 FROM run_history WHERE run_seq NOT IN (SELECT seq FROM outbox) AND run_seq NOT IN (SELECT seq FROM run_archive)',
  ],
]

function* hanging(db: Db): Generator<Finding> {
  for (const [kind, what, sql] of orphans) {
    const count = readable(() => db.prepare<[], number>(`SELECT count(*) FROM (${sql})`).pluck().get())
    if (count !== undefined && count > 0) yield { kind, message: `${count} ${what}` }
  }
}

function* contextFiles(db: Db): Generator<Finding> {
  if (!hasTable(db, 'context_file')) return
  for (const row of otherRows(db, 'context_file')) {
    if (row === 'lost') yield { kind: 'context_file', message: 'some context files cannot be read' }
    else if (
      !(
        row.content instanceof Buffer &&
        row.sha256 instanceof Buffer &&
        hash('sha256', row.content, 'buffer').equals(row.sha256)
      )
    )
      yield {
        kind: 'context_file',
        message: `context file ${String(row.name)} of event ${String(row.event_seq)} does not have the hash that it was stored with`,
      }
  }
}

function* overrides(db: Db): Generator<Finding> {
  if (!hasTable(db, 'run_override')) return
  for (const row of otherRows(db, 'run_override')) {
    if (row === 'lost') yield { kind: 'run', message: 'some rows of run_override cannot be read' }
    else if (!isWholeOverride(row as { inputs: unknown; context_files: unknown; sha256: unknown }))
      yield {
        kind: 'run',
        message: `what was changed of run ${String(row.run_seq)} (run_override) does not have the hash that it was stored with`,
      }
  }
}

function* output(db: Db): Generator<Finding> {
  for (const table of ['attempt_output', 'output_part'].filter(each => hasTable(db, each))) {
    for (const row of otherRows(db, table)) {
      const damaged = row === 'lost' ? undefined : damagedValue(table, row)
      if (row === 'lost') yield { kind: 'run', message: `some rows of ${table} cannot be read` }
      else if (damaged !== undefined) {
        const key =
          table === 'output_part'
            ? (row.seq as number)
            : `${String(row.run_seq)}, attempt ${String(row.attempt)}`
        yield { kind: 'run', message: damageText(table, key, damaged) }
      }
    }
  }
}

function* definitions(db: Db, refusal: Refusal): Generator<Finding> {
  for (const noun of ['source', 'trigger', 'bot', 'queue', 'trigger_version'].filter(table =>
    hasTable(db, table),
  )) {
    for (const row of otherRows(db, noun)) {
      if (row === 'lost') {
        yield { kind: 'definition', message: `some of the ${noun} definitions cannot be read` }
        continue
      }
      const damaged = damagedValue(noun, row) ?? refusedDefinition(noun, row, refusal)
      if (damaged !== undefined)
        yield { kind: 'definition', message: damageText(noun, keyText(row), damaged) }
    }
  }
}

/** What was committed once, after a database's mark, and is not in it. */
export function loss(db: Db, path: string, mark: Mark | undefined): Finding | undefined {
  const lost = readable(() => lossOf(db, mark, false))
  if (lost === undefined) return undefined
  return {
    kind: 'loss',
    message: `${lost.commits} transactions with ${lost.events} events and ${lost.runs} runs that were committed are not in ${basename(path)}`,
  }
}

/** Looking makes an empty write-ahead log where there was none; a router that was started meanwhile has its own. */
export function removeLeft(path: string, ends: readonly string[]): void {
  try {
    const isOfRouter = path === databasePath(dirname(path)) && existsSync(join(dirname(path), 'router.lock'))
    const lock = isOfRouter ? takeLock(dirname(path)) : undefined
    for (const end of ends) rmSync(`${path}${end}`, { force: true })
    lock?.close()
  } catch (error) {
    if (!(error instanceof ExitError)) throw error
  }
}

/**
 * Looks at a database, in use or not, and writes nothing. Yields what is wrong; answers what there is. Throws ExitError 65
 * where it is no database at all, 74 where it cannot be opened.
 */
export function* verify(path: string, refusal: Refusal): Generator<Finding, Verified> {
  assertFile(path)
  const stateDir = dirname(path)
  const mark = path === databasePath(stateDir) ? readMark(stateDir) : undefined
  const left = ['-wal', '-shm'].filter(end => !existsSync(`${path}${end}`))
  let db: Db | undefined
  const count = { events: 0, runs: 0, findings: 0 }
  function* counted(all: Generator<Finding>): Generator<Finding> {
    for (const finding of all) {
      count.findings++
      yield finding
    }
  }
  function* found(db: Db): Generator<Finding> {
    yield* structure(db)
    const gone = loss(db, path, mark)
    if (gone !== undefined) yield gone
    if (!hasTable(db, 'event')) return
    yield* rowsOf(db, 'event', 'event', eventFault, () => count.events++)
    for (const table of ['outbox', 'run_archive'] as const) {
      const fault = (row: Row): string | undefined => {
        const damaged = damagedValue(table, row)
        return damaged === undefined ? undefined : damageText(table, row.seq as number, damaged)
      }
      yield* rowsOf(db, table, 'run', fault, () => count.runs++)
    }
    yield* contextFiles(db)
    yield* overrides(db)
    yield* output(db)
    yield* definitions(db, refusal)
    yield* hanging(db)
  }
  try {
    db = openDamaged(
      path,
      message =>
        `${path} cannot be read as a database (${message}); signalbox recover may copy what is undamaged in it, a backup has more`,
    )
    yield* counted(found(db))
    return { path, bytes: statSync(path).size, ...count }
  } finally {
    db?.close()
    removeLeft(path, left)
  }
}
