// The services that messages are sent through over HTTP: the request that each takes, and how each says that it accepted one. Pure.
import { createHash } from 'node:crypto'
import type { NotifyEndpoint } from '../../contract/types.ts'
import { answerValue } from '../answer-json.ts'
import { chatText, cut, oneLine, visible, type Message } from './notify-text.ts'

export type HttpPreset = Exclude<NotifyEndpoint['preset'], 'smtp'>

export interface Prepared {
  method: 'POST' | 'PUT'
  url: URL
  headers: Record<string, string>
  body: object
}

export interface Service {
  /** id: the same for every attempt of a run */
  request(
    endpoint: NotifyEndpoint,
    url: string,
    token: string | undefined,
    message: Message,
    id: string,
  ): Prepared
  /** Whether a 2xx answer is one of this service. */
  isAccepted(body: string): boolean
  /** What the body of an answer says of the time to wait. */
  retryAfterMs?(body: string): number | undefined
}

const bytes = (text: string): number => Buffer.byteLength(text)
const mostTitle = 250

/** A URL below the base URL of a server, whose own path is kept. */
function below(base: string, path: string): URL {
  const url = new URL(base)
  url.pathname = `${url.pathname.replace(/\/+$/, '')}${path}`
  return url
}

function member(body: string, name: string): unknown {
  const value = answerValue(body)?.value
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined
}

function milliseconds(value: unknown, unit: number): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 && value < 1e9
    ? Math.ceil(value * unit)
    : undefined
}

/** JSON to the root of the server: title and text are in no header there. A longer text would become a file. */
const ntfy: Service = {
  request({ topic }, url, token, { title, text, priority, link }) {
    const message = {
      topic,
      title: cut(oneLine(title), mostTitle),
      message: cut(visible(text), 4000, bytes),
      priority,
    }
    const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` }
    return {
      method: 'POST',
      url: below(url, '/'),
      headers,
      body: { ...message, ...(link === undefined ? {} : { click: link }) },
    }
  },
  isAccepted: body => typeof member(body, 'id') === 'string',
}

/** Its clients are silent below 4, and loud from 8. */
const gotifyPriorities = [0, 2, 5, 8, 10]

const gotify: Service = {
  request(_endpoint, url, token, { title, text, priority, link }) {
    const click = link === undefined ? {} : { 'client::notification': { click: { url: link } } }
    return {
      method: 'POST',
      url: below(url, '/message'),
      headers: { 'x-gotify-key': token! },
      body: {
        title: cut(oneLine(title), mostTitle),
        // A message must not be empty there.
        message: cut(visible(text), 8000) || '-',
        priority: gotifyPriorities[priority - 1],
        extras: { 'client::display': { contentType: 'text/plain' }, ...click },
      },
    }
  },
  isAccepted: body => typeof member(body, 'id') === 'number',
}

/** The transaction ID is made of the run: the server takes a second request with it for the first. */
const matrix: Service = {
  request({ room }, url, token, { title, text, link }, id) {
    const transaction = createHash('sha256').update(`${room} ${id}`).digest('hex').slice(0, 32)
    const shown = [cut(oneLine(title), mostTitle), cut(visible(text), 16_000, bytes), link].filter(
      part => part !== undefined && part !== '',
    )
    return {
      method: 'PUT',
      url: below(
        url,
        `/_matrix/client/v3/rooms/${encodeURIComponent(room!)}/send/m.room.message/${transaction}`,
      ),
      headers: { authorization: `Bearer ${token!}` },
      // No formatted_body: nothing is HTML. An empty m.mentions: no name in the text pings.
      body: { msgtype: 'm.text', body: shown.join('\n'), 'm.mentions': {} },
    }
  },
  isAccepted: body => typeof member(body, 'event_id') === 'string',
  retryAfterMs: body => milliseconds(member(body, 'retry_after_ms'), 1),
}

/** Discord takes 2,000 characters, the least of the compatible chats: 200 + 1,400 + a link of at most 390. */
const mostChat = { title: 200, text: 1400, link: 390 }
const chatLength = (text: string): number => chatText(text).length

const slack: Service = {
  request(_endpoint, url, _token, { title, text, link }) {
    const short =
      link === undefined || chatLength(link) > mostChat.link ? undefined : link.replaceAll('&', '&amp;')
    const shown = [
      chatText(cut(oneLine(title), mostChat.title, chatLength)),
      chatText(cut(visible(text), mostChat.text, chatLength)),
      short,
    ]
    return {
      method: 'POST',
      url: new URL(url),
      headers: {},
      body: {
        text: shown.filter(part => part !== undefined && part !== '').join('\n'),
        mrkdwn: false,
        parse: 'none',
        link_names: false,
        unfurl_links: false,
      },
    }
  },
  isAccepted: body =>
    ['', 'ok'].includes(body.trim()) ||
    member(body, 'success') === true ||
    typeof member(body, 'id') === 'string',
  // Discord says seconds in the body.
  retryAfterMs: body => milliseconds(member(body, 'retry_after'), 1000),
}

export const services: Record<HttpPreset, Service> = { ntfy, gotify, matrix, slack }

/** The reason that a service gave in its answer, in one short line; empty: none that can be read. */
export function saidReason(body: string): string {
  const said = ['error', 'errorDescription', 'message']
    .map(name => member(body, name))
    .filter(value => typeof value === 'string')
  const text =
    said.length > 0
      ? said.join(', ')
      : /^[\x20-\x7e]{1,80}$/.test(body.trim()) && !body.includes('<')
        ? body
        : ''
  return cut(oneLine(text), 200)
}
