// signalbox dispatch: hand work to a workflow, and wait for it where that is wanted.
import type { Command } from 'commander'
import { ConnectionError, type Run } from '../client/client.ts'
import { causationOf, contextOptions, givenFiles, type ContextOptions } from './context-files.ts'
import { printEmitted } from './emit.ts'
import { paint, plain, stateStyle, type Output } from './output.ts'
import { isOver } from './run-text.ts'
import { NoError, payloadArgument, type Session } from './session.ts'

/** Between two looks at a run; the first come quicker. */
const lookEveryMs = 1000
const firstLookMs = 50

/** A run once it has ended; a dead one has. */
async function ended(session: Session, run_id: string): Promise<Run> {
  for (let wait = firstLookMs; ; wait = Math.min(lookEveryMs, wait * 1.5)) {
    const { run } = await session.call('run.get', { run_id })
    if (isOver(run)) return run
    await new Promise(resolve => setTimeout(resolve, wait))
  }
}

const standardError: Output = {
  json: false,
  terminal: false,
  line: text => console.error(plain(text, true)),
  bytes: () => undefined,
}

/** Where that goes which is not the result: in a pipe the result alone is for the program behind it. */
function besideResult(output: Output): Output {
  return output.terminal || output.json ? output : standardError
}

/** Waits for runs; throws NoError where one did not complete. */
export async function followRuns(session: Session, run_ids: readonly string[]): Promise<void> {
  const runs = await Promise.all(run_ids.map(run_id => ended(session, run_id)))
  const { output } = session
  for (const run of runs) {
    const { id, state, trigger_id, error, result } = run
    if (output.json) output.line(JSON.stringify(run))
    else
      besideResult(output).line(
        `run ${id} of ${trigger_id}  ${paint(output, stateStyle(state) ?? 'bold', state)}${error === undefined ? '' : `  ${plain(error)}`}`,
      )
    if (!output.json && result !== undefined && result !== null)
      output.line(plain(typeof result === 'string' ? result : JSON.stringify(result, null, 2), true))
  }
  const bad = runs.filter(run => run.state !== 'completed')
  if (bad.length > 0) throw new NoError(`${bad.length} of ${runs.length} runs did not complete`)
}

interface Options extends ContextOptions {
  payload?: string
  subject?: string
  key?: string
  wait?: true
}

export function addDispatch(program: Command, session: () => Session): void {
  const command = program
    .command('dispatch <workflow>')
    .description('hand work to a workflow: an event in its inbox, which a source of type dispatch is')
    .option('-p, --payload <text>', 'payload: JSON, else text; @file for a file, - for standard input')
    .option('-s, --subject <text>', 'what it is about')
    .option('-k, --key <text>', 'idempotency key: the same key is the same event')
    .option(
      '-w, --wait',
      'wait until what it starts has ended, and print the result: exit code 1 where it did not complete',
    )
  contextOptions(command).action(async (workflow_id: string, options: Options) => {
    const current = session()
    const answer = await current.call('event.dispatch', {
      workflow_id,
      ...(options.payload === undefined ? {} : { payload: payloadArgument(options.payload) }),
      subject: options.subject,
      idempotency_key: options.key,
      causation: causationOf(current.environment),
      context_files: givenFiles(options),
    })
    printEmitted(options.wait === true ? besideResult(current.output) : current.output, answer)
    if (options.wait !== true) return
    // Of an event that was debounced, batched or skipped: the run that took its part.
    const run_ids = [
      ...new Set([...answer.runs, ...(answer.decisions ?? []).flatMap(({ run_id }) => run_id ?? [])]),
    ]
    if (run_ids.length === 0) throw new NoError('it started nothing that could be waited for')
    try {
      await followRuns(current, run_ids)
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error
      throw new ConnectionError(
        `${error.message}: the router went away while it was waited for; ${run_ids.length === 1 ? 'the run is kept and goes on' : 'the runs are kept and go on'} with it, see signalbox runs show ${run_ids[0]}`,
      )
    }
  })
}
