// signalbox recover: a new database from what is undamaged in another. The original is only read, and by way of a copy:
// its write-ahead log is folded in, and inner pages of its tables that are gone are made again (mend.ts), there.
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ExitError, exitCodes } from '../../../errors.ts'
import { damageText, isConstraint } from '../tables/damage.ts'
import { goOnBehind } from '../file/high-water.ts'
import type { Db } from '../db.ts'
import { giveName, synced } from '../file/open.ts'
import { createAt } from '../file/schema.ts'
import {
  assertFile,
  damagedValue,
  hasTable,
  isDamage,
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
import { eventFault, loss, type Finding } from './verify.ts'
import { workingCopy, heldBack, markOf, assertFree, furthest } from './working-copy.ts'

export interface Recovered {
  path: string
  bytes: number
  events: number
  runs: number
  findings: number
}

/** Tables that are read as a whole; those of an event or a run come with it, and the indexes of hashes are rebuilt. */
const others = [
  'meta',
  'source',
  'trigger',
  'bot',
  'queue',
  'trigger_version',
  'deleted_trigger',
  'bot_status',
  'trigger_pause',
  'removed_event',
  'source_stat',
  'source_state',
  'tick',
  'seen_item',
  'file_set',
  'run_lane',
  'lane_opening',
  'rate_ring',
  'rate_key',
  'unrouted',
  'spending',
  'lost_lease',
  'refused_delivery',
  'token',
  'audit',
]
/** Tables that reference a run or an event, and by which column. */
const ofRun = {
  run_history: 'run_seq',
  attempt: 'run_seq',
  run_event: 'run_seq',
  run_dependency: 'run_seq',
  run_usage: 'run_seq',
  run_override: 'run_seq',
  attempt_output: 'run_seq',
  output_part: 'run_seq',
}
const ofEvent = { context_file: 'event_seq' }

/** What was taken out of it must hang together again. */
const together = `
  DELETE FROM meta WHERE key IN ('delivery_index_seq', 'body_index_seq', 'output_bytes');
  UPDATE attempt_output SET (kept_bytes, parts) = (SELECT coalesce(sum(length(content)), 0), count(*) FROM output_part
    WHERE output_part.run_seq = attempt_output.run_seq AND output_part.attempt = attempt_output.attempt);
  INSERT OR IGNORE INTO decision (trigger_id, event_seq)
    SELECT each.value ->> 0, seq FROM event, json_each(event.decisions) AS each WHERE decisions IS NOT NULL;
  DELETE FROM unrouted WHERE event_seq NOT IN (SELECT seq FROM event);
  DELETE FROM run_event WHERE event_seq NOT IN (SELECT seq FROM event);
  DELETE FROM run_lane WHERE run_seq NOT IN (SELECT seq FROM outbox);
  INSERT OR IGNORE INTO run_lane (lane, run_seq) SELECT flow ->> '$.order.lane', seq FROM outbox
    WHERE flow ->> '$.order.lane' IS NOT NULL AND flow ->> '$.repeat_held' IS NULL AND state NOT IN ('failed', 'timed_out');
  INSERT OR IGNORE INTO run_lane (lane, run_seq) SELECT flow ->> '$.singleton.lane', seq FROM outbox
    WHERE flow ->> '$.singleton.lane' IS NOT NULL AND flow ->> '$.repeat_held' IS NULL AND state NOT IN ('failed', 'timed_out');
  INSERT OR REPLACE INTO run_lane (lane, run_seq, active) SELECT lane.value ->> 'lane', seq, 1 FROM outbox, json_each(flow) AS lane
    WHERE flow IS NOT NULL AND lane.key IN ('order', 'singleton', 'concurrency') AND lane.value ->> 'lane' IS NOT NULL AND state IN ('assigned', 'running', 'paused');
  INSERT OR REPLACE INTO lane_opening (lane, opens_at) SELECT DISTINCT parked_on, 0 FROM outbox WHERE parked_on IS NOT NULL;`

function childKind(table: string): Finding['kind'] {
  return table === 'context_file' ? 'context_file' : 'run'
}

class Recovery {
  readonly #from: Db
  readonly #into: Db
  readonly #tell: (finding: Finding) => void
  readonly #refusal: Refusal
  readonly #inserts = new Map<string, (row: Row) => string | undefined>()
  readonly #children = new Map<string, (key: number) => Row[]>()
  /** why a row was left out, by table and key */
  readonly #why = new Map<string, string>()

  constructor(from: Db, into: Db, { tell, refusal }: { tell: (finding: Finding) => void; refusal: Refusal }) {
    this.#from = from
    this.#into = into
    this.#tell = tell
    this.#refusal = refusal
  }

  /** Takes a row over, in the columns that both have. Answers why the table refuses it; undefined: it is taken. */
  #insert(table: string, row: Row): string | undefined {
    let insert = this.#inserts.get(table)
    if (insert === undefined) {
      const columns = this.#into
        .prepare<[], string>(`SELECT name FROM pragma_table_info('${table}')`)
        .pluck()
        .all()
        .filter(name => name in row)
      const statement = this.#into.prepare(
        `INSERT INTO "${table}" (${columns.map(name => `"${name}"`).join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`,
      )
      insert = own => {
        try {
          statement.run(columns.map(name => own[name]))
          return undefined
        } catch (error) {
          if (isConstraint(error) || error instanceof TypeError)
            return `the table refuses it: ${(error as Error).message}`
          throw error
        }
      }
      this.#inserts.set(table, insert)
    }
    return insert(row)
  }

  /** The rows that hang on a key, as far as they can be read. */
  #takeChildren(tables: Record<string, string>, key: number, whose: string): boolean {
    let whole = true
    for (const [table, column] of Object.entries(tables)) {
      if (!this.#children.has(table)) {
        const there = hasTable(this.#from, table)
        const read = there
          ? readable(() => this.#from.prepare<[number], Row>(`SELECT * FROM ${table} WHERE ${column} = ?`))
          : undefined
        this.#children.set(table, own => read?.all(own) ?? [])
      }
      const rows = readable(() => this.#children.get(table)!(key))
      if (rows === undefined) {
        whole = false
        this.#tell({ kind: childKind(table), message: `${table} of ${whose} cannot be read` })
      }
      for (const row of rows ?? []) {
        const refused = this.#insert(table, row)
        if (refused !== undefined)
          this.#tell({
            kind: childKind(table),
            message: `a row of ${table} of ${whose} is left out: ${refused}`,
          })
      }
    }
    return whole
  }

  #leftOut(table: Numbered, key: number, why: string): void {
    this.#why.set(`${table} ${key}`, why)
  }

  events(): number {
    let taken = 0
    for (const read of numberedRows(this.#from, 'event')) {
      if (!('row' in read)) continue
      const seq = read.row.seq as number
      const fault = eventFault(read.row)
      const why = fault ?? this.#insert('event', read.row)
      if (why !== undefined) {
        this.#leftOut('event', seq, why)
        continue
      }
      this.#takeChildren(ofEvent, seq, `event ${rowId(read.row)}`)
      taken++
    }
    this.#missing('event', 'event', ['event'])
    return taken
  }

  runs(): number {
    const event = this.#into.prepare('SELECT 1 FROM event WHERE seq = ?')
    const ended = this.#into.prepare('SELECT 1 FROM run_archive WHERE seq = ?')
    let taken = 0
    for (const table of ['run_archive', 'outbox'] as const) {
      for (const read of numberedRows(this.#from, table)) {
        if (!('row' in read)) continue
        const { seq, event_seq } = read.row as { seq: number; event_seq: number }
        const damaged = damagedValue(table, read.row)
        const fault =
          event.get(event_seq) === undefined
            ? `its event, number ${event_seq}, is lost`
            : damaged !== undefined
              ? damageText(table, seq, damaged)
              : table === 'outbox' && ended.get(seq) !== undefined
                ? 'it is among those that ended, too'
                : undefined
        const why = fault ?? this.#insert(table, read.row)
        if (why !== undefined) {
          this.#leftOut(table, seq, why)
          continue
        }
        this.#takeChildren(ofRun, seq, `run ${rowId(read.row)}`)
        taken++
      }
    }
    for (const table of ['run_archive', 'outbox'] as const)
      this.#missing(table, 'run', ['run_archive', 'outbox'])
    return taken
  }

  /** Reports what the index of ids has and the new tables have not. */
  #missing(table: Numbered, kind: 'event' | 'run', places: readonly Numbered[]): void {
    const there = places.map(place => this.#into.prepare(`SELECT 1 FROM ${place} WHERE seq = ?`))
    const told = new Set<number>()
    const whole = readable(() => {
      const index = this.#from.prepare<[], { id: unknown; seq: number }>(
        `SELECT id, seq FROM ${table} INDEXED BY ${table}_id`,
      )
      for (const { id, seq } of index.iterate()) {
        if (there.some(each => each.get(seq) !== undefined)) continue
        told.add(seq)
        this.#tell({
          kind,
          id: rowId({ id }),
          message: `${kind} ${seq} is left out: ${this.#why.get(`${table} ${seq}`) ?? 'it cannot be read'}`,
        })
      }
      return true
    })
    for (const [place, why] of this.#why) {
      const [own, key] = place.split(' ')
      if (own === table && !told.has(Number(key)) && there.every(each => each.get(Number(key)) === undefined))
        this.#tell({ kind, message: `${kind} ${key} is left out: ${why}` })
    }
    if (whole !== true)
      this.#tell({
        kind,
        message: `the index of ${table} cannot be read: there may have been more ${kind}s than are listed`,
      })
  }

  /** How many definitions were taken over. */
  definitions(): number {
    const count = (table: string): number =>
      this.#into.prepare<[], number>(`SELECT count(*) FROM "${table}"`).pluck().get()!
    return ['source', 'trigger', 'bot', 'queue'].reduce((sum, table) => sum + count(table), 0)
  }

  #fault(table: string, row: Row): string | undefined {
    const damaged = damagedValue(table, row) ?? refusedDefinition(table, row, this.#refusal)
    return damaged === undefined ? undefined : damageText(table, keyText(row), damaged)
  }

  rest(): void {
    for (const table of others) {
      if (!hasTable(this.#from, table)) continue
      for (const row of otherRows(this.#from, table)) {
        if (row === 'lost') {
          this.#tell({
            kind: 'definition',
            message: `rows of the table ${table} are lost: it cannot be read from end to end`,
          })
          continue
        }
        const why = this.#fault(table, row) ?? this.#insert(table, row)
        if (why !== undefined)
          this.#tell({ kind: 'definition', message: `${table} ${keyText(row)} is left out: ${why}` })
      }
    }
    this.#into.exec(together)
    const waiting = this.#into.prepare<[], Buffer>(
      `SELECT id FROM outbox WHERE seq IN (SELECT run_seq FROM run_dependency WHERE on_seq NOT IN (SELECT seq FROM outbox) AND on_seq NOT IN (SELECT seq FROM run_archive))`,
    )
    for (const id of waiting.pluck().all())
      this.#tell({
        kind: 'run',
        id: rowId({ id }),
        message: 'it waits for a run that is lost: signalbox runs cancel ends it',
      })
  }
}

/**
 * Writes what is undamaged of a database to a new file, with the numbers of events and runs going on behind what was. Tells
 * of what is not in it. Throws ExitError 65 where nothing can be read, 74 for files that cannot be read or written, 75 while
 * a router has the database open.
 */
export function recover(
  path: string,
  into: string,
  tell: (finding: Finding) => void,
  refusal: Refusal,
): Recovered {
  assertFile(path)
  assertFree(into)
  let findings = 0
  const counted = (finding: Finding): void => {
    findings++
    tell(finding)
  }
  const locks = [path, into].map(heldBack)
  let from: Db | undefined
  let target: Db | undefined
  let work: string | undefined
  try {
    // Of a name that nothing else has: it is removed.
    work = mkdtempSync(`${into}.recovering-`)
    const copy = join(work, 'damaged.db')
    const unfinished = join(work, 'unfinished.db')
    const mends = workingCopy(path, copy)
    for (const message of mends) counted({ kind: 'structure', message })
    from = openDamaged(
      copy,
      message => `${path} was damaged too much to be mended (${message}); restore a backup`,
    )
    if (!hasTable(from, 'event'))
      throw new ExitError(
        exitCodes.dataDamaged,
        `${path} has no table of events that can be read; restore a copy of it`,
      )
    const mark = markOf(path, into)
    const gone = loss(from, path, mark)
    if (gone !== undefined) counted(gone)
    target = createAt(unfinished)
    const recovery = new Recovery(from, target, { tell: counted, refusal })
    target.exec('BEGIN')
    const events = recovery.events()
    const runs = recovery.runs()
    recovery.rest()
    if (events + runs + recovery.definitions() === 0 && mends.length > 0)
      throw new ExitError(
        exitCodes.dataDamaged,
        `there is nothing in ${path} that can be read; restore a backup`,
      )
    goOnBehind(target, furthest(from, mark))
    target.exec('COMMIT')
    target.close()
    synced(unfinished)
    giveName(unfinished, into)
    synced(dirname(into))
    return { path: into, bytes: statSync(into).size, events, runs, findings }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (isDamage(error))
      throw new ExitError(
        exitCodes.dataDamaged,
        `${path} cannot be read far enough (${message}); restore a copy of it`,
      )
    if (/^(E[A-Z]+|SQLITE_FULL|SQLITE_CANTOPEN)$/.test(code ?? ''))
      throw new ExitError(exitCodes.ioError, `${message}; nothing was recovered`)
    throw error
  } finally {
    from?.close()
    target?.close()
    for (const lock of locks) lock?.close()
    if (work !== undefined) rmSync(work, { recursive: true })
  }
}
