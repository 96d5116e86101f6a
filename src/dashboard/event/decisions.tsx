// Why an event did or did not start something: a decision for each trigger.
import type { JSX } from 'preact'
import type { Event, ExplainedDecision, Gate } from '../../contract/types.ts'
import { Card, Lamp, Problem, Untrusted } from '../parts/basic.tsx'
import { lampOfGate } from '../parts/lamp-kind.ts'
import { useCall } from '../load.ts'
import { href } from '../router.ts'
import { oneLine, plural, shortId } from '../text.ts'
import { fieldsOf, nearestChange, verdictOf, type FieldView } from './nearest.ts'

/** A condition with what it asks for and what the event has. */
export function FieldRow({ field: { path, holds, asks, found, hint } }: { field: FieldView }): JSX.Element {
  return (
    <li class={holds ? 'truth-row truth-yes' : 'truth-row truth-no'}>
      <span>
        <span class="hidden-text">{holds ? 'holds: ' : 'fails: '}</span>
        <code>{oneLine(path)}</code> <bdi>{asks}</bdi>: found <bdi class="mono">{found}</bdi>
        {hint === undefined ? null : <span class="truth-hint"> did you mean {oneLine(hint)}?</span>}
      </span>
    </li>
  )
}

function GateRow({ gate }: { gate: Gate }): JSX.Element {
  const { kind, word } = lampOfGate(gate)
  return (
    <li class="gate">
      <Lamp kind={kind}>{word}</Lamp>
      <span>
        {gate.gate.replaceAll('_', ' ')}: {oneLine(gate.detail, 400)}
        {gate.error === undefined ? null : (
          <>
            {' '}
            <Untrusted text={gate.error} />
          </>
        )}
      </span>
    </li>
  )
}

function Decision({ decision, event_id }: { decision: ExplainedDecision; event_id: string }): JSX.Element {
  const { trigger_id, trigger_version, matched, run_ids, conditions, gates, reason, cut_tools } = decision
  const nearest = nearestChange(decision)
  const fields = fieldsOf(conditions)
  const telling = gates.filter(({ verdict, gate }) => verdict !== 'pass' && gate !== 'filter')
  const kind = matched ? (telling.length > 0 ? 'held' : 'clear') : 'miss'
  return (
    <article class="decision" aria-label={`Trigger ${trigger_id}`}>
      <div class="card-head">
        <h3>
          <a href={href('triggers', trigger_id)}>{trigger_id}</a>{' '}
          <span class="muted">v{trigger_version}</span>
        </h3>
        <Lamp kind={kind}>{verdictOf(decision)}</Lamp>
      </div>
      <p class="small">{oneLine(reason, 400)}</p>
      <ul class="truth">
        {fields.map(field => (
          <FieldRow key={`${field.branch} ${field.path}`} field={field} />
        ))}
        {nearest === undefined ? null : (
          <li class="truth-hint">
            {nearest} · <a href={href('triggers', trigger_id, { event: event_id })}>try it in the editor</a>
          </li>
        )}
        {matched ? telling.map(gate => <GateRow key={gate.gate} gate={gate} />) : null}
      </ul>
      {run_ids.length === 0 ? null : (
        <p class="small">
          {plural(run_ids.length, 'run')}:{' '}
          {run_ids.map(id => (
            <a key={id} class="mono" href={href('runs', id)}>
              …{shortId(id)}{' '}
            </a>
          ))}
        </p>
      )}
      {cut_tools === undefined ? null : (
        <p class="small">
          <Lamp kind="caution">tools left out</Lamp>{' '}
          {cut_tools.map(({ tool, reason: why }) => `${oneLine(tool)}: ${oneLine(why)}`).join('; ')}
        </p>
      )}
      <details>
        <summary class="muted small">Every gate</summary>
        <ul class="truth">
          {gates.map(gate => (
            <GateRow key={gate.gate} gate={gate} />
          ))}
        </ul>
      </details>
    </article>
  )
}

export function Decisions({ event }: { event: Event }): JSX.Element {
  const explained = useCall(
    'event.explain',
    { event_id: event.id },
    { on: message => message.kind === 'run' && message.run.event_id === event.id },
  )
  const { value, error, loading } = explained.value
  const started = value?.decisions.filter(({ run_ids }) => run_ids.length > 0).length ?? 0
  return (
    <Card
      title={
        value === undefined
          ? 'Decisions'
          : `Decisions: ${started} of ${plural(value.decisions.length, 'trigger')} started a run`
      }
      class="decisions"
    >
      {error === undefined ? null : <Problem error={error} again={explained.again} />}
      {value === undefined && loading ? <p class="muted">reading …</p> : null}
      {value?.decisions.length === 0 ? (
        <p>
          No trigger listens to the source {event.source_id}.{' '}
          <a href={href('triggers', 'new', { event: event.id })}>Create a trigger from this event</a>
        </p>
      ) : null}
      {value?.decisions.map(decision => (
        <Decision key={decision.trigger_id} decision={decision} event_id={event.id} />
      ))}
      {value?.omitted === undefined ? null : (
        <p class="muted small">{plural(value.omitted, 'more trigger')} farther from matching</p>
      )}
    </Card>
  )
}
