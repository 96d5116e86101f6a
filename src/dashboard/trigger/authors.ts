// Who wrote a version of a trigger: the router's versions do not say so, its audit log does. Pure: no DOM.
import type { AuditEntry } from '../../contract/types.ts'

/** Methods that write versions. */
export const writingMethods = [
  'trigger.put',
  'trigger.enable',
  'trigger.disable',
  'router.apply',
  'event.register',
] as const

/** Between the time of a version and its entry. */
const mostMs = 10_000

/** The caller whose call ended soonest after the version was made; undefined: the log does not have it. */
export function authorOf(
  trigger_id: string,
  created_at: number,
  entries: readonly AuditEntry[],
): string | undefined {
  const isOf = ({ ids, method, outcome, at }: AuditEntry): boolean =>
    outcome === 'done' &&
    at >= created_at &&
    at - created_at < mostMs &&
    (ids.includes(trigger_id) || (method === 'router.apply' && ids.length === 20))
  const [nearest] = entries.filter(isOf).toSorted((a, b) => a.at - b.at)
  return nearest === undefined ? undefined : (nearest.name ?? nearest.principal)
}
