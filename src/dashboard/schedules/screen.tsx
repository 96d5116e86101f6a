// When schedules are due next, and what became of past instants.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import type { Source, SourcePreviewResult, Tick } from '../../contract/types.ts'
import { useCall, useLoad } from '../load.ts'
import {
  Ago,
  Button,
  Card,
  CopyCommand,
  Empty,
  Facts,
  Head,
  Lamp,
  Problem,
  TableHead,
  Time,
} from '../parts/basic.tsx'
import { confirm } from '../parts/dialog.tsx'
import type { LampKind } from '../parts/lamp-kind.ts'
import { Lane, share, Track } from '../parts/track.tsx'
import { attempt } from '../parts/toast.tsx'
import { go, href, place, setQuery } from '../router.ts'
import { call } from '../rpc.ts'
import { duration, plural, shellQuote } from '../text.ts'
import { overlaps } from './strip.ts'

const dayMs = 86_400_000
const spans = {
  '24h': { ms: dayMs, words: 'next 24 hours' },
  '7d': { ms: 7 * dayMs, words: 'next 7 days' },
} as const
type Span = keyof typeof spans
const mostTicks = 1000

interface Schedule {
  source: Source
  preview: SourcePreviewResult | undefined
}

/** Every schedule with its next instants. */
async function readSchedules(abort: AbortSignal): Promise<Schedule[]> {
  const { sources } = await call('source.list', { source_type: 'cron', limit: 200 }, abort)
  return Promise.all(
    sources.map(async source => {
      const { expression, timezone } = source.config as { expression: string; timezone?: string }
      const preview = await call(
        'source.preview',
        { expression, count: mostTicks, ...(timezone === undefined ? {} : { timezone }) },
        abort,
      ).catch(() => undefined)
      return { source, preview }
    }),
  )
}

const outcomes: Record<Tick['outcome'], { kind: LampKind; word: string }> = {
  fired: { kind: 'clear', word: 'fired' },
  caught_up: { kind: 'caution', word: 'caught up' },
  skipped: { kind: 'miss', word: 'skipped' },
}

function Ticks({ source_id }: { source_id: string }): JSX.Element {
  const read = useCall('source.ticks', { source_id, limit: 20 })
  const { value, error } = read.value
  if (error !== undefined) return <Problem error={error} again={read.again} />
  if (value === undefined) return <p class="muted small">reading …</p>
  if (value.ticks.length === 0) return <p class="muted small">No instant has passed yet.</p>
  return (
    <table>
      <TableHead titles={['Due', 'Outcome', 'Late by', 'Event or reason']} />
      <tbody>
        {value.ticks.map(({ scheduled_at, outcome, drift_ms, event_id, reason, count = 1 }) => (
          <tr key={scheduled_at}>
            <td>
              <Time at={scheduled_at} />
            </td>
            <td>
              <Lamp kind={outcomes[outcome].kind}>
                {outcomes[outcome].word}
                {count > 1 ? ` ${count} times` : ''}
              </Lamp>
            </td>
            <td class="figure">{outcome === 'skipped' ? '' : duration(drift_ms)}</td>
            <td>{event_id === undefined ? reason : <a href={href('events', event_id)}>event</a>}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

function ScheduleCard({
  schedule: { source, preview },
  again,
}: {
  schedule: Schedule
  again: () => void
}): JSX.Element {
  const { id, enabled, next_at, last_event_at, config } = source
  const isOpen = useSignal(false)
  const { expression, timezone, catch_up } = config as {
    expression: string
    timezone?: string
    catch_up?: string
  }
  const toggle = (): void =>
    void attempt(enabled ? `${id} disabled` : `${id} enabled`, () =>
      call(enabled ? 'source.disable' : 'source.enable', { source_id: id }),
    ).then(again)
  const fire = async (): Promise<void> => {
    const fired = await call('source.fire', { source_id: id })
    go(href('events', fired.event_id))
  }
  const ask = (): void =>
    confirm(
      {
        title: `Fire ${id} now?`,
        text: 'An event is logged as if it were due, and starts what it matches.',
        yes: 'Fire',
      },
      () => void attempt('fired', fire),
    )
  return (
    <Card
      title={<a href={href('sources', id)}>{id}</a>}
      more={enabled ? <Lamp kind="clear">enabled</Lamp> : <Lamp kind="miss">disabled</Lamp>}
    >
      <p>{preview?.in_words ?? 'The expression has no words for it.'}</p>
      <Facts
        of={[
          ['expression', <code>{expression}</code>],
          ['time zone', timezone ?? 'UTC'],
          ['next', next_at === undefined || !enabled ? 'none' : <Ago at={next_at} />],
          ['last', last_event_at === undefined ? 'none yet' : <Ago at={last_event_at} />],
          [
            'missed ticks',
            catch_up === 'none'
              ? 'are left out'
              : catch_up === 'all'
                ? 'are all caught up'
                : 'the latest is caught up',
          ],
        ]}
      />
      <div class="actions">
        <Button scope="operate" onClick={toggle} label={`${enabled ? 'Disable' : 'Enable'} ${id}`}>
          {enabled ? 'Disable' : 'Enable'}
        </Button>
        <Button scope="emit" onClick={ask} label={`Fire now: ${id}`}>
          Fire now
        </Button>
        <Button
          look="quiet"
          pressed={isOpen.value}
          onClick={() => (isOpen.value = !isOpen.value)}
          label={`Past ticks of ${id}`}
        >
          Past ticks
        </Button>
        <CopyCommand command={`signalbox sources ticks ${shellQuote(id)}`} />
      </div>
      {isOpen.value ? <Ticks source_id={id} /> : null}
    </Card>
  )
}

function Strip({ schedules, span }: { schedules: readonly Schedule[]; span: Span }): JSX.Element {
  const from = Date.now()
  const until = from + spans[span].ms
  const plans = schedules
    .filter(({ source }) => source.enabled)
    .map(({ source, preview }) => ({
      id: source.id,
      at: (preview?.ticks ?? []).map(({ at }) => at).filter(at => at < until),
      isCut: (preview?.ticks.at(-1)?.at ?? until) < until,
    }))
  // Two marks that are nearer than this are one on the axis.
  const both = overlaps(plans, Math.min(60_000, spans[span].ms / 400))
  return (
    <Card
      title={`Due in the ${spans[span].words}`}
      more={
        <div class="actions">
          {(Object.keys(spans) as Span[]).map(name => (
            <Button key={name} look="quiet" pressed={name === span} onClick={() => setQuery({ span: name })}>
              {name === '24h' ? '24 h' : '7 d'}
            </Button>
          ))}
        </div>
      }
    >
      {plans.map(({ id, at, isCut }) => (
        <Lane key={id} name={<a href={href('sources', id)}>{id}</a>} more={`${at.length}${isCut ? '+' : ''}`}>
          <Track
            label={`${id}: ${plural(at.length, 'time')} in the ${spans[span].words}`}
            marks={at.map(each => ({
              at: share(each, from, until),
              kind: both.has(each) ? 'caution' : 'active',
              text: `${new Date(each).toISOString()}${both.has(each) ? ', at the same time as another' : ''}`,
            }))}
          />
        </Lane>
      ))}
      <p class="muted small">
        <Lamp kind="active">due</Lamp> <Lamp kind="caution">due within a minute of another schedule</Lamp>
      </p>
    </Card>
  )
}

export default function Screen(): JSX.Element {
  const read = useLoad(readSchedules, 'schedules', { every: 60_000 })
  const { value, error } = read.value
  const span = place.value.query.get('span') === '7d' ? '7d' : '24h'
  return (
    <>
      <Head title="Schedules" actions={<CopyCommand command="signalbox sources" />} />
      {error === undefined ? null : <Problem error={error} again={read.again} />}
      {value?.length === 0 ? (
        <Empty title="No schedule yet">
          <p>
            A schedule is a source of type cron: it makes an event at each instant that its expression names,
            in its time zone, and catches up what it missed.
          </p>
          <a class="button" href={href('sources', 'new')}>
            Create one
          </a>
        </Empty>
      ) : value === undefined ? null : (
        <>
          <Strip schedules={value} span={span} />
          <div class="cards">
            {value.map(schedule => (
              <ScheduleCard key={schedule.source.id} schedule={schedule} again={read.again} />
            ))}
          </div>
        </>
      )}
    </>
  )
}
