// When a number that is watched makes an event: on the edge, not on the level. Pure.
import type { WatchConfig } from '../../contract/types.ts'

export interface Watched {
  /** what the next reading is held against; undefined: there was none yet */
  previous?: number
  fired_at?: number
}

export interface Crossing {
  type: 'above' | 'below' | 'changed'
  payload: { value: number; previous: number; above?: number; below?: number }
}

function crossing(previous: number, value: number, { above, below }: WatchConfig): Crossing | undefined {
  const payload = {
    value,
    previous,
    ...(above === undefined ? {} : { above }),
    ...(below === undefined ? {} : { below }),
  }
  if (above !== undefined && value > above && previous <= above) return { type: 'above', payload }
  if (below !== undefined && value < below && previous >= below) return { type: 'below', payload }
  return above === undefined && below === undefined && value !== previous
    ? { type: 'changed', payload }
    : undefined
}

/** What a reading means, and what is remembered of it. Within the cooldown what would be an event stays to be one after it. */
export function judged(
  watched: Watched,
  value: number,
  config: WatchConfig,
  now: number,
): { crossing?: Crossing; watched: Watched } {
  const { previous, fired_at } = watched
  const crossed = previous === undefined ? undefined : crossing(previous, value, config)
  if (crossed === undefined) return { watched: { ...watched, previous: value } }
  // A clock that was set back must not lengthen the cooldown.
  const since = fired_at === undefined ? Infinity : now - fired_at
  if (since >= 0 && since < (config.cooldown_ms ?? 0)) return { watched }
  return { crossing: crossed, watched: { previous: value, fired_at: now } }
}
