// signalbox status: the router at a glance, and for everything that needs a person the command that helps.
import { setTimeout as pause } from 'node:timers/promises'
import type { Command } from 'commander'
import type {
  Bot,
  EventStat,
  RouterStatsResult,
  RouterStatusResult,
  RpcHealthResult,
  Run,
  Source,
  Trigger,
} from '../client/client.ts'
import { shownId } from './ids.ts'
import { paint, plain, shortened, time, type Output, type Style } from './output.ts'
import { outputText, progressText } from './run-text.ts'
import { everyPage, isNotFound, mostAtOnce, UsageError, type Session } from './session.ts'

const minuteMs = 60_000
const dayMs = 86_400_000
/** Over which events a minute are counted. */
const rateMs = 5 * minuteMs
const mostRuns = 10
const mostSchedules = 5
/** A pull bot whose workers have not called for this long is silent. */
const silentMs = 10 * minuteMs
const lastLineBytes = 4096
const redrawMs = 1000

type Listed = Record<'running' | 'awaiting_approval' | 'held' | 'pending' | 'failed', Run[]>

interface Status {
  status: RouterStatusResult
  health: RpcHealthResult
  stats: RouterStatsResult
  sources: Source[]
  /** those that are paused */
  triggers: Trigger[]
  runs: Listed
  /** what running and failed runs printed last, by run */
  lines: Record<string, string>
}

/** Such as 45 s, 12 min, 3 h 5 min, 2 d 4 h. */
function lasting(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 120) return `${seconds} s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 120) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return `${hours} h${minutes % 60 === 0 ? '' : ` ${minutes % 60} min`}`
  return `${Math.floor(hours / 24)} d${hours % 24 === 0 ? '' : ` ${hours % 24} h`}`
}

/** The last line of a run's output that is not empty. */
async function lastLine(session: Session, { id, attempt }: Run): Promise<string> {
  if (attempt === 0) return ''
  const { parts } = await session.call('run.output', { run_id: id, last_bytes: lastLineBytes })
  return outputText(parts)
    .trimEnd()
    .split(/[\n\r]/)
    .at(-1)!
    .trim()
}

/** The answer about a run; undefined if retention has removed the run since it was listed. */
async function whereKept<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked
  } catch (error) {
    if (isNotFound(error)) return undefined
    throw error
  }
}

async function looked(session: Session, now: number): Promise<Status> {
  const list = async (params: Parameters<typeof session.call<'run.list'>>[1]): Promise<Run[]> =>
    (await session.call('run.list', { limit: mostRuns + 1, ...params })).runs
  const [status, health, stats, sources, triggers, running, awaiting_approval, held, pending, failed] =
    await Promise.all([
      session.call('router.status', {}),
      session.call('rpc.health', {}),
      session.call('router.stats', { since: now - rateMs }),
      everyPage(async cursor => {
        const { sources: page, next_cursor } = await session.call('source.list', {
          limit: mostAtOnce,
          cursor,
        })
        return { page, next_cursor }
      }),
      everyPage(async cursor => {
        const { triggers: page, next_cursor } = await session.call('trigger.list', {
          limit: mostAtOnce,
          cursor,
        })
        return { page: page.filter(trigger => trigger.paused === true), next_cursor }
      }),
      list({ state: 'running' }),
      list({ state: 'awaiting_approval' }),
      list({ state: 'held' }),
      list({ state: 'pending' }),
      list({ failed: true, since: now - dayMs }),
    ])
  const told = [...running.slice(0, mostRuns), ...failed.slice(0, mostRuns)]
  // A list has no progress. A run that has been removed in the meantime is shown as it was listed.
  const whole = await Promise.all(
    running.map(async run => (await whereKept(session.call('run.get', { run_id: run.id })))?.run ?? run),
  )
  const lines = await Promise.all(
    told.map(async run => [run.id, (await whereKept(lastLine(session, run))) ?? ''] as const),
  )
  return {
    status,
    health,
    stats,
    sources,
    triggers,
    runs: { running: whole, awaiting_approval, held, pending, failed },
    lines: Object.fromEntries(lines),
  }
}

type Line = string | { text: string; style: Style | undefined }

function head({ status, health }: Status): Line[] {
  const wrong = health.checks.filter(check => !check.ok)
  const line = `signalbox ${status.version}, up ${lasting(status.uptime_ms)}: ${health.status}`
  return [
    { text: line, style: wrong.length > 0 ? 'red' : 'green' },
    ...wrong.map(({ name, detail }): Line => ({
      text: `  ${name}: ${detail}; signalbox doctor`,
      style: 'red',
    })),
    ...(status.paused === undefined
      ? []
      : [{ text: `  dispatching is paused (${status.paused}): signalbox resume`, style: 'yellow' } as const]),
    ...status.warnings.map((warning): Line => ({ text: `  ${shortened(warning, 200)}`, style: 'yellow' })),
  ]
}

function rate(count: number): string {
  const perMinute = count / (rateMs / minuteMs)
  return perMinute.toLocaleString('en-US', { maximumFractionDigits: perMinute < 10 ? 1 : 0 })
}

function bytes(amount: number): string {
  const mib = amount / 1_048_576
  return mib >= 10_240
    ? `${Math.round(mib / 1024).toLocaleString('en-US')} GiB`
    : `${Math.round(mib).toLocaleString('en-US')} MiB`
}

function figures({ status: { store, events, runs }, stats }: Status): Line[] {
  const total = stats.events.reduce((sum, each) => sum + each.count, 0)
  const by = ({ source_id, count }: EventStat): string => `${source_id} ${rate(count)}`
  const sources = stats.events.length === 0 ? '' : `: ${stats.events.slice(0, 8).map(by).join(', ')}`
  const { refused } = stats
  const since = events.oldest_at === undefined ? '' : `, since ${time(events.oldest_at)}`
  return [
    `events    ${rate(total)} a minute in the last ${lasting(rateMs)}${sources}`,
    refused.count === 0
      ? `refused   no delivery in the last ${lasting(rateMs)}`
      : {
          text: `refused   ${refused.count.toLocaleString('en-US')} ${refused.count === 1 ? 'delivery' : 'deliveries'} in the last ${lasting(rateMs)}: signalbox events refused`,
          style: 'yellow',
        },
    `runs      ${runs.running} running, ${runs.pending} pending, ${runs.held} held or waiting for an approval, ${runs.dead} dead`,
    {
      text: `disk      ${bytes(store.database_bytes)} in the database, ${bytes(store.free_bytes)} free; events are kept ${lasting(events.kept_ms)}${since}`,
      style: store.full ? 'red' : undefined,
    },
  ]
}

/** A title with what is listed below it, and how to see the rest. */
function section(title: string, runs: readonly Run[], more: string, lines: (run: Run) => Line[]): Line[] {
  if (runs.length === 0) return []
  const rest: Line[] = runs.length > mostRuns ? [{ text: `  more: ${more}`, style: 'dim' }] : []
  return ['', { text: title, style: 'bold' }, ...runs.slice(0, mostRuns).flatMap(lines), ...rest]
}

function named({ id, trigger_id, bot_id }: Run): string {
  return `  ${id}  ${trigger_id}${bot_id === null || bot_id === trigger_id ? '' : ` → ${bot_id}`}`
}

function help(command: string): Line {
  return { text: `      ${command}`, style: 'dim' }
}

/** Such as ", 40 % half way". */
function progress({ progress: said }: Run): string {
  return said === undefined
    ? ''
    : `, ${progressText({ ...said, message: shortened(said.message ?? '', 80) })}`
}

function running({ runs, lines }: Status, now: number): Line[] {
  return section('running', runs.running, 'signalbox runs list --state running', run => {
    const line = lines[run.id] ?? ''
    return [
      `${named(run)}, attempt ${run.attempt}, for ${lasting(now - run.updated_at)}${progress(run)}`,
      ...(line === '' ? [] : [`      ${shortened(line, 150)}`]),
    ]
  })
}

function waiting({ runs }: Status): Line[] {
  const why = (run: Run): Line[] => [
    `${named(run)}: ${shortened(run.waiting_for ?? `due at ${time(run.not_before)}`, 150)}`,
  ]
  return [
    ...section(
      'waiting for an approval',
      runs.awaiting_approval,
      'signalbox runs list --state awaiting_approval',
      run => [
        `${named(run)}${run.deadline_at === undefined ? '' : `, until ${time(run.deadline_at)}`}`,
        help(`signalbox runs approve ${run.id}`),
      ],
    ),
    ...section('held', runs.held, 'signalbox runs list --state held', run => [
      ...why(run),
      help(`signalbox runs release ${run.id}`),
    ]),
    ...section('pending', runs.pending, 'signalbox runs list --state pending', why),
  ]
}

function failed({ runs, lines }: Status): Line[] {
  return section('failed in the last day', runs.failed, 'signalbox runs list --failed --since 1d', run => [
    {
      text: `${named(run)}, ${time(run.finished_at)}: ${shortened(run.error ?? run.state, 200)}`,
      style: 'red',
    },
    ...((run.error ?? '').includes(lines[run.id] ?? '') ? [] : [`      ${shortened(lines[run.id], 150)}`]),
    help(`signalbox runs logs ${run.id}${run.dead ? `   then signalbox runs retry ${run.id}` : ''}`),
  ])
}

function pausedTriggers({ triggers }: Status): Line[] {
  if (triggers.length === 0) return []
  return [
    '',
    { text: 'paused triggers', style: 'bold' },
    ...triggers.map(({ id, paused_reason, paused_at }): Line => ({
      text: `  ${id} since ${time(paused_at)}${paused_reason === undefined ? '' : ` (${shortened(paused_reason, 100)})`}: signalbox triggers resume ${id}`,
      style: 'yellow',
    })),
  ]
}

/** Why a bot needs a look; undefined: it does not. */
function complaint(bot: Bot, now: number): string | undefined {
  if (!bot.enabled) return `is disabled${bot.disabled_reason === undefined ? '' : `: ${bot.disabled_reason}`}`
  if (bot.health !== undefined && bot.health.state !== 'closed')
    return `failed ${bot.health.consecutive_failures} times: its runs wait`
  if (bot.health !== undefined && bot.health.consecutive_failures > 0)
    return `failed ${bot.health.consecutive_failures} times`
  if (bot.drained === true)
    return `is drained${bot.drained_reason === undefined ? '' : `: ${bot.drained_reason}`}`
  if (bot.availability !== undefined && bot.availability !== 'ready')
    return `is ${bot.availability}${bot.availability_reason === undefined ? '' : `: ${bot.availability_reason}`}`
  if (bot.endpoint.kind !== 'pull') return undefined
  if (bot.last_heard_at === undefined) return 'has workers, and none was heard of since the router started'
  return now - bot.last_heard_at > silentMs ? `is silent for ${lasting(now - bot.last_heard_at)}` : undefined
}

function bots({ status }: Status, now: number): Line[] {
  const found = status.bots.flatMap(bot => {
    const why = complaint(bot, now)
    return why === undefined
      ? []
      : [
          {
            text: `  ${bot.id} ${shortened(why, 150)}: signalbox bots show ${bot.id}`,
            style: 'yellow',
          } as const,
        ]
  })
  return found.length === 0 ? [] : ['', { text: 'bots', style: 'bold' }, ...found]
}

function schedules({ sources }: Status, now: number): Line[] {
  const next = sources
    .filter(source => source.next_at !== undefined && source.enabled)
    .toSorted((a, b) => a.next_at! - b.next_at!)
  if (next.length === 0) return []
  const rest: Line[] =
    next.length > mostSchedules ? [{ text: '  more: signalbox sources', style: 'dim' }] : []
  return [
    '',
    { text: 'next', style: 'bold' },
    ...next
      .slice(0, mostSchedules)
      .map(({ id, next_at }) => `  ${id} at ${time(next_at)}, in ${lasting(next_at! - now)}`),
    ...rest,
  ]
}

/** Ids in their short form: the commands accept what is copied from a terminal. */
function withShownIds(output: Output, status: Status): Status {
  const shownOf = (runs: readonly Run[]): Run[] => runs.map(run => ({ ...run, id: shownId(output, run.id) }))
  const runs = Object.fromEntries(
    Object.entries(status.runs).map(([state, each]) => [state, shownOf(each)]),
  ) as unknown as Listed
  return {
    ...status,
    runs,
    lines: Object.fromEntries(Object.entries(status.lines).map(([id, line]) => [shownId(output, id), line])),
  }
}

/** The status as lines, no longer than the width. */
function shown(output: Output, status: Status, now: number, width = Infinity): string[] {
  const found = withShownIds(output, status)
  const lines = [
    ...head(found),
    ...figures(found),
    ...running(found, now),
    ...waiting(found),
    ...failed(found),
    ...pausedTriggers(found),
    ...bots(found, now),
    ...schedules(found, now),
  ]
  return lines.map(line => {
    const { text, style } = typeof line === 'string' ? { text: line, style: undefined } : line
    const cut = plain(text).slice(0, width)
    return style === undefined ? cut : paint(output, style, cut)
  })
}

const home = '\u001b[H'
const clearLine = '\u001b[K'
const clearBelow = '\u001b[J'

/** Draws the status over the one before, until the router goes away or the program is ended. */
async function watch(session: Session): Promise<never> {
  process.once('SIGINT', () => process.exit(0))
  process.stdout.write(`${home}${clearBelow}`)
  for (;;) {
    const now = Date.now()
    const { rows, columns } = process.stdout
    const lines = shown(session.output, await looked(session, now), now, columns)
    const fitting =
      lines.length < rows ? lines : [...lines.slice(0, rows - 2), `... ${lines.length - rows + 2} more lines`]
    process.stdout.write(`${home}${fitting.map(line => `${line}${clearLine}\n`).join('')}${clearBelow}`)
    await pause(redrawMs)
  }
}

/** For programs: what the text is made of. */
function asJson({ status, health, stats, sources, triggers, runs, lines }: Status): object {
  const next = sources.flatMap(({ id, next_at }) =>
    next_at === undefined ? [] : [{ source_id: id, next_at }],
  )
  return {
    status,
    health,
    events: stats.events,
    refused: stats.refused,
    runs,
    last_lines: lines,
    paused_triggers: triggers.map(({ id }) => id),
    next,
  }
}

export function addStatus(program: Command, session: () => Session): void {
  program
    .command('status')
    .description('the router at a glance: what runs, waits and failed, and the commands that help')
    .option('-w, --watch', 'draw it again each second, on a terminal')
    .action(async ({ watch: isWatched }: { watch?: true }) => {
      const current = session()
      const { output } = current
      if (isWatched === true) {
        if (!process.stdout.isTTY || output.json)
          throw new UsageError('--watch draws on a terminal; for a program use: signalbox --json status')
        return watch(current)
      }
      const now = Date.now()
      const found = await looked(current, now)
      if (output.json) return output.line(JSON.stringify(asJson(found)))
      for (const line of shown(output, found, now)) output.line(line)
      return undefined
    })
}
