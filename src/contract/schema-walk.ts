// What the schemas of the contract say of a value and of its members.
import type { Json, Schema } from './document.ts'

export interface Schemas {
  [name: string]: Schema
}

/** A schema and what it refers to or has as alternatives: all that may say something of one value. */
export function alternatives(schema: Json | undefined, schemas: Schemas): Schema[] {
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) return []
  const { $ref, oneOf = [], anyOf = [] } = schema
  const referred =
    typeof $ref === 'string' ? alternatives(schemas[$ref.slice($ref.lastIndexOf('/') + 1)], schemas) : []
  return [schema, ...referred, ...[oneOf, anyOf].flat().flatMap(each => alternatives(each, schemas))]
}

/** What schemas say of a member. */
export function ofMember(all: readonly Schema[], name: string, schemas: Schemas): Schema[] {
  return all.flatMap(({ properties, additionalProperties }) => {
    const own = (properties as Schemas | undefined)?.[name]
    return alternatives(own ?? additionalProperties, schemas)
  })
}
