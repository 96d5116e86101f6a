// The texts of messages to people: what a message says when the bot has no template, and what makes a stranger's text harmless and
// short. Pure.

export interface Message {
  title: string
  text: string
  /** 1 to 5 */
  priority: number
  link: string | undefined
}

/** An event, as far as a message is made of it. */
export interface NotedEvent {
  source_id: string
  type: string
  subject: string | null
  actor?: string | null
  payload: unknown
}

/** The source of lifecycle events. */
const routerSource = 'router'
/** Events of a batch that a message lists. */
const mostListed = 5
/** What ends a text that was cut. */
export const cutMark = ' […]'

/** Controls, direction marks, invisible characters, tags: they can hide or reorder what is read. Line breaks and tabs stay. */
const invisible =
  /(?![\n\t])[\p{Cc}\u{61c}\u{200b}\u{200e}\u{200f}\u{2028}-\u{202e}\u{2060}-\u{2064}\u{2066}-\u{2069}\u{feff}\u{e0000}-\u{e007f}]/gu

/** A text without invisible characters and halves of characters. */
export function visible(text: string): string {
  return text.toWellFormed().replaceAll('\r\n', '\n').replaceAll(invisible, '')
}

/** The same in one line. */
export function oneLine(text: string): string {
  return visible(text.replaceAll(/[\r\n\t\u0085\u2028\u2029]+/g, ' ')).trim()
}

/** The longest beginning of a text that has at most so much of a size, with a mark if something was cut. The size of a text must not be less than its length. */
export function cut(
  text: string,
  most: number,
  size: (text: string) => number = each => each.length,
): string {
  if (text.length <= most && size(text) <= most) return text
  const characters = Array.from(text.slice(0, most))
  let [fits, tooLong] = [0, characters.length + 1]
  while (tooLong - fits > 1) {
    const middle = (fits + tooLong) >> 1
    if (size(characters.slice(0, middle).join('') + cutMark) <= most) fits = middle
    else tooLong = middle
  }
  return (characters.slice(0, fits).join('') + cutMark).toWellFormed()
}

function textAt(value: unknown, ...path: string[]): string | undefined {
  for (const step of path)
    value =
      typeof value === 'object' && value !== null && Object.hasOwn(value, step)
        ? (value as Record<string, unknown>)[step]
        : undefined
  if (typeof value === 'number') return String(value)
  return typeof value === 'string' && value !== '' ? value : undefined
}

function lines(...all: (string | false | undefined)[]): string {
  return all.filter(line => typeof line === 'string').join('\n')
}

/** What a lifecycle event of a run says to people. */
function ofRun({ type, payload }: NotedEvent, id: string): { title: string; text: string } {
  const trigger = textAt(payload, 'run', 'trigger_id') ?? 'a trigger'
  const bot = textAt(payload, 'run', 'bot_id')
  const reason = textAt(payload, 'reason')
  const cause = [textAt(payload, 'event', 'type'), textAt(payload, 'event', 'subject')]
    .filter(part => part !== undefined)
    .join(' ')
  const about = lines(
    `Run ${id}${bot === undefined ? '' : ` of bot ${bot}`}`,
    cause !== '' && `Event: ${cause} from ${textAt(payload, 'event', 'source_id') ?? 'an unknown source'}`,
    reason !== undefined && `Reason: ${reason}`,
  )
  switch (type) {
    case 'run.awaiting_approval':
      return {
        title: `Approval needed: ${trigger}`,
        text: lines(about, `Decide: signalbox runs approve ${id}`, `or: signalbox runs deny ${id}`),
      }
    case 'run.failed':
    case 'run.timed_out': {
      const attempts = textAt(payload, 'run', 'attempt')
      const title = `Run ${type === 'run.failed' ? 'failed' : 'timed out'}: ${trigger}`
      return {
        title,
        text: lines(
          about,
          attempts !== undefined && `Attempts: ${attempts}`,
          `Retry: signalbox runs retry ${id}`,
        ),
      }
    }
    case 'run.held':
      return { title: `Run held: ${trigger}`, text: lines(about, `Release: signalbox runs release ${id}`) }
    default:
      return { title: `${type}: ${trigger}`, text: about }
  }
}

/** A length of time in words: 40 min, 3 h, 2 days. */
function length(ms: string | undefined): string {
  const minutes = Math.round(Number(ms) / 60_000)
  if (!Number.isFinite(minutes)) return 'some time'
  return minutes < 120
    ? `${minutes} min`
    : minutes < 48 * 60
      ? `${Math.round(minutes / 60)} h`
      : `${Math.round(minutes / 1440)} days`
}

function day(ms: string | undefined): string {
  const at = new Date(Number(ms))
  return Number.isNaN(at.getTime()) ? 'soon' : at.toISOString().slice(0, 16).replace('T', ' ')
}

/** What a lifecycle event of a source or a token says to people; undefined: it is another one. */
function ofOthers({ type, subject, payload }: NotedEvent): { title: string; text: string } | undefined {
  const of = (name: string): string | undefined => textAt(payload, name)
  const source = subject ?? 'a source'
  const look = `Look: signalbox sources show ${source}`
  switch (type) {
    case 'source.silent':
      return {
        title: `Silent source: ${source}`,
        text: lines(`No event for ${length(of('silent_after_ms'))}.`, look),
      }
    case 'source.refusing': {
      const reason = of('reason')
      return {
        title: `Source refuses deliveries: ${source}`,
        text: lines(
          `${of('refused') ?? 'Several'} in a row were refused${reason === undefined ? '' : `: ${reason}`}.`,
          `Look: signalbox events refused --source ${source}`,
        ),
      }
    }
    case 'source.resumed':
      return {
        title: `Source is back: ${source}`,
        text: `It was ${of('after') ?? 'in trouble'} for ${length(of('ms'))}.`,
      }
    case 'source.failing':
      return { title: `Source cannot be read: ${source}`, text: lines(of('error'), look) }
    case 'token.expiring': {
      const name = of('name')
      return {
        title: `Token ends soon: ${name ?? source}`,
        text: lines(
          `Token ${source} ends at ${day(of('expires_at'))} UTC.`,
          'New one: signalbox tokens create, then signalbox tokens revoke',
        ),
      }
    }
    default:
      return undefined
  }
}

/** The message about one event, where the bot has no template of its own. */
export function usualMessage(event: NotedEvent): { title: string; text: string } {
  const { source_id, type, subject, actor, payload } = event
  if (source_id === routerSource) {
    if (type === 'notify.test')
      return { title: 'Signalbox test message', text: `Bot ${subject ?? ''} can send messages.` }
    const id = type.startsWith('run.') ? textAt(payload, 'run', 'id') : undefined
    if (id !== undefined) return ofRun(event, id)
    const other = ofOthers(event)
    if (other !== undefined) return other
  }
  const reason = textAt(payload, 'reason')
  return {
    title: subject === null ? type : `${type}: ${subject}`,
    text: lines(
      `Event ${type} from ${source_id}`,
      typeof actor === 'string' && `By: ${actor}`,
      reason !== undefined && `Reason: ${reason}`,
    ),
  }
}

/** The message about several events of one run: their number and the first few. */
export function batchMessage(events: readonly NotedEvent[]): { title: string; text: string } {
  const usual = events.slice(0, mostListed).map(usualMessage)
  const more = events.length - usual.length
  return {
    title: `${events.length} events, first: ${usual[0]!.title}`,
    text: lines(
      `${events.length} events:`,
      ...usual.map(({ title }, index) => `${index + 1}. ${oneLine(title)}`),
      more > 0 && `and ${more} more`,
    ),
  }
}

/** A link that can be shown to people; undefined: it is not an http or https URL. Nothing in it can end a link or ping. */
export function safeLink(text: string): string | undefined {
  if (text.length > 2048 || !URL.canParse(text)) return undefined
  const { protocol, username, password, href } = new URL(text)
  if ((protocol !== 'http:' && protocol !== 'https:') || username !== '' || password !== '') return undefined
  return href.replaceAll(
    /[@|`*~<>"'()[\]\\]/g,
    character => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  )
}

/**
 * Text for incoming webhooks of Slack and of chats that are compatible with it. Slack takes & < > as markup only; the others read
 * Markdown and @names as well and know no escape that Slack has too, so those characters are replaced by ones that look alike.
 */
export function chatText(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('@', '@\u200b')
    .replaceAll('*', '∗')
    .replaceAll('`', 'ˋ')
    .replaceAll('~', '∼')
    .replaceAll('|', '∣')
    .replaceAll('[', '[\u200b')
    .replaceAll('](', ']\u200b(')
    .replaceAll('\\', '＼')
    .replaceAll(/(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])/gu, '＿')
    .replaceAll(/^(?=\s*(?:[#+=-]|\d+[.)]))/gm, '\u200b')
}
