// The checker: the sender's book against what the router answers over its public interface.
import { SignalboxClient, type Methods } from '../../src/client/client.ts'
import type { Sent } from './workload.ts'

type Page = Methods['event.query']['result']

/** Every event of the workload's sources. */
async function everyEvent(client: SignalboxClient): Promise<Page['events']> {
  const found: Page['events'] = []
  for (let cursor: string | undefined; ;) {
    const page: Page = await client.call('event.query', { limit: 500, cursor })
    found.push(...page.events.filter(event => event.source_id === 'hook' || event.source_id === 'local'))
    if (page.next_cursor === undefined) return found
    cursor = page.next_cursor
  }
}

/** A delivery id as the sender's book has it, from the body. */
function bodyKey(body: string): string {
  const { n, name } = JSON.parse(body) as { n: number; name: string }
  return `${name} ${n}`
}

/**
 * C1 nothing accepted is lost, byte for byte; C2 nothing is there that was not sent, or that was refused; C3 each event
 * has the runs that it was decided to have; P6 one delivery is one event. Answers what is wrong, in words.
 */
export async function checked(socket: string, book: readonly Sent[]): Promise<string[]> {
  const wrong: string[] = []
  const client = await SignalboxClient.connect(socket)
  try {
    const sent = new Map(book.map(each => [bodyKey(each.body), each]))
    const stored = await everyEvent(client)
    const ids = new Set(stored.map(event => event.id))
    for (const { event_id, delivery_id } of book)
      if (event_id !== undefined && !ids.has(event_id)) wrong.push(`C1 ${delivery_id} was accepted as ${event_id} and is not there`)
    const seen = new Set<string>()
    for (const { id, matched_triggers } of stored) {
      const { body_base64 } = await client.call('event.get', { event_id: id, raw: true })
      const body = Buffer.from(body_base64!, 'base64').toString('utf8')
      const own = sent.get(bodyKey(body))
      if (own === undefined) wrong.push(`C2 ${id} was never sent`)
      else if (own.body !== body) wrong.push(`C1 ${id} has another body`)
      else if (own.refused !== undefined && own.refused !== 503 && own.refused !== 507 && own.refused > 0)
        wrong.push(`C2 ${id} was refused with ${own.refused} and is there`)
      if (seen.has(bodyKey(body))) wrong.push(`P6 ${bodyKey(body)} is there twice`)
      seen.add(bodyKey(body))
      const { runs } = await client.call('run.list', { event_id: id, limit: 100 })
      const told = runs.map(run => run.trigger_id).toSorted()
      if (JSON.stringify(told) !== JSON.stringify(matched_triggers.toSorted()))
        wrong.push(`C3 ${id} matched ${matched_triggers.join(' ')} and has runs of ${told.join(' ')}`)
      if (!matched_triggers.includes('to-off')) wrong.push(`C3 ${id} was not matched`)
    }
    return wrong
  } finally {
    client.close()
  }
}
