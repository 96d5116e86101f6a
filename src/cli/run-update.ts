// signalbox runs update: other inputs, files, time or priority for a run that has not begun.
import type { Command } from 'commander'
import type { ContextFileInput, Inputs } from '../client/client.ts'
import { contextOptions, givenFiles, type ContextOptions } from './context-files.ts'
import { plain } from './output.ts'
import { jsonArgument, UsageError, wholeNumber, type Session } from './session.ts'
import { comingTime } from './times.ts'

interface Options extends ContextOptions {
  priority?: number
  notBefore?: number
  inputs?: string
  noContextFiles?: true
  ifVersion?: number
}

function priorityArgument(text: string): number {
  const value = /^[-+]?\d{1,3}$/.test(text) ? Number(text) : Number.NaN
  if (!(Math.abs(value) <= 100))
    throw new UsageError(`a priority from -100 to 100 was expected; found ${JSON.stringify(text)}`)
  return value
}

function inputsOf(text: string): Inputs {
  const inputs = jsonArgument(text, 'inputs')
  if (typeof inputs !== 'object' || inputs === null || Array.isArray(inputs))
    throw new UsageError('inputs must be a JSON object, such as {"target":"staging"}')
  return inputs as Inputs
}

function filesOf(options: Options): ContextFileInput[] | undefined {
  const given = givenFiles(options)
  if (options.noContextFiles !== true) return given
  if (given !== undefined) throw new UsageError('give --no-context-files or files, not both')
  return []
}

async function update(current: Session, given: string, options: Options): Promise<void> {
  const { output } = current
  const { priority, notBefore: not_before, inputs } = options
  const context_files = filesOf(options)
  const changes = {
    ...(priority === undefined ? {} : { priority }),
    ...(not_before === undefined ? {} : { not_before }),
    ...(inputs === undefined ? {} : { inputs: inputsOf(inputs) }),
    ...(context_files === undefined ? {} : { context_files }),
  }
  if (Object.keys(changes).length === 0)
    throw new UsageError(
      'nothing to change was given; give one or more of --priority, --not-before, --inputs, --context-file, --context-dir, --no-context-files',
    )
  const run_id = await current.runId(given)
  const version = options.ifVersion ?? (await current.call('run.preview', { run_id })).version
  const answer = await current.call('run.update', { run_id, version, ...changes })
  const { run } = answer
  const why = run.waiting_for === undefined ? '' : `; ${plain(run.waiting_for)}`
  output.line(
    output.json
      ? JSON.stringify(answer)
      : `updated: run ${run.id} is at version ${answer.version}, ${run.state}${why}`,
  )
}

export function addUpdate(runs: Command, session: () => Session): void {
  const command = runs
    .command('update <run>')
    .description('change a run that has not begun; an approval of it is void')
    .option('--priority <number>', 'from -100 to 100; higher goes first', priorityArgument)
    .option('--not-before <time>', 'begin then at the earliest: a date, or in how long (15m, 2h)', comingTime)
    .option('-i, --inputs <json>', 'replace all inputs; @file for a file, - for standard input')
    .option('--no-context-files', 'no files go along')
    .option(
      '--if-version <number>',
      'change it only if it is at this version, as run.preview shows it; default: the current one',
      wholeNumber,
    )
  contextOptions(command).action(
    (given: string, { contextFiles, ...options }: Options & { contextFiles?: boolean }) =>
      update(session(), given, {
        ...options,
        ...(contextFiles === false ? { noContextFiles: true as const } : {}),
      }),
  )
}
