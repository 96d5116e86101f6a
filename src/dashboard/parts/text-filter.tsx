// A filter that is part of the address.
import type { JSX } from 'preact'
import { setQuery } from '../router.ts'
import { Field } from './basic.tsx'

/** Changes are taken over when the field is left or Enter is pressed: each is an address. */
export function TextFilter({
  name,
  query,
  hint,
}: {
  name: string
  query: URLSearchParams
  hint: string
}): JSX.Element {
  return (
    <Field label={name[0]!.toUpperCase() + name.slice(1)}>
      <input
        key={query.get(name)}
        defaultValue={query.get(name) ?? ''}
        placeholder={hint}
        spellcheck={false}
        onChange={event => setQuery({ [name]: event.currentTarget.value.trim() })}
      />
    </Field>
  )
}
