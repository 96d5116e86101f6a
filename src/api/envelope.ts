// The envelope of JSON-RPC 2.0: ids, error answers, params by name and by position. Pure.
import { createJSONRPCErrorResponse, type JSONRPCID, type JSONRPCResponse } from 'json-rpc-2.0'
import { errorTable, Fault, type ErrorName } from '../errors.ts'
import type { Implied } from './access.ts'

export function errorResponse(id: JSONRPCID, name: ErrorName, message: string): JSONRPCResponse {
  return createJSONRPCErrorResponse(id, errorTable[name].code, message)
}

export function isId(value: unknown): value is JSONRPCID {
  return value === null || typeof value === 'string' || typeof value === 'number'
}

/** Why a value is no request object, or undefined when it is one. */
export function envelopeFault(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'a request is a JSON object'
  const { jsonrpc, method, params, id } = value as Record<string, unknown>
  if (jsonrpc !== '2.0') return 'jsonrpc must be "2.0"'
  if (typeof method !== 'string') return 'method must be a string'
  if (params !== undefined && (typeof params !== 'object' || params === null))
    return 'params must be an object or an array, or be left out'
  if (id !== undefined && !isId(id)) return 'id must be a string, a number or null'
  return undefined
}

/** What a call created, whose id its params do not have. */
export function createdIn(result: unknown): unknown {
  return { created: (Object(result) as { created?: unknown }).created }
}

/** Params with what is implied, which takes precedence over what the caller gave. */
export function completed(
  params: Record<string, unknown>,
  implied: Implied | undefined,
): Record<string, unknown> {
  if (implied === undefined) return params
  return Object.fromEntries(
    Object.entries({ ...params, ...implied }).filter(([, value]) => value !== undefined),
  )
}

/** Params by name, whichever way they came. */
export function byName(given: object | undefined, names: string[]): Record<string, unknown> {
  if (given === undefined) return {}
  if (!Array.isArray(given)) return given as Record<string, unknown>
  if (given.length > names.length) {
    throw new Fault(
      'invalid_params',
      `at most ${names.length} params by position (${names.join(', ')}); found ${given.length}`,
    )
  }
  return Object.fromEntries((given as unknown[]).map((value, index) => [names[index]!, value]))
}
