// event.subscribe and run.subscribe, with their ends: the log as it grows, and runs as they change.
import type { Run, RunSubscribeParams } from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import type { EventLine, EventSelectionStored, Store, StoredEvent } from '../../store/store.ts'
import type { Stream } from '../caller.ts'
import type { Call, Handlers } from '../jsonrpc.ts'
import { mostPerConnection, type SendNews, type Subscriptions } from '../subscriptions.ts'
import type { Context } from './context.ts'
import { decodeSeq, encodeCursor } from './pages.ts'
import { lineOf, matching, shownEvent, shownLine } from './event.ts'
import { shownRun } from './shown-run.ts'

/** Bodies that are read at once. */
const pageBytes = 1_048_576
const atOnce = 100

function kept(call: Call): Stream {
  const stream = call.stream()
  if (stream === undefined)
    throw new Fault(
      'invalid_state',
      'a subscription needs a connection that is kept: JSON-RPC as lines on the control socket, not over HTTP',
    )
  return stream
}

/** Throws Fault overloaded. */
function assertRoom(subscriptions: Subscriptions, { closed }: Stream, noun: 'event' | 'run'): void {
  if (subscriptions.countOf(closed) >= mostPerConnection)
    throw new Fault(
      'overloaded',
      `a connection has at most ${mostPerConnection} subscriptions to ${noun}s; end one with ${noun}.unsubscribe`,
    )
}

interface EventNews {
  selection: EventSelectionStored
  /** seq of the last event that is known */
  after: number
  whole: boolean
  /** What is sent of an event; undefined: nothing. */
  told: (event: EventLine | StoredEvent) => Record<string, unknown> | undefined
}

function eventNews(
  store: Pick<Store, 'events'>,
  stream: Stream,
  { selection, after, whole, told }: EventNews,
): SendNews {
  let last = after
  return async (subscription, stop) => {
    const events = await store.events({
      selection,
      order: 'asc',
      limit: atOnce,
      after: last,
      whole,
      max_bytes: pageBytes,
    })
    for (const event of events) {
      // What there is no room for is read again: held here, a page of each of a thousand slow readers would be a thousand pages.
      if (stop.aborted || !stream.hasRoom()) return true
      last = event.seq
      const params = told(event)
      if (params !== undefined) stream.notify('event.logged', { subscription, ...params })
    }
    return events.length > 0
  }
}

function isWanted(run: Run, { run_id, trigger_id, bot_id }: RunSubscribeParams): boolean {
  return (
    (run_id ?? run.id) === run.id &&
    (trigger_id ?? run.trigger_id) === run.trigger_id &&
    (bot_id ?? run.bot_id) === run.bot_id
  )
}

function runNews(context: Context, stream: Stream, wanted: RunSubscribeParams, after: number): SendNews {
  const { store, changes } = context
  let last = after
  const told = async (run_id: string): Promise<Record<string, unknown> | undefined> => {
    if (wanted.run_id !== undefined && wanted.run_id !== run_id) return undefined
    const found = await store.run(run_id)
    if (found === null) return undefined
    const run = shownRun(context, found)
    if (!isWanted(run, wanted)) return undefined
    // No part is that far behind: only the totals are read.
    const output = await store.output({ run_id, after: Number.MAX_SAFE_INTEGER, max_bytes: 1 })
    return {
      run,
      ...(output === null || output.total_bytes === 0
        ? {}
        : { output: { attempt: output.attempt, total_bytes: output.total_bytes } }),
    }
  }
  return async (subscription, stop) => {
    if (!changes.isKnown(last)) {
      last = changes.now
      stream.notify('run.changed', { subscription, cursor: changes.place(last), reset: true })
    }
    const found = changes.after(last, atOnce)
    for (const { run_id, seq } of found) {
      const news = await told(run_id)
      if (stop.aborted || !stream.hasRoom()) return true
      last = seq
      if (news !== undefined)
        stream.notify('run.changed', { subscription, cursor: changes.place(seq), ...news })
    }
    return found.length > 0
  }
}

type Methods = 'event.subscribe' | 'event.unsubscribe' | 'run.subscribe' | 'run.unsubscribe'

export function subscribeMethods(context: Context): Pick<Handlers, Methods> {
  const { store, subscriptions, runSubscriptions, changes } = context
  return {
    async 'event.subscribe'({ filter, after, whole = false, ...selection }, call) {
      const stream = kept(call)
      const wanted = filter === undefined ? undefined : matching(filter, call.text('filter'))
      const from = decodeSeq(after, 'after') ?? (await store.lastSeq())
      assertRoom(subscriptions, stream, 'event')
      const told: EventNews['told'] = event => {
        if (wanted !== undefined && wanted(event as StoredEvent) === undefined) return undefined
        const cursor = encodeCursor(event.seq)
        if (whole) return { cursor, event: shownEvent(event as StoredEvent, false) }
        return {
          cursor,
          event: shownLine(wanted === undefined ? (event as EventLine) : lineOf(event as StoredEvent)),
        }
      }
      const subscription = subscriptions.open(
        stream,
        eventNews(store, stream, { selection, after: from, whole: whole || wanted !== undefined, told }),
      )
      return { subscription, cursor: encodeCursor(from) }
    },
    async 'event.unsubscribe'({ subscription }, call) {
      return { ended: subscriptions.close(kept(call).closed, subscription) }
    },
    async 'run.subscribe'({ after, ...wanted }, call) {
      const stream = kept(call)
      const found = after === undefined ? changes.now : changes.find(after)
      if (found === undefined)
        throw new Fault('invalid_params', 'unknown after; omit it to start with changes from now on', {
          data: { path: 'after' },
        })
      assertRoom(runSubscriptions, stream, 'run')
      const from = found ?? changes.now
      const subscription = runSubscriptions.open(stream, runNews(context, stream, wanted, from))
      return { subscription, cursor: changes.place(from), reset: found === null }
    },
    async 'run.unsubscribe'({ subscription }, call) {
      return { ended: runSubscriptions.close(kept(call).closed, subscription) }
    },
  }
}
