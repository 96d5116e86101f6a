// Which events a screen shows: the query of its address, as parameters of event.query. Pure: no DOM.
import type { EventQueryParams, EventSummary } from '../../contract/types.ts'
import { readJson } from '../json.ts'
import { shellQuote, timeIn } from '../text.ts'

/** Names in the address, and what they are called in the contract. */
export const fields = {
  source: 'source_id',
  type: 'type',
  subject: 'subject',
  thread: 'thread',
  actor: 'actor',
  trigger: 'trigger_id',
} as const

function readFilter(text: string): unknown {
  try {
    return readJson(text)
  } catch (error) {
    throw new SyntaxError(`the filter must be JSON: ${(error as Error).message}`)
  }
}

/** Throws SyntaxError for a filter that is not JSON, and for what is no time. now: milliseconds, for lengths such as 2h */
export function selectionOf(query: URLSearchParams, now: number): EventQueryParams {
  const params: Record<string, unknown> = {}
  for (const [name, param] of Object.entries(fields))
    if ((query.get(name) ?? '') !== '') params[param] = query.get(name)
  const matched = query.get('matched')
  if (matched === 'yes' || matched === 'no') params.matched = matched === 'yes'
  for (const name of ['since', 'until'])
    if ((query.get(name) ?? '') !== '') params[name] = timeIn(query.get(name)!, name, now)
  if ((query.get('near') ?? '') !== '') params.near = query.get('near')
  if ((query.get('filter') ?? '') !== '') params.filter = readFilter(query.get('filter')!)
  return params
}

/** Whether new events can be told without asking the router: a filter and a near miss are judged by it alone. */
export function isSimple({ filter, near, until }: EventQueryParams): boolean {
  return filter === undefined && near === undefined && until === undefined
}

/** Whether an event is one of a selection that is simple. */
export function isSelected(event: EventSummary, selection: EventQueryParams): boolean {
  const { trigger_id, matched, since } = selection
  if (since !== undefined && event.received_at < since) return false
  if (trigger_id !== undefined && event.matched_triggers?.includes(trigger_id) !== true) return false
  if (matched !== undefined && (event.matched_triggers?.length ?? 0) > 0 !== matched) return false
  // Forges compare logins in any case, and so does the router.
  if (selection.actor !== undefined && event.actor?.toLowerCase() !== selection.actor.toLowerCase())
    return false
  return (['source_id', 'type', 'subject', 'thread'] as const).every(
    name => selection[name] === undefined || event[name] === selection[name],
  )
}

/** The command that lists the same. */
export function commandOf(selection: EventQueryParams): string {
  const flags: Record<string, string> = {
    source_id: 'source',
    type: 'type',
    subject: 'subject',
    thread: 'thread',
    actor: 'actor',
    trigger_id: 'trigger',
    near: 'near',
  }
  const parts = Object.entries(flags).flatMap(([param, flag]) => {
    const value = selection[param as keyof EventQueryParams] as string | undefined
    return value === undefined ? [] : [`--${flag} ${shellQuote(value)}`]
  })
  const { matched, since, until, filter } = selection
  if (matched !== undefined) parts.push(matched ? '--matched' : '--unmatched')
  if (since !== undefined) parts.push(`--since ${new Date(since).toISOString()}`)
  if (until !== undefined) parts.push(`--until ${new Date(until).toISOString()}`)
  if (filter !== undefined) parts.push(`--filter ${shellQuote(JSON.stringify(filter))}`)
  return ['signalbox events list', ...parts].join(' ')
}
