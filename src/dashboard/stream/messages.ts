// What the stream says, as the tabs of a browser hand it on. Pure: no DOM.
import type { EventSummary, Run } from '../../contract/types.ts'

export type StreamEvent = EventSummary & { seq?: number }

export type Message =
  | { kind: 'ready' }
  | { kind: 'event'; event: StreamEvent }
  | { kind: 'run'; run: Run }
  /** Some were left out: too many came, or they are not kept any more. */
  | { kind: 'gap'; topic: 'events' | 'runs' }
  | { kind: 'sampled'; topic: 'events' | 'runs'; skipped: number }
  | { kind: 'state'; open: boolean }

/** The names of events of the stream. */
export const names = ['ready', 'event', 'run', 'gap', 'sampled'] as const

/** One event of the stream. data: what was sent, read */
export function messageFrom(name: (typeof names)[number], data: unknown): Message {
  switch (name) {
    case 'ready':
      return { kind: 'ready' }
    case 'event':
      return { kind: 'event', event: data as StreamEvent }
    case 'run':
      return { kind: 'run', run: (data as { run: Run }).run }
    case 'gap':
      return { kind: 'gap', topic: (data as { topic: 'events' }).topic }
    case 'sampled':
      return { kind: 'sampled', ...(data as { topic: 'events'; skipped: number }) }
  }
}

/** Milliseconds before the next attempt: 1 s, then twice as long each time, 30 s at most. */
export function backoff(failures: number): number {
  return Math.min(30_000, 1000 * 2 ** Math.max(0, failures - 1))
}
