// What is due when: a heap over one timer. Waiting costs nothing but that timer, which looks at the clock at least once a
// second, because a timer does not notice a clock that is set.

/** Does work after a delay in milliseconds; answers how to call it off. */
export type Later = (delay_ms: number, work: () => void) => () => void

const lookEveryMs = 1000

export interface TimetableOptions {
  now: () => number
  later: Later
  /** These ids are due; each is to be set again. */
  onDue: (ids: string[]) => void
  /** The clock was set back by so much. */
  onSetBack: (ms: number) => void
}

interface Entry {
  id: string
  at: number
}

export class Timetable {
  readonly #options: TimetableOptions
  /** a binary heap; entries that the map does not know any more are passed over */
  readonly #heap: Entry[] = []
  readonly #entries = new Map<string, Entry>()
  #last: number
  #cancel: (() => void) | undefined
  #timerAt = Infinity
  #stopped = false

  constructor(options: TimetableOptions) {
    this.#options = options
    this.#last = options.now()
  }

  /** When an id is due; undefined: it is not. */
  at(id: string): number | undefined {
    return this.#entries.get(id)?.at
  }

  set(id: string, at: number): void {
    const entry = { id, at }
    this.#entries.set(id, entry)
    this.#push(entry)
    if (at < this.#timerAt) this.#arm()
  }

  delete(id: string): void {
    this.#entries.delete(id)
  }

  stop(): void {
    this.#stopped = true
    this.#cancel?.()
  }

  #arm(): void {
    if (this.#stopped) return
    this.#cancel?.()
    const first = this.#first()
    this.#timerAt = first?.at ?? Infinity
    const { now, later } = this.#options
    this.#cancel =
      first === undefined
        ? undefined
        : later(Math.min(lookEveryMs, Math.max(0, first.at - now())), () => this.#look())
  }

  #look(): void {
    const { now, onDue, onSetBack } = this.#options
    const at = now()
    const back = this.#last - at
    this.#last = at
    if (back > lookEveryMs) onSetBack(back)
    const due: string[] = []
    for (let first = this.#first(); first !== undefined && first.at <= at; first = this.#first()) {
      this.#pop()
      this.#entries.delete(first.id)
      due.push(first.id)
    }
    if (due.length > 0) onDue(due)
    this.#arm()
  }

  #first(): Entry | undefined {
    while (this.#heap.length > 0 && this.#entries.get(this.#heap[0]!.id) !== this.#heap[0]) this.#pop()
    return this.#heap[0]
  }

  #push(entry: Entry): void {
    const heap = this.#heap
    let index = heap.push(entry) - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (heap[parent]!.at <= entry.at) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = entry
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length === 0) return
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && heap[child + 1]!.at < heap[child]!.at) child++
      if (heap[child]!.at >= last.at) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = last
  }
}
