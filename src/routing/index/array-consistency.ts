// Array consistency: conditions on fields of objects in one array must hold in the same element.
//
// Two values agree if, on the steps that their paths share, one of them is in the elements of the other: neither in
// different elements of one array, nor in different arrays that a dotted key and nesting have put on one path.
//
// Which elements hold a value that is enough for a field is worked out once for an event and shared by all branches that
// have the field (ElementSet). A branch then costs the elements of its most selective field, or an intersection of bits:
// 100 triggers over one array of 25,000 objects took 10 s while each looked at all leaves of all its fields.
import { bitWords, eachBit, hasBit, setBit, trimmed, type ElementSet } from './element-set.ts'
import { root, unmentioned, type Element, type LeafValue } from './leaf.ts'
import type { Gathering, PathSlot } from './leaves.ts'
import { fieldHolds, type Field } from '../pattern.ts'

/** A field on an event: where its values stand, and where those that are enough. */
export interface Met {
  field: Field
  slot: PathSlot
  /** the elements with a value that is enough */
  holding(): ElementSet
  /** whether such a value is in an element */
  holdsIn(id: number): boolean
  /** at most so many elements hold one; Infinity where that has not been worked out */
  most(): number
}

/** Whether a leaf is enough for a field; all texts that no trigger mentions are alike. */
export function leafHolds(field: Field, value: LeafValue): boolean {
  return value === unmentioned ? passesUnmentioned(field) : fieldHolds(field, value)
}

export function passesUnmentioned({ conditions }: Field): boolean {
  return conditions.some(({ test }) => test.kind === 'exists' || test.kind === 'anything_but')
}

/** Steps that two paths share at the front. */
function sharedSteps(a: readonly string[], b: readonly string[]): number {
  let count = 0
  while (count < a.length && count < b.length && a[count] === b[count]) count++
  return count
}

/** Whether all fields, sorted by path, hold in elements that agree; each holds by itself. */
export function consistent(fields: readonly Met[], event: Gathering<PathSlot>): boolean {
  // A value outside all arrays agrees with everything, and a missing value is absent everywhere.
  const met: Met[] = []
  for (const each of fields) if (each.slot.event === event.event && each.slot.in_arrays) met.push(each)
  const [first] = met
  if (first === undefined) return true
  if (met.length === 1) return !first.field.absent || !first.holding().empty
  const mixed =
    event.mixed && isMixed(fields.map(({ slot }) => slot).filter(slot => slot.event === event.event))
  let shared = first.slot.steps.length
  let deepest = 0
  for (const { slot } of met) {
    shared = Math.min(shared, sharedSteps(first.slot.steps, slot.steps))
    deepest = Math.max(deepest, slot.deepest)
  }
  return !mixed && deepest <= shared ? inOneElement(met) : new Join(met, event, mixed).holds()
}

/** Whether values stand both in an element and beside it, on the steps that the paths of some fields share. */
function isMixed(slots: readonly PathSlot[]): boolean {
  return slots.some(outer => {
    const ids = new Map<number, Set<number>>()
    return slots.some(inner => {
      const steps = sharedSteps(outer.steps, inner.steps)
      let beside = ids.get(steps)
      if (beside === undefined)
        ids.set(steps, (beside = new Set(elementsOf(outer).map(element => trimmed(element, steps).id))))
      return elementsOf(inner).some(element => {
        for (let at = trimmed(element, steps).parent; at !== null; at = at.parent)
          if (beside.has(at.id)) return true
        return false
      })
    })
  })
}

function elementsOf({ first }: PathSlot): Element[] {
  const elements: Element[] = []
  for (let leaf = first; leaf !== null; leaf = leaf.next)
    if (leaf.element !== elements.at(-1)) elements.push(leaf.element)
  return elements
}

/**
 * Where all arrays are on the steps that all fields share, one element has to do for all. The first field has values, so
 * it is not absent while no element is fixed.
 */
function inOneElement(met: readonly Met[]): boolean {
  let driver = met[0]!
  for (const each of met) if (!each.field.absent && each.most() < driver.most()) driver = each
  const { few } = driver.holding()
  const mayLack = (index: number): boolean => index > 0 && met[index]!.field.absent
  if (few !== undefined)
    return few.some(id =>
      met.every(
        (each, index) =>
          each === driver || each.holdsIn(id) || (mayLack(index) && !hasBit(each.slot.present(), id)),
      ),
    )
  const left = met[0]!.holding().bits.slice()
  for (const [index, each] of met.entries()) {
    const { bits } = each.holding()
    // Behind the last element of a path nothing stands and nothing holds.
    const present = mayLack(index) ? each.slot.present() : undefined
    for (let word = 0; word < left.length; word++)
      left[word]! &= present === undefined ? (bits[word] ?? 0) : (bits[word] ?? 0) | ~(present[word] ?? 0)
  }
  for (const word of left) if (word !== 0) return true
  return false
}

interface Joined {
  met: Met
  slot: PathSlot
  /** its place in the order of the language */
  order: number
  mayLack: boolean
}

/**
 * Fields with arrays in arrays, from the longest steps that some of them share to the shortest. Takes the elements of the
 * event once for each place where their paths part, whatever the number of values.
 */
class Join {
  readonly #elements: readonly Element[]
  readonly #words: number
  /** in the order of their steps */
  readonly #met: readonly Joined[]
  readonly #mixed: boolean

  readonly #known: Gathering<PathSlot>['lifted']

  constructor(met: readonly Met[], { elements, lifted }: Gathering<PathSlot>, mixed: boolean) {
    this.#elements = elements
    this.#known = lifted
    this.#words = bitWords(elements.length)
    this.#mixed = mixed
    // Where values are mixed nothing is fixed, and what has a value anywhere is not absent (PATTERNS.md).
    this.#met = met
      .map((each, order): Joined => ({
        met: each,
        slot: each.slot,
        order,
        mayLack: each.field.absent && !mixed,
      }))
      .toSorted(({ slot: a }, { slot: b }) => compareSteps(a.steps, b.steps))
  }

  holds(): boolean {
    return hasBit(this.#within(0, this.#met.length, 1), root.id)
  }

  /** The elements in which the fields of a stretch hold, all together, by values whose arrays are on further steps than so many. */
  #within(from: number, to: number, steps: number): Uint32Array {
    if (to - from === 1) return this.#alone(from, steps)
    const shared = sharedSteps(this.#met[from]!.slot.steps, this.#met[to - 1]!.slot.steps)
    let both: Uint32Array | undefined
    let end = from
    for (let start = from; start < to; start = end) {
      end = start + 1
      while (end < to && sharedSteps(this.#met[start]!.slot.steps, this.#met[end]!.slot.steps) > shared) end++
      const own = this.#within(start, end, shared + 1)
      if (this.#mixed) this.#lower(own)
      if (both === undefined) both = own
      else for (let word = 0; word < this.#words; word++) both[word]! &= own[word]!
    }
    const stretch = this.#met.slice(from, to)
    return stretch.some(({ mayLack }) => mayLack)
      ? this.#fixed(stretch, both!, steps, shared)
      : this.#lifted(both!, steps)
  }

  #alone(at: number, steps: number): Uint32Array {
    const { mayLack, slot } = this.#met[at]!
    const held = this.#liftedCopy(this.#met[at]!.met.holding().bits, steps).slice()
    if (!mayLack) return held
    const present = this.#liftedCopy(slot.present(), steps)
    for (let word = 0; word < this.#words; word++) held[word]! |= ~present[word]!
    return held
  }

  /** Lifted once for an event: many fields have the same set. Not to be changed. */
  #liftedCopy(bits: Uint32Array, steps: number): Uint32Array {
    const known = this.#known.get(bits)
    if (known?.steps === steps) return known.bits
    const copy = new Uint32Array(this.#words)
    copy.set(bits)
    const lifted = { steps, bits: this.#lifted(copy, steps) }
    this.#known.set(bits, lifted)
    return lifted.bits
  }

  /** What holds in an element of an array on further steps holds in the element around it. */
  #lifted(bits: Uint32Array, steps: number): Uint32Array {
    for (let word = this.#words - 1; word >= 0; word--) {
      // Ids grow from the outside to the inside, so an element is looked at before the one around it.
      for (let left = bits[word]!; left !== 0;) {
        const at = 31 - Math.clz32(left)
        left &= ~(1 << at)
        const { depth, parent } = this.#elements[word * 32 + at]!
        if (parent === null || depth < steps) continue
        setBit(bits, parent.id)
        if (parent.id >>> 5 === word) left |= 1 << (parent.id & 31)
      }
    }
    return bits
  }

  /** A value in an element beside arrays agrees with everything in them. */
  #lower(bits: Uint32Array): void {
    for (const { id, parent } of this.#elements)
      if (parent !== null && hasBit(bits, parent.id)) setBit(bits, id)
  }

  /**
   * Lifts what holds in elements from the first to the last of some steps, where fields may be absent: the element of an
   * array that is chosen is one in which the first of them has a value that has one in the array at all. It cannot be
   * absent before an element is fixed, so it is what fixes one.
   */
  #fixed(stretch: readonly Joined[], bits: Uint32Array, first: number, last: number): Uint32Array {
    const leading = this.#leading(stretch, first)
    const inner = new Uint32Array(this.#words)
    const good = new Uint32Array(this.#words)
    for (let id = this.#elements.length - 1; id >= 0; id--) {
      const { depth, parent } = this.#elements[id]!
      const sat = hasBit(inner, id) ? hasBit(good, id) : hasBit(bits, id)
      if (sat) setBit(bits, id)
      else bits[id >>> 5]! &= ~(1 << (id & 31))
      if (parent === null || depth < first || depth > last || leading[id] === stretch.length) continue
      setBit(inner, parent.id)
      if (sat && leading[id] === leading[parent.id]) setBit(good, parent.id)
    }
    return bits
  }

  /** By element: the first field, in the order of the language, that has a value in it; as many as there are: none has. */
  #leading(stretch: readonly Joined[], steps: number): Int32Array {
    const leading = new Int32Array(this.#elements.length).fill(stretch.length)
    for (const [index, { slot }] of stretch.toSorted((a, b) => a.order - b.order).entries())
      eachBit(slot.present(), id => {
        if (leading[id]! > index) leading[id] = index
      })
    for (let id = leading.length - 1; id > 0; id--) {
      const { depth, parent } = this.#elements[id]!
      if (depth >= steps && leading[id]! < leading[parent!.id]!) leading[parent!.id] = leading[id]!
    }
    return leading
  }
}

function compareSteps(a: readonly string[], b: readonly string[]): number {
  const at = sharedSteps(a, b)
  if (at === a.length || at === b.length) return a.length - b.length
  return a[at]! < b[at]! ? -1 : 1
}
