// The log read from end to end, on a connection of its own: newest first, in small pages that are read whole, so that no
// statement stays open while anything is done with them (an open one keeps the WAL from being checkpointed).
import type { BodyFormat } from '../store.ts'
import { openReader, type Db } from './open.ts'
import { Reading } from './read.ts'
import { idText } from './rows.ts'

/** A line of the log as it is stored; the body is read apart, since most filters need it of few events. */
type LineRow = [seq: number, id: Buffer, source_id: string, type: string, subject: string | null, timestamp: number, received_at: number]
type BodyRow = [headers: string | null, body_format: BodyFormat, body: Buffer]

export interface LogLine {
  seq: number
  id: string
  source_id: string
  type: string
  subject: string | null
  timestamp: number
  received_at: number
}

export interface LogBody {
  headers: Record<string, string>
  body_format: BodyFormat
  body: Uint8Array
}

const lineColumns = 'seq, id, source_id, type, subject, timestamp, received_at'

function lineOf([seq, id, source_id, type, subject, timestamp, received_at]: LineRow): LogLine {
  return { seq, id: idText(id), source_id, type, subject, timestamp, received_at }
}

function bodyOf([headers, body_format, body]: BodyRow): LogBody {
  return { headers: headers === null ? {} : (JSON.parse(headers) as Record<string, string>), body_format, body }
}

export class LogReader {
  readonly #db: Db
  readonly #lines
  readonly #whole
  readonly #body

  constructor(stateDir: string) {
    this.#db = openReader(stateDir)
    const page = 'FROM event WHERE seq < ? AND seq >= ? ORDER BY seq DESC LIMIT ?'
    this.#lines = this.#db.prepare<[number, number, number], LineRow>(`SELECT ${lineColumns} ${page}`).raw()
    this.#whole = this.#db.prepare<[number, number, number], [...LineRow, ...BodyRow]>(`SELECT ${lineColumns}, headers, body_format, body ${page}`).raw()
    this.#body = this.#db.prepare<[number], BodyRow>('SELECT headers, body_format, body FROM event WHERE seq = ?').raw()
  }

  /** The range of seq that was received in a time: from is part of it, to is not. */
  range(since: number, until: number): { from: number; to: number } {
    const reading = new Reading(this.#db)
    return { from: reading.firstSeqAt(since), to: reading.firstSeqAt(until) }
  }

  lines(before: number, from: number, limit: number): LogLine[] {
    return this.#lines.all(before, from, limit).map(lineOf)
  }

  /** Lines with their bodies: cheaper than one after the other where most are needed. */
  whole(before: number, from: number, limit: number): { line: LogLine; body: LogBody }[] {
    return this.#whole.all(before, from, limit).map(row => ({ line: lineOf(row.slice(0, 7) as LineRow), body: bodyOf(row.slice(7) as BodyRow) }))
  }

  /** null when it has been deleted since its line was read. */
  body(seq: number): LogBody | null {
    const row = this.#body.get(seq)
    return row === undefined ? null : bodyOf(row)
  }

  close(): void {
    this.#db.close()
  }
}
