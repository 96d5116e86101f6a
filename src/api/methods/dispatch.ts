// event.dispatch: work that is handed to a workflow.
import type { DispatchConfig, Source } from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import { listensTo } from '../../routing/log-filter.ts'
import { givenContext } from './given-context.ts'
import type { Handlers } from '../jsonrpc.ts'
import type { Context } from './context.ts'

const mostListed = 20
const nothing = Buffer.from('null')

/** The inboxes whose events some enabled trigger listens to, by workflow. */
function inboxes({ registry }: Context): Map<string, Source> {
  const listening = [...registry.triggers.values()].filter(trigger => trigger.enabled)
  const taken = [...registry.sources.values()].filter(
    ({ id, source_type, enabled }) =>
      source_type === 'dispatch' &&
      enabled &&
      listening.some(trigger => listensTo(trigger.event_source_id, id)),
  )
  return new Map(taken.map(source => [(source.config as unknown as DispatchConfig).workflow_id, source]))
}

function notTaken(workflow_id: string, { registry }: Context, taken: ReadonlyMap<string, Source>): Fault {
  const own = [...registry.sources.values()].find(
    source => source.source_type === 'dispatch' && source.config.workflow_id === workflow_id,
  )
  const why =
    own === undefined
      ? `no source of type dispatch has workflow_id ${JSON.stringify(workflow_id)}`
      : own.enabled
        ? `no enabled trigger listens to its inbox, source ${own.id}`
        : `its inbox, source ${own.id}, is disabled`
  const names = [...taken.keys()].toSorted()
  const list =
    names.length === 0
      ? 'no workflow can be handed work'
      : `work can be handed to ${names.slice(0, mostListed).join(', ')}${names.length > mostListed ? ', ...' : ''}`
  return new Fault('not_found', `no bot takes work for ${workflow_id}: ${why}; ${list}`, {
    reason: 'E_WORKFLOW',
    data: { workflows: names.slice(0, mostListed) },
  })
}

export function dispatchMethods(context: Context): Pick<Handlers, 'event.dispatch'> {
  return {
    async 'event.dispatch'(
      { workflow_id, payload = null, subject, idempotency_key, causation, context_files, deliver_at },
      call,
    ) {
      const taken = inboxes(context)
      const inbox = taken.get(workflow_id)
      if (inbox === undefined) throw notTaken(workflow_id, context, taken)
      const { event_id, duplicate, matched_triggers, runs, decisions } = await context.emit({
        source_id: inbox.id,
        type: 'dispatch',
        requested_by: call.principal.id,
        subject: subject ?? null,
        payload,
        body: call.text('payload') ?? nothing,
        delivery_key: idempotency_key ?? null,
        causation: causation ?? null,
        context_files: givenContext(context_files),
        deliver_at,
      })
      return {
        source_id: inbox.id,
        event_id,
        duplicate,
        matched_triggers,
        runs,
        ...(decisions === undefined ? {} : { decisions }),
      }
    },
  }
}
