// router.apply and router.export: definitions as files.
import { isDeepStrictEqual } from 'node:util'
import type {
  BotInput,
  PlannedChange,
  QueueInput,
  RouterApplyParams,
  RouterExportResult,
  SourceInput,
  Trigger,
  TriggerInput,
} from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import { elementTexts, valueText } from '../../json-text.ts'
import type { BacktestSide } from '../../routing/backtest.ts'
import { completeTrigger } from '../../routing/registry.ts'
import type { AnyInput, Noun } from '../../store/store.ts'
import { rest } from '../../turns.ts'
import { shown } from '../../validation-error.ts'
import type { Call, Handlers } from '../jsonrpc.ts'
import { assertBot } from './bot.ts'
import type { Context, Known } from './context.ts'
import { assertFits, writeDefinitions } from './definition-writes.ts'
import { warningsOf } from './warnings.ts'
import { assertSource } from './source.ts'
import { assertTrigger, invalid } from './trigger-checks.ts'
import {
  stampless,
  type Given,
  nouns,
  present,
  exported,
  versionOf,
  kept,
  afterwards,
  assertNothingHangs,
  planned,
} from './apply-plan.ts'

/** How far back a plan looks, and at how many events: for each trigger, and for all of them, which take some 100,000 a second. */
const triedMs = 7 * 86_400_000
const mostTried = 100_000
const mostTriedInAll = 500_000

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
