// Texts as a trie of UTF-16 units: which of many beginnings (or, read backwards, endings) a text has costs the length
// of the longest that fits, however many there are.
//
// Edges stand in one open-addressing table (node and unit -> node): 12 bytes an edge at half load, where a Map for each
// node takes 200. Nodes stay when a text goes; who owns a trie builds it anew when most of it is dead.

export class CharTrie<T> {
  #from: Int32Array
  #unit: Uint16Array
  #to: Int32Array
  /** by node: where it came from, for those who build upon the trie */
  readonly parents: number[] = [-1]
  readonly units: number[] = [0]
  /** by node: what ends here */
  readonly ends: (T[] | undefined)[] = [undefined]

  /** units: how many the texts may have together, so that the table need not grow for them */
  constructor(units = 16) {
    const size = 2 ** Math.ceil(Math.log2(units * 2 + 2))
    this.#from = new Int32Array(size).fill(-1)
    this.#unit = new Uint16Array(size)
    this.#to = new Int32Array(size)
  }

  #place(node: number, unit: number): number {
    const mask = this.#from.length - 1
    let at = (Math.imul(node, 0x9e3779b1) ^ Math.imul(unit, 0x85ebca6b)) & mask
    while (this.#from[at] !== -1 && (this.#from[at] !== node || this.#unit[at] !== unit)) at = (at + 1) & mask
    return at
  }

  /** The node behind a unit, or -1. */
  next(node: number, unit: number): number {
    const at = this.#place(node, unit)
    return this.#from[at] === -1 ? -1 : this.#to[at]!
  }

  #grown(node: number, unit: number): number {
    const at = this.#place(node, unit)
    if (this.#from[at] !== -1) return this.#to[at]!
    const child = this.ends.length
    this.parents.push(node)
    this.units.push(unit)
    this.ends.push(undefined)
    this.#from[at] = node
    this.#unit[at] = unit
    this.#to[at] = child
    if (this.ends.length * 2 > this.#from.length) this.#double()
    return child
  }

  #double(): void {
    const [from, unit, to] = [this.#from, this.#unit, this.#to]
    this.#from = new Int32Array(from.length * 2).fill(-1)
    this.#unit = new Uint16Array(from.length * 2)
    this.#to = new Int32Array(from.length * 2)
    for (const [index, node] of from.entries()) {
      if (node === -1) continue
      const at = this.#place(node, unit[index]!)
      this.#from[at] = node
      this.#unit[at] = unit[index]!
      this.#to[at] = to[index]!
    }
  }

  /** The node at which a text ends, made where there is none. */
  grow(text: string, backwards = false): number {
    let node = 0
    for (let index = 0; index < text.length; index++) node = this.#grown(node, text.charCodeAt(backwards ? text.length - 1 - index : index))
    return node
  }

  add(text: string, value: T, backwards = false): void {
    const node = this.grow(text, backwards)
    const present = this.ends[node]
    if (present === undefined) this.ends[node] = [value]
    else present.push(value)
  }

  /** Answers whether it was there. */
  remove(text: string, value: T, backwards = false): boolean {
    const node = this.grow(text, backwards)
    const left = this.ends[node]?.filter(each => each !== value)
    if (left === undefined || left.length === this.ends[node]!.length) return false
    this.ends[node] = left.length === 0 ? undefined : left
    return true
  }

  /** How many values end at a text. */
  crowd(text: string, backwards = false): number {
    let node = 0
    for (let index = 0; index < text.length && node >= 0; index++) node = this.next(node, text.charCodeAt(backwards ? text.length - 1 - index : index))
    return node < 0 ? 0 : (this.ends[node]?.length ?? 0)
  }

  /** What ends at any beginning (backwards: ending) of a text. */
  visit(text: string, backwards: boolean, emit: (value: T) => void): void {
    let node = 0
    for (let index = 0; ; index++) {
      const ends = this.ends[node]
      if (ends !== undefined) for (const value of ends) emit(value)
      if (index === text.length) return
      node = this.next(node, text.charCodeAt(backwards ? text.length - 1 - index : index))
      if (node === -1) return
    }
  }
}
