// event.subscribe and event.unsubscribe: the log as it grows.
import { Fault } from '../../errors.ts'
import type { EventLine, StoredEvent } from '../../store/store.ts'
import type { Stream } from '../caller.ts'
import type { Call, Handlers } from '../jsonrpc.ts'
import { mostPerConnection, type Subscription } from '../subscriptions.ts'
import { decodeSeq, encodeCursor, type Context } from './context.ts'
import { lineOf, matching, shownEvent, shownLine } from './event.ts'

function kept(call: Call): Stream {
  const stream = call.stream()
  if (stream === undefined)
    throw new Fault('invalid_state', 'a subscription needs a connection that is kept: JSON-RPC as lines on the control socket, not over HTTP')
  return stream
}

export function subscribeMethods(context: Context): Pick<Handlers, 'event.subscribe' | 'event.unsubscribe'> {
  const { store, subscriptions } = context
  return {
    async 'event.subscribe'({ filter, after, whole = false, ...selection }, call) {
      const stream = kept(call)
      const wanted = filter === undefined ? undefined : matching(filter, call.text('filter'))
      const from = decodeSeq(after, 'after') ?? (await store.lastSeq())
      if (subscriptions.countOf(stream.closed) >= mostPerConnection)
        throw new Fault('overloaded', `a connection has at most ${mostPerConnection} subscriptions; end one with event.unsubscribe`)
      const told: Subscription['told'] = event => {
        if (wanted !== undefined && wanted(event as StoredEvent) === undefined) return undefined
        const cursor = encodeCursor(event.seq)
        if (whole) return { cursor, event: shownEvent(event as StoredEvent, false) }
        return { cursor, event: shownLine(wanted === undefined ? (event as EventLine) : lineOf(event as StoredEvent)) }
      }
      const subscription = subscriptions.open(stream, { selection, after: from, whole: whole || wanted !== undefined, told })
      return { subscription, cursor: encodeCursor(from) }
    },
    async 'event.unsubscribe'({ subscription }, call) {
      return { ended: subscriptions.close(kept(call).closed, subscription) }
    },
  }
}
