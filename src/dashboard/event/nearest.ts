// What an explanation says, arranged for people: conditions by field, and the smallest change that would make the event match. Pure.
import type { Condition, ExplainedDecision } from '../../contract/types.ts'
import { writeJson } from '../json.ts'
import { oneLine } from '../text.ts'

/** One field of a filter: what it asks for and what the event has there. */
export interface FieldView {
  path: string
  branch: number
  holds: boolean
  asks: string
  found: string
  hint: string | undefined
}

/** The same words for what is not so yet. */
const supposed: readonly (readonly [RegExp, string])[] = [
  [/\bis /g, 'were '],
  [/\bbegins with /g, 'began with '],
  [/\bends with /g, 'ended with '],
  [/\bexists /g, 'existed '],
]

const words: Record<string, string> = {
  equals: 'is',
  prefix: 'begins with',
  suffix: 'ends with',
  wildcard: 'is like',
  exists: 'exists',
  numeric: 'is a number',
  'anything-but': 'is anything but',
  'equals-ignore-case': 'is, in any case,',
  cidr: 'is in',
}

function shown(value: unknown): string {
  return oneLine(
    typeof value === 'string' ? JSON.stringify(value) : writeJson(value).replaceAll(/\s*\n\s*/g, ' '),
    160,
  )
}

function asked({ operator, expected }: Condition): string {
  return `${words[operator] ?? operator.replaceAll('_', ' ')} ${shown(expected)}`
}

/** The fields of a decision's filter, those that fail first within their branch. */
export function fieldsOf(conditions: readonly Condition[]): FieldView[] {
  const groups = Map.groupBy(conditions, ({ branch, path }) => JSON.stringify([branch, path]))
  return [...groups.values()].map(group => {
    const [first] = group as [Condition, ...Condition[]]
    const telling = first.field_holds ? group.filter(({ holds }) => holds) : group
    return {
      path: first.path,
      branch: first.branch,
      holds: first.field_holds,
      asks: telling.map(asked).join(' or '),
      found: first.found.length === 0 ? 'nothing' : first.found.map(shown).join(', '),
      hint: first.hint,
    }
  })
}

/** What would have to be different so that the event matches; undefined: it matches, or the filter is not what keeps it. */
export function nearestChange({
  matched,
  conditions,
}: Pick<ExplainedDecision, 'matched' | 'conditions'>): string | undefined {
  if (matched || conditions.length === 0) return undefined
  const branches = Map.groupBy(fieldsOf(conditions), ({ branch }) => branch)
  const failing = [...branches.values()]
    .map(fields => fields.filter(({ holds }) => !holds))
    .toSorted((a, b) => a.length - b.length)[0]!
  if (failing.length === 0) return undefined
  const parts = failing
    .slice(0, 3)
    .map(
      ({ path, asks }) => `${path} ${supposed.reduce((text, [from, to]) => text.replaceAll(from, to), asks)}`,
    )
  return `would match if ${parts.join(' and ')}${failing.length > 3 ? ` and ${failing.length - 3} more` : ''}`
}

/** How many of the fields fail, in words. */
export function verdictOf({ matched, conditions, run_ids }: ExplainedDecision): string {
  if (matched) return run_ids.length > 0 ? 'matched' : 'matched, no run'
  const fields = fieldsOf(conditions)
  const failing = fields.filter(({ holds }) => !holds).length
  return fields.length === 0 || failing === 0
    ? 'did not match'
    : `did not match: ${failing} of ${fields.length} ${fields.length === 1 ? 'condition fails' : 'conditions fail'}`
}
