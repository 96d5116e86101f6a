// Schemas that sources have for their payloads: compiled when a source is written, kept until it is written anew.
import { Ajv, type ValidateFunction } from 'ajv'
import type { OsisChangeConfig, ServiceConfig, Source, SourceInput } from '../contract/types.ts'

const maxSchemaBytes = 65_536
/**
 * Regular expressions of users are not run on what others send: (a+)+$ takes 10 s for 28 characters. $async has the
 * validator answer a promise, which is a yes to everything.
 */
const refused = new Set(['pattern', '$async'])
/** Up to so many elements may be held against one another: it takes the square of them. */
const mostUnique = 1000
const kept = new WeakMap<object, ValidateFunction>()

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
    if (name === 'uniqueItems' && value === true && !isBounded(schema)) return `uniqueItems without maxItems of at most ${mostUnique}`
    if (name === '$ref' && (typeof value !== 'string' || !value.startsWith('#'))) return '$ref to elsewhere'
    const inner = refusedKeyword(value)
    if (inner !== undefined) return inner
  }
  return undefined
}

/** Why a schema cannot be used; undefined: it can. */
export function schemaRefusal(schema: object): string | undefined {
  const { length } = JSON.stringify(schema)
  if (length > maxSchemaBytes) return `has ${length} characters; at most ${maxSchemaBytes} are taken`
  const keyword = refusedKeyword(schema)
  if (keyword !== undefined) return `holds ${keyword}, which is not taken`
  try {
    compiled(schema)
    return undefined
  } catch (error) {
    return `is no JSON Schema: ${(error as Error).message}`
  }
}

function compiled(schema: object): ValidateFunction {
  return new Ajv({ strict: false, allErrors: false, validateFormats: false, addUsedSchema: false }).compile(schema)
}

/** The schema of a source's payloads; undefined: it takes any. */
export function payloadSchema({ source_type, config }: Pick<Source | SourceInput, 'source_type' | 'config'>): object | undefined {
  if (source_type === 'osis_change') return osisSchema(config as OsisChangeConfig)
  return source_type === 'service' ? (config as ServiceConfig | undefined)?.payload_schema : undefined
}

/** What is wrong with a payload, and where; undefined: nothing is. */
export function payloadRefusal(source: Source, payload: unknown): { path: string; message: string } | undefined {
  let validate = kept.get(source)
  if (validate === undefined) {
    const schema = payloadSchema(source)
    if (schema === undefined) return undefined
    validate = compiled(schema)
    kept.set(source, validate)
  }
  if (validate(payload)) return undefined
  const { instancePath, message, params } = validate.errors![0]!
  const missing = (params as { missingProperty?: string; additionalProperty?: string }).missingProperty
  const path = ['payload', ...instancePath.split('/').slice(1), ...(missing === undefined ? [] : [missing])].join('.')
  const extra = (params as { additionalProperty?: string }).additionalProperty
  const allowed = (params as { allowedValue?: unknown; allowedValues?: unknown }).allowedValues ?? (params as { allowedValue?: unknown }).allowedValue
  const told =
    missing !== undefined
      ? 'is required'
      : `${message}${extra === undefined ? '' : ` (${JSON.stringify(extra)})`}${allowed === undefined ? '' : ` ${JSON.stringify(allowed)}`}`
  return { path, message: told }
}
