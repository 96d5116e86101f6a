// The output of a command as lines, for those who read it later: what a terminal would have left of them, cut where they are too
// long, never within a character. Pure.
import { isUtf8 } from 'node:buffer'
import { characterCut } from '../characters.ts'

const newline = 0x0a
const carriageReturn = 0x0d

export interface Piece {
  bytes: Buffer
  /** it ends inside a line */
  split: boolean
}

/** What a terminal shows of a line after its carriage returns: the last state that is not blank. */
function lastState(line: string): string {
  return line.split('\r').findLast(state => state.trim() !== '') ?? ''
}

/** Keeps lines of text apart from binary lines: one invalid byte must not make a page of text unreadable. */
function byText(lines: Buffer): Buffer[] {
  if (isUtf8(lines)) return [lines]
  const parts: Buffer[] = []
  let [begin, wasText] = [0, true]
  for (let at = 0; at < lines.length;) {
    const end = lines.indexOf(newline, at) + 1 || lines.length
    const isText = isUtf8(lines.subarray(at, end))
    if (isText !== wasText && at > begin) {
      parts.push(lines.subarray(begin, at))
      begin = at
    }
    wasText = isText
    at = end
  }
  return [...parts, lines.subarray(begin)]
}

export class LineAssembler {
  readonly #mostBytes: number
  /** of a line that is not finished: what was not handed out yet */
  #rest: Buffer = Buffer.alloc(0)
  /** the beginning of that line was handed out */
  #isBegun = false
  /** that line is written over and over, as progress bars are */
  #isRedrawn = false

  /** mostBytes: of a piece */
  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes
  }

  /** Answers the lines that are finished by now, several in one piece where they fit. */
  push(bytes: Buffer): Piece[] {
    const data = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    const end = data.lastIndexOf(newline) + 1
    const pieces: Piece[] = []
    if (end > 0) {
      this.#cut(this.#folded(data.subarray(0, end)), pieces)
      this.#isBegun = false
      this.#isRedrawn = false
    }
    this.#rest = Buffer.from(this.#redrawn(data.subarray(end)))
    while (this.#rest.length > this.#mostBytes)
      this.#handOut(characterCut(this.#rest, this.#mostBytes), pieces)
    return pieces
  }

  /** Answers what there is of a line that is not finished, unless it is being written over. */
  flush(): Piece[] {
    const pieces: Piece[] = []
    if (!this.#isRedrawn) this.#handOut(characterCut(this.#rest, this.#rest.length), pieces)
    return pieces
  }

  /** Answers everything: nothing follows, or not what follows at once. */
  end(): Piece[] {
    const pieces: Piece[] = []
    if (this.#isRedrawn && this.#rest.length > 0) this.#rest = this.#lineOf(this.#rest.toString('utf8'))
    this.#handOut(this.#rest.length, pieces)
    this.#isBegun = false
    this.#isRedrawn = false
    return pieces
  }

  #handOut(length: number, pieces: Piece[]): void {
    if (length === 0) return
    pieces.push({ bytes: this.#rest.subarray(0, length), split: true })
    this.#rest = this.#rest.subarray(length)
    this.#isBegun = true
  }

  /** The last state of a line, over what was handed out of it before. */
  #lineOf(text: string): Buffer {
    return Buffer.from(`${this.#isBegun ? '\r' : ''}${lastState(text)}`)
  }

  /** Whole lines with the last states of those that are text. */
  #folded(lines: Buffer): Buffer {
    if ((!lines.includes(carriageReturn) && !this.#isRedrawn) || !isUtf8(lines)) return lines
    const texts = lines.toString('utf8').split('\n')
    const first =
      this.#isRedrawn || texts[0]!.includes('\r') ? this.#lineOf(texts[0]!) : Buffer.from(texts[0]!)
    const others = texts.slice(1).map(text => (text.includes('\r') ? lastState(text) : text))
    return Buffer.concat([first, Buffer.from(`\n${others.join('\n')}`)])
  }

  /** A line that is not finished, without states that were written over. */
  #redrawn(line: Buffer): Buffer {
    if (!line.includes(carriageReturn) || !isUtf8(line.subarray(0, characterCut(line, line.length))))
      return line
    this.#isRedrawn = true
    const last = line.lastIndexOf(carriageReturn)
    const after = line.subarray(last + 1)
    // What follows the last carriage return is a state of its own once it shows something.
    if (after.toString('utf8').trim() !== '') return after
    return Buffer.concat([Buffer.from(lastState(line.subarray(0, last).toString('utf8'))), Buffer.from('\r')])
  }

  #cut(lines: Buffer, pieces: Piece[]): void {
    let at = 0
    while (at < lines.length) {
      const left = lines.subarray(at)
      const end =
        left.length <= this.#mostBytes ? left.length : left.lastIndexOf(newline, this.#mostBytes - 1) + 1
      const length = end > 0 ? end : characterCut(left, this.#mostBytes)
      for (const bytes of byText(left.subarray(0, length)))
        pieces.push({ bytes, split: bytes.at(-1) !== newline })
      at += length
    }
  }
}
