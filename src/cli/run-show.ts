// signalbox runs show: everything about one run, and what can be done about it.
import type { Command } from 'commander'
import type {
  Attempt,
  ExplainedDecision,
  Gate,
  MadeRequest,
  OutputPart,
  Run,
  RunPreview,
  RunRequestResult,
} from '../client/client.ts'
import { RpcError } from '../client/client.ts'
import { paint, plain, shortened, stateStyle, time, type Output } from './output.ts'
import { amount } from './router.ts'
import { outputText, progressText, stateText } from './run-text.ts'
import type { Session } from './session.ts'

const lastOutputBytes = 8192
const mostLines = 10
const mostJsonLines = 30
const mostLineLength = 300
const mostTools = 12
const dimWidth = 10

interface Shown {
  run: Run
  /** absent: the event is not stored any more */
  preview: RunPreview | undefined
  attempts: Attempt[]
  parts: OutputPart[]
  /** what the last attempt asked of its bot, with the body; absent: nothing */
  request: RunRequestResult | undefined
  /** what its event passed on the way to the bot */
  gates: Gate[]
}

/** What stands for an answer that is refused: the socket of a command does not have all of it, and events are removed in time. */
function unlessRefused<T>(otherwise: T): (error: unknown) => T {
  return error => {
    if (error instanceof RpcError) return otherwise
    throw error
  }
}

async function looked(session: Session, run_id: string): Promise<Shown> {
  const [{ run }, { attempts }, { parts }, preview, request] = await Promise.all([
    session.call('run.get', { run_id }),
    session.call('run.history', { run_id }).catch(unlessRefused({ attempts: [] })),
    session.call('run.output', { run_id, last_bytes: lastOutputBytes }),
    session.call('run.preview', { run_id }).catch(unlessRefused(undefined)),
    session.call('run.request', { run_id }).catch(unlessRefused(undefined)),
  ])
  const { event_id, trigger_id, trigger_version } = run
  const asked = { event_id, trigger_id, trigger_version }
  const { decisions } = await session
    .call('event.explain', asked)
    .catch(unlessRefused({ decisions: [] as ExplainedDecision[] }))
  return { run, preview, attempts, parts, request, gates: decisions[0]?.gates ?? [] }
}

/** A name with its text; further lines stand below the first. */
function field(output: Output, name: string, text: string): void {
  const lines = plain(text, true).trimEnd().split('\n')
  for (const [index, line] of lines.entries())
    output.line(`${paint(output, 'dim', (index === 0 ? name : '').padEnd(dimWidth))}  ${line}`.trimEnd())
}

function listed(names: readonly string[] | undefined): string {
  if (names === undefined || names.length === 0) return 'none'
  const more = names.length > mostTools ? ` and ${names.length - mostTools} more` : ''
  return `${names.slice(0, mostTools).join(', ')}${more}`
}

function cutLines(lines: readonly string[]): string {
  return lines
    .map(line => (line.length > mostLineLength ? `${line.slice(0, mostLineLength)} ...` : line))
    .join('\n')
}

function json(value: unknown): string {
  const lines = (JSON.stringify(value, null, 2) ?? 'none').split('\n')
  return cutLines(
    lines.length > mostJsonLines ? [...lines.slice(0, mostJsonLines), '... --json has all of it'] : lines,
  )
}

function printEvent(output: Output, { event_id, requested_by }: Run, preview: RunPreview | undefined): void {
  if (preview === undefined) return field(output, 'event', `${event_id}, which is not stored any more`)
  const { source_id, type, subject, thread, actor, received_at } = preview.event
  field(output, 'event', `${event_id}\n${type} of source ${source_id}, received at ${time(received_at)}`)
  const about = [
    subject === null ? '' : `subject ${subject}`,
    thread === null ? '' : `thread ${thread}`,
    actor === null ? '' : `actor ${actor}`,
  ]
  if (requested_by !== undefined) field(output, 'caused by', requested_by)
  if (about.some(text => text !== '')) field(output, '', about.filter(text => text !== '').join(', '))
}

function printGiven(output: Output, { cut_tools = [] }: Run, preview: RunPreview | undefined): void {
  if (preview === undefined) return
  if (preview.problem !== undefined) return field(output, 'problem', preview.problem)
  field(output, 'inputs', json(preview.inputs))
  if (preview.context_files !== undefined && preview.context_files.length > 0)
    field(output, 'files', listed(preview.context_files))
  const allowed =
    preview.allowed_tools === null || preview.allowed_tools === undefined
      ? 'all but the denied ones'
      : listed(preview.allowed_tools)
  field(output, 'tools', `allowed: ${allowed}\ndenied: ${listed(preview.denied_tools)}`)
  if (preview.allowed_denied_tools !== undefined && preview.allowed_denied_tools.length > 0)
    field(output, '', `allowed although denied: ${listed(preview.allowed_denied_tools)}`)
  if (cut_tools.length > 0)
    field(output, '', `removed: ${cut_tools.map(({ tool, reason }) => `${tool} (${reason})`).join(', ')}`)
}

function printState(output: Output, run: Run): void {
  const state = stateText(run)
  const style = stateStyle(run.state)
  output.line(
    `${paint(output, 'dim', 'state'.padEnd(dimWidth))}  ${style === undefined ? state : paint(output, style, state)}, since ${time(run.updated_at)}`,
  )
  if (run.waiting_for !== undefined) field(output, 'waiting', run.waiting_for)
  if (run.deadline_at !== undefined)
    field(output, 'deadline', `${run.deadline_name} at ${time(run.deadline_at)}`)
  if (run.error !== undefined) field(output, 'error', run.error)
  if (run.progress !== undefined)
    field(output, 'progress', `${progressText(run.progress)} at ${time(run.progress.at)}`)
  if (run.usage !== undefined) {
    const { input_tokens, output_tokens, cost_usd } = run.usage
    field(
      output,
      'used',
      `${amount(input_tokens)} tokens in, ${amount(output_tokens)} out, ${amount(cost_usd)} USD`,
    )
  }
}

/** The gates; of those that only were passed one line. */
function printGates(output: Output, gates: readonly Gate[]): void {
  const passed = gates.filter(({ verdict }) => verdict === 'pass').map(({ gate }) => gate)
  const others = gates
    .filter(({ verdict }) => verdict !== 'pass')
    .map(
      ({ gate, verdict, detail }) =>
        `${gate} ${verdict === 'hold' ? 'holds it' : 'stops it'}: ${shortened(detail, 200)}`,
    )
  if (gates.length > 0)
    field(
      output,
      'gates',
      [...(passed.length > 0 ? [`passed: ${passed.join(', ')}`] : []), ...others].join('\n'),
    )
}

/** What an attempt asked of its bot, in words; its body is for run.request. */
function asked({
  kind,
  method,
  url,
  headers = {},
  socket_path,
  argv = [],
  cwd,
  env = [],
  body_bytes,
}: MadeRequest): string {
  const body = `${amount(body_bytes)} bytes`
  if (kind === 'http')
    return `${method} ${url}, ${body}\n${Object.entries(headers)
      .map(([name, value]) => `${name}: ${value}`)
      .join('\n')}`
  if (kind === 'smtp') return `mail through ${url}, ${body}`
  if (kind === 'unix_rpc') return `${method} on ${socket_path}, params of ${body}`
  return `${argv.map(each => (/^[\w@%+=:,./-]+$/.test(each) ? each : JSON.stringify(each))).join(' ')}${cwd == null ? '' : ` in ${cwd}`}, ${body} on standard input\nvariables: ${env.join(', ')}`
}

/** The requests of attempts; those that are like the one before are not repeated. */
function printRequests(output: Output, attempts: readonly Attempt[]): void {
  let before = ''
  for (const { request } of attempts) {
    if (request === undefined) continue
    const { headers: _, body_sha256: _sha256, ...like } = request
    if (JSON.stringify(like) === before) continue
    before = JSON.stringify(like)
    field(output, 'request', cutLines(asked(request).split('\n')))
  }
}

function printAttempts(output: Output, attempts: readonly Attempt[]): void {
  for (const { number, started_at, ended_at, outcome, status, error } of attempts) {
    const seconds = ((ended_at - started_at) / 1000).toLocaleString('en-US', { maximumFractionDigits: 1 })
    field(
      output,
      `attempt ${number}`,
      `${outcome}${status === undefined ? '' : `, ${status}`}: at ${time(started_at)}, for ${seconds} s${error === undefined ? '' : `\n${error}`}`,
    )
  }
}

function printOutput(output: Output, parts: readonly OutputPart[]): void {
  const text = outputText(parts).replaceAll('\r', '\n')
  const lines = text.trimEnd().split('\n').slice(-mostLines)
  if (text.trim() !== '') field(output, 'output', cutLines(lines))
}

/** The commands that make sense for a run as it is. */
function nextCommands({ id, event_id, trigger_id, state, dead, attempt }: Run): string[] {
  const of = (...verbs: string[]): string[] => verbs.map(verb => `signalbox runs ${verb} ${id}`)
  const acts: Partial<Record<Run['state'], string[]>> = {
    awaiting_approval: of('approve', 'deny', 'update'),
    held: of('release', 'update', 'cancel'),
    pending: of('hold', 'update', 'cancel'),
    assigned: of('cancel'),
    running: of('logs -f', 'pause', 'cancel').map(text => text.replace(` -f ${id}`, ` ${id} -f`)),
    paused: of('resume', 'cancel'),
  }
  const seen = attempt > 0 && state !== 'running' ? of('logs') : []
  return [
    ...(dead ? [...seen, ...of('retry', 'discard')] : [...(acts[state] ?? []), ...seen]),
    `signalbox explain ${event_id} ${trigger_id}`,
  ]
}

function print(output: Output, { run, preview, attempts, parts, gates }: Shown): void {
  field(output, 'run', `${run.id}${run.replay ? ' (a replay)' : ''}`)
  field(
    output,
    'trigger',
    `${run.trigger_id}, version ${run.trigger_version}${run.workflow_id === null ? '' : `, workflow ${run.workflow_id}`}`,
  )
  field(
    output,
    'bot',
    `${run.bot_id ?? 'not chosen yet'}${run.queue === null || run.queue === run.bot_id ? '' : `, queue ${run.queue}`}, priority ${run.priority}`,
  )
  printEvent(output, run, preview)
  printState(output, run)
  printGates(output, gates)
  printGiven(output, run, preview)
  printRequests(output, attempts)
  printAttempts(output, attempts)
  printOutput(output, parts)
  if ('result' in run) field(output, 'result', json(run.result))
  field(output, 'next', nextCommands(run).join('\n'))
}

export function addShow(runs: Command, session: () => Session): void {
  runs
    .command('show <run>')
    .description('everything about one run (or "last"), and what can be done about it')
    .action(async (given: string) => {
      const current = session()
      const shown = await looked(current, await current.runId(given))
      if (!current.output.json) return print(current.output, shown)
      const { run, preview, attempts, parts, request, gates } = shown
      const { run: _run, ...given_to } = preview ?? { run }
      return current.output.line(
        JSON.stringify({ ...run, ...given_to, gates, attempts, last_output: parts, last_request: request }),
      )
    })
}
