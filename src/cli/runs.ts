// signalbox runs: what is owed, under way, done and dead.
import type { Command } from 'commander'
import type { Attempt, Run, RunListParams, RunListResult, RunRetryDeadResult } from '../client/client.ts'
import { addApprove } from './approve.ts'
import { addFollow } from './follow.ts'
import { shownId } from './ids.ts'
import { addLogs } from './logs.ts'
import { addShow } from './run-show.ts'
import { stateText } from './run-text.ts'
import { addUpdate } from './run-update.ts'
import { shortened, stateStyle, table, time, type Output } from './output.ts'
import { UsageError, wholeNumber, type Session } from './session.ts'
import { timeArgument } from './times.ts'

interface ListOptions {
  state?: Run['state'] | 'dead'
  trigger?: string
  bot?: string
  queue?: string
  event?: string
  dead?: boolean
  since?: number
  until?: number
  failed?: true
  actor?: string
  requestedBy?: string
  thread?: string
  limit: number
  cursor?: string
}

/** What keeps a run that waits, or why one ended as it did; of one that is under way not what went wrong before. */
function note({ state, waiting_for, error, pause_requested }: Run): string {
  if (waiting_for !== undefined) return waiting_for
  if (pause_requested === true) return 'asked to pause'
  return state === 'running' || state === 'assigned' ? '' : (error ?? '')
}

function printRuns(output: Output, runs: readonly Run[]): void {
  table(
    output,
    runs,
    [
      { title: 'RUN', value: run => shownId(output, run.id) },
      { title: 'STATE', value: stateText, style: run => stateStyle(run.state) },
      { title: 'TRIGGER', value: run => run.trigger_id },
      { title: 'BOT', value: run => run.bot_id ?? '-' },
      { title: 'ATTEMPT', value: run => String(run.attempt) },
      { title: 'CREATED', value: run => time(run.created_at) },
      { title: 'NOTE', value: run => shortened(note(run), 100) },
    ],
    'no such runs',
  )
}

/** The runs of a list; a page ends early where results are large, so pages are asked for until there are enough. */
async function found(current: Session, query: RunListParams & { limit: number }): Promise<RunListResult> {
  const runs: Run[] = []
  let cursor = query.cursor
  for (;;) {
    const answer = await current.call('run.list', {
      ...query,
      limit: query.limit - runs.length,
      ...(cursor === undefined ? {} : { cursor }),
    })
    runs.push(...answer.runs)
    cursor = answer.next_cursor
    const begins = answer.begins_at === undefined ? {} : { begins_at: answer.begins_at }
    if (cursor === undefined) return { runs, ...begins }
    if (runs.length >= query.limit) return { runs, ...begins, next_cursor: cursor }
  }
}

export function addRuns(program: Command, session: () => Session): void {
  const runs = program
    .command('runs')
    .description('look at runs, and act on them')
    .addHelpText('after', '\nsignalbox runs is signalbox runs list; its options: signalbox runs list --help')
  runs
    .command('list', { isDefault: true })
    .description('runs, newest first')
    .option('--state <state>', 'in one state')
    .option('--trigger <id>', 'of one trigger')
    .option('--bot <id>', 'of one bot')
    .option('--queue <id>', 'of one queue')
    .option('--event <id>', 'of one event (or "last")')
    .option('--dead', 'only the dead letters')
    .option('--failed', 'that ended failed or timed out, dead or discarded')
    .option('--since <time>', 'created since: 2h, 7d, or a date', timeArgument)
    .option('--until <time>', 'created before', timeArgument)
    .option('--actor <login>', 'of events that an account caused')
    .option('--requested-by <principal>', 'caused by one principal: local, token:ID, bot:ID')
    .option('--thread <thread>', 'of events of one conversation, such as acme/site#12')
    .option('-n, --limit <count>', 'how many', wholeNumber, 20)
    .option('--cursor <text>', 'go on where an answer ended')
    .action(async ({ trigger, bot, event, state, requestedBy: requested_by, ...rest }: ListOptions) => {
      const current = session()
      // The table shows dead runs as a state of their own, so they may be asked for like one.
      const wanted = state === 'dead' ? { dead: true } : { state }
      const answer = await found(current, {
        ...rest,
        ...wanted,
        requested_by,
        trigger_id: trigger,
        bot_id: bot,
        ...(event === undefined ? {} : { event_id: await current.eventId(event) }),
      })
      printRuns(current.output, answer.runs)
      if (answer.begins_at !== undefined && !current.output.json)
        current.output.line(
          `runs of events received before ${time(answer.begins_at)} are not listed: those were logged without actor and thread`,
        )
      if (answer.next_cursor !== undefined && !current.output.json)
        current.output.line(`more with: --cursor ${answer.next_cursor}`)
    })
  addShow(runs, session)
  addLogs(runs, session)
  addFollow(runs, session)
  addHistory(runs, session)
  addActions(runs, session)
}

/** Why an attempt failed, else what it said; the reason of a command that failed has what it said last. */
function said({ error, output = '' }: Attempt): string {
  return shortened(error ?? output.trim(), 160)
}

function addHistory(runs: Command, session: () => Session): void {
  runs
    .command('history <run>')
    .description('every move and attempt of a run (or "last")')
    .action(async (run: string) => {
      const { output } = session()
      const { history, attempts } = await session().call('run.history', {
        run_id: await session().runId(run),
      })
      table(
        output,
        history,
        [
          { title: 'AT', value: move => time(move.at) },
          { title: 'MOVE', value: move => move.move },
          { title: 'STATE', value: move => move.to, style: move => stateStyle(move.to) },
          { title: 'ATTEMPT', value: move => String(move.attempt) },
          { title: 'REASON', value: move => shortened(move.reason ?? '', 120) },
        ],
        'no moves',
      )
      if (!output.json && attempts.length > 0) output.line('')
      if (attempts.length > 0) {
        table(
          output,
          attempts,
          [
            { title: 'ATTEMPT', value: attempt => String(attempt.number) },
            { title: 'STARTED', value: attempt => time(attempt.started_at) },
            { title: 'MS', value: attempt => String(attempt.ended_at - attempt.started_at) },
            { title: 'OUTCOME', value: attempt => attempt.outcome },
            { title: 'STATUS', value: attempt => attempt.status ?? '-' },
            {
              title: 'OUTPUT',
              value: said,
            },
          ],
          '',
        )
      }
    })
}

function addActions(runs: Command, session: () => Session): void {
  const act = (name: 'cancel' | 'hold' | 'release' | 'pause' | 'resume', description: string): void => {
    const takesReason = name !== 'release'
    const command = runs.command(`${name} <run>`).description(description)
    if (takesReason) command.option('-r, --reason <text>', 'why')
    command.action(async (given: string, { reason }: { reason?: string }) => {
      const run_id = await session().runId(given)
      const { run } = await session().call(`run.${name}`, takesReason ? { run_id, reason } : { run_id })
      printRuns(session().output, [run])
    })
  }
  act('cancel', 'stop a run')
  act('hold', 'keep a waiting run from its bot')
  act('release', 'let a held run go on')
  addUpdate(runs, session)
  addApprove(runs, session)
  act('pause', 'ask the holder of a running run to pause')
  act('resume', 'let a paused run go on')
  addDead(runs, session, 'retry', 'give a dead run, or all that are selected, a new set of attempts')
  addDead(runs, session, 'discard', 'take a dead run, or all that are selected, off the dead letters')
}

interface DeadOptions {
  trigger?: string
  bot?: string
  queue?: string
  error?: string
  since?: number
  until?: number
  all?: boolean
  yes?: boolean
  reason?: string
}

/** Of one dead run, or of many: those first as a plan; --yes executes it. */
function addDead(
  runs: Command,
  session: () => Session,
  name: 'retry' | 'discard',
  description: string,
): void {
  const command = runs
    .command(`${name} [run]`)
    .description(description)
    .option('--trigger <id>', 'those of one trigger')
    .option('--bot <id>', 'those of one bot')
    .option('--queue <id>', 'those of one queue')
    .option('--error <text>', 'those whose error says this')
    .option('--since <time>', 'that died since: 2h, 7d, or a date', timeArgument)
    .option('--until <time>', 'that died before', timeArgument)
    .option('--all', 'all dead runs')
    .option('--yes', 'do it; without it many are only counted')
  if (name === 'discard') command.option('-r, --reason <text>', 'why')
  command.action(
    async (given: string | undefined, { trigger, bot, all, yes, reason, ...rest }: DeadOptions) => {
      const current = session()
      const selection = { ...rest, trigger_id: trigger, bot_id: bot }
      const selects = all === true || Object.values(selection).some(value => value !== undefined)
      if ((given === undefined) === !selects)
        throw new UsageError('give a run, or a selection such as --trigger deploy, or --all, and not both')
      const why = name === 'discard' ? { reason } : {}
      if (given !== undefined) {
        const { run } = await current.call(`run.${name}`, { run_id: await current.runId(given), ...why })
        return printRuns(current.output, [run])
      }
      const dry_run = yes !== true
      for (let done = 0; ;) {
        const answer = await current.call(`run.${name}_dead`, { ...selection, ...why, dry_run })
        done += answer.runs
        printDead(current.output, answer)
        if (!dry_run && answer.more && answer.runs > 0) continue
        if (current.output.json) return undefined
        return current.output.line(
          dry_run ? plan(name, answer) : `${done} ${name === 'retry' ? 'retried' : 'discarded'}`,
        )
      }
    },
  )
}

function plan(name: string, { runs, more }: RunRetryDeadResult): string {
  if (runs === 0) return 'nothing to do'
  return `nothing was done: --yes would ${name} ${more ? `these ${runs} and the others of the selection` : runs === 1 ? 'it' : `these ${runs}`}`
}

function printDead(output: Output, answer: RunRetryDeadResult): void {
  if (output.json) return output.line(JSON.stringify(answer))
  return table(
    output,
    answer.groups,
    [
      { title: 'RUNS', value: group => String(group.runs) },
      { title: 'TRIGGER', value: group => group.trigger_id },
      { title: 'BOT', value: group => group.bot_id ?? '-' },
      { title: 'ERROR', value: group => shortened(group.error, 120) },
    ],
    'no such dead runs',
  )
}
