// Array consistency: conditions on fields of objects in one array must hold in the same element.
//
// Fields are taken in the order of their paths. What is kept from one to the next are the sets of elements that are
// still possible (bindings); two values agree unless they stand in different elements of the same array.
import { root, unmentioned, type Element, type Leaf } from './leaves.ts'
import { fieldHolds, type Field } from '../pattern.ts'

/** Beyond so many pairs only elements that contain one another are joined (PATTERNS.md, "Limits"). */
const maxPairs = 4096

/** A field with the leaves at its path. */
export interface Met {
  field: Field
  first: Leaf | null
}

/** Whether a leaf is enough for a field; a text that nobody mentions is like any other such text. */
export function leafHolds(field: Field, { value }: Leaf): boolean {
  return value === unmentioned ? passesUnmentioned(field) : fieldHolds(field, value)
}

export function passesUnmentioned({ conditions }: Field): boolean {
  return conditions.some(({ test }) => test.kind === 'exists' || test.kind === 'anything_but')
}

/** The element, or the one around it, whose array stands among the first steps of a path. */
function trimmed(element: Element, steps: number): Element {
  let at = element
  while (at.parent !== null && at.depth > steps) at = at.parent
  return at
}

function contains(outer: Element, inner: Element): boolean {
  for (let at: Element | null = inner; at !== null; at = at.parent) if (at === outer) return true
  return false
}

/** Whether two elements may hold at once: they are not different elements of one array. */
function agree(left: Element, right: Element): boolean {
  for (let outer: Element | null = left; outer !== null && outer.parent !== null; outer = outer.parent) {
    for (let at: Element | null = right; at !== null && at.parent !== null; at = at.parent) {
      if (at.array === outer.array) return at === outer
    }
  }
  return true
}

/** Steps that two paths share at the front. */
function sharedSteps(left: string, right: string): number {
  const [a, b] = [left.split('.'), right.split('.')]
  let count = 0
  while (count < a.length && count < b.length && a[count] === b[count]) count++
  return count
}

/** Element sets that are still possible; each set is elements that agree with one another. */
type Bindings = Element[][]

const unbound: Bindings = [[]]

function bind(binding: Element[], element: Element, steps: number): Element[] {
  const kept = [...binding, element].map(each => trimmed(each, steps)).filter(each => each.parent !== null)
  return kept.filter((each, index) => !kept.some((other, place) => place !== index && (other === each ? place < index : contains(each, other))))
}

function list(first: Leaf | null): Leaf[] {
  const leaves: Leaf[] = []
  for (let leaf = first; leaf !== null; leaf = leaf.next) leaves.push(leaf)
  return leaves
}

/**
 * Answers whether any of the leaves agrees with a binding. For one element that takes its depth, not the number of
 * leaves: leaves in it agree, and so do those around it that are in none of the arrays which it is in.
 */
function presence(leaves: Leaf[]): (binding: Element[]) => boolean {
  const inElement = new Map<Element, number>()
  const inArray = new Map<number, number>()
  for (const leaf of leaves) {
    for (let at: Element | null = leaf.element; at !== null; at = at.parent) {
      inElement.set(at, (inElement.get(at) ?? 0) + 1)
      inArray.set(at.array, (inArray.get(at.array) ?? 0) + 1)
    }
  }
  return binding => {
    if (binding.length > 1) return leaves.some(leaf => binding.every(element => agree(element, leaf.element)))
    const element = binding[0] ?? root
    if (inElement.has(element)) return true
    for (let at = element; at.parent !== null; at = at.parent) {
      if ((inElement.get(at.parent) ?? 0) > (inArray.get(at.array) ?? 0)) return true
    }
    return false
  }
}

/** binds: how many steps of the path a later field shares; elements deeper than that bind nobody any more. */
function bindingsAfter({ field, first }: Met, binds: number, before: Bindings): Bindings {
  const after: Bindings = []
  const seen = new Set<Element | undefined>()
  const add = (binding: Element[]): void => {
    if (binding.length <= 1) {
      if (seen.has(binding[0])) return
      seen.add(binding[0])
    }
    after.push(binding)
  }
  const leaves = list(first)
  const held = leaves.filter(leaf => leafHolds(field, leaf))
  const single = held.length * before.length > maxPairs ? new Map(before.map(binding => [binding[0] ?? root, binding])) : undefined
  for (const leaf of held) {
    if (single !== undefined) {
      for (let at: Element | null = leaf.element; at !== null; at = at.parent) {
        const binding = single.get(at)
        if (binding !== undefined) add(bind(binding, leaf.element, binds))
      }
      continue
    }
    for (const binding of before) if (binding.every(element => agree(element, leaf.element))) add(bind(binding, leaf.element, binds))
  }
  if (field.absent) {
    const present = presence(leaves)
    for (const binding of before) {
      if (!present(binding)) add(binding.map(element => trimmed(element, binds)).filter(element => element.parent !== null))
    }
  }
  return after
}

/** Whether all fields, sorted by path, hold in elements that agree. */
export function consistent(fields: readonly Met[]): boolean {
  let bindings = unbound
  for (const [index, met] of fields.entries()) {
    const binds = fields.slice(index + 1).reduce((most, later) => Math.max(most, sharedSteps(met.field.path, later.field.path)), 0)
    bindings = bindingsAfter(met, binds, bindings)
    if (bindings.length === 0) return false
  }
  return true
}
