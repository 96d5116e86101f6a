// event.explain: for one pair or all triggers of a source, every leaf of the filter and every gate; and event.replay.
import type { EventReplayParams, ExplainedDecision, Gate, Trigger } from '../../contract/types.ts'
import { eventView } from '../../routing/accept.ts'
import { explainMatch, matches } from '../../routing/explain.ts'
import type { MatchEvent } from '../../routing/matcher.ts'
import { compilePattern } from '../../routing/pattern.ts'
import { completeTrigger } from '../../routing/registry.ts'
import type { ReplayRequest, StoredEvent, StoredRun } from '../../store/store.ts'
import type { Handlers } from '../jsonrpc.ts'
import { notFound, type Context } from './context.ts'
import { compiledFilter, invalid } from './trigger.ts'

const maxExplained = 100
const replayPage = 50
/** Events that one replay looks at for its filter. */
const maxScanned = 20_000
const maxReplayed = 1000

export function explainMethods(context: Context): Pick<Handlers, 'event.explain' | 'event.replay'> {
  const { registry, store, acceptor, config } = context

  async function storedEvent(event_id: string): Promise<StoredEvent> {
    const event = await store.event(event_id)
    if (event === null) throw notFound('event', event_id, 'event.query')
    return event
  }

  /** The trigger as it decided about the event, or as it is now. */
  async function deciding(event: StoredEvent, trigger_id: string): Promise<Trigger> {
    const present = registry.triggers.get(trigger_id)?.trigger
    const version = event.decisions.find(decision => decision.trigger_id === trigger_id)?.trigger_version
    if (present !== undefined && (version === undefined || version === present.version)) return present
    const then = version === undefined ? null : await store.triggerVersion(trigger_id, version)
    if (then === null) throw notFound('trigger', trigger_id, 'trigger.list')
    return completeTrigger(then, { version: version!, created_at: 0, updated_at: 0 })
  }

  function runGates(run: StoredRun): Gate[] {
    const waiting = run.state === 'pending' ? context.runs.waitingFor(run) : undefined
    const state = run.dead ? `dead (${run.state})` : run.state
    const made: Gate = { gate: 'outbox', verdict: 'pass', detail: `run ${run.id} is ${state}${run.error === null ? '' : `: ${run.error}`}` }
    return waiting === undefined ? [made] : [made, { gate: waiting.gate, verdict: 'hold', detail: waiting.detail }]
  }

  function gates(event: StoredEvent, trigger: Trigger, matched: boolean, reason: string, runs: StoredRun[]): Gate[] {
    const listens = trigger.event_source_id === null || trigger.event_source_id === event.source_id
    const depth = event.causation?.depth ?? 0
    const outcome = event.decisions.find(decision => decision.trigger_id === trigger.id)?.outcome
    const loops = depth > config.loop_depth
    const result: Gate[] = [
      {
        gate: 'source',
        verdict: listens ? 'pass' : 'stop',
        detail: trigger.event_source_id === null ? 'the trigger listens to every source' : `the trigger listens to source "${trigger.event_source_id}"${listens ? '' : `, the event is of "${event.source_id}"`}`,
      },
      { gate: 'trigger', verdict: trigger.enabled ? 'pass' : 'stop', detail: trigger.enabled ? 'the trigger is enabled' : 'the trigger is disabled' },
      {
        gate: 'loop_guard',
        verdict: loops ? 'stop' : 'pass',
        detail: depth === 0 ? 'no run caused this event' : `run ${event.causation!.run_id} caused this event, at depth ${depth} of at most ${config.loop_depth}`,
      },
      { gate: 'filter', verdict: matched ? 'pass' : 'stop', detail: reason },
    ]
    if (outcome === 'redelivery_logged') result.push({ gate: 'redelivery', verdict: 'stop', detail: `the same signed body came before as event ${event.redelivery_of}, and the source only logs redeliveries` })
    if (runs.length > 0) return [...result, ...runs.flatMap(runGates)]
    const open = listens && trigger.enabled && matched && !loops && outcome === undefined
    if (open) result.push({ gate: 'outbox', verdict: 'stop', detail: 'the trigger was not there, disabled or another when the event came; event.replay makes the run' })
    return result
  }

  function decision(event: StoredEvent, view: MatchEvent, trigger: Trigger, runs: StoredRun[]): ExplainedDecision & { failing: number } {
    const { matched, reason, conditions, failing } = explainMatch(compilePattern(trigger.filter), view)
    const own = runs.filter(run => run.trigger_id === trigger.id)
    return {
      trigger_id: trigger.id,
      trigger_version: trigger.version,
      matched,
      reason,
      conditions,
      gates: gates(event, trigger, matched, reason, own),
      run_ids: own.map(run => run.id),
      failing,
    }
  }

  function candidates(event: StoredEvent): string[] {
    const listening = [...registry.triggers.values()].filter(({ trigger }) => trigger.event_source_id === null || trigger.event_source_id === event.source_id)
    return [...new Set([...event.decisions.map(each => each.trigger_id), ...listening.map(({ trigger }) => trigger.id)])]
  }

  /** Requests for the selected events, each planned as it is read: bodies are not kept. */
  async function planned({ event_id, query, trigger_id, mode = 'missing', limit = maxReplayed }: EventReplayParams, filterText: Uint8Array | undefined): Promise<{ requests: ReplayRequest[]; more: boolean }> {
    const plan = (event: StoredEvent): ReplayRequest => acceptor.plan(event, trigger_id, mode === 'missing')
    if (event_id !== undefined) return { requests: [plan(await storedEvent(event_id))], more: false }
    const { filter, ...selection } = query!
    const pattern = filter === undefined ? undefined : compiledFilter(filter, filterText, 'query.filter')
    const requests: ReplayRequest[] = []
    let after: number | null = null
    for (let scanned = 0; scanned < maxScanned; scanned += replayPage) {
      const page = (await store.events({ selection, order: 'asc', limit: replayPage, after, whole: true })) as StoredEvent[]
      for (const event of page) {
        after = event.seq
        if (pattern !== undefined && !matches(pattern, eventView(event))) continue
        if (requests.length === limit) return { requests, more: true }
        requests.push(plan(event))
      }
      if (page.length < replayPage) return { requests, more: false }
    }
    return { requests, more: true }
  }

  async function withoutThoseThatRan(request: ReplayRequest): Promise<ReplayRequest> {
    if (!request.only_missing || request.runs.length === 0) return request
    const present = new Set((await store.runs({ event_id: request.event_id, limit: 1000, after: null })).map(run => run.trigger_id))
    return { ...request, runs: request.runs.filter(run => !present.has(run.trigger_id)) }
  }

  return {
    async 'event.explain'({ event_id, trigger_id }) {
      const event = await storedEvent(event_id)
      const view = eventView(event)
      const runs = await store.runs({ event_id, limit: 500, after: null })
      const ids = trigger_id === undefined ? candidates(event) : [trigger_id]
      const triggers = await Promise.all(ids.map(id => deciding(event, id)))
      const decisions = triggers.map(trigger => decision(event, view, trigger, runs)).toSorted((a, b) => a.failing - b.failing || (a.trigger_id < b.trigger_id ? -1 : 1))
      return { decisions: decisions.slice(0, maxExplained).map(({ failing: _, ...shown }) => shown) }
    },
    async 'event.replay'(params, call) {
      const { event_id, query, trigger_id, dry_run = false } = params
      if ((event_id === undefined) === (query === undefined)) throw invalid('event_id', 'or query is needed, and not both')
      if (trigger_id !== undefined && !registry.triggers.has(trigger_id)) throw notFound('trigger', trigger_id, 'trigger.list')
      const { requests: all, more } = await planned(params, call.text('query', 'filter'))
      const requests = await Promise.all(all.map(withoutThoseThatRan))
      const plans = requests.flatMap(({ event_id: id, runs }) => runs.map(run => ({ event_id: id, trigger_id: run.trigger_id })))
      const runs = dry_run || plans.length === 0 ? [] : await acceptor.replay(requests)
      return { dry_run, events: requests.length, planned: plans, runs, more }
    },
  }
}
