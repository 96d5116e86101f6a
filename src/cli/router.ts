// signalbox pause, resume, backup and stats: the router as a whole.
import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { BudgetUse, RouterStatsResult, UsageTotals } from '../client/client.ts'
import { plain, table, time, type Output } from './output.ts'
import { type Session } from './session.ts'
import { timeArgument } from './times.ts'

type Counts = Partial<RouterStatsResult['triggers'][number]> & RouterStatsResult['queues'][number]
const hourMs = 3_600_000

export function amount(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 6 })
}

/** Such as 12 in, 3 out, 0.5 USD (1 unreported): runs that reported nothing are counted behind it; alone where no run reported. */
export function usage(used: UsageTotals | undefined): string {
  if (used === undefined) return '-'
  if (used.input_tokens + used.output_tokens + used.cost_usd === 0 && used.unreported > 0)
    return `${used.unreported} unreported`
  const silent = used.unreported === 0 ? '' : ` (${used.unreported} unreported)`
  return `${amount(used.input_tokens)} in, ${amount(used.output_tokens)} out, ${amount(used.cost_usd)} USD${silent}`
}

function period(ms: number): string {
  return ms % hourMs === 0 ? `${ms / hourMs} h` : `${ms / 60_000} min`
}

function budgets(uses: readonly BudgetUse[] | undefined): string {
  if (uses === undefined) return '-'
  return uses
    .map(each => `${amount(each.used)}/${amount(each.limit)} ${each.figure} in ${period(each.period_ms)}`)
    .join(', ')
}

function milliseconds(times: { average_ms: number; p95_ms: number } | undefined): string {
  return times === undefined ? '-' : `${times.average_ms}/${times.p95_ms}`
}

function print(output: Output, title: string, rows: readonly Counts[]): void {
  table(
    output,
    rows,
    [
      { title, value: row => row.id ?? '(none yet)' },
      { title: 'WAITING', value: row => String(row.waiting) },
      { title: 'OLDEST', value: row => time(row.oldest_waiting_at) },
      { title: 'ACTIVE', value: row => String(row.active) },
      { title: 'DONE', value: row => String(row.done) },
      { title: 'FAILED', value: row => String(row.failed) },
      { title: 'DEAD', value: row => String(row.dead), style: row => (row.dead > 0 ? 'red' : undefined) },
      { title: 'START MS (P95)', value: row => milliseconds(row.start) },
      { title: 'FINISH MS (P95)', value: row => milliseconds(row.finish) },
      { title: 'USED', value: row => usage(row.usage) },
      {
        title: 'BUDGET',
        value: row => budgets(row.budgets),
      },
    ],
    'none',
  )
}

function refused({ count, sources }: RouterStatsResult['refused']): string {
  const named = sources.map(each => `${each.id ?? 'no source'} ${amount(each.count)}`).join(', ')
  return `refused deliveries: ${amount(count)} (${named}); signalbox events refused lists them`
}

export function addRouter(program: Command, session: () => Session): void {
  program
    .command('pause')
    .description('stop all dispatching; events are still logged, and runs wait')
    .option('-r, --reason <text>', 'why')
    .action(async ({ reason }: { reason?: string }) => {
      await session().call('router.pause', { reason })
      session().output.line(
        session().output.json ? '{"paused":true}' : 'dispatching is paused; signalbox resume lets it go on',
      )
    })
  program
    .command('resume')
    .description('dispatch again')
    .action(async () => {
      await session().call('router.resume', {})
      session().output.line(session().output.json ? '{"paused":false}' : 'dispatching goes on')
    })
  program
    .command('backup <file>')
    .description(
      'copy the database while the router runs; the copy is checked, and is a state directory’s signalbox.db',
    )
    .option('--with-output', 'copy the output of runs, too')
    .action(async (file: string, { withOutput = false }: { withOutput?: boolean }) => {
      const { output } = session()
      const made = await session().call('router.backup', { path: resolve(file), with_output: withOutput })
      if (output.json) return output.line(JSON.stringify(made))
      return output.line(
        `${plain(made.path)}: ${made.bytes.toLocaleString('en-US')} bytes, ${made.events} events, ${made.runs} runs, checked`,
      )
    })
  program
    .command('stats')
    .description('what waits, runs and ended, by queue, bot and trigger')
    .option('--since <time>', 'what ended since: 2h, 7d, or a date; default: a day ago', timeArgument)
    .action(async ({ since }: { since?: number }) => {
      const { output } = session()
      const stats = await session().call('router.stats', { since })
      if (output.json) return output.line(JSON.stringify(stats))
      print(output, 'QUEUE', stats.queues)
      output.line('')
      print(output, 'BOT', stats.bots)
      output.line('')
      print(output, 'TRIGGER', stats.triggers)
      output.line('')
      if (stats.refused.count > 0) output.line(refused(stats.refused))
      if (stats.usage !== undefined || stats.budgets !== undefined)
        output.line(`all runs: used ${usage(stats.usage)}; budgets ${budgets(stats.budgets)}`)
      return output.line(
        `${stats.runs.toLocaleString('en-US')} ended runs since ${time(stats.since)}; FAILED are those that were cancelled or discarded, too; times are average/p95 from when a run was made`,
      )
    })
}
