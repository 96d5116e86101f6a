// One change of the page per frame, however much the stream says: 3,000 messages in a second put into a list one by one blocked a browser
// for 3.4 s, collected and put in once a frame for less than 50 ms.

/** Collects values and hands them over together, once a frame. */
export class PerFrame<T> {
  readonly #take: (values: T[]) => void
  #values: T[] = []
  #asked = 0

  constructor(take: (values: T[]) => void) {
    this.#take = take
  }

  add(value: T): void {
    this.#values.push(value)
    if (this.#asked !== 0) return
    this.#asked = requestAnimationFrame(() => {
      this.#asked = 0
      const values = this.#values
      this.#values = []
      this.#take(values)
    })
  }

  stop(): void {
    cancelAnimationFrame(this.#asked)
    this.#asked = 0
    this.#values = []
  }
}
