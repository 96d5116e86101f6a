// What routers under fault are given to do: events over both intakes, bots that take some of them, a little of everything
// that writes. The books are the sender's own.
import { SignalboxClient } from '../../src/client/client.ts'
import type { FaultyRouter } from './shim.ts'

/** What became of one event that was sent: accepted under an id, refused with a code, or unknown. */
export interface Sent {
  delivery_id: string
  body: string
  event_id?: string
  refused?: number
}

/** Definitions of the workload; repeated, they change nothing. Throws where the router is gone. */
export async function define({ socket }: FaultyRouter): Promise<void> {
  const client = await SignalboxClient.connect(socket)
  try {
    await client.call('router.apply', {
      bots: [
        { id: 'quick', endpoint: { kind: 'command', argv: ['/bin/true'] } },
        { id: 'off', enabled: false, endpoint: { kind: 'pull' } },
      ],
      sources: [
        { id: 'hook', source_type: 'webhook', config: { provider: 'none', rate_limit: { limit: 1_000_000, period_ms: 1000 } } },
        { id: 'local', source_type: 'service' },
      ],
      triggers: [
        { id: 'to-off', filter: { payload: { n: [{ exists: true }] } }, action: { bot_id: 'off' } },
        { id: 'to-quick', filter: { payload: { n: [{ numeric: ['<', 3] }] } }, action: { bot_id: 'quick' }, policy: { retry: 'none' } },
      ],
    })
  } finally {
    client.close()
  }
}

async function post(intake: string, sent: Sent): Promise<void> {
  const headers = { 'content-type': 'application/json', 'webhook-id': sent.delivery_id, connection: 'close' }
  const answer = await fetch(`${intake}/webhook/hook`, { method: 'POST', body: sent.body, headers, signal: AbortSignal.timeout(10_000) })
  const text = await answer.text()
  if (answer.status === 200 || answer.status === 202) sent.event_id = (JSON.parse(text) as { event_id: string }).event_id
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
export async function send({ socket, intake }: FaultyRouter, events: readonly Sent[], atOnce = 4): Promise<void> {
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
