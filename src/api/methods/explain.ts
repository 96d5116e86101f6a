// event.explain: for one pair or all triggers of a source, every leaf of the filter and every gate.
import { Fault } from '../../errors.ts'
import type { Config, Decision, ExplainedDecision, Gate, Trigger } from '../../contract/types.ts'
import { explainInTurns, Sheet, verdictInTurns } from '../../routing/explain.ts'
import { PatternError } from '../../routing/pattern-limits.ts'
import { listensTo, readableView } from '../../routing/log-filter.ts'
import { compilePattern, type CompiledPattern } from '../../routing/pattern.ts'
import { completeTrigger } from '../../routing/registry.ts'
import { mapInTurns } from '../../turns.ts'
import type { StoredEvent, StoredRun } from '../../store/store.ts'
import type { Handlers } from '../jsonrpc.ts'
import type { Context } from './context.ts'
import { notFound, storedEvent, triggerAt } from './lookups.ts'
import { waitingOf } from './shown-run.ts'
import { cutOfAction, cutOfRun } from './cut-tools.ts'
import { invalid } from './trigger-checks.ts'

const maxExplained = 100

/** The trigger at the version that is asked for, as it decided about the event, or as it is now. */
async function deciding(
  context: Context,
  event: StoredEvent,
  trigger_id: string,
  asked?: number,
): Promise<Trigger> {
  const present = context.registry.triggers.get(trigger_id)
  const version =
    asked ?? event.decisions.find(decision => decision.trigger_id === trigger_id)?.trigger_version
  if (present !== undefined && (version === undefined || version === present.version)) return present
  if (version === undefined)
    throw notFound('trigger', trigger_id, 'trigger.list', context.registry.triggers.keys())
  return completeTrigger(await triggerAt(context, trigger_id, version), {
    version,
    created_at: 0,
    updated_at: 0,
  })
}

function runGates(context: Context, run: StoredRun): Gate[] {
  const waiting = waitingOf(context, run)
  const state = run.dead ? `dead (${run.state})` : run.state
  const error = run.error === null ? {} : { error: run.error }
  const made: Gate = { gate: 'outbox', verdict: 'pass', detail: `run ${run.id} is ${state}`, ...error }
  return waiting === undefined
    ? [made]
    : [made, { gate: waiting.gate, verdict: 'hold', detail: waiting.detail }]
}

function loopText(
  { causation }: StoredEvent,
  depth: number,
  loops: boolean,
  { loop_depth, loop_repeats }: Pick<Config, 'loop_depth' | 'loop_repeats'>,
): string {
  if (causation === null) return 'no run caused this event'
  const cause = `run ${causation.run_id} caused this event, at depth ${depth} of at most ${loop_depth}`
  if (!loops || depth > loop_depth) return cause
  return `${cause}; in this chain of causes the trigger made ${loop_repeats} runs about the same subject already, and more than loop_repeats are held`
}

/** The gates that an event passes before the outbox. */
function eventGates(
  event: StoredEvent,
  trigger: Trigger,
  matched: boolean,
  reason: string,
  limits: Pick<Config, 'loop_depth' | 'loop_repeats'>,
): Gate[] {
  const listens = listensTo(trigger.event_source_id, event.source_id)
  const depth = event.causation?.depth ?? 0
  const loops =
    depth > limits.loop_depth ||
    event.decisions.some(each => each.trigger_id === trigger.id && each.outcome === 'loop_held')
  return [
    {
      gate: 'source',
      verdict: listens ? 'pass' : 'stop',
      detail:
        trigger.event_source_id === null
          ? `the trigger listens to every source${listens ? '' : ', but what the router itself tells starts only triggers that name its source'}`
          : `the trigger listens to source "${trigger.event_source_id}"${listens ? '' : `, the event is of "${event.source_id}"`}`,
    },
    {
      gate: 'trigger',
      verdict: trigger.enabled ? 'pass' : 'stop',
      detail: trigger.enabled ? 'the trigger is enabled' : 'the trigger is disabled',
    },
    {
      gate: 'loop_guard',
      verdict: loops ? 'stop' : 'pass',
      detail: loopText(event, depth, loops, limits),
    },
    { gate: 'filter', verdict: matched ? 'pass' : 'stop', detail: reason },
  ]
}

/** What became of an event that matched and made no run of its own. */
const flowStops: Partial<Record<Decision['outcome'], { gate: Gate['gate']; detail: string }>> = {
  rate_limited: {
    gate: 'rate_limit',
    detail: 'as many runs with this key as the rate limit allows had been made; this event made none',
  },
  debounced: { gate: 'debounce', detail: 'the event was added to a run that waits for quiet' },
  batched: { gate: 'batch', detail: 'the event was added to a batch' },
  singleton_skipped: { gate: 'singleton', detail: 'a run with this key was open already' },
  own_event: {
    gate: 'own_events',
    detail:
      'an account of the router itself caused this event (own_accounts, or forge_account of a bot); with own_events: true in its policy the trigger would have started',
  },
  repeat_limit: {
    gate: 'repeat_limit',
    detail:
      'as many runs about this thread as the repeat limit allows had been made, and the one beyond it is held; event.replay makes the run',
  },
  trigger_paused: {
    gate: 'trigger_paused',
    detail: 'the trigger was paused, and as many runs waited for it as may; event.replay makes the run',
  },
  queue_full: {
    gate: 'queue',
    detail: 'as many runs as its queue may hold were waiting; event.replay makes the run',
  },
}

function gates(
  context: Context,
  event: StoredEvent,
  trigger: Trigger,
  matched: boolean,
  reason: string,
  runs: StoredRun[],
): Gate[] {
  const result = eventGates(event, trigger, matched, reason, context.config)
  const decided = event.decisions.find(each => each.trigger_id === trigger.id)
  const outcome = decided?.outcome
  if (outcome === 'redelivery_logged') {
    const detail = `the same signed body came before as event ${event.redelivery_of}, and the source only logs redeliveries`
    result.push({ gate: 'redelivery', verdict: 'stop', detail })
  }
  const stopped = decided === undefined ? undefined : flowStops[decided.outcome]
  if (stopped !== undefined)
    result.push({
      ...stopped,
      verdict: 'stop',
      detail: `${stopped.detail}${decided!.run_id === undefined ? '' : `: run ${decided!.run_id}`}`,
    })
  if (runs.length > 0) return [...result, ...runs.flatMap(run => runGates(context, run))]
  if (outcome === undefined && result.every(gate => gate.verdict === 'pass')) {
    result.push({
      gate: 'outbox',
      verdict: 'stop',
      detail:
        'the trigger was not there, disabled or another when the event came; event.replay makes the run',
    })
  }
  return result
}

interface Deciding {
  trigger: Trigger
  pattern: CompiledPattern
}

/** asked: the version that was asked for, whose runs alone are its own */
async function decision(
  context: Context,
  event: StoredEvent,
  sheet: Sheet,
  { trigger, pattern }: Deciding,
  runs: StoredRun[],
  asked?: number,
): Promise<ExplainedDecision> {
  const { matched, reason, conditions } = await explainInTurns(pattern, sheet)
  const own = runs.filter(
    run => run.trigger_id === trigger.id && (asked === undefined || run.trigger_version === asked),
  )
  const [run] = own
  const cut_tools =
    run === undefined
      ? cutOfAction(context, trigger.action, context.registry.bots)
      : cutOfRun(context, run, trigger.action)
  return {
    trigger_id: trigger.id,
    trigger_version: trigger.version,
    matched,
    reason,
    conditions,
    gates: gates(context, event, trigger, matched, reason, own),
    run_ids: own.map(run => run.id),
    ...(cut_tools.length === 0 ? {} : { cut_tools }),
  }
}

function candidates({ registry }: Context, event: StoredEvent): string[] {
  const listening = [...registry.triggers.values()].filter(trigger =>
    listensTo(trigger.event_source_id, event.source_id),
  )
  return [
    ...new Set([...event.decisions.map(each => each.trigger_id), ...listening.map(trigger => trigger.id)]),
  ]
}

/** A trigger of an event whose version cannot be read any more. */
interface Unreadable {
  trigger_id: string
  trigger_version: number
  why: string
}

/** A trigger with its filter; undefined, and told, where the filter is damaged. */
function compiled(trigger: Trigger, unreadable: Unreadable[]): Deciding | undefined {
  try {
    return { trigger, pattern: compilePattern(trigger.filter) }
  } catch (error) {
    if (!(error instanceof PatternError)) throw error
    unreadable.push({
      trigger_id: trigger.id,
      trigger_version: trigger.version,
      why: `its filter is damaged: ${error.message}`,
    })
    return undefined
  }
}

/** Every trigger that may have decided. Where one is asked for, that it cannot be read is the answer. */
async function decidingAll(
  context: Context,
  event: StoredEvent,
  ids: string[],
  asked: { trigger_id: string | undefined; trigger_version: number | undefined },
): Promise<{ triggers: Trigger[]; unreadable: Unreadable[] }> {
  const unreadable: Unreadable[] = []
  const found = await Promise.all(
    ids.map(id =>
      deciding(context, event, id, asked.trigger_version).catch((error: unknown) => {
        if (asked.trigger_id !== undefined || !(error instanceof Fault) || error.fault !== 'not_found')
          throw error
        unreadable.push({
          trigger_id: id,
          trigger_version: event.decisions.find(each => each.trigger_id === id)?.trigger_version ?? 1,
          why: error.message,
        })
        return undefined
      }),
    ),
  )
  return { triggers: found.filter(each => each !== undefined), unreadable }
}

/** What is known of a decision without its trigger: that it matched is stored with the event. */
function unexplained(
  context: Context,
  event: StoredEvent,
  { trigger_id, trigger_version, why }: Unreadable,
  runs: StoredRun[],
): ExplainedDecision {
  const matched = event.decisions.some(each => each.trigger_id === trigger_id)
  const own = runs.filter(run => run.trigger_id === trigger_id)
  const reason = `version ${trigger_version} of the trigger cannot be explained, ${matched ? 'which the event matched' : 'and made nothing of the event'}: ${why}`
  return {
    trigger_id,
    trigger_version,
    matched,
    reason,
    conditions: [],
    gates: [
      { gate: 'filter', verdict: matched ? 'pass' : 'stop', detail: reason },
      ...own.flatMap(run => runGates(context, run)),
    ],
    run_ids: own.map(run => run.id),
  }
}

export function explainMethods(context: Context): Pick<Handlers, 'event.explain'> {
  return {
    async 'event.explain'({ event_id, trigger_id, trigger_version }) {
      if (trigger_version !== undefined && trigger_id === undefined)
        throw invalid({
          path: 'trigger_version',
          expected: 'must be given with trigger_id only',
          found: 'no trigger_id',
        })
      const event = await storedEvent(context, event_id)
      const runs = await context.store.runs({ event_id, limit: 500, after: null })
      const ids = trigger_id === undefined ? candidates(context, event) : [trigger_id]
      const { triggers, unreadable } = await decidingAll(context, event, ids, { trigger_id, trigger_version })
      const all = (await mapInTurns(triggers, trigger => compiled(trigger, unreadable))).filter(
        each => each !== undefined,
      )
      const sheet = new Sheet(
        readableView(event),
        all.map(each => each.pattern),
      )
      const judged: (Deciding & { distance: number })[] = []
      for (const each of all)
        judged.push({ ...each, distance: (await verdictInTurns(each.pattern, sheet)).distance })
      const nearest = judged.toSorted(
        (a, b) => a.distance - b.distance || (a.trigger.id < b.trigger.id ? -1 : 1),
      )
      const decisions = unreadable.slice(0, maxExplained).map(each => unexplained(context, event, each, runs))
      const most = maxExplained - decisions.length
      for (const each of nearest.slice(0, most))
        decisions.push(await decision(context, event, sheet, each, runs, trigger_version))
      return {
        decisions,
        ...(nearest.length > most ? { omitted: nearest.length - most } : {}),
      }
    },
  }
}
