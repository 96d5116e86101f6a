// Which values and elements of one event are enough for a field.
import { ElementSet } from './element-set.ts'
import type { LeafValue } from './leaf.ts'
import { fewLeaves, type PathSlot } from './leaves.ts'
import type { Scalar } from '../conditions.ts'
import type { Field } from '../pattern.ts'
import type { ValueIndex } from './value-index.ts'

/** Whether any of the values is enough. */
export function anyHolds(index: ValueIndex, { conditions, exact }: Field): boolean {
  if (exact !== undefined && exact.size > index.elements.size) {
    for (const value of index.elements.keys()) if (typeof value !== 'symbol' && exact.has(value)) return true
    return conditions.some(({ test }) => test.kind !== 'equals' && index.any(test))
  }
  return conditions.some(({ test }) => index.any(test))
}

/** The elements with a value that is enough. */
export function elementsThatHold(
  slot: PathSlot,
  { conditions }: Field,
  holdsFor: (value: LeafValue) => boolean,
): ElementSet {
  const held = new ElementSet(slot.present().length)
  if (slot.count <= fewLeaves) {
    for (let leaf = slot.first; leaf !== null; leaf = leaf.next)
      if (holdsFor(leaf.value)) held.add(leaf.element.id)
    return held
  }
  const index = slot.index()
  const only = conditions.length === 1 ? conditions[0]!.test : undefined
  if (only?.kind === 'range') return index.elementsIn(only, slot.present().length)
  if (only?.kind === 'exists') return new ElementSet(slot.present())
  if (only?.kind === 'anything_but' && slot.count === slot.places()) return allBut(slot, index, only.excluded)
  for (const { test } of conditions)
    for (const value of index.hits(test)) for (const id of index.elements.get(value)!) held.add(id)
  return held
}

/** Where each element has one value: those with another than some. */
function allBut(slot: PathSlot, index: ValueIndex, excluded: Iterable<Scalar>): ElementSet {
  const bits = slot.present().slice()
  for (const value of excluded)
    for (const id of index.elements.get(value) ?? []) bits[id >>> 5]! &= ~(1 << (id & 31))
  return new ElementSet(bits)
}

/** So many values of one element are looked at one by one. */
const fewInElement = 8

/** Whether a value in an element is enough. */
export function holdsIn(
  slot: PathSlot,
  id: number,
  holdsFor: (value: LeafValue) => boolean,
  holding: () => ElementSet,
): boolean {
  const leaves = slot.leavesIn(id)
  return leaves.length > fewInElement ? holding().has(id) : leaves.some(({ value }) => holdsFor(value))
}
