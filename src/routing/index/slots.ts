// What the triggers ask of one path: the fields at it, each once however many branches have it, and the indexes that
// lead from a value to the fields that it makes hold.
//
// A field is in the indexes while a branch has it as its access field (matcher.ts), with all its alternatives. Fields
// of one exact value are found by that value, in the very table that keeps them.
import { passesUnmentioned, type Met } from './array-consistency.ts'
import { isOpenTest, narrowAttached, narrowLengths, searchingWildcards, Tally } from './cost-limits.ts'
import { holds, wildcardHolds, type Fits, type Scalar, type Test, type WildcardTest } from '../conditions.ts'
import { ExactNumber } from '../exact-number.ts'
import type { ElementSet } from './element-set.ts'
import { endLengths, isOnlyText, keyOf, mentionedTexts, readsText, singleValue } from './asked.ts'
import { anyHolds, elementsThatHold, holdsIn } from './holding.ts'
import { unmentioned, type LeafValue } from './leaf.ts'
import { fewLeaves, PathSlot } from './leaves.ts'
import { hashText } from './path-trie.ts'
import { fieldHolds, type Field } from '../pattern.ts'
import { Ranges } from './ranges.ts'
import { Mentions } from './mentions.ts'
import { Table, TextIndex, type Visitor } from './text-index.ts'
import { searched, Wildcards } from './wildcards.ts'

const none: never[] = []

/** So many wildcards are sooner tried one by one than together. */
const fewWildcards = 4

/** A field that branches share: what it asks, and what is known of it for the present event. B: a branch. */
export class SharedField<B> implements Met {
  readonly field: Field
  readonly slot: Slot<B>
  /** branches that have it */
  uses = 0
  /** branches that have it as their way in; empty: it is in no index */
  attached: B[] = none
  /** the event for which holds is decided */
  decided = 0
  holds = false
  /** the last event that led to its branches */
  visited = 0
  /** what the branches that hang on it weigh, and whether they are counted as open */
  weight = 0
  open = false
  /** its one alternative, where it has one: read without going through the field */
  readonly test: Test | undefined
  /** whether it holds for a text that no trigger mentions at its path */
  readonly any_text: boolean

  /** its wildcards that search for texts */
  readonly searching: readonly Searching<B>[]

  constructor(field: Field, slot: Slot<B>) {
    this.field = field
    this.slot = slot
    this.test = field.conditions.length === 1 ? field.conditions[0]!.test : undefined
    this.any_text = passesUnmentioned(field)
    const direct = new Set<Test>(field.conditions.map(({ test }) => test))
    this.searching = searchingWildcards(field.conditions).map(test => ({
      test,
      field: direct.has(test) ? this : undefined,
      fitted: 0,
    }))
  }

  /** the event for which the elements that hold are known */
  #held_of = 0
  #held: ElementSet | undefined

  holding(): ElementSet {
    if (this.#held !== undefined && this.#held_of === this.slot.event) return this.#held
    this.#held = elementsThatHold(this.slot, this.field, value => this.holdsFor(value))
    this.#held_of = this.slot.event
    this.slot.held.push(this)
    return this.#held
  }

  holdsIn(id: number): boolean {
    if (this.#held !== undefined && this.#held_of === this.slot.event) return this.#held.has(id)
    return holdsIn(
      this.slot,
      id,
      value => this.holdsFor(value),
      () => this.holding(),
    )
  }

  most(): number {
    if (this.#held !== undefined && this.#held_of === this.slot.event)
      return this.#held.few?.length ?? Infinity
    if (this.test?.kind !== 'equals' || this.slot.count <= fewLeaves) return Infinity
    return this.slot.index().elements.get(this.test.value)?.length ?? 0
  }

  /** Whether it holds for any value at its path. */
  holdsForAny(): boolean {
    const { slot, field } = this
    if (slot.count > fewLeaves) return anyHolds(slot.index(), field)
    for (let leaf = slot.first; leaf !== null; leaf = leaf.next) if (this.holdsFor(leaf.value)) return true
    return false
  }

  /** What an event leaves behind is let go when its path is read again. */
  forget(): void {
    this.#held = undefined
  }

  holdsFor(value: LeafValue): boolean {
    if (value === unmentioned) return this.any_text
    const fits = this.searching.length > 0 ? this.slot.fits : undefined
    return this.test === undefined ? fieldHolds(this.field, value, fits) : holds(this.test, value, fits)
  }
}

/** A wildcard that searches for texts, and the field that it makes hold; undefined where anything-but excludes it. */
interface Searching<B> {
  test: WildcardTest
  field: SharedField<B> | undefined
  /** the last pass in which a text fitted it */
  fitted: number
}

export class Slot<B> extends PathSlot {
  /** fields of branches at this path */
  uses = 0
  /** every field that asks for one exact value, and every other */
  readonly #singles = new Map<Scalar, SharedField<B>>()
  readonly #others = new Map<string, SharedField<B>>()
  /** conditions that have to see texts */
  #reading = 0
  readonly #mentions = new Mentions()
  /** of the texts that wildcards search for */
  readonly #lengths = new Tally<number>()
  /** of beginnings and endings */
  readonly #endLengths = new Tally<number>()
  /** at least heaviest(), which is computed again only where this seems too much */
  reach = 0
  /** ways in: exact values of fields that ask for more than one */
  readonly #exact = new Table<Scalar, SharedField<B>>()
  #ranges: Ranges<SharedField<B>> | undefined
  #texts: TextIndex<SharedField<B>> | undefined
  /** all wildcards that search for texts, of ways in and of others */
  #wildcards: Wildcards<Searching<B>> | undefined
  /** the text that was tried last, and the wildcards that it fits */
  #passed: string | undefined
  #passes = 0
  /** of them those that are alternatives of ways in */
  #searchingWays = 0
  readonly #fitting: Searching<B>[] = []
  readonly #searching = new Map<WildcardTest, Searching<B>>()
  #fits_of: Map<Searching<B>, string[]> | undefined
  /** fields that hold sets of elements of the present event */
  readonly held: SharedField<B>[] = []
  /** ways in that nearly any value may make hold */
  any: Set<SharedField<B>> | undefined
  /** ways in that hold where nothing is */
  absent: Set<SharedField<B>> | undefined

  mayMention(hash: number): boolean {
    return this.#reading > 0 || this.#mentions.has(hash)
  }

  /** The shared field that asks what a field asks, where there is one. */
  shared(field: Field): SharedField<B> | undefined {
    const single = singleValue(field)
    return single === undefined ? this.#others.get(keyOf(field)) : this.#singles.get(single)
  }

  /** How many different lengths the texts that wildcards search for would have with some more. */
  lengthsWith(texts: readonly string[]): number {
    return (
      this.#lengths.size +
      new Set(texts.map(text => text.length).filter(length => !this.#lengths.has(length))).size
    )
  }

  /** Whether a field as a way in can hold in any number besides others (cost-limits.ts). */
  isOpen({ conditions, absent }: Field): boolean {
    const tooMany = this.#endLengths.size > narrowLengths
    return (
      absent ||
      conditions.some(
        ({ test }) =>
          isOpenTest(test) ||
          this.#crowdOf(test) >= narrowAttached ||
          (tooMany && endLengths(test).length > 0),
      )
    )
  }

  #crowdOf(test: Test): number {
    if (test.kind === 'equals') return this.#exact.attachedAt(test.value)
    return isOnlyText(test) ? (this.#texts?.attachedAt(test) ?? 0) : 0
  }

  /** The most that the branches on one of its ways in weigh, those that are open apart. */
  heaviest(): number {
    let most = 0
    for (const shared of this.#singles.values())
      if (!shared.open && shared.weight > most) most = shared.weight
    for (const shared of this.#others.values()) if (!shared.open && shared.weight > most) most = shared.weight
    return most
  }

  /** The one shared field that asks what a field asks, one use more. */
  share(field: Field): SharedField<B> {
    const single = singleValue(field)
    const key = single === undefined ? keyOf(field) : ''
    let shared = single === undefined ? this.#others.get(key) : this.#singles.get(single)
    if (shared === undefined) {
      shared = new SharedField(field, this)
      if (single === undefined) this.#others.set(key, shared)
      else this.#singles.set(single, shared)
      this.#learn(shared)
    }
    shared.uses++
    this.uses++
    return shared
  }

  /** Its texts are wanted for ever. */
  keep(): void {
    this.uses++
    this.#reading++
  }

  /** One use less. The bits of its texts stay set: a wrong one costs the decoding of a text. */
  release(shared: SharedField<B>): void {
    this.uses--
    if (--shared.uses > 0) return
    const { field } = shared
    const single = singleValue(field)
    if (single === undefined) this.#others.delete(keyOf(field))
    else this.#singles.delete(single)
    for (const { test } of field.conditions) {
      if (readsText(test)) this.#reading--
      for (const length of endLengths(test)) this.#endLengths.remove(length)
    }
    for (const searching of shared.searching) this.#unsearch(searching)
  }

  #learn(shared: SharedField<B>): void {
    const { field } = shared
    for (const { test } of field.conditions) {
      if (readsText(test)) this.#reading++
      for (const length of endLengths(test)) this.#endLengths.add(length)
    }
    for (const searching of shared.searching) this.#search(searching)
    for (const text of mentionedTexts(field)) {
      if (this.#mentions.full) this.#mentionAgain()
      this.#mentions.add(hashText(text))
    }
  }

  #search(searching: Searching<B>): void {
    ;(this.#wildcards ??= new Wildcards()).add(searching.test.pieces, searching)
    this.#searching.set(searching.test, searching)
    for (const text of searched(searching.test.pieces)) this.#lengths.add(text.length)
    this.#passed = undefined
  }

  #unsearch(searching: Searching<B>): void {
    this.#wildcards!.removeAll(searching)
    this.#searching.delete(searching.test)
    for (const text of searched(searching.test.pieces)) this.#lengths.remove(text.length)
    this.#passed = undefined
  }

  /** Tries all wildcards on a text, unless it is the one that was tried last. */
  #pass(text: string): void {
    if (this.#passed === text) return
    this.#passes++
    this.#fitting.length = 0
    this.#wildcards!.visit(text, searching => {
      searching.fitted = this.#passes
      this.#fitting.push(searching)
    })
    this.#passed = text
  }

  /** Whether a text fits one of the wildcards here: for all together, where they are more than a few. */
  readonly fits: Fits = (test, text) => {
    if (test.pieces.length < 3 || this.#wildcards!.size <= fewWildcards)
      return wildcardHolds(test.pieces, text)
    this.#pass(text)
    return this.#searching.get(test)!.fitted === this.#passes
  }

  override clear(): void {
    super.clear()
    this.#passed = undefined
    this.#fits_of = undefined
    for (const shared of this.held) shared.forget()
    this.held.length = 0
  }

  /** The texts of the present event that fit a wildcard, found for all of them in one pass over each text. */
  override fitting(test: WildcardTest): readonly string[] | undefined {
    const searching = this.#searching.get(test)
    if (searching === undefined || this.#wildcards!.size <= fewWildcards) return undefined
    if (this.#fits_of === undefined) {
      this.#fits_of = new Map()
      for (const text of this.index().texts) {
        this.#wildcards!.visit(text, each => {
          const present = this.#fits_of!.get(each)
          if (present === undefined) this.#fits_of!.set(each, [text])
          else present.push(text)
        })
      }
    }
    return this.#fits_of.get(searching) ?? none
  }

  /** The mentions of the fields that are there now, this one among them. */
  #mentionAgain(): void {
    const texts = [...this.#singles.values(), ...this.#others.values()].flatMap(({ field }) =>
      mentionedTexts(field),
    )
    this.#mentions.reset(texts.length)
    for (const text of texts) this.#mentions.add(hashText(text))
  }

  /** How many fields lead to branches by an exact value. */
  attachedAt(value: Scalar): number {
    return this.#exact.attachedAt(value)
  }

  attach(branch: B, shared: SharedField<B>): void {
    if (shared.attached.length > 0) return void shared.attached.push(branch)
    shared.attached = [branch]
    const { field } = shared
    if (field.absent) (this.absent ??= new Set()).add(shared)
    if (singleValue(field) === undefined) for (const { test } of field.conditions) this.#index(test, shared)
    return undefined
  }

  #index(test: Test, shared: SharedField<B>): void {
    if (test.kind === 'equals') this.#exact.add(test.value, shared)
    else if (test.kind === 'wildcard' && test.pieces.length === 1) this.#exact.add(test.pieces[0]!, shared)
    else if (test.kind === 'range') (this.#ranges ??= new Ranges()).add(test.low, test.high, shared)
    else if (test.kind === 'wildcard' && searched(test.pieces).length > 0) this.#searchingWays++
    else if (isOnlyText(test)) (this.#texts ??= new TextIndex()).add(test, shared)
    else (this.any ??= new Set()).add(shared)
  }

  /** The last branch has left a way in. */
  unindex(shared: SharedField<B>): void {
    const { field } = shared
    this.absent?.delete(shared)
    this.any?.delete(shared)
    if (singleValue(field) !== undefined) return
    const tests = field.conditions.map(({ test }) => test)
    for (const test of tests) {
      if (test.kind === 'equals') this.#exact.remove(test.value, shared)
      else if (test.kind === 'wildcard' && test.pieces.length === 1)
        this.#exact.remove(test.pieces[0]!, shared)
      else if (test.kind === 'wildcard' && searched(test.pieces).length > 0) this.#searchingWays--
    }
    if (tests.some(test => test.kind === 'range')) this.#ranges!.removeAll(shared)
    this.#texts?.removeAll(tests.filter(isOnlyText), shared)
  }

  /** Leads from the values of the present event to fields, besides those in any and absent; to some more than once. */
  visitAll(visitor: Visitor<SharedField<B>>): void {
    if (this.count <= fewLeaves) {
      for (let leaf = this.first; leaf !== null; leaf = leaf.next) {
        this.#visit(leaf.value, visitor)
        this.#visitNumber(leaf.value, visitor)
      }
      return
    }
    const index = this.index()
    for (const value of index.elements.keys()) this.#visit(value, visitor)
    if (this.#ranges === undefined) return
    this.#ranges.visitAny(index.doubles, visitor.sure)
    for (const value of index.exact) this.#visitNumber(value, visitor)
  }

  #visitNumber(value: LeafValue, visitor: Visitor<SharedField<B>>): void {
    if (typeof value === 'number') this.#ranges?.visit(value, value, visitor.sure)
    else if (value instanceof ExactNumber) this.#ranges?.visit(value.below, value.above, visitor.maybe)
  }

  #visit(value: LeafValue, visitor: Visitor<SharedField<B>>): void {
    if (value === unmentioned) return
    const single = this.#singles.get(value)
    if (single !== undefined && single.attached.length > 0) visitor.sure(single)
    if (this.#exact.size > 0) this.#exact.visit(value, visitor.sure)
    if (typeof value !== 'string') return
    this.#texts?.visit(value, visitor, this.event)
    if (this.#searchingWays > 0) {
      this.#pass(value)
      for (const { field } of this.#fitting)
        if (field !== undefined && field.attached.length > 0) visitor.sure(field)
    }
  }
}
