// Deliveries that the webhook intake refused, and what to do about each. Nothing of their bodies and headers is kept.
import type { JSX } from 'preact'
import type { RefusedDelivery } from '../../contract/types.ts'
import { useCall, useLoad } from '../load.ts'
import {
  Ago,
  Button,
  Card,
  CopyCommand,
  Empty,
  Head,
  Lamp,
  Problem,
  Time,
  Untrusted,
} from '../parts/basic.tsx'
import { List, type Column } from '../parts/list.tsx'
import { TextFilter } from '../parts/text-filter.tsx'
import { go, href, place } from '../router.ts'
import { call } from '../rpc.ts'
import { status } from '../status.ts'
import { bytes, count, plural } from '../text.ts'
import { commandOf, groupsOf, rowsOf, selectionOf, sentence, type Group } from './groups.ts'
import './refused.css'

const everyMs = 15_000
const pageSize = 500

/** All entries of a selection: the router keeps at most 1,000. */
async function readAll(
  selection: ReturnType<typeof selectionOf>,
  abort: AbortSignal,
): Promise<RefusedDelivery[]> {
  const all: RefusedDelivery[] = []
  let cursor: string | undefined
  do {
    const page = await call(
      'event.refused',
      { ...selection, limit: pageSize, ...(cursor === undefined ? {} : { cursor }) },
      abort,
    )
    all.push(...page.refused)
    cursor = page.next_cursor
  } while (cursor !== undefined)
  return all
}

function PlaceOf({ refusal: { source_id, path } }: { refusal: RefusedDelivery }): JSX.Element {
  if (source_id !== undefined) return <a href={href('sources', source_id)}>{source_id}</a>
  return <Untrusted text={path ?? '(no request)'} />
}

const columns: Column<RefusedDelivery & { id: string }>[] = [
  { title: 'Last', width: '150px', narrow: '70px', cell: ({ last_at }) => <Time at={last_at} /> },
  {
    title: 'Times',
    width: '60px',
    narrow: '46px',
    cell: ({ count: times }) => <span class="figure">{count(times)}</span>,
  },
  {
    title: 'Sent to',
    width: 'minmax(90px, 1fr)',
    narrow: 'minmax(0, 1fr)',
    cell: refusal => <PlaceOf refusal={refusal} />,
  },
  {
    title: 'Reason',
    width: 'minmax(140px, 2fr)',
    narrow: 'minmax(0, 1.4fr)',
    cell: ({ title, reason }) => (
      <span title={`${title} (${reason})`}>
        {title} <code class="muted">{reason}</code>
      </span>
    ),
  },
  { title: 'Answer', width: '70px', cell: ({ status: code }) => code ?? 'closed', wide: true },
  {
    title: 'Address',
    width: 'minmax(90px, 150px)',
    cell: ({ address }) => address ?? 'Unix socket',
    wide: true,
  },
  {
    title: 'Size',
    width: '70px',
    cell: ({ bytes: size }) => <span class="figure">{size === undefined ? '' : bytes(size)}</span>,
    wide: true,
  },
]

/** lastEventAt: when the source took its last event */
function GroupCard({
  group: { id, count: times, first_at, last_at, reasons },
  lastEventAt,
}: {
  group: Group
  lastEventAt: number | undefined
}): JSX.Element {
  const isOver = lastEventAt !== undefined && lastEventAt > last_at
  return (
    <Card
      title={
        <>
          {id === null ? 'no webhook source' : <a href={href('sources', id)}>{id}</a>} ·{' '}
          {plural(times, 'delivery', 'deliveries')}
        </>
      }
      more={
        isOver ? <Lamp kind="miss">an event was accepted since</Lamp> : <Lamp kind="caution">refused</Lamp>
      }
    >
      <p class="small muted">
        {times === 1 ? '' : 'last '}
        <Ago at={last_at} />
        {times === 1 ? null : (
          <>
            , first <Ago at={first_at} />
          </>
        )}
      </p>
      <dl class="reasons">
        {reasons.map(({ reason, title, help, count: often }) => (
          <div key={`${reason} ${title}`}>
            <dt>
              {sentence(title).slice(0, -1)} <code class="muted">{reason}</code>{' '}
              {reasons.length > 1 ? <span class="muted">{count(often)}×</span> : null}
            </dt>
            <dd>{sentence(help)}</dd>
          </div>
        ))}
      </dl>
    </Card>
  )
}

function Teach({ isFiltered }: { isFiltered: boolean }): JSX.Element {
  if (isFiltered)
    return (
      <Empty title="No refused delivery matches the filter">
        <a href={href('refused')}>Show all refused deliveries</a>
      </Empty>
    )
  return (
    <Empty title="No delivery was refused">
      <p>
        The intake refuses a delivery whose signature is wrong, that is too large, or whose path names no
        source. It is listed here with the reason and what to do, and is not in the log. The intake listens at{' '}
        {status.value?.intake_address}.
      </p>
      <p>
        A sender that gets no events through is here, or it does not reach the intake. This command checks the
        rest:
      </p>
      <pre class="command">signalbox doctor</pre>
    </Empty>
  )
}

function Refusals({ query }: { query: URLSearchParams }): JSX.Element {
  const read = useLoad(abort => readAll(selectionOf(query, Date.now()), abort), query.toString(), {
    every: everyMs,
  })
  const sources = useCall('source.list', { source_type: 'webhook', limit: pageSize }, { every: everyMs })
  const { value, error } = read.value
  const lastOf = new Map(sources.value.value?.sources.map(({ id, last_event_at }) => [id, last_event_at]))
  const total = value?.reduce((sum, each) => sum + each.count, 0) ?? 0
  return (
    <>
      {error === undefined ? null : <Problem error={error} again={read.again} />}
      {value === undefined ? null : value.length === 0 ? (
        <Teach isFiltered={query.size > 0} />
      ) : (
        <>
          <p class="muted small">
            {plural(total, 'delivery', 'deliveries')}. Nothing of a body or a header is kept. The same refusal
            is counted, not listed again; at most 1,000 entries are kept, 100 of each source.
          </p>
          <div class="cards">
            {groupsOf(value).map(group => (
              <GroupCard
                key={group.id}
                group={group}
                lastEventAt={group.id === null ? undefined : lastOf.get(group.id)}
              />
            ))}
          </div>
          <List
            label="Refused deliveries"
            rows={rowsOf(value)}
            columns={columns}
            short={value.length <= 20}
          />
        </>
      )}
    </>
  )
}

export default function Screen(): JSX.Element {
  const { query } = place.value
  const text = query.toString()
  let selection: ReturnType<typeof selectionOf> = {}
  let problem: unknown
  try {
    selection = selectionOf(query, Date.now())
  } catch (error) {
    problem = error
  }
  return (
    <>
      <Head title="Refused" actions={<CopyCommand command={commandOf(selection)} />} />
      <search class="filters">
        <TextFilter name="source" query={query} hint="forge" />
        <TextFilter name="since" query={query} hint="2h, 7d or a date" />
        {text === '' ? null : <Button onClick={() => go(href('refused'))}>Clear</Button>}
      </search>
      {problem === undefined ? <Refusals key={text} query={query} /> : <Problem error={problem} />}
    </>
  )
}
