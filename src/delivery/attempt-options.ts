// What attempts need of the router.
import type { ContextFileBytes } from '../context-files.ts'
import type { Bot, Endpoint, TriggerInput } from '../contract/types.ts'
import type { RunOverride, StoredEvent } from '../store/store.ts'
import type { Capture } from './capture.ts'
import type { BotKind, EventView, Render } from './bot.ts'
import type { ToolRules } from '../tools.ts'

/** Endpoints that the router delivers to itself. */
export type PushedEndpoint = Exclude<Endpoint, { kind: 'pull' }>

export interface AttemptOptions {
  kinds: { [K in PushedEndpoint['kind']]: BotKind<Extract<PushedEndpoint, { kind: K }>> }
  bot: (id: string) => Bot | undefined
  /** a trigger at the version that made the run */
  trigger: (id: string, version: number) => Promise<TriggerInput | null>
  render: Render
  tools: ToolRules
  /** the event as filters and templates see it */
  view: (event: StoredEvent) => EventView
  defaults: { retry_schedule_ms: readonly number[]; delivery_timeout_ms: number; command_timeout_ms: number }
  now: () => number
  random: () => number
  logBug: (error: unknown) => void
  /** a text without the secrets that the router knows */
  redact: (text: string) => string
  /** what an attempt prints, on its way to the store */
  capture: (run_id: string, attempt: number) => Capture
  /** the files that go with an event */
  contextFiles: (event_id: string) => Promise<ContextFileBytes[]>
  /** of the configuration; undefined: bots cannot call back */
  public_url: string | undefined
  /** what was changed of a run before it began */
  override: (run_id: string) => Promise<RunOverride | null>
}
