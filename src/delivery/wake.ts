// Waking a sleeper: a call of any kind that the router makes itself, answered with success once the bot is awake.
import { randomUUID } from 'node:crypto'
import type { Bot, Config } from '../contract/types.ts'
import type { AttemptOptions } from './attempt-options.ts'
import type { BotKind } from './bot.ts'

/** Calls a bot's wake; undefined: it is awake, else why not. */
export function wakeCall(
  kinds: AttemptOptions['kinds'],
  { delivery_timeout_ms }: Pick<Config, 'delivery_timeout_ms'>,
): (bot: Bot, signal: AbortSignal) => Promise<string | undefined> {
  return async ({ id, wake }, signal) => {
    if (wake === undefined) return undefined
    const body = JSON.stringify({ wake: { bot_id: id } })
    const result = await (kinds[wake.kind] as BotKind).deliver(wake, {
      id: randomUUID(),
      own: null,
      callback: null,
      capture: null,
      made: () => undefined,
      run_id: '',
      event_id: '',
      trigger_id: '',
      workflow_id: null,
      attempt: 1,
      context: [],
      depth: 1,
      body,
      scope: () => JSON.parse(body) as unknown,
      timeout_ms: wake.timeout_ms ?? delivery_timeout_ms,
      signal,
    })
    if (result.outcome === 'success') return undefined
    return result.outcome === 'failure' ? result.error : 'the router is shutting down'
  }
}
