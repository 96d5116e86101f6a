// signalbox replay: make runs for events of the log.
import type { Command } from 'commander'
import { counted } from './output.ts'
import { UsageError, wholeNumber, type Session } from './session.ts'
import { timeArgument } from './times.ts'

/** Events that the router makes runs for in one answer. */
const mostReplayed = 1000

interface ReplayOptions {
  source?: string
  type?: string
  since?: number
  until?: number
  unmatched?: boolean
  trigger?: string
  all?: boolean
  dryRun?: boolean
  limit?: number
}

export function addReplay(program: Command, session: () => Session): void {
  program
    .command('replay [event]')
    .description('make the runs that an event (or "last"), or all that are selected, should start now')
    .option('--source <id>', 'events of one source')
    .option('--type <type>', 'events of one type')
    .option('--since <time>', 'received since: 2h, 7d, or a date', timeArgument)
    .option('--until <time>', 'received before', timeArgument)
    .option('--unmatched', 'only events that matched no trigger')
    .option('--trigger <id>', 'only runs of one trigger')
    .option('--all', 'also where there is such a run already')
    .option('--dry-run', 'only say what would be done')
    .option('-n, --limit <count>', 'events to make runs for, at the most', wholeNumber)
    .action(async (event_id: string | undefined, options: ReplayOptions) => {
      const { source, type, since, until, unmatched } = options
      const query = {
        source_id: source,
        type,
        since,
        until,
        ...(unmatched === true ? { matched: false } : {}),
      }
      const selects = Object.values(query).some(value => value !== undefined)
      if ((event_id === undefined) === !selects)
        throw new UsageError('give an event, or a selection such as --since 2h')
      const { output } = session()
      let left = options.limit ?? Infinity
      let looked_at = 0
      let runs = 0
      for (let cursor: string | undefined; ;) {
        const answer = await session().call('event.replay', {
          ...(event_id === undefined ? { query } : { event_id: await session().eventId(event_id) }),
          trigger_id: options.trigger,
          mode: options.all === true ? 'all' : 'missing',
          dry_run: options.dryRun === true,
          limit: Math.min(left, mostReplayed),
          ...(cursor === undefined ? {} : { cursor }),
        })
        if (output.json) output.line(JSON.stringify(answer))
        else for (const plan of answer.planned) output.line(`${plan.event_id}  ${plan.trigger_id}`)
        looked_at += answer.events
        runs += answer.dry_run ? answer.planned.length : answer.runs.length
        left -= new Set(answer.planned.map(plan => plan.event_id)).size
        cursor = answer.next_cursor
        if (cursor === undefined || left <= 0) {
          if (!output.json) output.line(summary(options, looked_at, runs, cursor !== undefined))
          return
        }
      }
    })
}

function summary({ all, dryRun }: ReplayOptions, looked_at: number, runs: number, more: boolean): string {
  const none = runs === 0 && all !== true ? ' (none is missing; --all creates them again)' : ''
  const made = dryRun === true ? 'would be' : runs === 1 ? 'was' : 'were'
  return `${counted(looked_at, 'event')} looked at, ${counted(runs, 'run')} ${made} made${none}${more ? '; stopped at --limit, events are left' : ''}`
}
