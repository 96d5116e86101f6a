// source.*
import { defaults } from '../../contract/defaults.ts'
import type {
  CronConfig,
  PollConfig,
  Source,
  SourceInput,
  WatchConfig,
  WebhookConfig,
} from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import { routerSource } from '../../store/store.ts'
import { checkTemplate, InputsError, keyRefusal } from '../../routing/inputs.ts'
import { payloadSchema, schemaRefusal } from '../../definitions/payload-schemas.ts'
import { completeSource } from '../../routing/registry.ts'
import { assertNoEmitters } from '../../definitions/emit-targets.ts'
import type { Handlers } from '../jsonrpc.ts'
import { assertComes } from './schedule.ts'
import type { Checking, Context } from './context.ts'
import { assertConstant, writeDefinitions } from './definition-writes.ts'
import { notFound } from './lookups.ts'
import { pageById } from './pages.ts'

type Stats = Map<string, { events: number; last_event_at: number }>

async function stats({ store }: Context): Promise<Stats> {
  return new Map((await store.sourceStats()).map(row => [row.source_id, row]))
}

/** A source with its counts, when it is due, and where its deliveries go. */
export function shownSource(
  { clock, poller, refused }: Pick<Context, 'clock' | 'poller' | 'refused'>,
  source: Source,
  counted: Stats,
): Source {
  const row = counted.get(source.id)
  const next_at = clock.nextAt(source.id) ?? poller.nextAt(source.id)
  const health = poller.health(source.id)
  const refusedOfIt = refused.totals().get(source.id)
  return {
    ...source,
    event_count: row?.events ?? 0,
    ...(row === undefined ? {} : { last_event_at: row.last_event_at }),
    ...(next_at === undefined ? {} : { next_at }),
    ...(health === undefined ? {} : { health }),
    ...(refusedOfIt === undefined ? {} : { refused: refusedOfIt }),
    ...(source.source_type === 'webhook' ? { webhook_path: `/webhook/${source.id}` } : {}),
  }
}

/** Checks what the schema cannot check. present: the stored source, or null if it is new. Throws Fault invalid_params. */
export async function assertSource(
  context: Checking,
  input: SourceInput,
  present: Source | null = context.registry.sources.get(input.id) ?? null,
  at = 'source',
): Promise<void> {
  if (input.id === routerSource)
    throw new Fault(
      'invalid_params',
      `${at}.id ${routerSource} is that of the router’s own events; take another`,
      { data: { path: `${at}.id` } },
    )
  if (present !== null && present.source_type !== input.source_type) {
    throw new Fault(
      'conflict',
      `source ${input.id} is of type ${present.source_type}, which does not change to ${input.source_type}; delete it first, or use another id`,
      { data: { path: `${at}.source_type` } },
    )
  }
  if (input.source_type === 'cron') assertCron(input.config, context.now(), `${at}.config`)
  if (input.source_type === 'poll' || input.source_type === 'watch')
    await assertReading(context, input.source_type, input.config, `${at}.config`)
  if (input.source_type === 'webhook') assertWebhook(context, input.config, `${at}.config`)
  assertNoEmitters(input, present, context.registry.bots, at)
  if (input.source_type === 'dispatch')
    assertInbox(context, input.id, input.config.workflow_id, `${at}.config.workflow_id`)
  const schema = input.source_type === 'service' ? payloadSchema(input) : undefined
  const refusal = schema === undefined ? undefined : await schemaRefusal(schema)
  if (refusal !== undefined)
    throw new Fault('invalid_params', `${at}.config.payload_schema ${refusal}`, {
      data: { path: `${at}.config.payload_schema` },
    })
}

function assertInbox({ registry }: Checking, id: string, workflow_id: string, at: string): void {
  const other = [...registry.sources.values()].find(
    source =>
      source.source_type === 'dispatch' && source.id !== id && source.config.workflow_id === workflow_id,
  )
  if (other !== undefined)
    throw new Fault('conflict', `${at} ${workflow_id} has its inbox already, source ${other.id}`, {
      data: { path: at },
    })
}

function assertCron(
  { expression, timezone = defaults.CronConfig.timezone, start_at = 0, end_at }: CronConfig,
  now: number,
  at: string,
): void {
  assertComes(expression, timezone, Math.max(now, start_at - 1), `${at}.`)
  if (end_at !== undefined && end_at <= start_at)
    throw new Fault('invalid_params', `${at}.end_at is ${end_at}, not after start_at, which is ${start_at}`, {
      data: { path: `${at}.end_at` },
    })
}

/** Throws Fault for what cannot be read, and for templates that cannot be used. */
async function assertReading(
  { assertUrl, expressions }: Checking,
  source_type: string,
  config: PollConfig & WatchConfig,
  at: string,
): Promise<void> {
  const { command, url, bearer } = config
  const refuse = (name: string, what: string): never => {
    throw new Fault('invalid_params', `${at}.${name} ${what}`, { data: { path: `${at}.${name}` } })
  }
  if (command === undefined && url === undefined)
    refuse('url', `or ${at}.command is required: what a ${source_type} reads`)
  if (command !== undefined && url !== undefined) refuse('url', `and ${at}.command exclude each other`)
  if (url === undefined && bearer !== undefined) refuse('bearer', 'says nothing without url')
  if (url !== undefined) assertUrl(url, `${at}.url`)
  if (command !== undefined) assertConstant(command.argv, `${at}.command.argv`)
  if (config.context_command !== undefined)
    assertConstant(config.context_command.argv, `${at}.context_command.argv`)
  for (const name of ['key', 'subject'] as const) {
    const refusal =
      source_type === 'poll' && config[name] !== undefined ? keyRefusal(config[name]) : undefined
    if (refusal !== undefined) refuse(name, `cannot be used: ${refusal}`)
  }
  // A constant key would make the first item known, and all others with it.
  if (config.key !== undefined && !/\{\{\s*item\b/.test(config.key))
    refuse(
      'key',
      `says nothing of item, so all items would have the same: write {{ item.${/^[A-Za-z_][\w.]*$/.test(config.key) ? config.key : 'id'} }}`,
    )
  try {
    await checkTemplate({ items: config.items ?? '', value: config.value ?? '' }, at, expressions)
  } catch (error) {
    if (error instanceof InputsError)
      throw new Fault('invalid_params', error.message, { data: { path: error.path } })
    throw error
  }
}

function assertWebhook({ needsSecret }: Checking, { provider, secrets }: WebhookConfig, at: string): void {
  if (needsSecret(provider) && secrets === undefined) {
    throw new Fault(
      'invalid_params',
      `${at}.secrets is required: ${provider} deliveries are verified; give [{"file": "..."}] or [{"env": "..."}], or use provider "none"`,
      {
        data: { path: `${at}.secrets` },
      },
    )
  }
  if (provider === 'none' && secrets !== undefined) {
    throw new Fault(
      'invalid_params',
      `${at}.secrets makes no sense with provider "none", which checks nothing; use "bearer"`,
      {
        data: { path: `${at}.secrets` },
      },
    )
  }
}

function inputOf({ id, source_type, description, enabled, silent_after_ms, config }: Source): SourceInput {
  return { id, source_type, description, enabled, silent_after_ms, config } as unknown as SourceInput
}

export function sourceMethods(
  context: Context,
): Pick<
  Handlers,
  'source.put' | 'source.get' | 'source.list' | 'source.delete' | 'source.enable' | 'source.disable'
> {
  const { registry, now } = context

  function found(id: string): Source {
    const source = registry.sources.get(id)
    if (source === undefined) throw notFound('source', id, 'source.list', registry.sources.keys())
    return source
  }

  async function shown(id: string): Promise<{ source: Source }> {
    return { source: shownSource(context, found(id), await stats(context)) }
  }

  async function setEnabled(id: string, enabled: boolean): Promise<{ source: Source }> {
    const source = found(id)
    if (source.enabled !== enabled) {
      await writeDefinitions(context, [
        {
          noun: 'source',
          id,
          definition: { ...inputOf(source), enabled },
          version: source.version,
          at: now(),
        },
      ])
    }
    return shown(id)
  }

  return {
    async 'source.put'({ source, version }) {
      await assertSource(context, source)
      const [stamp] = await writeDefinitions(context, [
        { noun: 'source', id: source.id, definition: source, version, at: now() },
      ])
      return { source: shownSource(context, completeSource(source, stamp!), await stats(context)) }
    },
    'source.get': ({ source_id }) => shown(source_id),
    async 'source.list'({ source_type, limit, cursor }) {
      const counted = await stats(context)
      const all = [...registry.sources.values()].filter(
        source => source_type === undefined || source.source_type === source_type,
      )
      const { page, next_cursor } = pageById(all, limit, cursor)
      return { sources: page.map(source => shownSource(context, source, counted)), next_cursor }
    },
    async 'source.delete'({ source_id, version }) {
      const source = found(source_id)
      const users = [...registry.triggers.values()]
        .filter(trigger => trigger.event_source_id === source_id)
        .map(trigger => trigger.id)
      if (users.length > 0)
        throw new Fault(
          'conflict',
          `${users.length} triggers listen to source ${source_id} (${users.slice(0, 5).join(', ')}); delete or change them first, or disable the source`,
        )
      const last = shownSource(context, source, await stats(context))
      await writeDefinitions(context, [
        { noun: 'source', id: source_id, definition: null, version: version ?? source.version, at: now() },
      ])
      return { source: last }
    },
    'source.enable': ({ source_id }) => setEnabled(source_id, true),
    'source.disable': ({ source_id }) => setEnabled(source_id, false),
  }
}
