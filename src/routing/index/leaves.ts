// The leaves of an event: the plain values at its paths, each with the array element that it stands in.
import type { Scalar } from '../conditions.ts'

/** An element of an array in the event; the root element is the event itself. */
export interface Element {
  parent: Element | null
  /** counts the arrays of the event */
  array: number
  /** steps of the path at which the array stands */
  depth: number
}

export const root: Element = { parent: null, array: -1, depth: 0 }

/** Stands for a text that no trigger mentions at its path: it is never decoded, and equals nothing that one asks for. */
export const unmentioned = Symbol('unmentioned')

export type LeafValue = Scalar | typeof unmentioned

export interface Leaf {
  value: LeafValue
  element: Element
  /** the next leaf at the same path */
  next: Leaf | null
}

const none: ReadonlySet<LeafValue> = new Set()

/** Where the leaves of one path are gathered, event after event. */
export class PathSlot {
  readonly path: string
  /** the event that the rest is about: nobody clears slots that an event does not touch */
  event = 0
  first: Leaf | null = null
  last: Leaf | null = null
  count = 0
  /** its different values, and for which event they have been put together */
  different: ReadonlySet<LeafValue> = none
  different_of = 0
  /** whether one of them stands in an element of an array */
  in_arrays = false

  constructor(path: string) {
    this.path = path
  }

  clear(): void {
    this.first = null
    this.last = null
    this.different = none
    this.different_of = 0
  }

  /** Each value once, put together once for an event. */
  values(): ReadonlySet<LeafValue> {
    if (this.different_of === this.event) return this.different
    const values = new Set<LeafValue>()
    for (let leaf = this.first; leaf !== null; leaf = leaf.next) values.add(leaf.value)
    this.different = values
    this.different_of = this.event
    return values
  }
}

/** The leaves of one event after the other. Slots of another event than the present one are empty. */
export class Gathering<S extends PathSlot> {
  event = 0
  /** slots with leaves of the present event */
  touched: S[] = []
  /** arrays of the present event so far */
  arrays = 0

  begin(): void {
    this.end()
    this.event++
    this.touched = []
    this.arrays = 0
  }

  /** Lets go of what the event brought: a slot would hold the last large event of its path for ever. */
  end(): void {
    for (const slot of this.touched) slot.clear()
    this.touched = []
  }

  add(slot: S, value: LeafValue, element: Element): Leaf {
    const leaf: Leaf = { value, element, next: null }
    if (slot.event !== this.event) {
      slot.event = this.event
      slot.first = leaf
      slot.count = 1
      slot.in_arrays = element !== root
      this.touched.push(slot)
    } else {
      slot.last!.next = leaf
      slot.count++
      if (element !== root) slot.in_arrays = true
    }
    slot.last = leaf
    return leaf
  }

  first(slot: S): Leaf | null {
    return slot.event === this.event ? slot.first : null
  }
}
