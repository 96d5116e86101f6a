// The contract as one document, openrpc.json. Types, validators and rpc.discover are all made from it, so they cannot differ. It is
// assembled from schemas/ (assemble.ts): those are the files to change.
import { readFileSync } from 'node:fs'

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
export interface Schema {
  [keyword: string]: Json
}
export interface ParamDescriptor {
  name: string
  required: boolean
  schema: Schema
}
export interface MethodDescriptor {
  name: string
  summary: string
  /** the scope that a caller needs; any: none */
  'x-scope': string
  /** the scope that suffices for a principal that is no agent */
  'x-person-scope'?: string
  params: ParamDescriptor[]
  result: { name: string; schema: Schema }
  errors: { $ref: string }[]
  examples: { name: string; params: { name: string; value: Json }[]; result: { name: string; value: Json } }[]
}
export interface OpenrpcDocument {
  openrpc: string
  info: { title: string; version: string }
  methods: MethodDescriptor[]
  components: {
    errors: { [name: string]: { code: number; message: string } }
    schemas: { [name: string]: Schema }
  }
}

const root = new URL('../../', import.meta.url)

/** name: below the root of the project */
export function readJson(name: string): Json {
  return JSON.parse(readFileSync(new URL(name, root), 'utf8')) as Json
}

let document: OpenrpcDocument | undefined

/** Read once. */
export function contractDocument(): OpenrpcDocument {
  document ??= readJson('openrpc.json') as unknown as OpenrpcDocument
  return document
}

/** The schema of a method's params as one object, params by name. */
export function paramsSchema(method: MethodDescriptor): Schema {
  return {
    type: 'object',
    properties: Object.fromEntries(method.params.map(param => [param.name, param.schema])),
    required: method.params.filter(param => param.required).map(param => param.name),
    additionalProperties: false,
  }
}

/** Rewrites every reference to a definition in a schema file to its place in the document. */
export function rewriteRefs(value: Json): Json {
  if (Array.isArray(value)) return value.map(rewriteRefs)
  if (value === null || typeof value !== 'object') return value
  const copy: { [key: string]: Json } = {}
  for (const [key, child] of Object.entries(value)) {
    copy[key] =
      key === '$ref' && typeof child === 'string' && child.includes('/definitions/')
        ? `#/components/schemas/${child.slice(child.lastIndexOf('/') + 1)}`
        : rewriteRefs(child)
  }
  return copy
}

/** The schema of the configuration, schemas/config.schema.json; what it refers to is in components/schemas of the contract. */
export function configSchema(): Schema {
  return rewriteRefs(readJson('schemas/config.schema.json')) as Schema
}

/** The version of this program, as the contract states it. */
export function programVersion(): string {
  return contractDocument().info.version
}
