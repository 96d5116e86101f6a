// What the draft would have matched: against the log as it is edited, and against one event with every condition.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import type { BacktestReport, BacktestSample, DraftTrigger, TriggerTestResult } from '../../contract/types.ts'
import { FieldRow } from '../event/decisions.tsx'
import { fieldsOf } from '../event/nearest.ts'
import { Button, Card, Facts, Lamp, Problem, Time, Untrusted } from '../parts/basic.tsx'
import { JsonField } from '../parts/json-field.tsx'
import type { LampKind } from '../parts/lamp-kind.ts'
import { Tree } from '../parts/tree.tsx'
import { href } from '../router.ts'
import { call, isAbort } from '../rpc.ts'
import { count, duration, oneLine, plural, shortId } from '../text.ts'
import type { Editor } from './editor.ts'

const newest = 500
const all = 100_000_000
const samples = 20
const quietMs = 500

interface Chosen {
  event_id: string
}

function Sample({ sample, sign, choose, isChosen }: { sample: BacktestSample; sign: [LampKind, string]; choose: () => void; isChosen: boolean }): JSX.Element {
  const { type, subject, received_at, failing, event_id } = sample
  return (
    <li class={isChosen ? 'sample row-selected' : 'sample'}>
      <Lamp kind={sign[0]}>{sign[1]}</Lamp>
      <button type="button" class="sample-open" aria-pressed={isChosen} onClick={choose} title="Show every condition">
        <Time at={received_at} /> <Untrusted text={type} most={40} /> <Untrusted text={subject ?? `…${shortId(event_id)}`} most={60} />
      </button>
      <span class="muted small">{failing === undefined ? '' : `fails: ${oneLine(failing.join(', '), 80)}`}</span>
    </li>
  )
}

function Samples({ report, chosen, choose }: { report: BacktestReport; chosen: string | undefined; choose: (event_id: string) => void }): JSX.Element {
  const { samples: both, difference } = report
  const added = new Set(difference?.added_samples.map(({ event_id }) => event_id))
  const groups: [BacktestSample[], [LampKind, string]][] = [
    [difference?.added_samples ?? [], ['clear', '+ new']],
    [difference?.removed_samples ?? [], ['stop', '− lost']],
    [both.matched.filter(({ event_id }) => !added.has(event_id)), ['clear', 'match']],
    [both.unmatched, ['miss', 'no']],
  ]
  return (
    <ul class="samples">
      {groups.flatMap(([list, sign]) =>
        list.map(sample => (
          <Sample
            key={`${sign[1]} ${sample.event_id}`}
            sample={sample}
            sign={sign}
            isChosen={chosen === sample.event_id}
            choose={() => choose(sample.event_id)}
          />
        )),
      )}
    </ul>
  )
}

function Verdict({ report: { scanned, matched, more, difference, took_ms, stopped } }: { report: BacktestReport }): JSX.Element {
  return (
    <p>
      <strong>
        matches {count(matched)} of {count(scanned)} {scanned === 1 ? 'event' : 'events'}
      </strong>{' '}
      {difference === undefined ? null : (
        <span>
          (version {difference.live_version}: <span class="figure">{count(matched - difference.added + difference.removed)}</span>;{' '}
          <span class={difference.added > 0 ? 'lamp-clear figure' : 'figure'}>+{count(difference.added)}</span>{' '}
          <span class={difference.removed > 0 ? 'lamp-stop figure' : 'figure'}>−{count(difference.removed)}</span>)
        </span>
      )}{' '}
      <span class="muted small">
        {more ? 'older ones were not looked at, ' : ''}
        {stopped ? 'stopped early, ' : ''}
        {duration(took_ms)}
      </span>
    </p>
  )
}

/** The draft against one event. */
function Tried({ trigger, event_id, pasted }: { trigger: DraftTrigger; event_id?: string | undefined; pasted?: object | undefined }): JSX.Element {
  const result = useSignal<TriggerTestResult | undefined>(undefined)
  const problem = useSignal<unknown>(undefined)
  const key = JSON.stringify([trigger, event_id, pasted])
  useEffect(() => {
    const abort = new AbortController()
    call('trigger.test', { trigger, ...(event_id === undefined ? { event: pasted! } : { event_id }) }, abort.signal).then(
      value => {
        result.value = value
        problem.value = undefined
      },
      (error: unknown) => !isAbort(error) && (problem.value = error),
    )
    return () => abort.abort()
  }, [key])
  const { value } = result
  if (problem.value !== undefined) return <Problem error={problem.value} />
  if (value === undefined) return <p class="muted small">reading …</p>
  return (
    <div class="stack">
      <p>
        <Lamp kind={value.matched ? 'clear' : 'miss'}>{value.matched ? 'matches' : 'does not match'}</Lamp> {oneLine(value.reason, 300)}{' '}
        {event_id === undefined ? null : <a href={href('events', event_id)}>the event</a>}
      </p>
      <ul class="truth">
        {fieldsOf(value.conditions).map(field => (
          <FieldRow key={`${field.branch} ${field.path}`} field={field} />
        ))}
      </ul>
      {value.inputs_error === undefined ? null : <Lamp kind="stop">{oneLine(value.inputs_error, 300)}</Lamp>}
      {value.inputs === undefined ? null : <Tree value={value.inputs} label="Inputs that the bot would get" />}
    </div>
  )
}

function Pasted({ trigger }: { trigger: DraftTrigger }): JSX.Element {
  const text = useSignal('{"type": "push", "payload": {}}')
  const event = useSignal<object | undefined>({ type: 'push', payload: {} })
  return (
    <details>
      <summary class="small muted">Try it on an event that you write</summary>
      <JsonField
        label="Event as JSON"
        text={text.value}
        change={(given, value) => {
          text.value = given
          event.value = value === undefined ? undefined : Object(value.json)
        }}
        hint="type, subject, actor, thread, headers, payload; nothing is stored or started"
      />
      {event.value === undefined ? null : <Tried trigger={trigger} pasted={event.value} />}
    </details>
  )
}

export function DryRun({ editor, event_id }: { editor: Editor; event_id: string | undefined }): JSX.Element {
  const report = useSignal<BacktestReport | undefined>(undefined)
  const problem = useSignal<unknown>(undefined)
  const isRunning = useSignal(false)
  const limit = useSignal(newest)
  const chosen = useSignal<Chosen | undefined>(event_id === undefined ? undefined : { event_id })
  const { value: read } = editor.read
  const text = read.ok ? editor.text.value : ''
  useEffect(() => {
    if (!read.ok) return
    const abort = new AbortController()
    const timer = setTimeout(() => {
      isRunning.value = true
      call('trigger.backtest', { trigger: read.trigger, limit: limit.value, samples }, abort.signal)
        .then(
          value => {
            report.value = value
            problem.value = undefined
          },
          (error: unknown) => !isAbort(error) && (problem.value = error),
        )
        .finally(() => (isRunning.value = false))
    }, quietMs)
    return () => {
      clearTimeout(timer)
      abort.abort()
    }
  }, [text, limit.value])
  if (!read.ok) return <Card title="Dry run">The document is not JSON: {read.problem}</Card>
  return (
    <Card
      title="Dry run"
      more={
        <div class="actions">
          {isRunning.value ? <Lamp kind="active">running</Lamp> : null}
          <Button look="quiet" pressed={limit.value === newest} onClick={() => (limit.value = newest)}>
            last {newest} events
          </Button>
          <Button look="quiet" pressed={limit.value === all} onClick={() => (limit.value = all)}>
            the whole log
          </Button>
        </div>
      }
    >
      {problem.value === undefined ? null : <Problem error={problem.value} />}
      {report.value === undefined ? null : (
        <>
          <Verdict report={report.value} />
          <Facts
            of={report.value.by_type
              .filter(({ matched }) => matched > 0)
              .slice(0, 5)
              .map(({ type, matched }) => [type, plural(matched, 'match', 'matches')])}
          />
          <Samples report={report.value} chosen={chosen.value?.event_id} choose={id => (chosen.value = { event_id: id })} />
        </>
      )}
      {chosen.value === undefined ? (
        <p class="muted small">Choose an event to see every condition and what the bot would get.</p>
      ) : (
        <section class="stack" aria-label="The chosen event">
          <h3>Event …{shortId(chosen.value.event_id)}</h3>
          <Tried trigger={read.trigger} event_id={chosen.value.event_id} />
        </section>
      )}
      <Pasted trigger={read.trigger} />
    </Card>
  )
}
