// Delivery as the router has it: with versions of triggers, templates, and writing what it decides.
import { randomBytes } from 'node:crypto'
import type { BotInput, QueueInput } from '../contract/types.ts'
import type { AttemptOptions } from '../delivery/attempt-options.ts'
import type { OpenSocket } from '../delivery/bots/command.ts'
import type { Emit } from '../delivery/bots/emit.ts'
import { Capture } from '../delivery/capture.ts'
import { botKinds, deliveryParts, type DeliveryParts } from '../delivery/delivery.ts'
import { InputsError, renderTemplate } from '../routing/inputs.ts'
import { eventView } from '../routing/log-filter.ts'
import type { DefinitionChange, Stamp, Store } from '../store/store.ts'
import type { Parts } from './parts.ts'

const maxTriggerVersions = 1000
/** How often the router tries to change what others change at the same time. */
const mostRewrites = 10

/** Triggers at past versions, as runs need them; versions never change, so they are kept. */
function triggerVersions(store: Store): AttemptOptions['trigger'] {
  const known = new Map<string, Awaited<ReturnType<Store['triggerVersion']>>>()
  return async (id, version) => {
    const key = `${id}@${version}`
    const kept = known.get(key)
    if (kept !== undefined) return kept
    const found = await store.triggerVersion(id, version)
    if (known.size >= maxTriggerVersions) known.clear()
    known.set(key, found)
    return found
  }
}

/** Fills templates in; what is wrong with one is an answer, not an error. */
function rendering(expressions: Parts['expressions']): AttemptOptions['render'] {
  return async (template, name, scope) => {
    try {
      return { ok: true, value: await renderTemplate(template, name, scope, expressions) }
    } catch (error) {
      if (error instanceof InputsError)
        return { ok: false, reason: error.message, transient: error.transient }
      throw error
    }
  }
}

/** Writes a definition as change makes it of what is there; undefined: there is nothing to change. */
function rewriting({ store, registry, now }: Pick<Parts, 'store' | 'registry' | 'now'>) {
  return async (
    noun: 'bot' | 'queue',
    id: string,
    change: () => ((BotInput | QueueInput) & Partial<Stamp>) | undefined,
  ): Promise<void> => {
    for (let tries = 0; tries < mostRewrites; tries++) {
      const changed = change()
      if (changed === undefined) return
      const { version = 0, created_at: _c, updated_at: _u, ...definition } = changed
      const changes: DefinitionChange[] = [{ noun, id, definition, version, at: now() }]
      const outcome = await store.write(changes)
      if (outcome.kind === 'written') return registry.apply(changes, outcome.objects)
    }
    throw new Error(`${noun} ${id} was changed by others again and again while the router changed it`)
  }
}

/** Delivery with what it needs of the other rooms: templates, versions of triggers, and writing what it decides. */
export function delivery(
  {
    config,
    log,
    now,
    wall,
    store,
    registry,
    expressions,
    env,
    readSecret,
    redactSecrets,
    hiddenSecrets,
    commands,
    egress,
    tools,
  }: Parts,
  emit: Emit,
  openSocket: OpenSocket,
): DeliveryParts {
  const render = rendering(expressions)
  const rewrite = rewriting({ store, registry, now })
  return deliveryParts({
    config,
    store,
    tools,
    bots: registry.bots,
    queues: registry.queues,
    pauses: registry.pauses,
    redact: redactSecrets,
    capture: (run_id, attempt) =>
      new Capture(run_id, attempt, { store, limits: config, secrets: hiddenSecrets, now, logBug: log.bug }),
    // The receiver compares the time of a signature with its own clock.
    kinds: botKinds({ config, commands, openSocket, egress, readSecret, env, render, emit, now: wall }),
    trigger: triggerVersions(store),
    render,
    view: eventView,
    now,
    random: Math.random,
    makeToken: encoding => randomBytes(16).toString(encoding),
    disableBot: (id, disabled_reason) =>
      rewrite('bot', id, () => {
        const bot = registry.bots.get(id)
        return bot?.enabled === true ? { ...bot, enabled: false, disabled_reason } : undefined
      }),
    pauseQueue: (id, paused_reason) =>
      rewrite('queue', id, () => {
        const queue = registry.queues.get(id)
        return queue?.paused === true ? undefined : { ...(queue ?? { id }), paused: true, paused_reason }
      }),
    log: log.event,
    logBug: log.bug,
  })
}
