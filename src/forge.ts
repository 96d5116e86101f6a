// Who caused an event of a forge, and in which conversation: read out of its payload. Pure, and never an error: what is
// missing, of another type, or out of the ordinary is null.
//
//   actor   the login of the sender, as the forge spells it. Not the author of what the event is about: a moderator edits
//           another person's comment, a maintainer labels another person's issue. GitLab has display names beside logins (user_name)
//           and, in its events of members, the login of the member that was added (user_username): neither is the actor.
//   thread  acme/site#12, acme/site!12 (merge requests of GitLab, which have numbers of their own) or
//           acme/site@refs/heads/main. Names of repositories hold no "#", "!" or "@", so one thread is one conversation.
const forges = ['forgejo', 'gitea', 'github', 'gitlab'] as const
export type Forge = (typeof forges)[number]

/** Who caused an event, and in which conversation. */
export interface Origin {
  actor: string | null
  thread: string | null
}

/** The text or number at a dotted path of a payload, not below an array; null where there is neither, or an empty text. */
export type ValueAt = (path: string) => string | number | null

/** In UTF-16 units; schemas/event.schema.json says the same. */
export const maxActorLength = 256
export const maxThreadLength = 1024

/** What the actor of an event that a bot of this router emitted begins with. Only the router sets it. */
export const botActorPrefix = 'bot:'

/** Control characters, invisible ones, and halves of surrogate pairs: two names that look alike would be different. */
const hidden = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u

/** Why a text cannot be an actor or a thread, or undefined. */
export function originFault(name: keyof Origin, text: string): string | undefined {
  const most = name === 'actor' ? maxActorLength : maxThreadLength
  if (text === '' || text.length > most) return `must have 1 to ${most} characters; got ${text.length}`
  if (hidden.test(text)) return 'must have no control or invisible characters'
  if (name === 'actor' && isBotActor(text))
    return `must not begin with "${botActorPrefix}"; the router sets that for events of its own bots`
  return undefined
}

/** Actors are compared without regard to the case of ASCII letters, as SQLite's NOCASE does it: no login has others. */
export function foldedActor(actor: string): string {
  return actor.replaceAll(/[A-Z]+/g, letters => letters.toLowerCase())
}

/** An event as filters compare it: their own texts for actors are folded, too. */
export function withFoldedActor<E extends { actor: string | null }>(event: E): E {
  const { actor } = event
  return typeof actor !== 'string' || !/[A-Z]/.test(actor) ? event : { ...event, actor: foldedActor(actor) }
}

export function isBotActor(actor: string): boolean {
  return foldedActor(actor.slice(0, botActorPrefix.length)) === botActorPrefix
}

const senders = [
  'sender.login',
  'sender.username',
  'pusher.login',
  'pusher.username',
  'run.trigger_user.login',
] as const

/** Everywhere that the payload of any forge is looked at, by dotted path. */
export const originPaths: readonly string[] = [
  ...senders,
  'pusher.name',
  'repository.full_name',
  'pull_request.number',
  'issue.number',
  'number',
  'ref',
  'ref_type',
  // GitLab
  'object_kind',
  'event_name',
  'user.username',
  'user_username',
  'project.path_with_namespace',
  'object_attributes.iid',
  'object_attributes.noteable_type',
  'issue.iid',
  'merge_request.iid',
]

/** Returns the forge with the name of this webhook provider, or undefined if the provider is not a forge. */
export function forgeOf(provider: unknown): Forge | undefined {
  return forges.find(forge => forge === provider)
}

/** Whether a source takes in the webhooks of a forge. */
export function isForgeSource({ source_type, config }: { source_type: string; config?: object }): boolean {
  return (
    source_type === 'webhook' &&
    config !== undefined &&
    'provider' in config &&
    forgeOf(config.provider) !== undefined
  )
}

/** Visible ASCII without a colon: what nearly all are, and no fault can be in it. Saves half a microsecond an event. */
const ordinary = /^[!-9;-~]{1,256}$/

function usable(name: keyof Origin, text: string | null): string | null {
  return text === null || ordinary.test(text) || originFault(name, text) === undefined ? text : null
}

/** A login; null for the account that stands for deleted ones: all forges reserve its name, and it never acts. */
function login(value: string | number | null): string | null {
  const text = typeof value === 'string' ? usable('actor', value) : null
  return text?.length === 5 && foldedActor(text) === 'ghost' ? null : text
}

function conversation(
  repo: string | number | null,
  mark: '#' | '!',
  number: string | number | null,
): string | null {
  const isNumber = typeof number === 'number' && Number.isSafeInteger(number) && number > 0
  return typeof repo === 'string' && isNumber ? `${repo}${mark}${number}` : null
}

function refThread(repo: string | number | null, ref: string | null): string | null {
  return typeof repo === 'string' && ref !== null && /^refs\/./.test(ref) ? `${repo}@${ref}` : null
}

/**
 * The full name of a ref that was created or deleted. GitHub and Gitea send short names with their type, Forgejo full
 * ones (or short ones, where its hook is of type gitea). Of a branch of GitHub that is itself called refs/... the whole is its name.
 */
function namedRef(forge: Forge, ref: string, type: string | number | null): string | null {
  const folder = type === 'branch' ? 'refs/heads/' : type === 'tag' ? 'refs/tags/' : null
  if (forge !== 'github' && (folder === null ? ref.startsWith('refs/') : ref.startsWith(folder))) return ref
  return folder === null ? null : `${folder}${ref}`
}

/** The number of the issue or pull request: comments on pull requests of Forgejo and GitHub come as those of an issue. */
function numbered(type: string, at: ValueAt): string | number | null {
  return (
    at('pull_request.number') ??
    at('issue.number') ??
    (/^(issue|pull_request)/.test(type) ? at('number') : null)
  )
}

function hubThread(forge: Forge, type: string, at: ValueAt): string | null {
  const repo = at('repository.full_name')
  const ref = at('ref')
  if (type === 'push') return refThread(repo, typeof ref === 'string' ? ref : null)
  if (type === 'create' || type === 'delete')
    return refThread(repo, typeof ref === 'string' ? namedRef(forge, ref, at('ref_type')) : null)
  return conversation(repo, '#', numbered(type, at))
}

function hubActor(forge: Forge, at: ValueAt): string | null {
  // Events of Actions have no sender, only who started their run. GitHub's pusher has a name, which is a login.
  const places = forge === 'github' ? ['sender.login', 'pusher.name'] : senders
  const found = places.map(at).find(value => value !== null)
  return login(found ?? null)
}

function gitlabOrigin(at: ValueAt): Origin {
  // Events of a system hook about pushes have no object_kind.
  const kind = at('object_kind') ?? at('event_name')
  const repo = at('project.path_with_namespace')
  if (kind === 'push' || kind === 'tag_push') {
    const ref = at('ref')
    return {
      actor: login(at('user_username')),
      thread: refThread(repo, typeof ref === 'string' ? ref : null),
    }
  }
  return { actor: login(at('user.username')), thread: gitlabThread(kind, repo, at) }
}

/** Pipelines have an iid, too, and name the merge request that they belong to: they are no part of a conversation. */
function gitlabThread(
  kind: string | number | null,
  repo: string | number | null,
  at: ValueAt,
): string | null {
  if (kind === 'issue' || kind === 'work_item') return conversation(repo, '#', at('object_attributes.iid'))
  if (kind === 'merge_request') return conversation(repo, '!', at('object_attributes.iid'))
  if (kind === 'emoji')
    return conversation(repo, '!', at('merge_request.iid')) ?? conversation(repo, '#', at('issue.iid'))
  if (kind !== 'note') return null
  const about = at('object_attributes.noteable_type')
  if (about === 'MergeRequest') return conversation(repo, '!', at('merge_request.iid'))
  return about === 'Issue' ? conversation(repo, '#', at('issue.iid')) : null
}

/** Who caused an event of a forge, and in which conversation; type is that of the event, not its action. */
export function originOf(forge: Forge, type: string, at: ValueAt): Origin {
  const origin =
    forge === 'gitlab' ? gitlabOrigin(at) : { actor: hubActor(forge, at), thread: hubThread(forge, type, at) }
  return { actor: origin.actor, thread: usable('thread', origin.thread) }
}

function isPlain(value: unknown): boolean {
  return typeof value !== 'object' || value === null
}

/** What the matcher finds at a path: of a list the plain value in it, where there is one only. */
function unlisted(value: unknown): unknown {
  if (!Array.isArray(value)) return value
  const plain = (value as unknown[]).flat(Infinity).filter(isPlain)
  return plain.length === 1 ? (value as unknown[]).find(isPlain) : undefined
}

/** Looks into a payload that has been parsed. Finds what the matcher finds in its bytes (Matcher.valueAt). */
export function valueIn(payload: unknown): ValueAt {
  return path => {
    let value = payload
    for (const step of path.split('.')) {
      const isObject =
        typeof value === 'object' && value !== null && !Array.isArray(value) && Object.hasOwn(value, step)
      value = isObject ? (value as Record<string, unknown>)[step] : undefined
    }
    const found = unlisted(value)
    return typeof found === 'number' || (typeof found === 'string' && found !== '') ? found : null
  }
}

/** An event as it is stored, without what was not read out of it when it came. */
export interface StoredPayload {
  /** of its source, as it is now; null: it is no webhook source, or has been deleted */
  provider: string | null
  type: string
  headers: Record<string, string>
  body_format: string
  body: Uint8Array
}

const unknownOrigin: Origin = { actor: null, thread: null }
const utf8 = new TextDecoder()

/** The origin of an event that was logged before origins were: out of its body, or the headers of a CloudEvent. */
export function storedOrigin({ provider, type, headers, body_format, body }: StoredPayload): Origin {
  if (provider === 'cloudevents')
    return {
      actor: usable('actor', headers['ce-actor'] ?? null),
      thread: usable('thread', headers['ce-thread'] ?? null),
    }
  const forge = forgeOf(provider)
  if (forge === undefined || (body_format !== 'json' && body_format !== 'form')) return unknownOrigin
  try {
    const text = utf8.decode(body)
    const json = body_format === 'form' ? new URLSearchParams(text).get('payload') : text
    return originOf(forge, type, valueIn(JSON.parse(json ?? 'null')))
  } catch {
    return unknownOrigin
  }
}
