// What one event could cost at worst, and the limits that bound it.
//
// An event has one value at most paths, so of the triggers that ask for an exact value, a beginning or an ending there,
// it reaches those of the one value: the heaviest that there is at the path. Ranges, texts that are searched for,
// anything-but and exists are different: any number of them can hold at once. Branches whose way in is such a one are
// open; what they ask is counted over all of them. Deciding a condition costs up to 200 ns when nothing of it is in the
// cache, passing a branch 60.
import type { Condition, Test, TextTest, WildcardTest } from '../conditions.ts'
import { isPoint } from '../numeric.ts'
import type { Branch, CompiledPattern, Field } from '../pattern.ts'
import { searched } from './wildcards.ts'

/**
 * Limits of all triggers together: with them an event of 10 KB with one value at each path costs at most 5 ms
 * ("hostile" in scripts/bench match).
 */
export const indexLimits = {
  /** fields of all ways through all filters: a bound of memory */
  fields: 1_000_000,
  /** texts between the stars of all wildcards */
  searched: 20_000,
  /** different lengths that texts between stars have at one path: as many may end at one place of a value */
  lengths: 64,
  /** ways to match that are open */
  open: 30_000,
  /** different conditions that these have */
  open_conditions: 16_000,
  /** conditions that one event can reach by values, added up over the paths */
  reach: 16_000,
} as const

/** As many different lengths of beginnings and endings at one path are narrow: a value may have one of each length. */
export const narrowLengths = 64
/** As many fields may ask for one value, beginning or ending besides others and be narrow. */
export const narrowAttached = 64

/** Whether conditions of this kind can hold for the same value in any number. */
export function isOpenTest(test: Test): boolean {
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
      return !isPoint(test)
    case 'exists':
    case 'anything_but':
    case 'anything_but_texts':
      return true
  }
}

/** The wildcards of conditions that search for texts, those that anything-but excludes among them. */
export function searchingWildcards(conditions: readonly Condition[]): WildcardTest[] {
  const all = conditions.flatMap(({ test }): readonly Test[] =>
    test.kind === 'anything_but_texts' ? test.tests : [test],
  )
  return all.filter(test => test.kind === 'wildcard').filter(test => searched(test.pieces).length > 0)
}

/** The texts that they search for. */
export function searchedTexts(conditions: readonly Condition[]): string[] {
  return searchingWildcards(conditions).flatMap(test => searched(test.pieces))
}

/** So many units of a text that is compared take as long as a condition. */
const unitsOfOne = 64

function textWeight(test: TextTest): number {
  const units =
    test.kind === 'wildcard' ? test.pieces.reduce((sum, piece) => sum + piece.length, 0) : test.text.length
  return 1 + Math.floor(units / unitsOfOne)
}

function testWeight(test: Test): number {
  switch (test.kind) {
    case 'equals':
      return 0.1
    case 'prefix':
    case 'suffix':
    case 'equals_ignore_case':
    case 'wildcard':
      return textWeight(test)
    case 'anything_but_texts':
      return test.tests.reduce((sum, each) => sum + textWeight(each), 0)
    case 'anything_but':
    case 'range':
    case 'cidr':
    case 'exists':
      return 1
  }
}

/** What deciding a field may take, in conditions. */
export function weightOf({ conditions }: Field): number {
  return Math.max(1, Math.ceil(conditions.reduce((sum, { test }) => sum + testWeight(test), 0)))
}

export function branchWeight({ fields }: Branch): number {
  return fields.reduce((sum, field) => sum + weightOf(field), 0)
}

export function fieldsOf({ branches }: CompiledPattern): number {
  return branches.reduce((sum, { fields }) => sum + fields.length, 0)
}

/** How many texts the wildcards of a pattern search for. */
export function searchedOf({ branches }: CompiledPattern): number {
  let count = 0
  for (const { fields } of branches)
    for (const { conditions } of fields) count += searchedTexts(conditions).length
  return count
}

/** Why the wildcards of a pattern search for texts of too many lengths, or undefined; countWith: at a path, with some texts more. */
export function tooManyLengths(
  { branches }: CompiledPattern,
  countWith: (path: string, texts: readonly string[]) => number | undefined,
): string | undefined {
  const texts = new Map<string, string[]>()
  for (const { fields } of branches)
    for (const { path, conditions } of fields)
      texts.set(path, [...(texts.get(path) ?? []), ...searchedTexts(conditions)])
  for (const [path, searched] of texts) {
    const count = countWith(path, searched) ?? new Set(searched.map(text => text.length)).size
    if (count > indexLimits.lengths)
      return `the wildcards at ${path} may search for texts of ${indexLimits.lengths} different lengths; this would make them ${count}`
  }
  return undefined
}

/** Counts how often each of some things is there, and what they weigh together. */
export class Tally<T> {
  readonly #counts = new Map<T, number>()
  readonly #weigh: (thing: T) => number
  weight = 0

  constructor(weigh: (thing: T) => number = () => 1) {
    this.#weigh = weigh
  }

  get size(): number {
    return this.#counts.size
  }

  has(thing: T): boolean {
    return this.#counts.has(thing)
  }

  add(thing: T): void {
    const count = this.#counts.get(thing) ?? 0
    this.#counts.set(thing, count + 1)
    if (count === 0) this.weight += this.#weigh(thing)
  }

  remove(thing: T): void {
    const left = this.#counts.get(thing)! - 1
    if (left > 0) this.#counts.set(thing, left)
    else {
      this.#counts.delete(thing)
      this.weight -= this.#weigh(thing)
    }
  }
}
