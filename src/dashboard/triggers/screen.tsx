// Which events start which bots.
import type { JSX } from 'preact'
import type { RouterStatsResult, Trigger } from '../../contract/types.ts'
import { useCall } from '../load.ts'
import { Button, Card, CopyCommand, Empty, Field, Head, Problem } from '../parts/basic.tsx'
import { TextFilter } from '../parts/text-filter.tsx'
import { attempt } from '../parts/toast.tsx'
import { href, place, setQuery } from '../router.ts'
import { call } from '../rpc.ts'
import type { ScreenProps } from '../screens.ts'
import { count, oneLine } from '../text.ts'
import TriggerScreen from '../trigger/screen.tsx'
import { filterText } from './filter-words.ts'
import { TriggerLamp } from './lamp.tsx'

function Outcomes({ id, stats }: { id: string; stats: RouterStatsResult | undefined }): JSX.Element | null {
  const stat = stats?.triggers.find(each => each.id === id)
  if (stat === undefined) return <span class="muted small">no run in 24 h</span>
  const parts: [number, string, string][] = [
    [stat.done, 'completed', 'completed'],
    [stat.active, 'running', 'running'],
    [stat.waiting, 'waiting', 'pending'],
    [stat.dead, 'dead', 'dead letter'],
    [stat.failed, 'cancelled', 'cancelled'],
  ]
  return (
    <span class="small figure">
      {parts
        .filter(([many]) => many > 0)
        .map(([many, word, state], index) => (
          <span key={word}>
            {index > 0 ? ' · ' : ''}
            <a href={href('runs', { trigger: id, state })}>
              {count(many)} {word}
            </a>
          </span>
        ))}
    </span>
  )
}

function TriggerCard({ trigger, stats, again }: { trigger: Trigger; stats: RouterStatsResult | undefined; again: () => void }): JSX.Element {
  const { id, description, event_source_id, filter, action, enabled, paused, paused_reason, file_set, version } = trigger
  const act = (what: string, doIt: () => Promise<unknown>): void => void attempt(what, doIt).then(again)
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
      <p class="small">
        {event_source_id === null ? 'Any source' : <a href={href('sources', event_source_id)}>{event_source_id}</a>}: {filterText(filter)} →{' '}
        {action.bot_id === undefined ? `a bot with ${action.capabilities?.join(', ')}` : <a href={href('bots', action.bot_id)}>{action.bot_id}</a>}
      </p>
      {paused_reason === undefined ? null : <p class="small">paused: {oneLine(paused_reason, 200)}</p>}
      <Outcomes id={id} stats={stats} />
      <div class="actions">
        <Button
          scope="operate"
          label={`${enabled ? 'Disable' : 'Enable'} ${id}`}
          onClick={() => act(enabled ? `${id} disabled` : `${id} enabled`, () => call(enabled ? 'trigger.disable' : 'trigger.enable', { trigger_id: id }))}
        >
          {enabled ? 'Disable' : 'Enable'}
        </Button>
        {paused === true ? (
          <Button scope="approve" label={`Resume ${id}`} onClick={() => act(`${id} resumed`, () => call('trigger.resume', { trigger_id: id }))}>
            Resume
          </Button>
        ) : (
          <Button scope="operate" label={`Pause ${id}`} onClick={() => act(`${id} paused: its runs wait`, () => call('trigger.pause', { trigger_id: id }))}>
            Pause
          </Button>
        )}
        {file_set === undefined ? null : <span class="muted small">managed by the files of {oneLine(file_set, 60)}</span>}
      </div>
    </Card>
  )
}

function Triggers(): JSX.Element {
  const { query } = place.value
  const [source, bot, text] = ['source', 'bot', 'text'].map(name => query.get(name) ?? '') as [string, string, string]
  const read = useCall(
    'trigger.list',
    { limit: 500, ...(source === '' ? {} : { event_source_id: source }), ...(bot === '' ? {} : { bot_id: bot }) },
    { every: 30_000 },
  )
  const stats = useCall('router.stats', {}, { on: ({ kind }) => kind === 'run', every: 30_000 })
  const { value, error } = read.value
  const shown = value?.triggers.filter(trigger =>
    `${trigger.id} ${trigger.description ?? ''} ${filterText(trigger.filter)}`.toLowerCase().includes(text.toLowerCase()),
  )
  return (
    <>
      <Head
        title="Triggers"
        actions={
          <>
            <a class="button button-primary" href={href('triggers', 'new')}>
              New trigger
            </a>
            <CopyCommand command="signalbox triggers" />
          </>
        }
      />
      <search class="filters">
        <Field label="Text">
          <input defaultValue={text} onChange={event => setQuery({ text: event.currentTarget.value })} />
        </Field>
        <TextFilter name="source" query={query} hint="forge" />
        <TextFilter name="bot" query={query} hint="coder" />
      </search>
      {error === undefined ? null : <Problem error={error} again={read.again} />}
      {value?.triggers.length === 0 ? (
        <Empty title="No trigger yet">
          <p>
            A trigger says which events start which bot. The surest way to one: open an <a href={href('events')}>event</a>, choose “use in filter” beside a
            value, and try the draft against the log before you save it.
          </p>
          <a class="button" href={href('triggers', 'new')}>
            Write one
          </a>
        </Empty>
      ) : null}
      <div class="cards">
        {shown?.map(trigger => (
          <TriggerCard key={trigger.id} trigger={trigger} stats={stats.value.value} again={read.again} />
        ))}
      </div>
    </>
  )
}

export default function Screen({ rest: [id] }: ScreenProps): JSX.Element {
  return id === undefined ? <Triggers /> : <TriggerScreen id={id} />
}
