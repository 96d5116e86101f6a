// What a command reports of its run while it runs. Its lease is the router's own: nothing is extended, the attempt is over
// when the command is.
import type { Config, LeaseState } from '../contract/types.ts'
import { Fault } from '../errors.ts'
import type { Store } from '../store/store.ts'
import { move } from './run-state.ts'
import { usageShrank, type Extension } from './usage.ts'

export interface CommandProgressOptions {
  store: Pick<Store, 'move'>
  config: Pick<Config, 'command_timeout_ms'>
  now: () => number
}

/** Notes progress and usage of a run. Throws Fault not_found, lease_lost, and invalid_params for usage that shrinks. */
export async function noteProgress(
  run_id: string,
  lease_token: string,
  { note, progress, usage }: Pick<Extension, 'note' | 'progress' | 'usage'>,
  { store, config, now }: CommandProgressOptions,
): Promise<LeaseState> {
  const at = now()
  const touch = note === undefined ? ('silent' as const) : ('noted' as const)
  const said = {
    ...(note === undefined ? {} : { reason: note }),
    ...(progress === undefined ? {} : { progress }),
    ...(usage === undefined ? {} : { usage }),
  }
  const [outcome] = await store.move([{ run_id, lease_token, at, ...move('progress'), touch, ...said }])
  if (outcome === undefined || outcome.kind === 'not_found')
    throw new Fault('not_found', `there is no run ${run_id}; run.list shows what there is`)
  if (outcome.kind === 'usage_shrank') throw usageShrank(outcome.reported)
  if (outcome.kind === 'refused')
    throw new Fault(
      'lease_lost',
      `run ${run_id} is ${outcome.run.state} and not with this attempt any more; nothing was noted`,
    )
  const { timeout_at, cancel_requested, pause_requested } = outcome.run
  return { lease_until: timeout_at ?? at + config.command_timeout_ms, cancel_requested, pause_requested }
}
