// What is configured, in memory: sources, triggers with their compiled filters, bots, and the matcher over all enabled
// triggers. The store is the truth; this follows each write after its commit, before the writer is answered.
import type {
  Bot,
  BotInput,
  ForgeAccount,
  QueueInput,
  Source,
  SourceInput,
  Trigger,
  TriggerInput,
} from '../contract/types.ts'
import {
  routerSource,
  type DefinitionChange,
  type Definitions,
  type Noun,
  type Stamp,
  type TriggerPause,
} from '../store/store.ts'
import { originOf, originPaths, type Forge, type Origin, type ValueAt } from '../forge.ts'
import type { JsonLimits } from '../json-text.ts'
import { rest } from '../turns.ts'
import { listensTo } from './log-filter.ts'
import { Matcher } from './matcher.ts'
import type { Attributes, MatchTrigger } from './match-event.ts'
import { OwnAccounts } from './own-accounts.ts'
import { compilePattern } from './pattern.ts'
import type { Payload } from './payload.ts'

/** A source with what was left out filled in. */
export function completeSource(input: SourceInput, stamp: Stamp): Source {
  const { id, source_type, description, enabled = true, config = {} } = input
  const silent_after_ms = 'silent_after_ms' in input ? input.silent_after_ms : undefined
  const optional = {
    ...(description === undefined ? {} : { description }),
    ...(silent_after_ms === undefined ? {} : { silent_after_ms }),
  }
  return { id, source_type, ...optional, enabled, config: { ...config }, ...stamp }
}

export function completeTrigger(input: TriggerInput, stamp: Stamp): Trigger {
  const { event_source_id = null, enabled = true, policy = {}, ...rest } = input
  return { ...rest, event_source_id, enabled, policy, ...stamp }
}

export function completeBot(input: BotInput, stamp: Stamp, defaultMaxActive: number): Bot {
  const { enabled = true, max_active = defaultMaxActive, ...rest } = input
  return { ...rest, max_active, enabled, ...stamp }
}

export interface RegistryOptions {
  bot_max_active: number
  limits: JsonLimits
  /** where in payloads subjects may stand, by dotted path */
  subject_paths: readonly string[]
  /** of the configuration */
  own_accounts?: readonly ForgeAccount[]
}

/** What of an event is read out of its payload. */
export interface PayloadReading {
  /** where its subject may stand, where it is not known yet */
  subject_paths?: readonly string[] | undefined
  /** given: what its actor and thread are read by, where they are not known yet */
  forge?: Forge | undefined
}

export interface Matched extends Origin {
  /** enabled triggers, by id */
  matched: Trigger[]
  subject: string | null
}

/** Triggers changed one by one: more are put into a matcher of their own first. One takes 0.1 to 1 ms. */
const fewTriggers = 8

/** A trigger that is too much for the matcher, and why. */
export interface Exceeded {
  id: string
  reason: string
}

/** What apply needs to make many changes of triggers count at once. */
export interface Prepared {
  /** undefined: the changes are few, and are made one by one */
  matcher: Matcher<Trigger> | undefined
  triggers: ReadonlyMap<string, Trigger>
  revision: number
}

export class Registry {
  readonly sources = new Map<string, Source>()
  readonly triggers = new Map<string, Trigger>()
  /** the triggers that are paused */
  readonly pauses = new Map<string, TriggerPause>()
  readonly bots = new Map<string, Bot>()
  readonly queues = new Map<string, QueueInput & Stamp>()
  readonly #options: RegistryOptions
  #matcher: Matcher<Trigger>
  #ownAccounts: OwnAccounts
  /** grows with each change of triggers: what was prepared for another set does not fit any more */
  #revision = 0
  /** many triggers are being changed */
  #changing: Promise<void> | undefined

  constructor(options: RegistryOptions) {
    this.#options = options
    this.#matcher = this.#newMatcher([])
    this.#ownAccounts = this.#accounts()
  }

  /** The accounts of the configuration, and those of the bots. */
  get ownAccounts(): OwnAccounts {
    return this.#ownAccounts
  }

  #accounts(): OwnAccounts {
    const ofBots = [...this.bots.values()].flatMap(({ forge_account }) => forge_account ?? [])
    return new OwnAccounts([...(this.#options.own_accounts ?? []), ...ofBots])
  }

  #newMatcher(triggers: Trigger[]): Matcher<Trigger> {
    const { limits, subject_paths } = this.#options
    return new Matcher(
      triggers.map(trigger => [trigger.id, matchable(trigger)]),
      limits,
      [...new Set([...subject_paths, ...originPaths])].map(path => `payload.${path}`),
    )
  }

  load({ sources, triggers, bots, queues }: Definitions, pauses: readonly TriggerPause[] = []): void {
    for (const pause of pauses) this.pauses.set(pause.trigger_id, pause)
    for (const source of sources) this.sources.set(source.id, completeSource(source, stampOf(source)))
    for (const bot of bots)
      this.bots.set(bot.id, completeBot(withoutStamp(bot), stampOf(bot), this.#options.bot_max_active))
    for (const queue of queues) this.queues.set(queue.id, queue)
    for (const trigger of triggers) {
      this.triggers.set(trigger.id, completeTrigger(withoutStamp(trigger), stampOf(trigger)))
    }
    this.#matcher = this.#newMatcher([...this.triggers.values()].filter(trigger => trigger.enabled))
    this.#ownAccounts = this.#accounts()
  }

  /**
   * Runs work that prepares, writes and applies changes. While many triggers are being changed other changes wait: what
   * was checked for the many would not hold any more.
   */
  async changing<T>(changes: readonly DefinitionChange[], work: () => Promise<T>): Promise<T> {
    while (this.#changing !== undefined) await this.#changing
    if (triggersIn(changes) <= fewTriggers) return work()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#changing = promise
    try {
      return await work()
    } finally {
      this.#changing = undefined
      resolve()
    }
  }

  /** Follows changes that are committed; stamps in the order of the changes. */
  apply(changes: DefinitionChange[], stamps: (Stamp | null)[], prepared?: Prepared): void {
    const matcher = prepared?.revision === this.#revision ? prepared.matcher : undefined
    for (const [index, { noun, id, definition }] of changes.entries()) {
      const stamp = stamps[index]
      if (noun === 'trigger' && definition === null) this.pauses.delete(id)
      const ready = matcher === undefined ? undefined : prepared!.triggers.get(id)
      if (noun === 'trigger' && matcher !== undefined) {
        if (ready === undefined || stamp == null) this.triggers.delete(id)
        else this.triggers.set(id, Object.assign(ready, stampOf(stamp)))
        continue
      }
      if (definition === null || stamp == null) this.#delete(noun, id)
      else if (noun === 'source') this.sources.set(id, completeSource(definition as SourceInput, stamp))
      else if (noun === 'bot')
        this.bots.set(id, completeBot(definition as BotInput, stamp, this.#options.bot_max_active))
      else if (noun === 'queue') this.queues.set(id, { ...(definition as QueueInput), ...stamp })
      else this.#setTrigger(definition as TriggerInput, stamp)
    }
    if (changes.some(({ noun }) => noun === 'bot')) this.#ownAccounts = this.#accounts()
    if (matcher !== undefined) this.#matcher = matcher
    if (changes.some(({ noun }) => noun === 'trigger')) this.#revision++
  }

  /**
   * Why changes of triggers cannot be made together, or what apply needs to make them count at once. Many are made in
   * slices in a second matcher, with all triggers that stay: events are meanwhile matched as before, by the first.
   */
  async prepare(changes: readonly DefinitionChange[]): Promise<Prepared | Exceeded> {
    const given = new Map(
      changes.flatMap(({ noun, id, definition }) =>
        noun === 'trigger' ? [[id, definition as TriggerInput | null]] : [],
      ),
    )
    const revision = this.#revision
    if (triggersIn(changes) <= fewTriggers)
      return this.exceeded(changes) ?? { matcher: undefined, triggers: new Map(), revision }
    const matcher = this.#newMatcher([])
    // The map may change between two slices: then the revision has, too, and what is prepared here is not used.
    for (const [id, trigger] of this.triggers) {
      const pause = rest()
      if (pause !== undefined) await pause
      if (trigger.enabled && !given.has(id)) matcher.put(id, matchable(trigger))
    }
    const triggers = new Map<string, Trigger>()
    for (const [id, definition] of given) {
      if (definition === null) continue
      const pause = rest()
      if (pause !== undefined) await pause
      const trigger = completeTrigger(definition, { version: 0, created_at: 0, updated_at: 0 })
      triggers.set(id, trigger)
      if (!trigger.enabled) continue
      const added = matchable(trigger)
      const reason = matcher.exceeded(added)
      if (reason !== undefined) return { id, reason }
      matcher.put(id, added)
    }
    return { matcher, triggers, revision }
  }

  #table(noun: Noun): Map<string, unknown> {
    return { source: this.sources, trigger: this.triggers, bot: this.bots, queue: this.queues }[noun]
  }

  #delete(noun: Noun, id: string): void {
    this.#table(noun).delete(id)
    if (noun === 'trigger') this.#matcher.delete(id)
  }

  #setTrigger(input: TriggerInput, stamp: Stamp): void {
    const trigger = completeTrigger(input, stamp)
    this.triggers.set(input.id, trigger)
    if (trigger.enabled) this.#matcher.put(input.id, matchable(trigger))
    else this.#matcher.delete(input.id)
  }

  /**
   * Why changes of triggers cannot be made together, in words with the trigger's id, or undefined. They are made in the
   * matcher one after the other, as they would be, and taken back.
   */
  exceeded(changes: readonly DefinitionChange[]): Exceeded | undefined {
    const done: string[] = []
    try {
      for (const { noun, id, definition } of changes) {
        if (noun !== 'trigger') continue
        done.push(id)
        this.#matcher.delete(id)
        if (definition === null || (definition as TriggerInput).enabled === false) continue
        const trigger = completeTrigger(definition as TriggerInput, {
          version: 0,
          created_at: 0,
          updated_at: 0,
        })
        const added = matchable(trigger)
        const reason = this.#matcher.exceeded(added)
        if (reason !== undefined) return { id, reason }
        this.#matcher.put(id, added)
      }
      return undefined
    } finally {
      for (const id of done.toReversed()) {
        const present = this.triggers.get(id)
        if (present?.enabled === true) this.#matcher.put(id, matchable(present))
        else this.#matcher.delete(id)
      }
    }
  }

  /**
   * The enabled triggers whose filter an event matches. With subject paths, the subject is the first text that
is at one of them; with a forge, actor and thread are what its payload says, unless they are given. Throws Fault bad_request for a payload that is no JSON.
   */
  match(event: Attributes, payload: Payload, { subject_paths = [], forge }: PayloadReading = {}): Matched {
    const { json } = payload
    if (json === undefined || !this.#matcher.read(json)) this.#matcher.readValue(payload.value)
    const at: ValueAt = path => this.#matcher.valueAt(`payload.${path}`)
    const subject = subject_paths.length === 0 ? event.subject : firstText(subject_paths, at)
    const origin = forge === undefined ? undefined : originOf(forge, event.type, at)
    const actor = event.actor ?? origin?.actor ?? null
    const thread = event.thread ?? origin?.thread ?? null
    const matched = this.#matcher.matchRead({ ...event, subject, actor, thread })
    // A trigger without a source must not match lifecycle events: its own runs would trigger it again.
    const heard =
      event.source_id === routerSource
        ? matched.filter(trigger => listensTo(trigger.event_source_id, event.source_id))
        : matched
    return { matched: byId(heard), subject, actor, thread }
  }
}

function firstText(paths: readonly string[], at: ValueAt): string | null {
  for (const path of paths) {
    const text = at(path)
    if (typeof text === 'string') return text
  }
  return null
}

function triggersIn(changes: readonly DefinitionChange[]): number {
  return changes.filter(({ noun }) => noun === 'trigger').length
}

function matchable(target: Trigger): MatchTrigger<Trigger> {
  return { source_id: target.event_source_id, pattern: compilePattern(target.filter), target }
}

function byId(found: Trigger[]): Trigger[] {
  return found.length < 2 ? found : found.sort((a, b) => (a.id < b.id ? -1 : 1))
}

function stampOf({ version, created_at, updated_at }: Stamp): Stamp {
  return { version, created_at, updated_at }
}

function withoutStamp<T extends Stamp>(value: T): Omit<T, keyof Stamp> {
  const { version: _v, created_at: _c, updated_at: _u, ...rest } = value
  return rest
}
