// Queues: their limits, how many runs wait in each and are with bots, and which bots found no room in one.
//
// The counts are kept in step with every write of the one writer, and counted again at a start and after a rollback.
import type { QueueInput, RunState } from '../../../contract/types.ts'
import type { QueueCount } from '../../store.ts'
import { damageText, type DamageLog } from '../tables/damage.ts'
import type { Db } from '../db.ts'
import type { Rings } from '../tables/rate-limits.ts'
import { parsed } from '../tables/rows.ts'

const active = new Set<RunState>(['assigned', 'running', 'paused'])
const waiting = new Set<RunState>(['pending', 'held', 'awaiting_approval'])

export function isActive(state: RunState): boolean {
  return active.has(state)
}

/** Whether a run counts as open: it waits, or is with a bot. */
export function isOpen(state: RunState): boolean {
  return active.has(state) || waiting.has(state)
}

export class Queues {
  readonly #counted
  readonly #defined
  readonly #rings: Rings
  readonly #due: Set<string>
  readonly #damage: DamageLog
  #counts = new Map<string, { waiting: number; active: number }>()
  #limits = new Map<string, QueueInput>()
  /** bots with due runs in a queue that had no room for them */
  readonly #blocked = new Map<string, Set<string>>()
  readonly #opensAt = new Map<string, number>()

  constructor(db: Db, rings: Rings, due: Set<string>, damage: DamageLog) {
    this.#damage = damage
    this.#counted = db.prepare<[], { queue: string; state: RunState; count: number }>(
      'SELECT queue, state, count(*) AS count FROM outbox GROUP BY queue, state',
    )
    this.#defined = db.prepare<[], { id: string; definition: string }>('SELECT id, definition FROM queue')
    this.#rings = rings
    this.#due = due
    this.reload()
  }

  /** Reads limits and counts again, and lets all waiting runs try again. */
  reload(): void {
    this.#limits = new Map(this.#defined.all().map(row => [row.id, this.#read(row)]))
    this.#counts = new Map()
    for (const { queue, state, count } of this.#counted.all()) this.add(queue, state, count)
    for (const queue of this.#blocked.keys()) this.#tryAgain(queue)
  }

  /** A queue whose definition is found damaged is off: without its limits its runs would all start at once. */
  #read({ id, definition }: { id: string; definition: string }): QueueInput {
    const found = parsed(definition) as QueueInput | null
    if (found?.id === id) return found
    this.#damage.add(
      damageText('queue', id, {
        column: 'definition',
        why: 'it is not what was written; the queue is off until it is written again',
      }),
    )
    return { id, paused: true, paused_reason: 'its definition is damaged; write it again' }
  }

  add(queue: string, state: RunState, by: number): void {
    const count = this.#counts.get(queue) ?? { waiting: 0, active: 0 }
    if (active.has(state)) count.active += by
    else if (waiting.has(state)) count.waiting += by
    else return
    if (count.active === 0 && count.waiting === 0) this.#counts.delete(queue)
    else this.#counts.set(queue, count)
    if (by < 0 && active.has(state)) this.#tryAgain(queue)
  }

  #tryAgain(queue: string): void {
    for (const bot_id of this.#blocked.get(queue) ?? []) this.#due.add(bot_id)
    this.#blocked.delete(queue)
    this.#opensAt.delete(queue)
  }

  /** Why a queue is paused; undefined: it is not. */
  pausedWhy(queue: string): string | undefined {
    const limits = this.#limits.get(queue)
    return limits?.paused === true ? (limits.paused_reason ?? 'no reason given') : undefined
  }

  /** Whether no run more may wait in it, once some wait there no more. */
  isFull(queue: string, leaving = 0): boolean {
    const most = this.#limits.get(queue)?.max_pending
    return most !== undefined && (this.#counts.get(queue)?.waiting ?? 0) - leaving >= most
  }

  /** How many runs of a queue may begin now, and when time will give it room. */
  room(queue: string, now: number): { room: number; until: number | null } {
    const limits = this.#limits.get(queue)
    if (limits === undefined) return { room: Infinity, until: null }
    if (limits.paused === true) return { room: 0, until: null }
    const opens_at =
      limits.rate === undefined ? 0 : this.#rings.opensAt({ key: `queue:${queue}`, ...limits.rate }, now)
    if (opens_at > now) return { room: 0, until: opens_at }
    const room = (limits.max_active ?? Infinity) - (this.#counts.get(queue)?.active ?? 0)
    // A rate lets one pass at a time: the ring is asked again for the next.
    return { room: limits.rate === undefined ? room : Math.min(room, 1), until: null }
  }

  /** A bot has due runs in a queue that has no room for them. */
  block(queue: string, bot_id: string, until: number | null): void {
    const bots = this.#blocked.get(queue) ?? new Set()
    this.#blocked.set(queue, bots.add(bot_id))
    if (until !== null) this.#opensAt.set(queue, until)
  }

  /** A run of the queue has begun, and is counted already. */
  began(queue: string, now: number): void {
    const rate = this.#limits.get(queue)?.rate
    if (rate !== undefined) this.#rings.take({ key: `queue:${queue}`, ...rate }, now)
  }

  tick(now: number): void {
    for (const [queue, opens_at] of this.#opensAt) if (opens_at <= now) this.#tryAgain(queue)
  }

  nextOpening(): number | null {
    return this.#opensAt.size === 0 ? null : Math.min(...this.#opensAt.values())
  }

  all(): QueueCount[] {
    return [...this.#counts].map(([queue, count]) => ({ queue, ...count }))
  }
}
