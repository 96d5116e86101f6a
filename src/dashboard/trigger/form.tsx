// The document as a form. What the form has no field for stays in the document unchanged.
import type { JSX } from 'preact'
import type { TriggerInput } from '../../contract/types.ts'
import { pathText, readJson } from '../json.ts'
import { useCall } from '../load.ts'
import { Button, Field } from '../parts/basic.tsx'
import { conditionsOf, conditionText, filterOf, valuesIn, valueText, type FilterCondition, type Operator } from '../triggers/filter-words.ts'
import { valueAt } from './draft.ts'
import type { Editor } from './editor.ts'

const operators: readonly Operator[] = ['is', 'is not', 'begins with', 'ends with', 'is like', 'exists', 'does not exist']

/** A text that is there, or nothing. */
const given = (text: string): string | undefined => (text === '' ? undefined : text)

function ConditionRow({
  condition,
  index,
  change,
}: {
  condition: FilterCondition
  index: number
  change: (next: FilterCondition | undefined) => void
}): JSX.Element {
  const { path, operator, values } = condition
  const name = pathText(path)
  const remove = (
    <Button look="quiet" onClick={() => change(undefined)} label={`remove condition ${name}`}>
      remove
    </Button>
  )
  if (operator === 'other')
    return (
      <li class="condition">
        <span class="small">
          <code>{conditionText(condition)}</code> <span class="muted">(edit it in the code)</span>
        </span>
        {remove}
      </li>
    )
  return (
    <li class="condition">
      <input
        aria-label={`Path of condition ${index + 1}`}
        class="mono"
        value={name}
        spellcheck={false}
        onChange={({ currentTarget: { value } }) => change({ ...condition, path: value.split('.').filter(each => each !== '') })}
      />
      <select
        aria-label={`Operator of condition ${index + 1}`}
        value={operator}
        onChange={({ currentTarget: { value } }) => change({ ...condition, operator: value as Operator })}
      >
        {operators.map(each => (
          <option key={each}>{each}</option>
        ))}
      </select>
      {operator === 'exists' || operator === 'does not exist' ? (
        <span />
      ) : (
        <input
          aria-label={`Values of condition ${index + 1}, separated by commas`}
          class="mono"
          value={values.map(valueText).join(', ')}
          spellcheck={false}
          onChange={({ currentTarget: { value } }) => change({ ...condition, values: valuesIn(value, readJson) })}
        />
      )}
      {remove}
    </li>
  )
}

function Conditions({ editor, trigger }: { editor: Editor; trigger: TriggerInput }): JSX.Element {
  const conditions = conditionsOf(trigger.filter)
  const set = (next: readonly FilterCondition[]): void => editor.set(['filter'], filterOf(next))
  const change = (index: number, next: FilterCondition | undefined): void =>
    set(conditions.flatMap((each, at) => (at !== index ? [each] : next === undefined ? [] : [next])))
  return (
    <fieldset class="form">
      <legend class="field-label">Conditions, all of which must hold</legend>
      <ul class="stack">
        {conditions.map((condition, index) => (
          <ConditionRow key={`${index} ${pathText(condition.path)}`} condition={condition} index={index} change={next => change(index, next)} />
        ))}
      </ul>
      <div>
        <Button onClick={() => set([...conditions, { path: ['payload', `field_${conditions.length + 1}`], operator: 'is', values: ['value'] }])}>
          Add a condition
        </Button>
      </div>
    </fieldset>
  )
}

interface NumberProps {
  editor: Editor
  trigger: TriggerInput
  path: string[]
  label: string
  hint?: string
}

function NumberField({ editor, trigger, path, label, hint }: NumberProps): JSX.Element {
  const value = valueAt(trigger, path)
  return (
    <Field label={label} hint={hint}>
      <input
        type="number"
        min={0}
        value={typeof value === 'number' ? value : ''}
        onChange={({ currentTarget }) => editor.set(path, currentTarget.value === '' ? undefined : Number(currentTarget.value))}
      />
    </Field>
  )
}

function PolicyFields({ editor, trigger }: { editor: Editor; trigger: TriggerInput }): JSX.Element {
  const approval = valueAt(trigger, ['policy', 'approval'])
  const retry = valueAt(trigger, ['policy', 'retry'])
  const common = { editor, trigger }
  return (
    <details open={trigger.policy !== undefined}>
      <summary class="field-label">Policy</summary>
      <div class="form">
        <label class="choice">
          <input
            type="checkbox"
            checked={approval !== undefined}
            onChange={({ currentTarget: { checked } }) => editor.set(['policy', 'approval'], checked ? { timeout_ms: 3_600_000 } : undefined)}
          />
          <span>A person must approve each run</span>
        </label>
        {approval === undefined ? null : (
          <NumberField {...common} path={['policy', 'approval', 'timeout_ms']} label="Denied after (ms)" hint="Without it the run waits until it is decided." />
        )}
        <NumberField {...common} path={['policy', 'concurrency', 'limit']} label="At most so many runs at the same time" />
        <div class="fields">
          <NumberField {...common} path={['policy', 'rate_limit', 'limit']} label="Runs" hint="further events make no run" />
          <NumberField {...common} path={['policy', 'rate_limit', 'period_ms']} label="in any so many ms" />
        </div>
        <NumberField
          {...common}
          path={['policy', 'debounce', 'period_ms']}
          label="Wait for quiet (ms)"
          hint="Debounce: events within this time make one run."
        />
        <NumberField {...common} path={['policy', 'timeout_ms']} label="One attempt may take (ms)" />
        <Field label="Retries">
          <select
            value={Array.isArray(retry) ? 'own' : ((retry as string | undefined) ?? '')}
            onChange={({ currentTarget: { value } }) => value !== 'own' && editor.set(['policy', 'retry'], given(value))}
          >
            <option value="">default</option>
            <option>standard-webhooks</option>
            <option>none</option>
            {Array.isArray(retry) ? <option value="own">own times (code)</option> : null}
          </select>
        </Field>
      </div>
    </details>
  )
}

export function Form({ editor, trigger, isNew }: { editor: Editor; trigger: TriggerInput; isNew: boolean }): JSX.Element {
  const sources = useCall('source.list', { limit: 500 })
  const bots = useCall('bot.list', { limit: 500 })
  const { id, description, event_source_id, action } = trigger
  return (
    <div class="form">
      <datalist id="sources">
        {sources.value.value?.sources.map(each => (
          <option key={each.id} value={each.id} />
        ))}
      </datalist>
      <datalist id="bots">
        {bots.value.value?.bots.map(each => (
          <option key={each.id} value={each.id} />
        ))}
      </datalist>
      {isNew ? (
        <Field label="Id" hint="lower-case letters, digits, dot, hyphen, underscore">
          <input value={id} spellcheck={false} onChange={({ currentTarget: { value } }) => editor.set(['id'], value)} />
        </Field>
      ) : null}
      <Field label="Description">
        <input value={description ?? ''} onChange={({ currentTarget: { value } }) => editor.set(['description'], given(value))} />
      </Field>
      <Field label="Source" hint="Empty: events of any source.">
        <input
          list="sources"
          value={event_source_id ?? ''}
          spellcheck={false}
          onChange={({ currentTarget: { value } }) => editor.set(['event_source_id'], given(value))}
        />
      </Field>
      <Conditions editor={editor} trigger={trigger} />
      <div class="fields">
        <Field label="Bot">
          <input
            list="bots"
            value={action?.bot_id ?? ''}
            spellcheck={false}
            onChange={({ currentTarget: { value } }) => editor.set(['action', 'bot_id'], given(value))}
          />
        </Field>
        <Field label="Workflow">
          <input value={action?.workflow_id ?? ''} onChange={({ currentTarget: { value } }) => editor.set(['action', 'workflow_id'], given(value))} />
        </Field>
      </div>
      <Field label="Tools" hint="Separated by commas. Empty: no list, the bot may use all but the denied tools.">
        <input
          value={action?.allowed_tools?.join(', ') ?? ''}
          onChange={({ currentTarget: { value } }) =>
            editor.set(['action', 'allowed_tools'], value.trim() === '' ? undefined : value.split(',').map(each => each.trim()))
          }
        />
      </Field>
      <PolicyFields editor={editor} trigger={trigger} />
    </div>
  )
}
