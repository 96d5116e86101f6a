// Which instants of a schedule are due, which are made up for, and which are skipped, with the reason. Pure.
import { hash } from 'node:crypto'
import { defaults } from '../../contract/defaults.ts'
import type { CronConfig } from '../../contract/types.ts'
import { lastTicks, nextTick } from '../../definitions/schedule.ts'

/** A schedule with what was left out filled in. */
export interface Schedule extends Required<
  Omit<CronConfig, 'type' | 'subject' | 'payload' | 'start_at' | 'end_at'>
> {
  source_id: string
  start_at: number
  end_at: number
}

export interface DueTick {
  /** the instant by the schedule */
  scheduled_at: number
  /** that and its jitter */
  due_at: number
}

export interface Skipped {
  scheduled_at: number
  last_scheduled_at: number
  count: number
  reason: string
}

export interface Decided {
  ticks: { scheduled_at: number; caught_up: boolean }[]
  skipped: Skipped[]
  /** up to here everything is decided */
  position: number
}

/** What comes later than this was missed: the router was away, or the clock jumped. */
export const onTimeMs = 10_000
/** Missed instants that one decision looks at and counts. */
const mostCounted = 200

export function schedule(source_id: string, config: CronConfig): Schedule {
  const {
    expression,
    timezone,
    catch_up,
    catch_up_window_ms,
    catch_up_max,
    jitter_ms = 0,
  } = { ...defaults.CronConfig, ...config }
  const { start_at = 0, end_at = Number.MAX_SAFE_INTEGER } = config
  return {
    source_id,
    expression,
    timezone,
    catch_up,
    catch_up_window_ms,
    catch_up_max,
    jitter_ms,
    start_at,
    end_at,
  }
}

/** The same tick is put off by the same whenever it is asked. */
function due({ source_id, jitter_ms }: Schedule, scheduled_at: number): DueTick {
  const jitter =
    jitter_ms === 0
      ? 0
      : hash('sha256', `${source_id} ${scheduled_at}`, 'buffer').readUInt32BE() % (jitter_ms + 1)
  return { scheduled_at, due_at: scheduled_at + jitter }
}

/** The first tick after a position; null: none comes any more. */
export function following(own: Schedule, position: number): DueTick | null {
  const next = nextTick(own.expression, own.timezone, Math.max(position, own.start_at - 1))
  return next === null || next >= own.end_at ? null : due(own, next)
}

/** Everything after a position that is due, oldest first; of very many the newest, behind the first. */
function dueTicks(own: Schedule, position: number, now: number): DueTick[] {
  const found: DueTick[] = []
  for (
    let next = following(own, position);
    next !== null && next.due_at <= now;
    next = following(own, next.scheduled_at)
  ) {
    found.push(next)
    if (found.length < mostCounted) continue
    const newest = lastTicks(
      own.expression,
      own.timezone,
      Math.min(now, own.end_at - 1),
      next.scheduled_at,
      mostCounted,
    ).map(at => due(own, at))
    const later = newest.findIndex(each => each.due_at > now)
    const dueByNow = later === -1 ? newest : newest.slice(0, later)
    return dueByNow.length === 0 ? found : [...found.slice(0, 1), ...dueByNow]
  }
  return found
}

function range(of: readonly DueTick[], reason: string): Skipped[] {
  const [first, last] = [of[0], of.at(-1)]
  return first === undefined
    ? []
    : [{ scheduled_at: first.scheduled_at, last_scheduled_at: last!.scheduled_at, count: of.length, reason }]
}

/** What is to be done at a time about everything after a position. */
export function decide(own: Schedule, position: number, now: number): Decided {
  const all = dueTicks(own, position, now)
  if (all.length === 0) return { ticks: [], skipped: [], position }
  const missed = all.filter(each => now - each.due_at > onTimeMs)
  const tooOld = missed.filter(
    each => own.catch_up !== 'none' && each.scheduled_at < now - own.catch_up_window_ms,
  )
  const young = missed.slice(tooOld.length)
  // One that comes in time is later than all that were missed.
  const most = { none: 0, latest: all.length > missed.length ? 0 : 1, all: own.catch_up_max }[own.catch_up]
  const left = young.slice(0, Math.max(0, young.length - most))
  const why = {
    none: 'nothing is caught up',
    latest: 'only the latest is caught up',
    all: `no more than ${own.catch_up_max} are caught up`,
  }[own.catch_up]
  return {
    ticks: [
      ...young.slice(left.length).map(({ scheduled_at }) => ({ scheduled_at, caught_up: true })),
      ...all.slice(missed.length).map(({ scheduled_at }) => ({ scheduled_at, caught_up: false })),
    ],
    skipped: [
      ...range(tooOld, `missed, and older than ${own.catch_up_window_ms / 1000} s`),
      ...range(left, `missed, and ${why}`),
    ],
    position: all.at(-1)!.scheduled_at,
  }
}
