// What params name: each function answers the stored object, or throws the Fault for a name that does not exist.
import type { Trigger, TriggerInput } from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import { noSuch } from '../../nearest-id.ts'
import type { StoredEvent } from '../../store/store.ts'
import type { Context } from './context.ts'

/** A param that may be omitted only on the socket of a command, where it is implied. */
export function missing(path: string): Fault {
  return new Fault('invalid_params', `${path} is required; found nothing`, { data: { path } })
}

/** known: the existing ids; the nearest one is suggested. */
export function notFound(noun: string, id: string, list: string, known?: Iterable<string>): Fault {
  return new Fault('not_found', noSuch(noun, id, list, known))
}

/** A trigger as it is now. Throws Fault not_found. */
export function storedTrigger({ registry }: Pick<Context, 'registry'>, trigger_id: string): Trigger {
  const trigger = registry.triggers.get(trigger_id)
  if (trigger === undefined) throw notFound('trigger', trigger_id, 'trigger.list', registry.triggers.keys())
  return trigger
}

/** A trigger as it was at a version. Throws Fault not_found. */
export async function triggerAt(
  { store }: Pick<Context, 'store'>,
  trigger_id: string,
  version: number,
): Promise<TriggerInput> {
  const found = await store.triggerVersion(trigger_id, version)
  if (found === null)
    throw new Fault(
      'not_found',
      `there is no version ${version} of a trigger ${trigger_id}; trigger.versions shows what there is`,
    )
  return found
}

/** Throws Fault not_found. */
export async function storedEvent({ store }: Pick<Context, 'store'>, event_id: string): Promise<StoredEvent> {
  const event = await store.event(event_id)
  if (event === null) throw notFound('event', event_id, 'event.query')
  return event
}
