// trigger.backtest: a draft against the log; trigger.put with dry_run asks for the same.
import { defaults } from '../../contract/defaults.ts'
import type {
  Action,
  BacktestReport,
  BacktestSample,
  Trigger,
  TriggerBacktestParams,
} from '../../contract/types.ts'
import type { BacktestSide } from '../../routing/backtest.ts'
import { InputsError, renderTemplate } from '../../routing/inputs.ts'
import { readableView } from '../../routing/log-filter.ts'
import { completeTrigger } from '../../routing/registry.ts'
import type { Call, Handlers } from '../jsonrpc.ts'
import type { Context } from './context.ts'
import { notFound, storedTrigger, triggerAt } from './lookups.ts'
import { assertInputs, compiledFilter, invalid } from './trigger-checks.ts'

export interface BacktestDraft extends BacktestSide {
  action?: Action
}

interface Asked {
  draft: BacktestDraft
  /** the stored trigger that it is compared with */
  live: Trigger | undefined
  since: number
  until: number
  limit: number
  samples: number
  /** tell the caller how far it is */
  progress: boolean
}

/** A sample with the inputs that its run would have. */
async function rendered(
  { store, expressions }: Context,
  { action }: BacktestDraft,
  sample: BacktestSample,
): Promise<BacktestSample> {
  if (action?.inputs === undefined) return sample
  const event = await store.event(sample.event_id)
  if (event === null) return sample
  try {
    return {
      ...sample,
      inputs: (await renderTemplate(action.inputs, 'inputs', readableView(event), expressions)) as Record<
        string,
        unknown
      >,
    }
  } catch (error) {
    if (error instanceof InputsError) return { ...sample, inputs_error: error.message }
    throw error
  }
}

/** Runs a backtest. Throws Fault overloaded and not_ready. */
export async function backtested(
  context: Context,
  { draft, live, since, until, limit, samples, progress }: Asked,
  call: Call,
): Promise<BacktestReport> {
  const { backtest, now } = context
  const begun = now()
  const side =
    live === undefined
      ? null
      : { source_id: live.event_source_id, filter: live.filter, enabled: live.enabled }
  const job = {
    draft: { source_id: draft.source_id, filter: draft.filter, enabled: draft.enabled },
    live: side,
    samples,
  }
  const [found] = await backtest([job], { since, until, limit }, call.signal(), state =>
    call.progress({ ...state }, progress),
  )
  const withInputs = (list: BacktestSample[]): Promise<BacktestSample[]> =>
    Promise.all(list.map(sample => rendered(context, draft, sample)))
  const { scanned, matched, by_type, by_day, more, stopped, added, removed } = found!
  const difference =
    live === undefined
      ? undefined
      : {
          live_version: live.version,
          added,
          removed,
          added_samples: await withInputs(found!.samples.added),
          removed_samples: found!.samples.removed,
        }
  return {
    scanned,
    matched,
    by_type,
    by_day,
    samples: { matched: await withInputs(found!.samples.matched), unmatched: found!.samples.unmatched },
    ...(difference === undefined ? {} : { difference }),
    since,
    until,
    more,
    stopped,
    took_ms: Math.max(0, now() - begun),
  }
}

/** Throws Fault invalid_params unless one trigger or filter is given, over a range of time that exists. */
function assertOne(
  {
    filter,
    trigger,
    trigger_id,
    version,
  }: Pick<TriggerBacktestParams, 'filter' | 'trigger' | 'trigger_id' | 'version'>,
  since: number,
  end: number,
): void {
  const given = [filter, trigger, trigger_id].filter(each => each !== undefined)
  if (given.length !== 1)
    throw invalid({
      path: 'filter',
      expected: 'or trigger or trigger_id must be given, exactly one of them',
      found: String(given.length),
    })
  if (version !== undefined && trigger_id === undefined)
    throw invalid({
      path: 'version',
      expected: 'must be given with trigger_id only',
      found: 'no trigger_id',
    })
  if (since > end)
    throw invalid({
      path: 'since',
      expected: `must not be after until (${new Date(end).toISOString()})`,
      found: new Date(since).toISOString(),
    })
}

export function backtestMethods(context: Context): Pick<Handlers, 'trigger.backtest'> {
  const { registry, expressions, now } = context

  return {
    async 'trigger.backtest'(
      {
        filter,
        trigger,
        trigger_id,
        version,
        since = 0,
        until,
        limit,
        samples = defaults.BacktestSamples,
        progress = defaults.BacktestProgress,
      },
      call,
    ) {
      const end = until ?? now() + 1
      assertOne({ filter, trigger, trigger_id, version }, since, end)
      const range = { since, until: end, limit: limit ?? Number.MAX_SAFE_INTEGER, samples, progress }
      if (trigger_id !== undefined) {
        const stored =
          version === undefined
            ? storedTrigger(context, trigger_id)
            : completeTrigger(await triggerAt(context, trigger_id, version), {
                version,
                created_at: 0,
                updated_at: 0,
              })
        const live = registry.triggers.get(trigger_id)
        const draft = {
          source_id: stored.event_source_id,
          filter: stored.filter,
          enabled: true,
          action: stored.action,
        }
        return backtested(context, { draft, live: version === undefined ? undefined : live, ...range }, call)
      }
      const at = trigger === undefined ? 'filter' : 'trigger.filter'
      const wanted = trigger?.filter ?? filter!
      compiledFilter(wanted, trigger === undefined ? call.text('filter') : call.text('trigger', 'filter'), at)
      if (trigger?.action !== undefined) await assertInputs(trigger.action, 'trigger', expressions)
      const source_id = trigger?.event_source_id ?? null
      if (source_id !== null && !registry.sources.has(source_id))
        throw notFound('source', source_id, 'source.list', registry.sources.keys())
      const draft = {
        source_id,
        filter: wanted,
        enabled: true,
        ...(trigger?.action === undefined ? {} : { action: trigger.action }),
      }
      return backtested(context, { draft, live: registry.triggers.get(trigger?.id ?? ''), ...range }, call)
    },
  }
}
