// The indexes of the operators over texts: beginnings and endings in tries, folded ones apart, addresses as ranges. F is
// what they lead to, a field; never an array.
import { CharTrie } from './char-trie.ts'
import { folded, type OnlyText } from '../conditions.ts'
import { addressOf } from '../addresses.ts'
import { Ranges } from './ranges.ts'

/** Called with fields that an index leads to. */
export interface Visitor<F> {
  /** it holds for the value */
  sure: (shared: F) => void
  /** it may */
  maybe: (shared: F) => void
}

/** Fields by what leads to them. */
export class Table<K, F> {
  readonly #map = new Map<K, F | F[]>()

  get size(): number {
    return this.#map.size
  }

  attachedAt(key: K): number {
    const present = this.#map.get(key)
    return present === undefined ? 0 : Array.isArray(present) ? present.length : 1
  }

  add(key: K, field: F): void {
    const present = this.#map.get(key)
    if (present === undefined) this.#map.set(key, field)
    else if (Array.isArray(present)) present.push(field)
    else this.#map.set(key, [present, field])
  }

  remove(key: K, field: F): void {
    const present = this.#map.get(key)
    const all = present === undefined ? [] : Array.isArray(present) ? present : [present]
    const left = all.filter(each => each !== field)
    if (left.length === 0) this.#map.delete(key)
    else this.#map.set(key, left.length === 1 ? left[0]! : left)
  }

  visit(key: K, emit: (field: F) => void): void {
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
class Ends<F> {
  readonly prefixes = new CharTrie<F>()
  readonly suffixes = new CharTrie<F>()

  visit(text: string, emit: (field: F) => void, event: number): void {
    this.prefixes.visit(text, false, emit, event)
    this.suffixes.visit(text, true, emit, event)
  }
}

/** The indexes of the operators over texts. */
export class TextIndex<F> {
  #ends: Ends<F> | undefined
  #foldedEnds: Ends<F> | undefined
  #folded: Table<string, F> | undefined
  /** the longer or less crowded ends of wildcards without a text to search for */
  #wildcardEnds: Ends<F> | undefined
  #v4: Ranges<F> | undefined
  #v6: Ranges<F> | undefined

  add(test: OnlyText, field: F): void {
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

  #remove(test: OnlyText, field: F): void {
    switch (test.kind) {
      case 'equals_ignore_case':
        return this.#folded!.remove(test.text, field)
      case 'prefix':
        return this.#endsOf(test.ignore_case).prefixes.remove(test.text, field)
      case 'suffix':
        return this.#endsOf(test.ignore_case).suffixes.remove(test.text, field, true)
      case 'wildcard':
        // It is in one of them.
        this.#wildcardEnds?.prefixes.remove(test.pieces[0]!, field)
        return this.#wildcardEnds?.suffixes.remove(test.pieces.at(-1)!, field, true)
      case 'cidr':
        return undefined
    }
  }

  /** Takes a field out: what is known by the field is taken out at once, the rest by its texts. */
  removeAll(tests: readonly OnlyText[], field: F): void {
    for (const test of tests) this.#remove(test, field)
    if (tests.some(test => test.kind === 'cidr' && test.block.version === 4)) this.#v4!.removeAll(field)
    if (tests.some(test => test.kind === 'cidr' && test.block.version === 6)) this.#v6!.removeAll(field)
  }

  /** How many fields one beginning or ending leads to. */
  attachedAt(test: OnlyText): number {
    if (test.kind === 'prefix') return this.#endsOf(test.ignore_case).prefixes.attachedAt(test.text)
    if (test.kind === 'suffix') return this.#endsOf(test.ignore_case).suffixes.attachedAt(test.text, true)
    if (test.kind === 'equals_ignore_case') return this.#folded?.attachedAt(test.text) ?? 0
    if (test.kind !== 'wildcard' || this.#wildcardEnds === undefined) return 0
    return Math.min(
      this.#wildcardEnds.prefixes.attachedAt(test.pieces[0]!),
      this.#wildcardEnds.suffixes.attachedAt(test.pieces.at(-1)!, true),
    )
  }

  #endsOf(ignore_case: boolean): Ends<F> {
    return ignore_case ? (this.#foldedEnds ??= new Ends()) : (this.#ends ??= new Ends())
  }

  #addWildcard(pieces: readonly string[], field: F): void {
    const [first, last] = [pieces[0]!, pieces.at(-1)!]
    const { prefixes, suffixes } = (this.#wildcardEnds ??= new Ends())
    const byPrefix =
      prefixes.attachedAt(first) - suffixes.attachedAt(last, true) || last.length - first.length
    return byPrefix <= 0 ? prefixes.add(first, field) : suffixes.add(last, field, true)
  }

  /** Leads to fields, those of a beginning or ending once in an event. */
  visit(text: string, { sure, maybe }: Visitor<F>, event: number): void {
    this.#ends?.visit(text, sure, event)
    this.#wildcardEnds?.visit(text, maybe, event)
    if (this.#folded !== undefined || this.#foldedEnds !== undefined) {
      const plain = folded(text)
      this.#folded?.visit(plain, sure)
      this.#foldedEnds?.visit(plain, sure, event)
    }
    if (this.#v4 === undefined && this.#v6 === undefined) return
    const { v4, v6 } = addressOf(text)
    if (v4 >= 0) this.#v4?.visit(v4, v4, sure)
    if (v6 !== undefined) this.#v6?.visit(v6Number(v6), v6Number(v6), maybe)
  }
}
