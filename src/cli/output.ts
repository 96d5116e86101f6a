// What the commands print: tables for people, one JSON object a line for programs.
import { styleText } from 'node:util'
import { plain, plainJson, plainLines } from '../terminal-text.ts'

export { plain }

export type Style = 'green' | 'red' | 'yellow' | 'dim' | 'bold'

export interface Output {
  json: boolean
  /** columns are aligned and coloured only on a terminal */
  terminal: boolean
  /** Lines as they leave: the last barrier, whatever was forgotten before. */
  line: (text: string) => void
  /** What leaves without a line end: to a pipe byte for byte, to a terminal as lines do. */
  bytes: (bytes: Uint8Array) => void
}

/**
 * An output whose lines are safe for a terminal, and valid JSON where they are JSON. pipe: it reaches no terminal, coloured or not,
 * and bytes may leave unchanged.
 */
export function outputTo(
  write: (chunk: string | Uint8Array) => void,
  { json, terminal, pipe = false }: Pick<Output, 'json' | 'terminal'> & { pipe?: boolean },
): Output {
  return {
    json,
    terminal,
    line: text => write(`${json ? plainJson(text) : plainLines(text, terminal)}\n`),
    bytes: bytes => write(pipe ? bytes : plainLines(Buffer.from(bytes).toString('utf8'), terminal)),
  }
}

export function paint(output: Output, style: Style, text: string): string {
  return output.terminal ? styleText(style, text, { validateStream: false }) : text
}

/** A number with what it counts: 1 event, 2,000 events. */
export function counted(number: number, noun: string): string {
  return `${number.toLocaleString('en-US')} ${noun}${number === 1 ? '' : 's'}`
}

/** What was accepted and will not work as written: on standard error, so that the answer can still be piped. */
export function printWarnings({ warnings = [] }: { warnings?: string[] }): void {
  for (const warning of warnings) console.error(plain(`warning: ${warning}`))
}

let isLocal = false

/** Whether times are shown in the time zone of this machine: for people at a terminal they are, for programs never. */
export function showLocalTimes(local: boolean): void {
  isLocal = local
}

/** How far the local clock is ahead of UTC then, such as +01:00. */
function offset(date: Date): string {
  const minutes = -date.getTimezoneOffset()
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0')
  return `${minutes < 0 ? '-' : '+'}${two(Math.abs(minutes) / 60)}:${two(Math.abs(minutes) % 60)}`
}

/** Such as 2026-01-31 12:00:00Z, or 2026-01-31 13:00:00+01:00 where times are local. */
export function time(ms: number | undefined): string {
  if (ms === undefined) return '-'
  const date = new Date(ms)
  const shift = isLocal ? date.getTimezoneOffset() * 60_000 : 0
  const text = new Date(ms - shift)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, '')
  return `${text}${isLocal ? offset(date) : 'Z'}`
}

export function shortened(value: unknown, most = 60): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
  return plain(text.length > most ? `${text.slice(0, most - 3)}...` : text)
}

export interface Column<T> {
  title: string
  value: (row: T) => string
  style?: (row: T) => Style | undefined
}

/** Rows as a table with a head, or as JSON lines. Nothing found is said in words, not by an empty table. */
export function table<T>(
  output: Output,
  rows: readonly T[],
  columns: readonly Column<T>[],
  nothing: string,
): void {
  if (output.json) {
    for (const row of rows) output.line(JSON.stringify(row))
    return
  }
  if (rows.length === 0) return output.line(nothing)
  const cells = rows.map(row => columns.map(column => plain(column.value(row))))
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...cells.map(row => row[index]!.length)),
  )
  const laid = (texts: readonly string[], style: (index: number) => Style | undefined): string =>
    texts
      .map((text, index) => {
        const padded = index === texts.length - 1 ? text : text.padEnd(widths[index]!)
        const wanted = style(index)
        return wanted === undefined ? padded : paint(output, wanted, padded)
      })
      .join('  ')
      .trimEnd()
  output.line(
    laid(
      columns.map(column => column.title),
      () => 'bold',
    ),
  )
  for (const [place, row] of cells.entries())
    output.line(laid(row, index => columns[index]!.style?.(rows[place]!)))
  return undefined
}

/** One object: as fields below each other, or as a line of JSON. */
export function record(output: Output, value: object): void {
  if (output.json) return output.line(JSON.stringify(value))
  const entries = Object.entries(value).filter(([, field]) => field !== undefined)
  const width = Math.max(...entries.map(([name]) => name.length))
  for (const [name, field] of entries) {
    const isTime =
      typeof field === 'number' && (name.endsWith('_at') || name === 'timestamp' || name === 'not_before')
    const text = isTime
      ? time(field)
      : typeof field === 'string'
        ? plain(field)
        : plain(JSON.stringify(field, null, 2), true).replaceAll('\n', `\n${' '.repeat(width + 2)}`)
    output.line(`${paint(output, 'dim', name.padEnd(width))}  ${text}`)
  }
  return undefined
}

export function stateStyle(state: string): Style | undefined {
  if (state === 'completed') return 'green'
  if (state === 'failed' || state === 'timed_out') return 'red'
  return state === 'cancelled' ? 'dim' : 'yellow'
}
