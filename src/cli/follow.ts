// signalbox runs follow: runs as they change.
import type { Command } from 'commander'
import type { Run } from '../client/client.ts'
import { shownId } from './ids.ts'
import { paint, shortened, stateStyle, time, type Output } from './output.ts'
import { isOver, progressText, stateText } from './run-text.ts'
import { NoError, type Session } from './session.ts'

interface Options {
  trigger?: string
  bot?: string
}

/** What there is to say of a run: how far it is, why it waits, or why it failed. */
function detail({ state, progress, waiting_for, error }: Run): string {
  if (waiting_for !== undefined) return waiting_for
  if (state !== 'running') return error ?? ''
  return progressText(progress)
}

/** Prints a run where what is shown of it is new. */
function printer(output: Output): (run: Run) => void {
  const shown = new Map<string, string>()
  return run => {
    if (output.json) return output.line(JSON.stringify(run))
    const state = stateText(run)
    const text = `${run.attempt}  ${state}  ${shortened(detail(run), 150)}`
    if (shown.get(run.id) === text) return undefined
    if (isOver(run)) shown.delete(run.id)
    else shown.set(run.id, text)
    const style = stateStyle(run.state)
    const painted = style === undefined ? state : paint(output, style, state)
    return output.line(
      `${time(run.updated_at)}  ${shownId(output, run.id)}  ${run.trigger_id}  ${painted}  ${shortened(detail(run), 150)}`.trimEnd(),
    )
  }
}

/** One run until it has ended. Throws NoError where it did not complete. */
async function followOne(session: Session, run_id: string): Promise<void> {
  const print = printer(session.output)
  const { promise: ended, resolve } = Promise.withResolvers<Run>()
  let newest = 0
  const show = (run: Run): void => {
    // The answer to run.get may arrive after a newer change.
    if (run.updated_at < newest) return
    newest = run.updated_at
    print(run)
    if (isOver(run)) resolve(run)
  }
  const look = async (): Promise<void> => show((await session.call('run.get', { run_id })).run)
  const { promise: lost, reject } = Promise.withResolvers<never>()
  // Subscribe before reading, so that no change is missed in between; read again if the router reports missed changes.
  const gone = session.followRuns({ run_id }, ({ run, reset }) => {
    if (run !== undefined) show(run)
    else if (reset === true) look().catch(reject)
  })
  const run = await Promise.race([look().then(() => ended), gone, lost])
  if (run.state !== 'completed')
    throw new NoError(`run ${run_id} is ${run.state}; signalbox runs show ${run_id}`)
}

export function addFollow(runs: Command, session: () => Session): void {
  runs
    .command('follow [run]')
    .description(
      'runs as they change, until ctrl-c; of one run (or "last") until it has ended: exit code 1 where it did not complete',
    )
    .option('--trigger <id>', 'of one trigger')
    .option('--bot <id>', 'of one bot')
    .action(async (given: string | undefined, { trigger, bot }: Options) => {
      const current = session()
      if (given !== undefined) return followOne(current, await current.runId(given))
      const print = printer(current.output)
      return current.followRuns({ trigger_id: trigger, bot_id: bot }, ({ run, reset }) => {
        if (reset === true) console.error('some changes were missed: too many came at once')
        if (run !== undefined) print(run)
      })
    })
}
