// Warnings for definitions: parts without an effect, and tools that are removed from their runs.
import type { BotInput, TriggerInput } from '../../contract/types.ts'
import { dubious } from '../../routing/dubious.ts'
import { shownTool } from '../../tools.ts'
import type { Context } from './context.ts'
import { type Judging, type Bots, cutOfAction } from './cut-tools.ts'

/** Warnings that router.status lists one by one. */
const mostStanding = 20

/** A sentence for each part of a trigger that can never have an effect. */
function dubiousWarnings(trigger: TriggerInput): string[] {
  return dubious(trigger).map(sentence => `trigger ${trigger.id}: ${sentence}`)
}

/** A sentence for each tool that a trigger lists and its runs are without. */
function triggerWarnings(judging: Judging, { id, action }: TriggerInput, bots: Bots): string[] {
  // What a bot lists in vain is said where the bot is written.
  if (action.allowed_tools === undefined) return []
  return cutOfAction(judging, action, bots).map(
    ({ tool, reason }) => `trigger ${id}: tool ${shownTool(tool)} is removed from its runs: ${reason}`,
  )
}

/** A sentence for each tool that a bot lists and may not use. */
function botWarnings({ tools }: Judging, bot: BotInput): string[] {
  const { cut } = tools.permit(undefined, bot)
  return cut.map(
    ({ tool, reason }) => `bot ${bot.id}: tool ${shownTool(tool)} is removed from its runs: ${reason}`,
  )
}

/** The warnings field of an answer about definitions; bots: those that the triggers start. */
export function warningsOf(
  judging: Judging,
  given: { triggers?: readonly TriggerInput[]; bots?: readonly BotInput[] },
  bots: Bots,
): { warnings?: string[] } {
  const warnings = [
    ...(given.bots ?? []).flatMap(bot => botWarnings(judging, bot)),
    ...(given.triggers ?? []).flatMap(trigger => [
      ...dubiousWarnings(trigger),
      ...triggerWarnings(judging, trigger, bots),
    ]),
  ]
  return warnings.length === 0 ? {} : { warnings }
}

/** Warnings for router.status: parts of stored definitions without an effect, and tools that are removed from their runs. */
export function standingWarnings({ tools, registry }: Pick<Context, 'tools' | 'registry'>): string[] {
  const triggers = [...registry.triggers.values()].filter(({ enabled }) => enabled)
  const { warnings = [] } = warningsOf(
    { tools },
    { triggers, bots: [...registry.bots.values()] },
    registry.bots,
  )
  if (warnings.length <= mostStanding) return warnings
  return [
    ...warnings.slice(0, mostStanding),
    `${warnings.length - mostStanding} more warnings; run.get shows removed tools as cut_tools`,
  ]
}
