// The filter of a trigger as a form: event types, and a row for each condition.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { readJson } from '../json.ts'
import { Button, Field } from '../parts/basic.tsx'
import { oneLine } from '../text.ts'
import {
  changed,
  conditionsOf,
  conditionText,
  filterOf,
  valuesIn,
  valueText,
  type FilterCondition,
  type Operator,
} from '../triggers/filter-words.ts'
import { commitTyped, problemAt, TextInput, type FormProps } from './fields.tsx'

const operators: readonly Operator[] = [
  'is',
  'is not',
  'begins with',
  'ends with',
  'is like',
  'exists',
  'does not exist',
]

const isType = ({ path, operator }: FilterCondition): boolean =>
  path.length === 1 && path[0] === 'type' && operator === 'is'
const inputText = (values: readonly unknown[]): string => values.map(valueText).join(', ')

interface RowProps {
  condition: FilterCondition
  /** of all conditions of the filter */
  index: number
  /** Answers why the change cannot be made. */
  change: (next: FilterCondition | undefined) => string | undefined
  problem: string | undefined
}

function ConditionRow({ condition, index, change, problem }: RowProps): JSX.Element {
  const { path, operator, values } = condition
  const refused = useSignal<string | undefined>(undefined)
  const name = path.join('.')
  const wrong = refused.value ?? problem
  const set = (next: FilterCondition | undefined): void => void (refused.value = change(next))
  const remove = (
    <Button look="quiet" onClick={() => set(undefined)} label={`remove condition ${oneLine(name)}`}>
      remove
    </Button>
  )
  const message = wrong === undefined ? null : <p class="field-hint condition-problem">{wrong}</p>
  if (operator === 'other')
    return (
      <li class="condition condition-code">
        <span class="small">
          <code>{conditionText(condition)}</code> <span class="muted">is edited in the code</span>
        </span>
        {remove}
        {message}
      </li>
    )
  return (
    <li class="condition">
      <TextInput
        label={`Path of condition ${index + 1}`}
        isCode
        isInvalid={wrong !== undefined}
        value={name}
        commit={text => set({ ...condition, path: text.trim().split('.') })}
      />
      <select
        aria-label={`Operator of condition ${index + 1}`}
        value={operator}
        onChange={({ currentTarget: { value } }) => set(changed(condition, { operator: value as Operator }))}
      >
        {operators.map(each => (
          <option key={each}>{each}</option>
        ))}
      </select>
      {operator === 'exists' || operator === 'does not exist' ? (
        <span />
      ) : (
        <TextInput
          label={`Values of condition ${index + 1}, separated by commas`}
          isCode
          isInvalid={wrong !== undefined}
          value={inputText(values)}
          commit={text => set(changed(condition, { values: valuesIn(text, readJson) }))}
        />
      )}
      {remove}
      {message}
    </li>
  )
}

export function Conditions({ editor, trigger }: FormProps): JSX.Element {
  const conditions = conditionsOf(trigger.filter)
  const set = (next: readonly FilterCondition[]): void => editor.set(['filter'], filterOf(next))
  const change = (index: number, next: FilterCondition | undefined): string | undefined => {
    const others = conditions.filter((_, at) => at !== index)
    const path = next?.path.join('.')
    if (path === '') return 'a condition needs a path, such as payload.action'
    if (others.some(each => each.path.join('.') === path))
      return `there is a condition for ${oneLine(path!)} already: add the values there`
    set(next === undefined ? others : conditions.with(index, next))
    return undefined
  }
  const add = (): void => {
    commitTyped()
    const read = editor.read.peek()
    const now = conditionsOf(read.ok ? read.trigger.filter : {})
    let number = now.length + 1
    while (now.some(({ path }) => path.join('.') === `payload.field_${number}`)) number++
    set([...now, { path: ['payload', `field_${number}`], operator: 'is', values: ['value'] }])
  }
  const types = conditions.find(isType)
  const others = conditions.filter(each => each !== types)
  const setTypes = (text: string): void => {
    const values = valuesIn(text, readJson).map(value =>
      typeof value === 'string' ? value : valueText(value),
    )
    set(values.length === 0 ? others : [{ path: ['type'], operator: 'is', values }, ...others])
  }
  const typeProblem = types === undefined ? undefined : problemAt(editor, ['filter', 'type'])
  return (
    <fieldset class="form">
      <legend class="field-label">Filter: all of it must hold</legend>
      {conditions.some(each => !isType(each) && each.path.join('.') === 'type') ? null : (
        <Field
          label="Event types"
          hint={typeProblem ?? 'Separated by commas, any of them. Empty: all types.'}
        >
          <TextInput
            value={inputText(types?.values ?? [])}
            isCode
            isInvalid={typeProblem !== undefined}
            commit={setTypes}
            placeholder="push, release"
          />
        </Field>
      )}
      <ul class="stack">
        {conditions.map((condition, index) =>
          condition === types ? null : (
            <ConditionRow
              key={`${index} ${condition.path.join('.')}`}
              condition={condition}
              index={index}
              change={next => change(index, next)}
              problem={problemAt(editor, ['filter', ...condition.path])}
            />
          ),
        )}
      </ul>
      <div>
        <Button onClick={add}>Add a condition</Button>
      </div>
    </fieldset>
  )
}
