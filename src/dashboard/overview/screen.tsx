// How the router stands: a sentence, four figures, what each trigger did, what needs a person, and the last events.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect, useMemo } from 'preact/hooks'
import type { EventSummary, RouterStatsResult, RouterStatusResult, Run } from '../../contract/types.ts'
import { now, useLoad } from '../load.ts'
import {
  Ago,
  Button,
  Card,
  Copy,
  CopyCommand,
  Empty,
  Lamp,
  Problem,
  Time,
  Untrusted,
} from '../parts/basic.tsx'
import { useKeys } from '../parts/keys.ts'
import { isOver, lampOfRun } from '../parts/lamp-kind.ts'
import { lazy } from '../parts/lazy.tsx'
import { Lane, share, Track, type Mark } from '../parts/track.tsx'
import { href, place, setQuery } from '../router.ts'
import { call } from '../rpc.ts'
import { counts, status } from '../status.ts'
import { count, duration, oneLine, plural } from '../text.ts'
import { latencies, percentile, series } from './buckets.ts'
import { concernsOf } from './concerns.ts'
import { sentenceOf, type Standing } from './sentence.ts'
import { mostRead, TimeWindow } from './window.ts'
import './overview.css'

const Chart = lazy(() => import('./chart.tsx'))
const hourMs = 3_600_000
const spans = { '1h': hourMs, '24h': 24 * hourMs, '7d': 168 * hourMs } as const
type Span = keyof typeof spans
const spanNames: Record<Span, string> = { '1h': '1 h', '24h': '24 h', '7d': '7 d' }
const mostMarks = 200

function standingOf(router: RouterStatusResult, hour: RouterStatsResult): Standing {
  const dead = hour.triggers.flatMap(({ id, dead: failed }) =>
    failed > 0 && id !== null ? [{ trigger_id: id, count: failed }] : [],
  )
  return {
    paused: router.paused === undefined ? undefined : oneLine(router.paused, 200),
    isFull: router.store.full,
    running: router.runs.running,
    approvals: counts.value?.approvals ?? 0,
    dead: dead.toSorted((a, b) => b.count - a.count),
    broken: router.bots.filter(({ health }) => health?.state === 'open').map(({ id }) => id),
    refused: counts.value?.refused ?? 0,
    events: router.events.logged,
  }
}

function Sentence({ standing }: { standing: Standing }): JSX.Element {
  return (
    <h1 class="sentence">
      {sentenceOf(standing).map(({ text, kind, to }, index) => {
        const look = kind === undefined ? '' : `lamp-${kind} sentence-part`
        return to === undefined ? (
          <span key={index}>{text}</span>
        ) : (
          <a key={index} class={look} href={href(...to)}>
            {text}
          </a>
        )
      })}
    </h1>
  )
}

function Tile({ value, words, link }: { value: string; words: string; link: string }): JSX.Element {
  return (
    <a class="card tile" href={link}>
      <b>{value}</b> <span>{words}</span>
    </a>
  )
}

function Tiles({ hour, router }: { hour: RouterStatsResult; router: RouterStatusResult }): JSX.Element {
  const sum = (pick: (each: RouterStatsResult['triggers'][number]) => number): number =>
    hour.triggers.reduce((total, each) => total + pick(each), 0)
  const [done, failed, dead] = [sum(each => each.done), sum(each => each.failed), sum(each => each.dead)]
  const ended = done + failed + dead
  const events = hour.events.reduce((total, each) => total + each.count, 0)
  const oldest = Math.min(
    ...hour.queues.flatMap(({ oldest_waiting_at: at }) => (at === undefined ? [] : [at])),
  )
  return (
    <div class="tiles">
      <Tile value={count(events)} words="events in the last hour" link={href('events')} />
      <Tile
        value={count(done + failed)}
        words={`runs ended · ${count(router.runs.running)} running`}
        link={href('runs')}
      />
      <Tile
        value={ended === 0 ? '–' : `${((100 * done) / ended).toFixed(1)} %`}
        words="completed"
        link={href('runs', { state: 'any failure' })}
      />
      <Tile
        value={Number.isFinite(oldest) ? duration(Math.max(0, now.value - oldest)) : '–'}
        words={
          Number.isFinite(oldest)
            ? 'oldest waiting run'
            : `nothing waits · ${plural(router.triggers, 'trigger')}`
        }
        link={href('runs', { state: 'pending' })}
      />
    </div>
  )
}

function Lanes({ runs, span, since }: { runs: readonly Run[]; span: Span; since: number }): JSX.Element {
  const until = now.value
  const from = until - spans[span]
  const groups = [...Map.groupBy(runs, ({ trigger_id }) => trigger_id)].toSorted(([a], [b]) =>
    a < b ? -1 : 1,
  )
  return (
    <Card
      title={`Triggers, last ${spanNames[span]}`}
      more={
        <div class="actions">
          {(Object.keys(spans) as Span[]).map(name => (
            <Button key={name} look="quiet" pressed={name === span} onClick={() => setQuery({ span: name })}>
              {spanNames[name]}
            </Button>
          ))}
        </div>
      }
    >
      {groups.length === 0 ? <p class="muted small">No run in this time.</p> : null}
      {groups.map(([trigger_id, own]) => {
        const failed = own.filter(({ dead }) => dead).length
        const marks = own.slice(0, mostMarks).map((run): Mark => {
          const { kind, word } = lampOfRun(run)
          const at = share(run.created_at, from, until)
          return {
            at,
            kind,
            text: `${word}, ${new Date(run.created_at).toISOString()}`,
            ...(isOver(run) || kind !== 'active' ? {} : { until: 1 }),
          }
        })
        return (
          <Lane
            key={trigger_id}
            name={<a href={href('triggers', trigger_id)}>{trigger_id}</a>}
            more={
              <a class={failed > 0 ? 'lamp-stop' : ''} href={href('runs', { trigger: trigger_id })}>
                {own.length}
                {failed > 0 ? ` · ${failed} ✗` : ''}
              </a>
            }
          >
            <Track
              label={`${trigger_id}: ${plural(own.length, 'run')}, ${failed} failed for good`}
              marks={marks}
            />
          </Lane>
        )
      })}
      {since > from + 1000 ? (
        <p class="muted small">
          Only the newest {mostRead} are shown; what was before {new Date(since).toLocaleTimeString()} is left
          out.
        </p>
      ) : null}
    </Card>
  )
}

function Throughput({ view, span }: { view: TimeWindow; span: Span }): JSX.Element {
  const minute = Math.floor(now.value / 60_000)
  const events = view.events.value
  const runs = view.runs.value
  const drawn = useMemo(
    () => series(events, runs, (minute + 1) * 60_000 - spans[span], (minute + 1) * 60_000),
    [events, runs, minute, span],
  )
  const took = latencies(runs)
  const at = (part: number): string => {
    const value = percentile(took, part)
    return value === undefined ? '–' : duration(value)
  }
  return (
    <Card title="Events over time" more={<span class="muted small">drag to filter the events</span>}>
      <Chart series={drawn} />
      <p class="small figure">
        From created to completed: 50 % {at(0.5)}, 95 % {at(0.95)}, 99 % {at(0.99)}
      </p>
    </Card>
  )
}

function Concerns({
  standing,
  router,
  runs,
}: {
  standing: Standing
  router: RouterStatusResult
  runs: readonly Run[]
}): JSX.Element {
  const found = concernsOf(standing, router, runs)
  return (
    <Card title="Needs attention">
      {found.length === 0 ? (
        <p class="small">
          <Lamp kind="clear">Nothing needs attention</Lamp>
        </p>
      ) : null}
      <ul class="stack">
        {found.map(({ kind, word, text, to, at }, index) => (
          <li key={index} class="concern">
            <Lamp kind={kind}>{word}</Lamp>
            <a href={href(...to)}>{oneLine(text, 200)}</a>
            <span class="muted small">{at === undefined ? null : <Ago at={at} />}</span>
          </li>
        ))}
      </ul>
    </Card>
  )
}

function Live({ events }: { events: readonly EventSummary[] }): JSX.Element {
  const frozen = useSignal<readonly EventSummary[] | undefined>(undefined)
  const pause = (): void => void (frozen.value = frozen.value === undefined ? events : undefined)
  useKeys([{ keys: 'space', what: 'pause the last events', act: pause }])
  return (
    <Card
      title={<a href={href('events')}>Live</a>}
      more={
        <Button look="quiet" pressed={frozen.value !== undefined} onClick={pause}>
          {frozen.value === undefined ? 'pause' : 'paused'} <kbd>space</kbd>
        </Button>
      }
    >
      <ul class="live">
        {(frozen.value ?? events)
          .slice(0, 10)
          .map(({ id, received_at, type, thread, subject, matched_triggers }) => (
            <li key={id}>
              <Time at={received_at} />
              <a href={href('events', id)}>
                <Untrusted text={type} most={40} />
              </a>
              <Untrusted text={thread ?? subject ?? ''} most={60} />
              {(matched_triggers?.length ?? 0) > 0 ? (
                <Lamp kind="clear">{plural(matched_triggers!.length, 'trigger')}</Lamp>
              ) : (
                <Lamp kind="miss">no match</Lamp>
              )}
            </li>
          ))}
      </ul>
    </Card>
  )
}

const first = `signalbox emit service hello --payload '{"hello": "world"}'`

function Teach(): JSX.Element {
  return (
    <Empty title="Start with a source">
      <p>
        An event comes from a <a href={href('sources', 'new')}>source</a>, a{' '}
        <a href={href('triggers', 'new')}>trigger</a> says which bot it starts, and a{' '}
        <a href={href('bots')}>bot</a> does the work. With a source of type service this logs the first event:
      </p>
      <pre class="command">{first}</pre>
      <Copy text={first} what="command" />
    </Empty>
  )
}

export default function Screen(): JSX.Element {
  const asked = place.value.query.get('span')
  const span: Span = asked !== null && Object.hasOwn(spans, asked) ? (asked as Span) : '24h'
  const view = useMemo(() => new TimeWindow(spans[span]), [span])
  useEffect(() => () => view.stop(), [view])
  const hour = useLoad(abort => call('router.stats', { since: Date.now() - hourMs }, abort), 'hour', {
    every: 15_000,
  })
  const router = status.value
  const stats = hour.value.value
  if (router === undefined || stats === undefined)
    return hour.value.error === undefined ? (
      <h1 class="sentence muted">reading …</h1>
    ) : (
      <Problem error={hour.value.error} again={hour.again} />
    )
  const standing = standingOf(router, stats)
  return (
    <>
      <header class="head">
        <Sentence standing={standing} />
        <CopyCommand command="signalbox status --watch" />
      </header>
      <Tiles hour={stats} router={router} />
      {router.sources === 0 || router.events.logged === 0 ? <Teach /> : null}
      {view.error.value === undefined ? null : (
        <Problem error={view.error.value} again={() => void view.load()} />
      )}
      <div class="split">
        <div class="stack">
          <Lanes runs={view.runs.value} span={span} since={view.complete_since.value} />
          <Throughput view={view} span={span} />
        </div>
        <div class="stack">
          <Concerns standing={standing} router={router} runs={view.runs.value} />
          <Live events={view.events.value} />
        </div>
      </div>
    </>
  )
}
