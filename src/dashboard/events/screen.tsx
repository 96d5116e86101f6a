// Every event, live, newest first. What is shown is in the address.
import type { JSX } from 'preact'
import type { EventQueryParams, EventSummary } from '../../contract/types.ts'
import EventScreen from '../event/screen.tsx'
import { Copy, CopyCommand, Empty, Head, Lamp, Problem, Time, Untrusted } from '../parts/basic.tsx'
import type { Column } from '../parts/list.tsx'
import { LiveList } from '../parts/live-list.tsx'
import { href, place } from '../router.ts'
import { call } from '../rpc.ts'
import type { ScreenProps } from '../screens.ts'
import { status } from '../status.ts'
import type { LogSource } from '../stream/live-log.ts'
import { plural } from '../text.ts'
import { Filters } from './filters.tsx'
import { commandOf, isSelected, isSimple, selectionOf } from './selection.ts'

function Outcome({ event: { matched_triggers, redelivery_of } }: { event: EventSummary }): JSX.Element {
  if (matched_triggers === null) return <Lamp kind="stop">damaged</Lamp>
  if (matched_triggers.length > 0)
    return (
      <Lamp kind="clear">
        {matched_triggers.length === 1 ? matched_triggers[0] : plural(matched_triggers.length, 'trigger')}
      </Lamp>
    )
  return <Lamp kind="miss">{redelivery_of == null ? 'no match' : 'redelivery'}</Lamp>
}

const columns: Column<EventSummary>[] = [
  { title: 'Time', width: '150px', narrow: '62px', cell: ({ received_at }) => <Time at={received_at} /> },
  { title: 'Source', width: 'minmax(70px, 130px)', cell: ({ source_id }) => source_id, wide: true },
  {
    title: 'Type',
    width: 'minmax(90px, 1fr)',
    narrow: 'minmax(0, 1fr)',
    cell: ({ type }) => <Untrusted text={type} />,
  },
  {
    title: 'About',
    width: 'minmax(90px, 1.4fr)',
    narrow: 'minmax(0, 1fr)',
    cell: ({ thread, subject }) => <Untrusted text={thread ?? subject ?? ''} />,
  },
  {
    title: 'By',
    width: 'minmax(60px, 110px)',
    cell: ({ actor }) => <Untrusted text={actor ?? ''} />,
    wide: true,
  },
  {
    title: 'Outcome',
    width: 'minmax(110px, 1fr)',
    narrow: 'minmax(0, 1.2fr)',
    cell: event => <Outcome event={event} />,
  },
]

function Teach(): JSX.Element {
  const address = status.value?.intake_address
  const line = `curl -H 'content-type: application/json' -d '{"hello":"world"}' http://${address ?? '127.0.0.1:8020'}/webhook/SOURCE`
  return (
    <Empty title="No event yet">
      <p>
        An event comes from a source: a webhook, a schedule, a poll, a local service or a person. Create a
        source under <a href={href('sources')}>Sources</a>, or send one to a webhook source that exists:
      </p>
      <pre class="command">{line}</pre>
      <Copy text={line} what="command" />
    </Empty>
  )
}

function Events({ selection }: { selection: EventQueryParams }): JSX.Element {
  const source: LogSource<EventSummary> = {
    topic: 'events',
    read: async (cursor, abort) => {
      const { events: rows, next_cursor } = await call(
        'event.query',
        { ...selection, limit: 100, ...(cursor === undefined ? {} : { cursor }) },
        abort,
      )
      return { rows, next_cursor }
    },
    row: message => (message.kind === 'event' ? message.event : undefined),
    has: isSimple(selection) ? event => isSelected(event, selection) : undefined,
    at: ({ received_at }) => received_at,
    changed: ({ received_at }) => received_at,
  }
  const empty =
    Object.keys(selection).length === 0 ? (
      <Teach />
    ) : (
      <Empty title="No event matches the filter">
        <p>An event that matches appears here as soon as it is logged.</p>
        <a href={href('events')}>Show all events</a>
      </Empty>
    )
  return (
    <LiveList
      one="event"
      label="Events"
      source={source}
      columns={columns}
      link={({ id }) => href('events', id)}
      empty={empty}
    />
  )
}

function EventsScreen(): JSX.Element {
  const { query } = place.value
  let selection: EventQueryParams
  let problem: unknown
  try {
    selection = selectionOf(query, Date.now())
  } catch (error) {
    selection = {}
    problem = error
  }
  return (
    <>
      <Head title="Events" actions={<CopyCommand command={commandOf(selection)} />} />
      <Filters query={query} />
      {problem === undefined ? (
        <Events key={query.toString()} selection={selection} />
      ) : (
        <Problem error={problem} />
      )}
    </>
  )
}

export default function Screen({ rest }: ScreenProps): JSX.Element {
  return rest[0] === undefined ? <EventsScreen /> : <EventScreen id={rest[0]} />
}
