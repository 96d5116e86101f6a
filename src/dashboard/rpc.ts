// Calls of the contract over /rpc, with the cookie of the login.
import { signal } from '@preact/signals'
import type { Methods } from '../contract/types.ts'
import { readJson } from './json.ts'

/** Absolute URL of the page's root, with a slash at its end: it may lie below a path prefix. */
export const root = new URL('.', document.baseURI)

/** An error that the router answered. data.code names it for programs: E_... */
export class RpcError extends Error {
  readonly code: number
  readonly data: Record<string, unknown>

  constructor(code: number, message: string, data: Record<string, unknown> | undefined) {
    super(message)
    this.code = code
    this.data = data ?? {}
  }
}

/** Whether the browser is logged in; undefined: not known yet. */
export const loggedIn = signal<boolean | undefined>(undefined)
/** Whether the router answers. */
export const reachable = signal(true)

let last = 0

/** Throws RpcError, and Error where no answer came. */
export async function call<M extends keyof Methods>(
  method: M,
  params: Methods[M]['params'],
  abort?: AbortSignal,
): Promise<Methods[M]['result']> {
  const response = await ask('rpc', {
    method: 'POST',
    body: JSON.stringify({ jsonrpc: '2.0', id: ++last, method, params }),
    signal: abort ?? null,
  })
  const answer = readJson(await response.text()) as {
    result: Methods[M]['result']
    error?: { code: number; message: string; data?: Record<string, unknown> }
  }
  const { error } = answer
  if (error !== undefined) throw new RpcError(error.code, error.message, error.data)
  if (!response.ok) throw problem(response.status, answer)
  return answer.result
}

function problem(status: number, body: unknown): RpcError {
  const { detail, title, ...data } = Object(body) as { detail?: string; title?: string }
  return new RpcError(status, detail ?? title ?? `the router answered ${status}`, data)
}

/** A request below the root of the page. Throws Error where no answer came. */
export async function ask(path: string, request: RequestInit): Promise<Response> {
  let response: Response
  try {
    response = await fetch(new URL(path, root), {
      ...request,
      headers: { 'content-type': 'application/json', 'x-signalbox': '1' },
      credentials: 'same-origin',
      cache: 'no-store',
    })
  } catch (error) {
    if (!(error instanceof DOMException && error.name === 'AbortError')) reachable.value = false
    throw error
  }
  reachable.value = true
  if (response.status === 401 && path !== 'session') loggedIn.value = false
  return response
}

/** What to show of anything thrown. */
export function messageOf(error: unknown): string {
  if (error instanceof RpcError) return error.message
  return error instanceof TypeError
    ? 'the router does not answer; the page tries again'
    : (error as Error).message
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError'
}
