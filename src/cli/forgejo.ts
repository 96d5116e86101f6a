// signalbox forgejo connect, check and disconnect: the webhook of a repository, made, tried and taken away.
import { randomBytes } from 'node:crypto'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Option, type Command } from 'commander'
import type { EventSummary, SecretRef, Source } from '../client/client.ts'
import { makeDirectory } from '../paths.ts'
import { secretsOf } from '../secrets.ts'
import { ForgejoError, ForgejoHooks, type ForgejoHook, type HookOwner } from './forgejo-api.ts'
import { paint, plain, record, time } from './output.ts'
import { isNotFound, NoError, UsageError, type Session } from './session.ts'
import { lengthArgument } from './times.ts'

interface Options {
  source: string
  tokenFile?: string
  webhookUrl?: string
  events?: string
  branchFilter?: string
  wait: number
  org?: string
  system?: true
}

/** issues and pull_request stand for all that happens to them. */
const usualEvents = [
  'push',
  'create',
  'delete',
  'issues',
  'issue_comment',
  'pull_request',
  'pull_request_review',
  'release',
]

function tokenOf({ environment }: Session, { tokenFile }: Options): string | undefined {
  const ref = tokenFile === undefined ? { env: 'FORGEJO_TOKEN' } : { file: tokenFile }
  const answer = secretsOf(environment.env, Date.now).read(ref)
  if (answer.ok) return answer.value.toString('utf8')
  if (tokenFile === undefined) return undefined
  throw new UsageError(answer.reason)
}

/** A source of Forgejo's deliveries; it is created with a new secret if it does not exist. */
async function sourceFor(session: Session, id: string, make: boolean): Promise<Source> {
  try {
    const { source } = await session.call('source.get', { source_id: id })
    const provider = source.config.provider as string
    if (source.source_type !== 'webhook' || (provider !== 'forgejo' && provider !== 'gitea'))
      throw new UsageError(
        `source ${id} is ${source.source_type}${source.source_type === 'webhook' ? `/${provider}` : ''}; one of type webhook with provider forgejo or gitea is needed`,
      )
    return source
  } catch (error) {
    if (!make || !isNotFound(error)) throw error
  }
  const directory = join(session.environment.stateDir, 'secrets')
  const file = join(directory, `${id}.secret`)
  makeDirectory(directory)
  if (!existsSync(file))
    writeFileSync(file, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600, flag: 'wx' })
  const { source } = await session.call('source.put', {
    source: { id, source_type: 'webhook', config: { provider: 'forgejo', secrets: [{ file }] } },
    version: 0,
  })
  say(session, `source ${id} is made; its secret is in ${file}`)
  return source
}

function say({ output }: Session, text: string): void {
  if (!output.json) output.line(plain(text, true))
}

/** What signs the deliveries: the first of the source's secrets, which this process must be able to read as the router does. */
function secretOf({ environment }: Session, { id, config }: Source): string {
  const [ref] = config.secrets as [SecretRef]
  const answer = secretsOf(environment.env, Date.now).read(ref)
  if (answer.ok) return answer.value.toString('utf8')
  throw new UsageError(`the secret of source ${id} cannot be read here: ${answer.reason}`)
}

async function webhookUrl(
  session: Session,
  { webhook_path }: Source,
  { webhookUrl: given }: Options,
): Promise<string> {
  if (given !== undefined) {
    if (!URL.canParse(given))
      throw new UsageError(`--webhook-url must be a URL; found ${JSON.stringify(given)}`)
    return given
  }
  const { intake_address } = await session.call('router.status', {})
  if (!intake_address.startsWith('http'))
    throw new UsageError(
      `the intake listens on the socket ${intake_address}; say with --webhook-url where the forge reaches it`,
    )
  const url = new URL(intake_address)
  // Bound to every address it is reached at any; this machine's is the one that is known.
  if (url.hostname === '0.0.0.0' || url.hostname === '[::]') url.hostname = 'localhost'
  return `${url.origin}${webhook_path}`
}

interface Connection {
  hooksOf: ForgejoHooks
  source: Source
  url: string
  /** its hooks that deliver there */
  own: ForgejoHook[]
  /** those that deliver to a source of this name elsewhere: the same router by another way, or another one */
  alike: ForgejoHook[]
}

async function connection(
  session: Session,
  forge: string,
  owner: HookOwner,
  options: Options,
  make: boolean,
): Promise<Connection> {
  const hooksOf = new ForgejoHooks(forge, owner, tokenOf(session, options))
  // Asked first: without access to hooks no source needs to be made.
  const hooks = await hooksOf.hooks()
  const source = await sourceFor(session, options.source, make)
  const url = await webhookUrl(session, source, options)
  const own = hooks.filter(({ config }) => config.url === url)
  const alike = hooks.filter(hook => !own.includes(hook) && hook.config.url.endsWith(source.webhook_path!))
  return { hooksOf, source, url, own, alike }
}

/** Why no delivery may have come. */
function suspicions({ hooksOf, url, source }: Connection, hook: ForgejoHook, empty: boolean): string[] {
  const local = /^(localhost|127\.|\[::1\]|10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.)/.test(
    new URL(url).hostname,
  )
  return [
    ...(empty
      ? [
          'the repository is empty, and of an empty one there is nothing to send: push a commit and check again',
        ]
      : []),
    `${hooksOf.page(hook.id)} shows what was sent and what came back`,
    ...(local
      ? [
          'a Forgejo refuses private addresses unless told otherwise ("webhook can only call allowed HTTP servers"): in its app.ini set [webhook] ALLOWED_HOST_LIST = external, loopback (or private) and restart it',
          `${url} is seen from the forge's side: in a container it is the container; --webhook-url names another way here`,
        ]
      : [`the forge must reach ${url}: look at the proxy and the firewall between them`]),
    `if the router refused it, signalbox events refused --source ${source.id} says why; a secret that differs is made good by connecting again with --source ${source.id}`,
  ]
}

/** Asks for a test delivery and waits for it. Throws NoError with what to look at where none comes. */
async function tried(
  session: Session,
  made: Connection,
  hook: ForgejoHook,
  waitMs: number,
): Promise<EventSummary> {
  const { promise: came, resolve } = Promise.withResolvers<EventSummary>()
  await session.listen({ source_id: made.source.id, type: 'push' }, event => resolve(event))
  const empty = await made.hooksOf.isEmpty()
  await made.hooksOf.testHook(hook.id)
  const { promise: late, resolve: giveUp } = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => giveUp(undefined), waitMs)
  const event = await Promise.race([came, late])
  clearTimeout(timer)
  if (event !== undefined) return event
  throw new NoError(
    `no test delivery came within ${waitMs / 1000} s. Look at this:\n${suspicions(made, hook, empty)
      .map(line => `  - ${line}`)
      .join('\n')}`,
  )
}

/** Of all hooks but those of a repository the API makes no test delivery: the next event of the forge is the test. */
async function tryOut(session: Session, made: Connection, hook: ForgejoHook, waitMs: number): Promise<void> {
  if (made.hooksOf.canTest) return reportTried(session, made, hook, await tried(session, made, hook, waitMs))
  const { hooksOf, source, url } = made
  const last =
    source.last_event_at === undefined
      ? 'no event has come yet'
      : `the last event came at ${time(source.last_event_at)}`
  if (session.output.json)
    return record(session.output, {
      owner: hooksOf.owner,
      hook_id: hook.id,
      url,
      source_id: source.id,
      last_event_at: source.last_event_at,
    })
  say(
    session,
    `${last}. The forge makes no test delivery for such a hook: push a commit to one of its repositories, then look at signalbox events --source ${source.id}. Where none comes, look at this:\n${suspicions(
      made,
      hook,
      false,
    )
      .map(line => `  - ${line}`)
      .join('\n')}`,
  )
}

function reportTried(
  session: Session,
  { hooksOf, source, url }: Connection,
  hook: ForgejoHook,
  event: EventSummary,
): void {
  const { output } = session
  if (output.json)
    return record(output, {
      repository: hooksOf.name,
      hook_id: hook.id,
      url,
      source_id: source.id,
      event_id: event.id,
    })
  const matched =
    (event.matched_triggers ?? []).length === 0
      ? 'no trigger matched it'
      : `it matched ${event.matched_triggers!.join(', ')}`
  return output.line(`${paint(output, 'green', '✓')} the test delivery came: event ${event.id}; ${matched}`)
}

async function connect(session: Session, forge: string, owner: HookOwner, options: Options): Promise<void> {
  const made = await connection(session, forge, owner, options, true)
  const { hooksOf, source, url, own } = made
  const events = options.events?.split(',').map(each => each.trim()) ?? own[0]?.events ?? usualEvents
  if (events.includes(''))
    throw new UsageError('--events must be a list such as push,release; found an empty name')
  const branch_filter = options.branchFilter ?? own[0]?.branch_filter
  const hook = await hooksOf.createHook({
    type: source.config.provider as string,
    events,
    ...(branch_filter === undefined || branch_filter === '' ? {} : { branch_filter }),
    url,
    secret: secretOf(session, source),
  })
  // Only now, so that there is no moment without one.
  for (const old of own) await hooksOf.deleteHook(old.id)
  say(
    session,
    `hook ${hook.id} of ${hooksOf.name} delivers ${events.join(', ')} to ${url}${own.length > 0 ? `, in place of ${own.map(({ id }) => id).join(', ')}` : ''}`,
  )
  tellAlike(session, made)
  await tryOut(session, made, hook, options.wait)
}

function tellAlike(session: Session, { hooksOf, source, alike }: Connection): void {
  for (const { id, config } of alike)
    say(
      session,
      `hook ${id} delivers to ${config.url}: if that is this router too, each event comes twice; signalbox forgejo disconnect ${hooksOf.url} ${argumentsOf(hooksOf.owner)} --source ${source.id} --webhook-url ${config.url} takes it away`,
    )
}

async function check(session: Session, forge: string, owner: HookOwner, options: Options): Promise<void> {
  const made = await connection(session, forge, owner, options, false)
  const { own, url, source, hooksOf } = made
  const [hook, ...more] = own
  if (hook === undefined)
    throw new NoError(`no hook of ${hooksOf.name} delivers to ${url}; signalbox forgejo connect makes one`)
  const wrong = [
    ...(source.enabled ? [] : [`source ${source.id} is disabled`]),
    ...(hook.active ? [] : [`hook ${hook.id} is not active`]),
    ...(hook.config.content_type === 'json' || hook.config.content_type === 'form'
      ? []
      : [`hook ${hook.id} sends ${hook.config.content_type}`]),
    ...(more.length === 0
      ? []
      : [`${own.length} hooks deliver there, each event as often; connect leaves one`]),
  ]
  if (wrong.length > 0) throw new NoError(wrong.join('\n'))
  say(
    session,
    `hook ${hook.id} of ${hooksOf.name} is active and delivers ${hook.events.join(', ')}${(hook.branch_filter ?? '') === '' || hook.branch_filter === '*' ? '' : `, of branches ${hook.branch_filter},`} to ${url}`,
  )
  await tryOut(session, made, hook, options.wait)
}

async function disconnect(
  session: Session,
  forge: string,
  owner: HookOwner,
  options: Options,
): Promise<void> {
  const { hooksOf, own, url } = await connection(session, forge, owner, options, false)
  const { name } = hooksOf
  if (own.length === 0) throw new NoError(`no hook of ${name} delivers to ${url}`)
  for (const hook of own) await hooksOf.deleteHook(hook.id)
  if (session.output.json) record(session.output, { repository: name, url, deleted: own.map(({ id }) => id) })
  else
    say(
      session,
      `hook ${own.map(({ id }) => id).join(', ')} of ${name} is gone; source ${options.source} stays`,
    )
}

const told = `
The token is read from FORGEJO_TOKEN or --token-file; it needs the scope write:repository, with --org write:organization,
with --system write:admin. A test delivery is a push to the default branch that changes nothing: triggers that match it
start. The forge makes none for the hooks of an organisation and of the whole forge.`

/** What names an owner on the command line. */
function argumentsOf(owner: HookOwner): string {
  if (owner.kind === 'system') return '--system'
  return owner.kind === 'repository' ? owner.name : `--org ${owner.name}`
}

/** Throws UsageError where not exactly one owner is named. */
function ownerOf(repository: string | undefined, { org, system }: Options): HookOwner {
  const owners: HookOwner[] = [
    ...(repository === undefined ? [] : [{ kind: 'repository' as const, name: repository }]),
    ...(org === undefined ? [] : [{ kind: 'organisation' as const, name: org }]),
    ...(system === true ? [{ kind: 'system' as const }] : []),
  ]
  const [owner, ...more] = owners
  if (owner === undefined || more.length > 0)
    throw new UsageError('name one of: a repository as owner/repo, --org OWNER, or --system')
  return owner
}

export function addForgejo(program: Command, session: () => Session): void {
  const forgejo = program
    .command('forgejo')
    .description('webhooks of repositories, organisations and whole forges (Forgejo, Gitea)')
  const actions = [
    [
      'connect',
      'let a repository deliver to a source, which is made where it is not there, and try it',
      connect,
    ],
    ['check', 'look at the hook of a repository, and have a test delivery made', check],
    ['disconnect', 'take the hook of a repository away; the source stays', disconnect],
  ] as const
  for (const [name, description, act] of actions) {
    const command = forgejo
      .command(`${name} <url> [owner/repo]`)
      .description(description)
      .requiredOption('--source <id>', 'the source that it delivers to')
      .option('--org <owner>', 'all repositories of an organisation')
      .option('--system', 'all repositories of the forge')
      .option('--token-file <path>', 'a file with the API token; default: FORGEJO_TOKEN')
      .option('--webhook-url <url>', 'where the forge reaches the source; default: the intake of the router')
      .addHelpText('after', told)
    if (name !== 'disconnect')
      command.addOption(
        new Option('--wait <length>', 'how long to wait for the test delivery: 45s, 2m')
          .argParser(lengthArgument)
          .default(15_000, '15s'),
      )
    if (name === 'connect')
      command
        .option(
          '--events <list>',
          `what is delivered, with commas; ${usualEvents.join(',')} by default, or what the hook had before`,
        )
        .option('--branch-filter <glob>', 'pushes, new and deleted branches only of these')
    command.action(async (url: string, repository: string | undefined, options: Options) => {
      try {
        await act(session(), url, ownerOf(repository, options), options)
      } catch (error) {
        throw error instanceof ForgejoError ? new NoError(error.message) : error
      }
    })
  }
}
