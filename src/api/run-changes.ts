// Which runs have changed, and in which order: each run once, at its last change. Kept in memory, for subscriptions: who comes back
// with a place that is not known any more, since the router started anew or too much has changed, is told so and reads runs anew.
import { randomBytes } from 'node:crypto'

/** Runs whose last change is kept. */
const mostKept = 10_000

export class RunChanges {
  /** of this life of the router: places of another one say nothing */
  readonly #life = randomBytes(6).toString('hex')
  /** by run: its last change; the oldest first */
  readonly #last = new Map<string, number>()
  readonly #most: number
  #seq = 0
  /** the last change that is not known any more */
  #dropped = 0

  constructor(most = mostKept) {
    this.#most = most
  }

  /** These runs moved, or have new output. */
  add(run_ids: readonly string[]): void {
    for (const id of run_ids) {
      // Deleted first, so that it stands behind all others.
      this.#last.delete(id)
      this.#last.set(id, ++this.#seq)
    }
    for (const [id, seq] of this.#last) {
      if (this.#last.size <= this.#most) break
      this.#last.delete(id)
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

  /** Where a place is; null: it is not known any more. undefined: it is none. */
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

  /** Runs that changed behind a place, in order, so many at most. */
  after(seq: number, most: number): { run_id: string; seq: number }[] {
    const found: { run_id: string; seq: number }[] = []
    for (const [run_id, own] of this.#last) {
      if (own <= seq) continue
      found.push({ run_id, seq: own })
      if (found.length === most) break
    }
    return found
  }
}
