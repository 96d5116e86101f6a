// What one event could cost at worst: the ways in that any number of can hold at once, and what hangs on them.
//
// An exact value, an ending, a block of addresses lets in those triggers that ask for the one thing that stands there.
// A range, a text that is searched for, anything-but, exists can all hold for the same event, and so can what a crowd
// asks for. Branches behind such open ways are counted, and the different fields that they have: deciding one of these
// costs up to 200 ns when nothing of it is in the cache, passing a branch 25.
import type { Condition, Test } from '../conditions.ts'
import type { Field } from '../pattern.ts'
import { searched } from './wildcards.ts'

/** Limits of all triggers together: with them an event of 10 KB with one value at each path costs at most 5 ms ("hostile" in scripts/bench match). */
export const indexLimits = {
  /** fields of all ways through all filters: a bound of memory */
  fields: 1_000_000,
  /** texts between the stars of all wildcards */
  searched: 20_000,
  /** different lengths that such texts have at one path: as many may end at one place of a value */
  lengths: 64,
  /** ways through filters that are open, and the different fields that they have */
  open: 100_000,
  open_fields: 20_000,
  /** from so many on, those who share a way in are a crowd */
  crowd: 256,
} as const

function isOpenTest(test: Test): boolean {
  switch (test.kind) {
    case 'equals':
    case 'equals_ignore_case':
    case 'cidr':
      return false
    case 'prefix':
    case 'suffix':
      return test.text.length < 3
    case 'wildcard':
      return searched(test.pieces).length > 0 || Math.max(...test.pieces.map(piece => piece.length)) < 3
    case 'range':
      return test.low !== test.high
    case 'exists':
    case 'anything_but':
    case 'anything_but_texts':
      return true
  }
}

/** Whether fields like this one can hold for the same event in any number. */
export function isOpen({ conditions, absent }: Field): boolean {
  return absent || conditions.some(({ test }) => isOpenTest(test))
}

/** The texts that wildcards search for. */
export function searchedTexts(conditions: readonly Condition[]): string[] {
  return conditions.flatMap(({ test }) => (test.kind === 'wildcard' ? searched(test.pieces) : []))
}

/** Counts how often each of some things is there. */
export class Tally<T> {
  readonly #counts = new Map<T, number>()

  get size(): number {
    return this.#counts.size
  }

  has(thing: T): boolean {
    return this.#counts.has(thing)
  }

  add(thing: T): void {
    this.#counts.set(thing, (this.#counts.get(thing) ?? 0) + 1)
  }

  remove(thing: T): void {
    const left = this.#counts.get(thing)! - 1
    if (left > 0) this.#counts.set(thing, left)
    else this.#counts.delete(thing)
  }
}
