// The texts that are mentioned at a path.

/** The hashes of the texts that are mentioned at a path, as bits: what is not among them need not be decoded. */
export class Mentions {
  #bits = new Uint32Array(2)
  #count = 0

  has(hash: number): boolean {
    return (this.#bits[(hash >>> 5) & (this.#bits.length - 1)]! & (1 << (hash & 31))) !== 0
  }

  add(hash: number): void {
    this.#bits[(hash >>> 5) & (this.#bits.length - 1)]! |= 1 << (hash & 31)
  }

  /** Whether there is room for one more; otherwise those that are living have to be put in again. */
  get full(): boolean {
    return ++this.#count * 16 > this.#bits.length * 32
  }

  /** Empties it, for so many. */
  reset(count: number): void {
    this.#bits = new Uint32Array(2 ** Math.ceil(Math.log2(Math.max(2, count * 2))))
    this.#count = count
  }
}
