// Refused deliveries by source, with what to do about each reason; and the selection that the address names. Pure: no DOM.
import type { EventRefusedParams, RefusedDelivery } from '../../contract/types.ts'
import { shellQuote, timeIn } from '../text.ts'

export interface Reason {
  reason: string
  title: string
  help: string
  count: number
}

/** Refused deliveries to one source; id null: those that name no webhook source. */
export interface Group {
  id: string | null
  count: number
  first_at: number
  last_at: number
  /** those with the most deliveries first */
  reasons: Reason[]
}

/** One reason can have several texts: E_HTTP says by its status what is wrong. */
function reasonsOf(refused: readonly RefusedDelivery[]): Reason[] {
  const byText = Map.groupBy(refused, ({ reason, title }) => `${reason} ${title}`)
  return [...byText.values()]
    .map(([first, ...rest]) => {
      const { reason, title, help, count } = first!
      return { reason, title, help, count: rest.reduce((sum, each) => sum + each.count, count) }
    })
    .toSorted((one, other) => other.count - one.count)
}

/** Groups with the newest refusal first. */
export function groupsOf(refused: readonly RefusedDelivery[]): Group[] {
  const bySource = Map.groupBy(refused, ({ source_id }) => source_id ?? null)
  return [...bySource]
    .map(([id, all]) => ({
      id,
      count: all.reduce((sum, each) => sum + each.count, 0),
      first_at: Math.min(...all.map(({ first_at }) => first_at)),
      last_at: Math.max(...all.map(({ last_at }) => last_at)),
      reasons: reasonsOf(all),
    }))
    .toSorted((one, other) => other.last_at - one.last_at)
}

/** A row of the list. The router gives entries no id: what it counts together is one. */
export function rowsOf(refused: readonly RefusedDelivery[]): (RefusedDelivery & { id: string })[] {
  return refused.map(each => {
    const { source_id, path, reason, status, address } = each
    return { ...each, id: JSON.stringify([source_id, path, reason, status, address]) }
  })
}

/** Throws SyntaxError for what is no time. now: milliseconds, for lengths such as 2h */
export function selectionOf(
  query: URLSearchParams,
  now: number,
): Pick<EventRefusedParams, 'source_id' | 'since'> {
  const [source, since] = [query.get('source') ?? '', query.get('since') ?? '']
  return {
    ...(source === '' ? {} : { source_id: source }),
    ...(since === '' ? {} : { since: timeIn(since, 'since', now) }),
  }
}

/** The command that lists the same. */
export function commandOf({ source_id, since }: Pick<EventRefusedParams, 'source_id' | 'since'>): string {
  const source = source_id === undefined ? [] : [`--source ${shellQuote(source_id)}`]
  const from = since === undefined ? [] : [`--since ${new Date(since).toISOString()}`]
  return ['signalbox events refused', ...source, ...from, '--limit 500'].join(' ')
}

/** A text as a sentence. */
export function sentence(text: string): string {
  return text === '' ? '' : `${text[0]!.toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`
}
