// Bots that answer 202 and finish their runs later: which run a token is for, and when the listener is needed for them.
import { setTimeout } from 'node:timers/promises'
import type { CallbackRun } from '../api/callback-access.ts'
import { leaseOfCallback, runOfCallback } from '../callback-token.ts'
import type { Bot } from '../contract/types.ts'
import type { DeliveryParts } from '../delivery/delivery.ts'
import type { Log } from '../observe/log.ts'
import type { Store } from '../store/store.ts'

/** How long a callback that comes before the answer of its bot waits for it. */
const patienceMs = 20_000

/** A reader of tokens: the run that a bot has taken and will finish with the token; undefined: there is none. */
export function callbackRuns(
  store: Pick<Store, 'run'>,
  dispatcher: Pick<DeliveryParts['dispatcher'], 'settled'>,
) {
  return async (token: string): Promise<CallbackRun | undefined> => {
    const run_id = runOfCallback(token)
    if (run_id === undefined) return undefined
    // The callback may come before the 202 that hands the run over.
    await Promise.race([dispatcher.settled(run_id), setTimeout(patienceMs, undefined, { ref: false })])
    const run = await store.run(run_id)
    const lease_token = leaseOfCallback(token)
    return run?.lease_token === lease_token ? { run_id, bot_id: run.bot_id, lease_token } : undefined
  }
}

/** Whether a bot finishes runs over the admin listener. */
export function callsBack({ endpoint }: Pick<Bot, 'endpoint'>): boolean {
  return endpoint.kind === 'http' && endpoint.callback === true
}

/** Starts the admin listener for a bot that needs it. */
export function listenFor(
  bot: Bot,
  start: () => Promise<string | undefined>,
  { warn }: Pick<Log, 'warn'>,
): void {
  if (!callsBack(bot)) return
  void start().then(problem => {
    if (problem !== undefined) warn('admin.off', { detail: problem })
  })
}
