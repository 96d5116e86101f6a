// signalbox runs logs: what an attempt printed, and what it prints.
import { stripVTControlCharacters } from 'node:util'
import type { Command } from 'commander'
import type { OutputPart, RunOutputResult } from '../client/client.ts'
import { counted, paint, plain, time, type Output } from './output.ts'
import { stateText } from './run-text.ts'
import { wholeNumber, type Session } from './session.ts'

interface Options {
  attempt?: number
  follow?: true
  tail?: number
  timestamps?: true
}

/** As long as one call waits for more. */
const waitMs = 30_000

function bytesOf({ text, base64 }: OutputPart): Buffer {
  return text === undefined ? Buffer.from(base64!, 'base64') : Buffer.from(text)
}

/** Parts as text: for a terminal made safe, for a pipe the bytes as they were printed. */
class Printer {
  readonly #output: Output
  readonly #timestamps: boolean
  /** a line that is not finished, of its stream */
  #open = false
  #stream: string | undefined
  #end = 0

  constructor(output: Output, timestamps: boolean) {
    this.#output = output
    this.#timestamps = timestamps
  }

  print(part: OutputPart): void {
    if (this.#output.json) return this.#output.line(JSON.stringify(part))
    const bytes = bytesOf(part)
    const missing = part.offset - this.#end
    if (missing > 0) this.#remark(`${counted(missing, 'byte')} not kept here`)
    this.#end = part.offset + bytes.length
    // Lines of two streams are never one line.
    if (this.#stream !== part.stream) this.#endLine()
    this.#stream = part.stream
    if (part.text === undefined && (this.#output.terminal || this.#timestamps))
      return this.#remark(`${counted(bytes.length, 'byte')} that are not text: --json has them`)
    if (!this.#output.terminal && !this.#timestamps) this.#output.bytes(bytes)
    else this.#lines(part, part.text!)
    this.#open = bytes.at(-1) !== 0x0a
    return undefined
  }

  /** The page began behind what is missing here. */
  skipTo(offset: number): void {
    this.#end = offset
  }

  #lines({ stream, at }: OutputPart, text: string): void {
    const prefix = this.#timestamps ? `${time(at)} ${stream.padEnd(6)}  ` : ''
    const lines = stripVTControlCharacters(text)
      .replace(/^\r/, this.#open ? '\n' : '')
      .split(/(?<=\n)/)
    for (const line of lines) {
      const begun = this.#open
      this.#open = !line.endsWith('\n')
      const shown = plain(line, true)
      this.#output.bytes(
        Buffer.from(
          `${begun ? '' : prefix}${stream === 'stderr' ? paint(this.#output, 'yellow', shown) : shown}`,
        ),
      )
    }
  }

  #endLine(): void {
    if (this.#open) this.#output.bytes(Buffer.from('\n'))
    this.#open = false
  }

  /** What the router says of the output, and not the output. */
  #remark(text: string): void {
    if (this.#output.terminal) this.#endLine()
    console.error(plain(`[${text}]`))
  }

  end(): void {
    if (this.#output.terminal && !this.#output.json) this.#endLine()
  }
}

/** The last lines of some parts. */
function lastLines(parts: readonly OutputPart[], count: number): OutputPart[] {
  const kept: OutputPart[] = []
  let left = count
  for (const part of parts.toReversed()) {
    if (left <= 0) break
    const bytes = bytesOf(part)
    let begin = bytes.length
    // The newline at the end of a part ends its last line and begins none.
    for (let at = bytes.length - (bytes.at(-1) === 0x0a ? 2 : 1); at >= -1; at--) {
      if (at >= 0 && bytes[at] !== 0x0a) continue
      begin = at + 1
      if (at >= 0 || kept[0]?.split !== true) left--
      if (left <= 0) break
    }
    const rest = bytes.subarray(begin)
    kept.unshift({
      ...part,
      offset: part.offset + begin,
      ...(part.text === undefined ? { base64: rest.toString('base64') } : { text: rest.toString('utf8') }),
    })
  }
  return kept
}

function remark(text: string): void {
  console.error(plain(text))
}

interface Reading {
  run_id: string
  follow: boolean
  tail: number | undefined
}

/** Prints what there is, and what comes; answers the last page. */
async function printAll(
  current: Session,
  printer: Printer,
  { run_id, follow, tail }: Reading,
  wanted: number | undefined,
): Promise<RunOutputResult> {
  let place: { attempt?: number; after?: number } = wanted === undefined ? {} : { attempt: wanted }
  let first: OutputPart[] | undefined = tail === undefined ? undefined : []
  for (;;) {
    const page = await current.call('run.output', {
      run_id,
      ...place,
      ...(follow && first === undefined ? { wait_ms: waitMs } : {}),
    })
    if (first === undefined) for (const part of page.parts) printer.print(part)
    else first.push(...page.parts)
    // An attempt that has not begun has no place to go on from.
    place = page.attempt === 0 ? {} : { attempt: page.attempt, after: page.next }
    if (page.more) continue
    if (first !== undefined) {
      const last = lastLines(first, tail!)
      printer.skipTo(last[0]?.offset ?? 0)
      for (const part of last) printer.print(part)
      first = undefined
      if (follow && !page.finished) continue
    }
    if (!follow || page.finished) return page
  }
}

/** What became of the run, and what to do next: on standard error, so that the output can be piped. */
async function conclude(current: Session, run_id: string, page: RunOutputResult): Promise<void> {
  const { run } = await current.call('run.get', { run_id })
  if (page.removed === true)
    remark(`output of this attempt was removed: all runs together printed more than output_total_bytes`)
  if (page.attempt === 0)
    return remark(
      `run ${run_id} has not begun (${run.state})${run.waiting_for === undefined ? '' : `: ${run.waiting_for}`}`,
    )
  if (page.total_bytes === 0)
    remark(`attempt ${page.attempt} printed nothing${page.finished ? '' : ' so far'}`)
  if (!page.finished)
    return remark(`attempt ${page.attempt} is under way; follow it with: signalbox runs logs ${run_id} -f`)
  const others =
    page.attempt > 1
      ? `; earlier ones with --attempt 1${page.attempt > 2 ? ` to ${page.attempt - 1}` : ''}`
      : ''
  const next = run.state === 'pending' ? `, tried again at ${time(run.not_before)}` : ''
  return remark(`attempt ${page.attempt} is over; the run is ${stateText(run)}${next}${others}`)
}

export function addLogs(runs: Command, session: () => Session): void {
  runs
    .command('logs <run>')
    .description('what the last attempt of a run printed (or "last")')
    .option('--attempt <number>', 'of another attempt', wholeNumber)
    .option('-f, --follow', 'go on with what it prints until it is over')
    .option('--tail <lines>', 'only the last lines', wholeNumber)
    .option('-t, --timestamps', 'the time and the stream of each line')
    .action(async (given: string, { attempt, follow, tail, timestamps }: Options) => {
      const current = session()
      const run_id = await current.runId(given)
      const printer = new Printer(current.output, timestamps === true)
      const page = await printAll(current, printer, { run_id, follow: follow === true, tail }, attempt)
      printer.end()
      if (!current.output.json) await conclude(current, run_id, page)
    })
}
