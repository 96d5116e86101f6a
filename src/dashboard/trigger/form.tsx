// The document as a form. What the form has no field for stays in the document unchanged.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { writeJson } from '../json.ts'
import { useCall } from '../load.ts'
import { Button, Field } from '../parts/basic.tsx'
import { JsonField } from '../parts/json-field.tsx'
import { oneLine } from '../text.ts'
import { Conditions } from './conditions.tsx'
import { valueAt } from './draft.ts'
import { problemAt, TextField, TextInput, type FormProps } from './fields.tsx'
import { PolicyFields } from './policy.tsx'

function InputsField({ editor, trigger }: FormProps): JSX.Element {
  const inputs = valueAt(trigger, ['action', 'inputs'])
  const stored = writeJson(inputs)
  /** of: the inputs of the document when it was typed */
  const typed = useSignal<{ text: string; of: string } | undefined>(undefined)
  const set = (json: unknown): void => editor.set(['action', 'inputs'], json)
  if (inputs === undefined)
    return (
      <div>
        <span class="small muted">No inputs: the bot is given the event. </span>
        <Button onClick={() => set({ subject: '{{ subject }}' })}>Add inputs</Button>
      </div>
    )
  return (
    <div class="form">
      <JsonField
        label="Inputs of the bot, as JSON"
        text={typed.value?.of === stored ? typed.value.text : stored}
        rows={Math.min(12, stored.split('\n').length + 1)}
        hint={
          problemAt(editor, ['action', 'inputs']) ?? '{{ payload.number }} stands for a value of the event.'
        }
        change={(text, value) => {
          typed.value = { text, of: value === undefined ? stored : writeJson(value.json) }
          if (value !== undefined) set(value.json)
        }}
      />
      <div>
        <Button look="quiet" onClick={() => set(undefined)}>
          remove the inputs
        </Button>
      </div>
    </div>
  )
}

function ToolsField({
  editor,
  trigger,
  offered,
}: FormProps & { offered: readonly string[] | undefined }): JSX.Element {
  const path = ['action', 'allowed_tools']
  const tools = valueAt(trigger, path)
  const problem = problemAt(editor, path)
  const isList =
    tools === undefined || (Array.isArray(tools) && tools.every(each => typeof each === 'string'))
  const list = isList ? (tools ?? []) : []
  const missing = offered === undefined ? [] : list.filter(tool => !offered.includes(tool))
  const hint = [
    'Separated by commas. Empty: no list, the bot may use all of its tools but the denied ones.',
    offered === undefined ? '' : `The bot lists ${oneLine(offered.join(', '), 400) || 'no tool'}.`,
    missing.length === 0 ? '' : `Not in its list: ${oneLine(missing.join(', '), 400)}.`,
    'Review says which are denied.',
  ]
  const commit = (text: string): void => {
    const names = text
      .split(',')
      .map(each => each.trim())
      .filter(each => each !== '')
    editor.set(path, names.length === 0 ? undefined : names)
  }
  return (
    <Field
      label="Allowed tools"
      hint={
        problem ??
        (isList ? hint.filter(each => each !== '').join(' ') : 'not a list of names: edit it in the code')
      }
    >
      <TextInput
        value={list.join(', ')}
        isCode
        disabled={!isList}
        isInvalid={problem !== undefined}
        commit={commit}
        placeholder="Read, Grep"
      />
    </Field>
  )
}

export function Form({ editor, trigger, isNew }: FormProps & { isNew: boolean }): JSX.Element {
  const sources = useCall('source.list', { limit: 500 })
  const bots = useCall('bot.list', { limit: 500 })
  const common = { editor, trigger }
  const capabilities = valueAt(trigger, ['action', 'capabilities'])
  const bot = bots.value.value?.bots.find(({ id }) => id === valueAt(trigger, ['action', 'bot_id']))
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
        <TextField
          {...common}
          path={['id']}
          label="Id"
          hint="Lower-case letters, digits, dots, hyphens and underscores."
        />
      ) : null}
      <TextField {...common} path={['description']} label="Description" />
      <label class="check">
        <input
          type="checkbox"
          checked={valueAt(trigger, ['enabled']) !== false}
          onChange={({ currentTarget: { checked } }) => editor.set(['enabled'], checked ? undefined : false)}
        />
        <span>Enabled</span>
      </label>
      <TextField
        {...common}
        path={['event_source_id']}
        label="Source"
        list="sources"
        hint="Empty: events of any source."
      />
      <Conditions {...common} />
      <div class="fields">
        {capabilities === undefined ? (
          <TextField {...common} path={['action', 'bot_id']} label="Bot" list="bots" />
        ) : (
          <p class="small">
            Any bot with{' '}
            {oneLine(Array.isArray(capabilities) ? capabilities.join(', ') : writeJson(capabilities))}{' '}
            <span class="muted">(capabilities are edited in the code)</span>
          </p>
        )}
        <TextField {...common} path={['action', 'workflow_id']} label="Workflow" />
      </div>
      <ToolsField {...common} offered={bot?.tools} />
      <InputsField {...common} />
      <PolicyFields {...common} />
    </div>
  )
}
