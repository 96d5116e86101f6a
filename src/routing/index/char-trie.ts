// Texts as a trie of UTF-16 units: which of many beginnings (or, read backwards, endings) a text has costs the length
// of the longest that fits, however many there are.
//
// Edges are in one open-addressing table (node and unit -> node): 12 bytes an edge at half load, where a Map for each
// node takes 200. Nodes stay when a text goes, until most of the trie is dead: then it is rebuilt.

/** Below so many dead units a trie is not worth rebuilding. */
const leastDead = 4096

function tableSize(units: number): number {
  return 2 ** Math.ceil(Math.log2(units * 2 + 2))
}

export class CharTrie<T> {
  #from: Int32Array
  #unit: Uint16Array
  #to: Int32Array
  /** by node: where it came from, for those who build upon the trie */
  parents: number[] = [-1]
  units: number[] = [0]
  /** by node: what ends here */
  ends: (T[] | undefined)[] = [undefined]
  /** by node: the last event that led there */
  #met: number[] = []
  /** units of the texts that are in it, and of those that were */
  #living = 0
  #dead = 0

  /** units: how many the texts may have together, so that the table need not grow for them */
  constructor(units = 16) {
    const size = tableSize(units)
    this.#from = new Int32Array(size).fill(-1)
    this.#unit = new Uint16Array(size)
    this.#to = new Int32Array(size)
  }

  /** The same texts in as much room as they need. */
  #compact(): void {
    const texts = this.ends.flatMap((ends, node) =>
      ends === undefined ? [] : [{ way: this.#wayTo(node), ends }],
    )
    const size = tableSize(this.#living)
    this.#from = new Int32Array(size).fill(-1)
    this.#unit = new Uint16Array(size)
    this.#to = new Int32Array(size)
    this.parents = [-1]
    this.units = [0]
    this.ends = [undefined]
    this.#dead = 0
    this.#met = []
    for (const { way, ends } of texts)
      this.ends[way.reduce((node, unit) => this.#grown(node, unit), 0)] = ends
  }

  #wayTo(node: number): number[] {
    const way: number[] = []
    for (let at = node; at > 0; at = this.parents[at]!) way.push(this.units[at]!)
    return way.toReversed()
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
    for (let index = 0; index < text.length; index++)
      node = this.#grown(node, text.charCodeAt(backwards ? text.length - 1 - index : index))
    return node
  }

  add(text: string, value: T, backwards = false): void {
    const node = this.grow(text, backwards)
    const present = this.ends[node]
    if (present === undefined) this.ends[node] = [value]
    else present.push(value)
    this.#living += text.length
  }

  /** The node at which a text ends, or -1. */
  #find(text: string, backwards: boolean): number {
    let node = 0
    for (let index = 0; index < text.length && node >= 0; index++)
      node = this.next(node, text.charCodeAt(backwards ? text.length - 1 - index : index))
    return node
  }

  /** Takes a value from a text, where it is there. */
  remove(text: string, value: T, backwards = false): void {
    const node = this.#find(text, backwards)
    const present = node < 0 ? undefined : this.ends[node]
    const left = present?.filter(each => each !== value) ?? []
    const gone = ((present?.length ?? 0) - left.length) * text.length
    if (gone === 0 && left.length === (present?.length ?? 0)) return
    this.ends[node] = left.length === 0 ? undefined : left
    this.#living -= gone
    this.#dead += gone
    if (this.#dead > this.#living + leastDead) this.#compact()
  }

  /** How many values end at a text. */
  attachedAt(text: string, backwards = false): number {
    const node = this.#find(text, backwards)
    return node < 0 ? 0 : (this.ends[node]?.length ?? 0)
  }

  /** What ends at any beginning (backwards: ending) of a text, unless another text of the event has led there. */
  visit(text: string, backwards: boolean, emit: (value: T) => void, event: number): void {
    let node = 0
    for (let index = 0; ; index++) {
      const ends = this.ends[node]
      if (ends !== undefined && this.#met[node] !== event) {
        this.#met[node] = event
        for (const value of ends) emit(value)
      }
      if (index === text.length) return
      node = this.next(node, text.charCodeAt(backwards ? text.length - 1 - index : index))
      if (node === -1) return
    }
  }
}
