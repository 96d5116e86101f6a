// What gates do, counted by the writing thread and reported after the commit, for metrics. Counting is an addition for each match: what
// an event costs does not change with it.
import type { Decision, Gate } from '../../../contract/types.ts'
import type { GateCounts } from '../../store.ts'

type GateName = Gate['gate']

/** The gate that decided; undefined: the event made a run of its own. */
const ofOutcome: Record<Decision['outcome'], GateName | undefined> = {
  routed: undefined,
  replayed: undefined,
  loop_held: 'loop_guard',
  own_event: 'own_events',
  repeat_limit: 'repeat_limit',
  redelivery_logged: 'redelivery',
  rate_limited: 'rate_limit',
  debounced: 'debounce',
  batched: 'batch',
  singleton_skipped: 'singleton',
  queue_full: 'queue',
  trigger_paused: 'trigger_paused',
}

/** The gate that a run waits for, by the first part of its lane's name. */
const ofLane: Partial<Record<string, GateName>> = {
  approver: 'approval',
  budget: 'budget',
  concurrency: 'concurrency',
  dependency: 'dependency',
  order: 'order',
  singleton: 'singleton',
  throttle: 'throttle',
  trigger: 'trigger_paused',
}

export class GateCounting {
  #matches = 0
  #gates = new Map<GateName, number>()

  add(gate: GateName): void {
    this.#gates.set(gate, (this.#gates.get(gate) ?? 0) + 1)
  }

  /** The triggers that an event matched, and what the gates made of it. */
  decided(decisions: readonly Decision[]): void {
    this.#matches += decisions.length
    for (const { outcome } of decisions) {
      const gate = ofOutcome[outcome]
      if (gate !== undefined) this.add(gate)
    }
  }

  /** A run waits in a lane. */
  parked(lane: string): void {
    const gate = ofLane[lane.split(':', 1)[0]!]
    if (gate !== undefined) this.add(gate)
  }

  /** What was counted since this was called last; undefined: nothing. */
  take(): GateCounts | undefined {
    if (this.#matches === 0 && this.#gates.size === 0) return undefined
    const counted: GateCounts = { matches: this.#matches, gates: [...this.#gates] }
    this.clear()
    return counted
  }

  /** After a rollback nothing of it has happened. */
  clear(): void {
    this.#matches = 0
    this.#gates.clear()
  }
}
