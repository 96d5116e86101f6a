// Compiling schemas, and the first thing that is wrong with a payload, in words.
import { Ajv, type ValidateFunction } from 'ajv'

export interface Refusal {
  path: string
  message: string
}

/**
 * References are not written out: with inlineRefs 26 KB of schema took 50 s to compile. Nothing is logged: of what cannot be
 * compiled all code would be. addUsedSchema: without it # is not found.
 */
export function compiled(schema: object): ValidateFunction {
  return new Ajv({
    strict: false,
    allErrors: false,
    validateFormats: false,
    addUsedSchema: true,
    inlineRefs: false,
    logger: false,
  }).compile(schema)
}

/** The first thing that is wrong with a payload that was not valid. */
export function firstRefusal({ errors }: ValidateFunction): Refusal {
  const { instancePath, message, params } = errors![0]!
  const missing = (params as { missingProperty?: string; additionalProperty?: string }).missingProperty
  const path = [
    'payload',
    ...instancePath.split('/').slice(1),
    ...(missing === undefined ? [] : [missing]),
  ].join('.')
  const extra = (params as { additionalProperty?: string }).additionalProperty
  const allowed =
    (params as { allowedValue?: unknown; allowedValues?: unknown }).allowedValues ??
    (params as { allowedValue?: unknown }).allowedValue
  if (missing !== undefined) return { path, message: 'is required' }
  return {
    path,
    message: `${message}${extra === undefined ? '' : ` (${JSON.stringify(extra)})`}${allowed === undefined ? '' : ` ${JSON.stringify(allowed)}`}`,
  }
}
