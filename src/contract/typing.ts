// Where the contract asks for numbers: exact numbers there are doubles, as handlers compute with them. Elsewhere, in
// payloads, inputs, filters and templates, they keep their digits.
import { isRaw } from '../exact-json.ts'
import type { Json, Schema } from './document.ts'

interface Schemas {
  [name: string]: Schema
}

/** A schema and what it refers to or has as alternatives: all that may say something of one value. */
function alternatives(schema: Json | undefined, schemas: Schemas): Schema[] {
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) return []
  const { $ref, oneOf = [], anyOf = [] } = schema
  const referred = typeof $ref === 'string' ? alternatives(schemas[$ref.slice($ref.lastIndexOf('/') + 1)], schemas) : []
  return [schema, ...referred, ...[oneOf, anyOf].flat().flatMap(each => alternatives(each, schemas))]
}

function asksForNumber({ type, enum: among, const: only }: Schema): boolean {
  return [type, among, only].flat().some(each => each === 'number' || each === 'integer' || typeof each === 'number')
}

/** What schemas say of a member. */
function ofMember(all: readonly Schema[], name: string, schemas: Schemas): Schema[] {
  return all.flatMap(({ properties, additionalProperties }) => {
    const own = (properties as Schemas | undefined)?.[name]
    return alternatives(own ?? additionalProperties, schemas)
  })
}

function typed(value: unknown, all: readonly Schema[], schemas: Schemas): unknown {
  if (typeof value !== 'object' || value === null || all.length === 0) return value
  if (isRaw(value)) return all.some(asksForNumber) ? Number(value.rawJSON) : value
  if (Array.isArray(value)) {
    const items = all.flatMap(({ items: of }) => alternatives(of, schemas))
    return value.map(item => typed(item, items, schemas))
  }
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, typed(part, ofMember(all, name, schemas), schemas)]))
}

/** For a value that a schema has been held against without exact numbers: the same with those that may stay. */
export function typing(schema: Schema, schemas: Schemas): (exact: unknown) => unknown {
  return exact => typed(exact, alternatives(schema, schemas), schemas)
}
