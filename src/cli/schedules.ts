// signalbox sources preview, ticks, fire and forget: schedules, events by hand, and items of polls.
import type { Command } from 'commander'
import type { Tick } from '../client/client.ts'
import { printEmitted } from './emit.ts'
import { record, table, time } from './output.ts'
import { jsonArgument, NoError, wholeNumber, type Session } from './session.ts'
import { timeArgument } from './times.ts'

const jumps: Record<string, string> = {
  after_gap: 'the clock leaves out the local time that was meant: right after it',
  first_of_two: 'the clock shows this local time twice: the first',
  second_of_two: 'the clock shows this local time twice: the second',
}

export function addSchedules(sources: Command, session: () => Session): void {
  sources
    .command('preview <expression>')
    .description('the next instants of a cron expression, and what it says in words')
    .option('-z, --timezone <zone>', 'IANA name, such as Europe/Berlin', 'UTC')
    .option('-n, --count <number>', 'how many', wholeNumber, 5)
    .option('--after <time>', 'after then: a date, or how long ago (2h, 7d). Default: now', timeArgument)
    .action(
      async (
        expression: string,
        { timezone, count, after }: { timezone: string; count: number; after?: number },
      ) => {
        const answer = await session().call('source.preview', { expression, timezone, count, after })
        const { output } = session()
        if (!output.json && answer.in_words !== undefined) output.line(answer.in_words)
        table(
          output,
          answer.ticks,
          [
            { title: `IN ${answer.timezone.toUpperCase()}`, value: tick => tick.local },
            { title: 'UTC', value: tick => new Date(tick.at).toISOString() },
            { title: 'NOTE', value: tick => jumps[tick.dst ?? ''] ?? '' },
          ],
          'it names no instant',
        )
      },
    )
  sources
    .command('ticks <source>')
    .description('what became of the instants of a schedule: fired, caught up, skipped and why')
    .option('--outcome <outcome>', 'fired, caught_up or skipped')
    .option('--since <time>', 'scheduled since: 2h, 7d, or a date', timeArgument)
    .option('-n, --limit <number>', 'how many at the most', wholeNumber, 20)
    .action(
      async (
        source_id: string,
        { outcome, since, limit }: { outcome?: Tick['outcome']; since?: number; limit: number },
      ) => {
        const { ticks } = await session().call('source.ticks', { source_id, limit, outcome, since })
        table(
          session().output,
          ticks,
          [
            { title: 'SCHEDULED', value: tick => time(tick.scheduled_at) },
            {
              title: 'OUTCOME',
              value: tick => tick.outcome,
              style: tick => (tick.outcome === 'skipped' ? 'yellow' : 'green'),
            },
            { title: 'DRIFT', value: tick => (tick.outcome === 'skipped' ? '-' : `${tick.drift_ms} ms`) },
            { title: 'EVENT', value: tick => tick.event_id ?? '-' },
            {
              title: 'NOTE',
              value: tick =>
                tick.reason === undefined
                  ? ''
                  : `${tick.count} up to ${time(tick.last_scheduled_at)}: ${tick.reason}`,
            },
          ],
          'no instant of it was due so far',
        )
      },
    )
  addByHand(sources, session)
}

function addByHand(sources: Command, session: () => Session): void {
  sources
    .command('fire <source> [payload]')
    .description('make an event of a manual source or a schedule by hand; payload is JSON, @file or -')
    .option('-s, --subject <subject>', 'what it is about')
    .action(async (source_id: string, payload: string | undefined, { subject }: { subject?: string }) => {
      const given =
        payload === undefined ? {} : { payload: jsonArgument(payload, 'payload') as Record<string, unknown> }
      printEmitted(session().output, await session().call('source.fire', { source_id, subject, ...given }))
    })
  sources
    .command('forget <source> <key>')
    .description('let an item of a poll come again')
    .action(async (source_id: string, key: string) => {
      const { output } = session()
      const { forgotten } = await session().call('source.forget', { source_id, key })
      if (!forgotten) throw new NoError(`source ${source_id} knows no item with the key ${key}`)
      record(output, { source_id, key, forgotten })
    })
}
