// The cookie of a login, and what /session answers: POST uses the code of a link up, GET says who is logged in, DELETE ends the login.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { asFault, Fault } from '../errors.ts'
import { sendJson } from '../http/answers.ts'
import { readBody, type BodyBudget } from '../http/request.ts'
import type { Audit } from './audit.ts'
import type { Logins } from './logins.ts'
import type { Principal } from './principal.ts'

/** Bytes of a body that is taken. */
export const longestLogin = 1024
const cookieSeconds = 7 * 86_400
const codeShape = /^[\w-]{22}$/

/** How the cookie of a listener is named: hosts share cookies between ports, so two routers must not take each other's. */
export interface CookieForm {
  port: number
  /** whether the browser came over HTTPS */
  secure: boolean
}

/** __Host-: it is bound to the host that set it. Safari takes it, as it takes Secure, over HTTPS alone. */
function nameOf({ port, secure }: CookieForm): string {
  return `${secure ? '__Host-' : ''}signalbox-${port}`
}

/** The secret in a Cookie header; undefined: there is none. */
export function secretIn(header: string | undefined, form: CookieForm): string | undefined {
  const begin = `${nameOf(form)}=`
  const pair = (header ?? '').split(';').find(each => each.trimStart().startsWith(begin))
  return pair?.trimStart().slice(begin.length).trimEnd()
}

function setCookie(response: ServerResponse, form: CookieForm, value: string, seconds: number): void {
  const flags = `HttpOnly; SameSite=Strict; Path=/; Max-Age=${seconds}${form.secure ? '; Secure' : ''}`
  response.setHeader('set-cookie', `${nameOf(form)}=${value}; ${flags}`)
}

export interface SessionRequest {
  headers: ReadonlyMap<string, string>
  form: CookieForm
  address: string | undefined
  /** the logged-in user; undefined: there is none */
  principal: Principal | undefined
}

export interface SessionOptions {
  logins: Logins
  audit: Pick<Audit, 'done'>
  budget: BodyBudget
}

function unauthorized(message: string): Fault {
  return new Fault('unauthorized', message, { reason: 'E_LOGIN' })
}

function done(response: ServerResponse): void {
  response.writeHead(204)
  response.end()
}

/** The code in a body; undefined: it has none. */
function codeIn(body: Buffer): string | undefined {
  try {
    const { code } = Object(JSON.parse(body.toString('utf8'))) as { code?: unknown }
    return typeof code === 'string' && codeShape.test(code) ? code : undefined
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

/** Answers POST /session. Throws Fault unauthorized for a code that is not accepted. */
export async function logIn(
  request: IncomingMessage,
  response: ServerResponse,
  { headers, form, address, principal }: SessionRequest,
  { logins, audit, budget }: SessionOptions,
): Promise<void> {
  const code = codeIn(await readBody(request, headers, longestLogin, budget))
  const made = code === undefined ? undefined : await logins.redeem(code, address, headers.get('user-agent'))
  if (made === undefined)
    throw unauthorized('the link is not valid: it works once, for a minute; signalbox ui prints a new one')
  await audit.done(made.principal, 'POST /session', [made.principal.login!])
  // The login that the browser had before would stay unused.
  if (principal?.login !== undefined) await logins.revoke(principal.login)
  setCookie(response, form, made.secret, cookieSeconds)
  done(response)
}

/** Answers GET /session. */
export function whoIs(
  response: ServerResponse,
  { principal }: SessionRequest,
  { logins }: Pick<SessionOptions, 'logins'>,
): void {
  if (principal === undefined) throw unauthorized('not logged in; signalbox ui prints a link')
  const { id, name, login, scopes } = principal
  sendJson(response, 200, {
    principal: id,
    ...(name === undefined ? {} : { name }),
    scopes: [...scopes],
    ...(login === undefined ? {} : { login_id: login, expires_at: logins.expiryOf(login) }),
  })
}

/** Answers DELETE /session. */
export async function logOut(
  response: ServerResponse,
  { principal, form }: SessionRequest,
  { logins, audit }: Pick<SessionOptions, 'logins' | 'audit'>,
): Promise<void> {
  if (principal?.login === undefined) throw unauthorized('not logged in here with a link')
  try {
    await logins.revoke(principal.login)
  } catch (error) {
    if (asFault(error).fault !== 'not_found') throw error
  }
  await audit.done(principal, 'DELETE /session', [principal.login])
  setCookie(response, form, '', 0)
  done(response)
}
