// What the triggers ask of one path: the fields at it, each once however many branches have it, and the indexes that
// lead from a value to the fields that it makes hold.
//
// A field stands in the indexes while a branch has it as its way in (matcher.ts); all its alternatives do then. Fields
// of one exact value are found by that value, in the very table that keeps them.
import { searchedTexts, Tally } from './burden.ts'
import { CharTrie } from './char-trie.ts'
import { addressOf, folded, holds, type OnlyText, type Scalar, type Test } from '../conditions.ts'
import { PathSlot, unmentioned, type LeafValue } from './leaves.ts'
import { hashText } from './path-trie.ts'
import { fieldHolds, type Field } from '../pattern.ts'
import { Ranges } from './ranges.ts'
import { searched, Wildcards } from './wildcards.ts'

const none: never[] = []

/** A field that branches share: what it asks, and what is known of it for the present event. B: a branch. */
export class SharedField<B> {
  readonly field: Field
  readonly slot: Slot<B>
  /** branches that have it */
  uses = 0
  /** branches that have it as their way in; empty: it is in no index */
  hung: B[] = none
  /** the event for which holds is decided */
  decided = 0
  holds = false
  /** the last event that led to its branches */
  led = 0
  /** its one alternative, where it has one: read without going through the field */
  readonly test: Test | undefined
  /** whether it holds for a text that nobody mentions at its path */
  readonly any_text: boolean

  constructor(field: Field, slot: Slot<B>) {
    this.field = field
    this.slot = slot
    this.test = field.conditions.length === 1 ? field.conditions[0]!.test : undefined
    this.any_text = field.conditions.some(({ test }) => test.kind === 'exists' || test.kind === 'anything_but')
  }

  holdsFor(value: LeafValue): boolean {
    if (value === unmentioned) return this.any_text
    return this.test === undefined ? fieldHolds(this.field, value) : holds(this.test, value)
  }
}

/** Called with fields that an index leads to. */
export interface Led<B> {
  /** it holds for the value */
  sure: (shared: SharedField<B>) => void
  /** it may */
  maybe: (shared: SharedField<B>) => void
}

/** The hashes of the texts that are mentioned at a path, as bits: what is not among them need not be decoded. */
class Mentions {
  #bits = new Uint32Array(2)
  #count = 0

  has(hash: number): boolean {
    return (this.#bits[(hash >>> 5) & (this.#bits.length - 1)]! & (1 << (hash & 31))) !== 0
  }

  add(hash: number): void {
    this.#bits[(hash >>> 5) & (this.#bits.length - 1)]! |= 1 << (hash & 31)
  }

  /** Makes room for one more; answers whether all have to be added again. */
  grows(): boolean {
    this.#count++
    if (this.#count * 16 <= this.#bits.length * 32) return false
    this.#bits = new Uint32Array(this.#bits.length * 4)
    return true
  }
}

function isOnlyText(test: Test): test is OnlyText {
  return test.kind !== 'equals' && test.kind !== 'range' && test.kind !== 'exists' && test.kind !== 'anything_but' && test.kind !== 'anything_but_texts'
}

/** Whether a test has to see the text itself: no hash answers it. */
function readsText(test: Test): boolean {
  return isOnlyText(test) || test.kind === 'anything_but_texts'
}

function mentionedTexts({ conditions }: Field): string[] {
  return conditions.flatMap(({ test }) => {
    const values = test.kind === 'equals' ? [test.value] : test.kind === 'anything_but' ? [...test.excluded] : []
    return values.filter(value => typeof value === 'string')
  })
}

/** The value that a field asks for, where that is all it does. */
function singleValue({ conditions, absent }: Field): Scalar | undefined {
  const [first] = conditions
  return conditions.length === 1 && !absent && first!.test.kind === 'equals' ? first!.test.value : undefined
}

function keyOf({ conditions, absent }: Field): string {
  return `${absent ? '-' : '+'}${JSON.stringify(conditions.map(({ operator, expected }) => [operator, expected]))}`
}

/** Fields by what leads to them. */
class Table<K, B> {
  readonly #map = new Map<K, SharedField<B> | SharedField<B>[]>()

  get size(): number {
    return this.#map.size
  }

  crowd(key: K): number {
    const present = this.#map.get(key)
    return present === undefined ? 0 : Array.isArray(present) ? present.length : 1
  }

  add(key: K, field: SharedField<B>): void {
    const present = this.#map.get(key)
    if (present === undefined) this.#map.set(key, field)
    else if (Array.isArray(present)) present.push(field)
    else this.#map.set(key, [present, field])
  }

  remove(key: K, field: SharedField<B>): void {
    const present = this.#map.get(key)
    const left = Array.isArray(present) ? present.filter(each => each !== field) : []
    if (left.length === 0) this.#map.delete(key)
    else this.#map.set(key, left.length === 1 ? left[0]! : left)
  }

  visit(key: K, emit: (field: SharedField<B>) => void): void {
    const present = this.#map.get(key)
    if (present === undefined) return
    if (Array.isArray(present)) for (const field of present) emit(field)
    else emit(present)
  }
}

/** The top 53 bits of a v6 address, which a double holds: what they let through is decided by the condition itself. */
function v6Number(value: bigint): number {
  return Number(value >> 75n)
}

/** Beginnings and endings of texts. */
class Ends<B> {
  readonly prefixes = new CharTrie<SharedField<B>>()
  readonly suffixes = new CharTrie<SharedField<B>>()

  visit(text: string, emit: (field: SharedField<B>) => void): void {
    this.prefixes.visit(text, false, emit)
    this.suffixes.visit(text, true, emit)
  }
}

/** The indexes of the operators over texts. */
class TextIndex<B> {
  #ends: Ends<B> | undefined
  #foldedEnds: Ends<B> | undefined
  #folded: Table<string, B> | undefined
  /** the longer or less crowded ends of wildcards without a text to search for */
  #wildcardEnds: Ends<B> | undefined
  #wildcards: Wildcards<SharedField<B>> | undefined
  #v4: Ranges<SharedField<B>> | undefined
  #v6: Ranges<SharedField<B>> | undefined

  add(test: OnlyText, field: SharedField<B>): void {
    switch (test.kind) {
      case 'equals_ignore_case':
        return (this.#folded ??= new Table()).add(test.text, field)
      case 'prefix':
        return this.#endsOf(test.ignore_case).prefixes.add(test.text, field)
      case 'suffix':
        return this.#endsOf(test.ignore_case).suffixes.add(test.text, field, true)
      case 'wildcard':
        return this.#addWildcard(test.pieces, field)
      case 'cidr': {
        const { block } = test
        if (block.version === 4) return (this.#v4 ??= new Ranges()).add(block.low, block.high, field)
        return (this.#v6 ??= new Ranges()).add(v6Number(block.low), v6Number(block.high), field)
      }
    }
  }

  remove(test: OnlyText, field: SharedField<B>): void {
    switch (test.kind) {
      case 'equals_ignore_case':
        return this.#folded!.remove(test.text, field)
      case 'prefix':
        return void this.#endsOf(test.ignore_case).prefixes.remove(test.text, field)
      case 'suffix':
        return void this.#endsOf(test.ignore_case).suffixes.remove(test.text, field, true)
      case 'wildcard': {
        if (searched(test.pieces).length > 0) return this.#wildcards!.removeAll(field)
        const { prefixes, suffixes } = this.#wildcardEnds!
        return void (prefixes.remove(test.pieces[0]!, field) || suffixes.remove(test.pieces.at(-1)!, field, true))
      }
      case 'cidr':
        return (test.block.version === 4 ? this.#v4! : this.#v6!).removeAll(field)
    }
  }

  #endsOf(ignore_case: boolean): Ends<B> {
    return ignore_case ? (this.#foldedEnds ??= new Ends()) : (this.#ends ??= new Ends())
  }

  #addWildcard(pieces: readonly string[], field: SharedField<B>): void {
    if (searched(pieces).length > 0) return (this.#wildcards ??= new Wildcards()).add(pieces, field)
    const [first, last] = [pieces[0]!, pieces.at(-1)!]
    const { prefixes, suffixes } = (this.#wildcardEnds ??= new Ends())
    const byPrefix = prefixes.crowd(first) - suffixes.crowd(last, true) || last.length - first.length
    return byPrefix <= 0 ? prefixes.add(first, field) : suffixes.add(last, field, true)
  }

  visit(text: string, { sure, maybe }: Led<B>): void {
    this.#ends?.visit(text, sure)
    this.#wildcardEnds?.visit(text, maybe)
    this.#wildcards?.visit(text, sure)
    if (this.#folded !== undefined || this.#foldedEnds !== undefined) {
      const plain = folded(text)
      this.#folded?.visit(plain, sure)
      this.#foldedEnds?.visit(plain, sure)
    }
    if (this.#v4 === undefined && this.#v6 === undefined) return
    const { v4, v6 } = addressOf(text)
    if (v4 >= 0) this.#v4?.visit(v4, sure)
    if (v6 !== undefined) this.#v6?.visit(v6Number(v6), maybe)
  }
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
  /** ways in: exact values of fields that ask for more than one */
  readonly #exact = new Table<Scalar, B>()
  #ranges: Ranges<SharedField<B>> | undefined
  #texts: TextIndex<B> | undefined
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
    return this.#lengths.size + new Set(texts.map(text => text.length).filter(length => !this.#lengths.has(length))).size
  }

  /** The one shared field that asks what a field asks, one use more. */
  share(field: Field): SharedField<B> {
    let shared = this.shared(field)
    if (shared === undefined) {
      shared = new SharedField(field, this)
      const single = singleValue(field)
      if (single === undefined) this.#others.set(keyOf(field), shared)
      else this.#singles.set(single, shared)
      this.#learn(field)
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
    for (const { test } of field.conditions) if (readsText(test)) this.#reading--
    for (const text of searchedTexts(field.conditions)) this.#lengths.remove(text.length)
  }

  #learn(field: Field): void {
    for (const { test } of field.conditions) if (readsText(test)) this.#reading++
    for (const text of searchedTexts(field.conditions)) this.#lengths.add(text.length)
    for (const text of mentionedTexts(field)) {
      if (this.#mentions.grows()) {
        for (const { field: known } of [...this.#singles.values(), ...this.#others.values()])
          for (const each of mentionedTexts(known)) this.#mentions.add(hashText(each))
      }
      this.#mentions.add(hashText(text))
    }
  }

  /** How many fields lead to branches by an exact value. */
  crowd(value: Scalar): number {
    return this.#exact.crowd(value)
  }

  hang(branch: B, shared: SharedField<B>): void {
    if (shared.hung.length > 0) return void shared.hung.push(branch)
    shared.hung = [branch]
    const { field } = shared
    if (field.absent) (this.absent ??= new Set()).add(shared)
    if (singleValue(field) === undefined) for (const { test } of field.conditions) this.#index(test, shared)
    return undefined
  }

  #index(test: Test, shared: SharedField<B>): void {
    if (test.kind === 'equals') this.#exact.add(test.value, shared)
    else if (test.kind === 'wildcard' && test.pieces.length === 1) this.#exact.add(test.pieces[0]!, shared)
    else if (test.kind === 'range') (this.#ranges ??= new Ranges()).add(test.low, test.high, shared)
    else if (isOnlyText(test)) (this.#texts ??= new TextIndex()).add(test, shared)
    else (this.any ??= new Set()).add(shared)
  }

  /** The last branch has left a way in. */
  unindex(shared: SharedField<B>): void {
    const { field } = shared
    this.absent?.delete(shared)
    this.any?.delete(shared)
    if (singleValue(field) !== undefined) return
    for (const { test } of field.conditions) {
      if (test.kind === 'equals') this.#exact.remove(test.value, shared)
      else if (test.kind === 'wildcard' && test.pieces.length === 1) this.#exact.remove(test.pieces[0]!, shared)
      else if (test.kind === 'range') this.#ranges!.removeAll(shared)
      else if (isOnlyText(test)) this.#texts!.remove(test, shared)
    }
  }

  /** Leads from a value to fields, besides those in any and absent; to some more than once. */
  visit(value: LeafValue, led: Led<B>): void {
    if (value === unmentioned) return
    const single = this.#singles.get(value)
    if (single !== undefined && single.hung.length > 0) led.sure(single)
    if (this.#exact.size > 0) this.#exact.visit(value, led.sure)
    if (typeof value === 'string') this.#texts?.visit(value, led)
    else if (typeof value === 'number') this.#ranges?.visit(value, led.sure)
  }
}
