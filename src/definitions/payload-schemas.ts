// Schemas that sources have for their payloads. What a check can cost is known from the schema and the size of the payload:
// small ones are checked at once, by a function that is kept until the source is written again; the others in a process of
// their own, with a limit of time.
import type { ValidateFunction } from 'ajv'
import { plainJson } from '../exact-json.ts'
import type { OsisChangeConfig, ServiceConfig, Source, SourceInput } from '../contract/types.ts'
import { schemaCost, payloadSize, type SchemaCost } from './schema-cost.ts'
import { compiled, firstRefusal, type Refusal } from './schema-compile.ts'
import { SchemaChecks } from './schema-checks.ts'

const maxSchemaBytes = 65_536
/**
 * Regular expressions of users are not run on what others send: (a+)+$ takes 10 s for 28 characters. $async has the
 * validator answer a promise, which is a yes to everything.
 */
const refused = new Set(['pattern', '$async'])
/** Up to so many elements may be held against one another: it takes the square of them. */
const mostUnique = 1000
/** Values of a schema with its references written out: beyond, they are doubled on purpose (a names b twice, b names c twice). */
const maxWeight = 100_000
/** Heaviest schema that is compiled at once: it takes 10 ms, and far more than ten times that for ten times the weight. */
const lightWeight = 250
/** Weight of a schema times size of a payload up to which it is checked at once: some 10 ms. */
const maxAtOnce = 1_000_000

interface Kept {
  cost: SchemaCost
  validate: ValidateFunction | undefined
}

const kept = new WeakMap<object, Kept>()
/** Its process starts with the first schema that needs it, and ends with this one. */
const checks = new SchemaChecks()

/** What hero_osis tells: which object, and what became of it. */
function osisSchema({ object_type }: OsisChangeConfig): object {
  return {
    type: 'object',
    properties: {
      object_type: object_type === undefined ? { type: 'string', minLength: 1 } : { const: object_type },
      object_id: { type: 'string', minLength: 1 },
      change: { type: 'string', minLength: 1 },
    },
    required: ['object_type', 'object_id', 'change'],
  }
}

function isBounded({ maxItems }: { maxItems?: unknown }): boolean {
  return typeof maxItems === 'number' && maxItems <= mostUnique
}

function refusedKeyword(schema: unknown): string | undefined {
  if (Array.isArray(schema)) return schema.map(refusedKeyword).find(found => found !== undefined)
  if (typeof schema !== 'object' || schema === null) return undefined
  for (const [name, value] of Object.entries(schema)) {
    if (refused.has(name) && typeof value !== 'object') return name
    if (name === 'patternProperties') return name
    if (name === 'uniqueItems' && value === true && !isBounded(schema))
      return `uniqueItems without maxItems of at most ${mostUnique}`
    if (name === '$ref' && (typeof value !== 'string' || !value.startsWith('#'))) return '$ref to elsewhere'
    const inner = refusedKeyword(value)
    if (inner !== undefined) return inner
  }
  return undefined
}

/** Why a schema cannot be used; undefined: it can. */
export async function schemaRefusal(given: object): Promise<string | undefined> {
  // Schemas compute with doubles.
  const schema = plainJson(given) as object
  const refusal = writtenRefusal(schema)
  if (refusal !== undefined) return refusal
  if (schemaCost(schema).weight > lightWeight) {
    const reason = await checks.compile(schema)
    return reason === undefined
      ? undefined
      : `must be a JSON Schema that can be checked in bounded time: ${reason}`
  }
  try {
    compiled(schema)
    return undefined
  } catch (error) {
    return `must be a JSON Schema: ${(error as Error).message}`
  }
}

/** What is wrong with a schema, as far as it can be seen without compiling it. */
function writtenRefusal(schema: object): string | undefined {
  const { length } = JSON.stringify(schema)
  if (length > maxSchemaBytes) return `must have at most ${maxSchemaBytes} characters; found ${length}`
  const keyword = refusedKeyword(schema)
  if (keyword !== undefined) return `must not have the keyword ${keyword}`
  const { weight, reason } = schemaCost(schema)
  if (reason !== undefined) return `must be a JSON Schema that can be checked in bounded time: ${reason}`
  if (weight <= maxWeight) return undefined
  return `is too much to check: with its references written out it has ${weight} values, at most ${maxWeight} are taken; name a definition less often`
}

/** The schema of a source's payloads; undefined: it takes any. */
export function payloadSchema({
  source_type,
  config,
}: Pick<Source | SourceInput, 'source_type' | 'config'>): object | undefined {
  if (source_type === 'osis_change') return osisSchema(config as OsisChangeConfig)
  const schema = source_type === 'service' ? (config as ServiceConfig | undefined)?.payload_schema : undefined
  return schema === undefined ? undefined : (plainJson(schema) as object)
}

function keptOf(source: Source, schema: object): Kept {
  const present = kept.get(source)
  if (present !== undefined) return present
  const cost = schemaCost(schema)
  const made = { cost, validate: cost.weight > lightWeight ? undefined : compiled(schema) }
  kept.set(source, made)
  return made
}

/** What is wrong with a payload, and where; undefined: nothing is. */
export async function payloadRefusal(source: Source, given: unknown): Promise<Refusal | undefined> {
  const schema = payloadSchema(source)
  if (schema === undefined) return undefined
  const { cost, validate } = keptOf(source, schema)
  const payload = plainJson(given)
  if (validate !== undefined) {
    const most = maxAtOnce / cost.weight
    if (payloadSize(payload, most) <= most) return validate(payload) ? undefined : firstRefusal(validate)
  }
  return checks.check(source.id, schema, payload)
}

/** by source, undefined where its schema can be used: this is asked with every router.status */
const refusals = new WeakMap<Source, string | undefined>()

/** Sources whose schema was taken by an earlier version and would be refused now: each check may take as long as one may. */
export function schemaWarnings(sources: Iterable<Source>): string[] {
  return [...sources].flatMap(source => {
    const schema = payloadSchema(source)
    if (schema === undefined) return []
    if (!refusals.has(source)) refusals.set(source, writtenRefusal(schema))
    const refusal = refusals.get(source)
    return refusal === undefined
      ? []
      : [
          `source ${source.id} has a payload_schema that would be refused now, and events whose check takes too long are refused: it ${refusal}`,
        ]
  })
}
