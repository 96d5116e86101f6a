// The draft against one event: a stored one, or one that is pasted. Every condition, and what the bot would be given.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import type { DraftTrigger, TriggerTestResult } from '../../contract/types.ts'
import { FieldRow } from '../event/decisions.tsx'
import { fieldsOf } from '../event/nearest.ts'
import { Lamp, Problem } from '../parts/basic.tsx'
import { JsonField } from '../parts/json-field.tsx'
import { Tree } from '../parts/tree.tsx'
import { href } from '../router.ts'
import { call, isAbort } from '../rpc.ts'
import { oneLine } from '../text.ts'

interface TriedProps {
  trigger: DraftTrigger
  event_id?: string
  pasted?: object
}

export function Tried({ trigger, event_id, pasted }: TriedProps): JSX.Element {
  const result = useSignal<TriggerTestResult | undefined>(undefined)
  const problem = useSignal<unknown>(undefined)
  const key = JSON.stringify([trigger, event_id, pasted])
  useEffect(() => {
    const abort = new AbortController()
    call(
      'trigger.test',
      { trigger, ...(event_id === undefined ? { event: pasted! } : { event_id }) },
      abort.signal,
    ).then(
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
  const { matched, reason, conditions, inputs, inputs_error, payload_left_out } = value
  return (
    <div class="stack">
      <p>
        <Lamp kind={matched ? 'clear' : 'miss'}>{matched ? 'matches' : 'does not match'}</Lamp>{' '}
        <bdi>{oneLine(reason, 300)}</bdi>{' '}
        {event_id === undefined ? null : <a href={href('events', event_id)}>open the event</a>}
      </p>
      <ul class="truth">
        {fieldsOf(conditions).map(field => (
          <FieldRow key={`${field.branch} ${field.path}`} field={field} />
        ))}
      </ul>
      {payload_left_out === true ? (
        <p class="muted small">
          Your login does not have the scope payload, so values of the event are left out.
        </p>
      ) : null}
      {inputs_error === undefined ? null : (
        <Problem error={new Error(`the inputs cannot be rendered: ${inputs_error}`)} />
      )}
      {inputs === undefined ? null : (
        <>
          <h3>Inputs that the bot would be given</h3>
          <Tree value={inputs} label="Inputs" />
        </>
      )}
    </div>
  )
}

export function Pasted({ trigger }: { trigger: DraftTrigger }): JSX.Element {
  const text = useSignal('{"type": "push", "payload": {}}')
  const event = useSignal<object | undefined>({ type: 'push', payload: {} })
  const isOpen = useSignal(false)
  return (
    <details onToggle={({ currentTarget }) => (isOpen.value = currentTarget.open)}>
      <summary class="small muted">Try it on an event that you paste</summary>
      <div class="form">
        <JsonField
          label="Event as JSON"
          text={text.value}
          change={(given, value) => {
            text.value = given
            event.value = value === undefined ? undefined : Object(value.json)
          }}
          hint="type, subject, actor, thread, headers, payload. Nothing is stored or started."
        />
        {event.value === undefined || !isOpen.value ? null : <Tried trigger={trigger} pasted={event.value} />}
      </div>
    </details>
  )
}
