// Requests to the admin listener as a client of any kind sends them.
import { request, type IncomingHttpHeaders } from 'node:http'
import type { Methods } from '../../src/client/client.ts'
import { freshRouter, type TestRouter } from './router.ts'

export const environmentToken = 'an-admin-token-of-forty-characters-00001'

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  /** as JSON, where it is some */
  body: unknown
}

export interface Asked {
  method?: string
  path?: string
  headers?: Record<string, string>
  body?: string
  signal?: AbortSignal
}

function isJson(headers: IncomingHttpHeaders): boolean {
  return /^application\/(problem\+)?json/.test(headers['content-type'] ?? '')
}

/** Asks over HTTP at an address as router.status has it: a URL, or the path of a socket. */
export function ask(
  address: string,
  { method = 'POST', path = '/rpc', headers = {}, body, signal }: Asked,
): Promise<Answer> {
  const target = address.startsWith('http')
    ? { host: new URL(address).hostname, port: new URL(address).port }
    : { socketPath: address }
  return new Promise((resolve, reject) => {
    const asking = request({ ...target, method, path, headers, signal }, response => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => (text += chunk))
      response.on('error', reject)
      response.on('end', () =>
        resolve({
          status: response.statusCode!,
          headers: response.headers,
          body: text === '' ? undefined : isJson(response.headers) ? JSON.parse(text) : text,
        }),
      )
    })
    asking.on('error', reject)
    asking.end(body)
  })
}

export const bearerOf = (token: string): Record<string, string> => ({
  authorization: `Bearer ${token}`,
  'content-type': 'application/json',
})
export const bearer = bearerOf(environmentToken)
export const callOf = (method: string, params: object = {}, id: unknown = 1): string =>
  JSON.stringify({ jsonrpc: '2.0', id, method, params })

/** A router with the token of the environment. */
export async function listening(
  flags: Record<string, unknown> = {},
): Promise<TestRouter & { admin: string }> {
  const router = await freshRouter(flags, { SIGNALBOX_ADMIN_TOKEN: environmentToken })
  return { ...router, admin: router.router.admin! }
}

export interface Called<M extends keyof Methods> {
  status: number
  result?: Methods[M]['result']
  error?: { code: number; message: string; data: { code: string; scope?: string } }
}

/** A call with a token: the HTTP status, and the result or the error. */
export async function callWith<M extends keyof Methods>(
  admin: string,
  token: string,
  method: M,
  params: object = {},
): Promise<Called<M>> {
  const { status, body } = await ask(admin, { body: callOf(method, params), headers: bearerOf(token) })
  return { status, ...(body as object) }
}

/** Uses a link up, as the page does. Answers the answer. */
export function logIn(admin: string, link: string, headers: Record<string, string> = {}): Promise<Answer> {
  const body = JSON.stringify({ code: link.split('#login=')[1] })
  return ask(admin, {
    path: '/session',
    body,
    headers: { origin: new URL(admin).origin, 'x-signalbox': '1', ...headers },
  })
}

/** The cookie that an answer sets, as a browser sends it. */
export const cookieOf = ({ headers }: Pick<Answer, 'headers'>): string =>
  headers['set-cookie']![0]!.split(';', 1)[0]!
