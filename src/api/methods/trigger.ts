// trigger.*, but for trigger.test and trigger.backtest.
import type {
  BacktestReport,
  Trigger,
  TriggerInput,
  TriggerVersionsParams,
  TriggerVersionsResult,
} from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import { completeTrigger } from '../../routing/registry.ts'
import type { Call, Handlers } from '../jsonrpc.ts'
import { backtested } from './backtest.ts'
import type { Context } from './context.ts'
import { assertFits, writeDefinitions } from './definition-writes.ts'
import { notFound, storedTrigger, triggerAt } from './lookups.ts'
import { decodeSeq, encodeCursor, pageById, pageBytes, pageOf } from './pages.ts'
import { warningsOf } from './warnings.ts'
import { shownTrigger } from './trigger-pause.ts'
import { assertTrigger, invalid } from './trigger-checks.ts'

/** How far back trigger.put looks with dry_run. */
const dryRunMs = 7 * 86_400_000
const dryRunSamples = 5

function inputOf({ version: _v, created_at: _c, updated_at: _u, ...input }: Trigger): TriggerInput {
  return input
}

/** A page of the versions of a trigger, newest first. Throws Fault not_found. */
async function versions(
  { store, registry }: Context,
  { trigger_id, limit, cursor }: TriggerVersionsParams,
): Promise<TriggerVersionsResult> {
  const { page, next } = await pageOf(
    { limit, after: decodeSeq(cursor) },
    (after, count) => store.triggerVersions(trigger_id, after, count, pageBytes),
    each => each.version,
    () => true,
  )
  const present = registry.triggers.get(trigger_id)?.version
  if (page.length === 0 && cursor === undefined)
    throw notFound('trigger', trigger_id, 'trigger.list', registry.triggers.keys())
  const shown = page.map(({ definition, ...each }) => ({
    ...each,
    present: each.version === present,
    trigger: definition,
  }))
  return { versions: shown, ...(next === null ? {} : { next_cursor: encodeCursor(next) }) }
}

/** Triggers as they are answered, with the file sets that manage them. */
async function managed(context: Context, triggers: readonly Trigger[]): Promise<Trigger[]> {
  const sets = new Map(
    (await context.store.fileSets()).flatMap(({ noun, id, name }) =>
      noun === 'trigger' ? [[id, name] as const] : [],
    ),
  )
  return triggers.map(trigger => {
    const file_set = sets.get(trigger.id)
    return { ...shownTrigger(context, trigger), ...(file_set === undefined ? {} : { file_set }) }
  })
}

/** Throws Fault conflict for a trigger that others depend on. */
function assertNoDependents({ registry }: Pick<Context, 'registry'>, trigger_id: string): void {
  const dependents = [...registry.triggers.values()]
    .filter(each => each.policy.depends_on?.includes(trigger_id))
    .map(each => each.id)
  if (dependents.length === 0) return
  const some = dependents.slice(0, 5).join(', ')
  throw new Fault(
    'conflict',
    `${dependents.length} triggers depend on trigger ${trigger_id} (${some}); change or delete them first`,
  )
}

/** What a put says to write. */
async function written(
  context: Context,
  trigger: TriggerInput | undefined,
  trigger_id: string | undefined,
  from_version: number | undefined,
): Promise<TriggerInput> {
  if ((trigger === undefined) === (trigger_id === undefined))
    throw invalid({
      path: 'trigger',
      expected: 'or trigger_id with from_version must be given, not both',
      found: trigger === undefined ? 'neither' : 'both',
    })
  if ((trigger_id === undefined) !== (from_version === undefined))
    throw invalid({
      path: 'from_version',
      expected: 'and trigger_id must be given together',
      found: trigger_id === undefined ? 'from_version alone' : 'trigger_id alone',
    })
  if (trigger !== undefined) return trigger
  const then = await triggerAt(context, trigger_id!, from_version!)
  const present = context.registry.triggers.get(trigger_id!)
  return present === undefined ? then : { ...then, enabled: present.enabled }
}

/** What a put would have done to the events of the last days. */
async function tried(
  context: Context,
  definition: TriggerInput,
  version: number | undefined,
  call: Call,
): Promise<{ trigger: Trigger; backtest: BacktestReport }> {
  const live = context.registry.triggers.get(definition.id)
  const found = live?.version ?? 0
  if (version !== undefined && version !== found)
    throw new Fault(
      'conflict',
      `trigger ${definition.id} is at version ${found}, the call expected ${version}`,
      { data: { found } },
    )
  const at = context.now()
  await assertFits(context, [{ noun: 'trigger', id: definition.id, definition, at }])
  const trigger = completeTrigger(definition, {
    version: found + 1,
    created_at: live?.created_at ?? at,
    updated_at: at,
  })
  const draft = {
    source_id: trigger.event_source_id,
    filter: trigger.filter,
    enabled: trigger.enabled,
    action: trigger.action,
  }
  const range = {
    since: at - dryRunMs,
    until: at + 1,
    limit: Number.MAX_SAFE_INTEGER,
    samples: dryRunSamples,
    progress: false,
  }
  return { trigger, backtest: await backtested(context, { draft, live, ...range }, call) }
}

export function triggerMethods(
  context: Context,
): Omit<
  Pick<Handlers, `trigger.${string}` & keyof Handlers>,
  `trigger.${'backtest' | 'test' | 'pause' | 'resume'}`
> {
  const { registry, now } = context

  async function setEnabled(id: string, enabled: boolean): Promise<{ trigger: Trigger }> {
    const trigger = storedTrigger(context, id)
    if (trigger.enabled !== enabled) {
      await writeDefinitions(context, [
        {
          noun: 'trigger',
          id,
          definition: { ...inputOf(trigger), enabled },
          version: trigger.version,
          at: now(),
        },
      ])
    }
    return { trigger: shownTrigger(context, storedTrigger(context, id)) }
  }

  return {
    async 'trigger.put'({ trigger, version, trigger_id, from_version, dry_run = false }, call) {
      const definition = await written(context, trigger, trigger_id, from_version)
      const { id } = definition
      await assertTrigger(
        context,
        definition,
        trigger === undefined ? undefined : call.text('trigger', 'filter'),
        'trigger',
      )
      const warnings = warningsOf(context, { triggers: [definition] }, registry.bots)
      if (dry_run) return { ...(await tried(context, definition, version, call)), ...warnings }
      const [stamp] = await writeDefinitions(context, [
        { noun: 'trigger', id, definition, version, at: now() },
      ])
      return { trigger: shownTrigger(context, completeTrigger(definition, stamp!)), ...warnings }
    },
    'trigger.versions': params => versions(context, params),
    'trigger.get': async ({ trigger_id }) => ({
      trigger: (await managed(context, [storedTrigger(context, trigger_id)]))[0]!,
    }),
    async 'trigger.list'({ event_source_id, bot_id, limit, cursor }) {
      const wanted = [...registry.triggers.values()].filter(
        ({ event_source_id: source, action }) =>
          (event_source_id === undefined || source === event_source_id) &&
          (bot_id === undefined || action.bot_id === bot_id),
      )
      const { page, next_cursor } = pageById(wanted, limit, cursor)
      return { triggers: await managed(context, page), next_cursor }
    },
    async 'trigger.delete'({ trigger_id, version }) {
      const trigger = storedTrigger(context, trigger_id)
      assertNoDependents(context, trigger_id)
      await writeDefinitions(context, [
        { noun: 'trigger', id: trigger_id, definition: null, version: version ?? trigger.version, at: now() },
      ])
      return { trigger }
    },
    'trigger.enable': ({ trigger_id }) => setEnabled(trigger_id, true),
    'trigger.disable': ({ trigger_id }) => setEnabled(trigger_id, false),
  }
}
