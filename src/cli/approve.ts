// signalbox runs approve and deny: what is decided about is printed first, and the decision is bound to it.
import { userInfo } from 'node:os'
import { createInterface } from 'node:readline/promises'
import type { Command } from 'commander'
import type { RunPreview } from '../client/client.ts'
import { paint, plain, time, type Output } from './output.ts'
import { NoError, UsageError, type Session } from './session.ts'

interface Options {
  reason?: string
  yes?: true
  as?: string
}

type Verb = 'approve' | 'deny'

const pastOf: Record<Verb, string> = { approve: 'approved', deny: 'denied' }

/** The login name of the user who runs this program. */
function loginName(): string {
  try {
    return userInfo().username
  } catch {
    // There are users without a name.
    return `uid ${process.getuid?.() ?? 'unknown'}`
  }
}

function listed(tools: readonly string[] | undefined): string {
  return tools === undefined || tools.length === 0 ? 'none' : tools.join(', ')
}

function indented(value: unknown): string {
  return plain(JSON.stringify(value, null, 2) ?? 'none', true).replaceAll('\n', '\n             ')
}

/** Everything that the decision is about. */
function printPreview(output: Output, { run, event, inputs, problem, ...tools }: RunPreview): void {
  const deadline =
    run.deadline_at === undefined
      ? 'none: it waits until it is decided'
      : `${time(run.deadline_at)}, then it counts as denied`
  const cut = run.cut_tools ?? []
  const events = run.events === undefined ? '' : `, the last of ${run.events}`
  const fields: [string, string][] = [
    ['run', run.id],
    ['trigger', `${run.trigger_id}, version ${run.trigger_version}`],
    [
      'bot',
      `${run.bot_id ?? 'not chosen yet'}${run.workflow_id === null ? '' : `, workflow ${run.workflow_id}`}`,
    ],
    ['event', `${event.id} of source ${event.source_id}${events}`],
    ['type', event.type],
    ['subject', event.subject ?? '-'],
    ['thread', event.thread ?? '-'],
    ['actor', event.actor ?? '-'],
    ['caused by', run.requested_by ?? '-'],
    ...(problem === undefined
      ? ([
          ['inputs', indented(inputs)],
          [
            'tools',
            tools.allowed_tools === null ? 'no list: all but the denied ones' : listed(tools.allowed_tools),
          ],
          ['denied', listed(tools.denied_tools)],
          ...(tools.allowed_denied_tools?.length ? [['exceptions', listed(tools.allowed_denied_tools)]] : []),
          ...(cut.length > 0
            ? [['removed', cut.map(({ tool, reason }) => `${tool} (${reason})`).join(', ')]]
            : []),
          ...(tools.context_files?.length ? [['files', listed(tools.context_files)]] : []),
        ] as [string, string][])
      : ([['problem', problem]] as [string, string][])),
    ['expires', deadline],
  ]
  for (const [name, text] of fields)
    output.line(`${paint(output, 'dim', name.padEnd(11))}  ${name === 'inputs' ? text : plain(text)}`)
}

/** The line that a person types as the answer; '' at the end of the input. */
async function asked(question: string): Promise<string> {
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  const closed = new Promise<string>(resolve => lines.once('close', () => resolve('')))
  try {
    return (await Promise.race([lines.question(question), closed])).trim()
  } finally {
    lines.close()
  }
}

/** Throws UsageError without a terminal, NoError where the answer is no. */
async function confirm(verb: Verb, { json }: Output): Promise<void> {
  if (json || !process.stdin.isTTY || !process.stdout.isTTY)
    throw new UsageError(
      `nothing was ${pastOf[verb]}: there is no terminal to ask on; look at what is printed, then add --yes`,
    )
  const answer = await asked(`${verb === 'approve' ? 'Approve' : 'Deny'}? [y/N] `)
  if (!/^y(es)?$/i.test(answer)) throw new NoError(`nothing was ${pastOf[verb]}`)
}

/** Throws UsageError for what is no id of a run: a decision is about one that was looked at. */
function runIdOf(given: string, verb: Verb): string {
  if (given === 'last')
    throw new UsageError(
      `${verb} takes the id of a run, not "last": another run may have come since you looked; signalbox runs list --state awaiting_approval shows the ids`,
    )
  return given
}

async function decide(
  current: Session,
  verb: Verb,
  given: string,
  { reason, yes, as = loginName() }: Options,
): Promise<void> {
  if (as === '' || as.length > 128)
    throw new UsageError(`--as takes a name of 1 to 128 characters; got ${as.length}`)
  const { output } = current
  const run_id = await current.runId(runIdOf(given, verb))
  const preview = await current.call('run.preview', { run_id })
  const { state, trigger_version } = preview.run
  if (state !== 'awaiting_approval')
    throw new NoError(
      `run ${run_id} is ${state}, not awaiting approval${state === 'held' ? `; signalbox runs release ${run_id} continues it` : ''}`,
    )
  if (!output.json) printPreview(output, preview)
  if (yes !== true) await confirm(verb, output)
  const { run } = await current.call(`run.${verb}`, {
    run_id,
    trigger_version,
    version: preview.version,
    reason,
    claimed_by: as,
  })
  output.line(
    output.json
      ? JSON.stringify(run)
      : `${pastOf[verb]}: run ${run.id} is ${run.state} now${run.waiting_for === undefined ? '' : `; ${plain(run.waiting_for)}`}`,
  )
}

export function addApprove(runs: Command, session: () => Session): void {
  const add = (verb: Verb, description: string): void => {
    runs
      .command(`${verb} <run>`)
      .description(description)
      .option('-r, --reason <text>', 'why')
      .option('-y, --yes', 'do it without a question; required where there is no terminal')
      .option(
        '--as <name>',
        'who decides; default: your login name. The history has it as claimed: nothing proves it',
      )
      .action((given: string, options: Options) => decide(session(), verb, given, options))
  }
  add('approve', 'approve a run that awaits approval, after showing what it would do')
  add('deny', 'deny a run that awaits approval, after showing what it would do')
}
