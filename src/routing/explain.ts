// Why a filter did or did not match an event: every leaf with its path, operator, what was expected and found.
import type { Condition } from '../contract/types.ts'
import { Matcher, valuesAt, type MatchEvent } from './matcher.ts'
import type { CompiledPattern, Field, Scalar } from './pattern.ts'

export interface Explanation {
  matched: boolean
  /** the verdict in one sentence */
  reason: string
  conditions: Condition[]
  /** fields that fail, on the way that comes nearest; 0 when matched */
  failing: number
}

const shownValues = 10

function conditions(field: Field, found: Scalar[], branch: number): Condition[] {
  const field_holds = (field.absent && found.length === 0) || found.some(value => field.tests.some(test => test.holds(value)))
  const common = { path: field.path, found: found.slice(0, shownValues), field_holds, branch }
  const result = field.tests.map(test => ({
    ...common,
    operator: test.operator,
    expected: test.expected,
    holds: found.some(value => test.holds(value)),
  }))
  if (field.absent) result.push({ ...common, operator: 'exists', expected: false, holds: found.length === 0 })
  return result
}

function reasonFor(matched: boolean, failingPaths: string[], fields: number, ways: number): string {
  if (matched) return 'every condition holds'
  if (failingPaths.length === 0) return 'every condition holds by itself, but not all in the same array element'
  const among = ways > 1 ? ` on the nearest of ${ways} ways through $or` : ''
  return `${failingPaths.length} of ${fields} fields ${failingPaths.length === 1 ? 'fails' : 'fail'}${among}: ${failingPaths.join(', ')}`
}

/** The matcher's own verdict for one filter. */
export function matches(pattern: CompiledPattern, event: MatchEvent): boolean {
  return new Matcher([{ source_id: null, pattern, target: true }]).match(event).length > 0
}

/** Holds a filter against an event, leaf by leaf. The verdict is the matcher's own. */
export function explainMatch(pattern: CompiledPattern, event: MatchEvent): Explanation {
  const matched = matches(pattern, event)
  const paths = [...new Set(pattern.branches.flatMap(branch => branch.fields.map(field => field.path)))]
  const values = valuesAt(event, paths)
  const ways = pattern.branches.map((branch, index) => {
    const plain = branch.fields.flatMap(field => conditions(field, values[paths.indexOf(field.path)]!, index))
    // Below arrays an absence is one in the elements that other fields have fixed; where the way matches it is one.
    const holds = pattern.branches.length === 1 ? matched : matches({ branches: [branch] }, event)
    const all = holds
      ? plain.map(each => (each.field_holds ? each : { ...each, holds: each.operator === 'exists' && each.expected === false, field_holds: true }))
      : plain
    const failing = [...new Set(all.filter(condition => !condition.field_holds).map(condition => condition.path))]
    return { all, failing, fields: branch.fields.length }
  })
  const nearest = ways.reduce((best, way) => (way.failing.length < best.failing.length ? way : best))
  return {
    matched,
    reason: reasonFor(matched, nearest.failing, nearest.fields, ways.length),
    conditions: ways.flatMap(way => way.all),
    failing: matched ? 0 : Math.max(nearest.failing.length, 0.5),
  }
}
