// signalbox sources: where events come from.
import type { Command } from 'commander'
import type { Source, SourceInput } from '../client/client.ts'
import { record, table, time, type Column } from './output.ts'
import { addSchedules } from './schedules.ts'
import { everyPage, jsonFile, mostAtOnce, type Session } from './session.ts'

function state({ enabled, health }: Source): string {
  if (!enabled) return 'disabled'
  return (health?.failures ?? 0) > 0 ? `failing (${health!.failures})` : 'enabled'
}

/** A column for refused deliveries, where there are any. */
function refusedColumn(all: readonly Source[]): Column<Source>[] {
  if (all.every(({ refused }) => refused === undefined)) return []
  return [
    {
      title: 'REFUSED',
      value: ({ refused }) => refused?.count.toLocaleString('en-US') ?? '-',
      style: ({ refused }) => (refused === undefined ? undefined : 'red'),
    },
  ]
}

export function addSources(program: Command, session: () => Session): void {
  const sources = program.command('sources').description('where events come from')
  const show = (source: Source): void => record(session().output, source)
  sources
    .command('list', { isDefault: true })
    .description('all sources')
    .action(async () => {
      const all = await everyPage(async cursor => {
        const { sources: page, next_cursor } = await session().call('source.list', {
          limit: mostAtOnce,
          cursor,
        })
        return { page, next_cursor }
      })
      table(
        session().output,
        all,
        [
          { title: 'SOURCE', value: source => source.id },
          {
            title: 'TYPE',
            value: source =>
              `${source.source_type}${typeof source.config.provider === 'string' ? `/${source.config.provider}` : ''}`,
          },
          {
            title: 'STATE',
            value: state,
            style: source => (state(source) === 'enabled' ? 'green' : 'yellow'),
          },
          { title: 'EVENTS', value: source => String(source.event_count ?? 0) },
          { title: 'LAST EVENT', value: source => time(source.last_event_at) },
          ...refusedColumn(all),
          { title: 'NEXT', value: source => time(source.next_at) },
          { title: 'NOTE', value: source => source.webhook_path ?? source.health?.error ?? '' },
        ],
        'there are no sources; write one with: signalbox register file.json',
      )
    })
  sources
    .command('show <source>')
    .description('one source')
    .action(async (source_id: string) => show((await session().call('source.get', { source_id })).source))
  sources
    .command('put <file>')
    .description('write a source from JSON; - for standard input')
    .action(async (file: string) =>
      show((await session().call('source.put', { source: jsonFile(file, file) as SourceInput })).source),
    )
  sources
    .command('delete <source>')
    .description('delete a source')
    .action(async (source_id: string) => show((await session().call('source.delete', { source_id })).source))
  sources
    .command('enable <source>')
    .description('let a source take events again')
    .action(async (source_id: string) => show((await session().call('source.enable', { source_id })).source))
  sources
    .command('disable <source>')
    .description('refuse its events for now')
    .action(async (source_id: string) => show((await session().call('source.disable', { source_id })).source))
  addSchedules(sources, session)
}
