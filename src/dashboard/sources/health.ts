// How a source stands: enabled, failing, silent. Pure: no DOM.
import type { Source } from '../../contract/types.ts'
import type { LampKind } from '../parts/lamp-kind.ts'
import { duration, plural } from '../text.ts'

type Watched = Pick<
  Source,
  'enabled' | 'health' | 'silent_after_ms' | 'last_event_at' | 'created_at' | 'refused'
>

/**
 * For how long a source that should not be silent has had no event; undefined: it is not silent. Time in which the router did not run does
 * not count, so it begins at the start of the router.
 */
export function silentFor(
  { enabled, silent_after_ms, last_event_at, created_at }: Watched,
  now: number,
  started_at = 0,
): number | undefined {
  if (!enabled || silent_after_ms === undefined) return undefined
  const quiet = now - Math.max(last_event_at ?? created_at, started_at)
  return quiet > silent_after_ms ? quiet : undefined
}

export function lampOfSource(
  source: Watched,
  now: number,
  started_at?: number,
): { kind: LampKind; word: string } {
  const { enabled, health } = source
  if (!enabled) return { kind: 'miss', word: 'disabled' }
  if (health !== undefined && health.failures > 0)
    return { kind: 'stop', word: plural(health.failures, 'failed reading') }
  if (isSecretMissing(source)) return { kind: 'stop', word: 'secret cannot be read' }
  const quiet = silentFor(source, now, started_at)
  return quiet === undefined
    ? { kind: 'clear', word: 'enabled' }
    : { kind: 'caution', word: `silent for ${duration(quiet)}` }
}

/** Whether the last delivery was refused because the router cannot read the secret, and none was accepted since. */
export function isSecretMissing({
  refused,
  last_event_at,
}: Pick<Source, 'refused' | 'last_event_at'>): boolean {
  return refused?.last_reason === 'E_SOURCE_UNCONFIGURED' && refused.last_at > (last_event_at ?? 0)
}
