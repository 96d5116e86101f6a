// event.emit and event.register: what services call.
import { isDeepStrictEqual } from 'node:util'
import type {
  EventRegisterParams,
  EventRegisterResult,
  Source,
  SourceInput,
  Trigger,
  TriggerInput,
} from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import { elementTexts, valueText } from '../../json-text.ts'
import { completeSource, completeTrigger } from '../../routing/registry.ts'
import type { DefinitionChange } from '../../store/store.ts'
import { rest } from '../../turns.ts'
import type { Call, Handlers } from '../jsonrpc.ts'
import { givenContext } from './given-context.ts'
import type { Context } from './context.ts'
import { writeDefinitions } from './definition-writes.ts'
import { warningsOf } from './warnings.ts'
import { assertSource, shownSource } from './source.ts'
import { assertTrigger } from './trigger-checks.ts'

async function registered(
  context: Context,
  input: SourceInput,
  inputs: TriggerInput[],
): Promise<{
  source: Source
  triggers: Trigger[]
  changes: { created: string[]; updated: string[]; unchanged: string[] }
}> {
  const { registry, now } = context
  const changes: DefinitionChange[] = []
  const report = { created: [] as string[], updated: [] as string[], unchanged: [] as string[] }
  const at = now()
  const stampless = { version: 0, created_at: 0, updated_at: 0 }
  const consider = (
    noun: 'source' | 'trigger',
    definition: SourceInput | TriggerInput,
    complete: object,
    present: { version: number } | undefined,
  ): void => {
    const same =
      present !== undefined && isDeepStrictEqual({ ...complete, ...stampless }, { ...present, ...stampless })
    report[present === undefined ? 'created' : same ? 'unchanged' : 'updated'].push(
      `${noun} ${definition.id}`,
    )
    if (!same) changes.push({ noun, id: definition.id, definition, at })
  }
  consider('source', input, completeSource(input, stampless), registry.sources.get(input.id))
  for (const trigger of inputs) {
    await rest()
    consider('trigger', trigger, completeTrigger(trigger, stampless), registry.triggers.get(trigger.id))
  }
  await writeDefinitions(context, changes)
  return {
    source: registry.sources.get(input.id)!,
    triggers: inputs.map(({ id }) => registry.triggers.get(id)!),
    changes: report,
  }
}

/** Writes a source with its triggers, all or none. */
async function register(
  context: Context,
  { source, triggers = [] }: EventRegisterParams,
  call: Call,
): Promise<EventRegisterResult> {
  const { registry, store } = context
  await assertSource(context, source)
  const twice = triggers.find(
    (trigger, index) => triggers.findIndex(other => other.id === trigger.id) !== index,
  )
  if (twice !== undefined)
    throw new Fault('invalid_params', `triggers names ${twice.id} twice`, { data: { path: 'triggers' } })
  // Without `enabled` the stored value stays: registering again at every start must not undo a disable.
  const kept = { ...source, enabled: source.enabled ?? registry.sources.get(source.id)?.enabled ?? true }
  const inputs = triggers.map(trigger => ({
    ...trigger,
    event_source_id: trigger.event_source_id === undefined ? source.id : trigger.event_source_id,
    enabled: trigger.enabled ?? registry.triggers.get(trigger.id)?.enabled ?? true,
  }))
  const texts = elementTexts(call.text('triggers') ?? new Uint8Array(0))
  for (const [index, trigger] of inputs.entries()) {
    await rest()
    await assertTrigger(context, trigger, valueText(texts[index]!, ['filter']), `triggers.${index}`, {
      source_id: source.id,
      triggers: inputs,
    })
  }
  const answer = await registered(context, kept, inputs)
  const counted = new Map((await store.sourceStats()).map(row => [row.source_id, row]))
  const shown = shownSource(context, answer.source, counted)
  return {
    ...answer,
    source: shown,
    ...(shown.webhook_path === undefined ? {} : { webhook_path: shown.webhook_path }),
    ...warningsOf(context, { triggers: inputs }, registry.bots),
  }
}

export function emitMethods(context: Context): Pick<Handlers, 'event.emit' | 'event.register'> {
  return {
    async 'event.emit'(
      {
        source_id,
        type,
        payload,
        subject,
        idempotency_key,
        time,
        headers,
        causation,
        context_files,
        deliver_at,
        actor,
        thread,
      },
      call,
    ) {
      const { event_id, duplicate, matched_triggers, runs, decisions } = await context.emit({
        source_id,
        type,
        subject: subject ?? null,
        actor,
        requested_by: call.principal.id,
        thread,
        payload,
        body: call.text('payload')!,
        delivery_key: idempotency_key ?? null,
        causation: causation ?? null,
        ...(time === undefined ? {} : { timestamp: time }),
        ...(headers === undefined ? {} : { headers }),
        context_files: givenContext(context_files),
        deliver_at,
      })
      return {
        event_id,
        duplicate,
        matched_triggers,
        runs,
        ...(decisions === undefined ? {} : { decisions }),
      }
    },
    'event.register': (params, call) => register(context, params, call),
  }
}
