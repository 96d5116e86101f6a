// What a kind of bot is: how one run is delivered to it. The kinds are in bots/, one file each.
import type { ContextFileBytes } from '../context-files.ts'
import type { Endpoint } from '../contract/types.ts'
import type { Capture } from './capture.ts'
import type { MadeRequest } from './made-request.ts'

/** An event as filters and templates see it. */
export interface EventView {
  id: string
  source_id: string
  type: string
  subject: string | null
  actor: string | null
  thread: string | null
  timestamp: number
  headers: Record<string, string>
  payload: unknown
}

/** Renders a template over a scope; name is what its paths begin with in reasons. */
export type Render = (
  template: unknown,
  name: string,
  scope: unknown,
) => Promise<{ ok: true; value: unknown } | { ok: false; reason: string; transient: boolean }>

/** An attempt as the socket of its command knows it. */
export interface OwnRun {
  run_id: string
  lease_token: string
  bot_id: string
  /** the events that the attempt is given: of a batch all */
  event_ids: readonly string[]
  depth: number
}

/** What is delivered, ready made. */
export interface Delivery {
  /** what it is known by, the same however often it is tried: of a run its id */
  id: string
  run_id: string
  event_id: string
  trigger_id: string
  workflow_id: string | null
  attempt: number
  /** the attempt that it is; null: a question or a wake call, which may act on no run */
  own: OwnRun | null
  /** with which the bot finishes the run later, where it may; null: it may not */
  callback: { url: string; token: string } | null
  /** takes what is printed; null: nothing of it is kept but its end */
  capture: Capture | null
  /** Notes what is asked of the bot, before it is asked. */
  made: (request: MadeRequest, body: string) => void
  /** {run, event, trigger, inputs, allowed_tools, denied_tools, allowed_denied_tools} as one line of JSON */
  body: string
  /** the same as a value, for templates; made only when asked for */
  scope: () => unknown
  /** files that go with the event */
  context: ContextFileBytes[]
  /** how many runs caused one another up to an event that this one causes */
  depth: number
  timeout_ms: number
  /** aborted when the run is cancelled or the router ends */
  signal: AbortSignal
}

/**
 * How an attempt ended. unreachable: the bot never had the run. unavailable: it had it and asked for another try, or
 * broke down. timeout: no answer in time. run: the run began and failed. refused: trying again cannot help.
 */
export type DeliveryResult =
  | { outcome: 'success'; status: string; result: string | null; output: string }
  /** the bot has taken the run, and finishes it with its callback */
  | { outcome: 'handed_over'; status: string; output: string }
  | {
      outcome: 'failure'
      kind: 'unreachable' | 'unavailable' | 'timeout' | 'run' | 'refused'
      status: string | null
      error: string
      output: string
      /** what it answered all the same, as JSON */
      result?: string | null
      retry_after_ms?: number
      /** the bot says that it is gone for good */
      disable_bot?: boolean
    }
  /** output: what it said before it was ended, where that is known */
  | { outcome: 'aborted'; output?: string; result?: string | null }

export interface BotKind<E extends Endpoint = Endpoint> {
  deliver(endpoint: E, delivery: Delivery): Promise<DeliveryResult>
  /** Pauses an attempt or continues it, where the kind can; false: no such attempt is running. */
  pause?(run_id: string, attempt: number, paused: boolean): boolean
  stop(): Promise<void>
}

export function failure(
  kind: (DeliveryResult & { outcome: 'failure' })['kind'],
  error: string,
  rest: {
    status?: string
    output?: string
    result?: string | null
    retry_after_ms?: number
    disable_bot?: boolean
  } = {},
): DeliveryResult {
  return { outcome: 'failure', kind, error, status: null, output: '', ...rest }
}
