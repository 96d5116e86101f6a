// The different values at one path of one event, in the orders in which conditions ask for them: what a condition costs
// is the logarithm of how many values there are and what it holds for, not a look at each. Built where a path has more
// than a few leaves, once for an event, and shared by all conditions.
//
// 5,000 numbers in an array of 10 KB and 8,000 triggers with a range each cost 260 ms while each looked at each.
import {
  folded,
  holds,
  wildcardHolds,
  type OnlyText,
  type Test,
  type TextTest,
  type WildcardTest,
} from '../conditions.ts'
import { addressOf } from '../addresses.ts'
import { compareNumbers, ExactNumber } from '../exact-number.ts'
import type { RangeTest } from '../numeric.ts'
import { ElementSet, setBit } from './element-set.ts'
import { root, unmentioned, type Leaf, type LeafValue } from './leaf.ts'

/** The texts that fit a wildcard, where they have been found for all wildcards of the path together. */
export type Fitting = (test: WildcardTest) => readonly string[] | undefined

/** The first index of sorted things that does not come before. */
function firstNot(count: number, isBefore: (index: number) => boolean): number {
  let [low, high] = [0, count]
  while (low < high) {
    const middle = (low + high) >> 1
    if (isBefore(middle)) low = middle + 1
    else high = middle
  }
  return low
}

interface Stretch {
  order: readonly string[]
  from: number
  to: number
}

/** Texts sorted by something that is made of them. */
class TextOrder<K extends string | number | bigint> {
  readonly keys: K[]
  readonly texts: string[]

  constructor(pairs: [key: K, text: string][]) {
    pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    this.keys = pairs.map(([key]) => key)
    this.texts = pairs.map(([, text]) => text)
  }

  between(isBefore: (key: K) => boolean, isAfter: (key: K) => boolean): Stretch {
    const { keys, texts } = this
    return {
      order: texts,
      from: firstNot(keys.length, at => isBefore(keys[at]!)),
      to: firstNot(keys.length, at => !isAfter(keys[at]!)),
    }
  }
}

function backwards(text: string): string {
  let result = ''
  for (let at = text.length - 1; at >= 0; at--) result += text[at]!
  return result
}

function withPrefix(order: TextOrder<string>, prefix: string): Stretch {
  return order.between(
    key => key < prefix,
    key => key > prefix && !key.startsWith(prefix),
  )
}

/** Of values outside of all elements: a list of 90,000 numbers is not as many lists. Never added to. */
const inRoot: number[] = [root.id]

export class ValueIndex {
  /** by value: the elements of its leaves */
  readonly elements = new Map<LeafValue, number[]>()
  readonly texts: string[] = []
  readonly #fitting: Fitting
  #doubles: Float64Array | undefined
  /** the elements of the doubles in order, and where those of each begin */
  #ids: Int32Array | undefined
  #begins: Int32Array | undefined
  /** by stretch of the doubles: the elements that they are in */
  readonly #stretches = new Map<number, ElementSet>()
  #exact: ExactNumber[] | undefined
  readonly #orders = new Map<string, TextOrder<string>>()
  #v4: TextOrder<number> | undefined
  #v6: TextOrder<bigint> | undefined

  constructor(first: Leaf | null, fitting: Fitting) {
    this.#fitting = fitting
    for (let leaf = first; leaf !== null; leaf = leaf.next) {
      const present = this.elements.get(leaf.value)
      if (present !== undefined) {
        if (present === inRoot)
          this.elements.set(leaf.value, leaf.element === root ? inRoot : [root.id, leaf.element.id])
        else if (present.at(-1) !== leaf.element.id) present.push(leaf.element.id)
        continue
      }
      this.elements.set(leaf.value, leaf.element === root ? inRoot : [leaf.element.id])
      if (typeof leaf.value === 'string') this.texts.push(leaf.value)
    }
  }

  /** The numbers that doubles hold, in order. */
  get doubles(): Float64Array {
    return (this.#doubles ??= Float64Array.from(
      [...this.elements.keys()].filter(value => typeof value === 'number'),
    ).sort())
  }

  get exact(): readonly ExactNumber[] {
    return (this.#exact ??= [...this.elements.keys()]
      .filter(value => value instanceof ExactNumber)
      .sort(compareNumbers))
  }

  /** Whether a test holds for any of the values. */
  any(test: Test): boolean {
    switch (test.kind) {
      case 'exists':
        return this.elements.size > 0
      case 'equals':
        return this.elements.has(test.value)
      case 'range':
        return this.#doublesIn(test).length > 0 || this.#exactIn(test).length > 0
      case 'anything_but':
        for (const value of this.elements.keys()) if (value === unmentioned || holds(test, value)) return true
        return false
      case 'anything_but_texts':
        return this.elements.size > this.texts.length || this.#excludedCount(test.tests) < this.texts.length
      case 'prefix':
      case 'suffix':
      case 'equals_ignore_case':
      case 'wildcard':
      case 'cidr':
        return this.#anyText(test)
    }
  }

  /** The values for which a test holds. */
  hits(test: Test): Iterable<LeafValue> {
    switch (test.kind) {
      case 'exists':
        return this.elements.keys()
      case 'equals':
        return this.elements.has(test.value) ? [test.value] : []
      case 'range':
        return [...this.#doublesIn(test), ...this.#exactIn(test)]
      case 'anything_but':
        return [...this.elements.keys()].filter(value => value === unmentioned || holds(test, value))
      case 'anything_but_texts': {
        const excluded = new Set<LeafValue>(test.tests.flatMap(each => this.#textsOf(each)))
        return [...this.elements.keys()].filter(value => !excluded.has(value))
      }
      case 'prefix':
      case 'suffix':
      case 'equals_ignore_case':
      case 'wildcard':
      case 'cidr':
        return this.#textsOf(test)
    }
  }

  /**
   * The elements with a number in a range. The same numbers are in many ranges, so each stretch of them is looked at once:
   * 16,000 ranges over 400 elements cost 60 ms while each put its own set together by value.
   */
  elementsIn(test: RangeTest, words: number): ElementSet {
    const { doubles } = this
    const from = firstNot(doubles.length, at => doubles[at]! < test.low)
    const to = Math.max(
      from,
      firstNot(doubles.length, at => doubles[at]! <= test.high),
    )
    const exact = this.#exactIn(test)
    const key = from * (doubles.length + 1) + to
    let found = exact.length === 0 ? this.#stretches.get(key) : undefined
    if (found !== undefined) return found
    this.#placeIds()
    const bits = new Uint32Array(words)
    const [ids, end] = [this.#ids!, this.#begins![to]!]
    for (let at = this.#begins![from]!; at < end; at++) bits[ids[at]! >>> 5]! |= 1 << (ids[at]! & 31)
    for (const number of exact) for (const id of this.elements.get(number)!) setBit(bits, id)
    found = new ElementSet(bits)
    if (exact.length === 0) this.#stretches.set(key, found)
    return found
  }

  #placeIds(): void {
    if (this.#ids !== undefined) return
    const ids: number[] = []
    this.#begins = new Int32Array(this.doubles.length + 1)
    for (const [at, number] of this.doubles.entries()) {
      for (const id of this.elements.get(number)!) ids.push(id)
      this.#begins[at + 1] = ids.length
    }
    this.#ids = Int32Array.from(ids)
  }

  #doublesIn({ low, high }: RangeTest): Float64Array {
    const { doubles } = this
    const from = firstNot(doubles.length, at => doubles[at]! < low)
    return doubles.subarray(
      from,
      Math.max(
        from,
        firstNot(doubles.length, at => doubles[at]! <= high),
      ),
    )
  }

  #exactIn({ from, to }: RangeTest): readonly ExactNumber[] {
    const { exact } = this
    if (exact.length === 0) return exact
    const isBelow = (number: ExactNumber): boolean => {
      const order = from === undefined ? 1 : compareNumbers(number, from.value)
      return order < 0 || (order === 0 && from!.open)
    }
    const isAbove = (number: ExactNumber): boolean => {
      const order = to === undefined ? -1 : compareNumbers(number, to.value)
      return order > 0 || (order === 0 && to!.open)
    }
    return exact.slice(
      firstNot(exact.length, at => isBelow(exact[at]!)),
      firstNot(exact.length, at => !isAbove(exact[at]!)),
    )
  }

  #order(name: string, keyOf: (text: string) => string): TextOrder<string> {
    let order = this.#orders.get(name)
    if (order === undefined)
      this.#orders.set(name, (order = new TextOrder(this.texts.map(text => [keyOf(text), text]))))
    return order
  }

  /** Where the texts stand beside each other for which a test holds; undefined where they do not. */
  #stretch(test: OnlyText): Stretch | undefined {
    switch (test.kind) {
      case 'prefix':
        return withPrefix(
          test.ignore_case ? this.#order('folded', folded) : this.#order('plain', text => text),
          test.text,
        )
      case 'suffix':
        return withPrefix(
          test.ignore_case
            ? this.#order('folded backwards', text => backwards(folded(text)))
            : this.#order('backwards', backwards),
          backwards(test.text),
        )
      case 'equals_ignore_case':
        return this.#order('folded', folded).between(
          key => key < test.text,
          key => key > test.text,
        )
      case 'cidr': {
        const { block } = test
        if (block.version === 4)
          return this.#v4Order().between(
            key => key < block.low,
            key => key > block.high,
          )
        return this.#v6Order().between(
          key => key < block.low,
          key => key > block.high,
        )
      }
      case 'wildcard':
        return undefined
    }
  }

  #v4Order(): TextOrder<number> {
    return (this.#v4 ??= new TextOrder(
      this.texts.map((text): [number, string] => [addressOf(text).v4, text]).filter(([key]) => key >= 0),
    ))
  }

  #v6Order(): TextOrder<bigint> {
    return (this.#v6 ??= new TextOrder(
      this.texts.flatMap((text): [bigint, string][] => {
        const { v6 } = addressOf(text)
        return v6 === undefined ? [] : [[v6, text]]
      }),
    ))
  }

  /** The texts that may fit a wildcard: those with its longer end. */
  #mayFit({ pieces }: WildcardTest): Stretch {
    const [first, last] = [pieces[0]!, pieces.at(-1)!]
    if (first.length >= last.length)
      return withPrefix(
        this.#order('plain', text => text),
        first,
      )
    return withPrefix(this.#order('backwards', backwards), backwards(last))
  }

  #textsOf(test: OnlyText): readonly string[] {
    const known = test.kind === 'wildcard' ? this.#fitting(test) : undefined
    if (known !== undefined) return known
    const { order, from, to } = this.#stretch(test) ?? this.#mayFit(test as WildcardTest)
    const texts = order.slice(from, to)
    return test.kind === 'wildcard' ? texts.filter(text => wildcardHolds(test.pieces, text)) : texts
  }

  #anyText(test: OnlyText): boolean {
    const stretch = this.#stretch(test)
    if (stretch !== undefined) return stretch.to > stretch.from
    const { pieces } = test as WildcardTest
    if (pieces.length === 1) return this.elements.has(pieces[0]!)
    const known = this.#fitting(test as WildcardTest)
    if (known !== undefined) return known.length > 0
    const { order, from, to } = this.#mayFit(test as WildcardTest)
    for (let at = from; at < to; at++) if (wildcardHolds(pieces, order[at]!)) return true
    return false
  }

  /** How many of the texts any of the tests holds for. */
  #excludedCount(tests: readonly TextTest[]): number {
    const stretches = tests.map(test => this.#stretch(test))
    const [first] = stretches
    if (first === undefined || stretches.some(each => each?.order !== first.order))
      return new Set(tests.flatMap(test => this.#textsOf(test))).size
    let [count, end] = [0, 0]
    for (const { from, to } of (stretches as Stretch[]).toSorted((a, b) => a.from - b.from)) {
      count += Math.max(0, to - Math.max(from, end))
      end = Math.max(end, to)
    }
    return count
  }
}
