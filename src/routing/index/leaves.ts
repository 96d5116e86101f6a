// The leaves of an event: the plain values at its paths, each with the array element that it is in.
import type { WildcardTest } from '../conditions.ts'
import { bitWords, countBits, setBit } from './element-set.ts'
import { root, type Element, type Leaf, type LeafValue } from './leaf.ts'
import { ValueIndex } from './value-index.ts'

/** Of more leaves at one path, conditions ask an index: a hostile event has a thousand. */
export const fewLeaves = 16

/** Where the leaves of one path are gathered, event after event. */
export class PathSlot {
  readonly path: string
  readonly steps: readonly string[]
  /** the event that the rest is about: slots that an event does not touch are not cleared */
  event = 0
  first: Leaf | null = null
  last: Leaf | null = null
  count = 0
  /** whether one of them is in an element of an array */
  in_arrays = false
  /** the greatest depth of these elements */
  deepest = 0
  /** worked out once for an event, where it is asked for */
  #index: ValueIndex | null = null
  #present: Uint32Array | null = null
  #places: number | undefined
  #leaves: Map<number, Leaf[]> | null = null

  constructor(path: string) {
    this.path = path
    this.steps = path.split('.')
  }

  clear(): void {
    this.first = null
    this.last = null
    this.#index = null
    this.#present = null
    this.#places = undefined
    this.#leaves = null
  }

  /** Its values in order. */
  index(): ValueIndex {
    return (this.#index ??= new ValueIndex(this.first, test => this.fitting(test)))
  }

  /** The texts that fit a wildcard; undefined where it is tried by itself. */
  fitting(_test: WildcardTest): readonly string[] | undefined {
    return undefined
  }

  /** The elements that a leaf is in, without those after the last. */
  present(): Uint32Array {
    if (this.#present !== null) return this.#present
    let most = 0
    for (let leaf = this.first; leaf !== null; leaf = leaf.next) most = Math.max(most, leaf.element.id)
    const bits = new Uint32Array(bitWords(most + 1))
    for (let leaf = this.first; leaf !== null; leaf = leaf.next) setBit(bits, leaf.element.id)
    this.#present = bits
    return bits
  }

  /** In how many elements its leaves stand. */
  places(): number {
    return (this.#places ??= countBits(this.present()))
  }

  /** The leaves directly in an element, not in an array inside it. */
  leavesIn(id: number): readonly Leaf[] {
    if (this.#leaves === null) {
      this.#leaves = new Map()
      for (let leaf = this.first; leaf !== null; leaf = leaf.next) {
        const present = this.#leaves.get(leaf.element.id)
        if (present === undefined) this.#leaves.set(leaf.element.id, [leaf])
        else present.push(leaf)
      }
    }
    return this.#leaves.get(id) ?? []
  }
}

/** The leaves of one event after the other. Slots of another event than the current one are empty. */
export class Gathering<S extends PathSlot> {
  event = 0
  /** slots with leaves of the present event */
  touched: S[] = []
  /** array elements of the present event so far, by id */
  elements: Element[] = [root]
  /** whether values may stand beside an array on its own path: a list has plain values and others, or a key has dots */
  mixed = false
  /** sets of elements, each lifted to those around them whose arrays stand on less than so many steps (array-consistency.ts) */
  lifted = new Map<Uint32Array, { steps: number; bits: Uint32Array }>()

  begin(): void {
    this.end()
    this.event++
    this.touched = []
  }

  /** Lets go of what the event brought: a slot would hold the last large event of its path for ever. */
  end(): void {
    for (const slot of this.touched) slot.clear()
    this.touched = []
    if (this.elements.length > 1) this.elements = [root]
    this.mixed = false
    if (this.lifted.size > 0) this.lifted = new Map()
  }

  element(parent: Element, depth: number): Element {
    const element: Element = { parent, depth, id: this.elements.length }
    this.elements.push(element)
    return element
  }

  add(slot: S, value: LeafValue, element: Element): Leaf {
    const leaf: Leaf = { value, element, next: null }
    if (slot.event !== this.event) {
      slot.event = this.event
      slot.first = leaf
      slot.count = 1
      slot.in_arrays = element !== root
      slot.deepest = element.depth
      this.touched.push(slot)
    } else {
      slot.last!.next = leaf
      slot.count++
      if (element !== root) slot.in_arrays = true
      if (element.depth > slot.deepest) slot.deepest = element.depth
    }
    slot.last = leaf
    return leaf
  }

  first(slot: S): Leaf | null {
    return slot.event === this.event ? slot.first : null
  }
}
