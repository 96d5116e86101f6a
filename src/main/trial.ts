// Triggers that are tried without a router, for the cases of signalbox test.
import type { RouterApplyParams } from '../contract/types.ts'
import type { Trial } from '../cli/session.ts'
import { compileContract } from '../contract/validators.ts'
import { plainJson } from '../exact-json.ts'
import { ExpressionProcess } from '../routing/expressions.ts'
import { compilePattern, type CompiledPattern } from '../routing/pattern.ts'
import { PatternError } from '../routing/pattern-limits.ts'
import { draftView, tryTrigger } from '../routing/trial.ts'
import { shown, validationError } from '../validation-error.ts'

/** now is the time of events that have none, in milliseconds since the epoch. */
export function openTrial(now: () => number): Trial {
  const contract = compileContract()
  const expressions = new ExpressionProcess()
  const triggers = new Map<
    string,
    { trigger: NonNullable<RouterApplyParams['triggers']>[number]; pattern: CompiledPattern }
  >()
  return {
    load(definitions) {
      const checked = contract.get('router.apply')!.validateParams(plainJson(definitions), definitions)
      if (!checked.ok) return checked
      for (const [index, trigger] of ((checked.value as RouterApplyParams).triggers ?? []).entries()) {
        if (triggers.has(trigger.id))
          return validationError({
            path: `triggers.${index}.id`,
            expected: 'must be unique',
            found: `${shown(trigger.id)} in another trigger too`,
          })
        try {
          triggers.set(trigger.id, { trigger, pattern: compilePattern(trigger.filter) })
        } catch (error) {
          if (!(error instanceof PatternError)) throw error
          return {
            path: `triggers.${index}.filter${error.path === '' ? '' : `.${error.path}`}`,
            message: `is refused: ${error.message}`,
          }
        }
      }
      return undefined
    },
    refusal(event) {
      const checked = contract.get('trigger.test')!.validateParams(plainJson({ event }))
      return checked.ok ? undefined : { ...checked, path: checked.path.replace(/^event\.?/, '') }
    },
    attempt(trigger_id, event) {
      const { trigger, pattern } = triggers.get(trigger_id)!
      return tryTrigger(trigger, pattern, draftView(event, now()), expressions)
    },
    close: () => expressions.stop(),
  }
}
