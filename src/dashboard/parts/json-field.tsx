// A field for JSON: it says what is wrong with its text while it is written.
import type { JSX } from 'preact'
import { readJson } from '../json.ts'
import { Field } from './basic.tsx'

interface JsonFieldProps {
  label: string
  text: string
  /** value: undefined while the text is not JSON */
  change: (text: string, value: { json: unknown } | undefined) => void
  rows?: number
  hint?: string
}

/** Why a text is not JSON; undefined: it is. */
function jsonProblem(text: string): string | undefined {
  try {
    readJson(text)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

export function JsonField({ label, text, change, rows = 8, hint }: JsonFieldProps): JSX.Element {
  const problem = jsonProblem(text)
  const onInput = (given: string): void => {
    change(given, jsonProblem(given) === undefined ? { json: readJson(given) } : undefined)
  }
  return (
    <Field label={label} hint={problem === undefined ? hint : `not JSON: ${problem}`}>
      <textarea
        class="mono"
        rows={rows}
        spellcheck={false}
        aria-invalid={problem !== undefined}
        value={text}
        onInput={event => onInput(event.currentTarget.value)}
      />
    </Field>
  )
}
