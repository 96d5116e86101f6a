// signalbox backtest: what a draft would have matched, before it is enabled.
import type { Command } from 'commander'
import type { BacktestReport, BacktestSample, DraftTrigger } from '../client/client.ts'
import { paint, plain, shortened, table, time, type Output } from './output.ts'
import { jsonArgument, NoError, UsageError, wholeNumber, type Session } from './session.ts'
import { timeArgument } from './times.ts'

interface BacktestOptions {
  filter?: string
  draft?: string
  atVersion?: number
  since?: number
  until?: number
  limit?: number
  samples?: number
}

const leastForPace = 10_000
const count = (number: number): string => number.toLocaleString('en-US')

function percent(part: number, whole: number): string {
  return whole === 0 ? '-' : `${((100 * part) / whole).toFixed(1)} %`
}

function printSamples(output: Output, title: string, samples: readonly BacktestSample[]): void {
  if (samples.length === 0) return
  output.line(title)
  for (const { event_id, received_at, type, subject, failing = [], hint, inputs, inputs_error } of samples) {
    const why =
      failing.length === 0
        ? ''
        : `  ${paint(output, 'red', '✗')} ${failing.map(path => shortened(path)).join(', ')}${hint === undefined ? '' : `; did you mean ${shortened(hint)}?`}`
    output.line(`  ${event_id}  ${time(received_at)}  ${plain(type)}  ${shortened(subject ?? '-')}${why}`)
    if (inputs !== undefined)
      output.line(paint(output, 'dim', `    inputs ${shortened(JSON.stringify(inputs), 200)}`))
    if (inputs_error !== undefined)
      output.line(paint(output, 'red', plain(`    the inputs cannot be made: ${inputs_error}`)))
  }
}

/** A report for people: the counts, the difference from the live version, the samples. */
export function printReport(output: Output, report: BacktestReport): void {
  const { scanned, matched, difference, samples, took_ms } = report
  // Of few events the start of the thread is most of it.
  const pace = scanned < leastForPace ? '' : `, ${count(Math.round((scanned * 1000) / took_ms))} a second`
  const end = report.stopped
    ? '; stopped before its end'
    : report.more
      ? '; older events were left out by the limit'
      : ''
  output.line(
    `${paint(output, 'bold', `${count(matched)} of ${count(scanned)} events matched`)} (${percent(matched, scanned)}${pace}${end})`,
  )
  if (difference !== undefined) {
    const { live_version, added, removed } = difference
    const change =
      added + removed === 0
        ? 'no difference'
        : `${paint(output, 'green', `+${count(added)}`)} ${paint(output, 'red', `−${count(removed)}`)}`
    output.line(`against the live version ${live_version}: ${change}`)
  }
  if (scanned === 0) return
  const columns = [
    { title: 'MATCHED', value: (row: { matched: number }): string => count(row.matched) },
    { title: 'OF', value: (row: { scanned: number }): string => count(row.scanned) },
  ]
  table(output, report.by_type, [{ title: 'TYPE', value: row => row.type }, ...columns], '')
  table(output, report.by_day, [{ title: 'DAY', value: row => row.day }, ...columns], '')
  printSamples(output, 'added', difference?.added_samples ?? [])
  printSamples(output, 'lost', difference?.removed_samples ?? [])
  printSamples(output, 'matched', samples.matched)
  printSamples(output, 'not matched, the nearest of the newest', samples.unmatched)
}

/** A bar on standard error, while that is a terminal; it wipes itself out at the end. */
function progressBar(output: Output): { show: (progress: Record<string, unknown>) => void; end: () => void } {
  const shows = process.stderr.isTTY && !output.json
  return {
    show: ({ scanned, matched, total }) => {
      if (!shows || typeof scanned !== 'number' || typeof total !== 'number') return
      const done = Math.min(20, Math.round((20 * scanned) / Math.max(1, total)))
      process.stderr.write(
        `\r${'█'.repeat(done)}${'░'.repeat(20 - done)} ${count(scanned)} of at most ${count(total)} events, ${count(Number(matched))} matched, Ctrl-C stops`,
      )
    },
    end: () => void (shows && process.stderr.write('\r\x1b[K')),
  }
}

/** Runs a backtest with a bar; Ctrl-C stops it and shows what it has. */
async function run(current: Session, params: Parameters<typeof asked>[1]): Promise<BacktestReport> {
  const bar = progressBar(current.output)
  const stopping = new AbortController()
  const stop = (): void => stopping.abort()
  process.once('SIGINT', stop)
  try {
    return await asked(current, params, stopping.signal, bar.show)
  } finally {
    process.off('SIGINT', stop)
    bar.end()
  }
}

function asked(
  current: Session,
  params: {
    trigger_id?: string
    filter?: Record<string, unknown>
    trigger?: DraftTrigger
    version?: number
    since?: number
    until?: number
    limit?: number
    samples?: number
  },
  signal: AbortSignal,
  onProgress: (progress: Record<string, unknown>) => void,
): Promise<BacktestReport> {
  return current.call('trigger.backtest', { ...params, progress: true }, { signal, onProgress })
}

export function addBacktest(program: Command, session: () => Session): void {
  program
    .command('backtest [trigger]')
    .description(
      'run a stored trigger, a filter or a draft against the log: what it would have matched; starts nothing',
    )
    .option('-f, --filter <json>', 'a filter; @file for a file')
    .option('-d, --draft <json>', 'a whole trigger, compared with the stored one of its id; @file for a file')
    .option(
      '--at-version <number>',
      'the stored trigger as it was at a version, compared with the current version',
      wholeNumber,
    )
    .option('--since <time>', 'received since: 2h, 7d, or a date', timeArgument)
    .option('--until <time>', 'received before', timeArgument)
    .option('-n, --limit <count>', 'the newest events, so many at the most', wholeNumber)
    .option('--samples <count>', 'events to show of each kind', wholeNumber)
    .action(
      async (trigger_id: string | undefined, { filter, draft, atVersion, ...range }: BacktestOptions) => {
        if ([trigger_id, filter, draft].filter(each => each !== undefined).length !== 1)
          throw new UsageError('give one of a trigger, --filter and --draft')
        if (atVersion !== undefined && trigger_id === undefined)
          throw new UsageError('--at-version is of a stored trigger')
        const current = session()
        const report = await run(current, {
          ...range,
          ...(trigger_id === undefined ? {} : { trigger_id, version: atVersion }),
          ...(filter === undefined
            ? {}
            : { filter: jsonArgument(filter, 'the filter') as Record<string, unknown> }),
          ...(draft === undefined ? {} : { trigger: jsonArgument(draft, 'the draft') as DraftTrigger }),
        })
        if (current.output.json) current.output.line(JSON.stringify(report))
        else printReport(current.output, report)
        if (report.stopped) throw new NoError('')
      },
    )
}
