// What of Forgejo's API (and Gitea's, which is the same here) webhooks need. It has traps: a hook is inactive unless said
// otherwise; PATCH sets events that are left out back to push, clears the branch filter and the authorization header, and
// cannot change the secret. So hooks are made anew, never patched.
import { UsageError } from './session.ts'

export interface ForgejoHook {
  id: number
  type: string
  active: boolean
  events: string[]
  branch_filter?: string
  config: { url: string; content_type: string }
}

export interface NewHook {
  type: string
  events: string[]
  branch_filter?: string
  url: string
  secret: string
}

/** What the forge answered instead of what was asked for, or that it did not answer; in words, with what to do. */
export class ForgejoError extends Error {}

const timeoutMs = 15_000
const maxAnswerBytes = 4 * 1_048_576
/** The most that the API gives at once. */
const pageSize = 50
const mostPages = 20

function advice(status: number, token: boolean): string {
  switch (status) {
    case 401:
      return token ? 'the token is not valid' : 'a token is needed: set FORGEJO_TOKEN, or name a file with --token-file'
    case 403:
      return 'the token may not do this: it needs the scope write:repository, of a user who administers the repository'
    case 404:
      return 'there is no such repository, or the token cannot see it; the URL is the one of the forge, without owner and repository'
    default:
      return 'the forge did not take it'
  }
}

/** One repository of a forge. */
export class ForgejoRepository {
  readonly url: string
  readonly name: string
  readonly #token: string | undefined

  /** name is owner/repo. Throws UsageError. */
  constructor(url: string, name: string, token: string | undefined) {
    if (!/^https?:\/\//.test(url) || !URL.canParse(url))
      throw new UsageError(`the URL of a forge was expected, such as https://forge.example.org; found ${JSON.stringify(url)}`)
    if (!/^[^/\s]+\/[^/\s]+$/.test(name)) throw new UsageError(`a repository was expected as owner/name; found ${JSON.stringify(name)}`)
    this.url = url.replace(/\/+$/, '')
    this.name = name
    this.#token = token
  }

  async #ask(method: 'GET' | 'POST' | 'DELETE', path: string, body?: object): Promise<unknown> {
    const { request } = await import('undici')
    const place = `${this.url}/api/v1/repos/${this.name.split('/').map(encodeURIComponent).join('/')}${path}`
    const headers = {
      accept: 'application/json',
      ...(this.#token === undefined ? {} : { authorization: `token ${this.#token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    }
    let status: number
    let text: string
    try {
      const answer = await request(place, { method, headers, body: body === undefined ? null : JSON.stringify(body), signal: AbortSignal.timeout(timeoutMs) })
      status = answer.statusCode
      text = await answer.body.text()
    } catch (error) {
      const { code, message } = error as { code?: string; message: string }
      throw new ForgejoError(`${this.url} does not answer (${code ?? message}); is the URL right, and can it be reached from here?`)
    }
    let value: unknown
    try {
      value = text === '' ? undefined : (JSON.parse(text.slice(0, maxAnswerBytes)) as unknown)
    } catch {
      throw new ForgejoError(`${place} answered ${status} with something that is no JSON; is ${this.url} a Forgejo?`)
    }
    if (status >= 200 && status < 300) return value
    const said = (value as { message?: unknown } | undefined)?.message
    throw new ForgejoError(
      `${method} ${place} was answered ${status}: ${advice(status, this.#token !== undefined)}${typeof said === 'string' ? ` (it says: ${said})` : ''}`,
    )
  }

  /** Whether it has no commit yet: then there are no test deliveries. */
  async isEmpty(): Promise<boolean> {
    return ((await this.#ask('GET', '')) as { empty?: boolean }).empty === true
  }

  async hooks(): Promise<ForgejoHook[]> {
    const all: ForgejoHook[] = []
    for (let page = 1; page <= mostPages; page++) {
      const found = (await this.#ask('GET', `/hooks?page=${page}&limit=${pageSize}`)) as ForgejoHook[]
      all.push(...found)
      if (found.length < pageSize) break
    }
    return all
  }

  async createHook({ type, events, branch_filter, url, secret }: NewHook): Promise<ForgejoHook> {
    return (await this.#ask('POST', '/hooks', {
      type,
      active: true,
      events,
      ...(branch_filter === undefined ? {} : { branch_filter }),
      config: { url, content_type: 'json', secret },
    })) as ForgejoHook
  }

  async deleteHook(id: number): Promise<void> {
    await this.#ask('DELETE', `/hooks/${id}`)
  }

  /** Has a push delivered that changes nothing. */
  async testHook(id: number): Promise<void> {
    await this.#ask('POST', `/hooks/${id}/tests`)
  }
}
