// The checker: what senders and bots wrote down themselves, and what was done to the router meanwhile, against what the router
// says over its public interface. Nine rules, each on its own; what they find wrong is said in words that begin with the rule.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import type {
  Attempt,
  Methods,
  Run,
  RunHistoryEntry,
  RunState,
  SignalboxClient,
  Trigger,
} from '../../src/client/client.ts'

/** A sender's book: an event, and what became of it; neither id nor code: that is unknown. */
export interface Sent {
  delivery_id: string
  /** of the body */
  sha256: string
  /** the triggers that it matches */
  owes: readonly string[]
  event_id?: string
  /** the HTTP status or the JSON-RPC code that refused it */
  refused?: number
}

/** A bot's book: an attempt as it came, in the order in which they came, written before it was answered. */
export interface Delivered {
  /** what the delivery came under; a command has its run only */
  id: string
  run: string
  attempt: number
  event: string
  /** of the payload, where it is that of the body */
  sha256?: string
  at: number
  /** whether the answer was that it is done */
  done: boolean
  /** what the answer asked for */
  retry_after_ms?: number
  /** what runs of an order_key go one after the other by */
  key?: string
}

/** The fault log: from when until when something was done to the router, in milliseconds since 1970. */
export interface FaultNote {
  what: string
  at: number
  until: number
  /** of a process that ended: its exit code, and the one that was expected; null where a signal ended it */
  code?: number | null
  expected?: number | null
  /** attempts that may have been on their way; most_active unless said */
  in_flight?: number
}

export interface Books {
  sent: readonly Sent[]
  delivered: readonly Delivered[]
  faults: readonly FaultNote[]
  /** what the router's processes said on standard error */
  said?: string
  /** how many attempts may be on their way at once */
  most_active: number
  /** bots that keep books */
  bots: readonly string[]
}

export interface ToldEvent {
  id: string
  sha256: string
  matched: readonly string[]
}

export interface ToldRun extends Run {
  history: readonly RunHistoryEntry[]
  attempts: readonly Attempt[]
}

/** What the router says; events oldest first. */
export interface Told {
  at: number
  events: readonly ToldEvent[]
  runs: readonly ToldRun[]
  triggers: ReadonlyMap<string, Trigger>
}

/** How much later than its schedule an attempt may come on a machine that does other things besides; the promise is 5 s. */
const lateMs = 30_000
/** What was on its way at a fault may be written down so much behind it. */
const graceMs = 2000
/** Clocks of milliseconds, rounded. */
const roundingMs = 2
const callsAtOnce = 32

export function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Lines of a book that is appended to; one that is not written to its end is not written. */
export function bookLines<T>(path: string): T[] {
  if (!existsSync(path)) return []
  const text = readFileSync(path, 'utf8')
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as T)
}

async function allOf<T>(
  ask: (cursor: string | undefined) => Promise<{ items: readonly T[]; next_cursor?: string | undefined }>,
): Promise<T[]> {
  const found: T[] = []
  for (let cursor: string | undefined; ;) {
    const { items, next_cursor } = await ask(cursor)
    found.push(...items)
    if (next_cursor === undefined) return found
    cursor = next_cursor
  }
}

async function each<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (let from = 0; from < items.length; from += callsAtOnce)
    results.push(...(await Promise.all(items.slice(from, from + callsAtOnce).map(work))))
  return results
}

/** Asks a router for all that the rules speak of, as far as it is of some sources. */
export async function told(client: SignalboxClient, sources: readonly string[]): Promise<Told> {
  const lines = await allOf(async cursor => {
    const { events, next_cursor }: Methods['event.query']['result'] = await client.call('event.query', {
      limit: 500,
      cursor,
    })
    return { items: events.filter(event => sources.includes(event.source_id)), next_cursor }
  })
  const events = await each(lines.toReversed(), async ({ id, matched_triggers }) => {
    const { body_base64 } = await client.call('event.get', { event_id: id, raw: true })
    return { id, sha256: sha256(Buffer.from(body_base64!, 'base64')), matched: matched_triggers! }
  })
  const known = new Set(events.map(event => event.id))
  const list = await allOf(async cursor => {
    const { runs, next_cursor }: Methods['run.list']['result'] = await client.call('run.list', {
      limit: 500,
      cursor,
    })
    return { items: runs.filter(run => known.has(run.event_id)), next_cursor }
  })
  const runs = await each(list, async run => ({
    ...run,
    ...(await client.call('run.history', { run_id: run.id })),
  }))
  const { triggers } = await client.call('trigger.list', {})
  return { at: Date.now(), events, runs, triggers: new Map(triggers.map(trigger => [trigger.id, trigger])) }
}

function grouped<T>(items: readonly T[], by: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const group = groups.get(by(item))
    if (group === undefined) groups.set(by(item), [item])
    else group.push(item)
  }
  return groups
}

/** C1: every event that was accepted is there, byte for byte. */
function* noLoss({ sent }: Books, { events }: Told): Generator<string> {
  const stored = new Map(events.map(event => [event.id, event]))
  for (const { delivery_id, event_id, sha256: body } of sent) {
    if (event_id === undefined) continue
    const event = stored.get(event_id)
    if (event === undefined) yield `C1 ${delivery_id} was accepted as ${event_id} and is not there`
    else if (event.sha256 !== body) yield `C1 ${delivery_id} is there as ${event_id} with another body`
  }
}

/** C2: nothing is there that nobody sent, that was refused for what it is, or twice. */
function* noInvention({ sent }: Books, { events }: Told): Generator<string> {
  const bodies = new Map(sent.map(entry => [entry.sha256, entry]))
  for (const [body, same] of grouped(events, event => event.sha256)) {
    const entry = bodies.get(body)
    const { id } = same[0]!
    if (entry === undefined) yield `C2 ${id} was never sent`
    // What is refused for a while may be sent again and taken.
    else if (
      entry.event_id === undefined &&
      entry.refused !== undefined &&
      ![503, 507].includes(entry.refused) &&
      entry.refused > 0
    )
      yield `C2 ${entry.delivery_id} was refused with ${entry.refused} and is there as ${id}`
    if (same.length > 1)
      yield `C2 ${entry?.delivery_id ?? body} is there ${same.length} times: ${same.map(event => event.id).join(' ')}`
  }
}

function isAccountedFor(run: ToldRun, at: number): boolean {
  if (['failed', 'timed_out'].includes(run.state)) return run.error !== undefined
  if (run.state === 'cancelled') return run.error !== undefined || run.history.at(-1)?.reason !== undefined
  if (['pending', 'held', 'awaiting_approval'].includes(run.state))
    return run.waiting_for !== undefined || run.not_before > at
  return run.state === 'completed'
}

/** C3: every event has a run for each trigger that it matches, which was done, or ended or waits for a reason. */
function* completeness({ sent, delivered, bots }: Books, { at, events, runs }: Told): Generator<string> {
  const byEvent = grouped(runs, run => run.event_id)
  const bodies = new Map(sent.map(entry => [entry.sha256, entry]))
  const done = new Set(delivered.filter(entry => entry.done).map(entry => entry.run))
  for (const { id, sha256: body, matched } of events) {
    const made = (byEvent.get(id) ?? []).map(run => run.trigger_id).toSorted()
    const owed = (bodies.get(body)?.owes ?? matched).toSorted()
    if (JSON.stringify(made) !== JSON.stringify(owed))
      yield `C3 ${id} matches ${owed.join(' ')} and has runs of ${made.join(' ')}`
    if (JSON.stringify(matched.toSorted()) !== JSON.stringify(owed))
      yield `C3 ${id} matches ${owed.join(' ')}, the router says ${matched.join(' ')}`
  }
  for (const run of runs) {
    if (!isAccountedFor(run, at)) yield `C3 run ${run.id} is ${run.state}, and nothing says why`
    if (run.state === 'completed' && bots.includes(run.bot_id ?? '') && !done.has(run.id))
      yield `C3 run ${run.id} is completed, and no bot has done it`
  }
}

/** Whether a fault may be the reason for what happened between two attempts. */
function isBetween({ at, until }: FaultNote, before: number, after: number): boolean {
  return before <= until + graceMs && after >= at
}

/** C4: what is done is not delivered again, but for what was on its way at a fault, which comes once more for that. */
function* boundedDuplicates({ delivered, faults, most_active }: Books): Generator<string> {
  const again = [...grouped(delivered, entry => entry.run).values()].flatMap(entries =>
    entries.flatMap((entry, index) => {
      const before = entries[index - 1]
      return before?.done === true ? [{ before, entry }] : []
    }),
  )
  // Each fault accounts for those that it can, the first to come again first: no other choice accounts for more.
  const open = new Set(again.toSorted((a, b) => a.entry.at - b.entry.at))
  for (const fault of faults.toSorted((a, b) => a.at - b.at)) {
    const own = [...open].filter(({ before, entry }) => isBetween(fault, before.at, entry.at))
    for (const each of own.slice(0, fault.in_flight ?? most_active)) open.delete(each)
  }
  for (const { before, entry } of open)
    yield `C4 run ${entry.run} was done as attempt ${before.attempt} at ${before.at}, and came again as ${entry.attempt} at ${entry.at}`
}

/** C5: all attempts of a run come under its id with its event, and count 1, 2, 3; a number is missing or there twice only over a fault. */
function* identity({ delivered, faults }: Books, { events, runs }: Told): Generator<string> {
  const byId = new Map(runs.map(run => [run.id, run]))
  const bodies = new Map(events.map(event => [event.id, event.sha256]))
  for (const [id, entries] of grouped(delivered, entry => entry.run)) {
    const run = byId.get(id)
    if (run === undefined) yield `C5 run ${id} was delivered and is not there`
    let last = { attempt: 0, at: 0 }
    for (const entry of entries) {
      if (entry.id !== id) yield `C5 attempt ${entry.attempt} of run ${id} came under ${entry.id}`
      if (run !== undefined && entry.event !== run.event_id)
        yield `C5 run ${id} of event ${run.event_id} was delivered with ${entry.event}`
      if (entry.sha256 !== undefined && entry.sha256 !== bodies.get(entry.event))
        yield `C5 run ${id} was delivered with another body`
      // An attempt that never came as far as its bot is in the router's book alone.
      const missing = Array.from(
        { length: Math.max(0, entry.attempt - last.attempt - 1) },
        (_, index) => last.attempt + 1 + index,
      )
      const isInOrder =
        entry.attempt > last.attempt &&
        missing.every(number =>
          run?.attempts.some(each => each.number === number && each.outcome !== 'success'),
        )
      if (!isInOrder && !faults.some(fault => isBetween(fault, last.at, entry.at)))
        yield `C5 attempt ${entry.attempt} of run ${id} came after ${last.attempt}, without a fault between them`
      last = entry
    }
  }
  for (const { id, attempts } of runs) {
    const numbers = attempts.map(each => each.number)
    if (numbers.some((number, index) => index > 0 && number <= numbers[index - 1]!))
      yield `C5 run ${id} tells of attempts ${numbers.join(' ')}`
  }
}

/** C6: of an order_key, an attempt of the next event's run comes only after the last one of that before. */
function* order({ delivered }: Books, { events, runs, triggers }: Told): Generator<string> {
  const place = new Map(events.map((event, index) => [event.id, index]))
  const byId = new Map(runs.map(run => [run.id, run]))
  const isOrdered = (run: ToldRun | undefined): boolean =>
    run !== undefined && triggers.get(run.trigger_id)?.policy?.order_key !== undefined
  const ordered = delivered.filter(entry => isOrdered(byId.get(entry.run)))
  for (const [key, entries] of grouped(ordered, entry => `${byId.get(entry.run)!.trigger_id} ${entry.key}`)) {
    let furthest: Delivered | undefined
    for (const entry of entries) {
      if (furthest !== undefined && place.get(entry.event)! < place.get(furthest.event)!)
        yield `C6 of ${key}, attempt ${entry.attempt} of run ${entry.run} came after run ${furthest.run}, whose event is younger`
      else furthest = entry
    }
  }
}

function overlapMs({ faults }: Books, from: number, to: number): number {
  return faults.reduce(
    (sum, { at, until }) => sum + Math.max(0, Math.min(until + graceMs, to) - Math.max(at, from)),
    0,
  )
}

/** C7: attempts are as far apart as the schedule says, 20 % more or less, not sooner than their bot asked, and not more of them. */
function* scheduled(books: Books, { runs, triggers }: Told): Generator<string> {
  const byRun = grouped(books.delivered, entry => entry.run)
  for (const { id, trigger_id, attempts } of runs) {
    const waits = triggers.get(trigger_id)?.policy?.retry
    if (!Array.isArray(waits)) continue
    for (const [index, next] of attempts.entries()) {
      const before = attempts[index - 1]
      // What a fault has broken off goes on at once.
      if (before === undefined || before.outcome === 'unknown') continue
      const wait = waits[before.number]
      if (wait === undefined) {
        yield `C7 run ${id} has attempt ${next.number}, and ${waits.length} are scheduled`
        continue
      }
      const asked = byRun.get(id)?.find(entry => entry.attempt === before.number)?.retry_after_ms ?? 0
      const gap = next.started_at - before.ended_at
      if (gap < Math.max(0.8 * wait, asked) - roundingMs)
        yield `C7 attempt ${next.number} of run ${id} came ${gap} ms after the one before, due in ${wait} (asked: ${asked})`
      if (gap > 1.2 * Math.max(wait, asked) + lateMs + overlapMs(books, before.ended_at, next.started_at))
        yield `C7 attempt ${next.number} of run ${id} came only ${gap} ms after the one before, due in ${wait}`
    }
  }
}

/** Which state may follow which; a move may also leave a run where it is until it has ended. */
const following: Record<RunState | 'none', readonly RunState[]> = {
  none: ['pending', 'held'],
  pending: ['pending', 'awaiting_approval', 'held', 'assigned', 'running', 'failed', 'cancelled'],
  awaiting_approval: ['awaiting_approval', 'pending', 'held', 'cancelled'],
  held: ['held', 'pending', 'cancelled'],
  assigned: ['assigned', 'running', 'pending', 'timed_out', 'cancelled'],
  running: ['running', 'paused', 'pending', 'completed', 'failed', 'timed_out', 'cancelled'],
  paused: ['paused', 'running', 'pending', 'held', 'completed', 'failed', 'timed_out', 'cancelled'],
  failed: ['failed', 'pending'],
  timed_out: ['timed_out', 'pending'],
  completed: [],
  cancelled: [],
}

/** C8: the history of a run is a way through the states that leads to where it is. */
function* legalStates(_: Books, { runs }: Told): Generator<string> {
  for (const { id, state, history } of runs) {
    let last: { to: RunState | null; at: number; attempt: number } = { to: null, at: 0, attempt: 0 }
    for (const entry of history) {
      if (entry.from !== last.to)
        yield `C8 run ${id} went by ${entry.move} from ${entry.from}, and was ${last.to}`
      if (!following[entry.from ?? 'none'].includes(entry.to))
        yield `C8 run ${id} went by ${entry.move} from ${entry.from} to ${entry.to}`
      // What is put back was not begun.
      if (entry.attempt < last.attempt - (entry.move === 'put_back' ? 1 : 0))
        yield `C8 run ${id} was at attempt ${last.attempt} and is at ${entry.attempt} by ${entry.move}`
      last = entry
    }
    if (last.to !== state) yield `C8 run ${id} is ${state}, its history ends ${last.to}`
  }
}

/** C9: no answer is 500 or -32603, no process ends but as it is expected to, and none says that it has met a bug. */
function* noBugs({ sent, faults, said = '' }: Books): Generator<string> {
  for (const { delivery_id, refused } of sent)
    if (refused === 500 || refused === -32_603) yield `C9 ${delivery_id} was answered ${refused}`
  for (const { what, code, expected } of faults)
    if (code !== expected) yield `C9 after ${what} it ended with ${code}, not with ${expected}`
  const bug = said.split('\n').find(line => line.includes('"bug"'))
  if (bug !== undefined) yield `C9 it said ${bug.slice(0, 1500)}`
}

export const rules = {
  C1: noLoss,
  C2: noInvention,
  C3: completeness,
  C4: boundedDuplicates,
  C5: identity,
  C6: order,
  C7: scheduled,
  C8: legalStates,
  C9: noBugs,
}

/** What is wrong, in words. */
export function judged(books: Books, all: Told): string[] {
  return Object.values(rules).flatMap(rule => [...rule(books, all)])
}

/** Waits until a router has done what it can: nothing is with bots that keep books, and nothing of theirs is due. */
export async function quiet(client: SignalboxClient, bots: readonly string[]): Promise<void> {
  // A run that is put back between the two questions is in neither answer: nothing must be open several times in a row.
  for (let rounds = 0; rounds < 3;) {
    const open = await Promise.all(
      bots.flatMap(bot_id =>
        (['pending', 'running'] as const).map(
          async state => (await client.call('run.list', { bot_id, state, limit: 1 })).runs.length,
        ),
      ),
    )
    rounds = open.every(count => count === 0) ? rounds + 1 : 0
    await pause(10)
  }
}
