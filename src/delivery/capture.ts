// What an attempt prints, on its way to the store: secrets hidden, lines put together, one write at a time. Output is kept for those
// who read it: whatever goes wrong with it, the attempt goes on.
import type { OutputLimits, OutputPart, OutputStream, Store } from '../store/store.ts'
import { mostPartBytes } from '../store/store.ts'
import type { CommandStream, OutputChunk } from '../outbound/pending-output.ts'
import { StreamRedactor } from '../redaction.ts'
import { characterCut } from '../characters.ts'
import { LineAssembler, type Piece } from './line-assembly.ts'

export interface CaptureOptions {
  store: Pick<Store, 'appendOutput'>
  limits: OutputLimits
  /** secrets that are known by now */
  secrets: () => Iterable<Buffer>
  now: () => number
  logBug: (error: unknown) => void
}

/** One stream of one attempt. */
class Stream {
  readonly redactor: StreamRedactor
  readonly lines = new LineAssembler(mostPartBytes)
  /** bytes that it has printed, as far as the router knows */
  printed = 0

  constructor(secrets: CaptureOptions['secrets']) {
    this.redactor = new StreamRedactor(secrets)
  }
}

export class Capture {
  readonly #run_id: string
  readonly #attempt: number
  readonly #options: CaptureOptions
  /** made with the first output: an attempt of an http bot has none */
  readonly #streams = new Map<CommandStream, Stream>()
  /** of all streams, what was left out included */
  #offset = 0
  #parts: OutputPart[] = []
  #written = Promise.resolve()
  #hasFailed = false

  constructor(run_id: string, attempt: number, options: CaptureOptions) {
    this.#run_id = run_id
    this.#attempt = attempt
    this.#options = options
  }

  /** What a command printed; settles when it is stored. more: whether more of it waits already. Never rejects. */
  take(chunks: readonly OutputChunk[], more: boolean): Promise<void> {
    const now = this.#options.now()
    for (const chunk of chunks) this.#read(chunk, now - Math.round(chunk.age_ms))
    if (!more) for (const [name, { lines }] of this.#streams) this.#add(name, now, lines.flush())
    return this.#write()
  }

  #stream(name: CommandStream): Stream {
    const known = this.#streams.get(name)
    if (known !== undefined) return known
    const stream = new Stream(this.#options.secrets)
    this.#streams.set(name, stream)
    return stream
  }

  #read({ stream: name, offset, bytes }: OutputChunk, at: number): void {
    const stream = this.#stream(name)
    const missing = offset - stream.printed
    if (missing > 0) {
      this.#add(name, at, [...stream.lines.push(stream.redactor.gap()), ...stream.lines.end()])
      this.#offset += missing
    }
    stream.printed = offset + bytes.length
    // Bytes come from another process as views of a type of their own.
    this.#add(
      name,
      at,
      stream.lines.push(stream.redactor.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))),
    )
  }

  #add(stream: OutputStream, at: number, pieces: readonly Piece[]): void {
    for (const { bytes, split } of pieces) {
      this.#parts.push({
        run_id: this.#run_id,
        attempt: this.#attempt,
        stream,
        at,
        offset: this.#offset,
        content: bytes,
        ...(split ? { split } : {}),
      })
      this.#offset += bytes.length
    }
  }

  /** An answer as a whole, with its secrets hidden already. Never rejects. */
  answer(text: string): Promise<void> {
    const bytes = Buffer.from(text)
    const pieces: Piece[] = []
    for (let at = 0; at < bytes.length;) {
      const left = bytes.subarray(at)
      const length = characterCut(left, mostPartBytes)
      pieces.push({ bytes: left.subarray(0, length), split: length < left.length })
      at += length
    }
    this.#add('answer', this.#options.now(), pieces)
    return this.#write()
  }

  /** The attempt is over; settles when everything is stored. Never rejects. */
  end(): Promise<void> {
    const now = this.#options.now()
    for (const [name, { lines, redactor }] of this.#streams)
      this.#add(name, now, [...lines.push(redactor.end()), ...lines.end()])
    return this.#write()
  }

  #write(): Promise<void> {
    const parts = this.#parts
    this.#parts = []
    if (parts.length > 0) this.#written = this.#written.then(() => this.#append(parts))
    return this.#written
  }

  async #append(parts: OutputPart[]): Promise<void> {
    const { store, limits, logBug } = this.#options
    try {
      await store.appendOutput(parts, limits)
    } catch (error) {
      // The attempt goes on. Once is enough: a full disk is reported elsewhere, too.
      if (!this.#hasFailed) logBug(error)
      this.#hasFailed = true
    }
  }
}
