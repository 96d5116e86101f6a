// What signalbox doctor says of refused deliveries: those of the last hour, by source.
import type { RefusedDelivery, RouterStatsResult } from '../client/client.ts'
import { placeOf } from './refused.ts'
import { time } from './output.ts'
import { mostAtOnce, type Session } from './session.ts'

const recentMs = 3_600_000
const mostSources = 5

interface RefusedFinding {
  check: 'refused'
  verdict: 'info' | 'warn'
  detail: string
  mend: string
}

function deliveries(count: number): string {
  return `${count.toLocaleString('en-US')} ${count === 1 ? 'delivery' : 'deliveries'}`
}

/** last_event_at: when the source took its last event. */
function finding(
  totals: RouterStatsResult['refused']['sources'][number],
  last: RefusedDelivery,
  last_event_at: number | undefined,
): RefusedFinding {
  const { id, count, first_at, last_at } = totals
  const isOver = last_event_at !== undefined && last_event_at > last_at
  const to = id === null ? 'to no webhook source' : `to ${id}`
  const where = id === null ? ` at ${placeOf(last)}` : ''
  return {
    check: 'refused',
    verdict: isOver ? 'info' : 'warn',
    detail: `${deliveries(count)} ${to} ${count === 1 ? 'was' : 'were'} refused since ${time(first_at)}, the last at ${time(last_at)}${where}: ${last.title}${isOver ? `; since then an event was accepted, at ${time(last_event_at)}` : ''}`,
    mend: `${last.help}; all of them: signalbox events refused${id === null ? '' : ` --source ${id}`}`,
  }
}

/** Sources whose deliveries were refused within the last hour, those with the most first. */
export async function refusedFindings(session: Session, now: number): Promise<RefusedFinding[]> {
  const { refused } = await session.call('router.stats', { since: now - recentMs })
  if (refused.sources.length === 0) return []
  const { sources } = await session.call('source.list', { limit: mostAtOnce, source_type: 'webhook' })
  const findings: RefusedFinding[] = []
  for (const totals of refused.sources.slice(0, mostSources)) {
    const last = await newest(session, totals.id, now - recentMs)
    if (last !== undefined)
      findings.push(finding(totals, last, sources.find(({ id }) => id === totals.id)?.last_event_at))
  }
  return findings
}

async function newest(
  session: Session,
  id: string | null,
  since: number,
): Promise<RefusedDelivery | undefined> {
  const { refused } = await session.call('event.refused', {
    since,
    ...(id === null ? { limit: mostAtOnce } : { source_id: id, limit: 1 }),
  })
  return id === null ? refused.find(each => each.source_id === undefined) : refused[0]
}
