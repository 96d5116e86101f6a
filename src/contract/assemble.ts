// Assembles the contract from the files that people write: schemas/contract.json (title, errors, order of nouns), schemas/methods/NOUN.json,
// and the definitions of schemas/*.schema.json. The result refers to nothing outside of itself, so tools for OpenRPC read it.
import { readdirSync } from 'node:fs'
import {
  readJson,
  rewriteRefs,
  type Json,
  type MethodDescriptor,
  type OpenrpcDocument,
  type Schema,
} from './document.ts'

interface Head extends Omit<OpenrpcDocument, 'methods'> {
  nouns: string[]
}

/** Every definition of schemas/*.schema.json, by name. Throws Error for a name that two files define. */
function definitions(): { [name: string]: Schema } {
  const found: { [name: string]: Schema } = {}
  for (const file of readdirSync(new URL('../../schemas/', import.meta.url)).toSorted()) {
    if (!file.endsWith('.schema.json')) continue
    const { definitions: own = {} } = readJson(`schemas/${file}`) as {
      definitions?: { [name: string]: Json }
    }
    for (const [name, schema] of Object.entries(own)) {
      if (found[name] !== undefined)
        throw new Error(`schemas/${file}: the definition ${name} exists in another file`)
      found[name] = rewriteRefs(schema) as Schema
    }
  }
  return found
}

/** Throws Error for a method that is in the file of another noun. */
export function assembled(): OpenrpcDocument {
  const { nouns, components, ...head } = readJson('schemas/contract.json') as unknown as Head
  const methods = nouns.flatMap(noun => {
    const { methods: own } = rewriteRefs(readJson(`schemas/methods/${noun}.json`)) as unknown as {
      methods: MethodDescriptor[]
    }
    const stranger = own.find(({ name }) => !name.startsWith(`${noun}.`))
    if (stranger !== undefined)
      throw new Error(`schemas/methods/${noun}.json: the method ${stranger.name} belongs to another file`)
    return own
  })
  return { ...head, methods, components: { ...components, schemas: definitions() } }
}
