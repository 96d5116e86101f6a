// The plan of router.apply: which definitions would change, and how.
import { isDeepStrictEqual } from 'node:util'
import type {
  BotInput,
  FieldChange,
  PlannedChange,
  QueueInput,
  SourceInput,
  TriggerInput,
} from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import { isRaw } from '../../exact-json.ts'
import { completeBot, completeSource, completeTrigger } from '../../routing/registry.ts'
import {
  routerSource,
  type AnyInput,
  type DefinitionChange,
  type FileSetRow,
  type Noun,
  type Stamp,
} from '../../store/store.ts'
import { rest } from '../../turns.ts'
import type { Context, Known } from './context.ts'

export const stampless: Stamp = { version: 0, created_at: 0, updated_at: 0 }
const mostFields = 100

export type Given = {
  [N in Noun as `${N}s`]: (N extends 'bot'
    ? BotInput
    : N extends 'queue'
      ? QueueInput
      : N extends 'source'
        ? SourceInput
        : TriggerInput)[]
}

export const nouns: readonly Noun[] = ['bot', 'queue', 'source', 'trigger']

/** The stored object, without what the store adds; undefined: there is none. */
export function present(
  { registry }: Context,
  noun: Noun,
  id: string,
): (AnyInput & Partial<Stamp>) | undefined {
  const found = {
    bot: registry.bots,
    queue: registry.queues,
    source: registry.sources,
    trigger: registry.triggers,
  }[noun].get(id)
  if (found === undefined) return undefined
  const { version: _v, created_at: _c, updated_at: _u, ...definition } = found
  return definition
}

/** An object as a file has it: without what is there anyway. */
export function exported(definition: AnyInput): object {
  const { disabled_reason: _, ...rest } = definition as unknown as Record<string, unknown>
  const plain = { enabled: true, paused: false, event_source_id: null, policy: {}, config: {} }
  return Object.fromEntries(
    Object.entries(rest).filter(
      ([name, value]) => !(name in plain) || !isDeepStrictEqual(value, plain[name as keyof typeof plain]),
    ),
  )
}

export function versionOf({ registry }: Context, noun: Noun, id: string): number {
  return (
    { bot: registry.bots, queue: registry.queues, source: registry.sources, trigger: registry.triggers }[
      noun
    ].get(id)?.version ?? 0
  )
}

/** With everything filled in that was left out, so that two spellings of one thing are equal. */
function complete({ config }: Context, noun: Noun, input: AnyInput): Record<string, unknown> {
  const filled = {
    bot: () => completeBot(input as BotInput, stampless, config.bot_max_active),
    queue: () => ({ ...(input as QueueInput), paused: (input as QueueInput).paused ?? false }),
    source: () => completeSource(input as SourceInput, stampless),
    trigger: () => completeTrigger(input as TriggerInput, stampless),
  }[noun]()
  const {
    version: _v,
    created_at: _c,
    updated_at: _u,
    ...rest
  } = filled as unknown as Record<string, unknown>
  return rest
}

/** What says nothing of being enabled or paused stays as people left it. */
export function kept(context: Context, noun: Noun, input: AnyInput): AnyInput {
  const before = present(context, noun, input.id) as Record<string, unknown> | undefined
  if (before === undefined) return input
  const left = noun === 'queue' ? ['paused', 'paused_reason'] : ['enabled', 'disabled_reason']
  const given = input as unknown as Record<string, unknown>
  if (given[left[0]!] !== undefined) return input
  return {
    ...given,
    ...Object.fromEntries(left.filter(name => before[name] !== undefined).map(name => [name, before[name]])),
  } as unknown as AnyInput
}

/** Where two values differ, by path. */
function differences(before: unknown, after: unknown, path: string): FieldChange[] {
  if (isDeepStrictEqual(before, after)) return []
  const isObject = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null && !Array.isArray(value) && !isRaw(value)
  if (isObject(before) && isObject(after)) {
    const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].toSorted()
    return names.flatMap(name =>
      differences(before[name], after[name], path === '' ? name : `${path}.${name}`),
    )
  }
  return [{ path, ...(before === undefined ? {} : { before }), ...(after === undefined ? {} : { after }) }]
}

/** What is known once the change is done. */
export function afterwards(
  { registry, config }: Context,
  given: Given,
  deleted: readonly { noun: Noun; id: string }[],
): Known {
  const known = {
    sources: new Map(registry.sources),
    triggers: new Map(registry.triggers),
    bots: new Map(registry.bots),
    queues: new Map(registry.queues),
  }
  for (const { noun, id } of deleted) known[`${noun}s`].delete(id)
  for (const source of given.sources) known.sources.set(source.id, completeSource(source, stampless))
  for (const trigger of given.triggers) known.triggers.set(trigger.id, completeTrigger(trigger, stampless))
  for (const bot of given.bots) known.bots.set(bot.id, completeBot(bot, stampless, config.bot_max_active))
  for (const queue of given.queues) known.queues.set(queue.id, { ...queue, ...stampless })
  return known
}

/** Throws Fault conflict where something that stays names something that goes. */
export function assertNothingHangs(
  { sources, triggers, bots, queues }: Known,
  deleted: readonly { noun: Noun; id: string }[],
): void {
  const gone = (noun: Noun, id: string | null | undefined): boolean =>
    id != null && deleted.some(each => each.noun === noun && each.id === id)
  for (const { id, event_source_id, action, policy } of triggers.values()) {
    const named: [Noun, string | null | undefined, boolean][] = [
      ['source', event_source_id, event_source_id !== routerSource && !sources.has(event_source_id ?? '')],
      ['bot', action.bot_id, !bots.has(action.bot_id ?? '')],
      ['bot', policy.approval?.bot_id, !bots.has(policy.approval?.bot_id ?? '')],
      ['queue', policy.queue, !queues.has(policy.queue ?? '') && !bots.has(policy.queue ?? '')],
      ...(policy.depends_on ?? []).map((on): [Noun, string, boolean] => ['trigger', on, !triggers.has(on)]),
    ]
    const hangs = named.find(([noun, other, missing]) => missing && gone(noun, other))
    if (hangs !== undefined)
      throw new Fault(
        'conflict',
        `${hangs[0]} ${hangs[1]} cannot be pruned: trigger ${id}, which is not of this file set, names it`,
      )
  }
}

interface Plan {
  changes: PlannedChange[]
  writes: DefinitionChange[]
  /** objects that come into the file set */
  owned: FileSetRow[]
}

export async function planned(
  context: Context,
  given: Given,
  deleted: readonly { noun: Noun; id: string }[],
  owners: ReadonlyMap<string, string>,
  file_set: string | undefined,
): Promise<Plan> {
  const plan: Plan = { changes: [], writes: [], owned: [] }
  const at = context.now()
  for (const noun of nouns) {
    for (const input of given[`${noun}s`]) {
      await rest()
      const { id } = input
      const version = versionOf(context, noun, id)
      const before = present(context, noun, id)
      const fields =
        before === undefined
          ? []
          : differences(complete(context, noun, before), complete(context, noun, input), '')
      const change = before === undefined ? 'created' : fields.length === 0 ? 'unchanged' : 'updated'
      const owner = owners.get(`${noun} ${id}`)
      // What is as it was stays with the files that it came from.
      const moves =
        file_set !== undefined && owner !== file_set && (owner === undefined || change !== 'unchanged')
      plan.changes.push({
        noun,
        id,
        change,
        version,
        ...(change === 'updated' ? { fields: fields.slice(0, mostFields) } : {}),
        ...(moves && owner !== undefined ? { taken_from: owner } : {}),
      })
      if (change !== 'unchanged') plan.writes.push({ noun, id, definition: input, version, at })
      if (moves) plan.owned.push({ noun, id, name: file_set })
    }
  }
  for (const { noun, id } of deleted) {
    const version = versionOf(context, noun, id)
    plan.changes.push({ noun, id, change: 'deleted', version })
    plan.writes.push({ noun, id, definition: null, version, at })
  }
  return plan
}
