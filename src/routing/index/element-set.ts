// Sets of array elements of one event, by their ids: a list while they are few, else one bit for each element.
import type { Element } from './leaf.ts'

/** So many elements are looked at one by one. */
const fewElements = 8

export function bitWords(elements: number): number {
  return (elements + 31) >>> 5
}

export function hasBit(bits: Uint32Array, id: number): boolean {
  return ((bits[id >>> 5] ?? 0) & (1 << (id & 31))) !== 0
}

export function setBit(bits: Uint32Array, id: number): void {
  bits[id >>> 5]! |= 1 << (id & 31)
}

export function countBits(bits: Uint32Array): number {
  let count = 0
  for (const word of bits) for (let left = word; left !== 0; left &= left - 1) count++
  return count
}

export class ElementSet {
  /** undefined: bits has them */
  few: number[] | undefined = []
  #bits: Uint32Array | undefined
  readonly #words: number

  /** words: for the last element that it may have; or the bits themselves */
  constructor(words: number | Uint32Array) {
    this.#words = typeof words === 'number' ? words : words.length
    if (typeof words === 'number') return
    this.#bits = words
    this.few = undefined
  }

  add(id: number): void {
    if (this.few === undefined) setBit(this.#bits!, id)
    else if (!this.few.includes(id)) {
      if (this.few.length === fewElements) {
        this.#bits = this.bits
        setBit(this.#bits, id)
        this.few = undefined
      } else this.few.push(id)
    }
  }

  has(id: number): boolean {
    return this.few === undefined ? hasBit(this.#bits!, id) : this.few.includes(id)
  }

  get empty(): boolean {
    return this.few === undefined ? !this.#bits!.some(word => word !== 0) : this.few.length === 0
  }

  /** Not to be changed. */
  get bits(): Uint32Array {
    if (this.#bits !== undefined) return this.#bits
    const bits = new Uint32Array(this.#words)
    for (const id of this.few!) setBit(bits, id)
    return bits
  }
}

export function eachBit(bits: Uint32Array, visit: (id: number) => void): void {
  for (let word = 0; word < bits.length; word++) {
    for (let left = bits[word]!; left !== 0; left &= left - 1)
      visit(word * 32 + 31 - Math.clz32(left & -left))
  }
}

/** The element, or the one around it, whose array stands among the first steps of a path. */
export function trimmed(element: Element, steps: number): Element {
  let at = element
  while (at.parent !== null && at.depth > steps) at = at.parent
  return at
}
