// What of Forgejo's API (and Gitea's, which is the same here) webhooks need. It has traps: a hook is inactive by default
// otherwise; PATCH sets events that are left out back to push, clears the branch filter and the authorization header, and
// cannot change the secret. So hooks are created again, never patched.
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

/** Whose hooks: of a repository, of all repositories of an organisation, or of all of the forge. */
export type HookOwner =
  | { kind: 'repository'; name: string }
  | { kind: 'organisation'; name: string }
  | { kind: 'system' }

/** What a token needs, and what is not there, by the kind of owner. */
const needs: Record<HookOwner['kind'], { right: string; missing: string }> = {
  repository: {
    right: 'the scope write:repository, of a user who administers the repository',
    missing:
      'there is no such repository, or the token cannot see it; the URL is the one of the forge, without owner and repository',
  },
  organisation: {
    right: 'the scope write:organization, of an owner of the organisation',
    missing:
      'the organisation does not exist, or the token cannot see it; connect the repositories of a user one by one',
  },
  system: {
    right: 'the scope write:admin, of an administrator of the forge',
    missing: 'the forge has no hooks for all of its repositories',
  },
}

function advice(kind: HookOwner['kind'], status: number, token: boolean): string {
  switch (status) {
    case 401:
      return token
        ? 'the token is not valid'
        : 'a token is needed: set FORGEJO_TOKEN, or name a file with --token-file'
    case 403:
      return `the token may not do this: it needs ${needs[kind].right}`
    case 404:
      return needs[kind].missing
    default:
      return 'the forge did not take it'
  }
}

function segments(name: string): string {
  return name.split('/').map(encodeURIComponent).join('/')
}

/** The hooks of one owner at a forge. */
export class ForgejoHooks {
  readonly url: string
  readonly owner: HookOwner
  readonly #token: string | undefined

  /** The name of a repository is owner/repo. Throws UsageError. */
  constructor(url: string, owner: HookOwner, token: string | undefined) {
    if (!/^https?:\/\//.test(url) || !URL.canParse(url))
      throw new UsageError(
        `the URL of a forge was expected, such as https://forge.example.org; found ${JSON.stringify(url)}`,
      )
    if (owner.kind === 'repository' && !/^[^/\s]+\/[^/\s]+$/.test(owner.name))
      throw new UsageError(`a repository was expected as owner/name; found ${JSON.stringify(owner.name)}`)
    if (owner.kind === 'organisation' && !/^[^/\s]+$/.test(owner.name))
      throw new UsageError(`the name of an organisation was expected; found ${JSON.stringify(owner.name)}`)
    this.url = url.replace(/\/+$/, '')
    this.owner = owner
    this.#token = token
  }

  /** The owner in words. */
  get name(): string {
    return this.owner.kind === 'system' ? 'the whole forge' : this.owner.name
  }

  get #root(): string {
    if (this.owner.kind === 'system') return '/admin'
    return `/${this.owner.kind === 'repository' ? 'repos' : 'orgs'}/${segments(this.owner.name)}`
  }

  /** The page of a hook, where its deliveries are shown. */
  page(id: number): string {
    if (this.owner.kind === 'system') return `${this.url}/admin/hooks/${id}`
    return this.owner.kind === 'repository'
      ? `${this.url}/${this.owner.name}/settings/hooks/${id}`
      : `${this.url}/org/${this.owner.name}/settings/hooks/${id}`
  }

  async #ask(method: 'GET' | 'POST' | 'DELETE', path: string, body?: object): Promise<unknown> {
    const { request } = await import('undici')
    const place = `${this.url}/api/v1${this.#root}${path}`
    const headers = {
      accept: 'application/json',
      ...(this.#token === undefined ? {} : { authorization: `token ${this.#token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    }
    let status: number
    let text: string
    try {
      const answer = await request(place, {
        method,
        headers,
        body: body === undefined ? null : JSON.stringify(body),
        signal: AbortSignal.timeout(timeoutMs),
      })
      status = answer.statusCode
      text = await answer.body.text()
    } catch (error) {
      const { code, message } = error as { code?: string; message: string }
      throw new ForgejoError(
        `${this.url} does not answer (${code ?? message}); is the URL right, and can it be reached from here?`,
      )
    }
    let value: unknown
    try {
      value = text === '' ? undefined : (JSON.parse(text.slice(0, maxAnswerBytes)) as unknown)
    } catch {
      throw new ForgejoError(
        `${place} answered ${status} with something that is no JSON; is ${this.url} a Forgejo?`,
      )
    }
    if (status >= 200 && status < 300) return value
    const said = (value as { message?: unknown } | undefined)?.message
    throw new ForgejoError(
      `${method} ${place} was answered ${status}: ${advice(this.owner.kind, status, this.#token !== undefined)}${typeof said === 'string' ? ` (it says: ${said})` : ''}`,
    )
  }

  /** Whether the API makes test deliveries: of hooks of a repository alone. */
  get canTest(): boolean {
    return this.owner.kind === 'repository'
  }

  /** Whether a repository has no commit yet: then there are no test deliveries. */
  async isEmpty(): Promise<boolean> {
    if (this.owner.kind !== 'repository') return false
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
      // Without it a hook of the forge is only a draft for repositories that are made later.
      config: {
        url,
        content_type: 'json',
        secret,
        ...(this.owner.kind === 'system' ? { is_system_webhook: 'true' } : {}),
      },
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
