// The matcher: all enabled triggers in one immutable index.
//
// An event is walked once, along a trie of the paths that triggers mention; what no trigger mentions is not looked at.
// Each way to match (branch) hangs on one of its fields: on a field of exact values, in a hash table per path, or, when
// it has none, in the list of its rarest path; so only branches that can still match are evaluated.
// Array elements: every element of an array is a node with its parent element; two values agree unless they stand in
// different elements of the same array.
import type { Branch, CompiledPattern, Field, Scalar } from './pattern.ts'

/** What is matched: the event as filters see it. */
export interface MatchEvent {
  id: string
  source_id: string
  type: string
  subject: string | null
  timestamp: number
  headers: Record<string, string>
  payload: unknown
}

export interface MatchTrigger<T> {
  /** null: listens to every source */
  source_id: string | null
  pattern: CompiledPattern
  /** answered when it matches */
  target: T
}

/** An element of an array in the event; the root element is the event itself. */
interface Element {
  parent: Element | null
  /** counts the arrays of the event */
  array: number
  /** steps of the path at which the array stands */
  depth: number
}

interface Leaf {
  value: Scalar
  element: Element
}

interface TrieNode {
  children: Map<string, TrieNode> | undefined
  /** index of the path that ends here; -1: none does */
  path: number
}

const root: Element = { parent: null, array: -1, depth: 0 }

/** Beyond so many pairs only elements that contain one another are joined (PATTERNS.md, "Limits"). */
const maxPairs = 4096

/** The leaves of an event at the paths of a trie. */
class Leaves {
  readonly at: (Leaf[] | undefined)[]
  #arrays = 0

  constructor(paths: number) {
    this.at = Array.from({ length: paths })
  }

  #add(path: number, value: Scalar, element: Element): void {
    const present = this.at[path]
    if (present === undefined) this.at[path] = [{ value, element }]
    else present.push({ value, element })
  }

  collect(value: unknown, node: TrieNode, element: Element, depth: number): void {
    if (Array.isArray(value)) {
      const array = this.#arrays++
      for (const item of value as unknown[]) {
        // A plain value in an array stands in no element: conditions on it are free of array consistency.
        if (typeof item === 'object' && item !== null) this.collect(item, node, { parent: element, array, depth }, depth)
        else if (node.path >= 0) this.#add(node.path, item as Scalar, element)
      }
    } else if (typeof value === 'object' && value !== null) {
      if (node.children !== undefined) this.#members(value as Record<string, unknown>, node, element, depth)
    } else if (node.path >= 0) this.#add(node.path, value as Scalar, element)
  }

  #members(object: Record<string, unknown>, node: TrieNode, element: Element, depth: number): void {
    for (const key of Object.keys(object)) {
      const child = node.children!.get(key)
      if (child !== undefined) this.collect(object[key], child, element, depth + 1)
      else if (key.includes('.')) this.#dotted(object[key], key, node, element, depth)
    }
  }

  /** A dotted key and nesting are the same path. */
  #dotted(value: unknown, key: string, node: TrieNode, element: Element, depth: number): void {
    let at: TrieNode | undefined = node
    const steps = key.split('.')
    for (const step of steps) at = at?.children?.get(step)
    if (at !== undefined) this.collect(value, at, element, depth + steps.length)
  }
}

function fieldHolds(field: Field, value: Scalar): boolean {
  if (field.exact.has(value)) return true
  for (const test of field.others) if (test.holds(value)) return true
  return false
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

interface IndexedField {
  field: Field
  path: number
  /** how many steps of this path a later field shares: elements deeper than that bind nobody any more */
  binds: number
}

function indexed(branch: Branch, pathIndex: (path: string) => number): IndexedField[] {
  return branch.fields.map((field, index) => ({
    field,
    path: pathIndex(field.path),
    binds: branch.fields.slice(index + 1).reduce((most, later) => Math.max(most, sharedSteps(field.path, later.path)), 0),
  }))
}

/** Element sets that are still possible; each set is elements that agree with one another. */
type Bindings = Element[][]

const unbound: Bindings = [[]]

function bind(binding: Element[], element: Element, steps: number): Element[] {
  const kept = [...binding, element].map(each => trimmed(each, steps)).filter(each => each.parent !== null)
  return kept.filter((each, index) => !kept.some((other, place) => place !== index && (other === each ? place < index : contains(each, other))))
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

function bindingsAfter({ field, binds }: IndexedField, leaves: Leaf[] | undefined, before: Bindings): Bindings {
  const after: Bindings = []
  const seen = new Map<Element | undefined, true>()
  const add = (binding: Element[]): void => {
    if (binding.length <= 1) {
      if (seen.has(binding[0])) return
      seen.set(binding[0], true)
    }
    after.push(binding)
  }
  const held = leaves?.filter(leaf => fieldHolds(field, leaf.value)) ?? []
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
    const present = presence(leaves ?? [])
    for (const binding of before) {
      if (!present(binding)) add(binding.map(element => trimmed(element, binds)).filter(element => element.parent !== null))
    }
  }
  return after
}

function branchHolds(fields: IndexedField[], leaves: Leaves): boolean {
  // Cheap first: every field must hold somewhere, and outside of arrays that is all there is to it.
  let inArrays = false
  for (const { field, path } of fields) {
    const present = leaves.at[path]
    if (present === undefined) {
      if (!field.absent) return false
      continue
    }
    let holds = false
    let inside = false
    for (const leaf of present) {
      inside ||= leaf.element !== root
      holds ||= fieldHolds(field, leaf.value)
    }
    // What stands outside of arrays is absent in no element of any.
    if (!holds && !(field.absent && inside)) return false
    inArrays ||= inside
  }
  if (!inArrays) return true
  let bindings = unbound
  for (const field of fields) {
    bindings = bindingsAfter(field, leaves.at[field.path], bindings)
    if (bindings.length === 0) return false
  }
  return true
}

interface Candidate<T> {
  trigger: MatchTrigger<T>
  order: number
  fields: IndexedField[]
  /** the last match that looked at it: several values of one event may lead here */
  seen: number
}

interface PathIndex<T> {
  exact: Map<Scalar, Candidate<T>[]>
  /** branches that need something at this path, but no exact value */
  any: Candidate<T>[]
}

function newNode(): TrieNode {
  return { children: undefined, path: -1 }
}

function grow(trie: TrieNode, path: string): TrieNode {
  let node = trie
  for (const step of path.split('.')) {
    node.children ??= new Map()
    const child = node.children.get(step) ?? newNode()
    node.children.set(step, child)
    node = child
  }
  return node
}

export class Matcher<T> {
  readonly #trie = newNode()
  readonly #paths = new Map<string, number>()
  readonly #index: PathIndex<T>[] = []
  /** branches whose every field may be absent */
  readonly #always: Candidate<T>[] = []
  #matches = 0

  constructor(triggers: Iterable<MatchTrigger<T>>) {
    let order = 0
    for (const trigger of triggers) {
      for (const branch of trigger.pattern.branches) this.#hang({ trigger, order, fields: indexed(branch, path => this.#path(path)), seen: 0 })
      order++
    }
  }

  #path(path: string): number {
    const known = this.#paths.get(path)
    if (known !== undefined) return known
    const node = grow(this.#trie, path)
    node.path = this.#index.length
    this.#paths.set(path, node.path)
    this.#index.push({ exact: new Map(), any: [] })
    return node.path
  }

  /** Hangs a branch where fewest events find it: the exact field whose values are the least crowded, else any field. */
  #hang(candidate: Candidate<T>): void {
    const needed = candidate.fields.filter(({ field }) => !field.absent)
    const crowd = ({ field, path }: IndexedField): number =>
      [...field.exact].reduce<number>((sum, value) => sum + 1 + (this.#index[path]!.exact.get(value)?.length ?? 0), 0)
    const exact = needed.filter(({ field }) => field.others.length === 0)
    const best = exact.reduce<IndexedField | undefined>((least, next) => (least === undefined || crowd(next) < crowd(least) ? next : least), undefined)
    if (best !== undefined) {
      const table = this.#index[best.path]!.exact
      for (const value of best.field.exact) {
        const present = table.get(value)
        if (present === undefined) table.set(value, [candidate])
        else present.push(candidate)
      }
      return
    }
    const first = needed.at(-1)
    if (first === undefined) this.#always.push(candidate)
    else this.#index[first.path]!.any.push(candidate)
  }

  /** The targets of all triggers that match, in the order in which the triggers were given. */
  match(event: MatchEvent): T[] {
    const leaves = new Leaves(this.#index.length)
    leaves.collect(event, this.#trie, root, 0)
    const found = new Map<number, T>()
    const match = ++this.#matches
    const consider = (candidates: Candidate<T>[]): void => {
      for (const candidate of candidates) {
        if (candidate.seen === match) continue
        candidate.seen = match
        const { trigger, order, fields } = candidate
        if ((trigger.source_id !== null && trigger.source_id !== event.source_id) || found.has(order)) continue
        if (branchHolds(fields, leaves)) found.set(order, trigger.target)
      }
    }
    consider(this.#always)
    for (const [path, present] of leaves.at.entries()) {
      if (present === undefined) continue
      const { exact, any } = this.#index[path]!
      consider(any)
      if (exact.size === 0) continue
      for (const { value } of present) {
        const candidates = exact.get(value)
        if (candidates !== undefined) consider(candidates)
      }
    }
    return [...found].toSorted(([a], [b]) => a - b).map(([, target]) => target)
  }
}

/** The values of an event at some paths, each named once: for explanations, which look as the matcher looks. */
export function valuesAt(event: MatchEvent, paths: readonly string[]): Scalar[][] {
  const trie = newNode()
  for (const [index, path] of paths.entries()) grow(trie, path).path = index
  const leaves = new Leaves(paths.length)
  leaves.collect(event, trie, root, 0)
  return paths.map((_, index) => leaves.at[index]?.map(leaf => leaf.value) ?? [])
}
