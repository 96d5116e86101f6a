// Validators compiled by ajv from the contract, with each error in one sentence: where, what was expected, what was found.
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import { configSchema, contractDocument, paramsSchema, type MethodDescriptor } from './document.ts'
import { typing } from './typing.ts'
import { missingKey, shown, unknownKey, validationError, type ValidationError } from '../validation-error.ts'
import { didYouMean } from '../nearest-id.ts'
import { withoutPayload } from './payload.ts'
import type { Config, Methods, Scope } from './types.ts'

/** The tests of the contract validate its schemas; doing so at every start took 30 ms. */
const options = {
  strict: true,
  strictRequired: false,
  allowUnionTypes: true,
  discriminator: true,
  verbose: true,
  validateSchema: false,
} as const

function dotted(pointer: string, last?: string): string {
  const parts = pointer.split('/').slice(1)
  if (last !== undefined) parts.push(last)
  return parts.map(part => part.replaceAll('~1', '/').replaceAll('~0', '~')).join('.')
}

/** A schema, or what it references. */
function resolved(schema: { $ref?: string } & Record<string, unknown>): Record<string, unknown> {
  const name = schema.$ref?.split('/').at(-1)
  return name === undefined
    ? schema
    : (contractDocument().components.schemas[name] as Record<string, unknown>)
}

/** The values that a discriminator may have. */
function tagsOf(tag: string, parent: ErrorObject['parentSchema']): string[] {
  return ((parent?.oneOf ?? []) as Record<string, unknown>[]).flatMap(each => {
    const { const: only, enum: some = [] } =
      (resolved(each).properties as Record<string, { const?: string; enum?: string[] }>)[tag] ?? {}
    return only === undefined ? some : [only]
  })
}

const articles: Record<string, string> = {
  integer: 'an integer',
  object: 'an object',
  array: 'a list',
  boolean: 'true or false',
  null: 'null',
}
const amounts: Record<string, [string, string]> = {
  minLength: ['at least', 'character'],
  maxLength: ['at most', 'character'],
  minItems: ['at least', 'item'],
  maxItems: ['at most', 'item'],
  minProperties: ['at least', 'key'],
  maxProperties: ['at most', 'key'],
}

/** What the keyword of an error requires. */
function requirement({ keyword, params, message }: ErrorObject): string {
  if (keyword === 'type')
    return `must be ${[params.type]
      .flat()
      .map(type => articles[type] ?? `a ${type}`)
      .join(' or ')}`
  const [most, noun] = amounts[keyword] ?? []
  return most === undefined
    ? (message ?? keyword)
    : `must have ${most} ${params.limit} ${noun}${params.limit === 1 ? '' : 's'}`
}

/** The error that says most: ajv lists the deepest first, a oneOf or anyOf about it last. */
function clearest(errors: ErrorObject[]): ValidationError {
  const error = errors.find(candidate => candidate.keyword !== 'const') ?? errors[0]!
  const { keyword, params, instancePath, data, parentSchema } = error
  const path = dotted(instancePath)
  // A value in the place of a secret's reference may be the secret itself.
  const isSecret = /\/secret|\/bearer|\/endpoint\/(url_secret|token|password)/.test(instancePath)
  const found = isSecret ? 'something else' : shown(data)
  switch (keyword) {
    case 'required':
      return missingKey(dotted(instancePath, params.missingProperty))
    case 'additionalProperties':
      return unknownKey(
        dotted(instancePath, params.additionalProperty),
        params.additionalProperty,
        Object.keys((parentSchema?.properties ?? {}) as object),
      )
    case 'enum':
      return validationError({
        path,
        expected: `must be one of ${params.allowedValues.map(shown).join(', ')}`,
        found,
        suggestion: didYouMean(data, params.allowedValues.map(String)),
      })
    case 'const':
      return validationError({ path, expected: `must be ${shown(params.allowedValue)}`, found })
    case 'discriminator': {
      const known = tagsOf(params.tag, parentSchema)
      return validationError({
        path: dotted(instancePath, params.tag),
        expected: `must be one of ${known.join(', ')}`,
        found: params.tagValue === undefined ? 'nothing' : shown(params.tagValue),
        suggestion: didYouMean(params.tagValue, known),
      })
    }
    default:
      return validationError({ path, expected: requirement(error), found })
  }
}

export type Validator<T> = (value: unknown) => { ok: true; value: T } | ({ ok: false } & ValidationError)

function validator<T>(validate: ValidateFunction): Validator<T> {
  return value =>
    validate(value) ? { ok: true, value: value as T } : { ok: false, ...clearest(validate.errors ?? []) }
}

export interface MethodContract<M extends keyof Methods = keyof Methods> {
  name: M
  /** Names of the params in their order, for calls by position. */
  paramNames: string[]
  /**
   * With exact, the same params with numbers that keep their digits: those are answered where the contract leaves a value
   * open, as in payloads, inputs and filters; where it asks for a number there is a double.
   */
  validateParams: (value: unknown, exact?: unknown) => ReturnType<Validator<Methods[M]['params']>>
  validateResult: Validator<Methods[M]['result']>
  scope: Scope | 'any'
  /** the scope that suffices for a principal that is no agent */
  personScope: Scope | undefined
  /** a result as a caller without the scope payload is shown it */
  withoutPayload: (result: unknown) => unknown
}

/** References into the bundled document as references into what addDefinitions adds. */
function absolute(schema: unknown): object {
  return JSON.parse(
    JSON.stringify(schema).replaceAll('#/components/schemas/', 'contract#/definitions/'),
  ) as object
}

function addDefinitions(ajv: Ajv): void {
  // An annotation: it does not change what is valid.
  ajv.addKeyword('x-payload')
  ajv.addSchema({ $id: 'contract', definitions: absolute(contractDocument().components.schemas) })
}

let contract: ReadonlyMap<string, MethodContract> | undefined

/**
 * The contract of every method. A validator is compiled when it is first used, once per process. Compiling all of them took 200 to
 * 400 ms of every start; one takes 1 to 8 ms, or up to 100 ms if its params contain definitions.
 */
export function compileContract(): ReadonlyMap<string, MethodContract> {
  return (contract ??= lazyContract())
}

/** Calls make at the first call, and returns the same value from then on. */
function once<T>(make: () => T): () => T {
  let made: T | undefined
  return () => (made ??= make())
}

function lazyContract(): Map<string, MethodContract> {
  const document = contractDocument()
  const ajv = new Ajv(options)
  addDefinitions(ajv)
  const lazy = (method: MethodDescriptor): MethodContract => {
    const schema = paramsSchema(method)
    const params = once(() => validator<Methods[keyof Methods]['params']>(ajv.compile(absolute(schema))))
    const typed = once(() => typing(schema, document.components.schemas))
    const result = once(() =>
      validator<Methods[keyof Methods]['result']>(ajv.compile(absolute(method.result.schema))),
    )
    const reduced = withoutPayload(method.result.schema, document.components.schemas)
    return {
      name: method.name as keyof Methods,
      paramNames: method.params.map(param => param.name),
      validateParams: (value, exact = value) => {
        const checked = params()(value)
        return checked.ok && exact !== value
          ? { ok: true, value: typed()(exact) as typeof checked.value }
          : checked
      },
      validateResult: value => result()(value),
      scope: method['x-scope'] as Scope | 'any',
      personScope: method['x-person-scope'] as Scope | undefined,
      withoutPayload: reduced,
    }
  }
  return new Map(document.methods.map(method => [method.name, lazy(method)]))
}

let validateDefaults: Validator<Config> | undefined

function configValidator(): Validator<Config> {
  const { $schema: _, ...schema } = configSchema()
  const ajv = new Ajv({ ...options, useDefaults: true })
  addDefinitions(ajv)
  return validator<Config>(ajv.compile(absolute(schema)))
}

/** Checks a configuration and fills in the defaults of its schema. */
export function validateConfig(
  value: Record<string, unknown>,
): { ok: true; value: Config } | ({ ok: false } & ValidationError) {
  validateDefaults ??= configValidator()
  return validateDefaults(value)
}
