// Every run, newest first, changing as it goes on. What is shown is in the address.
import type { JSX } from 'preact'
import type { Run, RunListParams } from '../../contract/types.ts'
import {
  CopyCommand,
  Empty,
  Field,
  Head,
  Button,
  Problem,
  RunLamp,
  Since,
  Time,
  Untrusted,
} from '../parts/basic.tsx'
import { isOver } from '../parts/lamp-kind.ts'
import type { Column } from '../parts/list.tsx'
import { LiveList } from '../parts/live-list.tsx'
import { TextFilter } from '../parts/text-filter.tsx'
import { go, href, place, setQuery } from '../router.ts'
import { call } from '../rpc.ts'
import RunScreen from '../run/screen.tsx'
import type { ScreenProps } from '../screens.ts'
import type { LogSource } from '../stream/live-log.ts'
import { commandOf, isSelected, isSimple, selectionOf, states } from './selection.ts'

/** What is to be said of a run beside its state: why it waits or failed, or how far it is. */
function Detail({ run: { waiting_for, error, progress } }: { run: Run }): JSX.Element {
  const said =
    progress === undefined
      ? undefined
      : [progress.percent === undefined ? '' : `${progress.percent} %`, progress.message ?? ''].join(' ')
  return <Untrusted text={waiting_for ?? error ?? said ?? ''} />
}

const columns: Column<Run>[] = [
  { title: 'Created', width: '150px', narrow: '62px', cell: ({ created_at }) => <Time at={created_at} /> },
  {
    title: 'State',
    width: 'minmax(110px, 180px)',
    narrow: 'minmax(0, 1fr)',
    cell: run => <RunLamp run={run} />,
  },
  {
    title: 'Trigger',
    width: 'minmax(90px, 1fr)',
    narrow: 'minmax(0, 1fr)',
    cell: ({ trigger_id }) => trigger_id,
  },
  { title: 'Bot', width: 'minmax(70px, 140px)', cell: ({ bot_id }) => bot_id ?? '', wide: true },
  { title: 'Attempt', width: '60px', cell: ({ attempt }) => (attempt === 0 ? '' : attempt), wide: true },
  {
    title: 'Took',
    width: '90px',
    cell: run =>
      isOver(run) ? (
        <Since at={run.created_at} until={run.finished_at ?? run.updated_at} />
      ) : (
        <Since at={run.created_at} />
      ),
    wide: true,
  },
  { title: 'Says', width: 'minmax(90px, 2fr)', cell: run => <Detail run={run} />, wide: true },
]

function Runs({ selection }: { selection: RunListParams }): JSX.Element {
  const source: LogSource<Run> = {
    topic: 'runs',
    read: async (cursor, abort) => {
      const { runs: rows, next_cursor } = await call(
        'run.list',
        { ...selection, limit: 100, ...(cursor === undefined ? {} : { cursor }) },
        abort,
      )
      return { rows, next_cursor }
    },
    row: message => (message.kind === 'run' ? message.run : undefined),
    has: isSimple(selection) ? run => isSelected(run, selection) : undefined,
    at: ({ created_at }) => created_at,
    changed: ({ updated_at }) => updated_at,
  }
  const empty =
    Object.keys(selection).length === 0 ? (
      <Empty title="No run yet">
        <p>
          A run is created when an event matches a trigger; it ends when its bot has done the work. Create a{' '}
          <a href={href('triggers', 'new')}>trigger</a>, or look at the <a href={href('events')}>events</a>{' '}
          and why they matched nothing.
        </p>
      </Empty>
    ) : (
      <Empty title="No run matches the filter">
        <a href={href('runs')}>Show all runs</a>
      </Empty>
    )
  return (
    <LiveList
      one="run"
      label="Runs"
      source={source}
      columns={columns}
      link={({ id }) => href('runs', id)}
      empty={empty}
    />
  )
}

function RunsScreen(): JSX.Element {
  const { query } = place.value
  let selection: RunListParams = {}
  let problem: unknown
  try {
    selection = selectionOf(query, Date.now())
  } catch (error) {
    problem = error
  }
  const text = query.toString()
  return (
    <>
      <Head title="Runs" actions={<CopyCommand command={commandOf(selection)} />} />
      <search class="filters">
        <Field label="State">
          <select
            value={query.get('state') ?? ''}
            onChange={event => setQuery({ state: event.currentTarget.value })}
          >
            <option value="">all</option>
            {['any failure', 'dead letter', ...states].map(state => (
              <option key={state} value={state}>
                {state.replaceAll('_', ' ')}
              </option>
            ))}
          </select>
        </Field>
        <TextFilter name="trigger" query={query} hint="review" />
        <TextFilter name="bot" query={query} hint="coder" />
        <TextFilter name="queue" query={query} hint="deploys" />
        <TextFilter name="thread" query={query} hint="acme/site#12" />
        <TextFilter name="actor" query={query} hint="ada" />
        <TextFilter name="since" query={query} hint="2h, 7d or a date" />
        {text === '' ? null : <Button onClick={() => go(href('runs'))}>Clear</Button>}
      </search>
      {problem === undefined ? <Runs key={text} selection={selection} /> : <Problem error={problem} />}
    </>
  )
}

export default function Screen({ rest }: ScreenProps): JSX.Element {
  return rest[0] === undefined ? <RunsScreen /> : <RunScreen id={rest[0]} />
}
