// The order of the last changes of runs, kept in memory for subscriptions. A subscription that comes back with a place that is no longer
// known, after a restart or after too many changes, must read the runs again.
import { randomBytes } from 'node:crypto'

/** Runs whose last change is kept; between two cleanups there can be twice as many. */
const mostKept = 10_000

interface Change {
  run_id: string
  seq: number
}

export class RunChanges {
  /** of this life of the router: places of another one say nothing */
  readonly #life = randomBytes(6).toString('hex')
  /** by run: its last change */
  readonly #last = new Map<string, number>()
  /** changes in order; includes outdated ones until the next cleanup */
  #order: Change[] = []
  readonly #most: number
  #seq = 0
  /** the last change that is not known any more */
  #dropped = 0

  constructor(most = mostKept) {
    this.#most = most
  }

  /** These runs moved, or have new output. */
  add(run_ids: readonly string[]): void {
    for (const run_id of run_ids) {
      const seq = ++this.#seq
      this.#last.set(run_id, seq)
      this.#order.push({ run_id, seq })
    }
    if (this.#order.length > 2 * this.#most) this.#tidy()
  }

  #isLast({ run_id, seq }: Change): boolean {
    return this.#last.get(run_id) === seq
  }

  /** Removes outdated changes, and those of the oldest runs if there are too many. */
  #tidy(): void {
    const all = this.#order.filter(change => this.#isLast(change))
    this.#order = all.slice(-this.#most)
    for (const { run_id, seq } of all.slice(0, -this.#most)) {
      this.#last.delete(run_id)
      this.#dropped = seq
    }
  }

  /** The last change. */
  get now(): number {
    return this.#seq
  }

  /** A place as it is handed out. */
  place(seq: number): string {
    return `${this.#life}.${seq}`
  }

  /** The position of a place; null: no longer known; undefined: invalid. */
  find(place: string): number | null | undefined {
    const [, life, text] = /^([0-9a-f]{12})\.(\d{1,15})$/.exec(place) ?? []
    if (life === undefined) return undefined
    const seq = Number(text)
    return life === this.#life && seq <= this.#seq && this.isKnown(seq) ? seq : null
  }

  /** Whether every run that changed behind a place is known. */
  isKnown(seq: number): boolean {
    return seq >= this.#dropped
  }

  /**
   * Runs that changed after a place, in order, at most so many. Every subscription asks after every change, so this is a binary
   * search: a loop over 10,000 runs took 60 µs.
   */
  after(seq: number, most: number): Change[] {
    const found: Change[] = []
    for (let at = this.#firstBehind(seq); at < this.#order.length && found.length < most; at++) {
      const change = this.#order[at]!
      if (this.#isLast(change)) found.push(change)
    }
    return found
  }

  /** Index of the first change after a place. */
  #firstBehind(seq: number): number {
    let [low, high] = [0, this.#order.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#order[middle]!.seq > seq) high = middle
      else low = middle + 1
    }
    return low
  }
}
