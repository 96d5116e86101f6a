// What routers under fault are given to do: events over both intakes, bots that take some of them, a little of everything
// that writes. The books are the sender's own.
import { dirname, join } from 'node:path'
import { SignalboxClient } from '../../src/client/client.ts'
import {
  bookLines,
  judged,
  quiet,
  sha256,
  told,
  type Books,
  type Delivered,
  type FaultNote,
} from './checker.ts'
import type { FaultyRouter } from './shim.ts'

/** What became of one event that was sent: accepted under an id, refused with a code, or unknown. */
export interface Sent {
  delivery_id: string
  body: string
  event_id?: string
  refused?: number
}

const mostActive = 4
const quickBelow = 3
/** What the bot writes down of an attempt before it is done. */
const entry = String.raw`printf '{"run":"%s","attempt":%s,"event":"%s","at":%s}\n' "$SIGNALBOX_RUN_ID" "$SIGNALBOX_ATTEMPT" "$SIGNALBOX_EVENT_ID" "$(date +%s%3N)" >> "$1"`

/** The book of the bot of a directory's routers. */
function ledger(socket: string): string {
  return join(dirname(socket), 'ledger')
}

/** Definitions of the workload; repeated, they change nothing. Throws where the router is gone. */
export async function define({ socket }: FaultyRouter): Promise<void> {
  const client = await SignalboxClient.connect(socket)
  try {
    await client.call('router.apply', {
      bots: [
        {
          id: 'quick',
          max_active: mostActive,
          endpoint: { kind: 'command', argv: ['/bin/sh', '-c', entry, 'quick', ledger(socket)] },
        },
        { id: 'off', enabled: false, endpoint: { kind: 'pull' } },
      ],
      sources: [
        {
          id: 'hook',
          source_type: 'webhook',
          config: { provider: 'none', rate_limit: { limit: 1_000_000, period_ms: 1000 } },
        },
        { id: 'local', source_type: 'service' },
      ],
      triggers: [
        { id: 'to-off', filter: { payload: { n: [{ exists: true }] } }, action: { bot_id: 'off' } },
        {
          id: 'to-quick',
          filter: { payload: { n: [{ numeric: ['<', quickBelow] }] } },
          action: { bot_id: 'quick' },
          policy: { retry: 'none' },
        },
      ],
    })
  } finally {
    client.close()
  }
}

async function post(intake: string, sent: Sent): Promise<void> {
  const headers = { 'content-type': 'application/json', 'webhook-id': sent.delivery_id, connection: 'close' }
  const answer = await fetch(`${intake}/webhook/hook`, {
    method: 'POST',
    body: sent.body,
    headers,
    signal: AbortSignal.timeout(10_000),
  })
  const text = await answer.text()
  if (answer.status === 200 || answer.status === 202)
    sent.event_id = (JSON.parse(text) as { event_id: string }).event_id
  else sent.refused = answer.status
}

async function emit(client: SignalboxClient, sent: Sent): Promise<void> {
  try {
    const answer = await client.call('event.emit', {
      source_id: 'local',
      type: 'x',
      payload: JSON.parse(sent.body) as object,
      idempotency_key: sent.delivery_id,
    })
    sent.event_id = answer.event_id
  } catch (error) {
    const { code } = error as { code?: unknown }
    if (typeof code === 'number') sent.refused = code
  }
}

/** Sends what has no answer yet, several at once over both intakes. Never throws: what stays unknown has neither id nor code. */
export async function send(
  { socket, intake }: FaultyRouter,
  events: readonly Sent[],
  atOnce = 4,
): Promise<void> {
  const open = events.filter(each => each.event_id === undefined)
  for (const each of open) delete each.refused
  const client = await SignalboxClient.connect(socket).catch(() => undefined)
  let next = 0
  const lane = async (): Promise<void> => {
    for (let each = open[next++]; each !== undefined; each = open[next++]) {
      if (each.delivery_id.startsWith('h')) await post(intake, each).catch(() => undefined)
      else if (client !== undefined) await emit(client, each)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, lane))
  client?.close()
}

/** So many events, every other one for each intake; of different sizes, up to some pages. */
export function someEvents(count: number, name: string): Sent[] {
  return Array.from({ length: count }, (_, n) => ({
    delivery_id: `${n % 2 === 0 ? 'h' : 'l'}-${name}-${n}`,
    body: JSON.stringify({ n, name, text: 'x'.repeat((n * 397) % 3000) }),
  }))
}

export interface Checked {
  faults?: readonly FaultNote[]
  /** whose bot was given what this router has, too: the socket of a router before it */
  before?: string
}

/** What is wrong by the nine rules of the checker, in words, once the router has done what it can. */
export async function checked(
  { socket, said }: Pick<FaultyRouter, 'socket' | 'said'>,
  book: readonly Sent[],
  more: Checked = {},
): Promise<string[]> {
  const client = await SignalboxClient.connect(socket)
  try {
    await quiet(client, ['quick'])
    const all = await told(client, ['hook', 'local'])
    const sent = book.map(({ body, ...each }) => {
      const { n } = JSON.parse(body) as { n: number }
      return { ...each, sha256: sha256(body), owes: n < quickBelow ? ['to-off', 'to-quick'] : ['to-off'] }
    })
    const delivered = bookLines<Delivered>(ledger(more.before ?? socket)).map(each => ({
      ...each,
      id: each.run,
      done: true,
    }))
    const books: Books = {
      sent,
      delivered,
      faults: more.faults ?? [],
      said: said(),
      most_active: mostActive,
      bots: ['quick'],
    }
    return judged(books, all)
  } finally {
    client.close()
  }
}
