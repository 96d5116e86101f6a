// Why a filter did or did not match an event: every leaf with its path, operator, what was expected and found. What a
// condition or a branch is worth is decided by the very functions that the matcher calls.
import type { Condition as ExplainedCondition } from '../contract/types.ts'
import { withFoldedActor } from '../forge.ts'
import { consistent, leafHolds, type Met } from './index/array-consistency.ts'
import { holds, type Scalar } from './conditions.ts'
import type { ElementSet } from './index/element-set.ts'
import { elementsThatHold } from './index/holding.ts'
import type { Leaf } from './index/leaf.ts'
import { Gathering, PathSlot } from './index/leaves.ts'
import type { MatchEvent } from './match-event.ts'
import { mapInTurns } from '../turns.ts'
import { nearestPath, pathsOf, type EventPath } from './nearest-path.ts'
import { PathNode } from './index/path-trie.ts'
import type { Branch, CompiledPattern, Field } from './pattern.ts'
import { walk } from './index/walk.ts'

const shownValues = 10
/** Paths for which one that was meant is looked for: a filter that has more that lead nowhere is of another event. */
const maxHints = 20

/** One event laid out for filters: its leaves at all paths that they mention, gathered in one walk. */
export class Sheet {
  readonly #event: MatchEvent
  readonly #slots = new Map<string, PathSlot>()
  readonly #gathering = new Gathering<PathSlot>()
  #paths: EventPath[] | undefined
  /** numbers as the event has them, where that is not how they are compared */
  readonly #written = new Map<Leaf, unknown>()
  readonly #hints = new Map<string, string | undefined>()
  /** those that were asked for: many ways of a filter ask for the same path */
  readonly #values = new Map<string, Scalar[]>()

  constructor(event: MatchEvent, patterns: Iterable<CompiledPattern>) {
    this.#event = event
    const top = new PathNode<PathSlot>('')
    for (const { branches } of patterns)
      for (const { fields } of branches) for (const { path } of fields) this.#mention(path, top)
    this.#gathering.begin()
    walk(withFoldedActor(event), top, this.#gathering, {
      written: (leaf, value) => this.#written.set(leaf, value),
    })
  }

  #mention(path: string, top: PathNode<PathSlot>): void {
    if (this.#slots.has(path)) return
    let node = top
    for (const step of path.split('.')) node = node.grown(step)
    node.slot = new PathSlot(path)
    this.#slots.set(path, node.slot)
  }

  first(path: string): Leaf | null {
    return this.#slots.get(path)!.first
  }

  mayBeAbsent(path: string): boolean {
    const { first, in_arrays } = this.#slots.get(path)!
    return first === null || in_arrays
  }

  values(path: string): readonly Scalar[] {
    const known = this.#values.get(path)
    if (known !== undefined) return known
    const values: Scalar[] = []
    this.#values.set(path, values)
    for (let leaf = this.first(path); leaf !== null; leaf = leaf.next) values.push(leaf.value as Scalar)
    return values
  }

  /** The first of them, in the order of the event. */
  shown(path: string, most: number): unknown[] {
    const shown: unknown[] = []
    for (let leaf = this.first(path); leaf !== null && shown.length < most; leaf = leaf.next)
      shown.push(this.#written.get(leaf) ?? leaf.value)
    return shown
  }

  /** A path of the event that may have been meant by the first of some at which it has nothing. */
  firstHint(paths: readonly string[]): string | undefined {
    for (const path of paths) {
      const hint = this.first(path) === null ? this.hint(path) : undefined
      if (hint !== undefined) return hint
    }
    return undefined
  }

  /** A path of the event that may have been meant. */
  hint(path: string): string | undefined {
    if (this.#hints.has(path) || this.#hints.size >= maxHints) return this.#hints.get(path)
    this.#paths ??= pathsOf(this.#event)
    const hint = nearestPath(path, this.#paths)
    this.#hints.set(path, hint)
    return hint
  }

  #met(field: Field): Met {
    const slot = this.#slots.get(field.path)!
    let held: ElementSet | undefined
    const holding = (): ElementSet =>
      (held ??= elementsThatHold(slot, field, value => leafHolds(field, value)))
    return {
      field,
      slot,
      holding,
      holdsIn: id => holding().has(id),
      most: () => holding().few?.length ?? Infinity,
    }
  }

  branchMatches({ fields }: Branch): boolean {
    const met = fields.map(field => this.#met(field))
    return (
      met.every(each => (each.field.absent && this.mayBeAbsent(each.field.path)) || !each.holding().empty) &&
      consistent(met, this.#gathering)
    )
  }
}

function holdsAlone(field: Field, sheet: Sheet): boolean {
  // Below arrays there may be an element without it; what stands outside of arrays is absent in none.
  if (field.absent && sheet.mayBeAbsent(field.path)) return true
  for (let leaf = sheet.first(field.path); leaf !== null; leaf = leaf.next)
    if (leafHolds(field, leaf.value)) return true
  return false
}

/** One way to match, held against an event. */
interface Way {
  branch: Branch
  matched: boolean
  /** paths of the fields that fail by themselves */
  failing: string[]
}

function wayOn(branch: Branch, sheet: Sheet): Way {
  const matched = sheet.branchMatches(branch)
  // Below arrays an absence is one in the elements that other fields have fixed; where the way matches it is one.
  const failing = matched
    ? []
    : branch.fields.filter(field => !holdsAlone(field, sheet)).map(field => field.path)
  return { branch, matched, failing }
}

export interface Verdict {
  matched: boolean
  /** paths of the fields that fail, on the way that comes nearest; none when matched */
  failing: string[]
  /**
   * How far the event is from matching: the fewest fields that fail on any way, 0 when it matches; a half where each
   * holds by itself, but not in the same array element.
   */
  distance: number
}

function verdictOf(ways: readonly Way[]): Verdict & { nearest: Way } {
  const matched = ways.some(way => way.matched)
  const nearest =
    ways.find(way => way.matched) ??
    ways.reduce((best, way) => (way.failing.length < best.failing.length ? way : best))
  return {
    matched,
    failing: nearest.failing,
    distance: matched ? 0 : Math.max(nearest.failing.length, 0.5),
    nearest,
  }
}

/** Whether a filter matches an event and, if not, how far it is from it. */
export function verdictOn({ branches }: CompiledPattern, sheet: Sheet): Verdict {
  const { nearest: _, ...verdict } = verdictOf(branches.map(branch => wayOn(branch, sheet)))
  return verdict
}

function conditions(field: Field, sheet: Sheet, way: Way, branch: number): ExplainedCondition[] {
  const found = sheet.values(field.path)
  const field_holds = way.matched || !way.failing.includes(field.path)
  const common = { path: field.path, found: sheet.shown(field.path, shownValues), field_holds, branch }
  const hint = found.length > 0 || field.absent ? undefined : sheet.hint(field.path)
  const result = field.conditions.map(({ operator, expected, test }) => ({
    ...common,
    operator,
    expected,
    holds: found.some(value => holds(test, value)),
    ...(hint === undefined ? {} : { hint }),
  }))
  if (field.absent)
    result.push({
      ...common,
      operator: 'exists',
      expected: false,
      holds: field_holds && !result.some(each => each.holds),
    })
  return result
}

function reasonFor({ matched, failing, nearest }: Verdict & { nearest: Way }, ways: number): string {
  if (matched) return 'every condition holds'
  if (failing.length === 0) return 'every condition holds by itself, but not all in the same array element'
  const among = ways > 1 ? ` on the nearest of ${ways} ways through $or` : ''
  return `${failing.length} of ${nearest.branch.fields.length} fields ${failing.length === 1 ? 'fails' : 'fail'}${among}: ${failing.join(', ')}`
}

export interface Explanation {
  matched: boolean
  /** the verdict in one sentence */
  reason: string
  conditions: ExplainedCondition[]
}

function conditionsOn(way: Way, branch: number, sheet: Sheet): ExplainedCondition[] {
  return way.branch.fields.flatMap(field => conditions(field, sheet, way, branch))
}

function explanation(ways: readonly Way[], all: ExplainedCondition[][]): Explanation {
  const verdict = verdictOf(ways)
  return { matched: verdict.matched, reason: reasonFor(verdict, ways.length), conditions: all.flat() }
}

/** Runs a filter against an event, leaf by leaf. */
export function explainMatch({ branches }: CompiledPattern, event: MatchEvent): Explanation {
  const sheet = new Sheet(event, [{ branches }])
  const ways = branches.map(branch => wayOn(branch, sheet))
  return explanation(
    ways,
    ways.map((way, index) => conditionsOn(way, index, sheet)),
  )
}

/** The same in slices: a filter may have 256 ways through $or, and an event 100,000 leaves for each. */
export async function explainInTurns({ branches }: CompiledPattern, sheet: Sheet): Promise<Explanation> {
  const ways = await mapInTurns(branches, branch => wayOn(branch, sheet))
  return explanation(ways, await mapInTurns(ways, (way, index) => conditionsOn(way, index, sheet)))
}

/** The verdict, in slices. */
export async function verdictInTurns({ branches }: CompiledPattern, sheet: Sheet): Promise<Verdict> {
  const { nearest: _, ...verdict } = verdictOf(await mapInTurns(branches, branch => wayOn(branch, sheet)))
  return verdict
}
