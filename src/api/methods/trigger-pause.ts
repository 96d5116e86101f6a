// trigger.pause, trigger.resume, and how a pause is shown.
import type { Trigger } from '../../contract/types.ts'
import type { Handlers } from '../jsonrpc.ts'
import type { Context } from './context.ts'
import { notFound, storedTrigger } from './lookups.ts'

/** A trigger as it is answered: with its pause, which is no part of its definition. */
export function shownTrigger({ registry }: Pick<Context, 'registry'>, trigger: Trigger): Trigger {
  const pause = registry.pauses.get(trigger.id)
  if (pause === undefined) return trigger
  const { version, created_at, updated_at, ...definition } = trigger
  const reason = pause.reason === null ? {} : { paused_reason: pause.reason }
  return {
    ...definition,
    paused: true,
    ...reason,
    paused_at: pause.paused_at,
    version,
    created_at,
    updated_at,
  }
}

export function triggerPauseMethods(context: Context): Pick<Handlers, 'trigger.pause' | 'trigger.resume'> {
  const { registry, store, now } = context
  return {
    async 'trigger.pause'({ trigger_id, reason }) {
      const paused = await store.pauseTrigger(trigger_id, reason ?? null, now())
      if (paused === null) throw notFound('trigger', trigger_id, 'trigger.list', registry.triggers.keys())
      const trigger = storedTrigger(context, trigger_id)
      registry.pauses.set(trigger_id, paused)
      return { trigger: shownTrigger(context, trigger) }
    },
    async 'trigger.resume'({ trigger_id, reason }) {
      const trigger = storedTrigger(context, trigger_id)
      await store.resumeTrigger(trigger_id, reason ?? null, now())
      registry.pauses.delete(trigger_id)
      return { trigger: shownTrigger(context, registry.triggers.get(trigger_id) ?? trigger) }
    },
  }
}
