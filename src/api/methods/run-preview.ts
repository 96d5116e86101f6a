// run.preview: what the bot of a waiting run would be given, for the person who decides about it.
import type { RunPreview } from '../../contract/types.ts'
import { exactJson } from '../../exact-json.ts'
import type { StoredEvent, StoredRun } from '../../store/store.ts'
import type { Handlers } from '../jsonrpc.ts'
import type { Context } from './context.ts'
import { runWithCuts } from './run.ts'

/** A run with what its bot would be given; body: as it is delivered, or why it cannot be put together. */
export interface PreparedRun {
  run: StoredRun
  event: StoredEvent
  prepared: { body: string } | { problem: string }
}

interface Delivered {
  inputs: unknown
  allowed_tools: string[] | null
  denied_tools: string[]
  allowed_denied_tools: string[]
  context_files?: { name: string }[]
}

export function runPreviewMethods(context: Context): Pick<Handlers, 'run.preview'> {
  return {
    async 'run.preview'({ run_id }): Promise<RunPreview> {
      const { run, event, prepared } = await context.runs.preview(run_id)
      const { id, source_id, type, subject, actor, thread, received_at } = event
      const shown = {
        run: await runWithCuts(context, run),
        version: run.steps,
        event: { id, source_id, type, subject, actor, thread, received_at },
      }
      if ('problem' in prepared) return { ...shown, problem: prepared.problem }
      const {
        inputs,
        allowed_tools,
        denied_tools,
        allowed_denied_tools,
        context_files = [],
      } = exactJson(prepared.body) as Delivered
      return {
        ...shown,
        inputs,
        allowed_tools,
        denied_tools,
        allowed_denied_tools,
        context_files: context_files.map(({ name }) => name),
      }
    },
  }
}
