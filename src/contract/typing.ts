// Where the contract asks for numbers: exact numbers there are doubles, as handlers compute with them. Elsewhere, in
// payloads, inputs, filters and templates, they keep their digits.
import { isRaw } from '../exact-json.ts'
import type { Schema } from './document.ts'
import { alternatives, ofMember, type Schemas } from './schema-walk.ts'

function asksForNumber({ type, enum: among, const: only }: Schema): boolean {
  return [type, among, only]
    .flat()
    .some(each => each === 'number' || each === 'integer' || typeof each === 'number')
}

function typed(value: unknown, all: readonly Schema[], schemas: Schemas): unknown {
  if (typeof value !== 'object' || value === null || all.length === 0) return value
  if (isRaw(value)) return all.some(asksForNumber) ? Number(value.rawJSON) : value
  if (Array.isArray(value)) {
    const items = all.flatMap(({ items: of }) => alternatives(of, schemas))
    return value.map(item => typed(item, items, schemas))
  }
  return Object.fromEntries(
    Object.entries(value).map(([name, part]) => [name, typed(part, ofMember(all, name, schemas), schemas)]),
  )
}

/** For a value that a schema has been held against without exact numbers: the same with those that may stay. */
export function typing(schema: Schema, schemas: Schemas): (exact: unknown) => unknown {
  return exact => typed(exact, alternatives(schema, schemas), schemas)
}
