// What a bot may do with the token of its callback: report on its run, and finish it.
import type { Methods } from '../contract/types.ts'
import { Fault } from '../errors.ts'
import type { Access, Implied } from './access.ts'
import type { Principal } from './principal.ts'

/** A run that a bot has taken, and will finish later. */
export interface CallbackRun {
  run_id: string
  bot_id: string
  lease_token: string
}

const ofRun: ReadonlySet<string> = new Set<keyof Methods>([
  'run.heartbeat',
  'run.progress',
  'run.log',
  'run.complete',
  'run.fail',
  'run.yield',
])
const free: ReadonlySet<string> = new Set<keyof Methods>(['rpc.health', 'rpc.discover'])

export class CallbackAccess implements Access {
  readonly principal: Principal
  readonly #run: CallbackRun

  constructor(run: CallbackRun, address: string | undefined) {
    const { run_id, bot_id } = run
    this.#run = run
    this.principal = {
      id: `run:${run_id}`,
      name: undefined,
      login: undefined,
      interface: 'http',
      address,
      scopes: new Set(['work']),
      agent: true,
      bot_id,
    }
  }

  admit(method: string, params: Readonly<Record<string, unknown>>): Promise<Implied> {
    const { run_id, lease_token } = this.#run
    if (free.has(method)) return Promise.resolve({})
    if (ofRun.has(method) && (params.run_id ?? run_id) === run_id)
      return Promise.resolve({ run_id, lease_token })
    const all = `the token of a callback allows ${[...ofRun].join(', ')} of run ${run_id}`
    return Promise.reject(new Fault('forbidden', `${method} of this is not allowed: ${all}`))
  }

  learn(): void {
    // Nothing that is answered changes what is allowed.
  }
}
