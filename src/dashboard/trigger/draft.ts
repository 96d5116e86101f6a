// The document that the editor changes: a trigger as it is written. Pure: no DOM.
import type { Trigger, TriggerInput } from '../../contract/types.ts'
import { isRaw, readJson, writeJson } from '../json.ts'
import { filterOf } from '../triggers/filter-words.ts'

/** A trigger without what only the router says of it. */
export function inputOf({
  id,
  description,
  event_source_id,
  enabled,
  filter,
  action,
  policy,
}: Trigger): TriggerInput {
  return {
    id,
    ...(description === undefined ? {} : { description }),
    event_source_id,
    ...(enabled ? {} : { enabled }),
    filter,
    action,
    ...(Object.keys(policy).length === 0 ? {} : { policy }),
  }
}

export interface Beginning {
  event_id?: string
  source_id?: string
  type?: string
  /** of a value of the event */
  path?: string[]
  value?: unknown
}

/** What an address says that a new trigger begins with: ?event=ID&path=["payload","action"]&value="opened", or ?source=ID. */
export function beginningOf(query: URLSearchParams): Beginning {
  const json = (name: string): unknown => {
    try {
      return readJson(query.get(name) ?? '')
    } catch {
      return undefined
    }
  }
  const [event_id, source_id] = [query.get('event') ?? '', query.get('source') ?? '']
  const [path, value] = [json('path'), json('value')]
  const isPath = Array.isArray(path) && path.length > 0 && path.every(each => typeof each === 'string')
  return {
    ...(event_id === '' ? {} : { event_id }),
    ...(source_id === '' ? {} : { source_id }),
    ...(isPath && value !== undefined ? { path, value } : {}),
  }
}

/** A new trigger, from an event and a value of it where there are some. */
export function newDraft({ source_id, type, path, value }: Beginning): TriggerInput {
  const conditions = [
    ...(type === undefined ? [] : [{ path: ['type'], operator: 'is' as const, values: [type] }]),
    ...(path === undefined
      ? []
      : [{ path: path.flatMap(key => key.split('.')), operator: 'is' as const, values: [value] }]),
  ]
  const filter = conditions.length === 0 ? { type: ['push'] } : filterOf(conditions)
  return {
    id: 'new-trigger',
    ...(source_id === undefined ? {} : { event_source_id: source_id }),
    filter,
    action: { bot_id: 'bot' },
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !isRaw(value)
const isSame = (a: unknown, b: unknown): boolean => a === b || writeJson(a) === writeJson(b)

/** What was changed from base to mine, on top of theirs: member by member. Where both changed the same, mine counts; its path is told. */
export function merged(
  base: object,
  mine: object,
  theirs: object,
  at: readonly string[] = [],
): { document: Record<string, unknown>; both: string[] } {
  const [before, own, newer] = [base, mine, theirs] as Record<string, unknown>[] as [
    Record<string, unknown>,
    Record<string, unknown>,
    Record<string, unknown>,
  ]
  const document: Record<string, unknown> = {}
  const both: string[] = []
  for (const key of new Set([...Object.keys(newer), ...Object.keys(own)])) {
    const [b, m, t] = [before[key], own[key], newer[key]]
    const path = [...at, key]
    let kept = m
    if (isSame(m, b)) kept = t
    else if (!isSame(t, b) && !isSame(m, t)) {
      // The filter is one thing: parts of two of them are neither.
      if (isObject(b) && isObject(m) && isObject(t) && path[0] !== 'filter') {
        const below = merged(b, m, t, path)
        kept = below.document
        both.push(...below.both)
      } else both.push(path.join('.'))
    }
    if (kept !== undefined) document[key] = kept
  }
  return { document, both }
}

/** What the router says is wrong, without the name of the parameter in front: filter.payload.action, or empty for the whole. */
export function problemPath(data: Readonly<Record<string, unknown>>): string {
  const path = typeof data.path === 'string' ? data.path : ''
  return path === 'trigger' ? '' : path.replace(/^trigger\./, '')
}

/** A copy with something else at a path; undefined takes it out, and the objects around it that are empty then. */
export function withValue(
  document: object,
  [first, ...rest]: readonly string[],
  value: unknown,
): Record<string, unknown> {
  const copy: Record<string, unknown> = { ...document }
  if (first === undefined) return copy
  if (rest.length === 0) {
    if (value === undefined) delete copy[first]
    else copy[first] = value
    return copy
  }
  const below = copy[first]
  const next = withValue(typeof below === 'object' && below !== null ? below : {}, rest, value)
  if (Object.keys(next).length === 0) delete copy[first]
  else copy[first] = next
  return copy
}

/** What is at a path of a document. */
export function valueAt(document: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (at, key) => (typeof at === 'object' && at !== null ? (at as Record<string, unknown>)[key] : undefined),
    document,
  )
}
