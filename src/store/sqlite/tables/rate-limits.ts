// Limits over time, exact and at the same cost whatever the limit: the last so many passes of a key are kept in a ring, and
// the slot that is written next holds the pass that the next one is counted from.
import type { RateGate } from '../../flow.ts'
import type { Db } from '../db.ts'

/** Passes that one slice of pruning deletes, but for those of its last key: a ring has up to 10,000. */
const mostPasses = 10_000

/** The key with its limit: a changed limit starts from zero. */
export function ringName({ key, limit, period_ms }: RateGate): string {
  return `${limit}/${period_ms} ${key}`
}

export class Rings {
  readonly #next
  readonly #at
  readonly #write
  readonly #advance
  readonly #moveBack
  readonly #old
  readonly #forgetRing
  readonly #forgetKey

  constructor(db: Db) {
    this.#next = db.prepare<[string], number>('SELECT next FROM rate_key WHERE key = ?').pluck()
    this.#at = db
      .prepare<[string, number], number>('SELECT at FROM rate_ring WHERE key = ? AND slot = ?')
      .pluck()
    this.#write = db.prepare('INSERT OR REPLACE INTO rate_ring (key, slot, at) VALUES (?, ?, ?)')
    this.#moveBack = db.prepare('UPDATE rate_key SET next = ? WHERE key = ?')
    this.#advance = db.prepare('INSERT OR REPLACE INTO rate_key (key, next, keep_until) VALUES (?, ?, ?)')
    this.#old = db
      .prepare<[number, number], string>(
        'SELECT key FROM rate_key WHERE keep_until < ? ORDER BY keep_until LIMIT ?',
      )
      .pluck()
    this.#forgetRing = db.prepare('DELETE FROM rate_ring WHERE key = ?')
    this.#forgetKey = db.prepare('DELETE FROM rate_key WHERE key = ?')
  }

  /** The slot that is written next; undefined: nothing has passed. What is damaged is taken for the first. */
  #slot(name: string, limit: number): number | undefined {
    const next = this.#next.get(name)
    return next === undefined || (Number.isSafeInteger(next) && next >= 0 && next < limit) ? next : 0
  }

  /** A pass in a slot; undefined: none, or what is damaged. */
  #passedAt(name: string, slot: number): number | undefined {
    const at: unknown = this.#at.get(name, slot)
    return Number.isSafeInteger(at) ? (at as number) : undefined
  }

  /** When one more may pass; 0: at any time. A pass of the future, from before a clock stepped back, counts as one of now. */
  opensAt(gate: RateGate, now: number): number {
    const name = ringName(gate)
    const next = this.#slot(name, gate.limit)
    if (next === undefined) return 0
    const counted = this.#passedAt(name, next)
    return counted === undefined ? 0 : Math.min(counted, now) + gate.period_ms
  }

  /** Lets one pass; the caller has seen that it may. */
  take(gate: RateGate, at: number): void {
    const name = ringName(gate)
    const slot = this.#slot(name, gate.limit) ?? 0
    this.#write.run(name, slot, at)
    this.#advance.run(name, (slot + 1) % gate.limit, at + gate.period_ms)
  }

  /** Takes a pass back that came to nothing: those after it move up by one. */
  giveBack(gate: RateGate, at: number): void {
    const name = ringName(gate)
    const next = this.#slot(name, gate.limit)
    if (next === undefined) return
    const slot = (back: number): number => (next - back + gate.limit) % gate.limit
    for (let back = 1; back <= gate.limit; back++) {
      const passed = this.#passedAt(name, slot(back))
      if (passed === undefined || passed < at) return
      if (passed !== at) continue
      for (let newer = back - 1; newer >= 1; newer--)
        this.#write.run(name, slot(newer + 1), this.#passedAt(name, slot(newer)) ?? 0)
      this.#write.run(name, slot(1), 0)
      // What passed after it counts for as long as before: the ring is kept until then.
      this.#moveBack.run(slot(1), name)
      return
    }
  }

  /** Whether at least so many of a gate's limit passed in the period up to now. */
  hasPassed(gate: RateGate, passes: number, now: number): boolean {
    if (passes > gate.limit) return false
    const name = ringName(gate)
    const next = this.#slot(name, gate.limit) ?? 0
    const at = this.#passedAt(name, (next - passes + gate.limit) % gate.limit)
    return at !== undefined && at > now - gate.period_ms
  }

  /** Forgets some keys whose passes count for nothing any more; answers whether there are more. */
  prune(now: number, most: number): boolean {
    const names = this.#old.all(now, most)
    let passes = 0
    for (const [index, name] of names.entries()) {
      if (passes >= mostPasses) return index < names.length
      passes += this.#forgetRing.run(name).changes
      this.#forgetKey.run(name)
    }
    return names.length === most
  }
}
