// What the socket of a running command allows: which methods, on which events and runs. One table says so, and what it does
// not name is forbidden (T56). The run of the socket is implied: what the caller says of itself is replaced by what is true.
import type { Methods } from '../contract/types.ts'
import { Fault } from '../errors.ts'
import type { Store } from '../store/store.ts'
import type { Access, Implied } from './access.ts'
import { commandPrincipal, type Principal } from './principal.ts'

/** The attempt that a socket belongs to. */
export interface OwnRun {
  run_id: string
  lease_token: string
  bot_id: string
  /** the events that the attempt was given: of a batch all */
  event_ids: readonly string[]
  /** how many runs caused one another up to an event of this one */
  depth: number
}

/**
 * What a caller may do with a method. free: everything. emit: events, which the run causes. own_event: only events of the
 * run. caused_run: only the run and runs that its own events caused. own_run: only the run.
 */
export type Rule = 'free' | 'emit' | 'own_event' | 'caused_run' | 'own_run'

export const commandRules: Partial<Record<keyof Methods, Rule>> = {
  'event.emit': 'emit',
  'event.dispatch': 'emit',
  'event.get': 'own_event',
  'run.get': 'caused_run',
  'run.output': 'caused_run',
  'run.log': 'own_run',
  'run.progress': 'own_run',
  'rpc.discover': 'free',
  'rpc.health': 'free',
  'rpc.cancel': 'free',
}

/** Runs of its own events that an attempt is remembered to have caused; beyond that the oldest are looked up in the store. */
const mostRemembered = 10_000

function forbidden(message: string, permission: string): Fault {
  return new Fault('forbidden', message, { data: { permission } })
}

export class CommandAccess implements Access {
  readonly principal: Principal
  readonly #own: OwnRun
  readonly #store: Pick<Store, 'run' | 'event'>
  readonly #caused = new Set<string>()
  #over = false

  constructor(own: OwnRun, store: Pick<Store, 'run' | 'event'>) {
    this.principal = commandPrincipal(own.bot_id)
    this.#own = own
    this.#store = store
  }

  /** The attempt is over: nothing is admitted any more. */
  end(): void {
    this.#over = true
  }

  async admit(method: string, params: Readonly<Record<string, unknown>>): Promise<Implied> {
    this.#assertOpen()
    const implied = await this.#implied(method, params)
    this.#assertOpen()
    return implied
  }

  #assertOpen(): void {
    const { run_id } = this.#own
    if (this.#over)
      throw new Fault(
        'lease_lost',
        `the attempt of run ${run_id} is over, and its socket with it; nothing was done`,
      )
  }

  async #implied(method: string, params: Readonly<Record<string, unknown>>): Promise<Implied> {
    const { run_id, lease_token, event_ids, depth, bot_id } = this.#own
    const rule = (commandRules as Partial<Record<string, Rule>>)[method]
    switch (rule) {
      case 'free':
        return {}
      case 'emit':
        return { causation: { event_id: event_ids.at(-1)!, run_id, depth }, actor: undefined }
      case 'own_event': {
        const { event_id = event_ids.at(-1)! } = params
        if (event_ids.includes(event_id as string)) return { event_id }
        throw forbidden(
          `${method} of event ${shown(event_id)} is not available on the socket of run ${run_id}: only its own events are`,
          method,
        )
      }
      case 'own_run':
        if ((params.run_id ?? run_id) === run_id) return { run_id, lease_token }
        throw forbidden(
          `${method} of run ${shown(params.run_id)} is not available on the socket of run ${run_id}: only that run is`,
          method,
        )
      case 'caused_run': {
        const wanted = params.run_id ?? run_id
        if (await this.#isCaused(wanted)) return { run_id: wanted }
        const all = 'only that run and runs that its own events caused are'
        throw forbidden(
          `${method} of run ${shown(wanted)} is not available on the socket of run ${run_id}: ${all}`,
          method,
        )
      }
      case undefined:
        throw forbidden(
          `method ${method} is not available on a command's own socket; "control": true in the endpoint of bot ${bot_id} gives its commands the control socket, and with it every method`,
          method,
        )
    }
  }

  async #isCaused(run_id: unknown): Promise<boolean> {
    if (run_id === this.#own.run_id) return true
    if (typeof run_id !== 'string' || !/^[0-9a-f-]{36}$/.test(run_id)) return false
    if (this.#caused.has(run_id)) return true
    const run = await this.#store.run(run_id)
    const event = run === null ? null : await this.#store.event(run.event_id)
    if (event?.causation?.run_id !== this.#own.run_id) return false
    this.#remember(run_id)
    return true
  }

  #remember(run_id: string): void {
    this.#caused.add(run_id)
    if (this.#caused.size > mostRemembered) this.#caused.delete(this.#caused.values().next().value!)
  }

  /** Runs that an event made or joined are of its making; of an event that was known before, others may have been. */
  learn(method: string, result: unknown): void {
    if (method !== 'event.emit' && method !== 'event.dispatch') return
    const { duplicate, runs, decisions = [] } = result as Methods['event.emit']['result']
    if (duplicate) return
    for (const run_id of runs) this.#remember(run_id)
    for (const { outcome, run_id } of decisions)
      if ((outcome === 'debounced' || outcome === 'batched') && run_id !== undefined) this.#remember(run_id)
  }
}

/** What a caller gave as an id, in a message. */
function shown(value: unknown): string {
  return (JSON.stringify(value) ?? 'undefined').slice(0, 60)
}
