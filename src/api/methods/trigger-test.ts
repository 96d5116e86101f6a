// trigger.test: a filter or a trigger on one event, before it is enabled.
import type { DraftEvent, DraftTrigger } from '../../contract/types.ts'
import { readableView } from '../../routing/log-filter.ts'
import type { MatchEvent } from '../../routing/match-event.ts'
import { draftView, tryTrigger } from '../../routing/trial.ts'
import { rest } from '../../turns.ts'
import type { Handlers } from '../jsonrpc.ts'
import type { Context } from './context.ts'
import { storedEvent, storedTrigger } from './lookups.ts'
import { compiledFilter, invalid } from './trigger-checks.ts'

async function eventToTry(
  context: Context,
  event: DraftEvent | undefined,
  event_id: string | undefined,
): Promise<MatchEvent> {
  if ((event === undefined) === (event_id === undefined))
    throw invalid({
      path: 'event',
      expected: 'or event_id must be given, exactly one of them',
      found: event === undefined ? 'neither' : 'both',
    })
  if (event !== undefined) return draftView(event, context.now())
  return readableView(await storedEvent(context, event_id!))
}

export function triggerTestMethods(context: Context): Pick<Handlers, 'trigger.test'> {
  return {
    async 'trigger.test'({ filter, trigger, trigger_id, event, event_id }, call) {
      const given = [filter, trigger, trigger_id].filter(each => each !== undefined)
      if (given.length !== 1)
        throw invalid({
          path: 'filter',
          expected: 'or trigger or trigger_id must be given, exactly one of them',
          found: String(given.length),
        })
      const draft: DraftTrigger =
        trigger ?? (trigger_id === undefined ? { filter: filter! } : storedTrigger(context, trigger_id))
      const at = trigger === undefined ? 'filter' : 'trigger.filter'
      const pattern = compiledFilter(
        draft.filter,
        trigger === undefined ? call.text('filter') : call.text('trigger', 'filter'),
        at,
      )
      const tried = await eventToTry(context, event, event_id)
      // The store answers many at once.
      const pause = rest()
      if (pause !== undefined) await pause
      return tryTrigger(draft, pattern, tried, context.expressions)
    },
  }
}
