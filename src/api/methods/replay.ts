// event.replay: new runs for events of the log.
import { defaults } from '../../contract/defaults.ts'
import type { EventReplayParams } from '../../contract/types.ts'
import { LogFilter } from '../../routing/log-filter.ts'
import { compilePattern } from '../../routing/pattern.ts'
import type { ReplayRequest, StoredEvent } from '../../store/store.ts'
import { rest } from '../../turns.ts'
import type { Handlers } from '../jsonrpc.ts'
import { beginning } from './event.ts'
import type { Context } from './context.ts'
import { storedEvent, storedTrigger } from './lookups.ts'
import { decodeSeq, encodeCursor } from './pages.ts'
import { compiledFilter, invalid } from './trigger-checks.ts'

const replayPage = 50
/** Bodies that are read at once. */
const replayBytes = 1_048_576
/** Events that one replay looks at for its filter. */
const maxScanned = 20_000

/** Runs of triggers that an event has none of yet; in the mode all: as planned. */
async function withoutThoseThatRan(
  { store }: Pick<Context, 'store'>,
  request: ReplayRequest,
): Promise<ReplayRequest> {
  if (!request.only_missing || request.runs.length === 0) return request
  const present = new Set(
    (await store.runs({ event_id: request.event_id, limit: 1000, after: null })).map(run => run.trigger_id),
  )
  return { ...request, runs: request.runs.filter(run => !present.has(run.trigger_id)) }
}

interface Planned {
  /** those that make runs */
  requests: ReplayRequest[]
  looked_at: number
  /** seq to go on from, where events are left */
  next: number | null
}

/** Requests for the selected events, each planned as it is read: bodies are not kept. */
async function planned(
  { store, acceptor, registry }: Context,
  {
    event_id,
    query,
    trigger_id,
    mode = defaults.ReplayMode,
    limit = defaults.ReplayLimit,
    cursor,
  }: EventReplayParams,
  filterText: Uint8Array | undefined,
  requested_by: string,
): Promise<Planned> {
  const target = trigger_id === undefined ? undefined : storedTrigger({ registry }, trigger_id)
  const only =
    target === undefined
      ? undefined
      : new LogFilter([{ source_id: target.event_source_id, pattern: compilePattern(target.filter), target }])
  const plan = (event: StoredEvent): Promise<ReplayRequest> =>
    withoutThoseThatRan({ store }, acceptor.plan(event, only, mode === 'missing', requested_by))
  if (event_id !== undefined)
    return { requests: [await plan(await storedEvent({ store }, event_id))], looked_at: 1, next: null }
  const { filter, ...given } = query!
  const source_id = given.source_id ?? target?.event_source_id ?? undefined
  const selection = { ...given, ...(source_id === undefined ? {} : { source_id }) }
  const wanted =
    filter === undefined
      ? undefined
      : new LogFilter([
          { source_id: null, pattern: compiledFilter(filter, filterText, 'query.filter'), target: true },
        ])
  const requests: ReplayRequest[] = []
  let after = decodeSeq(cursor)
  let looked_at = 0
  while (looked_at < maxScanned) {
    const page = (await store.events({
      selection,
      order: 'asc',
      limit: replayPage,
      after,
      whole: true,
      max_bytes: replayBytes,
    })) as StoredEvent[]
    if (page.length === 0) return { requests, looked_at, next: null }
    for (const event of page) {
      const pause = rest()
      if (pause !== undefined) await pause
      if (requests.length === limit) return { requests, looked_at, next: after }
      after = event.seq
      looked_at++
      if (wanted?.match(event).length === 0) continue
      const request = await plan(event)
      if (request.runs.length > 0) requests.push(request)
    }
  }
  return { requests, looked_at, next: after }
}

export function replayMethods(context: Context): Pick<Handlers, 'event.replay'> {
  return {
    async 'event.replay'(params, call) {
      const { event_id, query, dry_run = false } = params
      if ((event_id === undefined) === (query === undefined))
        throw invalid({
          path: 'event_id',
          expected: 'or query must be given, exactly one of them',
          found: event_id === undefined ? 'neither' : 'both',
        })
      const { requests, looked_at, next } = await planned(
        context,
        params,
        call.text('query', 'filter'),
        call.principal.id,
      )
      const plans = requests.flatMap(({ event_id: id, runs }) =>
        runs.map(run => ({ event_id: id, trigger_id: run.trigger_id })),
      )
      const runs = dry_run || plans.length === 0 ? [] : await context.acceptor.replay(requests)
      return {
        dry_run,
        events: looked_at,
        planned: plans,
        runs,
        more: next !== null,
        ...(next === null ? {} : { next_cursor: encodeCursor(next) }),
        ...(await beginning(context, query ?? {})),
      }
    },
  }
}
