// A stand-in for the part of a Forgejo that has to do with webhooks, its traps included: hooks are inactive unless said
// otherwise, events are push unless said, PATCH puts both back, nothing is sent of an empty repository, private addresses
// are refused unless allowed, each delivery is tried once.
import { createHmac, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

interface Hook {
  id: number
  type: string
  active: boolean
  events: string[]
  branch_filter: string
  config: { url: string; content_type: string }
  secret: string
}

export interface ForgejoServer {
  url: string
  hooks: Map<number, Hook>
  requests: string[]
  /** what became of each delivery, as its page of the hook shows */
  deliveries: string[]
  empty: boolean
  allowsLoopback: boolean
  repository: string
  organisation: string
  /** hooks of the organisation, and those of the whole forge */
  organisationHooks: Map<number, Hook>
  systemHooks: Map<number, Hook>
  token: string
  scopes: Set<string>
}

const payload = readFileSync(new URL('../fixtures/gitea-webhooks/push-event.json', import.meta.url), 'utf8')
const known = ['forgejo', 'gitea', 'gogs', 'slack', 'discord']

async function bodyOf(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return chunks.length === 0
    ? {}
    : (JSON.parse(Buffer.concat(chunks).toString('utf8')) as Record<string, unknown>)
}

async function deliver(forge: ForgejoServer, { config, secret }: Hook): Promise<void> {
  if (!forge.allowsLoopback) {
    forge.deliveries.push(
      `webhook can only call allowed HTTP servers (check your webhook.ALLOWED_HOST_LIST setting), deny '${config.url}'`,
    )
    return
  }
  const signature = secret === '' ? '' : createHmac('sha256', secret).update(payload).digest('hex')
  const names = ['Forgejo', 'Gitea', 'Gogs', 'GitHub']
  const headers = Object.fromEntries(
    names.flatMap(name => [
      [`X-${name}-Delivery`, randomUUID()],
      [`X-${name}-Event`, 'push'],
      [`X-${name}-Event-Type`, 'push'],
      ...(name === 'GitHub' ? [] : [[`X-${name}-Signature`, signature]]),
    ]),
  ) as Record<string, string>
  const all = { ...headers, 'X-Hub-Signature-256': `sha256=${signature}`, 'content-type': 'application/json' }
  await fetch(config.url, {
    method: 'POST',
    headers: all,
    body: payload,
    signal: AbortSignal.timeout(5000),
  }).then(
    answer => forge.deliveries.push(String(answer.status)),
    (error: Error) => forge.deliveries.push(error.message),
  )
}

function created(hooks: Map<number, Hook>, given: Record<string, unknown>): Hook | string {
  const config = given.config as { url?: string; content_type?: string; secret?: string } | undefined
  if (!known.includes(String(given.type))) return 'Invalid hook type'
  if (config?.url === undefined || config.content_type === undefined)
    return 'Missing config option: url or content_type'
  const hook: Hook = {
    id: Math.max(0, ...hooks.keys()) + 1,
    type: String(given.type),
    active: given.active === true,
    events: Array.isArray(given.events) && given.events.length > 0 ? (given.events as string[]) : ['push'],
    branch_filter: typeof given.branch_filter === 'string' ? given.branch_filter : '',
    config: { url: config.url, content_type: config.content_type },
    secret: config.secret ?? '',
  }
  hooks.set(hook.id, hook)
  return hook
}

function shown({ secret: _, ...hook }: Hook): object {
  return hook
}

async function answer(
  forge: ForgejoServer,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const send = (status: number, value?: unknown): void =>
    void response
      .writeHead(status, { 'content-type': 'application/json' })
      .end(value === undefined ? '' : JSON.stringify(value))
  const url = new URL(request.url!, forge.url)
  forge.requests.push(`${request.method} ${url.pathname}`)
  if (request.headers.authorization !== `token ${forge.token}`)
    return send(401, { message: 'token is required' })
  const owners = [
    { base: `/api/v1/repos/${forge.repository}`, scope: 'write:repository', hooks: forge.hooks },
    {
      base: `/api/v1/orgs/${forge.organisation}`,
      scope: 'write:organization',
      hooks: forge.organisationHooks,
    },
    { base: '/api/v1/admin', scope: 'write:admin', hooks: forge.systemHooks },
  ]
  const owner = owners.find(({ base }) => url.pathname === base || url.pathname.startsWith(`${base}/`))
  if (owner === undefined) return send(404, { message: 'The target could not be found.' })
  if (!forge.scopes.has(owner.scope))
    return send(403, { message: `token does not have at least one of required scope(s): [${owner.scope}]` })
  const { hooks, base } = owner
  const [, noun, id, action] = url.pathname.slice(base.length).split('/')
  if (noun === undefined) return send(200, { full_name: forge.repository, empty: forge.empty })
  if (id === undefined && request.method === 'GET') {
    const [page, limit] = [
      Number(url.searchParams.get('page') ?? 1),
      Math.min(50, Number(url.searchParams.get('limit') ?? 30)),
    ]
    return send(200, [...hooks.values()].slice((page - 1) * limit, page * limit).map(shown))
  }
  if (id === undefined) {
    const given = await bodyOf(request)
    // Of the whole forge: without this it is a draft for repositories to come, which the list does not show.
    const isDraft =
      hooks === forge.systemHooks &&
      (given.config as { is_system_webhook?: string }).is_system_webhook !== 'true'
    const hook = created(isDraft ? new Map() : hooks, given)
    return typeof hook === 'string' ? send(422, { message: hook }) : send(201, shown(hook))
  }
  const hook = hooks.get(Number(id))
  if (hook === undefined) return send(404, { message: 'hook does not exist' })
  if (action === 'tests') {
    if (hooks !== forge.hooks) return send(404, { message: 'The target could not be found.' })
    if (!forge.empty) void deliver(forge, hook)
    return send(204)
  }
  if (request.method === 'DELETE') hooks.delete(hook.id)
  else Object.assign(hook, { events: ['push'], branch_filter: '' }, await bodyOf(request))
  return send(request.method === 'DELETE' ? 204 : 200, request.method === 'DELETE' ? undefined : shown(hook))
}

export async function forgejoServer(): Promise<ForgejoServer> {
  const forge: ForgejoServer = {
    url: '',
    hooks: new Map(),
    requests: [],
    deliveries: [],
    empty: false,
    allowsLoopback: true,
    repository: 'acme/site',
    organisation: 'acme',
    organisationHooks: new Map(),
    systemHooks: new Map(),
    scopes: new Set(['write:repository', 'write:organization', 'write:admin']),
    token: 'a-token-of-the-forge',
  }
  const server = createServer((request, response) => void answer(forge, request, response))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  forge.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return forge
}
