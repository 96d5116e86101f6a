// trigger.*, and the checks that a trigger passes before it is written.
import type { Action, DraftEvent, DraftTrigger, Trigger, TriggerInput } from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import { explainMatch } from '../../routing/explain.ts'
import { checkTemplate, InputsError, renderTemplate } from '../../routing/inputs.ts'
import { eventView } from '../../routing/log-filter.ts'
import type { MatchEvent } from '../../routing/matcher.ts'
import { PatternError } from '../../routing/pattern-limits.ts'
import { compilePattern, inexactNumber, type CompiledPattern } from '../../routing/pattern.ts'
import { completeTrigger } from '../../routing/registry.ts'
import type { Handlers } from '../jsonrpc.ts'
import { notFound, pageById, storedEvent, writeDefinitions, type Context } from './context.ts'

export function invalid(path: string, message: string): Fault {
  return new Fault('invalid_params', `${path} ${message}`, { data: { path } })
}

/** Compiles a filter; text is its JSON as written, for numbers that parsing would change. */
export function compiledFilter(filter: unknown, text: Uint8Array | undefined, at: string): CompiledPattern {
  const inexact = text === undefined ? undefined : inexactNumber(Buffer.from(text).toString('utf8'))
  if (inexact !== undefined) throw invalid(at, `holds the number ${inexact}, which a double cannot hold exactly; compare it as a string`)
  try {
    return compilePattern(filter)
  } catch (error) {
    if (error instanceof PatternError) throw invalid(error.path === '' ? at : `${at}.${error.path}`, `is refused: ${error.message}`)
    throw error
  }
}

/** Everything about a trigger that its schema cannot say. aboutToBe: a source that is written with it. */
export async function assertTrigger(context: Context, trigger: TriggerInput, text: Uint8Array | undefined, at: string, aboutToBe?: string): Promise<void> {
  const { registry, expressions } = context
  const exceeded = registry.exceeded(trigger.id, compiledFilter(trigger.filter, text, `${at}.filter`))
  if (exceeded !== undefined) throw invalid(`${at}.filter`, `is refused: ${exceeded}`)
  const source = trigger.event_source_id ?? null
  if (source !== null && source !== aboutToBe && !registry.sources.has(source)) {
    throw invalid(`${at}.event_source_id`, `names the source ${source}, which does not exist; write it first with source.put, or leave it null for any source`)
  }
  if (!registry.bots.has(trigger.action.bot_id)) {
    throw invalid(`${at}.action.bot_id`, `names the bot ${trigger.action.bot_id}, which does not exist; write it first with bot.put`)
  }
  await assertInputs(trigger.action, at, expressions)
}

async function assertInputs(action: Action, at: string, expressions: Context['expressions']): Promise<void> {
  try {
    await checkTemplate(action.inputs ?? {}, `${at}.action.inputs`, expressions)
  } catch (error) {
    if (error instanceof InputsError) throw new Fault('invalid_params', error.message, { data: { path: error.path } })
    throw error
  }
}

function draftView(draft: DraftEvent, now: number): MatchEvent {
  const { id = '', source_id = '', type = '', subject = null, timestamp = now, headers = {}, payload = null } = draft
  return { id, source_id, type, subject, timestamp, headers, payload }
}

function inputOf({ version: _v, created_at: _c, updated_at: _u, ...input }: Trigger): TriggerInput {
  return input
}

async function tried(context: Context, event: DraftEvent | undefined, event_id: string | undefined): Promise<MatchEvent> {
  if ((event === undefined) === (event_id === undefined)) throw invalid('event', 'or event_id is needed, and not both')
  if (event !== undefined) return draftView(event, context.now())
  return eventView(await storedEvent(context, event_id!))
}

export function triggerMethods(context: Context): Pick<Handlers, `trigger.${string}` & keyof Handlers> {
  const { registry, expressions, now } = context

  function found(id: string): Trigger {
    const trigger = registry.triggers.get(id)
    if (trigger === undefined) throw notFound('trigger', id, 'trigger.list')
    return trigger
  }

  async function setEnabled(id: string, enabled: boolean): Promise<{ trigger: Trigger }> {
    const trigger = found(id)
    if (trigger.enabled !== enabled) {
      await writeDefinitions(context, [{ noun: 'trigger', id, definition: { ...inputOf(trigger), enabled }, version: trigger.version, at: now() }])
    }
    return { trigger: found(id) }
  }

  return {
    async 'trigger.put'({ trigger, version }, call) {
      await assertTrigger(context, trigger, call.text('trigger', 'filter'), 'trigger')
      const [stamp] = await writeDefinitions(context, [{ noun: 'trigger', id: trigger.id, definition: trigger, version, at: now() }])
      return { trigger: completeTrigger(trigger, stamp!) }
    },
    'trigger.get': async ({ trigger_id }) => ({ trigger: found(trigger_id) }),
    async 'trigger.list'({ event_source_id, bot_id, limit, cursor }) {
      const wanted = [...registry.triggers.values()].filter(
        ({ event_source_id: source, action }) =>
          (event_source_id === undefined || source === event_source_id) && (bot_id === undefined || action.bot_id === bot_id),
      )
      const { page, next_cursor } = pageById(wanted, limit, cursor)
      return { triggers: page, next_cursor }
    },
    async 'trigger.delete'({ trigger_id, version }) {
      const trigger = found(trigger_id)
      await writeDefinitions(context, [{ noun: 'trigger', id: trigger_id, definition: null, version: version ?? trigger.version, at: now() }])
      return { trigger }
    },
    'trigger.enable': ({ trigger_id }) => setEnabled(trigger_id, true),
    'trigger.disable': ({ trigger_id }) => setEnabled(trigger_id, false),
    async 'trigger.test'({ filter, trigger, trigger_id, event, event_id }, call) {
      const given = [filter, trigger, trigger_id].filter(each => each !== undefined)
      if (given.length !== 1) throw invalid('filter', `or trigger or trigger_id is needed, and one of them only; found ${given.length}`)
      const draft: DraftTrigger = trigger ?? (trigger_id === undefined ? { filter: filter! } : found(trigger_id))
      const at = trigger === undefined ? 'filter' : 'trigger.filter'
      const pattern = compiledFilter(draft.filter, trigger === undefined ? call.text('filter') : call.text('trigger', 'filter'), at)
      const view = await tried(context, event, event_id)
      const { matched, reason, conditions } = explainMatch(pattern, view)
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
