// The matcher: all enabled triggers in one index, so that an event costs its own fields and what comes near to matching
// it, not the number of triggers.
//
// Each way to match (branch) has one of its fields as its way in: the one that fewest events are likely to satisfy.
// It hangs on that field, and the field stands in the indexes of its path (slots.ts): exact values in a hash table,
// beginnings and endings in tries, ranges in an interval tree, wildcards in an automaton. An event is read along the
// trie of the paths that are mentioned (scan.ts, or walk.ts where it is parsed already); its values lead to fields,
// fields to branches, and only these are decided, all their fields, in array-consistent elements. Fields are shared by
// all branches that say the same, and decided once for an event.
//
// put and delete change the index in place, between two events; nothing is rebuilt but the short lists of ranges.ts and
// wildcards.ts. Everything that an event leaves behind is marked with its number and so forgotten by the next.
import { consistent, type Met } from './index/array-consistency.ts'
import { indexLimits, isOpen, searchedTexts, Tally } from './index/burden.ts'
import type { Condition, Scalar } from './conditions.ts'
import type { JsonLimits } from './json-text.ts'
import { Gathering, root } from './index/leaves.ts'
import { PathNode } from './index/path-trie.ts'
import type { Branch, CompiledPattern, Field } from './pattern.ts'
import { Scanner } from './index/scan.ts'
import { Slot, type Led, type SharedField } from './index/slots.ts'
import { walk } from './index/walk.ts'

/** An event as filters see it, but for its payload. */
export interface Attributes {
  id: string
  source_id: string
  type: string
  subject: string | null
  timestamp: number
  headers: Record<string, string>
}

/** What is matched: the event as filters see it. */
export interface MatchEvent extends Attributes {
  payload: unknown
}

export interface MatchTrigger<T> {
  /** null: listens to every source */
  source_id: string | null
  pattern: CompiledPattern
  /** answered when it matches */
  target: T
}

interface Entry<T> {
  branches: Hung<T>[]
  /** what it adds to the totals that are limited */
  fields: number
  searched: number
  /** the last event that it matched */
  matched: number
}

/** A way to match, as it hangs in the index. */
interface Hung<T> {
  entry: Entry<T>
  target: T
  /** whether its trigger has no other way */
  alone: boolean
  /** sorted by path */
  fields: Known<T>[]
  way: Known<T>
  /** its place among those that hang on its way in */
  place: number
  /** whether its way in is counted as open */
  open: boolean
}

type Known<T> = SharedField<Hung<T>>

/** How likely an event is to pass a condition, by its kind and by how often triggers ask for it: what is popular with them is so with events. */
function likelihood({ test }: Condition, uses: number, all: number, crowd: (value: Scalar) => number): number {
  const share = uses / (all + 16)
  switch (test.kind) {
    case 'equals':
      return Math.max(uses, crowd(test.value)) / (all + 16)
    case 'equals_ignore_case':
      return 0.01 + share
    case 'prefix':
    case 'suffix':
      return (test.text.length < 3 ? 0.5 : 0.02) + share
    case 'wildcard':
      return (Math.max(...test.pieces.map(piece => piece.length)) < 3 ? 0.5 : 0.03) + share
    case 'range':
      return (test.low === test.high ? 0.001 : test.low === -Infinity || test.high === Infinity ? 0.5 : 0.2) + share
    case 'cidr':
      return 0.05 + share
    case 'exists':
    case 'anything_but':
    case 'anything_but_texts':
      return 1
  }
}

export class Matcher<T> {
  readonly #root = new PathNode<Slot<Hung<T>>>('')
  readonly #slots = new Map<string, Slot<Hung<T>>>()
  readonly #entries = new Map<string, Entry<T>>()
  /** slots with ways in that hold where nothing is */
  readonly #absent = new Set<Slot<Hung<T>>>()
  readonly #gathering = new Gathering<Slot<Hung<T>>>()
  readonly #scanner: Scanner<Slot<Hung<T>>>
  #candidates: Known<T>[] = []
  // What is limited (burden.ts).
  #fields = 0
  #searched = 0
  #open = 0
  readonly #openFields = new Tally<Known<T>>()

  /** also: paths whose texts textAt answers, whether a trigger mentions them or not. */
  constructor(triggers: Iterable<readonly [id: string, MatchTrigger<T>]> = [], limits: JsonLimits = unlimited, also: readonly string[] = []) {
    this.#scanner = new Scanner(limits)
    for (const path of also) this.#slot(path).keep()
    const entries: Entry<T>[] = []
    for (const [id, trigger] of triggers) entries.push(this.#enter(id, trigger))
    // Ways in are chosen when all fields are known, so that what is popular is known too.
    for (const entry of entries) for (const branch of entry.branches) this.#hang(branch)
  }

  /** What a pattern would exceed together with all others, in words, or undefined; instead: the id of one that goes. */
  exceeded(pattern: CompiledPattern, instead?: string): string | undefined {
    const before = this.#entries.get(instead ?? '')
    const over = (limit: number, count: number, what: string): string | undefined =>
      count > limit ? `all triggers together may have at most ${limit} ${what}; this would make them ${count}` : undefined
    const texts = pattern.branches.flatMap(branch => branch.fields.map(field => ({ field, searched: searchedTexts(field.conditions) })))
    const lengths = texts.map(({ field: { path }, searched }) => ({
      path,
      count: this.#slots.get(path)?.lengthsWith(searched) ?? new Set(searched.map(text => text.length)).size,
    }))
    const longest = lengths.find(({ count }) => count > indexLimits.lengths)
    const open = pattern.branches.filter(branch => this.#wouldBeOpen(this.#wayOf(branch)))
    const fresh = new Set(open.flatMap(({ fields }) => fields).flatMap(field => (this.#isOpen(field) ? [] : [field])))
    return (
      over(indexLimits.fields, this.#fields + fieldsOf(pattern) - (before?.fields ?? 0), 'fields, every way through $or counted') ??
      over(indexLimits.searched, this.#searched + searchedOf(pattern) - (before?.searched ?? 0), 'texts between the stars of wildcards') ??
      over(
        indexLimits.open,
        this.#open + open.length - (before?.branches.filter(branch => branch.open).length ?? 0),
        'ways to match that no exact value, no longer beginning or ending narrows down',
      ) ??
      over(
        indexLimits.open_fields,
        this.#openFields.size + fresh.size,
        'different fields in filters that no exact value, no longer beginning or ending narrows down',
      ) ??
      (longest === undefined
        ? undefined
        : `the wildcards at ${longest.path} may search for texts of ${indexLimits.lengths} different lengths; this would make them ${longest.count}`)
    )
  }

  #wouldBeOpen(way: Field): boolean {
    return isOpen(way) || (this.#slots.get(way.path)?.shared(way)?.hung.length ?? 0) >= indexLimits.crowd
  }

  #isOpen(field: Field): boolean {
    const shared = this.#slots.get(field.path)?.shared(field)
    return shared !== undefined && this.#openFields.has(shared)
  }

  put(id: string, trigger: MatchTrigger<T>): void {
    this.delete(id)
    for (const branch of this.#enter(id, trigger).branches) this.#hang(branch)
  }

  delete(id: string): void {
    const entry = this.#entries.get(id)
    if (entry === undefined) return
    this.#entries.delete(id)
    this.#fields -= entry.fields
    this.#searched -= entry.searched
    for (const branch of entry.branches) {
      this.#unhang(branch)
      for (const shared of branch.fields) {
        shared.slot.release(shared)
        if (shared.slot.uses === 0) this.#drop(shared.slot)
      }
    }
  }

  #enter(id: string, { target, source_id, pattern }: MatchTrigger<T>): Entry<T> {
    const entry: Entry<T> = { branches: [], fields: fieldsOf(pattern), searched: searchedOf(pattern), matched: 0 }
    entry.branches = pattern.branches.map(branch => {
      const fields = fieldsWithSource(branch, source_id).map(field => this.#slot(field.path).share(field))
      return { entry, target, alone: pattern.branches.length === 1, fields, way: fields[0]!, place: -1, open: false }
    })
    this.#entries.set(id, entry)
    this.#fields += entry.fields
    this.#searched += entry.searched
    return entry
  }

  #slot(path: string): Slot<Hung<T>> {
    const present = this.#slots.get(path)
    if (present !== undefined) return present
    const slot = new Slot<Hung<T>>(path)
    let node = this.#root
    for (const step of path.split('.')) node = node.grown(step)
    node.slot = slot
    this.#slots.set(path, slot)
    return slot
  }

  #drop({ path }: Slot<Hung<T>>): void {
    this.#slots.delete(path)
    const steps = path.split('.')
    let node = this.#root
    for (const step of steps) node = node.children!.get(step)!
    node.slot = null
    this.#root.prune(steps)
  }

  /** The field of a branch that fewest events are likely to pass. */
  #wayOf({ fields }: Branch): Field {
    let [way] = fields
    let least = Infinity
    for (const field of fields) {
      const slot = this.#slots.get(field.path)
      const uses = slot?.shared(field)?.uses ?? 0
      const crowd = (value: Scalar): number => slot?.crowd(value) ?? 0
      const cost = field.conditions.reduce((sum, condition) => sum + likelihood(condition, uses, slot?.uses ?? 0, crowd), field.absent ? 2 : 0)
      if (cost < least) [way, least] = [field, cost]
    }
    return way!
  }

  #hang(branch: Hung<T>): void {
    const field = this.#wayOf({ fields: branch.fields.map(shared => shared.field) })
    const way = branch.fields.find(shared => shared.field === field)!
    branch.way = way
    branch.place = way.hung.length
    way.slot.hang(branch, way)
    if (field.absent) this.#absent.add(way.slot)
    if (isOpen(field) || way.hung.length > indexLimits.crowd) this.#setOpen(branch, true)
    if (way.hung.length === indexLimits.crowd + 1) for (const each of way.hung) this.#setOpen(each, true)
  }

  #unhang(branch: Hung<T>): void {
    const { way, place } = branch
    const last = way.hung.pop()!
    if (place < way.hung.length) {
      way.hung[place] = last
      last.place = place
    }
    this.#setOpen(branch, false)
    if (way.hung.length === indexLimits.crowd && !isOpen(way.field)) for (const each of way.hung) this.#setOpen(each, false)
    if (way.hung.length > 0) return
    way.slot.unindex(way)
    if (way.slot.absent?.size === 0) this.#absent.delete(way.slot)
  }

  #setOpen(branch: Hung<T>, open: boolean): void {
    if (branch.open === open) return
    branch.open = open
    this.#open += open ? 1 : -1
    for (const shared of branch.fields) {
      if (open) this.#openFields.add(shared)
      else this.#openFields.remove(shared)
    }
  }

  /** The targets of all triggers that match an event, in no order. */
  match(event: MatchEvent): T[] {
    this.#gathering.begin()
    walk(event, this.#root, this.#gathering)
    return this.#matched()
  }

  /** The same for a payload as JSON text; undefined where it has to be parsed first. */
  matchJson(attributes: Attributes, payload: Uint8Array): T[] | undefined {
    return this.read(payload) ? this.matchRead(attributes) : undefined
  }

  /**
   * Reads the JSON text of a payload without parsing it, for textAt and matchRead. Answers false where it has to be
   * parsed first: it is no JSON, exceeds the limits, or is out of the ordinary.
   */
  read(payload: Uint8Array): boolean {
    this.#gathering.begin()
    return this.#scanner.scan(payload, this.#root.children?.get('payload') ?? nowhere, this.#gathering, 1)
  }

  /** The text at one of the paths that are always gathered, of what was read last; null where there is none. */
  textAt(path: string): string | null {
    const leaf = this.#gathering.first(this.#slots.get(path)!)
    return leaf === null || leaf.element !== root || typeof leaf.value !== 'string' || leaf.value === '' ? null : leaf.value
  }

  /** The targets of all triggers that match an event whose payload was read last. */
  matchRead(attributes: Attributes): T[] {
    for (const name of attributeNames) {
      const node = this.#root.children?.get(name)
      if (node !== undefined) walk(attributes[name], node, this.#gathering, undefined, 1)
    }
    return this.#matched()
  }

  #matched(): T[] {
    const { event, touched } = this.#gathering
    this.#candidates = []
    for (const slot of touched) {
      if (slot.any !== undefined) for (const shared of slot.any) this.#led.maybe(shared)
      if (slot.count > fewLeaves) for (const value of slot.values()) slot.visit(value, this.#led)
      else for (let leaf = slot.first; leaf !== null; leaf = leaf.next) slot.visit(leaf.value, this.#led)
    }
    for (const slot of this.#absent) if (slot.event !== event || slot.in_arrays) for (const shared of slot.absent!) this.#led.maybe(shared)
    const found: T[] = []
    for (const way of this.#candidates) {
      if (!this.#holds(way, event)) continue
      for (const branch of way.hung) {
        if (!branch.alone && branch.entry.matched === event) continue
        if (!this.#branchHolds(branch, event)) continue
        found.push(branch.target)
        if (!branch.alone) branch.entry.matched = event
      }
    }
    return found
  }

  readonly #led: Led<Hung<T>> = {
    sure: shared => {
      const { event } = this.#gathering
      shared.decided = event
      shared.holds = true
      if (shared.led === event) return
      shared.led = event
      this.#candidates.push(shared)
    },
    maybe: shared => {
      const { event } = this.#gathering
      if (shared.led === event) return
      shared.led = event
      this.#candidates.push(shared)
    },
  }

  #branchHolds({ fields }: Hung<T>, event: number): boolean {
    let inArrays = 0
    for (const shared of fields) {
      if (!this.#holds(shared, event)) return false
      const { slot, field } = shared
      if (slot.in_arrays && slot.event === event) inArrays += field.absent ? 2 : 1
    }
    // One field below arrays finds its element by itself; an absence has to be looked at.
    return inArrays < 2 || consistent(fields.map(({ field, slot }): Met => ({ field, first: this.#gathering.first(slot) })))
  }

  /** Whether a field holds for any value at its path, decided once for an event. */
  #holds(shared: SharedField<Hung<T>>, event: number): boolean {
    if (shared.decided === event) return shared.holds
    const { slot, field } = shared
    const there = slot.event === event
    // What stands outside of arrays is absent in no element of any.
    let holds = field.absent && (!there || slot.in_arrays)
    if (there && slot.count > fewLeaves) {
      for (const value of slot.values()) if ((holds ||= shared.holdsFor(value))) break
    } else if (there) for (let leaf = slot.first; leaf !== null && !holds; leaf = leaf.next) holds = shared.holdsFor(leaf.value)
    shared.decided = event
    shared.holds = holds
    return holds
  }
}

/** Of more leaves at one path, those with the same value are decided once: a hostile event repeats one a thousand times. */
const fewLeaves = 16

const attributeNames = ['id', 'source_id', 'type', 'subject', 'timestamp', 'headers'] as const
const unlimited: JsonLimits = { json_depth: 512, json_tokens: Infinity }
const nowhere = new PathNode<never>('payload')

function fieldsOf({ branches }: CompiledPattern): number {
  return branches.reduce((sum, { fields }) => sum + fields.length, 0)
}

function searchedOf({ branches }: CompiledPattern): number {
  let count = 0
  for (const { fields } of branches) for (const { conditions } of fields) count += searchedTexts(conditions).length
  return count
}

/** The fields of a branch, and the source that its trigger listens to as one of them. */
function fieldsWithSource({ fields }: Branch, source_id: string | null): readonly Field[] {
  if (source_id === null) return fields
  const own: Field = {
    path: 'source_id',
    conditions: [{ operator: 'equals', expected: source_id, test: { kind: 'equals', value: source_id } }],
    absent: false,
    exact: undefined,
  }
  return [...fields, own].toSorted((a, b) => (a.path < b.path ? -1 : 1))
}
