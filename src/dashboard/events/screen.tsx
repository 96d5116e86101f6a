// Every event, live, newest first. What is shown is in the address.
import type { JSX } from 'preact'
import { useEffect, useMemo } from 'preact/hooks'
import type { EventQueryParams, EventSummary } from '../../contract/types.ts'
import EventScreen from '../event/screen.tsx'
import { Button, Copy, CopyCommand, Empty, Head, Lamp, Problem, Time, Untrusted } from '../parts/basic.tsx'
import { useKeys } from '../parts/keys.ts'
import { List, type Column } from '../parts/list.tsx'
import { href, place } from '../router.ts'
import type { ScreenProps } from '../screens.ts'
import { status } from '../status.ts'
import { count, plural } from '../text.ts'
import { Filters } from './filters.tsx'
import { EventLog } from './log.ts'
import { commandOf, selectionOf } from './selection.ts'

function Outcome({ event: { matched_triggers, redelivery_of } }: { event: EventSummary }): JSX.Element {
  if (matched_triggers === null) return <Lamp kind="stop">damaged</Lamp>
  if (matched_triggers.length > 0)
    return <Lamp kind="clear">{matched_triggers.length === 1 ? matched_triggers[0] : plural(matched_triggers.length, 'trigger')}</Lamp>
  return <Lamp kind="miss">{redelivery_of == null ? 'no match' : 'redelivery'}</Lamp>
}

const columns: Column<EventSummary>[] = [
  { title: 'Time', width: '150px', narrow: '62px', cell: ({ received_at }) => <Time at={received_at} /> },
  { title: 'Source', width: 'minmax(70px, 130px)', cell: ({ source_id }) => source_id, wide: true },
  { title: 'Type', width: 'minmax(90px, 1fr)', narrow: 'minmax(0, 1fr)', cell: ({ type }) => <Untrusted text={type} /> },
  { title: 'About', width: 'minmax(90px, 1.4fr)', narrow: 'minmax(0, 1fr)', cell: ({ thread, subject }) => <Untrusted text={thread ?? subject ?? ''} /> },
  { title: 'By', width: 'minmax(60px, 110px)', cell: ({ actor }) => <Untrusted text={actor ?? ''} />, wide: true },
  { title: 'Outcome', width: 'minmax(110px, 1fr)', narrow: 'minmax(0, 1.2fr)', cell: event => <Outcome event={event} /> },
]

function Teach(): JSX.Element {
  const address = status.value?.intake_address
  const line = `curl -H 'content-type: application/json' -d '{"hello":"world"}' http://${address ?? '127.0.0.1:8020'}/webhook/SOURCE`
  return (
    <Empty title="No event yet">
      <p>
        An event comes from a source: a webhook, a schedule, a poll, a local service or a person. Create a source under <a href={href('sources')}>Sources</a>,
        or send one to a webhook source that exists:
      </p>
      <pre class="command">{line}</pre>
      <Copy text={line} what="command" />
    </Empty>
  )
}

function LogView({ selection }: { selection: EventQueryParams }): JSX.Element {
  const log = useMemo(() => new EventLog(selection), [])
  useEffect(() => () => log.stop(), [])
  useKeys([{ keys: 'space', what: log.isPaused.value ? 'go on' : 'pause', act: () => log.pause() }])
  const waiting = log.waiting.value.length
  const isFiltered = Object.keys(selection).length > 0
  return (
    <>
      <div class="actions" aria-live="polite">
        <Button pressed={log.isPaused.value} onClick={() => log.pause()}>
          {log.isPaused.value ? 'Paused' : 'Pause'} <kbd>space</kbd>
        </Button>
        {waiting > 0 ? (
          <button type="button" class="pill" onClick={() => log.showWaiting()}>
            ▲ {count(waiting)} new
          </button>
        ) : null}
        {log.skipped.value > 0 ? (
          <span class="muted small">
            {plural(log.skipped.value, 'event')} of a burst not shown live ·{' '}
            <Button look="quiet" onClick={() => void log.reload().then(() => (log.skipped.value = 0))}>
              read them
            </Button>
          </span>
        ) : null}
      </div>
      {log.error.value === undefined ? null : <Problem error={log.error.value} again={() => void log.reload()} />}
      {log.rows.value.length > 0 ? (
        <List
          label="Events"
          rows={log.rows.value}
          columns={columns}
          link={({ id }) => href('events', id)}
          more={() => void log.older()}
          onTop={isTop => log.setTop(isTop)}
        />
      ) : log.isLoading.value || log.error.value !== undefined ? null : isFiltered ? (
        <Empty title="No event is like that">
          <p>Events that come in and are, appear here at once.</p>
          <a href={href('events')}>Show all events</a>
        </Empty>
      ) : (
        <Teach />
      )}
    </>
  )
}

function EventsScreen(): JSX.Element {
  const { query } = place.value
  let selection: EventQueryParams
  let problem: unknown
  try {
    selection = selectionOf(query)
  } catch (error) {
    selection = {}
    problem = new Error(`the filter is not JSON: ${(error as Error).message}`)
  }
  return (
    <>
      <Head title="Events" actions={<CopyCommand command={commandOf(selection)} />} />
      <Filters query={query} />
      {problem === undefined ? <LogView key={query.toString()} selection={selection} /> : <Problem error={problem} />}
    </>
  )
}

export default function Screen({ rest }: ScreenProps): JSX.Element {
  return rest[0] === undefined ? <EventsScreen /> : <EventScreen id={rest[0]} />
}
