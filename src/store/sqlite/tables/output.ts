// The output of attempts: parts as rows, with the totals of each attempt beside them, so that appending to an attempt that has
// printed 100 MB reads one row and deletes as much as it adds.
//
// Of each attempt the head stays, and of the rest the last parts: the oldest part behind the head goes first. Of all attempts
// together the output of the oldest ended runs goes first. Attempts that run are left alone: each is bounded by itself.
import { characterCut } from '../../../characters.ts'
import type { OutputLimits, OutputPart } from '../../store.ts'
import { damagedColumns, outputChecks } from './checks.ts'
import type { DamagedColumn, DamageLog } from './damage.ts'
import type { Db } from '../db.ts'
import { idBytes } from './rows.ts'

/** A part of output on its way to the writer: its content is in the batch's one buffer. */
export type PackedPart = Omit<OutputPart, 'content'> & { body_at: number; body_length: number }

const mostHeadBytes = 65_536
/** What a row costs beside its content. An attempt has at most one part for so many of its bytes: short lines must not cost more than long ones. */
const rowBytes = 64
/** Parts that one operation deletes for want of room in all: as much as it may add, and as many again. */
const mostDeleted = 2048
const mostDeletedBytes = 4_194_304
/** Attempts that one operation looks at to find an ended one. */
const mostLookedAt = 200
const bytesKey = 'output_bytes'
const newline = 0x0a

interface AttemptRow {
  run_seq: number
  attempt: number
  total_bytes: number
  added_bytes: number
  head_end: number | null
  kept_bytes: number
  parts: number
  removed_bytes: number
}

interface PartPlace {
  seq: number
  bytes: number
}

/** A part with its place in the output of its attempt. */
interface Placed {
  offset: number
  at: number
  stream: string
  split: boolean
  content: Buffer
}

function statements(db: Db) {
  const whose = 'run_seq = ? AND attempt = ?'
  const row = (or: string): string =>
    `INSERT ${or} INTO output_part (run_seq, attempt, offset, at, stream, split, content) VALUES (?, ?, ?, ?, ?, ?, ?)`
  return {
    runSeq: db
      .prepare<[Buffer, Buffer], number>(
        'SELECT seq FROM outbox WHERE id = ? UNION ALL SELECT seq FROM run_archive WHERE id = ?',
      )
      .pluck(),
    attempt: db.prepare<[number, number], AttemptRow>(`SELECT * FROM attempt_output WHERE ${whose}`),
    write: db.prepare(
      `INSERT OR REPLACE INTO attempt_output (run_seq, attempt, total_bytes, added_bytes, head_end, kept_bytes, parts, removed_bytes, gone)
       VALUES (:run_seq, :attempt, :total_bytes, :added_bytes, :head_end, :kept_bytes, :parts, :removed_bytes, 0)`,
    ),
    insert: { fail: db.prepare(row('')), replace: db.prepare(row('OR REPLACE')) },
    oldest: db.prepare<[number, number, number], PartPlace>(
      `SELECT seq, length(content) AS bytes FROM output_part WHERE ${whose} AND offset >= ? ORDER BY offset LIMIT 1`,
    ),
    some: db.prepare<[number, number, number], PartPlace>(
      `SELECT seq, length(content) AS bytes FROM output_part WHERE ${whose} ORDER BY offset LIMIT ?`,
    ),
    counted: db.prepare<[number, number], { kept_bytes: number; parts: number; end: number }>(
      `SELECT coalesce(sum(length(content)), 0) AS kept_bytes, count(*) AS parts, coalesce(max(offset + length(content)), 0) AS end FROM output_part WHERE ${whose}`,
    ),
    remove: db.prepare('DELETE FROM output_part WHERE seq = ?'),
    removeAll: db.prepare(`DELETE FROM output_part WHERE ${whose}`),
    kept: db.prepare<[number, number, number], AttemptRow>(
      `SELECT * FROM attempt_output INDEXED BY attempt_output_kept WHERE parts > 0 AND gone = 0 AND (run_seq, attempt) > (?, ?) ORDER BY run_seq, attempt LIMIT ?`,
    ),
    live: db.prepare<[number], { state: string; attempt: number }>(
      'SELECT state, attempt FROM outbox WHERE seq = ?',
    ),
    // A whole row: an UPDATE of one that is damaged in other columns would be refused.
    forget: db.prepare(
      `INSERT OR REPLACE INTO attempt_output (run_seq, attempt, total_bytes, added_bytes, head_end, kept_bytes, parts, removed_bytes, gone)
       SELECT run_seq, attempt, 0, 0, NULL, 0, 0, 0, 1 FROM attempt_output WHERE run_seq = ?`,
    ),
    gone: db.prepare<[number], AttemptRow>(
      'SELECT * FROM attempt_output INDEXED BY attempt_output_gone WHERE gone = 1 LIMIT ?',
    ),
    removeRow: db.prepare(`DELETE FROM attempt_output WHERE ${whose}`),
    meta: db.prepare<[string]>('SELECT value FROM meta WHERE key = ?').pluck(),
    setMeta: db.prepare('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)'),
    sum: db
      .prepare<[number], number>('SELECT coalesce(sum(kept_bytes + ? * parts), 0) FROM attempt_output')
      .pluck(),
  }
}

/** Where the head ends in a part of which so many bytes fit: behind a line where there is one, or else between two characters. */
function headCut(content: Buffer, room: number): number {
  if (room <= 0) return 0
  const line = content.lastIndexOf(newline, room - 1)
  if (line >= 0) return line + 1
  return characterCut(content, room)
}

/** Counts that do not go together: a head that never ends would never be cut behind. */
function contradictions({ head_end, kept_bytes, total_bytes }: AttemptRow): DamagedColumn[] {
  const above = (column: string, value: number): DamagedColumn => ({
    column,
    why: `it must be at most total_bytes, ${total_bytes}; got ${value}`,
  })
  return [
    ...(head_end !== null && head_end > total_bytes ? [above('head_end', head_end)] : []),
    ...(kept_bytes > total_bytes ? [above('kept_bytes', kept_bytes)] : []),
  ]
}

function mostPartsOf(output_bytes: number): number {
  return Math.max(2, Math.floor(output_bytes / rowBytes))
}

function costOf({ kept_bytes, parts }: AttemptRow): number {
  return kept_bytes + rowBytes * parts
}

export class Output {
  readonly #sql
  readonly #damage: DamageLog
  /** runs that have new output */
  readonly changed = new Set<string>()
  /** where the search for ended runs goes on, so that those that are open are not looked at again and again */
  #searched: { run_seq: number; attempt: number } = { run_seq: 0, attempt: 0 }

  constructor(db: Db, damage: DamageLog) {
    this.#damage = damage
    this.#sql = statements(db)
  }

  append(parts: readonly PackedPart[], bodies: ArrayBuffer, limits: OutputLimits): void {
    const open = new Map<string, AttemptRow | null>()
    let grown = 0
    for (const part of parts) {
      const key = `${part.run_id} ${part.attempt}`
      if (!open.has(key)) {
        const row = this.#opened(part)
        open.set(key, row)
        if (row !== null) grown -= costOf(row)
      }
      const row = open.get(key)!
      if (row === null || part.body_length === 0) continue
      this.#place(row, part, Buffer.from(bodies, part.body_at, part.body_length), limits.output_bytes)
      this.changed.add(part.run_id)
    }
    for (const row of open.values()) {
      if (row === null) continue
      this.#sql.write.run(row)
      grown += costOf(row)
    }
    this.#hold(grown, limits.output_total_bytes)
  }

  /** null: the run is not stored any more. */
  #opened({ run_id, attempt }: PackedPart): AttemptRow | null {
    const id = idBytes(run_id)
    const run_seq = this.#sql.runSeq.get(id, id)
    if (run_seq === undefined) return null
    const found = this.#sql.attempt.get(run_seq, attempt)
    if (found === undefined)
      return {
        run_seq,
        attempt,
        total_bytes: 0,
        added_bytes: 0,
        head_end: null,
        kept_bytes: 0,
        parts: 0,
        removed_bytes: 0,
      }
    const damaged = [...damagedColumns(outputChecks, found), ...contradictions(found)]
    if (damaged.length === 0) return found
    this.#damage.addRow('attempt_output', `${run_seq}, attempt ${attempt}`, damaged)
    const { end, ...counted } = this.#sql.counted.get(run_seq, attempt)!
    return {
      run_seq,
      attempt,
      ...counted,
      total_bytes: end,
      added_bytes: 0,
      head_end: Math.min(end, mostHeadBytes),
      removed_bytes: 0,
    }
  }

  #place(row: AttemptRow, part: PackedPart, content: Buffer, output_bytes: number): void {
    const beganAgain = part.offset === 0 && row.total_bytes > row.added_bytes
    if (beganAgain) {
      this.#sql.removeAll.run(row.run_seq, row.attempt)
      Object.assign(row, {
        total_bytes: 0,
        added_bytes: 0,
        head_end: null,
        kept_bytes: 0,
        parts: 0,
        removed_bytes: 0,
      })
    }
    const offset = part.offset === undefined ? row.total_bytes : part.offset + row.added_bytes
    // It is there already.
    if (offset < row.total_bytes) return
    if (part.offset === undefined) row.added_bytes += content.length
    const placed: Placed = { offset, at: part.at, stream: part.stream, split: part.split === true, content }
    const headBytes = Math.min(mostHeadBytes, Math.floor(output_bytes / 2))
    // Many short parts end the head, too.
    const room = row.parts < mostPartsOf(output_bytes) / 2 ? headBytes - offset : 0
    if (row.head_end !== null || content.length <= room) this.#insert(row, placed)
    else {
      const cut = headCut(content, room)
      if (cut > 0)
        this.#insert(row, {
          ...placed,
          split: content[cut - 1] !== newline,
          content: content.subarray(0, cut),
        })
      row.head_end = offset + cut
      this.#insert(row, { ...placed, offset: offset + cut, content: content.subarray(cut) })
    }
    row.total_bytes = offset + content.length
    this.#cutMiddle(row, output_bytes)
  }

  #insert(row: AttemptRow, { offset, at, stream, split, content }: Placed): void {
    this.#damage.insert('output_part', `${row.run_seq}, attempt ${row.attempt}, offset ${offset}`, or =>
      this.#sql.insert[or].run(row.run_seq, row.attempt, offset, at, stream, split ? 1 : 0, content),
    )
    row.kept_bytes += content.length
    row.parts++
  }

  /** The oldest parts behind the head go, as long as there are others. */
  #cutMiddle(row: AttemptRow, output_bytes: number): void {
    if (row.head_end === null) return
    const mostParts = mostPartsOf(output_bytes)
    while (row.kept_bytes > output_bytes || row.parts > mostParts) {
      const oldest = this.#sql.oldest.get(row.run_seq, row.attempt, row.head_end)
      if (oldest === undefined) return
      this.#drop(row, oldest)
    }
  }

  #drop(row: AttemptRow, { seq, bytes }: PartPlace): void {
    this.#sql.remove.run(seq)
    row.kept_bytes = Math.max(0, row.kept_bytes - bytes)
    row.parts = Math.max(0, row.parts - 1)
  }

  /** What all output costs; counted again where the count is damaged or missing. */
  #bytes(): number | undefined {
    const value = this.#sql.meta.get(bytesKey)
    return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : undefined
  }

  /** Keeps the count of all output, and makes room where there is too much of it. */
  #hold(grown: number, most: number): void {
    const before = this.#bytes()
    let bytes = before === undefined ? this.#sql.sum.get(rowBytes)! : Math.max(0, before + grown)
    if (bytes > most) bytes -= this.#makeRoom(bytes - most)
    this.#sql.setMeta.run(bytesKey, Math.max(0, bytes))
  }

  /** Removes output of attempts that are over, of ended runs first; answers how much. */
  #makeRoom(excess: number): number {
    const left = { cost: excess, parts: mostDeleted, bytes: mostDeletedBytes }
    const isEnded = ({ run_seq }: AttemptRow): boolean => {
      const live = this.#sql.live.get(run_seq)
      return live === undefined || live.state === 'failed' || live.state === 'timed_out'
    }
    const isOver = ({ run_seq, attempt }: AttemptRow): boolean => {
      const live = this.#sql.live.get(run_seq)
      return (
        live === undefined ||
        live.attempt !== attempt ||
        !['assigned', 'running', 'paused'].includes(live.state)
      )
    }
    const { run_seq, attempt } = this.#searched
    const rows = this.#sql.kept.all(run_seq, attempt, mostLookedAt)
    const isLast = rows.length < mostLookedAt
    const candidates = [
      ...rows.filter(isEnded),
      ...(isLast && run_seq === 0 ? rows.filter(row => !isEnded(row) && isOver(row)) : []),
    ]
    for (const row of candidates) {
      if (left.cost <= 0 || left.parts <= 0 || left.bytes <= 0) break
      this.#removeParts(row, left)
    }
    // Where there was enough, the oldest ones are looked at first the next time: they may have ended by then.
    this.#searched = isLast || left.cost <= 0 ? { run_seq: 0, attempt: 0 } : rows.at(-1)!
    return excess - left.cost
  }

  #removeParts(row: AttemptRow, left: { cost: number; parts: number; bytes: number }): void {
    const before = costOf(row)
    const { kept_bytes } = row
    for (const part of this.#sql.some.all(row.run_seq, row.attempt, left.parts)) {
      this.#drop(row, part)
      left.parts--
      left.bytes -= part.bytes
      if (left.bytes <= 0) break
    }
    if (this.#sql.some.get(row.run_seq, row.attempt, 1) === undefined)
      Object.assign(row, { kept_bytes: 0, parts: 0 })
    row.removed_bytes += kept_bytes - row.kept_bytes
    left.cost -= before - costOf(row)
    this.#sql.write.run(row)
  }

  /** A run is removed: its output cannot be asked for any more, and goes in slices. */
  forget(run_seq: number): void {
    this.#sql.forget.run(run_seq)
  }

  /** One slice of removing output whose run is gone; answers whether there is more. */
  prune(slice: number): boolean {
    const rows = this.#sql.gone.all(slice)
    const left = { parts: mostDeleted, bytes: mostDeletedBytes }
    let freed = 0
    for (const row of rows) {
      const parts = this.#sql.some.all(row.run_seq, row.attempt, left.parts + 1)
      const taken = parts.slice(0, left.parts)
      for (const part of taken) {
        this.#sql.remove.run(part.seq)
        left.parts--
        left.bytes -= part.bytes
        freed += part.bytes + rowBytes
        if (left.bytes <= 0) break
      }
      const isEmpty = this.#sql.some.get(row.run_seq, row.attempt, 1) === undefined
      if (isEmpty) this.#sql.removeRow.run(row.run_seq, row.attempt)
      if (left.parts <= 0 || left.bytes <= 0) break
    }
    const before = this.#bytes()
    if (freed > 0 && before !== undefined) this.#sql.setMeta.run(bytesKey, Math.max(0, before - freed))
    return this.#sql.gone.get(1) !== undefined
  }
}
