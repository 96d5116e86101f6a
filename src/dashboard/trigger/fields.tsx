// Fields of the form: each is a value of the document, and says what the router finds wrong with it.
import { useSignal } from '@preact/signals'
import type { ComponentChildren, JSX } from 'preact'
import type { TriggerInput } from '../../contract/types.ts'
import { Field } from '../parts/basic.tsx'
import { duration, oneLine } from '../text.ts'
import { valueAt } from './draft.ts'
import type { Editor } from './editor.ts'

export interface FormProps {
  editor: Editor
  trigger: TriggerInput
}

interface TextInputProps {
  value: string
  /** Called when the input is left, or Enter is pressed. */
  commit: (text: string) => void
  label?: string
  list?: string
  isCode?: boolean
  isNumber?: boolean
  isInvalid?: boolean
  disabled?: boolean
  placeholder?: string
}

/** An input whose text is taken over when it is left: a half of a path is no path. */
export function TextInput({
  value,
  commit,
  label,
  list,
  isCode,
  isNumber,
  isInvalid,
  disabled,
  placeholder,
}: TextInputProps): JSX.Element {
  const typed = useSignal<string | undefined>(undefined)
  return (
    <input
      aria-label={label}
      list={list}
      type={isNumber === true ? 'number' : 'text'}
      min={isNumber === true ? 0 : undefined}
      class={isCode === true ? 'mono' : ''}
      aria-invalid={isInvalid === true}
      disabled={disabled}
      placeholder={placeholder}
      spellcheck={false}
      value={typed.value ?? value}
      onInput={({ currentTarget }) => (typed.value = currentTarget.value)}
      onChange={({ currentTarget }) => {
        typed.value = undefined
        commit(currentTarget.value)
      }}
      onBlur={() => (typed.value = undefined)}
    />
  )
}

/** Takes over what is typed in the field that has the focus, before the draft is saved or tried. */
export function commitTyped(): void {
  const element = document.activeElement
  if (!(element instanceof HTMLInputElement) && !(element instanceof HTMLTextAreaElement)) return
  element.blur()
  element.focus()
}

/** What is wrong at a path of the document, or below it. */
export function problemAt(editor: Editor, path: readonly string[]): string | undefined {
  const { value } = editor.problem
  const at = path.join('.')
  return value !== undefined && (value.path === at || value.path.startsWith(`${at}.`))
    ? oneLine(value.message, 300)
    : undefined
}

interface ValueFieldProps extends FormProps {
  path: string[]
  label: string
  hint?: ComponentChildren
  list?: string
  placeholder?: string
}

/** A text of the document. Empty: it is taken out. */
export function TextField({
  editor,
  trigger,
  path,
  label,
  hint,
  list,
  placeholder,
}: ValueFieldProps): JSX.Element {
  const value = valueAt(trigger, path) ?? ''
  const problem = problemAt(editor, path)
  const isText = typeof value === 'string'
  return (
    <Field label={label} hint={problem ?? (isText ? hint : 'not a text: edit it in the code')}>
      <TextInput
        value={isText ? value : ''}
        disabled={!isText}
        isInvalid={problem !== undefined}
        commit={text => editor.set(path, text === '' ? undefined : text)}
        {...(list === undefined ? {} : { list })}
        {...(placeholder === undefined ? {} : { placeholder })}
      />
    </Field>
  )
}

interface NumberFieldProps extends Omit<ValueFieldProps, 'hint'> {
  hint?: string | undefined
  /** milliseconds */
  isTime?: boolean
  /** Changes the document; default: sets the value, or takes it out. */
  commit?: (value: number | undefined) => void
}

export function NumberField({
  editor,
  trigger,
  path,
  label,
  hint,
  isTime,
  commit,
}: NumberFieldProps): JSX.Element {
  const value = valueAt(trigger, path)
  const problem = problemAt(editor, path)
  const set = commit ?? ((number: number | undefined): void => editor.set(path, number))
  const time = isTime === true && typeof value === 'number' ? duration(value) : undefined
  return (
    <Field
      label={isTime === true ? `${label} (ms)` : label}
      hint={problem ?? [time, hint].filter(each => each !== undefined).join('. ')}
    >
      <TextInput
        isNumber
        value={typeof value === 'number' ? String(value) : ''}
        isInvalid={problem !== undefined}
        commit={text => set(text === '' ? undefined : Number(text))}
      />
    </Field>
  )
}
