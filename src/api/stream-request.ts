// What a request for a stream asks for, and the cursor that it goes on from.
import { Fault } from '../errors.ts'
import type { EventSelectionStored } from '../store/store.ts'

const topics = ['events', 'runs', 'output'] as const
export type Topic = (typeof topics)[number]

/** The last of each topic that a reader has. */
export interface StreamCursor {
  /** seq of an event */
  events?: number
  /** a place in the changes of runs */
  runs?: string
  output?: { attempt: number; offset: number }
}

export interface StreamRequest {
  topics: Topic[]
  selection: EventSelectionStored
  run_id?: string
  bot_id?: string
  /** undefined: from now on */
  resumed?: StreamCursor
}

const selecting = ['source_id', 'type', 'subject', 'actor', 'thread', 'trigger_id'] as const
const known: ReadonlySet<string> = new Set(['topics', 'run_id', 'bot_id', 'after', ...selecting])
const mostLength = 1024

function refused(path: string, message: string): Fault {
  return new Fault('invalid_params', `${path} ${message}`, { data: { path } })
}

/** A cursor as it is sent: one text that has no meaning for its reader. */
export function cursorText({ events, runs, output }: StreamCursor): string {
  const place = output === undefined ? undefined : [output.attempt, output.offset]
  return Buffer.from(JSON.stringify([events ?? null, runs ?? null, place ?? null])).toString('base64url')
}

function isPlace(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{12}\.\d{1,15}$/.test(value)
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** Throws Fault invalid_params for what is no cursor. */
export function cursorOf(text: string, path: string): StreamCursor {
  const unknown = refused(path, 'is not a cursor of a stream; omit it to start from now')
  let parts: unknown
  try {
    parts = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'))
  } catch {
    throw unknown
  }
  if (!Array.isArray(parts) || parts.length !== 3) throw unknown
  const [events, runs, output] = parts as unknown[]
  const isOutput = Array.isArray(output) && output.length === 2 && output.every(isCount)
  if (
    (events !== null && !isCount(events)) ||
    (runs !== null && !isPlace(runs)) ||
    (output !== null && !isOutput)
  )
    throw unknown
  const [attempt, offset] = output ?? []
  return {
    ...(events === null ? {} : { events }),
    ...(runs === null ? {} : { runs }),
    ...(attempt === undefined ? {} : { output: { attempt, offset: offset! } }),
  }
}

function topicsOf(text: string): Topic[] {
  const asked = text.split(',')
  const wrong = asked.find(each => !(topics as readonly string[]).includes(each))
  if (wrong !== undefined)
    throw refused(
      'topics',
      `must be some of ${topics.join(', ')}, separated by commas; found ${JSON.stringify(wrong.slice(0, 80))}`,
    )
  return topics.filter(each => asked.includes(each))
}

/** Reads the query of GET /stream and the header Last-Event-ID. Throws Fault invalid_params. */
export function streamRequest(query: string | undefined, lastEventId: string | undefined): StreamRequest {
  const given = new URLSearchParams(query)
  for (const name of given.keys()) {
    if (!known.has(name))
      throw refused(name.slice(0, 80), `must be a known parameter (${[...known].join(', ')})`)
    if (given.getAll(name).length > 1) throw refused(name, 'is given twice')
    if (given.get(name)!.length > mostLength)
      throw refused(name, `must have at most ${mostLength} characters`)
  }
  const of = (name: string): string | undefined => given.get(name) ?? undefined
  const asked = topicsOf(of('topics') ?? 'events,runs')
  const run_id = of('run_id')
  if (run_id !== undefined && !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(run_id))
    throw refused('run_id', 'is not the id of a run')
  if (asked.includes('output') && run_id === undefined)
    throw refused('run_id', 'is required with the topic output: the run whose output is wanted')
  const bot_id = of('bot_id')
  // A browser sends the header when it connects again, with the query of before.
  const after = lastEventId ?? of('after')
  const selection = Object.fromEntries(
    selecting.map(name => [name, of(name)]).filter(([, value]) => value !== undefined),
  ) as EventSelectionStored
  return {
    topics: asked,
    selection,
    ...(run_id === undefined ? {} : { run_id }),
    ...(bot_id === undefined ? {} : { bot_id }),
    ...(after === undefined
      ? {}
      : { resumed: cursorOf(after, lastEventId === undefined ? 'after' : 'Last-Event-ID') }),
  }
}
