// Which events start which bots.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import type { RouterStatsResult, Run, Trigger } from '../../contract/types.ts'
import { useCall, useLoad } from '../load.ts'
import {
  Ago,
  Button,
  Card,
  Copy,
  CopyCommand,
  Empty,
  Head,
  Problem,
  RunLamp,
  Untrusted,
} from '../parts/basic.tsx'
import { TextFilter } from '../parts/text-filter.tsx'
import { href, place } from '../router.ts'
import type { ScreenProps } from '../screens.ts'
import { oneLine, plural } from '../text.ts'
import TriggerScreen from '../trigger/screen.tsx'
import { TriggerActions } from './actions.tsx'
import { filterText } from './filter-words.ts'
import { TriggerLamp } from './lamp.tsx'
import { readTriggers } from './read.ts'
import { hasText, lastRuns, outcomesOf } from './words.ts'

/** Cards that are shown at once. */
const cards = 200

function Outcomes({
  id,
  stats,
  last,
}: {
  id: string
  stats: RouterStatsResult | undefined
  last: Run | undefined
}): JSX.Element | null {
  if (stats === undefined) return null
  const outcomes = outcomesOf(id, stats)
  return (
    <>
      <p class="small figure wraps">
        {outcomes.length === 0 ? <span class="muted">no run in 24 h</span> : null}
        {outcomes.map(({ text, query }, index) => (
          <span key={text}>
            {index > 0 ? ' · ' : ''}
            <a href={href('runs', { trigger: id, ...query })}>{text}</a>
          </span>
        ))}
      </p>
      {last === undefined ? null : (
        <p class="small">
          <span class="muted">last run:</span>{' '}
          <a href={href('runs', last.id)}>
            <RunLamp run={last} />
          </a>{' '}
          <span class="muted">
            <Ago at={last.finished_at ?? last.updated_at} />
          </span>
        </p>
      )}
    </>
  )
}

interface CardProps {
  trigger: Trigger
  stats: RouterStatsResult | undefined
  last: Run | undefined
  again: () => void
}

function TriggerCard({ trigger, stats, last, again }: CardProps): JSX.Element {
  const { id, description, event_source_id, filter, action, paused_reason, file_set, version } = trigger
  return (
    <Card
      title={
        <>
          <a href={href('triggers', id)}>{id}</a> <span class="muted">v{version}</span>
        </>
      }
      more={<TriggerLamp trigger={trigger} />}
    >
      {description === undefined ? null : <p class="small muted">{oneLine(description, 300)}</p>}
      <p class="small wraps">
        {event_source_id === null ? (
          'any source'
        ) : (
          <a href={href('sources', event_source_id)}>{event_source_id}</a>
        )}
        : <Untrusted text={filterText(filter)} most={400} /> →{' '}
        {action.bot_id === undefined ? (
          `a bot with ${action.capabilities?.join(', ')}`
        ) : (
          <a href={href('bots', action.bot_id)}>{action.bot_id}</a>
        )}
      </p>
      {paused_reason === undefined ? null : <p class="small">paused: {oneLine(paused_reason, 200)}</p>}
      <Outcomes id={id} stats={stats} last={last} />
      <div class="actions">
        <TriggerActions trigger={trigger} done={again} />
        {file_set === undefined ? null : (
          <span class="muted small">managed by the files of {oneLine(file_set, 60)}</span>
        )}
      </div>
    </Card>
  )
}

const example = `{
  "id": "review",
  "event_source_id": "forge",
  "filter": { "type": ["pull_request"], "payload": { "action": ["opened", "synchronized"] } },
  "action": { "bot_id": "reviewer" }
}`

function Teach(): JSX.Element {
  const command = `signalbox triggers put - <<'END'\n${example}\nEND`
  return (
    <Empty title="No trigger yet">
      <p>
        A trigger says which events start which bot: it has a source, a filter that mirrors the event, and an
        action. The easiest way to create one: open an <a href={href('events')}>event</a>, choose “use in
        filter” beside a value, and try the draft against the log before you save it.
      </p>
      <pre class="command">{command}</pre>
      <div class="actions">
        <a class="button button-primary" href={href('events')}>
          Create one from an event
        </a>
        <a class="button" href={href('triggers', 'new')}>
          Write one
        </a>
        <Copy text={command} what="command" />
      </div>
    </Empty>
  )
}

function Triggers(): JSX.Element {
  const { query } = place.value
  const [source, bot, text] = ['source', 'bot', 'text'].map(name => query.get(name) ?? '') as [
    string,
    string,
    string,
  ]
  const selection = {
    ...(source === '' ? {} : { event_source_id: source }),
    ...(bot === '' ? {} : { bot_id: bot }),
  }
  const read = useLoad(abort => readTriggers(selection, abort), JSON.stringify(selection), { every: 30_000 })
  const stats = useCall('router.stats', {}, { on: ({ kind }) => kind === 'run', every: 30_000 })
  const runs = useCall('run.list', { limit: 500 }, { on: ({ kind }) => kind === 'run' })
  const shownCards = useSignal(cards)
  const { value, error } = read.value
  const last = lastRuns(runs.value.value?.runs ?? [])
  const found = value?.filter(trigger => hasText(trigger, text))
  const isFiltered = source !== '' || bot !== '' || text !== ''
  return (
    <>
      <Head
        title="Triggers"
        actions={
          <>
            <a class="button button-primary" href={href('triggers', 'new')}>
              New trigger
            </a>
            <CopyCommand command="signalbox triggers list" />
          </>
        }
      />
      <search class="filters">
        <TextFilter name="text" query={query} hint="push acme/site" />
        <TextFilter name="source" query={query} hint="forge" />
        <TextFilter name="bot" query={query} hint="coder" />
      </search>
      {error === undefined ? null : <Problem error={error} again={read.again} />}
      {found?.length === 0 && !isFiltered ? <Teach /> : null}
      {found?.length === 0 && isFiltered ? (
        <Empty title="No trigger is like that">
          <a href={href('triggers')}>Show all triggers</a>
        </Empty>
      ) : null}
      <div class="cards">
        {found?.slice(0, shownCards.value).map(trigger => (
          <TriggerCard
            key={trigger.id}
            trigger={trigger}
            stats={stats.value.value}
            last={last.get(trigger.id)}
            again={read.again}
          />
        ))}
      </div>
      {found !== undefined && found.length > shownCards.value ? (
        <Button onClick={() => (shownCards.value += cards)}>
          Show more: {plural(found.length - shownCards.value, 'trigger')} left
        </Button>
      ) : null}
    </>
  )
}

export default function Screen({ rest: [id] }: ScreenProps): JSX.Element {
  return id === undefined ? <Triggers /> : <TriggerScreen id={id} />
}
