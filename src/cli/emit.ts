// signalbox emit: log an event.
import type { Command } from 'commander'
import type { Decision, EventEmitResult } from '../client/client.ts'
import { paint, type Output } from './output.ts'
import { causationOf, contextOptions, givenFiles, type ContextOptions } from './context-files.ts'
import { jsonArgument, type Session } from './session.ts'
import { comingTime } from './times.ts'

interface Options extends ContextOptions {
  payload: string
  subject?: string
  actor?: string
  thread?: string
  key?: string
  at?: number
}

const outcomes: Record<Decision['outcome'], string> = {
  routed: 'run',
  replayed: 'replayed as run',
  loop_held: 'held: it comes again and again from its own runs',
  redelivery_logged: 'logged only: the same body came before',
  rate_limited: 'rate limited: no run',
  debounced: 'joined run',
  batched: 'joined run',
  singleton_skipped: 'skipped: open already is run',
  queue_full: 'its queue is full: no run',
  own_event: 'caused by an account of the router itself: no run',
  repeat_limit: 'too many runs about this thread: no run',
  trigger_paused: 'its trigger is paused, and as many runs wait as may: no run',
}

/** What an event was told to start, by trigger. */
function started({
  matched_triggers,
  runs,
  decisions,
}: EventEmitResult): { trigger_id: string; words: string; made: boolean }[] {
  // Of an event that was known before the decisions are not told again.
  if (decisions === undefined)
    return matched_triggers.map((trigger_id, index) => ({
      trigger_id,
      words: `run ${runs[index] ?? '-'}`,
      made: true,
    }))
  return decisions.map(({ trigger_id, outcome, run_id }) => ({
    trigger_id,
    words: `${outcomes[outcome]}${run_id === undefined ? '' : ` ${run_id}`}`,
    made: run_id !== undefined && outcome !== 'singleton_skipped',
  }))
}

/** What became of an event that was just made. */
export function printEmitted(output: Output, answer: EventEmitResult): void {
  if (output.json) return output.line(JSON.stringify(answer))
  output.line(
    `event ${paint(output, 'bold', answer.event_id)}${answer.duplicate ? ' (known already: nothing new was stored)' : ''}`,
  )
  if (answer.matched_triggers.length === 0)
    output.line(`no trigger matched; see why with: signalbox explain ${answer.event_id}`)
  for (const { trigger_id, words, made } of started(answer))
    output.line(
      `  ${made ? paint(output, 'green', '✓') : paint(output, 'yellow', '-')} ${trigger_id}  ${words}`,
    )
  return undefined
}

export function addEmit(program: Command, session: () => Session): void {
  const command = program
    .command('emit <source> <type>')
    .description('log an event and start what it matches')
    .option('-p, --payload <json>', 'payload; @file for a file, - for standard input', 'null')
    .option('-s, --subject <text>', 'what it is about, such as acme/site')
    .option('--actor <login>', 'the account that caused it; within a run the router sets it')
    .option('--thread <text>', 'the conversation that it belongs to, such as acme/site#12')
    .option('-k, --key <text>', 'idempotency key: the same key is the same event')
    .option('--at <time>', 'its runs begin then, not before: a date, or in how long (15m, 2h)', comingTime)
  contextOptions(command).action(async (source_id: string, type: string, options: Options) => {
    const current = session()
    const answer = await current.call('event.emit', {
      source_id,
      type,
      payload: jsonArgument(options.payload, 'the payload'),
      subject: options.subject,
      actor: options.actor,
      thread: options.thread,
      idempotency_key: options.key,
      causation: causationOf(current.environment),
      deliver_at: options.at,
      context_files: givenFiles(options),
    })
    printEmitted(current.output, answer)
  })
}
