// A trigger tried on one event: whether it would match, why, and what its workflow would be given. Nothing is started.
import type { DraftEvent, DraftTrigger, TriggerTestResult } from '../contract/types.ts'
import { explainInTurns, Sheet } from './explain.ts'
import type { Expressions } from './expressions.ts'
import { checkTemplate, InputsError, renderTemplate } from './inputs.ts'
import { listensTo } from './log-filter.ts'
import type { MatchEvent } from './match-event.ts'
import type { CompiledPattern } from './pattern.ts'

/** An invented event, as filters see it. */
export function draftView(draft: DraftEvent, now: number): MatchEvent {
  const {
    id = '',
    source_id = '',
    type = '',
    subject = null,
    actor = null,
    thread = null,
    timestamp = now,
    headers = {},
    payload = null,
  } = draft
  return { id, source_id, type, subject, actor, thread, timestamp, headers, payload }
}

/** An event without a source is taken for one of the trigger's own. */
export async function tryTrigger(
  trigger: DraftTrigger,
  pattern: CompiledPattern,
  event: MatchEvent,
  expressions: Expressions,
): Promise<TriggerTestResult> {
  const { matched, reason: verdict, conditions } = await explainInTurns(pattern, new Sheet(event, [pattern]))
  const reason =
    trigger.enabled === false ? `${verdict}; but the trigger is disabled and starts nothing` : verdict
  const own = trigger.event_source_id ?? null
  if (event.source_id !== '' && !listensTo(own, event.source_id)) {
    const listens =
      own === null
        ? `every source but ${event.source_id}`
        : `source ${own}, the event is of ${event.source_id}`
    return {
      matched: false,
      reason: `the trigger listens to ${listens}; its filter by itself: ${reason}`,
      conditions,
    }
  }
  if (!matched || trigger.action?.inputs === undefined) return { matched, reason, conditions }
  try {
    await checkTemplate(trigger.action.inputs, 'inputs', expressions)
    const inputs = (await renderTemplate(trigger.action.inputs, 'inputs', event, expressions)) as Record<
      string,
      unknown
    >
    return { matched, reason, conditions, inputs }
  } catch (error) {
    if (error instanceof InputsError) return { matched, reason, conditions, inputs_error: error.message }
    throw error
  }
}
