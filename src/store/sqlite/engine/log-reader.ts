// The log read from end to end, on a connection of its own: newest first, in small pages that are read whole, so that no
// statement stays open while anything is done with them (an open one keeps the WAL from being checkpointed).
import type { Origin } from '../../../forge.ts'
import type { BodyFormat } from '../../store.ts'
import { formatCheck, headersCheck } from '../tables/checks.ts'
import type { Db } from '../db.ts'
import { openReader } from '../file/open.ts'
import { boundedPage, columnBytes } from '../page.ts'
import { Reading } from './read.ts'
import { idText, originColumns, originOfRow, parsed, textOf } from '../tables/rows.ts'

/** A line of the log as it is stored; the body is read apart, since most filters need it of few events. */
type LineRow = [
  seq: number,
  id: Buffer,
  source_id: string,
  type: string,
  subject: string | null,
  timestamp: number,
  received_at: number,
]
type BodyRow = [
  type: string,
  headers: string | null,
  body_format: BodyFormat,
  body: Buffer,
  actor: string | null,
  thread: string | null,
  emitted: number | null,
  provider: string | null,
]

export interface LogLine {
  seq: number
  id: string
  source_id: string
  type: string
  subject: string | null
  timestamp: number
  received_at: number
}

export interface LogBody extends Origin {
  headers: Record<string, string>
  body_format: BodyFormat
  body: Uint8Array
}

const lineColumns = 'seq, id, source_id, type, subject, timestamp, received_at'

/** Damaged headers count as missing, and a body of an unknown format is not read: the event matches no filter that asks for them. */
function lineOf([seq, id, source_id, type, subject, timestamp, received_at]: LineRow): LogLine {
  return {
    seq,
    id: idText(id),
    source_id: textOf(source_id),
    type: textOf(type),
    subject: subject === null ? null : textOf(subject),
    timestamp,
    received_at,
  }
}

const bodyColumns = `event.type, event.headers, event.body_format, event.body, ${originColumns}`

/** with_origin: that of an event that was logged before origins were is read out of its body, at the cost of parsing it. */
function bodyOf(
  [type, headers, format, content, actor, thread, emitted, provider]: BodyRow,
  with_origin: boolean,
): LogBody {
  const isWhole = formatCheck(format) === undefined && content instanceof Buffer
  const [body_format, body] = isWhole ? ([format, content] as const) : (['none', Buffer.alloc(0)] as const)
  const given = headersCheck(headers) === undefined ? headers : null
  const origin = with_origin
    ? originOfRow({ type, headers: given, body_format, body, actor, thread, emitted, provider })
    : { actor, thread }
  return { headers: (parsed(given) as Record<string, string> | null) ?? {}, body_format, body, ...origin }
}

export class LogReader {
  readonly #db: Db
  readonly #with_origin: boolean
  readonly #lines
  readonly #whole
  readonly #body

  /** with_origin: events that were logged before origins were have theirs, too. */
  constructor(stateDir: string, with_origin: boolean) {
    this.#with_origin = with_origin
    this.#db = openReader(stateDir)
    const page = 'FROM event WHERE seq < ? AND seq >= ? ORDER BY seq DESC LIMIT ?'
    this.#lines = this.#db.prepare<[number, number, number], LineRow>(`SELECT ${lineColumns} ${page}`).raw()
    this.#whole = this.#db
      .prepare<[number, number, number], [...LineRow, ...BodyRow]>(
        `SELECT ${lineColumns}, ${bodyColumns} ${page}`,
      )
      .raw()
    this.#body = this.#db.prepare<[number], BodyRow>(`SELECT ${bodyColumns} FROM event WHERE seq = ?`).raw()
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
  whole(before: number, from: number, limit: number, max_bytes: number): { line: LogLine; body: LogBody }[] {
    const rows = this.#whole.iterate(before, from, limit)
    const bytesOf = (row: [...LineRow, ...BodyRow]): number => columnBytes(row[10])
    return boundedPage(rows, max_bytes, bytesOf, row => ({
      line: lineOf(row.slice(0, 7) as LineRow),
      body: bodyOf(row.slice(7) as BodyRow, this.#with_origin),
    }))
  }

  /** null when it has been deleted since its line was read. */
  body(seq: number): LogBody | null {
    const row = this.#body.get(seq)
    return row === undefined ? null : bodyOf(row, this.#with_origin)
  }

  close(): void {
    this.#db.close()
  }
}
