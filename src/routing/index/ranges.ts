// Ranges of numbers: which of many hold a number costs the logarithm of how many there are, and those that do.
//
// Sorted by their low ends, with the greatest high end of each half beside it (an implicit interval tree). New ranges
// wait in a short list; when that is full the next number merges them in, so that one change never sorts them all.

interface Range<T> {
  low: number
  high: number
  value: T
}

const maxFresh = 64

export class Ranges<T> {
  /** sorted by low; beside each other, because a number that many hold reads them in order */
  #lows = new Float64Array(0)
  #highs = new Float64Array(0)
  #values: T[] = []
  /** for the middle of each stretch of the halving: the greatest high end in the stretch */
  #highest = new Float64Array(0)
  #fresh: Range<T>[] = []
  /** of those that are sorted: values that are no more */
  readonly #gone = new Set<T>()

  add(low: number, high: number, value: T): void {
    if (this.#gone.has(value)) this.#merge()
    this.#fresh.push({ low, high, value })
  }

  /** Takes away all ranges of a value that has some; to be called once for it. */
  removeAll(value: T): void {
    const left = this.#fresh.filter(range => range.value !== value)
    // All ranges of a value are added between two visits, so they wait together or are sorted together.
    if (left.length === this.#fresh.length) this.#gone.add(value)
    this.#fresh = left
  }

  #merge(): void {
    const old = this.#values.map((value, index) => ({
      low: this.#lows[index]!,
      high: this.#highs[index]!,
      value,
    }))
    const kept = old.filter(range => !this.#gone.has(range.value))
    const fresh = this.#fresh.toSorted((a, b) => a.low - b.low)
    const merged: Range<T>[] = []
    let next = 0
    for (const range of kept) {
      while (next < fresh.length && fresh[next]!.low < range.low) merged.push(fresh[next++]!)
      merged.push(range)
    }
    while (next < fresh.length) merged.push(fresh[next++]!)
    this.#fresh = []
    this.#gone.clear()
    this.#lows = Float64Array.from(merged, range => range.low)
    this.#highs = Float64Array.from(merged, range => range.high)
    this.#values = merged.map(range => range.value)
    this.#highest = new Float64Array(merged.length)
    this.#build(0, merged.length)
  }

  #build(from: number, to: number): number {
    if (from >= to) return -Infinity
    const middle = (from + to) >> 1
    const highest = Math.max(this.#highs[middle]!, this.#build(from, middle), this.#build(middle + 1, to))
    this.#highest[middle] = highest
    return highest
  }

  /** Emits the values of all ranges that a number lies in, both ends included; of one between two doubles: those that it may lie in. */
  visit(below: number, above: number, emit: (value: T) => void): void {
    if (this.#fresh.length > maxFresh || this.#gone.size > maxFresh + this.#values.length / 2) this.#merge()
    for (const range of this.#fresh) if (range.low <= above && below <= range.high) emit(range.value)
    this.#visit(0, this.#values.length, below, above, emit)
  }

  #visit(from: number, to: number, below: number, above: number, emit: (value: T) => void): void {
    const middle = (from + to) >> 1
    if (from >= to || this.#highest[middle]! < below) return
    this.#visit(from, middle, below, above, emit)
    if (this.#lows[middle]! > above) return
    if (below <= this.#highs[middle]! && (this.#gone.size === 0 || !this.#gone.has(this.#values[middle]!)))
      emit(this.#values[middle]!)
    this.#visit(middle + 1, to, below, above, emit)
  }

  /** Emits the values of all ranges that any of some numbers lies in, each once; sorted: the numbers in order. */
  visitAny(sorted: Float64Array, emit: (value: T) => void): void {
    if (this.#fresh.length > 0 || this.#gone.size > 0) this.#merge()
    this.#visitAny(0, this.#values.length, sorted, emit)
  }

  #visitAny(from: number, to: number, sorted: Float64Array, emit: (value: T) => void): void {
    if (from >= to) return
    const middle = (from + to) >> 1
    // Those below the least low end are of no use here and behind it.
    const rest = sorted.subarray(firstFrom(sorted, this.#lows[from]!))
    if (rest.length === 0 || rest[0]! > this.#highest[middle]!) return
    this.#visitAny(from, middle, rest, emit)
    const least = rest[firstFrom(rest, this.#lows[middle]!)]
    if (least === undefined) return
    if (least <= this.#highs[middle]!) emit(this.#values[middle]!)
    this.#visitAny(middle + 1, to, rest, emit)
  }
}

/** The index of the first number of some in order that is not below another. */
function firstFrom(sorted: Float64Array, least: number): number {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (sorted[middle]! < least) low = middle + 1
    else high = middle
  }
  return low
}
