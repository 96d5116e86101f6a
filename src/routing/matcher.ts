// The matcher: all enabled triggers in one index, so that an event costs its own fields and what comes near to matching
// it, not the number of triggers.
//
// Each way to match (branch) has one of its fields as its access field: the one that fewest events are likely to satisfy.
// It is attached to that field, and the field is in the indexes of its path (slots.ts): exact values in a hash table,
// beginnings and endings in tries, ranges in an interval tree, wildcards in an automaton. An event is read along the
// trie of the paths that are mentioned (scan.ts, or walk.ts where it is parsed already); its values lead to fields,
// fields to branches, and only these are decided, all their fields, in array-consistent elements. Fields are shared by
// all branches that say the same, and decided once for an event.
//
// From the bytes of an event (5.9 KB on average, as Forgejo sends them) to the triggers, in times of JSON.parse alone of
// the same bytes (9.5 us), by scripts/bench match on two shared cores:
//
//   triggers                      1     100   1,000  10,000  100,000
//   simple: exact and prefix      1.78  1.73  1.69   1.66    1.36      at the most 7.1 us and 68 MiB
//   mixed: all operators          1.68  1.18  1.10   0.98    0.70      13.9 us and 122 MiB, built in 1.5 s
//   1,000 with ranges only 1.63, with leading stars 1.54, that all match 0.44 (0.15 where each asks in its own words)
//
// Reading is most of that: values that no trigger wants are checked and skipped at 2.3 times the speed of JSON.parse. The way in is
// the rest: while wildcards hung on the longer of their ends instead of the less crowded one, 100,000 mixed triggers
// cost 33 us.
//
// put and delete change the index in place, between two events; nothing is rebuilt but the short lists of ranges.ts and
// wildcards.ts. Everything that an event leaves behind is marked with its number and so forgotten by the next.
import { consistent } from './index/array-consistency.ts'
import {
  branchWeight,
  fieldsOf,
  indexLimits,
  isOpenTest,
  searchedOf,
  Tally,
  tooManyLengths,
  weightOf,
} from './index/cost-limits.ts'
import type { Scalar } from './conditions.ts'
import { withFoldedActor } from '../forge.ts'
import type { JsonLimits } from '../json-text.ts'
import { root } from './index/leaf.ts'
import { Gathering } from './index/leaves.ts'
import { PathNode } from './index/path-trie.ts'
import { withSource, type Branch, type Field } from './pattern.ts'
import { Scanner } from './index/scan.ts'
import { likelihood } from './index/likelihood.ts'
import { Slot, type SharedField } from './index/slots.ts'
import type { Visitor } from './index/text-index.ts'
import { walk } from './index/walk.ts'
import { type Attributes, type MatchEvent, type MatchTrigger, attributeNames } from './match-event.ts'
import type { Entry, Attached, Known } from './attached.ts'

export class Matcher<T> {
  readonly #root = new PathNode<Slot<Attached<T>>>('')
  readonly #slots = new Map<string, Slot<Attached<T>>>()
  readonly #entries = new Map<string, Entry<T>>()
  /** slots with ways in that hold where nothing is */
  readonly #absent = new Set<Slot<Attached<T>>>()
  readonly #gathering = new Gathering<Slot<Attached<T>>>()
  readonly #scanner: Scanner<Slot<Attached<T>>>
  #candidates: Known<T>[] = []
  // What is limited (cost-limits.ts).
  #fields = 0
  #searched = 0
  #open = 0
  #reach = 0
  readonly #openFields = new Tally<Known<T>>(shared => weightOf(shared.field))

  /** also: paths whose values valueAt answers, whether a trigger mentions them or not. */
  constructor(
    triggers: Iterable<readonly [id: string, MatchTrigger<T>]> = [],
    limits: JsonLimits = unlimited,
    also: readonly string[] = [],
  ) {
    this.#scanner = new Scanner(limits)
    for (const path of also) this.#slot(path).keep()
    const entries: Entry<T>[] = []
    for (const [id, trigger] of triggers) entries.push(this.#enter(id, trigger))
    // Ways in are chosen when all fields are known, so that what is popular is known too.
    for (const entry of entries) for (const branch of entry.branches) this.#attach(branch)
  }

  /** What a trigger would exceed together with all that are there, in words, or undefined. */
  exceeded({ pattern, source_id }: Pick<MatchTrigger<T>, 'pattern' | 'source_id'>): string | undefined {
    const over = (limit: number, count: number, what: string): string | undefined =>
      count > limit
        ? `all triggers together may have at most ${limit} ${what}; this would make them ${Math.ceil(count)}`
        : undefined
    const ways = pattern.branches.map(({ fields }) => {
      const branch = { fields: withSource({ fields }, source_id) }
      return { branch, access: this.#accessOf(branch) }
    })
    const open = ways.filter(({ access }) => this.#isOpen(access)).map(({ branch }) => branch)
    const narrow = ways.filter(({ access }) => !this.#isOpen(access))
    const fresh = new Set(open.flatMap(({ fields }) => fields).filter(field => !this.#isCounted(field)))
    const conditions = this.#openFields.weight + [...fresh].reduce((sum, field) => sum + weightOf(field), 0)
    return (
      over(indexLimits.fields, this.#fields + fieldsOf(pattern), 'fields, every way through $or counted') ??
      over(
        indexLimits.searched,
        this.#searched + searchedOf(pattern),
        'texts between the stars of wildcards',
      ) ??
      over(
        indexLimits.open,
        this.#open + open.length,
        'ways to match that no exact value, no longer beginning or ending narrows down',
      ) ??
      over(
        indexLimits.open_conditions,
        conditions,
        'different conditions in filters that no exact value, no longer beginning or ending narrows down',
      ) ??
      over(
        indexLimits.reach,
        this.#reachWith(narrow),
        'conditions behind single values, the most for each path added up',
      ) ??
      tooManyLengths(pattern, (path, texts) => this.#slots.get(path)?.lengthsWith(texts))
    )
  }

  /** Whether a way in is open, or would be. */
  #isOpen(access: Field): boolean {
    const shared = this.#shared(access)
    if (shared !== undefined && shared.attached.length > 0) return shared.open
    return (
      this.#slots.get(access.path)?.isOpen(access) ??
      (access.absent || access.conditions.some(({ test }) => isOpenTest(test)))
    )
  }

  #shared(field: Field): Known<T> | undefined {
    return this.#slots.get(field.path)?.shared(field)
  }

  #isCounted(field: Field): boolean {
    const shared = this.#shared(field)
    return shared !== undefined && this.#openFields.has(shared)
  }

  /** What one event could reach by values with some more access fields; computed again where it seems too much. */
  #reachWith(ways: readonly { branch: Branch; access: Field }[]): number {
    const more = (): number =>
      ways.reduce(
        (sum, { branch, access }) =>
          sum +
          Math.max(
            0,
            (this.#shared(access)?.weight ?? 0) +
              branchWeight(branch) -
              (this.#slots.get(access.path)?.reach ?? 0),
          ),
        0,
      )
    if (this.#reach + more() <= indexLimits.reach) return this.#reach + more()
    this.#reach = 0
    for (const slot of this.#slots.values()) this.#reach += slot.reach = slot.heaviest()
    return this.#reach + more()
  }

  put(id: string, trigger: MatchTrigger<T>): void {
    this.delete(id)
    for (const branch of this.#enter(id, trigger).branches) this.#attach(branch)
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
    const entry: Entry<T> = {
      branches: [],
      fields: fieldsOf(pattern),
      searched: searchedOf(pattern),
      matched: 0,
    }
    entry.branches = pattern.branches.map(branch => {
      const fields = withSource(branch, source_id).map(field => this.#slot(field.path).share(field))
      return {
        entry,
        target,
        alone: pattern.branches.length === 1,
        fields,
        access: fields[0]!,
        place: -1,
        weight: fields.reduce((sum, { field }) => sum + weightOf(field), 0),
      }
    })
    this.#entries.set(id, entry)
    this.#fields += entry.fields
    this.#searched += entry.searched
    return entry
  }

  #slot(path: string): Slot<Attached<T>> {
    const present = this.#slots.get(path)
    if (present !== undefined) return present
    const slot = new Slot<Attached<T>>(path)
    let node = this.#root
    for (const step of path.split('.')) node = node.grown(step)
    node.slot = slot
    this.#slots.set(path, slot)
    return slot
  }

  #drop({ path, reach }: Slot<Attached<T>>): void {
    this.#reach -= reach
    this.#slots.delete(path)
    const steps = path.split('.')
    let node = this.#root
    for (const step of steps) node = node.children!.get(step)!
    node.slot = null
    this.#root.prune(steps)
  }

  /** The field of a branch that fewest events are likely to pass. */
  #accessOf({ fields }: Branch): Field {
    let [access] = fields
    let least = Infinity
    for (const field of fields) {
      const slot = this.#slots.get(field.path)
      const uses = slot?.shared(field)?.uses ?? 0
      const attachedAt = (value: Scalar): number => slot?.attachedAt(value) ?? 0
      const cost = field.conditions.reduce(
        (sum, condition) => sum + likelihood(condition, uses, slot?.uses ?? 0, attachedAt),
        field.absent ? 2 : 0,
      )
      if (cost < least) [access, least] = [field, cost]
    }
    return access!
  }

  #attach(branch: Attached<T>): void {
    const field = this.#accessOf({ fields: branch.fields.map(shared => shared.field) })
    const access = branch.fields.find(shared => shared.field === field)!
    const { slot } = access
    if (access.attached.length === 0) access.open = slot.isOpen(field)
    branch.access = access
    branch.place = access.attached.length
    slot.attach(branch, access)
    if (field.absent) this.#absent.add(slot)
    access.weight += branch.weight
    if (access.open) {
      this.#open++
      for (const shared of branch.fields) this.#openFields.add(shared)
    } else if (access.weight > slot.reach) {
      this.#reach += access.weight - slot.reach
      slot.reach = access.weight
    }
  }

  #unhang(branch: Attached<T>): void {
    const { access, place } = branch
    const last = access.attached.pop()!
    if (place < access.attached.length) {
      access.attached[place] = last
      last.place = place
    }
    access.weight -= branch.weight
    if (access.open) {
      this.#open--
      for (const shared of branch.fields) this.#openFields.remove(shared)
    }
    if (access.attached.length > 0) return
    access.slot.unindex(access)
    if (access.slot.absent?.size === 0) this.#absent.delete(access.slot)
  }

  /** The targets of all triggers that match an event, in no order. */
  match(event: MatchEvent): T[] {
    this.#gathering.begin()
    walk(withFoldedActor(event), this.#root, this.#gathering)
    return this.#matched()
  }

  /** Reads a payload that has been parsed, for valueAt and matchRead. */
  readValue(payload: unknown): void {
    this.#gathering.begin()
    const node = this.#root.children?.get('payload')
    if (node !== undefined) walk(payload, node, this.#gathering, { depth: 1 })
  }

  /** The same for a payload as JSON text; undefined where it has to be parsed first. */
  matchJson(attributes: Attributes, payload: Uint8Array): T[] | undefined {
    return this.read(payload) ? this.matchRead(attributes) : undefined
  }

  /**
   * Reads the JSON text of a payload without parsing it, for valueAt and matchRead. Answers false where it has to be
   * parsed first: it is no JSON, exceeds the limits, or is out of the ordinary.
   */
  read(payload: Uint8Array): boolean {
    this.#gathering.begin()
    return this.#scanner.scan(payload, this.#root.children?.get('payload') ?? nowhere, this.#gathering, 1)
  }

  /**
   * The text or number at one of the paths that are always gathered, of what was read last, in no element of an array; null
   * where there is none, an empty one, or several (a list, or a key with dots beside nested ones: neither counts).
   */
  valueAt(path: string): string | number | null {
    const leaf = this.#gathering.first(this.#slots.get(path)!)
    if (leaf === null || leaf.next !== null || leaf.element !== root) return null
    return typeof leaf.value === 'number' || (typeof leaf.value === 'string' && leaf.value !== '')
      ? leaf.value
      : null
  }

  /** The targets of all triggers that match an event whose payload was read last. */
  matchRead(given: Attributes): T[] {
    const attributes = withFoldedActor(given)
    for (const name of attributeNames) {
      const node = this.#root.children?.get(name)
      if (node !== undefined) walk(attributes[name], node, this.#gathering, { depth: 1 })
    }
    return this.#matched()
  }

  #matched(): T[] {
    const { event, touched } = this.#gathering
    this.#candidates = []
    for (const slot of touched) {
      if (slot.any !== undefined) for (const shared of slot.any) this.#visitor.maybe(shared)
      slot.visitAll(this.#visitor)
    }
    for (const slot of this.#absent)
      if (slot.event !== event || slot.in_arrays)
        for (const shared of slot.absent!) this.#visitor.maybe(shared)
    const found: T[] = []
    for (const access of this.#candidates) {
      if (!this.#holds(access, event)) continue
      for (const branch of access.attached) {
        if (!branch.alone && branch.entry.matched === event) continue
        if (!this.#branchHolds(branch, event)) continue
        found.push(branch.target)
        if (!branch.alone) branch.entry.matched = event
      }
    }
    this.#gathering.end()
    return found
  }

  readonly #visitor: Visitor<Known<T>> = {
    sure: shared => {
      const { event } = this.#gathering
      shared.decided = event
      shared.holds = true
      if (shared.visited === event) return
      shared.visited = event
      this.#candidates.push(shared)
    },
    maybe: shared => {
      const { event } = this.#gathering
      if (shared.visited === event) return
      shared.visited = event
      this.#candidates.push(shared)
    },
  }

  #branchHolds({ fields }: Attached<T>, event: number): boolean {
    let inArrays = 0
    for (const shared of fields) {
      if (!this.#holds(shared, event)) return false
      const { slot, field } = shared
      if (slot.in_arrays && slot.event === event) inArrays += field.absent ? 2 : 1
    }
    // One field below arrays finds its element by itself; an absence has to be looked at.
    return inArrays < 2 || consistent(fields, this.#gathering)
  }

  /** Whether a field holds for any value at its path, decided once for an event. */
  #holds(shared: SharedField<Attached<T>>, event: number): boolean {
    if (shared.decided === event) return shared.holds
    const { slot, field } = shared
    const there = slot.event === event
    // What stands outside of arrays is absent in no element of any.
    shared.decided = event
    shared.holds = (field.absent && (!there || slot.in_arrays)) || (there && shared.holdsForAny())
    return shared.holds
  }
}

const unlimited: JsonLimits = { json_depth: 512, json_tokens: Infinity }
const nowhere = new PathNode<never>('payload')
