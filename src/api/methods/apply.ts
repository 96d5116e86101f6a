// router.apply and router.export: definitions as files.
import { isDeepStrictEqual } from 'node:util'
import type {
  BotInput,
  FieldChange,
  PlannedChange,
  QueueInput,
  RouterApplyParams,
  RouterExportResult,
  SourceInput,
  Trigger,
  TriggerInput,
} from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import { isRaw } from '../../exact-json.ts'
import { elementTexts, valueText } from '../../json-text.ts'
import type { BacktestSide } from '../../routing/backtest.ts'
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
import { shown } from '../../validation-error.ts'
import type { Call, Handlers } from '../jsonrpc.ts'
import { assertBot } from './bot.ts'
import type { Context, Known } from './context.ts'
import { assertFits, writeDefinitions } from './definition-writes.ts'
import { warningsOf } from './cut-tools.ts'
import { assertSource } from './source.ts'
import { assertTrigger, invalid } from './trigger-checks.ts'

const stampless: Stamp = { version: 0, created_at: 0, updated_at: 0 }
/** How far back a plan looks, and at how many events: for each trigger, and for all of them, which take some 100,000 a second. */
const triedMs = 7 * 86_400_000
const mostTried = 100_000
const mostTriedInAll = 500_000
const mostFields = 100

type Given = {
  [N in Noun as `${N}s`]: (N extends 'bot'
    ? BotInput
    : N extends 'queue'
      ? QueueInput
      : N extends 'source'
        ? SourceInput
        : TriggerInput)[]
}

const nouns: readonly Noun[] = ['bot', 'queue', 'source', 'trigger']

/** The stored object, without what the store adds; undefined: there is none. */
function present({ registry }: Context, noun: Noun, id: string): (AnyInput & Partial<Stamp>) | undefined {
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
function exported(definition: AnyInput): object {
  const { disabled_reason: _, ...rest } = definition as unknown as Record<string, unknown>
  const plain = { enabled: true, paused: false, event_source_id: null, policy: {}, config: {} }
  return Object.fromEntries(
    Object.entries(rest).filter(
      ([name, value]) => !(name in plain) || !isDeepStrictEqual(value, plain[name as keyof typeof plain]),
    ),
  )
}

function versionOf({ registry }: Context, noun: Noun, id: string): number {
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
function kept(context: Context, noun: Noun, input: AnyInput): AnyInput {
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
function afterwards(
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
function assertNothingHangs(
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

async function assertGiven(context: Context, given: Given, known: Known, call: Call): Promise<void> {
  const checking = { ...context, registry: known }
  for (const noun of nouns) {
    const seen = new Map<string, number>()
    for (const [index, { id }] of given[`${noun}s`].entries()) {
      const first = seen.get(id)
      if (first !== undefined)
        throw invalid({
          path: `${noun}s.${index}.id`,
          expected: 'must be unique',
          found: `${shown(id)} in ${noun}s.${first} too`,
        })
      seen.set(id, index)
    }
  }
  for (const [index, bot] of given.bots.entries()) {
    await rest()
    await assertBot(checking, bot, `bots.${index}`)
  }
  for (const [index, source] of given.sources.entries()) {
    await rest()
    await assertSource(checking, source, context.registry.sources.get(source.id) ?? null, `sources.${index}`)
  }
  const texts = elementTexts(call.text('triggers') ?? Buffer.from('[]'))
  for (const [index, trigger] of given.triggers.entries()) {
    await rest()
    await assertTrigger(checking, trigger, valueText(texts[index]!, ['filter']), `triggers.${index}`)
  }
}

interface Plan {
  changes: PlannedChange[]
  writes: DefinitionChange[]
  /** objects that come into the file set */
  owned: FileSetRow[]
}

async function planned(
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

type Matching = Pick<Trigger, 'event_source_id' | 'filter' | 'enabled'>

/** A trigger that a change would have match otherwise, as it is and as it would be. */
interface Retargeted {
  change: PlannedChange
  live: Trigger | undefined
  next: Matching
}

function retargeted({ registry }: Context, changes: readonly PlannedChange[], given: Given): Retargeted[] {
  const inputs = new Map(given.triggers.map(trigger => [trigger.id, trigger]))
  const matching = ({ event_source_id, filter, enabled }: Matching): unknown => [
    event_source_id,
    filter,
    enabled,
  ]
  return changes.flatMap(change => {
    if (change.noun !== 'trigger' || change.change === 'unchanged') return []
    const live = registry.triggers.get(change.id)
    const input = inputs.get(change.id)
    const next = input === undefined ? { ...live!, enabled: false } : completeTrigger(input, stampless)
    return live !== undefined && isDeepStrictEqual(matching(live), matching(next))
      ? []
      : [{ change, live, next }]
  })
}

/** Says of each trigger that would match otherwise what that would have done to the last days, or why it was not tried. */
async function tryOnLog(
  context: Context,
  changes: readonly PlannedChange[],
  given: Given,
  call: Call,
): Promise<void> {
  const all = retargeted(context, changes, given)
  if (all.length === 0) return
  const side = ({ event_source_id, filter, enabled }: Matching): BacktestSide => ({
    source_id: event_source_id,
    filter,
    enabled,
  })
  const jobs = all.map(({ live, next }) => ({
    draft: side(next),
    live: live === undefined ? null : side(live),
    samples: 0,
  }))
  const now = context.now()
  const range = {
    since: now - triedMs,
    until: now + 1,
    limit: Math.min(mostTried, Math.ceil(mostTriedInAll / jobs.length)),
  }
  try {
    const outcomes = await context.backtest(jobs, range, call.signal(), () => undefined)
    for (const [index, { scanned, matched, added, removed, more }] of outcomes.entries())
      all[index]!.change.tried = {
        scanned,
        added: jobs[index]!.live === null ? matched : added,
        removed,
        more,
      }
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    for (const { change } of all) change.untried = error.message
  }
}

/** Throws Fault conflict where something is not at the version that a plan saw. */
function assertExpected(context: Context, expected: RouterApplyParams['expected'] = []): void {
  for (const { noun, id, version } of expected) {
    const found = versionOf(context, noun, id)
    if (found !== version)
      throw new Fault(
        'conflict',
        `${noun} ${id} was changed since it was planned: it is at version ${found}, the plan saw ${version}`,
        { data: { found } },
      )
  }
}

/** Every definition, or those of a file set, as a file of definitions has them. */
async function exportedAll(context: Context, file_set: string | undefined): Promise<RouterExportResult> {
  const { registry, store } = context
  const owned =
    file_set === undefined
      ? undefined
      : new Set(
          (await store.fileSets()).filter(row => row.name === file_set).map(row => `${row.noun} ${row.id}`),
        )
  const all = <T>(noun: Noun, ids: Iterable<string>): T[] =>
    [...ids]
      .filter(id => owned === undefined || owned.has(`${noun} ${id}`))
      .toSorted()
      .map(id => exported(present(context, noun, id)!) as T)
  return {
    bots: all<BotInput>('bot', registry.bots.keys()),
    queues: all<QueueInput>('queue', registry.queues.keys()),
    sources: all<SourceInput>('source', registry.sources.keys()),
    triggers: all<TriggerInput>('trigger', registry.triggers.keys()),
  }
}

export function applyMethods(context: Context): Pick<Handlers, 'router.apply' | 'router.export'> {
  const { store } = context

  return {
    async 'router.apply'(
      {
        bots = [],
        queues = [],
        sources = [],
        triggers = [],
        file_set,
        prune = false,
        dry_run = false,
        expected,
      },
      call,
    ) {
      if (prune && file_set === undefined)
        throw invalid({
          path: 'prune',
          expected:
            'must be given with file_set only: it deletes definitions that came from the file set and are gone from it',
          found: 'no file_set',
        })
      assertExpected(context, expected)
      const each = <T extends AnyInput>(noun: Noun, inputs: readonly T[]): T[] =>
        inputs.map(input => kept(context, noun, input) as T)
      const given: Given = {
        bots: each('bot', bots),
        queues: each('queue', queues),
        sources: each('source', sources),
        triggers: each('trigger', triggers),
      }
      const owned = await store.fileSets()
      const owners = new Map(owned.map(row => [`${row.noun} ${row.id}`, row.name]))
      const named = new Set(nouns.flatMap(noun => given[`${noun}s`].map(({ id }) => `${noun} ${id}`)))
      const deleted = prune
        ? owned.filter(row => row.name === file_set && !named.has(`${row.noun} ${row.id}`))
        : []
      const known = afterwards(context, given, deleted)
      await assertGiven(context, given, known, call)
      assertNothingHangs(known, deleted)
      const { changes, writes, owned: joining } = await planned(context, given, deleted, owners, file_set)
      const pathOf = (id: string): string =>
        `triggers.${given.triggers.findIndex(trigger => trigger.id === id)}.filter`
      const warnings = warningsOf(context, given, known.bots)
      if (dry_run) {
        await assertFits(context, writes, pathOf)
        await tryOnLog(context, changes, given, call)
        return { applied: false, changes, ...warnings }
      }
      if (writes.length + joining.length > 0) await writeDefinitions(context, writes, joining, pathOf)
      return {
        applied: true,
        changes: changes.map(change => ({
          ...change,
          version: versionOf(context, change.noun, change.id) || change.version,
        })),
        ...warnings,
      }
    },
    'router.export': ({ file_set }) => exportedAll(context, file_set),
  }
}
