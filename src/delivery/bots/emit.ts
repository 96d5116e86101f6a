// emit bots: a run is a new event of another source. It carries the run as its cause, for the loop guard, and the run's
// id as its delivery id, so that trying again makes no second one.
import type { ContextFileBytes } from '../../context-files.ts'
import type { Causation, EmitEndpoint } from '../../contract/types.ts'
import { Fault, type ErrorName } from '../../errors.ts'
import { failure, type BotKind, type Delivery, type DeliveryResult, type Render } from '../bot.ts'

export interface EmitOrder {
  source_id: string
  type: string
  subject: string | null
  payload: unknown
  delivery_key: string
  causation: Causation
  context_files: ContextFileBytes[] | undefined
}

/** Logs an event; throws Fault. */
export type Emit = (
  order: EmitOrder,
) => Promise<{ event_id: string; duplicate: boolean; matched_triggers: string[]; runs: string[] }>

export interface EmitBotOptions {
  emit: Emit
  render: Render
}

interface Scope {
  event: { type: string; subject: string | null; payload: unknown }
  inputs: object
}

/** A template that is one expression gives a value of any kind. */
function subjectText(value: unknown): string | null {
  return value === null || typeof value === 'string' ? value : JSON.stringify(value)
}

/** Faults that another time may not meet. */
const passing = new Set<ErrorName>(['disabled', 'overloaded', 'storage_full', 'not_ready', 'shutting_down'])

export function emitBot({ emit, render }: EmitBotOptions): BotKind<EmitEndpoint> {
  async function deliver(endpoint: EmitEndpoint, delivery: Delivery): Promise<DeliveryResult> {
    const scope = delivery.scope() as Scope
    const usual = Object.keys(scope.inputs).length > 0 ? '{{ inputs }}' : '{{ event.payload }}'
    const template = { payload: endpoint.payload ?? usual, subject: endpoint.subject ?? null }
    const rendered = await render(template, 'endpoint', scope)
    if (!rendered.ok)
      return failure(rendered.transient ? 'unavailable' : 'refused', rendered.reason, { status: 'E_PAYLOAD' })
    const { payload, subject } = rendered.value as { payload: unknown; subject: unknown }
    try {
      const { event_id, matched_triggers, runs } = await emit({
        source_id: endpoint.source_id,
        type: endpoint.type ?? scope.event.type,
        subject: endpoint.subject === undefined ? scope.event.subject : subjectText(subject),
        payload,
        delivery_key: delivery.id,
        causation: { event_id: delivery.event_id, run_id: delivery.run_id, depth: delivery.depth },
        context_files:
          endpoint.context === false || delivery.context.length === 0 ? undefined : delivery.context,
      })
      return {
        outcome: 'success',
        status: 'emitted',
        output: '',
        result: JSON.stringify({ event_id, matched_triggers, runs }),
      }
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      return failure(passing.has(error.fault) ? 'unavailable' : 'refused', error.message, {
        status: error.reason,
      })
    }
  }
  return { deliver, stop: async () => undefined }
}
