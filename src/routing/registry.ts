// What is configured, in memory: sources, triggers with their compiled filters, bots, and the matcher over all enabled
// triggers. The store is the truth; this follows each write after its commit, and the matcher is swapped as a whole.
import type { Bot, BotInput, Source, SourceInput, Trigger, TriggerInput } from '../contract/types.ts'
import type { DefinitionChange, Definitions, Noun, Stamp } from '../store/store.ts'
import { Matcher, type MatchEvent } from './matcher.ts'
import { compilePattern, type CompiledPattern } from './pattern.ts'

export interface RegisteredTrigger {
  trigger: Trigger
  pattern: CompiledPattern
}

/** A source with what was left out filled in. */
export function completeSource(input: SourceInput, stamp: Stamp): Source {
  const { id, source_type, description, enabled = true, config = {} } = input
  return { id, source_type, ...(description === undefined ? {} : { description }), enabled, config: { ...config }, ...stamp }
}

export function completeTrigger(input: TriggerInput, stamp: Stamp): Trigger {
  const { event_source_id = null, enabled = true, policy = {}, ...rest } = input
  return { ...rest, event_source_id, enabled, policy, ...stamp }
}

export function completeBot(input: BotInput, stamp: Stamp, defaultMaxActive: number): Bot {
  const { enabled = true, max_active = defaultMaxActive, ...rest } = input
  return { ...rest, max_active, enabled, ...stamp }
}

export class Registry {
  readonly sources = new Map<string, Source>()
  readonly triggers = new Map<string, RegisteredTrigger>()
  readonly bots = new Map<string, Bot>()
  readonly #defaultMaxActive: number
  #matcher: Matcher<RegisteredTrigger> = new Matcher([])

  constructor(defaultMaxActive: number) {
    this.#defaultMaxActive = defaultMaxActive
  }

  load({ sources, triggers, bots }: Definitions): void {
    for (const source of sources) this.sources.set(source.id, completeSource(source, stampOf(source)))
    for (const bot of bots) this.bots.set(bot.id, completeBot(withoutStamp(bot), stampOf(bot), this.#defaultMaxActive))
    for (const trigger of triggers) this.#setTrigger(withoutStamp(trigger), stampOf(trigger))
    this.#rebuild()
  }

  /** Follows changes that are committed; stamps in the order of the changes. */
  apply(changes: DefinitionChange[], stamps: (Stamp | null)[]): void {
    for (const [index, { noun, id, definition }] of changes.entries()) {
      const stamp = stamps[index]
      if (definition === null || stamp == null) this.#table(noun).delete(id)
      else if (noun === 'source') this.sources.set(id, completeSource(definition as SourceInput, stamp))
      else if (noun === 'bot') this.bots.set(id, completeBot(definition as BotInput, stamp, this.#defaultMaxActive))
      else this.#setTrigger(definition as TriggerInput, stamp)
    }
    if (changes.some(change => change.noun === 'trigger')) this.#rebuild()
  }

  #table(noun: Noun): Map<string, unknown> {
    return { source: this.sources, trigger: this.triggers, bot: this.bots }[noun]
  }

  #setTrigger(input: TriggerInput, stamp: Stamp): void {
    this.triggers.set(input.id, { trigger: completeTrigger(input, stamp), pattern: compilePattern(input.filter) })
  }

  #rebuild(): void {
    const enabled = [...this.triggers.values()].filter(({ trigger }) => trigger.enabled).toSorted((a, b) => (a.trigger.id < b.trigger.id ? -1 : 1))
    this.#matcher = new Matcher(enabled.map(target => ({ source_id: target.trigger.event_source_id, pattern: target.pattern, target })))
  }

  /** The enabled triggers whose filter an event matches, by id. */
  match(event: MatchEvent): RegisteredTrigger[] {
    return this.#matcher.match(event)
  }
}

function stampOf({ version, created_at, updated_at }: Stamp): Stamp {
  return { version, created_at, updated_at }
}

function withoutStamp<T extends Stamp>(value: T): Omit<T, keyof Stamp> {
  const { version: _v, created_at: _c, updated_at: _u, ...rest } = value
  return rest
}
