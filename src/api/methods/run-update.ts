// run.update: other inputs, files, time or priority for a run that has not begun.
import { Fault } from '../../errors.ts'
import type { Handlers } from '../jsonrpc.ts'
import { givenContext } from './given-context.ts'
import type { Context } from './context.ts'
import { shownRun } from './shown-run.ts'

/** Bytes that the inputs of one run may have as JSON. */
const maxInputBytes = 262_144

function inputsText(inputs: unknown): string {
  const text = JSON.stringify(inputs)
  const bytes = Buffer.byteLength(text)
  if (bytes > maxInputBytes)
    throw new Fault(
      'invalid_params',
      `inputs has ${bytes} bytes as JSON; a run takes at most ${maxInputBytes}`,
      { data: { path: 'inputs' } },
    )
  return text
}

export function runUpdateMethods(context: Context): Pick<Handlers, 'run.update'> {
  return {
    async 'run.update'({ run_id, version, priority, not_before, inputs, context_files }) {
      if ([priority, not_before, inputs, context_files].every(each => each === undefined))
        throw new Fault(
          'invalid_params',
          'nothing to change was given; give one or more of priority, not_before, inputs, context_files',
          {
            data: { path: 'priority' },
          },
        )
      givenContext(context_files)
      const files = context_files?.map(({ name, content, encoding }) => ({
        name,
        content,
        ...(encoding === undefined ? {} : { encoding }),
      }))
      const run = await context.runs.update(run_id, {
        version,
        ...(priority === undefined ? {} : { priority }),
        ...(not_before === undefined ? {} : { not_before }),
        ...(inputs === undefined ? {} : { inputs: inputsText(inputs) }),
        ...(files === undefined
          ? {}
          : { context_files: JSON.stringify(files), file_names: files.map(({ name }) => name) }),
      })
      return { run: shownRun(context, run), version: run.steps }
    },
  }
}
