// What a command printed and the router has not taken yet. The router may be slower than the command: then the middle is dropped
// here, as it would be in the store, so that the command is never held up and memory is bounded. Pure.

export type CommandStream = 'stdout' | 'stderr'

export interface OutputChunk {
  stream: CommandStream
  /** bytes of this stream before it, those that were dropped included */
  offset: number
  /** milliseconds since it was read */
  age_ms: number
  bytes: Uint8Array
}

interface Held {
  stream: CommandStream
  offset: number
  /** bytes of both streams before it */
  from: number
  at: number
  pieces: Buffer[]
  length: number
}

/** Always kept. */
export const headBytes = 65_536
/** Chunks that follow one another within this time are one. */
const mergedMs = 20
const mergedBytes = 65_536
/** What a chunk costs beside its bytes. */
const chunkCost = 64

function costOf({ length }: Held): number {
  return length + chunkCost
}

/** The last bytes of what is added. */
export class End {
  readonly #most: number
  #chunks: Buffer[] = []
  #length = 0
  /** everything that was added */
  total = 0

  constructor(most: number) {
    this.#most = most
  }

  add(chunk: Buffer): void {
    this.total += chunk.length
    this.#chunks.push(chunk)
    this.#length += chunk.length
    // Joined now and then: many small chunks would take more memory than they hold.
    if (this.#length > 2 * this.#most || this.#chunks.length > 1024) this.bytes()
  }

  bytes(): Buffer {
    const bytes = Buffer.concat(this.#chunks).subarray(-this.#most)
    this.#chunks = [bytes]
    this.#length = bytes.length
    return bytes
  }
}

export class PendingOutput {
  readonly #most: number
  readonly #now: () => number
  #held: Held[] = []
  #cost = 0
  #total = 0
  readonly #offsets: Record<CommandStream, number> = { stdout: 0, stderr: 0 }

  /** most: bytes to hold, the head included */
  constructor(most: number, now: () => number) {
    this.#most = Math.max(most, headBytes * 2)
    this.#now = now
  }

  get isEmpty(): boolean {
    return this.#held.length === 0
  }

  add(stream: CommandStream, chunk: Buffer): void {
    const at = this.#now()
    const last = this.#held.at(-1)
    if (last?.stream === stream && at - last.at <= mergedMs && last.length + chunk.length <= mergedBytes) {
      last.pieces.push(chunk)
      last.length += chunk.length
      this.#cost += chunk.length
    } else {
      const held: Held = {
        stream,
        offset: this.#offsets[stream],
        from: this.#total,
        at,
        pieces: [chunk],
        length: chunk.length,
      }
      this.#held.push(held)
      this.#cost += costOf(held)
    }
    this.#offsets[stream] += chunk.length
    this.#total += chunk.length
    if (this.#cost > this.#most) this.#drop()
  }

  /** The oldest chunks behind the head go: some more than needed, so that this is seldom done. */
  #drop(): void {
    const first = this.#held.findIndex(({ from }) => from >= headBytes)
    if (first < 0) return
    let end = first
    const enough = this.#most - this.#most / 8
    while (this.#cost > enough && end < this.#held.length - 1) this.#cost -= costOf(this.#held[end++]!)
    this.#held.splice(first, end - first)
  }

  /** Takes the oldest chunks, of so many bytes at most or one. */
  take(mostBytes: number): OutputChunk[] {
    const now = this.#now()
    let [count, bytes] = [0, 0]
    while (count < this.#held.length && (count === 0 || bytes + this.#held[count]!.length <= mostBytes))
      bytes += this.#held[count++]!.length
    const taken = this.#held.splice(0, count)
    for (const held of taken) this.#cost -= costOf(held)
    return taken.map(({ stream, offset, at, pieces }) => ({
      stream,
      offset,
      age_ms: now - at,
      bytes: pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces),
    }))
  }
}
