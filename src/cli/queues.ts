// signalbox queues: where runs wait, how many at once, and in what order.
import type { Command } from 'commander'
import type { Queue, QueueInput } from '../client/client.ts'
import { record, shortened, table, time } from './output.ts'
import { everyPage, jsonFile, mostAtOnce, type Session } from './session.ts'

function limits({ max_active, max_pending, rate }: Queue): string {
  const words = [
    max_active === undefined ? '' : `${max_active} at once`,
    max_pending === undefined ? '' : `${max_pending} waiting`,
    rate === undefined ? '' : `${rate.limit} in ${rate.period_ms / 1000} s`,
  ]
  return words.filter(word => word !== '').join(', ') || '-'
}

/** A queue that was shown and edited names the version that it was. */
function written(file: unknown): { queue: QueueInput; version?: number } {
  const {
    version,
    created_at: _c,
    updated_at: _u,
    waiting: _w,
    active: _a,
    stuck: _s,
    ...queue
  } = file as Partial<Queue>
  return { queue: queue as QueueInput, ...(version === undefined || version === 0 ? {} : { version }) }
}

function addShow(queues: Command, session: () => Session): void {
  queues
    .command('show <queue>')
    .description('one queue, with its blocked order keys')
    .action(async (queue_id: string) => {
      const { output } = session()
      const { stuck = [], ...queue } = (await session().call('queue.get', { queue_id })).queue
      if (output.json) return output.line(JSON.stringify({ ...queue, stuck }))
      // A queue that was never written has no version and no times.
      const { version, created_at, updated_at, ...standing } = queue
      record(output, version === 0 ? standing : { ...standing, version, created_at, updated_at })
      if (stuck.length === 0) return undefined
      output.line('')
      return table(
        output,
        stuck,
        [
          { title: 'STUCK', value: each => (each.order_key === '' ? '""' : each.order_key) },
          { title: 'BEHIND', value: each => each.run_id },
          { title: 'STATE', value: each => each.state },
          { title: 'WAITING', value: each => String(each.waiting) },
          { title: 'SINCE', value: each => time(each.since) },
          { title: 'ERROR', value: each => shortened(each.error ?? '', 80) },
        ],
        '',
      )
    })
}

export function addQueues(program: Command, session: () => Session): void {
  const queues = program.command('queues').description('where runs wait')
  const show = (queue: Queue): void => record(session().output, queue)
  queues
    .command('list', { isDefault: true })
    .description('all queues; every bot has one of its own name')
    .action(async () => {
      const all = await everyPage(async cursor => {
        const { queues: page, next_cursor } = await session().call('queue.list', {
          limit: mostAtOnce,
          cursor,
        })
        return { page, next_cursor }
      })
      table(
        session().output,
        all,
        [
          { title: 'QUEUE', value: queue => queue.id },
          {
            title: 'STATE',
            value: queue => (queue.paused ? 'paused' : 'open'),
            style: queue => (queue.paused ? 'yellow' : 'green'),
          },
          { title: 'WAITING', value: queue => String(queue.waiting) },
          { title: 'ACTIVE', value: queue => String(queue.active) },
          { title: 'LIMITS', value: limits },
          { title: 'NOTE', value: queue => shortened(queue.paused_reason ?? '', 100) },
        ],
        'there are no queues',
      )
    })
  addShow(queues, session)
  queues
    .command('put <file>')
    .description('write a queue from JSON; - for standard input')
    .action(async (file: string) =>
      show((await session().call('queue.put', written(jsonFile(file, file)))).queue),
    )
  queues
    .command('delete <queue>')
    .description('delete a queue that no trigger names and no run waits in')
    .action(async (queue_id: string) => show((await session().call('queue.delete', { queue_id })).queue))
  queues
    .command('pause <queue>')
    .description('begin none of its runs for now')
    .option('-r, --reason <text>', 'why')
    .action(async (queue_id: string, { reason }: { reason?: string }) =>
      show((await session().call('queue.pause', { queue_id, reason })).queue),
    )
  queues
    .command('resume <queue>')
    .description('begin its runs again')
    .action(async (queue_id: string) => show((await session().call('queue.resume', { queue_id })).queue))
  queues
    .command('skip <queue> <order_key>')
    .description('let the runs behind a stuck one go')
    .action(async (queue_id: string, order_key: string) =>
      record(session().output, (await session().call('queue.skip', { queue_id, order_key })).run),
    )
}
