// What a run did with its time, as segments of one axis. Pure: no DOM.
import type { Attempt, Run, RunHistoryEntry } from '../../contract/types.ts'
import type { LampKind } from '../parts/lamp-kind.ts'
import { duration } from '../text.ts'

export interface Segment {
  name: string
  /** on the axis, from 0 to 1 */
  from: number
  until: number
  kind: LampKind
  /** how long, and how it ended */
  text: string
  /** It was longer than it is drawn. */
  isCompressed: boolean
}

interface Span {
  name: string
  from: number
  until: number
  kind: LampKind
  text: string
  isWait: boolean
}

const outcomes: Record<Attempt['outcome'], { kind: LampKind; word: string }> = {
  success: { kind: 'clear', word: '' },
  retry: { kind: 'stop', word: 'failed' },
  permanent: { kind: 'stop', word: 'failed for good' },
  timeout: { kind: 'stop', word: 'timed out' },
  cancelled: { kind: 'miss', word: 'cancelled' },
  unknown: { kind: 'caution', word: 'ended unknown' },
}

function spans(
  { created_at, state, attempt: begun, finished_at }: Run,
  history: readonly RunHistoryEntry[],
  attempts: readonly Attempt[],
  now: number,
): Span[] {
  const found: Span[] = []
  let free = created_at
  const wait = (until: number, isFirst: boolean): void => {
    if (until > free)
      found.push({
        name: isFirst ? 'waited' : 'backoff',
        from: free,
        until,
        kind: 'miss',
        text: duration(until - free),
        isWait: true,
      })
  }
  for (const { number, started_at, ended_at, outcome, status } of attempts) {
    wait(started_at, found.length === 0)
    const { kind, word } = outcomes[outcome]
    const text = [duration(ended_at - started_at), [word, status].filter(Boolean).join(', ')]
      .filter(Boolean)
      .join(' · ')
    found.push({
      name: `attempt ${number}`,
      from: started_at,
      until: Math.max(ended_at, started_at),
      kind,
      text,
      isWait: false,
    })
    free = Math.max(free, ended_at)
  }
  const isRunning = state === 'running' || state === 'paused' || state === 'assigned'
  if (isRunning) {
    const at =
      history.findLast(({ to, attempt }) => attempt === begun && (to === 'assigned' || to === 'running'))
        ?.at ?? free
    wait(at, found.length === 0)
    const kind = state === 'paused' ? 'held' : 'active'
    found.push({
      name: `attempt ${begun}`,
      from: at,
      until: now,
      kind,
      text: `${duration(now - at)} · ${state}`,
      isWait: false,
    })
  } else if (finished_at === undefined) wait(now, found.length === 0)
  else if (found.length === 0) wait(finished_at, true)
  return found
}

/** Waiting takes at most as much of the axis as this share of what the attempts take. */
const mostWait = 0.4

/** Segments in order. now: where a run that has not ended is now */
export function timeline(
  run: Run,
  history: readonly RunHistoryEntry[],
  attempts: readonly Attempt[],
  now: number,
): Segment[] {
  const all = spans(run, history, attempts, now)
  const worked = all.filter(({ isWait }) => !isWait).reduce((sum, { from, until }) => sum + until - from, 0)
  const longest = Math.max(1, worked * mostWait)
  const lengths = all.map(({ from, until, isWait }) => {
    const length = Math.max(1, until - from)
    return isWait && worked > 0 ? Math.min(length, longest) : length
  })
  const total = lengths.reduce((sum, length) => sum + length, 0)
  let at = 0
  return all.map(({ name, kind, text, from, until }, index) => {
    const begin = at / total
    at += lengths[index]!
    return { name, kind, text, from: begin, until: at / total, isCompressed: lengths[index]! < until - from }
  })
}
