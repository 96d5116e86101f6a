// signalbox events refused: deliveries that the webhook intake refused.
import type { Command } from 'commander'
import type { RefusedDelivery } from '../client/client.ts'
import { table, time } from './output.ts'
import { wholeNumber, type Session } from './session.ts'
import { timeArgument } from './times.ts'

/** The source or the path of refused deliveries. */
export function placeOf({ source_id, path }: Pick<RefusedDelivery, 'source_id' | 'path'>): string {
  return source_id ?? path ?? '(no request)'
}

interface RefusedOptions {
  source?: string
  since?: number
  limit: number
  cursor?: string
}

export function addRefused(events: Command, session: () => Session): void {
  events
    .command('refused')
    .description('refused webhook deliveries, newest first; nothing of their bodies and headers is kept')
    .option('--source <id>', 'to one source')
    .option('--since <time>', 'refused since: 2h, 7d, or a date', timeArgument)
    .option('-n, --limit <count>', 'how many. Default: 20', wholeNumber, 20)
    .option('--cursor <text>', 'go on where an answer ended')
    .action(async ({ source, ...rest }: RefusedOptions) => {
      const current = session()
      const { output } = current
      const { refused, next_cursor } = await current.call('event.refused', { source_id: source, ...rest })
      table(
        output,
        refused,
        [
          { title: 'LAST', value: each => time(each.last_at) },
          { title: 'COUNT', value: each => each.count.toLocaleString('en-US') },
          { title: 'FIRST', value: each => (each.count === 1 ? '-' : time(each.first_at)) },
          { title: 'SOURCE OR PATH', value: placeOf },
          { title: 'STATUS', value: each => String(each.status ?? '-') },
          { title: 'BYTES', value: each => String(each.bytes ?? '-') },
          { title: 'ADDRESS', value: each => each.address ?? '-' },
          { title: 'REASON', value: each => `${each.title} (${each.reason})`, style: () => 'red' },
        ],
        'no refused deliveries',
      )
      if (next_cursor !== undefined && !output.json) output.line(`more with: --cursor ${next_cursor}`)
    })
}
