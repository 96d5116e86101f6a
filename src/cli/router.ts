// signalbox pause, resume, backup and stats: the router as a whole.
import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { RouterStatsResult } from '../client/client.ts'
import { table, time, type Output } from './output.ts'
import { timeArgument, type Session } from './session.ts'

type Counts = RouterStatsResult['triggers'][number]

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
      {
        title: 'BUDGET',
        value: row => (row.budget === undefined ? '-' : `${row.budget.runs}/${row.budget.of} ${row.budget.period === 'hour' ? 'an hour' : 'a day'}`),
      },
    ],
    'none',
  )
}

export function addRouter(program: Command, session: () => Session): void {
  program
    .command('pause')
    .description('stop all dispatching; events are still logged, and runs wait')
    .option('-r, --reason <text>', 'why')
    .action(async ({ reason }: { reason?: string }) => {
      await session().call('router.pause', { reason })
      session().output.line(session().output.json ? '{"paused":true}' : 'dispatching is paused; signalbox resume lets it go on')
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
    .description('copy the database while the router runs; the copy is checked, and is a state directory’s signalbox.db')
    .action(async (file: string) => {
      const { output } = session()
      const made = await session().call('router.backup', { path: resolve(file) })
      if (output.json) return output.line(JSON.stringify(made))
      return output.line(`${made.path}: ${made.bytes.toLocaleString('en-US')} bytes, ${made.events} events, ${made.runs} runs, checked`)
    })
  program
    .command('stats')
    .description('what waits, runs and ended, by queue, bot and trigger')
    .option('--since <time>', 'what ended since: 2h, 7d, or a date; a day ago unless said', timeArgument)
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
      return output.line(
        `${stats.runs.toLocaleString('en-US')} ended runs since ${time(stats.since)}; FAILED are those that were cancelled or discarded, too; times are average/p95 from when a run was made`,
      )
    })
}
