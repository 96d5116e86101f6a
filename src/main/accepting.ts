// The one way into the log, and when it is closed.
import type { Emit } from '../delivery/bots/emit.ts'
import type { DeliveryParts } from '../delivery/delivery.ts'
import { Fault } from '../errors.ts'
import { uuidv7Maker } from '../ids.ts'
import { emitEvent } from '../intake/emitting.ts'
import { Acceptor } from '../routing/accept.ts'
import type { Parts } from './parts.ts'

export function accepting(
  { store, registry, config, now, disk, log }: Parts,
  { dispatcher, tools }: DeliveryParts,
  isClosing: () => boolean,
): Acceptor {
  const assertOpen = (): void => {
    if (isClosing())
      throw new Fault('shutting_down', 'the router is shutting down; send the event again in a moment', {
        retryAfterS: 5,
      })
    const { full, room_bytes, reserve_bytes, resume_bytes } = disk.state
    if (full)
      throw new Fault(
        'storage_full',
        `the disk is nearly full: room for ${room_bytes} bytes, ${reserve_bytes} are kept in reserve; events are accepted again from ${resume_bytes} bytes on, free some space`,
        { retryAfterS: 60 },
      )
  }
  return new Acceptor({
    store,
    registry,
    limits: config,
    now,
    makeId: uuidv7Maker(),
    onRuns: ids => dispatcher.wake(ids),
    onCancel: ids => ids.forEach(id => dispatcher.cancel(id)),
    tools,
    log: log.event,
    assertOpen,
  })
}

/** How bots of kind emit make events. */
export function emitter({ registry, store, config, now, measures }: Parts, acceptor: () => Acceptor): Emit {
  return order =>
    measures.timed('bot', () =>
      emitEvent(
        { ...order, by_bot: true, body: Buffer.from(JSON.stringify(order.payload)) },
        { registry, store, acceptor: acceptor(), max_body_bytes: config.max_body_bytes, now },
      ),
    )
}
