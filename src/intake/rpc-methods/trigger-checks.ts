// What a trigger has to pass before it is written or tried, besides its schema.
import type { Action, TriggerInput } from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import { checkTemplate, InputsError } from '../../routing/inputs.ts'
import { doubledKey } from '../../json-text.ts'
import { PatternError } from '../../routing/pattern-limits.ts'
import { compilePattern, inexactNumber, type CompiledPattern } from '../../routing/pattern.ts'
import type { Context } from './context.ts'

export function invalid(path: string, message: string): Fault {
  return new Fault('invalid_params', `${path} ${message}`, { data: { path } })
}

/** Compiles a filter; text is its JSON as written, for numbers that parsing would change. */
export function compiledFilter(filter: unknown, text: Uint8Array | undefined, at: string): CompiledPattern {
  const inexact = text === undefined ? undefined : inexactNumber(Buffer.from(text).toString('utf8'))
  if (inexact !== undefined) throw invalid(at, `holds the number ${inexact}, which a double cannot hold exactly; compare it as a string`)
  const doubled = text === undefined ? undefined : doubledKey(text)
  if (doubled !== undefined) throw invalid(`${at}.${doubled}`, 'stands in the filter twice, and JSON keeps but the last; put the alternatives into one list')
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
  compiledFilter(trigger.filter, text, `${at}.filter`)
  const source = trigger.event_source_id ?? null
  if (source !== null && source !== aboutToBe && !registry.sources.has(source)) {
    throw invalid(`${at}.event_source_id`, `names the source ${source}, which does not exist; write it first with source.put, or leave it null for any source`)
  }
  if (!registry.bots.has(trigger.action.bot_id)) {
    throw invalid(`${at}.action.bot_id`, `names the bot ${trigger.action.bot_id}, which does not exist; write it first with bot.put`)
  }
  await assertInputs(trigger.action, at, expressions)
}

export async function assertInputs(action: Action, at: string, expressions: Context['expressions']): Promise<void> {
  try {
    await checkTemplate(action.inputs ?? {}, `${at}.action.inputs`, expressions)
  } catch (error) {
    if (error instanceof InputsError) throw new Fault('invalid_params', error.message, { data: { path: error.path } })
    throw error
  }
}
