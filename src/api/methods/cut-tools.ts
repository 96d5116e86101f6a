// What the tool limits remove from runs.
import type { BotInput, TriggerInput } from '../../contract/types.ts'
import { chosenBot, type StoredRun } from '../../store/store.ts'
import type { CutTool } from '../../tools.ts'
import type { Context } from './context.ts'

export type Judging = Pick<Context, 'tools'>
export type Bots = ReadonlyMap<string, Pick<BotInput, 'id' | 'tools'>>
type Action = TriggerInput['action']

/** Tools that the runs of an action are without, as far as its bot is known. */
export function cutOfAction({ tools }: Judging, { bot_id, allowed_tools }: Action, bots: Bots): CutTool[] {
  return tools.permit(allowed_tools, bots.get(bot_id ?? '')).cut
}

/**
 * Tools that a run is without. What was removed when it was created or claimed is the difference of two stored lists, so
 * it stays true when the configuration changes; the reasons are those of today.
 */
export function cutOfRun(
  { tools, registry }: Pick<Context, 'tools' | 'registry'>,
  run: StoredRun,
  action: Action,
): CutTool[] {
  const bot = registry.bots.get(chosenBot(run) ?? '')
  const today = tools.permit(action.allowed_tools, bot)
  if (run.allowed_tools === null) return today.cut
  const listed = action.allowed_tools ?? bot?.tools ?? []
  const reasons = new Map(today.cut.map(({ tool, reason }) => [tool, reason]))
  const before = 'it was denied when the run was created or claimed; the limits have changed since'
  return listed.flatMap(tool =>
    run.allowed_tools!.includes(tool) ? [] : [{ tool, reason: reasons.get(tool) ?? before }],
  )
}
