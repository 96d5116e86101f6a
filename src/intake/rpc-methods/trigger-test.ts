// trigger.test: a filter or a trigger on one event, before it is let loose.
import type { DraftEvent, DraftTrigger } from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import { explainMatch } from '../../routing/explain.ts'
import { InputsError, renderTemplate } from '../../routing/inputs.ts'
import { eventView } from '../../routing/log-filter.ts'
import type { MatchEvent } from '../../routing/matcher.ts'
import type { Handlers } from '../jsonrpc.ts'
import { storedEvent, storedTrigger, type Context } from './context.ts'
import { assertInputs, compiledFilter, invalid } from './trigger-checks.ts'

function draftView(draft: DraftEvent, now: number): MatchEvent {
  const { id = '', source_id = '', type = '', subject = null, timestamp = now, headers = {}, payload = null } = draft
  return { id, source_id, type, subject, timestamp, headers, payload }
}

async function eventToTry(context: Context, event: DraftEvent | undefined, event_id: string | undefined): Promise<MatchEvent> {
  if ((event === undefined) === (event_id === undefined)) throw invalid('event', 'or event_id is needed, and not both')
  if (event !== undefined) return draftView(event, context.now())
  return eventView(await storedEvent(context, event_id!))
}

export function triggerTestMethods(context: Context): Pick<Handlers, 'trigger.test'> {
  const { expressions } = context

  return {
    async 'trigger.test'({ filter, trigger, trigger_id, event, event_id }, call) {
      const given = [filter, trigger, trigger_id].filter(each => each !== undefined)
      if (given.length !== 1) throw invalid('filter', `or trigger or trigger_id is needed, and one of them only; found ${given.length}`)
      const draft: DraftTrigger = trigger ?? (trigger_id === undefined ? { filter: filter! } : storedTrigger(context, trigger_id))
      const at = trigger === undefined ? 'filter' : 'trigger.filter'
      const pattern = compiledFilter(draft.filter, trigger === undefined ? call.text('filter') : call.text('trigger', 'filter'), at)
      const view = await eventToTry(context, event, event_id)
      const { matched, reason: verdict, conditions } = explainMatch(pattern, view)
      const reason = draft.enabled === false ? `${verdict}; but the trigger is disabled and starts nothing` : verdict
      const listens = draft.event_source_id ?? view.source_id
      if (view.source_id !== '' && listens !== view.source_id) {
        return {
          matched: false,
          reason: `the trigger listens to source ${listens}, the event is of ${view.source_id}; its filter by itself: ${reason}`,
          conditions,
        }
      }
      if (!matched || draft.action?.inputs === undefined) return { matched, reason, conditions }
      try {
        await assertInputs(draft.action, 'trigger', expressions)
        const inputs = (await renderTemplate(draft.action.inputs, 'inputs', view, expressions)) as Record<string, unknown>
        return { matched, reason, conditions, inputs }
      } catch (error) {
        if (error instanceof InputsError || error instanceof Fault) return { matched, reason, conditions, inputs_error: error.message }
        throw error
      }
    },
  }
}
