// Starting an event again: the runs that are missing, all of them, or a changed copy that says that it is one.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import type { Event, EventReplayResult } from '../../contract/types.ts'
import { readJson, writeJson } from '../json.ts'
import { Button, Field, Problem } from '../parts/basic.tsx'
import { Dialog } from '../parts/dialog.tsx'
import { attempt } from '../parts/toast.tsx'
import { go, href } from '../router.ts'
import { call } from '../rpc.ts'
import { plural } from '../text.ts'

type Way = 'missing' | 'all' | 'edited'
const ways: [Way, string, string][] = [
  ['missing', 'Missing runs', 'The current triggers, only where this event has no run of the trigger yet.'],
  [
    'all',
    'All runs again',
    'A second run of each trigger that matches, also where there was one: its bot does the work again.',
  ],
  [
    'edited',
    'A changed copy',
    'A new event with the payload below. It is marked as emitted by you: it proves nothing about who caused it.',
  ],
]

export function Replay({ event, close }: { event: Event; close: () => void }): JSX.Element {
  const way = useSignal<Way>('missing')
  const plan = useSignal<EventReplayResult | undefined>(undefined)
  const text = useSignal(writeJson(event.payload))
  const problem = useSignal<unknown>(undefined)
  const choose = (chosen: Way): void => {
    way.value = chosen
    plan.value = undefined
    problem.value = undefined
  }
  const dryRun = async (): Promise<void> => {
    try {
      plan.value = await call('event.replay', {
        event_id: event.id,
        mode: way.value === 'all' ? 'all' : 'missing',
        dry_run: true,
      })
    } catch (error) {
      problem.value = error
    }
  }
  const start = async (): Promise<void> => {
    const mode = way.value === 'all' ? 'all' : 'missing'
    if (await attempt('replayed', () => call('event.replay', { event_id: event.id, mode }))) close()
  }
  const emit = async (): Promise<void> => {
    try {
      const payload = readJson(text.value)
      const { source_id, type, subject } = event
      const { event_id } = await call('event.emit', {
        source_id,
        type,
        payload,
        ...(subject === null ? {} : { subject }),
      })
      close()
      go(href('events', event_id))
    } catch (error) {
      problem.value =
        error instanceof SyntaxError ? new Error(`the payload must be JSON: ${error.message}`) : error
    }
  }
  return (
    <Dialog title="Replay this event" close={close} class={way.value === 'edited' ? 'dialog-wide' : ''}>
      <fieldset class="choices">
        <legend class="hidden-text">What to start</legend>
        {ways.map(([name, title, words]) => (
          <label key={name} class="choice">
            <input type="radio" name="way" checked={way.value === name} onChange={() => choose(name)} />
            <span>
              <strong>{title}</strong>
              <br />
              <span class="muted small">{words}</span>
            </span>
          </label>
        ))}
      </fieldset>
      {way.value !== 'edited' ? null : (
        <Field label="Payload">
          <textarea
            class="mono"
            rows={16}
            spellcheck={false}
            value={text.value}
            onInput={({ currentTarget }) => (text.value = currentTarget.value)}
          />
        </Field>
      )}
      {problem.value === undefined ? null : <Problem error={problem.value} />}
      {plan.value === undefined ? null : (
        <p role="status">
          {plan.value.planned.length === 0
            ? 'Nothing would start: no trigger of today matches, or each has its run already.'
            : `${plural(plan.value.planned.length, 'run')} would start: ${plan.value.planned.map(({ trigger_id }) => trigger_id).join(', ')}`}
        </p>
      )}
      <div class="dialog-actions">
        <Button onClick={close}>Cancel</Button>
        {way.value === 'edited' ? (
          <Button look="primary" scope="emit" onClick={() => void emit()}>
            Emit the copy
          </Button>
        ) : plan.value === undefined ? (
          <Button look="primary" scope="approve" onClick={() => void dryRun()}>
            Show what would start
          </Button>
        ) : (
          <Button
            look="primary"
            scope="approve"
            disabled={plan.value.planned.length === 0}
            onClick={() => void start()}
          >
            Start {plural(plan.value.planned.length, 'run')}
          </Button>
        )}
      </div>
    </Dialog>
  )
}
