// What a caller without the scope payload is shown: results without the properties that the contract marks with x-payload.
import { isRaw } from '../exact-json.ts'
import type { Schema } from './document.ts'
import { alternatives, ofMember, type Schemas } from './schema-walk.ts'

/** What takes the place of a property that is required. */
function emptied({ type }: Schema): unknown {
  if (type === 'array') return []
  if (type === 'object') return {}
  return type === 'string' ? '' : null
}

function isMarked(all: readonly Schema[]): boolean {
  return all.some(schema => schema['x-payload'] === true)
}

function isRequired(all: readonly Schema[], name: string): boolean {
  return all.some(({ required }) => Array.isArray(required) && required.includes(name))
}

function reduced(value: unknown, all: readonly Schema[], schemas: Schemas): unknown {
  if (typeof value !== 'object' || value === null || all.length === 0 || isRaw(value)) return value
  if (Array.isArray(value)) {
    const items = all.flatMap(({ items: of }) => alternatives(of, schemas))
    return value.map(item => reduced(item, items, schemas))
  }
  let isLeftOut = false
  const kept: Record<string, unknown> = {}
  for (const [name, part] of Object.entries(value)) {
    const own = ofMember(all, name, schemas)
    if (!isMarked(own)) kept[name] = reduced(part, own, schemas)
    else {
      isLeftOut = true
      if (isRequired(all, name)) kept[name] = emptied(own[0]!)
    }
  }
  return isLeftOut ? { ...kept, payload_left_out: true } : kept
}

/** Returns a function that leaves out of a result of this schema what came from events and bots. */
export function withoutPayload(schema: Schema, schemas: Schemas): (result: unknown) => unknown {
  const all = alternatives(schema, schemas)
  return result => reduced(result, all, schemas)
}
