// The document that the editor changes: a trigger as it is written. Pure: no DOM.
import type { Trigger, TriggerInput } from '../../contract/types.ts'
import { filterOf } from '../triggers/filter-words.ts'

/** A trigger without what only the router says of it. */
export function inputOf({ id, description, event_source_id, enabled, filter, action, policy }: Trigger): TriggerInput {
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

interface Beginning {
  source_id?: string | undefined
  type?: string | undefined
  /** of a value of the event */
  path?: string[] | undefined
  value?: unknown
}

/** A new trigger, from an event and a value of it where there are some. */
export function newDraft({ source_id, type, path, value }: Beginning): TriggerInput {
  const conditions = [
    ...(type === undefined ? [] : [{ path: ['type'], operator: 'is' as const, values: [type] }]),
    ...(path === undefined ? [] : [{ path, operator: 'is' as const, values: [value] }]),
  ]
  const filter = conditions.length === 0 ? { type: ['push'] } : filterOf(conditions)
  return { id: 'new-trigger', ...(source_id === undefined ? {} : { event_source_id: source_id }), filter, action: { bot_id: 'bot' } }
}

/** A copy with something else at a path; undefined takes it out, and objects that are empty then. */
export function withValue(document: object, [first, ...rest]: readonly string[], value: unknown): Record<string, unknown> {
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
  return path.reduce<unknown>((at, key) => (typeof at === 'object' && at !== null ? (at as Record<string, unknown>)[key] : undefined), document)
}
